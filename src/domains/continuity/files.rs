//! Small files that another process may change meanwhile: read anew when they differ, changed under a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use crate::base::clock::{Clock, Moment};
use crate::base::fault::{Fault, Kind};

/// Only its owner may read it.
const OWNER_ONLY: u32 = 0o600;
/// Others' bits of a file's mode.
const OTHERS: u32 = 0o077;
/// The longest file that is read, bytes: the longest that is written has some ten thousand.
const BYTES_MAX: u64 = 256 * 1024;
/// A file that was changed so shortly before it was read may be changed again without a new time: sticks
/// count in steps of two seconds.
const UNSETTLED: Duration = Duration::from_secs(3);
/// How long another process's hold on a file is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// Reads what a file holds; none for a file that is not there. It answers none for what makes no sense.
type Reading<T> = fn(Option<&[u8]>) -> Option<T>;

/// What a file holds, as long as the file stays what it is.
pub(super) struct Watched<T> {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    reading: Reading<T>,
    damaged: fn() -> Fault,
    held: Mutex<Option<Held<T>>>,
}

struct Held<T> {
    stamp: Option<Stamp>,
    settled: bool,
    value: Option<Arc<T>>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            inode: (meta.dev(), meta.ino()),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            mode: meta.mode(),
        }
    }

    /// When the file was last written.
    pub(super) fn modified(&self) -> Moment {
        Moment(self.modified.0.saturating_mul(1000).saturating_add(self.modified.1 / 1_000_000))
    }
}

impl<T> Watched<T> {
    /// The file at `path`; nothing is read yet. What `reading` makes no sense of is `damaged`.
    pub(super) fn new(
        path: PathBuf,
        clock: Arc<dyn Clock>,
        reading: Reading<T>,
        damaged: fn() -> Fault,
    ) -> Self {
        Self { path, clock, reading, damaged, held: Mutex::new(None) }
    }

    /// What the file holds now; a file that others may read is closed to them.
    ///
    /// # Errors
    /// The fault of a damaged file, or what the file system says.
    pub(super) fn get(&self) -> Result<Arc<T>, Fault> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp_of(&self.path).map_err(unread)?;
        let fresh = held.as_ref().is_some_and(|h| h.settled && h.stamp == stamp);
        if !fresh {
            *held = Some(self.read().map_err(unread)?);
        }
        held.as_ref().and_then(|h| h.value.clone()).ok_or_else(self.damaged)
    }

    /// When the file was last written; none when it is not there.
    pub(super) fn written_at(&self) -> Option<Moment> {
        stamp_of(&self.path).ok().flatten().map(|stamp| stamp.modified())
    }

    fn read(&self) -> io::Result<Held<T>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let value = (self.reading)(None).map(Arc::new);
                return Ok(Held { stamp: None, settled: true, value });
            }
            Err(e) => return Err(e),
        };
        if file.metadata()?.permissions().mode() & OTHERS != 0 {
            file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))?;
        }
        let stamp = Stamp::of(&file.metadata()?);
        let mut bytes = Zeroizing::new(Vec::new());
        (&file).take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let whole = bytes.len() as u64 <= BYTES_MAX;
        let value = if whole { (self.reading)(Some(&bytes)).map(Arc::new) } else { None };
        let now = self.clock.now();
        // A wall that was set back makes a file of the future: it is read every time, which is right too.
        let old = now > stamp.modified().plus(UNSETTLED);
        let settled = old && Stamp::of(&file.metadata()?) == stamp;
        Ok(Held { stamp: Some(stamp), settled, value })
    }
}

fn unread(cause: io::Error) -> Fault {
    Fault::broken("reading a file of Plan B", cause)
}

/// Why a file of Plan B was not written: a full disk is no fault of the box.
pub(super) fn unwritten(doing: &str, cause: io::Error) -> Fault {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Fault::new(
                Kind::Full,
                "planb_full",
                "The disk is full: nothing was changed. Make room and try again.",
            )
            .because(cause)
        }
        _ => Fault::broken(doing, cause),
    }
}

/// What tells this state of a file from another; none when it is not there.
///
/// # Errors
/// What the file system says.
pub(super) fn stamp_of(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(Stamp::of(&meta))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Does `body` while no other process and no other thread changes the file at `path`: all of them hold
/// the lock that lies beside it.
///
/// # Errors
/// What `body` says; `planb_files_busy` when somebody else holds on for too long; `planb_full`.
pub(super) fn under_lock<T>(
    path: &Path,
    body: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OWNER_ONLY)
        .open(beside)
        .map_err(|e| unwritten("opening a lock of Plan B", e))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Some sticks' file systems know no locks; there the atomic writes remain.
            Ok(()) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_LOOK);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Fault::unavailable(
                    "planb_files_busy",
                    "Another process is changing this file of Plan B; try again.",
                )
                .retry_after(LOCK_WAIT));
            }
            Err(e) => return Err(Fault::broken("locking a file of Plan B", e)),
        }
    }
    body()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MachineClock;
    use crate::base::paths::write_private;

    fn words(path: &Path) -> Watched<String> {
        let damaged = || Fault::unavailable("damaged", "It is damaged.");
        Watched::new(
            path.into(),
            Arc::new(MachineClock),
            |bytes| match bytes {
                None => Some("nothing".to_owned()),
                Some(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            },
            damaged,
        )
    }

    #[test]
    fn what_another_process_writes_is_seen_at_once_however_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        let file = words(&path);
        assert_eq!(*file.get().unwrap(), "nothing");
        for round in 0..200 {
            let text = format!("{:03}", round % 100);
            if round % 2 == 0 {
                fs::write(&path, &text).unwrap();
            } else {
                write_private(&path, text.as_bytes()).unwrap();
            }
            assert_eq!(*file.get().unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, OWNER_ONLY);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(file.get().map_err(|f| f.code), Err("damaged"));
        fs::write(&path, vec![b'a'; 256 * 1024 + 1]).unwrap();
        assert_eq!(file.get().map_err(|f| f.code), Err("damaged"));
        fs::remove_file(&path).unwrap();
        assert_eq!(*file.get().unwrap(), "nothing");
    }

    #[test]
    fn one_at_a_time_changes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        fs::write(&path, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        under_lock(&path, || {
                            let count: u32 = fs::read_to_string(&path).unwrap().parse().unwrap();
                            fs::write(&path, (count + 1).to_string()).unwrap();
                            Ok(())
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "100");
    }
}
