//! Wrong keys are answered late: each further one from the same address waits longer.
//!
//! A right key is answered at once whatever others at its address tried: programs of one machine share
//! an address. Nothing blocks meanwhile; who waits is counted, per address and in all, and whoever comes
//! when too many wait is told to come back. That one is told at once:
//! waiting is what there is too much of, and to learn sooner that one key of 2^256 is wrong helps nobody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::fault::Fault;

/// How late the first wrong key is answered; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(250);
/// No answer is later than that.
const LATEST: Duration = Duration::from_secs(4);
/// After so long without a wrong key an address begins anew.
const FORGIVEN: Duration = Duration::from_mins(15);
/// Answers that one address may be waiting for.
const WAITING_MAX: u32 = 8;
/// Answers that all addresses together may be waiting for.
const WAITING_ALL_MAX: u32 = 256;
/// Addresses that are remembered; beyond it the one that was quiet longest goes.
const ADDRESSES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    wrong: u32,
    waiting: u32,
    /// Boot clock of the last wrong key.
    last: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    /// None stands for whoever comes without an address: the owner's own socket.
    addresses: HashMap<Option<IpAddr>, Count>,
    waiting: u32,
}

/// The counts, on the boot clock. Clones share them.
#[derive(Clone)]
pub struct Delays {
    clock: Arc<dyn Clock>,
    counts: Arc<Mutex<Counts>>,
}

/// A late answer: it waits as long as this says, and counts until it is dropped.
pub struct Late {
    delays: Delays,
    address: Option<IpAddr>,
    pause: Duration,
}

impl Delays {
    /// Nobody has tried anything yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counts: Arc::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a wrong key; the answer says how late it is to be refused.
    ///
    /// # Errors
    /// `too_many_attempts` when too many wait already.
    pub fn wrong(&self, address: Option<IpAddr>) -> Result<Late, Fault> {
        let address = address.map(|address| address.to_canonical());
        let now = self.clock.since_boot();
        let mut counts = self.counts();
        let known = counts.addresses.get(&address).copied().unwrap_or_default();
        let known = if now > known.last + FORGIVEN { Count { wrong: 0, ..known } } else { known };
        let pause = FIRST.saturating_mul(1 << known.wrong.min(16)).min(LATEST);
        if known.waiting >= WAITING_MAX || counts.waiting >= WAITING_ALL_MAX {
            return Err(Fault::busy(
                "too_many_attempts",
                "Too many wrong keys are being refused; try again later.",
                pause,
            ));
        }
        make_room(&mut counts.addresses, address);
        let count =
            Count { wrong: known.wrong.saturating_add(1), waiting: known.waiting + 1, last: now };
        counts.addresses.insert(address, count);
        counts.waiting += 1;
        Ok(Late { delays: self.clone(), address, pause })
    }
}

impl Late {
    /// How long to wait.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Waits, without holding a thread.
    pub async fn wait(self) {
        tokio::time::sleep(self.pause).await;
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let mut counts = self.delays.counts();
        counts.waiting = counts.waiting.saturating_sub(1);
        if let Some(count) = counts.addresses.get_mut(&self.address) {
            count.waiting = count.waiting.saturating_sub(1);
        }
    }
}

/// Makes room for one more address. Those that wait stay: their number is bounded by itself.
fn make_room(addresses: &mut HashMap<Option<IpAddr>, Count>, new: Option<IpAddr>) {
    if addresses.len() < ADDRESSES_MAX || addresses.contains_key(&new) {
        return;
    }
    let quiet = addresses.iter().filter(|(_, count)| count.waiting == 0);
    if let Some(gone) = quiet.min_by_key(|(_, count)| count.last).map(|(address, _)| *address) {
        addresses.remove(&gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{HeldClock, Moment};

    fn delays() -> (Delays, Arc<HeldClock>) {
        let clock = Arc::new(HeldClock::at(Moment(0)));
        (Delays::new(clock.clone()), clock)
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn each_wrong_key_waits_longer_until_it_is_forgiven() {
        let (delays, clock) = delays();
        let pause = |address| delays.wrong(address).unwrap().pause().as_millis();
        let pauses: Vec<_> = (0..7).map(|_| pause(Some(at(1)))).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(pause(Some(at(2))), 250, "another address");
        let mapped = "::ffff:10.0.0.1".parse().ok();
        assert_eq!(pause(mapped), 4000, "the same address in other clothes");
        clock.pass(FORGIVEN + Duration::from_secs(1));
        assert_eq!(pause(Some(at(1))), 250);
    }

    #[test]
    fn no_more_than_a_few_wait_and_whoever_leaves_makes_room() {
        let (delays, _) = delays();
        let mut held: Vec<_> = (0..8).map(|_| delays.wrong(Some(at(1))).unwrap()).collect();
        let refused = delays.wrong(Some(at(1))).err().unwrap();
        assert_eq!((refused.code, refused.retry_after), ("too_many_attempts", Some(LATEST)));
        assert!(delays.wrong(Some(at(2))).is_ok());
        held.pop();
        assert!(delays.wrong(Some(at(1))).is_ok());
        let all: Vec<_> = (0..32u8)
            .flat_map(|n| std::iter::repeat_n(n + 10, 8))
            .filter_map(|n| delays.wrong(Some(at(n))).ok())
            .collect();
        assert_eq!(all.len() + held.len(), 256);
        assert!(delays.wrong(Some(at(99))).is_err(), "all together");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (delays, clock) = delays();
        for n in 0..5000u32 {
            clock.pass(Duration::from_millis(1));
            drop(delays.wrong(Some(IpAddr::from(n.to_be_bytes()))).unwrap());
        }
        assert_eq!(delays.counts().addresses.len(), ADDRESSES_MAX);
        assert_eq!(delays.counts().waiting, 0);
    }
}
