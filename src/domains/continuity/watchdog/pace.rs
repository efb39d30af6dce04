//! When something that ended is started again: pauses that double, and a cap per window.

use std::collections::VecDeque;
use std::time::Duration;

/// Doublings after which a pause has long met its maximum.
const DOUBLINGS_MAX: u32 = 30;

/// The pace of starts. Times are since boot, so that a wall that is set changes nothing.
#[derive(Debug, Clone)]
pub struct Pace {
    pause: Duration,
    pause_max: Duration,
    starts_max: usize,
    window: Duration,
    failures: u32,
    starts: VecDeque<Duration>,
}

/// When a start is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, since boot.
    pub at: Duration,
    /// Whether it is the cap that makes it wait, not the pause alone.
    pub resting: bool,
}

impl Pace {
    /// A first pause, the longest one, and at most `starts` within `window`; at least one.
    pub fn new(pause: Duration, pause_max: Duration, starts: u32, window: Duration) -> Self {
        Self {
            pause,
            pause_max: pause_max.max(pause),
            starts_max: usize::try_from(starts).unwrap_or(usize::MAX).max(1),
            window,
            failures: 0,
            starts: VecDeque::new(),
        }
    }

    /// A start is made.
    pub fn started(&mut self, now: Duration) {
        self.forget(now);
        self.starts.push_back(now);
    }

    /// It ended in a failure.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// It has been well for a while: the next failure is the first again. The cap still counts.
    pub fn well(&mut self) {
        self.failures = 0;
    }

    /// When the next start is due.
    pub fn next(&mut self, now: Duration) -> Due {
        self.forget(now);
        let doublings = self.failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let pause = match self.failures {
            0 => Duration::ZERO,
            _ => self.pause.saturating_mul(1 << doublings).min(self.pause_max),
        };
        let paused = now.saturating_add(pause);
        // The start that has to leave the window before there is room for one more.
        let first = self.starts.len().checked_sub(self.starts_max);
        let oldest = first.and_then(|at| self.starts.get(at));
        let room = oldest.map_or(paused, |at| at.saturating_add(self.window));
        Due { at: paused.max(room), resting: room > paused }
    }

    /// Starts within the window.
    pub fn in_window(&mut self, now: Duration) -> u32 {
        self.forget(now);
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    fn forget(&mut self, now: Duration) {
        let past = |at: &Duration| at.saturating_add(self.window) <= now;
        while self.starts.front().is_some_and(past) {
            self.starts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, HeldClock, Moment};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn pauses_double_up_to_their_maximum_and_begin_anew_when_it_was_well() {
        let mut pace = Pace::new(MS(500), MS(60_000), 1000, MS(1_000_000));
        assert_eq!(pace.next(MS(7)), Due { at: MS(7), resting: false }, "the first is at once");
        let table = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
        for pause in table {
            pace.failed();
            assert_eq!(pace.next(MS(7)), Due { at: MS(7 + pause), resting: false });
        }
        for _ in 0..100 {
            pace.failed();
        }
        assert_eq!(pace.next(MS(7)).at, MS(60_007));
        pace.well();
        pace.failed();
        assert_eq!(pace.next(MS(7)).at, MS(507));
    }

    #[test]
    fn the_cap_waits_for_the_window_to_pass() {
        let clock = HeldClock::at(Moment(0));
        let began = clock.since_boot();
        let mut pace = Pace::new(MS(100), MS(400), 3, MS(10_000));
        for _ in 0..3 {
            let due = pace.next(clock.since_boot());
            assert!(!due.resting);
            clock.pass(due.at.saturating_sub(clock.since_boot()));
            pace.started(clock.since_boot());
            pace.failed();
        }
        // Starts at 0, 100 and 300 ms: the first leaves the window 10 s after it was made.
        assert_eq!(pace.next(clock.since_boot()), Due { at: began + MS(10_000), resting: true });
        assert_eq!(pace.in_window(clock.since_boot()), 3);
        clock.pass(MS(9_700));
        assert_eq!(pace.in_window(clock.since_boot()), 2);
        let due = pace.next(clock.since_boot());
        assert_eq!((due.resting, due.at), (false, clock.since_boot() + MS(400)));
        // A set wall changes nothing.
        clock.set_wall(Moment(-5));
        assert_eq!(pace.next(clock.since_boot()), due);
    }

    #[test]
    fn settings_that_make_no_sense_still_start_something() {
        let mut pace = Pace::new(MS(500), MS(0), 0, MS(0));
        pace.started(MS(1));
        pace.failed();
        assert_eq!(pace.next(MS(1)), Due { at: MS(501), resting: false });
        let mut pace = Pace::new(Duration::MAX, Duration::MAX, u32::MAX, Duration::MAX);
        pace.started(MS(1));
        pace.failed();
        assert_eq!(pace.next(MS(1)).at, Duration::MAX);
    }
}
