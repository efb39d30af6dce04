//! The child process in which foreign documents are read, and the parent that waits for it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};

use super::extract::{Extract, Limits};
use super::format::Format;
use super::{faults, read};
use crate::base::confine;
use crate::base::fault::Fault;

/// The hidden verb under which the program reads one document and ends.
pub const VERB: &str = "__extract";
/// The child's complaints are kept up to this many bytes, to tell why it died.
const COMPLAINT_BYTES_MAX: usize = 8 << 10;
/// What a parser says of a document goes to the log up to this many characters.
const CAUSE_CHARS_MAX: usize = 500;
/// The least an answer may weigh, whatever the text limit.
const ANSWER_BYTES_MIN: usize = 1 << 20;
/// JSON writes no character of a cleaned text in more bytes than this.
const ANSWER_BYTES_PER_CHAR: usize = 4;
/// How much is read from a pipe at once.
const PIPE_BYTES: usize = 64 << 10;

/// What one document may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildLimits {
    /// Memory for one document, on top of the program itself. Default 512 MiB.
    pub memory_bytes: u64,
    /// Seconds of processor time. Default 20.
    pub cpu_seconds: u64,
    /// Time on the wall before the child is killed. Default 60 s.
    pub wall: Duration,
    /// What the reader itself accepts.
    pub document: Limits,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            cpu_seconds: 20,
            wall: Duration::from_mins(1),
            document: Limits::default(),
        }
    }
}

/// What the parent tells the child on its command line; nothing secret.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    memory_bytes: u64,
    cpu_seconds: u64,
    document: Limits,
}

/// What the child writes, once, to its standard output.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The document's text; `confined` tells whether the kernel took the child's calls away.
    Read { extract: Extract, confined: bool },
    /// Why there is none.
    Refused { code: String, message: String, cause: Option<String> },
}

/// Reads documents in child processes of a program that knows [`VERB`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The program to start: this one, or in tests the one that was built.
    pub program: PathBuf,
    /// What one document may cost.
    pub limits: ChildLimits,
}

impl Reader {
    /// A reader that starts the running program again.
    pub fn of_this_program(limits: ChildLimits) -> Result<Self, Fault> {
        let program = std::env::current_exe()
            .map_err(|e| Fault::broken("finding the program that reads documents", e))?;
        Ok(Self { program, limits })
    }

    /// Reads the file at `path` as `format`, in a process of its own, and waits for the answer.
    ///
    /// Whatever the document does to that process, this one gets a named fault: those of
    /// [`read`], and `document_timeout`, `document_memory`, `document_too_deep` when the child
    /// died of it. `reader_unavailable` when the child cannot be started at all.
    pub fn read(&self, format: Format, path: &Path) -> Result<Extract, Fault> {
        let file =
            File::open(path).map_err(|e| Fault::broken("opening a document to read it", e))?;
        let deadline = Instant::now() + self.limits.wall;
        let mut running = Running(self.start(format, file)?);
        let heard = running.listen(deadline, self.answer_bytes_max())?;
        let status = running.end(deadline)?;
        answer(&heard, status)
    }

    fn start(&self, format: Format, file: File) -> Result<Child, Fault> {
        let order = Order {
            memory_bytes: self.limits.memory_bytes,
            cpu_seconds: self.limits.cpu_seconds,
            document: self.limits.document.clone(),
        };
        let order = serde_json::to_string(&order)
            .map_err(|e| Fault::broken("writing the order to a reader", e))?;
        Command::new(&self.program)
            .args([VERB, "--format", format.word(), "--order", &order])
            .env_clear()
            .current_dir("/")
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| {
                Fault::unavailable("reader_unavailable", "Documents cannot be read at the moment.")
                    .because(e)
            })
    }

    fn answer_bytes_max(&self) -> usize {
        let text = self.limits.document.text_chars_max.saturating_mul(ANSWER_BYTES_PER_CHAR);
        text.saturating_mul(2).max(ANSWER_BYTES_MIN)
    }
}

/// What came out of a child before it ended.
#[derive(Default)]
struct Heard {
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

/// A child that is killed, with all it may have started, and reaped when nobody wants it any more.
struct Running(Child);

impl Running {
    /// Listens until both pipes are closed.
    fn listen(&mut self, deadline: Instant, answer_max: usize) -> Result<Heard, Fault> {
        let broken = |e: io::Error| Fault::broken("listening to a reader", e);
        let mut heard = Heard::default();
        let mut out = self.0.stdout.take();
        let mut err = self.0.stderr.take();
        let mut buffer = vec![0; PIPE_BYTES];
        while out.is_some() || err.is_some() {
            let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(2);
            polled.extend(out.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            polled.extend(err.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            wait(&mut polled, deadline)?;
            let mut ready = polled.iter().map(|p| !p.revents().is_empty());
            let out_ready = out.is_some() && ready.next().unwrap_or(false);
            let err_ready = err.is_some() && ready.next().unwrap_or(false);
            drop(ready);
            drop(polled);
            if out_ready {
                let read = take(&mut out, &mut buffer).map_err(broken)?;
                heard.answer.extend_from_slice(read);
                if heard.answer.len() > answer_max {
                    return Err(faults::too_large(
                        "The document holds more text than this box keeps.",
                    ));
                }
            }
            if err_ready {
                let read = take(&mut err, &mut buffer).map_err(broken)?;
                let room = COMPLAINT_BYTES_MAX.saturating_sub(heard.complaint.len());
                heard.complaint.extend(read.iter().take(room));
            }
        }
        Ok(heard)
    }

    /// Waits for the end, which closed pipes only announce.
    fn end(&mut self, deadline: Instant) -> Result<ExitStatus, Fault> {
        let broken = |e: io::Error| Fault::broken("waiting for a reader", e);
        if let Some(status) = self.0.try_wait().map_err(broken)? {
            return Ok(status);
        }
        if let Some(pid) = self.pid() {
            let end = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| broken(e.into()))?;
            wait(&mut [PollFd::new(&end, PollFlags::IN)], deadline)?;
        }
        self.0.wait().map_err(broken)
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

/// Waits until one of `polled` has something to say; `document_timeout` at the deadline.
fn wait(polled: &mut [PollFd<'_>], deadline: Instant) -> Result<(), Fault> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(faults::timeout());
        }
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(polled, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(Fault::broken("waiting for a reader", io::Error::from(e))),
        }
    }
}

/// One read from a pipe that has something; at its end the pipe is put away.
fn take<'b, R: Read>(pipe: &mut Option<R>, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let Some(open) = pipe else { return Ok(&[]) };
    let count = match open.read(buffer) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(&[]),
        read => read?,
    };
    if count == 0 {
        *pipe = None;
    }
    Ok(buffer.get(..count).unwrap_or_default())
}

/// The child's answer, or why it died without one.
fn answer(heard: &Heard, status: ExitStatus) -> Result<Extract, Fault> {
    if status.success() {
        return match serde_json::from_slice(&heard.answer) {
            Ok(Answer::Read { extract, confined }) => {
                if !confined {
                    tracing::debug!("this kernel has no seccomp; readers keep their limits only");
                }
                Ok(extract)
            }
            Ok(Answer::Refused { code, message, cause }) => {
                let fault = faults::named(&code, message);
                Err(match cause {
                    Some(cause) => fault.because(cause),
                    None => fault,
                })
            }
            Err(e) => Err(Fault::broken("understanding a reader's answer", e)),
        };
    }
    let complaint = String::from_utf8_lossy(&heard.complaint);
    let died = |signal: Signal| status.signal() == Some(signal.as_raw());
    // The runtime says these two sentences itself before it aborts.
    let fault = if complaint.contains("memory allocation of") {
        faults::memory()
    } else if complaint.contains("overflowed its stack") {
        faults::too_deep()
    } else if died(Signal::XCPU) {
        faults::timeout()
    } else if died(Signal::KILL) {
        // Not by us: the kernel's own hand, when memory runs out on the whole machine.
        faults::memory()
    } else {
        faults::damaged("The document broke its reader.")
    };
    Err(fault.because(format!("{status}: {}", complaint.trim())))
}

/// What the program does under [`VERB`], before anything else starts: reads the document on its
/// standard input and answers on its standard output. `args` are those after the verb.
///
/// Exit code 0 with an answer, 1 when it cannot be given, 2 for a wrong command line.
pub fn extract_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some((format, order)) = parse(args) else { return ExitCode::from(2) };
    // A panic is an answer here, not a message on a terminal.
    std::panic::set_hook(Box::new(|_| {}));
    if confine::limit(order.memory_bytes, order.cpu_seconds).is_err() {
        return ExitCode::FAILURE;
    }
    let confined = confine::silence();
    let answer = match extract(format, &order.document) {
        Ok(extract) => Answer::Read { extract, confined },
        Err(fault) => Answer::Refused {
            code: fault.code.to_owned(),
            cause: fault.cause.map(|c| c.to_string().chars().take(CAUSE_CHARS_MAX).collect()),
            message: fault.message,
        },
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match serde_json::to_writer(&mut out, &answer).map_err(io::Error::from).and(out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<(Format, Order)> {
    let (mut format, mut order) = (None, None);
    while let Some(flag) = args.next() {
        let value = args.next()?;
        let value = value.to_str()?;
        match flag.to_str()? {
            "--format" => format = value.parse().ok(),
            "--order" => order = serde_json::from_str(value).ok(),
            _ => return None,
        }
    }
    Some((format?, order?))
}

fn extract(format: Format, limits: &Limits) -> Result<Extract, Fault> {
    let mut bytes = Vec::new();
    let most = (limits.bytes_max as u64).saturating_add(1);
    io::stdin()
        .lock()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| faults::of_io("The file cannot be read.", e))?;
    catch_unwind(|| read(format, &bytes, limits))
        .unwrap_or_else(|_| Err(faults::damaged("The document broke its reader.")))
}
