//! Slows guessing down without locking people out: a growing pause per account, a block per address.
//!
//! Two counts stand side by side. An *account* is counted apart at each place where its user has signed
//! in before, and once for all other places together: strangers who try an account's name close it to
//! strangers, not to its user. An *address* is counted across all names, so that one that tries many is
//! blocked; users who are known there are let through to their own count.
//!
//! What pays a failure back: a right password forgives what the same account failed at that address
//! (people mistype), and nothing else, so that somebody who owns one account cannot wipe out what was
//! tried of others from the same address. Attempts that are under way count as if they had failed
//! already: a hundred at once are no way around the count.
//!
//! IPv6 addresses are counted one by one like the others: the machines of a site share their /64, and
//! to block it would block them all.
//!
//! Everything is kept in memory on the boot clock, which nobody can set: a restart forgives, and
//! nobody outside can cause one. Names are kept as keyed hashes alone.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::fault::Fault;

/// Failures of an account that cost nothing: people mistype.
const ACCOUNT_FREE: u32 = 3;
/// How long an account is closed after each further failure, seconds; the last one stays
/// (reliability.md §2, as Kanidm does).
const ACCOUNT_PAUSES: [u64; 4] = [1, 3, 5, 10];
/// Failures within a day after which an account is closed until that day is over.
const ACCOUNT_MAX: u32 = 100;
/// Attempts of one account at one of its own places that may be under way at once.
const OWN_AT_ONCE: u32 = 8;
/// A day, from the first failure on: after so long without any, everything is forgotten.
const DAY: Duration = Duration::from_hours(24);
/// The window an address' failures are counted in (reliability.md §2, as Warpgate does).
const ADDRESS_WINDOW: Duration = Duration::from_mins(15);
/// The first block of an address from which nobody ever signed in.
const STRANGE_BLOCK: Duration = Duration::from_mins(30);
/// The first block of an address from which somebody did: a shared workstation on a Monday morning.
const KNOWN_BLOCK: Duration = Duration::from_mins(1);
/// Blocks double up to this.
const BLOCK_MAX: Duration = DAY;
/// How long one waits for an attempt of somebody else that is under way.
const SOON: Duration = Duration::from_secs(1);
/// Entries kept of each sort; beyond it the one with the fewest and oldest failures goes.
const ENTRIES_MAX: usize = 10_000;

/// Where an attempt comes from, seen from the account it is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// The address; none for the socket that only the process's owner can reach.
    pub address: Option<IpAddr>,
    /// Whether this user has signed in from there before.
    pub of_user: bool,
    /// Whether anybody has.
    pub of_anybody: bool,
}

/// What is counted of an account at one place.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    failures: u32,
    under_way: u32,
    /// Boot clock of the first failure.
    since: Duration,
    /// Boot clock until which it is closed.
    until: Duration,
}

/// What is counted of an address.
#[derive(Debug, Clone, Default)]
struct Address {
    /// Boot clock and account of each failure in the window.
    recent: Vec<(Duration, u64)>,
    under_way: usize,
    /// Blocks so far.
    blocks: u32,
    /// Boot clock of the last failure.
    last: Duration,
    /// Boot clock until which it is blocked.
    until: Duration,
}

/// The accounts are keyed by their hash and by the address they know, none for strangers.
type Accounts = HashMap<(u64, Option<IpAddr>), Account>;
type Addresses = HashMap<IpAddr, Address>;

#[derive(Debug, Default)]
struct Counts {
    accounts: Accounts,
    addresses: Addresses,
    /// Addresses that show wrong keys: apart, since a stale key in a script must not close the door
    /// to the people at the same address.
    keys: Addresses,
}

/// The counts, on the boot clock.
pub struct Throttle {
    clock: Arc<dyn Clock>,
    /// Failures of one address within the window after which it is blocked.
    address_failures: usize,
    words: RandomState,
    counts: Mutex<Counts>,
}

/// An attempt that was let in. It is over when it is dropped; one that neither failed nor succeeded
/// leaves no trace.
pub struct Knock<'t> {
    throttle: &'t Throttle,
    account: u64,
    place: Place,
}

impl Throttle {
    /// Counts on `clock`; `address_failures` (at least 1) within a quarter of an hour block an address.
    pub fn new(clock: Arc<dyn Clock>, address_failures: usize) -> Self {
        Self {
            clock,
            address_failures: address_failures.max(1),
            words: RandomState::new(),
            counts: Mutex::default(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, name: &impl Hash) -> u64 {
        self.words.hash_one(name)
    }

    /// Lets an attempt at an account in, unless the account or the address is closed. `account` is
    /// anything that names it, the same each time.
    ///
    /// # Errors
    /// `too_many_attempts` with when to try again.
    pub fn enter(&self, account: &impl Hash, place: Place) -> Result<Knock<'_>, Fault> {
        let place = Place { address: place.address.map(|a| a.to_canonical()), ..place };
        let (account, now) = (self.account(account), self.clock.since_boot());
        let mut counts = self.counts();
        let key = place.key(account);
        let found = counts.accounts.get(&key).copied().unwrap_or_default().at(now);
        let mut left = found.until.saturating_sub(now);
        let at_once =
            if place.of_user && found.failures == 0 { OWN_AT_ONCE } else { ACCOUNT_FREE + 1 };
        if found.under_way > 0 && found.failures + found.under_way >= at_once {
            left = left.max(SOON);
        }
        // Whoever is known at an address is not held up by what others do there.
        if let Some(address) = place.counted().filter(|_| !place.of_user) {
            left = left.max(self.address_left(&counts.addresses, address, now));
        }
        if !left.is_zero() {
            return Err(too_many(left));
        }
        room(&mut counts.accounts, &key, |a| (a.under_way > 0, a.failures, a.since));
        let entry = counts.accounts.entry(key).or_default();
        *entry = Account { under_way: found.under_way + 1, ..found };
        if let Some(address) = place.counted() {
            address_entry(&mut counts.addresses, address, now).under_way += 1;
        }
        Ok(Knock { throttle: self, account, place })
    }

    /// How long an address stays closed; a moment when what is under way may close it.
    fn address_left(&self, addresses: &Addresses, address: IpAddr, now: Duration) -> Duration {
        let Some(found) = addresses.get(&address) else { return Duration::ZERO };
        let left = found.until.saturating_sub(now);
        let recent = found.recent.iter().filter(|(at, _)| now < *at + ADDRESS_WINDOW).count();
        let full = found.under_way > 0 && recent + found.under_way >= self.address_failures;
        if full { left.max(SOON) } else { left }
    }

    /// Counts a failure against an address; the answer is how long it is blocked, if it just was.
    fn count(
        &self,
        addresses: &mut Addresses,
        address: IpAddr,
        what: u64,
        first: Duration,
        now: Duration,
    ) -> Option<Duration> {
        let entry = address_entry(addresses, address, now);
        // Those who are let through while it is blocked have a count of their own.
        if now < entry.until {
            return None;
        }
        entry.last = now;
        entry.recent.push((now, what));
        if entry.recent.len() < self.address_failures {
            return None;
        }
        let block = first.saturating_mul(1 << entry.blocks.min(16)).min(BLOCK_MAX);
        entry.blocks += 1;
        entry.until = now + block;
        entry.recent.clear();
        Some(block)
    }

    /// Counts a wrong key against the address that shows it.
    ///
    /// # Errors
    /// `too_many_attempts` when it has shown too many: a key of 256 bits cannot be guessed, but a
    /// machine that goes on asking with a wrong one is told to stop.
    pub fn wrong_key(&self, address: Option<IpAddr>) -> Result<(), Fault> {
        let place = Place { address: address.map(|a| a.to_canonical()), ..Place::default() };
        let Some(address) = place.counted() else { return Ok(()) };
        let now = self.clock.since_boot();
        let mut counts = self.counts();
        let left = self.address_left(&counts.keys, address, now);
        if !left.is_zero() {
            return Err(too_many(left));
        }
        self.count(&mut counts.keys, address, 0, STRANGE_BLOCK, now);
        Ok(())
    }

    /// Forgets everything about an account: an administrator has given it a new password.
    pub fn forget(&self, account: &impl Hash) {
        let account = self.account(account);
        self.counts().accounts.retain(|(of, _), _| *of != account);
    }
}

impl Knock<'_> {
    /// Whether the user has signed in from this place before.
    pub fn is_known(&self) -> bool {
        self.place.of_user
    }

    /// The attempt failed; the answer is how long its address is blocked, if it just was.
    pub fn failed(self) -> Option<Duration> {
        let now = self.throttle.clock.since_boot();
        let mut counts = self.throttle.counts();
        let account = counts.accounts.entry(self.place.key(self.account)).or_default();
        if account.failures == 0 {
            account.since = now;
        }
        account.failures += 1;
        account.until = account.closed_until(now);
        let first = if self.place.of_anybody { KNOWN_BLOCK } else { STRANGE_BLOCK };
        let address = self.place.counted()?;
        self.throttle.count(&mut counts.addresses, address, self.account, first, now)
    }

    /// The attempt succeeded: what this account failed here before is forgiven. What strangers failed
    /// stays, since this place is the user's own from now on.
    pub fn succeeded(self) {
        let mut counts = self.throttle.counts();
        if self.place.of_user
            && let Some(account) = counts.accounts.get_mut(&self.place.key(self.account))
        {
            *account = Account { under_way: account.under_way, ..Account::default() };
        }
        if let Some(address) = self.place.counted()
            && let Some(entry) = counts.addresses.get_mut(&address)
        {
            entry.recent.retain(|(_, of)| *of != self.account);
        }
    }
}

impl Drop for Knock<'_> {
    fn drop(&mut self) {
        let mut counts = self.throttle.counts();
        let key = self.place.key(self.account);
        if let Some(account) = counts.accounts.get_mut(&key) {
            account.under_way = account.under_way.saturating_sub(1);
            if account.under_way == 0 && account.failures == 0 {
                counts.accounts.remove(&key);
            }
        }
        if let Some(address) = self.place.counted()
            && let Some(entry) = counts.addresses.get_mut(&address)
        {
            entry.under_way = entry.under_way.saturating_sub(1);
            if entry.under_way == 0 && entry.recent.is_empty() && entry.blocks == 0 {
                counts.addresses.remove(&address);
            }
        }
    }
}

impl Place {
    /// The count that an attempt from here goes to.
    fn key(&self, account: u64) -> (u64, Option<IpAddr>) {
        // Nobody but the owner of the process comes without an address, so that place is its own.
        let own = self.address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        (account, self.of_user.then_some(own))
    }

    /// The address as far as it is counted: this machine's own two are not, since whoever sits at the
    /// box is not kept from it. The rest of 127/8 is counted like any other.
    fn counted(&self) -> Option<IpAddr> {
        let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        self.address.filter(|address| !own.contains(address))
    }
}

impl Account {
    /// The count as it is at `now`: a day after the first failure it begins anew.
    fn at(self, now: Duration) -> Self {
        if now >= self.since + DAY && now >= self.until {
            return Self { under_way: self.under_way, ..Self::default() };
        }
        self
    }

    fn closed_until(&self, now: Duration) -> Duration {
        if self.failures >= ACCOUNT_MAX {
            return self.since + DAY;
        }
        let Some(step) = self.failures.checked_sub(ACCOUNT_FREE + 1) else { return now };
        let pause = ACCOUNT_PAUSES.get(step as usize).or(ACCOUNT_PAUSES.last());
        now + Duration::from_secs(pause.copied().unwrap_or_default())
    }
}

/// The entry of an address, with what is over taken out of it.
fn address_entry(addresses: &mut Addresses, address: IpAddr, now: Duration) -> &mut Address {
    room(addresses, &address, |a| (a.under_way > 0, a.blocks, a.last));
    let entry = addresses.entry(address).or_default();
    if now >= entry.last.max(entry.until) + DAY {
        entry.blocks = 0;
    }
    entry.recent.retain(|(at, _)| now < *at + ADDRESS_WINDOW);
    entry
}

/// Makes room for a new key: the entry of the least weight goes, so that many names tried once do not
/// push out the one that is tried often.
fn room<K: Eq + Hash + Copy, V, W: Ord>(
    map: &mut HashMap<K, V>,
    key: &K,
    weight: impl Fn(&V) -> W,
) {
    if map.len() < ENTRIES_MAX || map.contains_key(key) {
        return;
    }
    if let Some(lightest) = map.iter().min_by_key(|(_, v)| weight(v)).map(|(k, _)| *k) {
        map.remove(&lightest);
    }
}

fn too_many(left: Duration) -> Fault {
    let seconds = left.as_millis().div_ceil(1000);
    Fault::busy(
        "too_many_attempts",
        format!("Too many failed attempts; try again in {seconds} s."),
        left,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{HeldClock, Moment};

    const LIMIT: usize = 5;

    fn throttle() -> (Throttle, Arc<HeldClock>) {
        let clock = Arc::new(HeldClock::at(Moment(0)));
        (Throttle::new(clock.clone(), LIMIT), clock)
    }

    fn strange(address: &str) -> Place {
        Place { address: address.parse().ok(), ..Place::default() }
    }

    fn own(address: &str) -> Place {
        Place { of_user: true, of_anybody: true, ..strange(address) }
    }

    /// Seconds until an attempt is let in; none when it is now.
    fn wait(throttle: &Throttle, name: &str, place: Place) -> Option<u64> {
        throttle.enter(&name, place).err().map(|f| f.retry_after.unwrap().as_secs())
    }

    fn fail(throttle: &Throttle, name: &str, place: Place) -> Option<u64> {
        throttle.enter(&name, place).unwrap().failed().map(|block| block.as_secs())
    }

    #[test]
    fn an_account_is_closed_a_little_longer_each_time_and_at_last_for_the_day() {
        let (throttle, clock) = throttle();
        let place = own("127.0.0.1");
        let began = clock.since_boot();
        let mut waits = Vec::new();
        for _ in 0..ACCOUNT_MAX {
            fail(&throttle, "anna", place);
            let wait = wait(&throttle, "anna", place).unwrap_or(0);
            waits.push(wait);
            clock.pass(Duration::from_secs(wait.min(10)));
        }
        assert_eq!(waits[..8], [0, 0, 0, 1, 3, 5, 10, 10]);
        let last = waits[ACCOUNT_MAX as usize - 1];
        let passed = clock.since_boot().checked_sub(began).unwrap().as_secs() - 10;
        assert_eq!(last + passed, DAY.as_secs());
        assert_eq!(wait(&throttle, "bert", place), None);
        clock.pass(DAY);
        assert_eq!(wait(&throttle, "anna", place), None);
        assert_eq!(fail(&throttle, "anna", place), None);
        assert_eq!(wait(&throttle, "anna", place), None, "the day began anew");
    }

    #[test]
    fn strangers_close_an_account_to_strangers_alone() {
        let (throttle, clock) = throttle();
        for n in 0..40 {
            fail(&throttle, "anna", strange(&format!("10.0.0.{n}")));
            clock.pass(Duration::from_secs(10));
        }
        fail(&throttle, "anna", strange("10.0.1.1"));
        assert_eq!(wait(&throttle, "anna", strange("10.0.1.2")), Some(10));
        let desk = own("192.168.1.7");
        assert_eq!(wait(&throttle, "anna", desk), None);
        // Signing in from the own place does not give strangers a new start.
        throttle.enter(&"anna", desk).unwrap().succeeded();
        assert_eq!(wait(&throttle, "anna", strange("10.0.1.2")), Some(10));
        throttle.forget(&"anna");
        assert_eq!(wait(&throttle, "anna", strange("10.0.1.2")), None);
    }

    #[test]
    fn an_address_that_tries_many_names_is_blocked_twice_as_long_each_time() {
        let (throttle, clock) = throttle();
        let place = strange("192.168.1.9");
        let mut blocks = Vec::new();
        for round in 0..8 {
            for n in 1..LIMIT {
                assert_eq!(fail(&throttle, &format!("{round} {n}"), place), None);
            }
            let block = fail(&throttle, &format!("{round}"), place).unwrap();
            assert_eq!(wait(&throttle, "another", place), Some(block));
            assert_eq!(wait(&throttle, "another", strange("192.168.1.10")), None);
            blocks.push(block / 60);
            clock.pass(Duration::from_secs(block));
        }
        assert_eq!(blocks, [30, 60, 120, 240, 480, 960, 1440, 1440]);
        // What is spread thin is not blocked, and a quiet day wipes the slate.
        clock.pass(DAY);
        for n in 0..LIMIT * 3 {
            let block = fail(&throttle, &format!("thin {n}"), place);
            assert_eq!(block, None);
            clock.pass(ADDRESS_WINDOW / 4);
        }
        clock.pass(ADDRESS_WINDOW);
        let again: Vec<_> = (0..LIMIT).map(|n| fail(&throttle, &format!("{n}"), place)).collect();
        assert_eq!(again.last(), Some(&Some(30 * 60)));
    }

    #[test]
    fn a_shared_workstation_is_blocked_gently_and_never_for_those_who_are_known_there() {
        let (throttle, clock) = throttle();
        let shared = Place { of_anybody: true, ..strange("192.168.1.20") };
        for n in 1..LIMIT {
            fail(&throttle, &format!("new {n}"), shared);
        }
        assert_eq!(fail(&throttle, "new", shared), Some(60));
        assert_eq!(wait(&throttle, "other", shared), Some(60));
        assert_eq!(wait(&throttle, "anna", own("192.168.1.20")), None);
        // Her slips meanwhile neither lengthen the block nor go uncounted.
        for _ in 0..4 {
            fail(&throttle, "anna", own("192.168.1.20"));
        }
        assert_eq!(wait(&throttle, "anna", own("192.168.1.20")), Some(1));
        assert_eq!(wait(&throttle, "other", shared), Some(60));
        clock.pass(Duration::from_mins(1));
        assert_eq!(wait(&throttle, "other", shared), None);
    }

    #[test]
    fn an_own_account_pays_back_its_own_slips_and_no_others() {
        let (throttle, _) = throttle();
        let place = own("10.0.0.5");
        for n in 1..LIMIT {
            fail(&throttle, &format!("victim {n}"), strange("10.0.0.5"));
        }
        // The attacker's own account signs in between, as often as it likes.
        for _ in 0..3 {
            throttle.enter(&"mallory", place).unwrap().succeeded();
        }
        assert!(fail(&throttle, "victim", strange("10.0.0.5")).is_some());
        // Whoever mistypes and then gets it right leaves nothing behind.
        let desk = own("10.0.0.6");
        for _ in 0..LIMIT {
            for _ in 0..3 {
                fail(&throttle, "anna", desk);
            }
            throttle.enter(&"anna", desk).unwrap().succeeded();
        }
        assert_eq!(wait(&throttle, "new", strange("10.0.0.6")), None);
    }

    #[test]
    fn many_at_once_are_no_way_around_the_count() {
        let (throttle, _) = throttle();
        let at_once = |name: &dyn Fn(usize) -> String, place: &dyn Fn(usize) -> Place| {
            let knocks: Vec<_> =
                (0..50).filter_map(|n| throttle.enter(&name(n), place(n)).ok()).collect();
            knocks.len()
        };
        // One account from many addresses, one address with many accounts, and the user itself.
        let from = |n: usize| strange(&format!("10.1.0.{n}"));
        assert_eq!(at_once(&|_| "anna".into(), &from), ACCOUNT_FREE as usize + 1);
        assert_eq!(at_once(&|n| format!("name {n}"), &|_| strange("10.2.0.1")), LIMIT);
        assert_eq!(at_once(&|_| "anna".into(), &|_| own("10.3.0.1")), OWN_AT_ONCE as usize);
        // What was given up leaves no trace.
        assert_eq!(wait(&throttle, "anna", strange("10.2.0.1")), None);
        assert!(throttle.counts().accounts.is_empty() && throttle.counts().addresses.is_empty());
    }

    #[test]
    fn only_this_machine_itself_is_not_blocked() {
        let (throttle, _) = throttle();
        for (address, counted) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("127.0.0.2", true),
            ("fe80::1", true),
            ("::ffff:10.7.7.7", true),
        ] {
            for n in 0..LIMIT {
                let _ = fail(&throttle, &format!("{address} {n}"), strange(address));
            }
            assert_eq!(wait(&throttle, "x", strange(address)).is_some(), counted, "{address}");
        }
        assert!(wait(&throttle, "x", strange("10.7.7.7")).is_some(), "the same address, mapped");
    }

    #[test]
    fn wrong_keys_close_an_address_to_wrong_keys_alone() {
        let (throttle, clock) = throttle();
        let address = "10.4.0.1".parse().ok();
        for _ in 0..LIMIT {
            assert!(throttle.wrong_key(address).is_ok());
        }
        assert_eq!(throttle.wrong_key(address).map_err(|f| f.code), Err("too_many_attempts"));
        assert_eq!(wait(&throttle, "anna", strange("10.4.0.1")), None);
        clock.pass(STRANGE_BLOCK);
        assert!(throttle.wrong_key(address).is_ok());
    }

    #[test]
    fn a_flood_of_names_does_not_push_out_the_one_that_is_tried_often() {
        let (throttle, _) = throttle();
        for n in 0..5 {
            fail(&throttle, "anna", strange(&format!("10.5.0.{n}")));
            if n > 2 {
                throttle.counts().accounts.values_mut().for_each(|a| a.until = Duration::ZERO);
            }
        }
        let count = |t: &Throttle| t.counts().accounts.values().map(|a| a.failures).max();
        assert_eq!(count(&throttle), Some(5));
        for n in 0..=u32::try_from(ENTRIES_MAX).unwrap() {
            let address = IpAddr::V4(Ipv4Addr::from(0x0a06_0000 + n));
            let place = Place { address: Some(address), ..Place::default() };
            fail(&throttle, &format!("flood {n}"), place);
        }
        assert_eq!(count(&throttle), Some(5));
        assert_eq!(throttle.counts().accounts.len(), ENTRIES_MAX);
        assert_eq!(throttle.counts().addresses.len(), ENTRIES_MAX);
    }
}
