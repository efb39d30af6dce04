//! How much strangers may make the box write: without a measure they could fill the disk, and bury the
//! journal under their failures.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Links that strangers may cause at once.
const AT_ONCE: u64 = 60;
/// How long it takes until they may cause one more.
const ONE_MORE: Duration = Duration::from_secs(1);

/// A measure of links on the boot clock, and what was left out beyond it.
#[derive(Debug, Default)]
pub(super) struct Ration(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: u64,
    /// Boot clock at which `taken` was right.
    at: Duration,
    left_out: u64,
}

impl Ration {
    /// Takes one link: none when it is to be left out, else how many were left out before it.
    pub(super) fn take(&self, now: Duration) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let back = now.saturating_sub(state.at).as_millis() / ONE_MORE.as_millis();
        let back = u64::try_from(back).unwrap_or(u64::MAX);
        if back > 0 {
            state.taken = state.taken.saturating_sub(back);
            state.at = now;
        }
        if state.taken >= AT_ONCE {
            state.left_out += 1;
            return None;
        }
        state.taken += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_measure_links_are_counted_and_told_with_the_next() {
        let ration = Ration::default();
        let second = Duration::from_secs(1);
        assert!((0..AT_ONCE).all(|_| ration.take(second) == Some(0)));
        assert!((0..5).all(|_| ration.take(second).is_none()));
        assert_eq!(ration.take(second * 2), Some(5));
        assert!(ration.take(second * 2).is_none());
        assert_eq!(ration.take(second * 1000), Some(1));
    }
}
