//! Who is who while the main program is away: the pack's people by their passwords, its kiosks by their keys.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Continuity;
use super::pack::part::{DoorKey, Person};
use super::pack::{Pack, Shelf};
use crate::base::caller::{Caller, Door, Right, Rights, Who};
use crate::base::clock::Clock;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::secrets;

/// How long a sign-in holds.
pub const SESSION: Duration = Duration::from_hours(12);
/// Sign-ins that are remembered at once; beyond it the oldest is over.
const SESSIONS_MAX: usize = 2_000;
/// Wrong passwords of a name from one address that cost nothing: people mistype.
const FREE: u32 = 3;
/// How long a name is closed for that address after each further one, seconds; the last one stays.
const NAME_PAUSES: [u64; 5] = [1, 3, 5, 10, 30];
/// Wrong passwords of a name from all other machines together that cost nothing. What one address tries
/// closes a name for that address alone: nobody on the network can lock others out.
const EVERYWHERE_FREE: u32 = 60;
/// How long a name is closed for all other machines after each wrong password beyond
/// [`EVERYWHERE_FREE`]; never at the box itself.
const EVERYWHERE_PAUSE: Duration = Duration::from_secs(5);
/// How long an address is closed after each wrong password beyond [`ADDRESS_FREE`].
const ADDRESS_PAUSE: Duration = Duration::from_secs(30);
/// Wrong passwords of an address, over all names, that cost nothing.
const ADDRESS_FREE: u32 = 10;
/// After so long without one, wrong passwords are forgotten.
const FORGET: Duration = Duration::from_mins(15);
/// Names and addresses that are counted at once; beyond it the one that failed longest ago goes.
const COUNTS_MAX: usize = 10_000;
/// Passwords that may wait to be checked: each check takes 46 MiB for a moment, so they go one by one.
const CHECKS_WAITING: usize = 16;
/// The longest name and password that are looked at, bytes.
const WORD_MAX: usize = 1024;
/// What a kiosk may do.
const OF_KIOSKS: Rights = Rights::NONE.with(Right::PunchForOthers);
/// A door of that kind is recognised by a key.
const KIOSK: &str = "kiosk";
/// The name under which whoever has Plan B's own key signs in with it, for the day when nobody else can.
pub const KEY_NAME: &str = "planb";

/// Whether a password is the one behind what is stored.
pub type CheckPassword = Arc<dyn Fn(&str, &str) -> Result<bool, Fault> + Send + Sync>;
/// What the directory keeps of a kiosk's key, hexadecimal.
pub type HashKey = Arc<dyn Fn(&str) -> Result<String, Fault> + Send + Sync>;

/// What hangs from the root key.
#[derive(Clone)]
pub struct Proofs {
    /// Checks passwords.
    pub password: CheckPassword,
    /// Hashes kiosks' keys.
    pub kiosk_key: HashKey,
}

/// The people of the pack. Clones share the sign-ins.
#[derive(Clone)]
pub struct People(Arc<Inside>);

struct Inside {
    desk: Continuity,
    shelf: Shelf,
    clock: Arc<dyn Clock>,
    proofs: Option<Proofs>,
    words: RandomState,
    state: Mutex<State>,
    /// One check at a time.
    check: Mutex<()>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<[u8; 32], Session>,
    /// By name and address; without one at the box itself.
    names: HashMap<(u64, Option<IpAddr>), Count>,
    /// By name, over all addresses but the box's own.
    everywhere: HashMap<u64, Count>,
    addresses: HashMap<IpAddr, Count>,
    checks: usize,
}

struct Session {
    id: Id,
    holder: Holder,
    /// Boot clock.
    ends: Duration,
    /// Whether it is good at the box itself only.
    near: bool,
}

/// Who signed in.
#[derive(Clone)]
enum Holder {
    /// A person of the pack, with the digest of what the pack kept of the password then: another password,
    /// or a pack without the person, ends the sign-in.
    Person { id: Id, proof: [u8; 32] },
    /// Whoever has a key of Plan B's. It is kept to be shown again at each use: what ends the key, ends
    /// the sign-in, and what the key lets do is asked then.
    Key(Arc<Zeroizing<String>>),
}

/// Wrong passwords, those under way among them.
#[derive(Default, Clone, Copy)]
struct Count {
    wrong: u32,
    /// Boot clock of the last one.
    last: Duration,
    /// Boot clock until which it is closed.
    until: Duration,
}

impl People {
    /// The people and doors of the pack on `shelf`. Without `proofs` (the root key is gone) nobody can
    /// sign in, and that is said.
    pub fn of(
        desk: Continuity,
        shelf: Shelf,
        clock: Arc<dyn Clock>,
        proofs: Option<Proofs>,
    ) -> Self {
        Self(Arc::new(Inside {
            desk,
            shelf,
            clock,
            proofs,
            words: RandomState::new(),
            state: Mutex::default(),
            check: Mutex::default(),
        }))
    }

    /// Why nobody can sign in at the moment; none when people can.
    pub fn closed(&self) -> Option<Fault> {
        let why = if self.0.proofs.is_none() {
            ("sign_in_off", "Sign-in is off: the root key (keys/root.key) cannot be read.")
        } else {
            match &self.0.shelf.now().pack {
                None => ("pack_missing", "Sign-in is off: there is no continuity pack."),
                Some(pack) if !pack.verified() => {
                    ("pack_unverified", "Sign-in is off: this node did not sign the pack.")
                }
                Some(pack) if pack.people().next().is_none() => {
                    ("pack_without_people", "Sign-in is off: the pack holds nobody.")
                }
                Some(_) => return None,
            }
        };
        Some(Fault::unavailable(why.0, why.1))
    }

    /// Signs somebody in by name or e-mail address and password; by [`KEY_NAME`] and Plan B's own key
    /// where that is taken, whatever else is missing. The answer is what the cookie holds.
    ///
    /// # Errors
    /// `bad_credentials` (401), `too_many_attempts` (429), `second_factor_at_the_box` (403) for whoever has
    /// a second factor and is not at the box, and what [`People::closed`] says.
    pub fn sign_in(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<String, Fault> {
        if name.len() > WORD_MAX || password.len() > WORD_MAX {
            return Err(wrong());
        }
        let name = name.trim().to_lowercase();
        let account = self.0.words.hash_one(&name);
        let address = address.map(|a| a.to_canonical());
        self.0.enter(account, address)?;
        let near = address.is_none_or(|address| address.is_loopback());
        if name == KEY_NAME && self.0.by_file_key(password.trim(), address).is_some() {
            self.0.forgive(account, address);
            let key = Arc::new(Zeroizing::new(password.trim().to_owned()));
            return self.0.begin(Holder::Key(key), !self.0.desk.settings().lan);
        }
        let found = self.0.shelf.now();
        let (Some(proofs), None) = (&self.0.proofs, self.closed()) else {
            return Err(self.closed().unwrap_or_else(wrong));
        };
        let person = found.pack.as_ref().and_then(|pack| person_named(pack, &name));
        // Nobody's password takes as long to be wrong as somebody's.
        let stored = person.map_or("", |person| person.password.as_str());
        let right = self.0.checked(|| (proofs.password)(password, stored))?;
        let Some(person) = person.filter(|_| right) else { return Err(wrong()) };
        self.0.forgive(account, address);
        if person.second_factor && !near {
            return Err(Fault::forbidden(
                "second_factor_at_the_box",
                "This account has a second factor: while the main program is away, it signs in at the box itself.",
            ));
        }
        let holder = Holder::Person { id: person.id, proof: digest(&person.password) };
        self.0.begin(holder, person.second_factor)
    }

    /// Ends the sign-in of a cookie.
    pub fn sign_out(&self, word: &str) {
        self.0.state().sessions.remove(&digest(word));
    }

    /// The caller behind a cookie; none when its sign-in is over, the pack knows the person no more or by
    /// another password, or the key that it was made with is not taken any more. It looks at files.
    pub fn by_cookie(&self, caller: Caller, word: &str) -> Option<Caller> {
        let now = self.0.clock.since_boot();
        let (holder, session) = {
            let state = self.0.state();
            let session = state.sessions.get(&digest(word)).filter(|s| now < s.ends)?;
            let far = caller.address.is_some_and(|a| !a.to_canonical().is_loopback());
            if session.near && far {
                return None;
            }
            (session.holder.clone(), session.id)
        };
        let caller = Caller { door: Door::Cookie, session: Some(session), ..caller };
        match holder {
            Holder::Key(key) => {
                let shown = self.0.by_file_key(&key, caller.address)?;
                Some(Caller { who: shown.who, rights: shown.rights, ..caller })
            }
            Holder::Person { id, proof } => {
                let found = self.0.shelf.now();
                let pack = found.pack.as_ref().filter(|pack| pack.verified())?;
                let person = pack.people().find(|person| person.id == id)?;
                if digest(&person.password) != proof {
                    return None;
                }
                let rights = person.rights.iter().filter_map(|name| Right::named(name)).collect();
                Some(Caller {
                    who: Who::User { id, name: person.username.clone() },
                    rights,
                    ..caller
                })
            }
        }
    }

    /// The kiosk behind a key; none when the pack knows none.
    ///
    /// # Errors
    /// `key_unknown`, `key_expired` (401), or what [`People::closed`] says of the root key.
    pub fn by_kiosk_key(&self, caller: Caller, key: &str) -> Result<Caller, Fault> {
        let unknown = || Fault::new(Kind::Unauthenticated, "key_unknown", "Nobody has this key.");
        let Some(proofs) = &self.0.proofs else {
            return Err(self.closed().unwrap_or_else(unknown));
        };
        if key.is_empty() || key.len() > WORD_MAX {
            return Err(unknown());
        }
        let hash = (proofs.kiosk_key)(key)?;
        let found = self.0.shelf.now();
        let pack = found.pack.as_ref().filter(|pack| pack.verified()).ok_or_else(unknown)?;
        let is_it = |door: &&DoorKey| door.kind == KIOSK && secrets::same(&door.proof, &hash);
        let door = pack.doors().find(is_it).ok_or_else(unknown)?;
        if door.expires_at.is_some_and(|end| end <= self.0.clock.now()) {
            return Err(Fault::new(Kind::Unauthenticated, "key_expired", "This key has expired."));
        }
        Ok(Caller {
            who: Who::Machine { id: door.id, name: door.name.clone() },
            rights: OF_KIOSKS,
            door: Door::Kiosk,
            ..caller
        })
    }
}

impl Inside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an attempt in, which counts as wrong until it is forgiven: many at once are no way around.
    fn enter(&self, account: u64, address: Option<IpAddr>) -> Result<(), Fault> {
        let now = self.clock.since_boot();
        let mut state = self.state();
        let of_address = address.filter(|a| !a.is_loopback());
        let left = |count: Option<&Count>| count.map_or(Duration::ZERO, |count| count.left(now));
        let there = of_address.and_then(|a| state.addresses.get(&a));
        let everywhere = of_address.and_then(|_| state.everywhere.get(&account));
        let left =
            left(state.names.get(&(account, of_address))).max(left(there)).max(left(everywhere));
        if !left.is_zero() {
            let seconds = left.as_millis().div_ceil(1000);
            let words = format!("Too many failed attempts; try again in {seconds} s.");
            return Err(Fault::busy("too_many_attempts", words, left));
        }
        let pause = |wrong: u32| {
            let step = wrong.checked_sub(FREE + 1)?;
            let pause = NAME_PAUSES.get(step as usize).or(NAME_PAUSES.last()).copied();
            pause.map(Duration::from_secs)
        };
        count(&mut state.names, (account, of_address), now, pause);
        if let Some(address) = of_address {
            let pause = |wrong: u32| (wrong > EVERYWHERE_FREE).then_some(EVERYWHERE_PAUSE);
            count(&mut state.everywhere, account, now, pause);
            let pause = |wrong: u32| (wrong > ADDRESS_FREE).then_some(ADDRESS_PAUSE);
            count(&mut state.addresses, address, now, pause);
        }
        Ok(())
    }

    fn forgive(&self, account: u64, address: Option<IpAddr>) {
        let mut state = self.state();
        let of_address = address.filter(|a| !a.is_loopback());
        state.names.remove(&(account, of_address));
        // What others failed from there, or with this name elsewhere, stays.
        if let Some(address) = of_address {
            state.addresses.get_mut(&address).into_iter().for_each(Count::take_back);
            state.everywhere.get_mut(&account).into_iter().for_each(Count::take_back);
        }
    }

    fn checked(&self, check: impl FnOnce() -> Result<bool, Fault>) -> Result<bool, Fault> {
        {
            let mut state = self.state();
            if state.checks >= CHECKS_WAITING {
                let words = "Too many people sign in at this moment.";
                return Err(Fault::busy("sign_in_busy", words, Duration::from_secs(1)));
            }
            state.checks += 1;
        }
        let answer = {
            let _turn = self.check.lock().unwrap_or_else(PoisonError::into_inner);
            check()
        };
        self.state().checks -= 1;
        answer
    }

    /// Whoever has a key of Plan B's that may change something, where that is taken at this moment.
    fn by_file_key(&self, key: &str, address: Option<IpAddr>) -> Option<Caller> {
        let caller = Caller::nobody(address, "");
        self.desk.recognise(caller, key).filter(|caller| {
            self.desk.lets_in(address) && caller.rights.holds(Right::ManageContinuity)
        })
    }

    fn begin(&self, holder: Holder, near: bool) -> Result<String, Fault> {
        let word = secrets::random_word()?;
        let now = self.clock.since_boot();
        let mut state = self.state();
        state.sessions.retain(|_, session| now < session.ends);
        if state.sessions.len() >= SESSIONS_MAX {
            let oldest = state.sessions.iter().min_by_key(|(_, s)| s.ends).map(|(key, _)| *key);
            oldest.and_then(|key| state.sessions.remove(&key));
        }
        let id = Id::new(self.clock.now());
        state.sessions.insert(digest(&word), Session { id, holder, ends: now + SESSION, near });
        Ok(word)
    }
}

impl Count {
    fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// One of them was right.
    fn take_back(&mut self) {
        self.wrong = self.wrong.saturating_sub(1);
        self.until = Duration::ZERO;
    }
}

fn count<K: std::hash::Hash + Eq + Copy>(
    counts: &mut HashMap<K, Count>,
    key: K,
    now: Duration,
    pause: impl Fn(u32) -> Option<Duration>,
) {
    if counts.len() >= COUNTS_MAX && !counts.contains_key(&key) {
        let oldest = counts.iter().min_by_key(|(_, count)| count.last).map(|(key, _)| *key);
        oldest.and_then(|key| counts.remove(&key));
    }
    let count = counts.entry(key).or_default();
    if now.saturating_sub(count.last) > FORGET {
        *count = Count::default();
    }
    count.wrong += 1;
    count.last = now;
    count.until = now + pause(count.wrong).unwrap_or_default();
}

fn person_named<'p>(pack: &'p Pack, name: &str) -> Option<&'p Person> {
    let is_it = |person: &&Person| {
        person.username.to_lowercase() == name
            || !person.email.is_empty() && person.email.to_lowercase() == name
    };
    pack.people().find(is_it)
}

fn digest(word: &str) -> [u8; 32] {
    Sha256::digest(word.as_bytes()).into()
}

fn wrong() -> Fault {
    Fault::new(Kind::Unauthenticated, "bad_credentials", "The name or the password is wrong.")
}

#[cfg(test)]
mod tests;
