//! The key of the file: read anew when the file changes, rotated with a grace for the key before.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{dated, hash_of, is_key, new_key};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::paths::write_private;
use crate::domains::continuity::files::{Watched, under_lock, unwritten};
use crate::domains::continuity::place::Place;
use crate::engines::secrets;

/// How backups of keys are called, before and after their date (plan-b.md §1.7).
const BACKUP: (&str, &str) = ("api_key_backup_", ".txt");
/// Backups that are kept; the oldest goes.
const BACKUPS_KEPT: usize = 5;
/// Backups of one second at most.
const SAME_SECOND_MAX: u32 = 100;
/// The longest grace of a key before: a week. What the settings say beyond it counts as that.
pub const GRACE_MAX: Duration = Duration::from_hours(7 * 24);

/// A copy of a key that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backup {
    /// The file's name in `backups/`.
    pub name: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

/// How the file key stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileKeyState {
    /// When the file was written; none when it is not there.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made_at: Option<Moment>,
    /// Until when the key before is still taken; none when it is not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_until: Option<Moment>,
    /// Copies of keys before, the newest first.
    pub backups: Vec<Backup>,
    /// The code of what keeps the key from being used; none when it is well.
    pub wrong: Option<&'static str>,
}

/// The key in force.
enum InForce {
    Missing,
    Key(Zeroizing<String>),
}

/// The key before, in `api_key.previous.json`: what is left of it is its hash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Previous {
    sha256: String,
    rotated_at: Moment,
    until: Moment,
}

pub(super) struct FileKeys {
    place: Place,
    grace: Duration,
    clock: Arc<dyn Clock>,
    key: Watched<InForce>,
    previous: Watched<Option<Previous>>,
}

impl FileKeys {
    pub(super) fn of(place: Place, grace: Duration, clock: Arc<dyn Clock>) -> Self {
        let key = Watched::new(place.api_key(), clock.clone(), read_key, damaged);
        // A grace that cannot be read is none: the key in force is what counts.
        let read_previous = |bytes: Option<&[u8]>| {
            Some(bytes.and_then(|bytes| serde_json::from_slice::<Previous>(bytes).ok()))
        };
        let previous = Watched::new(place.previous_key(), clock.clone(), read_previous, damaged);
        Self { place, grace, clock, key, previous }
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn make_if_missing(&self) -> Result<(), Fault> {
        let path = self.place.api_key();
        if path.exists() {
            return Ok(());
        }
        self.place.create().map_err(|e| unwritten("making Plan B's folder", e))?;
        under_lock(&path, || match *self.key.get()? {
            InForce::Key(_) => Ok(()),
            InForce::Missing => self.write(&new_key()?),
        })
    }

    pub(super) fn look(&self) -> Result<(), Fault> {
        match *self.key.get()? {
            InForce::Key(_) => Ok(()),
            InForce::Missing => Err(missing()),
        }
    }

    /// Whether `shown` is the key in force, or the one before within its grace.
    pub(super) fn is(&self, shown: &str) -> Result<bool, Fault> {
        let in_force = match &*self.key.get()? {
            InForce::Key(key) => secrets::same(key, shown),
            InForce::Missing => return Err(missing()),
        };
        let before = self.previous_in_grace()?;
        let hash = hash_of(shown);
        Ok(in_force | before.is_some_and(|before| secrets::same(&before.sha256, &hash)))
    }

    fn previous_in_grace(&self) -> Result<Option<Previous>, Fault> {
        let now = self.clock.now();
        let previous = (*self.previous.get()?).clone();
        // A wall that was set back must not give an old key its grace again.
        Ok(previous.filter(|p| p.rotated_at <= now && now < p.until))
    }

    pub(super) fn rotate(&self, grace: Option<Duration>) -> Result<Zeroizing<String>, Fault> {
        let grace = grace.unwrap_or(self.grace).min(GRACE_MAX);
        self.place.create().map_err(|e| unwritten("making Plan B's folder", e))?;
        under_lock(&self.place.api_key(), || {
            let now = self.clock.now();
            let key = new_key()?;
            // Whatever happens between these steps, the file has a whole key and the key that is in
            // force at that moment is taken.
            match &*self.key.get()? {
                InForce::Missing => self.forget_previous()?,
                InForce::Key(old) => {
                    self.back_up(old, now)?;
                    if grace.is_zero() {
                        self.forget_previous()?;
                    } else {
                        self.remember(old, now, now.plus(grace))?;
                    }
                }
            }
            self.write(&key)?;
            self.clear_backups();
            Ok(key)
        })
    }

    pub(super) fn state(&self) -> Result<FileKeyState, Fault> {
        let wrong = match self.look() {
            Ok(()) => None,
            Err(fault) => Some(fault.code),
        };
        Ok(FileKeyState {
            made_at: self.key.written_at(),
            previous_until: self.previous_in_grace()?.map(|p| p.until),
            backups: self.backups().map_err(|e| Fault::broken("listing backups of keys", e))?,
            wrong,
        })
    }

    fn write(&self, key: &str) -> Result<(), Fault> {
        let line = Zeroizing::new(format!("{key}\n"));
        write_private(&self.place.api_key(), line.as_bytes())
            .map_err(|e| unwritten("writing Plan B's key", e))
    }

    fn remember(&self, old: &str, rotated_at: Moment, until: Moment) -> Result<(), Fault> {
        let previous = Previous { sha256: hash_of(old), rotated_at, until };
        let json = serde_json::to_vec(&previous)
            .map_err(|e| Fault::broken("writing the key before down", e))?;
        write_private(&self.place.previous_key(), &json)
            .map_err(|e| unwritten("writing the key before down", e))
    }

    fn forget_previous(&self) -> Result<(), Fault> {
        match fs::remove_file(self.place.previous_key()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Fault::broken("forgetting the key before", e))
            }
            _ => Ok(()),
        }
    }

    fn back_up(&self, old: &str, now: Moment) -> Result<(), Fault> {
        let (before, after) = BACKUP;
        let date = dated(now);
        let line = Zeroizing::new(format!("{old}\n"));
        // Two rotations within a second must not cost the first one's backup.
        let free = (1..=SAME_SECOND_MAX)
            .map(|n| if n == 1 { String::new() } else { format!("_{n}") })
            .map(|n| self.place.backups().join(format!("{before}{date}{n}{after}")))
            .find(|path| !path.exists());
        let path = free.ok_or_else(|| {
            Fault::busy(
                "planb_key_busy",
                "The key was rotated too often within this second.",
                Duration::from_secs(1),
            )
        })?;
        write_private(&path, line.as_bytes()).map_err(|e| unwritten("backing Plan B's key up", e))
    }

    fn backups(&self) -> io::Result<Vec<Backup>> {
        use std::os::unix::fs::MetadataExt;
        let entries = match fs::read_dir(self.place.backups()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(BACKUP.0) && name.ends_with(BACKUP.1) {
                let meta = entry.metadata()?;
                let at = Moment(meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000);
                found.push(Backup { name, at });
            }
        }
        found.sort_by(|a, b| (b.at, order_of(&b.name)).cmp(&(a.at, order_of(&a.name))));
        Ok(found)
    }

    /// Lets the oldest backups go; one that stays for want of a right costs nothing but its room.
    fn clear_backups(&self) {
        for old in self.backups().unwrap_or_default().into_iter().skip(BACKUPS_KEPT) {
            let _ = fs::remove_file(self.place.backups().join(old.name));
        }
    }
}

/// The shorter of two names is the earlier one of the same second.
fn order_of(name: &str) -> (usize, &str) {
    (name.len(), name)
}

fn read_key(bytes: Option<&[u8]>) -> Option<InForce> {
    let Some(bytes) = bytes else { return Some(InForce::Missing) };
    let text = std::str::from_utf8(bytes).ok()?;
    let key = text.strip_suffix('\n').unwrap_or(text);
    is_key(key).then(|| InForce::Key(Zeroizing::new(key.to_owned())))
}

fn damaged() -> Fault {
    Fault::unavailable(
        "planb_key_damaged",
        "Plan B's key file (planb/api_key.txt) is not 64 lower-case hexadecimal digits.",
    )
}

fn missing() -> Fault {
    Fault::unavailable(
        "planb_key_missing",
        "Plan B's key file (planb/api_key.txt) is gone; rotate the key, or restart.",
    )
}
