//! Structured logs, rotated inside the binary by size and days.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self as lines, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::tasks::{Handle, Tasks};

/// Lines that wait to be written; beyond that they are counted and lost, and the box goes on.
const QUEUE_LINES: usize = 8192;
/// How often an idle writer looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
const CURRENT: &str = "ilot.log";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const OWNER_ONLY: u32 = 0o600;

/// What is logged, how, and for how long it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or per part as in
    /// `info,ilot::web=debug`. Default `info`.
    pub level: String,
    /// Whether the terminal gets JSON lines instead of text. Default false.
    pub json: bool,
    /// Whether `logs/ilot.log` is written, always as JSON lines. Default true.
    pub file: bool,
    /// A file is closed and another begun at this size, and each day (UTC). Default 16777216.
    pub file_bytes: u64,
    /// Closed files older than this are deleted. Default 30.
    pub keep_days: u32,
    /// Closed files beyond this number are deleted, oldest first. Default 20.
    pub keep_files: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            json: false,
            file: true,
            file_bytes: 16 * 1024 * 1024,
            keep_days: 30,
            keep_files: 20,
        }
    }
}

/// The logs of the process, once they are started.
#[derive(Debug, Clone)]
pub struct Logs {
    lost: Arc<AtomicU64>,
}

impl Logs {
    /// Lines that could not be written: the writer was behind, or the disk refused.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Starts logging to the terminal and to `folder`, for the whole process.
///
/// Lines are written by threads of `tasks`, so that a slow disk or terminal holds no request up.
/// Started first they stop last, and write what is left before they do.
///
/// # Errors
/// `log_level` when the level cannot be read; `internal` when logging was started before, or the
/// file cannot be opened.
pub fn start(
    settings: &LogSettings,
    folder: &Path,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Logs, Fault> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|e| {
        Fault::invalid("log_level", format!("log.level '{}' cannot be read: {e}.", settings.level))
    })?;
    let lost = Arc::new(AtomicU64::new(0));
    let stamp = Stamp(clock.clone());
    let terminal = Queue::start("log-terminal", Box::new(io::stderr()), &lost, tasks)?;
    let color = io::stderr().is_terminal();
    let (json, text) = if settings.json {
        (
            Some(
                lines::layer()
                    .json()
                    .flatten_event(true)
                    .with_timer(stamp.clone())
                    .with_writer(terminal),
            ),
            None,
        )
    } else {
        (
            None,
            Some(lines::layer().with_ansi(color).with_timer(stamp.clone()).with_writer(terminal)),
        )
    };
    let file = if settings.file {
        let rotating = Rotating::open(folder, settings, clock)
            .map_err(|e| Fault::broken("opening the log file", e))?;
        let queue = Queue::start("log-file", Box::new(rotating), &lost, tasks)?;
        Some(lines::layer().json().flatten_event(true).with_timer(stamp).with_writer(queue))
    } else {
        None
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(json)
        .with(text)
        .with(file)
        .try_init()
        .map_err(|e| Fault::broken("starting the logs", e))?;
    Ok(Logs { lost })
}

/// The box's own clock on every line.
#[derive(Clone)]
struct Stamp(Arc<dyn Clock>);

impl FormatTime for Stamp {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        out.write_str(&self.0.now().to_rfc3339())
    }
}

/// Lines on their way to a thread that writes them.
struct Queue {
    lines: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl Queue {
    fn start(
        name: &'static str,
        out: Box<dyn Write + Send>,
        lost: &Arc<AtomicU64>,
        tasks: &Tasks,
    ) -> Result<Self, Fault> {
        let (lines, waiting) = sync_channel(QUEUE_LINES);
        let count = lost.clone();
        tasks.thread(name, move |handle| write_all(handle, &waiting, out, &count))?;
        Ok(Self { lines, lost: lost.clone() })
    }
}

fn write_all(
    handle: &Handle,
    waiting: &Receiver<Vec<u8>>,
    mut out: Box<dyn Write + Send>,
    lost: &AtomicU64,
) {
    loop {
        match waiting.recv_timeout(LOOK) {
            Ok(line) => {
                if out.write_all(&line).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(RecvTimeoutError::Timeout) if !handle.stopped() => {}
            // Stopped or abandoned, and nothing is waiting any more.
            Err(_) => break,
        }
    }
    let _ = out.flush();
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Queue {
    /// The formatter hands over one whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(line.to_vec()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is closed when it is full or when the day ends.
struct Rotating {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    file: Option<File>,
    bytes: u64,
    day: i64,
    file_bytes: u64,
    keep_days: u32,
    keep_files: usize,
}

impl Rotating {
    fn open(folder: &Path, settings: &LogSettings, clock: Arc<dyn Clock>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut rotating = Self {
            folder: folder.to_owned(),
            file: None,
            bytes: 0,
            day: day_of(clock.now()),
            clock,
            file_bytes: settings.file_bytes.max(1),
            keep_days: settings.keep_days,
            keep_files: settings.keep_files,
        };
        rotating.reopen()?;
        Ok(rotating)
    }

    fn current(&self) -> PathBuf {
        self.folder.join(CURRENT)
    }

    fn reopen(&mut self) -> io::Result<&mut File> {
        let path = self.current();
        let file = OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path)?;
        let kept = file.metadata()?;
        self.bytes = kept.len();
        if self.bytes > 0 {
            // A file of yesterday is closed by the first line of today.
            let since = kept.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            self.day = day_of(Moment(i64::try_from(since.as_millis()).unwrap_or(0)));
        }
        Ok(self.file.insert(file))
    }

    fn close(&mut self, now: Moment) -> io::Result<()> {
        self.file = None;
        if self.bytes > 0 {
            fs::rename(self.current(), self.free_name(now))?;
        }
        self.day = day_of(now);
        self.thin_out(now)
    }

    /// A name that sorts by time and is not taken: `ilot-2026-11-24T16-54-36.123Z.log`.
    fn free_name(&self, now: Moment) -> PathBuf {
        let stamp = now.to_rfc3339().replace(':', "-");
        let first = self.folder.join(format!("ilot-{stamp}.log"));
        let further = (1u32..).map(|n| self.folder.join(format!("ilot-{stamp}.{n}.log")));
        std::iter::once(first).chain(further).find(|path| !path.exists()).unwrap_or_default()
    }

    fn thin_out(&self, now: Moment) -> io::Result<()> {
        let mut closed: Vec<String> = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                name.starts_with("ilot-") && Path::new(name).extension().is_some_and(|e| e == "log")
            })
            .collect();
        closed.sort();
        let oldest = Moment(now.0 - i64::from(self.keep_days) * DAY_MS).to_rfc3339();
        let oldest = format!("ilot-{}", oldest.replace(':', "-"));
        let surplus = closed.len().saturating_sub(self.keep_files);
        for (place, name) in closed.iter().enumerate() {
            if place < surplus || *name < oldest {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

impl Write for Rotating {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let now = self.clock.now();
        let full = self.bytes > 0 && self.bytes + line.len() as u64 > self.file_bytes;
        if full || day_of(now) != self.day {
            self.close(now)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.reopen()?,
        };
        let written = file.write_all(line);
        self.bytes += line.len() as u64;
        written.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }
}

fn day_of(moment: Moment) -> i64 {
    moment.0.div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::HeldClock;

    fn closed_in(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count() - usize::from(folder.join(CURRENT).exists())
    }

    #[test]
    fn files_are_closed_by_size_and_by_day_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(HeldClock::at(Moment(1_800_000_000_000)));
        let settings =
            LogSettings { file_bytes: 100, keep_days: 3, keep_files: 4, ..LogSettings::default() };
        let mut log = Rotating::open(folder.path(), &settings, clock.clone()).unwrap();
        let line = [b'x'; 40];
        for _ in 0..5 {
            log.write_all(&line).unwrap();
        }
        assert_eq!(closed_in(folder.path()), 2, "two lines fit a file");
        clock.pass(Duration::from_hours(24));
        log.write_all(&line).unwrap();
        assert_eq!(closed_in(folder.path()), 3, "the day has changed");
        for _ in 0..20 {
            log.write_all(&line).unwrap();
        }
        assert_eq!(closed_in(folder.path()), 4, "no more than keep_files");
        clock.pass(Duration::from_hours(24 * 10));
        log.write_all(&line).unwrap();
        assert_eq!(closed_in(folder.path()), 1, "only the one just closed is young enough");
    }

    #[test]
    fn a_stuck_writer_costs_lines_and_holds_nobody_up() {
        let (lines, waiting) = sync_channel(2);
        let queue = Queue { lines, lost: Arc::default() };
        for _ in 0..5 {
            (&queue).write_all(b"line\n").unwrap();
        }
        assert_eq!(queue.lost.load(Ordering::Relaxed), 3);
        assert_eq!(waiting.try_iter().count(), 2);
    }
}
