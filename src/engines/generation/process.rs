//! One child of the program that holds a model: how it is started, heard and ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::wire::{self, Load, Order, Told};
use crate::base::clock::MachineClock;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::tasks::Tasks;

/// The hidden verb under which the program holds a model.
pub const VERB: &str = "__generate";
/// How long a child may take to end when it is asked to.
const END_POLITE: Duration = Duration::from_millis(1500);
/// How long the kernel may take to end it when it is made to.
const END_FORCED: Duration = Duration::from_millis(500);
/// A child that is being started says so within this.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A child's complaints go to the log up to this many bytes a line.
const COMPLAINT_LINE_BYTES_MAX: u64 = 2 << 10;
/// After so many lines of one child the log has heard enough.
const COMPLAINT_LINES_MAX: usize = 100;
/// The last complaint is kept this many characters long, to tell why a child died.
const COMPLAINT_CHARS_MAX: usize = 500;

/// What is heard of a child, in order; [`News::Gone`] is the last.
#[derive(Debug)]
pub(super) enum News {
    /// It says something.
    Told(Told),
    /// It is no more, and its memory is free; a sentence for the log.
    Gone(String),
}

/// The child's ear. Clones are the same ear; the child ends when the last one is dropped.
#[derive(Clone)]
pub(super) struct Input(Arc<Mutex<ChildStdin>>);

impl Input {
    /// Tells the child something, as [`wire::line`] wrote it down.
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        self.hold().write(line)
    }

    /// Keeps everybody else from speaking to the child.
    pub fn hold(&self) -> Hold<'_> {
        Hold(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The child's ear, for one speaker alone.
pub(super) struct Hold<'a>(MutexGuard<'a, ChildStdin>);

impl Hold<'_> {
    /// Tells the child something, as [`wire::line`] wrote it down.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)?;
        self.0.flush()
    }
}

/// A running child. Dropping it ends the child too, but waits for nothing.
pub(super) struct Process {
    input: Input,
    life: OwnedFd,
    pid: u32,
}

impl Process {
    /// Starts a child that loads what `load` says; `news` is told what comes of it, on a thread of
    /// its own.
    pub fn start(
        program: &Path,
        threads: usize,
        load: Load,
        news: impl FnMut(News) + Send + 'static,
    ) -> Result<Self, Fault> {
        // These threads last as long as the child, whose end is what stops them; the box's own list of
        // loops would grow with every child.
        let tasks = Tasks::new(Health::new(Arc::new(MachineClock)));
        let (started, start) = sync_channel(1);
        let command = command(program, threads);
        let complaints = tasks.clone();
        tasks.thread("generation", move |_| {
            attend(command, &Order::Load(load), &complaints, &started, news);
        })?;
        let (input, life, pid) = start
            .recv_timeout(START_LIMIT)
            .map_err(|e| unavailable().because(e))?
            .map_err(|e| unavailable().because(e))?;
        Ok(Self { input: Input(Arc::new(Mutex::new(input))), life, pid })
    }

    /// The child's ear.
    pub fn input(&self) -> Input {
        self.input.clone()
    }

    /// The child's number on this machine.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the child and waits until it is gone, two seconds at most.
    pub fn end(self) {
        let _ = pidfd_send_signal(&self.life, Signal::TERM);
        if !gone(&self.life, END_POLITE) {
            let _ = pidfd_send_signal(&self.life, Signal::KILL);
            if !gone(&self.life, END_FORCED) {
                tracing::warn!(pid = self.pid, "the generating child does not end");
            }
        }
    }
}

fn unavailable() -> Fault {
    Fault::unavailable("generation_failed", "The program that runs the model cannot be started.")
}

fn command(program: &Path, threads: usize) -> Command {
    let mut command = Command::new(program);
    command
        .arg(VERB)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if threads > 0 {
        // Read by the libraries before anybody could hand them a number.
        command.env("CANDLE_NUM_THREADS", threads.to_string());
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    command
}

type Started = SyncSender<io::Result<(ChildStdin, OwnedFd, u32)>>;

/// Starts the child and listens to it until it is gone.
///
/// The kernel ends a child with the *thread* that started it, so this one must outlive it: it does,
/// for it waits for the child's end.
fn attend(
    mut command: Command,
    load: &Order,
    tasks: &Tasks,
    started: &Started,
    mut news: impl FnMut(News),
) {
    let mut child = match spawn(&mut command, load) {
        Ok((child, input, life)) => {
            let pid = child.id();
            if started.send(Ok((input, life, pid))).is_err() {
                return end_unwanted(child);
            }
            child
        }
        Err(e) => {
            let _ = started.send(Err(e));
            return;
        }
    };
    let last = Arc::new(Mutex::new(String::new()));
    if let Some(stderr) = child.stderr.take() {
        let last = Arc::clone(&last);
        // Without the thread a talkative child would stop at a full pipe, so it is ended instead.
        if tasks.thread("generation-log", move |_| log(stderr, &last)).is_err() {
            return end_unwanted(child);
        }
    }
    let mut broken = None;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout);
        loop {
            match wire::read(&mut lines) {
                Ok(Some(told)) => news(News::Told(told)),
                Ok(None) => break,
                Err(e) => {
                    // What it says makes no sense; neither would what it says next.
                    broken = Some(e);
                    let _ = child.kill();
                    break;
                }
            }
        }
    }
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    let complaint = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let broken = broken.map(|e| format!(", it spoke nonsense: {e}")).unwrap_or_default();
    news(News::Gone(format!("{status}{broken} {complaint}").trim().to_owned()));
}

fn spawn(command: &mut Command, load: &Order) -> io::Result<(Child, ChildStdin, OwnedFd)> {
    let mut child = command.spawn()?;
    let ready = (|| {
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("a process without a number"))?;
        let life = pidfd_open(id, PidfdFlags::empty())?;
        let mut input =
            child.stdin.take().ok_or_else(|| io::Error::other("a process without an ear"))?;
        wire::write(&mut input, load)?;
        Ok((input, life))
    })();
    match ready {
        Ok((input, life)) => Ok((child, input, life)),
        Err(e) => {
            end_unwanted(child);
            Err(e)
        }
    }
}

fn end_unwanted(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Carries what a child complains of into the log, within bounds, and keeps the last of it.
fn log(stderr: ChildStderr, last: &Mutex<String>) {
    let mut lines = BufReader::new(stderr);
    let mut count = 0;
    loop {
        let mut line = Vec::new();
        match (&mut lines).take(COMPLAINT_LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        count += 1;
        if count <= COMPLAINT_LINES_MAX {
            tracing::warn!("the generating child says: {line}");
        }
        let line = line.chars().take(COMPLAINT_CHARS_MAX).collect();
        *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// Waits until the process is gone; false when it is still there after `limit`.
fn gone(life: &OwnedFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::new(life, PollFlags::IN)], Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
