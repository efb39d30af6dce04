//! Presence: employees' devices, QR passes, kiosks, punches, corrections, sheets.

pub mod board;
pub mod closing;
pub mod corrections;
pub mod counting;
pub mod devices;
pub mod door;
pub mod forgotten;
pub mod hours;
pub mod joining;
mod keys;
pub mod kiosks;
pub mod lists;
pub mod passes;
pub mod payroll;
pub mod people;
pub mod pins;
pub mod punches;
pub mod records;
pub mod routes;
pub mod rules;
pub mod schedules;
pub mod settings;
pub mod sheets;
mod slow;
pub mod standing_in;
pub mod taking;

use std::sync::Arc;

use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::base::caller::Caller;
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::engines::secrets::RootKey;
use crate::engines::tokens::TokenKey;
use crate::store::{Store, Tx};
use people::{People, Person};
use settings::AttendanceSettings;
use slow::Slow;

/// What the desk stands on.
pub struct Ground {
    /// The store.
    pub store: Store,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// What its keys are sealed with.
    pub root: RootKey,
    /// The directory.
    pub people: Arc<dyn People>,
    /// The directory's keys for kiosks.
    pub kiosk_keys: Arc<dyn KioskKeys>,
    /// Where accounts are made.
    pub accounts: Arc<dyn Accounts>,
}

/// An account to be, for somebody whom the personnel office lets in.
pub struct NewAccount {
    /// The address, which is the name to sign in with.
    pub email: String,
    /// How it is shown; the address when empty.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

/// Where accounts are made: the directory.
pub trait Accounts: Send + Sync {
    /// Checks an account and hashes its password; the closure lays it down and answers the user's name of
    /// record and integer.
    ///
    /// # Errors
    /// The fields at fault, `registration_role_unusable`, `too_many_attempts`.
    fn prepare(&self, account: &NewAccount) -> Result<LayAccount, Fault>;

    /// Signs a new account in, and answers its access token.
    ///
    /// # Errors
    /// What the store says.
    fn sign_in(&self, caller: &Caller, user: Id) -> Result<String, Fault>;
}

/// Puts a prepared account in its place.
pub type LayAccount = Box<dyn FnOnce(&mut Tx<'_>, &Caller) -> Result<(Id, u64), Fault> + Send>;

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
    people: Arc<dyn People>,
    kiosk_keys: Arc<dyn KioskKeys>,
    accounts: Arc<dyn Accounts>,
    slow: Slow,
    /// What the MACs of codes are made with: joining, pairing, personal codes.
    code_key: Zeroizing<[u8; 32]>,
    /// Signs passes.
    pass_key: TokenKey,
}

impl Attendance {
    /// Opens the desk.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(ground: Ground, settings: AttendanceSettings) -> Result<Self, Fault> {
        let Ground { store, clock, root, people, kiosk_keys, accounts } = ground;
        let slow = Slow::new(clock.clone());
        let code_key = root.derive(joining::PURPOSE)?;
        let pass_key = keys::open(&store, &root, &settings.pass_key_file)?;
        let desk = Desk { people, kiosk_keys, accounts, slow, code_key, pass_key };
        let desk = Arc::new(desk);
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

/// The key of what no two kiosks may share: a name (folded), a fingerprint, an address.
fn kiosk_mark(what: &str, text: &str) -> String {
    format!("{what}:{}", text.trim().to_lowercase())
}
