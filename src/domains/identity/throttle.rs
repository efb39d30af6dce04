//! Slows guessing down: a soft lock per account, a block per address.
//!
//! Kept in memory: a restart forgives, and an attacker cannot cause restarts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::fault::Fault;

/// How long an account is closed after its n-th failure in a row, from the fourth on, seconds.
const ACCOUNT_PAUSES: [u64; 4] = [1, 3, 5, 10];
/// Failures of an account that cost nothing: people mistype.
const ACCOUNT_FREE: u32 = 3;
/// Failures in a row after which an account is closed for long.
const ACCOUNT_MAX: u32 = 100;
/// How long that is.
const ACCOUNT_CLOSED: Duration = Duration::from_hours(8);
/// Failures of one address within [`ADDRESS_WINDOW`] after which it is blocked.
const ADDRESS_FREE: u32 = 30;
/// The window an address' failures are counted in, and how long its block lasts.
const ADDRESS_WINDOW: Duration = Duration::from_mins(15);
/// Entries kept; beyond it the oldest go.
const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    failures: u32,
    /// Boot clock of the last failure.
    last: Duration,
    /// Boot clock until which it is closed.
    until: Duration,
}

/// Counts failures on the boot clock, which nobody can set.
#[derive(Debug, Default)]
pub struct Throttle {
    accounts: Mutex<HashMap<String, Count>>,
    addresses: Mutex<HashMap<IpAddr, Count>>,
}

impl Throttle {
    /// Refuses while the account or the address is closed.
    ///
    /// # Errors
    /// `too_many_attempts` with when to try again.
    pub fn check(
        &self,
        clock: &dyn Clock,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Fault> {
        let now = clock.since_boot();
        let of_account = Self::left(&self.accounts, &account.to_owned(), now);
        let of_address = address.and_then(|a| Self::left(&self.addresses, &a, now));
        match of_account.max(of_address) {
            Some(left) => Err(Fault::busy(
                "too_many_attempts",
                format!("Too many failed attempts; try again in {} s.", left.as_secs() + 1),
                left + Duration::from_secs(1),
            )),
            None => Ok(()),
        }
    }

    fn left<K: Eq + std::hash::Hash>(
        map: &Mutex<HashMap<K, Count>>,
        key: &K,
        now: Duration,
    ) -> Option<Duration> {
        let map = map.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key).and_then(|count| count.until.checked_sub(now)).filter(|left| !left.is_zero())
    }

    /// Remembers a failure.
    pub fn failed(&self, clock: &dyn Clock, account: &str, address: Option<IpAddr>) {
        let now = clock.since_boot();
        Self::count(&self.accounts, account.to_owned(), now, |count| {
            if count.failures >= ACCOUNT_MAX {
                return ACCOUNT_CLOSED;
            }
            let step = count.failures.saturating_sub(ACCOUNT_FREE) as usize;
            let pause =
                step.checked_sub(1).map(|i| ACCOUNT_PAUSES.get(i).or(ACCOUNT_PAUSES.last()));
            Duration::from_secs(pause.flatten().copied().unwrap_or(0))
        });
        if let Some(address) = address.filter(|a| !a.is_loopback()) {
            Self::count(&self.addresses, address, now, |count| {
                if count.failures >= ADDRESS_FREE { ADDRESS_WINDOW } else { Duration::ZERO }
            });
        }
    }

    fn count<K: Eq + std::hash::Hash + Clone>(
        map: &Mutex<HashMap<K, Count>>,
        key: K,
        now: Duration,
        pause: impl Fn(&Count) -> Duration,
    ) {
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= ENTRIES_MAX
            && let Some(oldest) = map.iter().min_by_key(|(_, c)| c.last).map(|(k, _)| k.clone())
        {
            map.remove(&oldest);
        }
        let count = map.entry(key).or_default();
        if now.saturating_sub(count.last) > ADDRESS_WINDOW {
            count.failures = 0;
        }
        count.failures += 1;
        count.last = now;
        count.until = now + pause(count);
    }

    /// Forgets an account's failures: it signed in.
    pub fn succeeded(&self, account: &str) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{HeldClock, Moment};

    #[test]
    fn an_account_is_closed_a_little_longer_each_time_and_opens_again() {
        let (throttle, clock) = (Throttle::default(), HeldClock::at(Moment(0)));
        for _ in 0..ACCOUNT_FREE {
            throttle.failed(&clock, "anna", None);
            assert!(throttle.check(&clock, "anna", None).is_ok());
        }
        throttle.failed(&clock, "anna", None);
        assert!(throttle.check(&clock, "anna", None).is_err());
        clock.pass(Duration::from_secs(1));
        assert!(throttle.check(&clock, "anna", None).is_ok());
        throttle.failed(&clock, "anna", None);
        clock.pass(Duration::from_secs(1));
        assert!(throttle.check(&clock, "anna", None).is_err());
        assert!(throttle.check(&clock, "bert", None).is_ok());
        throttle.succeeded("anna");
        assert!(throttle.check(&clock, "anna", None).is_ok());
    }

    #[test]
    fn an_address_that_tries_many_names_is_blocked() {
        let (throttle, clock) = (Throttle::default(), HeldClock::at(Moment(0)));
        let address = "192.168.1.9".parse().ok();
        for n in 0..ADDRESS_FREE {
            throttle.failed(&clock, &format!("user{n}"), address);
        }
        assert!(throttle.check(&clock, "another", address).is_err());
        clock.pass(ADDRESS_WINDOW + Duration::from_secs(1));
        assert!(throttle.check(&clock, "another", address).is_ok());
    }
}
