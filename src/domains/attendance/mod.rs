//! Presence: employees' devices, QR passes, kiosks, punches, corrections, sheets.

pub mod counting;
pub mod people;
pub mod records;
pub mod routes;
pub mod settings;

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::base::caller::Caller;
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::id::Id;
use crate::engines::secrets::RootKey;
use crate::store::{Store, Tx};
use people::{People, Person};
use settings::AttendanceSettings;

/// What the desk stands on.
pub struct Ground {
    /// The store.
    pub store: Store,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the desk says how it is.
    pub health: Health,
    /// What its keys are sealed with.
    pub root: RootKey,
    /// The directory.
    pub people: Arc<dyn People>,
    /// The directory's keys for kiosks.
    pub kiosk_keys: Arc<dyn KioskKeys>,
}

/// Keys that kiosks show in `X-Kiosk-API-Key`: the directory keeps them, the desk says when.
pub trait KioskKeys: Send + Sync {
    /// Makes a key for a kiosk, to be laid down by the write that it is handed to: a closure that puts it
    /// in the place of the kiosk's earlier keys and answers its text, which is told once.
    ///
    /// # Errors
    /// `right_missing`, or what the machine says.
    fn make(&self, caller: &Caller) -> Result<LayKey, Fault>;

    /// Takes back every key of a kiosk, within a write.
    ///
    /// # Errors
    /// What the store says.
    fn take_back(&self, tx: &mut Tx<'_>, caller: &Caller, kiosk: Id) -> Result<usize, Fault>;
}

/// Puts a made key in its place: by the kiosk's name of record and its name.
pub type LayKey = Box<dyn FnOnce(&mut Tx<'_>, &Caller, Id, &str) -> Result<String, Fault> + Send>;

/// The attendance desk. Clones are the same desk.
#[derive(Clone)]
pub struct Attendance {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: AttendanceSettings,
    desk: Arc<Desk>,
}

struct Desk {
    health: Health,
    root: RootKey,
    people: Arc<dyn People>,
    kiosk_keys: Arc<dyn KioskKeys>,
}

impl Attendance {
    /// Opens the desk.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(ground: Ground, settings: AttendanceSettings) -> Result<Self, Fault> {
        let Ground { store, clock, health, root, people, kiosk_keys } = ground;
        let desk = Arc::new(Desk { health, root, people, kiosk_keys });
        Ok(Self { store, clock, settings, desk })
    }

    /// The site's time zone.
    fn zone(&self) -> Result<TimeZone, Fault> {
        Ok(self.desk.people.site()?.zone)
    }

    /// The person of a number.
    ///
    /// # Errors
    /// `not_found`.
    fn person_numbered(&self, number: u64) -> Result<Person, Fault> {
        self.desk.people.numbered(number)?.ok_or_else(|| Fault::not_found("user"))
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }
}
