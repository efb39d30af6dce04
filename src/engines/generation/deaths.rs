//! How often children died of late, and what follows of it.

use std::time::{Duration, Instant};

/// A model whose loading killed this many children ...
const LOADING_MAX: usize = 2;
/// ... within this time is refused for a while.
const LOADING_WITHIN: Duration = Duration::from_mins(1);
/// When this many children died, whatever they were doing, ...
const DEATHS_MAX: usize = 3;
/// ... within this time, none is started for a while.
const DEATHS_WITHIN: Duration = Duration::from_mins(5);
/// How long none is started: longer each time it does not help.
const PAUSES: [Duration; 3] =
    [Duration::from_mins(1), Duration::from_mins(2), Duration::from_mins(5)];

/// The unexpected deaths of one model's children.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    loading: Vec<Instant>,
    all: Vec<Instant>,
    /// Pauses in a row.
    pauses: usize,
    paused_until: Option<Instant>,
}

impl Deaths {
    /// One more child died; whether its model is to be refused, since it cannot be loaded.
    pub fn count(&mut self, now: Instant, loaded: bool) -> bool {
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.paused_until.is_some_and(|until| since(until) >= DEATHS_WITHIN) {
            // It went well for long enough behind the last pause.
            (self.pauses, self.paused_until) = (0, None);
        }
        self.all.retain(|death| since(*death) < DEATHS_WITHIN);
        self.all.push(now);
        if self.all.len() >= DEATHS_MAX || self.pauses > 0 {
            let pause = PAUSES.get(self.pauses).or(PAUSES.last()).copied().unwrap_or_default();
            self.paused_until = Some(now + pause);
            self.pauses += 1;
            self.all.clear();
        }
        if loaded {
            return false;
        }
        self.loading.retain(|death| since(*death) < LOADING_WITHIN);
        self.loading.push(now);
        let refused = self.loading.len() >= LOADING_MAX;
        if refused {
            self.loading.clear();
        }
        refused
    }

    /// How long no child is to be started yet; none when one may be.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(now);
        Some(left).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deaths_while_loading_refuse_a_model() {
        let begun = Instant::now();
        let mut deaths = Deaths::default();
        assert!(!deaths.count(begun, true) && !deaths.count(begun, true));
        let mut deaths = Deaths::default();
        assert!(!deaths.count(begun, false));
        assert!(!deaths.count(begun + LOADING_WITHIN, false), "too long ago");
        assert!(deaths.count(begun + LOADING_WITHIN, false));
        assert!(!deaths.count(begun + LOADING_WITHIN, false), "it takes two again");
    }

    #[test]
    fn pauses_grow_and_are_forgotten() {
        let mut now = Instant::now();
        let mut deaths = Deaths::default();
        deaths.count(now, true);
        deaths.count(now, true);
        assert_eq!(deaths.pause(now), None);
        deaths.count(now, true);
        for pause in [PAUSES[0], PAUSES[1], PAUSES[2], PAUSES[2]] {
            assert_eq!(deaths.pause(now), Some(pause));
            now += pause;
            assert_eq!(deaths.pause(now), None, "one more may try");
            deaths.count(now, true);
        }
        now += PAUSES[2] + DEATHS_WITHIN;
        deaths.count(now, true);
        assert_eq!(deaths.pause(now), None, "it went well for long enough");
    }
}
