//! Looks into a model's folder in a process of its own, which a hostile file may kill.

pub mod child;
mod words;

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};

use super::card::Card;
use super::faults::{damaged, named, too_large, unsupported};
use crate::base::fault::Fault;

/// The hidden verb under which the program looks into one model and ends.
pub const VERB: &str = "__probe-model";
/// How the name of a model's weights ends.
const WEIGHTS: &str = ".gguf";
/// A model's folder has at most so many files.
const FILES_MAX: usize = 64;
/// What the child may take in memory, on top of the program itself.
const MEMORY_BYTES: u64 = 3 << 30;
/// Seconds of processor time for what is read, beside what is hashed.
const CPU_SECONDS: u64 = 120;
/// Bytes that are hashed in a second of processor time at the very least.
const HASHED_PER_CPU_SECOND: u64 = 32 << 20;
/// Time on the wall for what is read, beside what is hashed.
const WALL: Duration = Duration::from_mins(5);
/// Bytes that come from the disk in a second at the very least.
const READ_PER_SECOND: u64 = 8 << 20;
/// The most bytes of everything the child says.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The child's complaints are kept up to this many bytes, to tell why it died.
const COMPLAINT_BYTES_MAX: u64 = 8 << 10;
/// How much is read from the child at once.
const PIPE_BYTES: usize = 16 << 10;

/// What the parent tells the child on its command line; nothing secret.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    memory_bytes: u64,
    cpu_seconds: u64,
    /// The names of all files, the weights first.
    files: Vec<String>,
}

/// What the child says, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// So many bytes of all files are hashed.
    Hashed(u64),
    /// All is well; the last line.
    Checked { card: Box<Card>, files: Vec<CheckedFile>, confined: bool },
    /// All is not well; the last line.
    Refused { code: String, message: String, cause: Option<String> },
}

/// A file that was read from its first byte to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedFile {
    /// Its name in the model's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: [u8; 32],
}

/// What was found in a model's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What the model is.
    pub card: Card,
    /// Its files, the weights first.
    pub files: Vec<CheckedFile>,
}

/// How far a look has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are hashed.
    pub hashed: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Looks into models by child processes of a program that knows [`VERB`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The program to start: this one, or in tests the one that was built.
    pub program: PathBuf,
}

impl Probe {
    /// Looks into a folder and waits for what is found: what the model is, whether this box runs it,
    /// and the hashes of its files.
    ///
    /// `model_damaged` for files that are not what they should be or that break their reader,
    /// `model_unsupported` for those that nothing here reads, `model_too_large` for a header without
    /// end; `reader_unavailable` when the child cannot be started at all. A model that is read and
    /// cannot be run is no fault: its card says so.
    pub fn check(&self, folder: &Path) -> Result<Checked, Fault> {
        self.check_with(folder, |_| {})
    }

    /// The same, telling how far it has come.
    pub fn check_with(
        &self,
        folder: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<Checked, Fault> {
        let (files, bytes) = listed(folder)?;
        let wall = WALL.saturating_add(Duration::from_secs(bytes / READ_PER_SECOND));
        let deadline = Instant::now().checked_add(wall).unwrap_or_else(Instant::now);
        let mut running = Running(self.start(folder, files, bytes)?);
        let mut ended = None;
        running.listen(deadline, |line| match line {
            Line::Hashed(hashed) => progress(Progress { hashed, bytes }),
            last => ended = Some(last),
        })?;
        let (status, complaint) = running.end(deadline)?;
        answer(ended, status, &complaint)
    }

    fn start(&self, folder: &Path, files: Vec<String>, bytes: u64) -> Result<Child, Fault> {
        let cpu_seconds = CPU_SECONDS.saturating_add(bytes / HASHED_PER_CPU_SECOND);
        let order = Order { memory_bytes: MEMORY_BYTES, cpu_seconds, files };
        let order = serde_json::to_string(&order)
            .map_err(|e| Fault::broken("writing the order to a model's reader", e))?;
        let folder = folder
            .canonicalize()
            .map_err(|e| damaged("The model's folder cannot be read.").because(e))?;
        Command::new(&self.program)
            .arg(VERB)
            .arg("--folder")
            .arg(folder)
            .args(["--order", &order])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| {
                Fault::unavailable("reader_unavailable", "Models cannot be read at the moment.")
                    .because(e)
            })
    }
}

/// The names of a folder's files, the weights first, and their bytes together.
fn listed(folder: &Path) -> Result<(Vec<String>, u64), Fault> {
    let unread = |e: io::Error| damaged("The model's folder cannot be read.").because(e);
    let (mut weights, mut others, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let facts = fs::metadata(&path).map_err(unread)?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(damaged("The model's folder has a file whose name is no text."));
        };
        if !facts.is_file() || name.starts_with('.') {
            continue;
        }
        let lower = name.to_ascii_lowercase();
        let list = if lower.ends_with(WEIGHTS) { &mut weights } else { &mut others };
        list.push(name.to_owned());
        bytes = bytes.saturating_add(facts.len());
    }
    match weights.len() {
        0 => return Err(damaged("The model's folder has no file that ends in .gguf.")),
        1 => {}
        count => {
            return Err(unsupported(format!(
                "The model's folder has {count} files of weights; a model is one file."
            )));
        }
    }
    if others.len() >= FILES_MAX {
        return Err(damaged(format!("The model's folder has more than {FILES_MAX} files.")));
    }
    others.sort_unstable();
    weights.append(&mut others);
    Ok((weights, bytes))
}

/// A child that is killed, with all it may have started, and reaped when nobody wants it any more.
struct Running(Child);

impl Running {
    /// Hears every line the child says, until it says no more.
    fn listen(&mut self, deadline: Instant, mut heard: impl FnMut(Line)) -> Result<(), Fault> {
        let broken = |e: io::Error| Fault::broken("listening to a model's reader", e);
        let Some(mut out) = self.0.stdout.take() else { return Ok(()) };
        let (mut said, mut all) = (Vec::new(), 0_usize);
        let mut buffer = vec![0; PIPE_BYTES];
        loop {
            wait(&mut [PollFd::new(&out, PollFlags::IN)], deadline)?;
            let count = match out.read(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(broken)?,
            };
            if count == 0 {
                return Ok(());
            }
            all = all.saturating_add(count);
            if all > ANSWER_BYTES_MAX {
                return Err(damaged("The model's file made its reader say more than it should."));
            }
            said.extend_from_slice(buffer.get(..count).unwrap_or_default());
            while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
                let rest = said.split_off(end + 1);
                let line = std::mem::replace(&mut said, rest);
                heard(
                    serde_json::from_slice(&line)
                        .map_err(|e| Fault::broken("understanding a model's reader", e))?,
                );
            }
        }
    }

    /// Waits for the end, and reads why it came.
    fn end(&mut self, deadline: Instant) -> Result<(ExitStatus, String), Fault> {
        let broken = |e: io::Error| Fault::broken("waiting for a model's reader", e);
        if self.0.try_wait().map_err(broken)?.is_none()
            && let Some(pid) = self.pid()
        {
            let end = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| broken(e.into()))?;
            wait(&mut [PollFd::new(&end, PollFlags::IN)], deadline)?;
        }
        let status = self.0.wait().map_err(broken)?;
        let mut complaint = Vec::new();
        if let Some(err) = self.0.stderr.take() {
            let _ = err.take(COMPLAINT_BYTES_MAX).read_to_end(&mut complaint);
        }
        Ok((status, String::from_utf8_lossy(&complaint).trim().to_owned()))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child that was waited for has no id to reuse by mistake: `try_wait` remembers.
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Some(pid) = self.pid() {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Waits until one of `polled` has something to say.
fn wait(polled: &mut [PollFd<'_>], deadline: Instant) -> Result<(), Fault> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(endless());
        }
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(polled, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => {
                return Err(Fault::broken("waiting for a model's reader", io::Error::from(e)));
            }
        }
    }
}

fn endless() -> Fault {
    damaged("The model's file kept its reader busy for longer than a file of its size may.")
}

/// The child's last line, or why it died without one.
fn answer(last: Option<Line>, status: ExitStatus, complaint: &str) -> Result<Checked, Fault> {
    if status.success() {
        return match last {
            Some(Line::Checked { card, files, confined }) => {
                if !confined {
                    tracing::debug!("this kernel has no seccomp; readers keep their limits only");
                }
                Ok(Checked { card: *card, files })
            }
            Some(Line::Refused { code, message, cause }) => {
                let fault = named(&code, message);
                Err(match cause {
                    Some(cause) => fault.because(cause),
                    None => fault,
                })
            }
            Some(Line::Hashed(_)) | None => Err(damaged("The model's file silenced its reader.")),
        };
    }
    let died = |signal: Signal| status.signal() == Some(signal.as_raw());
    // The runtime says the first sentence itself before it aborts; the kernel kills where memory runs
    // out on the whole machine.
    let memory = complaint.contains("memory allocation of") || died(Signal::KILL);
    let fault = if memory {
        too_large(format!(
            "Reading what the model's file says of itself takes more than {} MiB.",
            MEMORY_BYTES >> 20
        ))
    } else if died(Signal::XCPU) {
        endless()
    } else {
        damaged("The model's file broke its reader.")
    };
    Err(fault.because(format!("{status}: {complaint}")))
}
