//! The lock that says: a watchdog lives here.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::history;
use super::state::Phase;
use crate::base::fault::Fault;
use crate::domains::continuity::place::Place;

/// Only its owner may open it.
const FILE_MODE: u32 = 0o600;
/// How long a lock is waited for: whoever only looks holds it for a moment.
const WAIT: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const TRY: Duration = Duration::from_millis(20);

/// Held by a watchdog as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `place`.
    ///
    /// # Errors
    /// `already_running` when another watchdog holds it, `internal` with what the file system says.
    pub fn take(place: &Place) -> Result<Self, Fault> {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(place.watchdog_lock())
            .map_err(|e| Fault::broken("opening the watchdog's lock", e))?;
        let deadline = Instant::now() + WAIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Some sticks' file systems know no locks.
                Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(TRY),
                Err(Errno::WOULDBLOCK) => {
                    let pid = history::state(place)
                        .map_or_else(String::new, |state| format!(" (process {})", state.pid));
                    return Err(Fault::conflict(
                        "already_running",
                        format!("A watchdog lives in {} already{pid}.", place.root().display()),
                    ));
                }
                Err(e) => return Err(Fault::broken("locking the watchdog's lock", e)),
            }
        }
    }
}

/// Whether a watchdog lives in `place`.
pub fn is_held(place: &Place) -> bool {
    let Ok(file) = File::open(place.watchdog_lock()) else { return false };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(Errno::WOULDBLOCK) => true,
        Err(_) => history::state(place).is_some_and(|state| {
            let pid = i32::try_from(state.pid).ok().and_then(Pid::from_raw);
            state.phase != Phase::Stopped && pid.is_some_and(|pid| test_kill_process(pid).is_ok())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_seen_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        assert!(!is_held(&place));
        place.create().unwrap();
        let lock = Lock::take(&place).unwrap();
        assert!(is_held(&place));
        assert_eq!(Lock::take(&place).unwrap_err().code, "already_running");
        drop(lock);
        assert!(!is_held(&place));
        Lock::take(&place).unwrap();
    }
}
