//! Counts wrong words (codes, personal codes) by where they come from, so that guessing takes too long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::fault::Fault;

/// How many wrong words a window bears.
const WRONG_MAX: u32 = 10;
/// How long a window is, from its first wrong word on.
const WINDOW: Duration = Duration::from_mins(15);
/// How many places are counted at once; the oldest window gives way.
const PLACES_MAX: usize = 4096;

/// Wrong words by place. What a place is says whoever counts: an address, a person.
pub(super) struct Slow {
    clock: Arc<dyn Clock>,
    counts: Mutex<BTreeMap<String, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    began: Duration,
    wrong: u32,
}

impl Slow {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counts: Mutex::default() }
    }

    /// Lets a word be tried.
    ///
    /// # Errors
    /// `too_many_attempts` until the window of that place is over.
    pub(super) fn enter(&self, place: &str) -> Result<(), Fault> {
        let now = self.clock.since_boot();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = counts.get(place).filter(|window| window.wrong >= WRONG_MAX) else {
            return Ok(());
        };
        let left = (window.began + WINDOW).saturating_sub(now);
        if left.is_zero() {
            return Ok(());
        }
        let message = "Too many wrong codes; wait before the next one.";
        Err(Fault::busy("too_many_attempts", message, left))
    }

    /// Counts a wrong word; whether it is still worth a line in the journal.
    pub(super) fn wrong(&self, place: &str) -> bool {
        let now = self.clock.since_boot();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, window| now.saturating_sub(window.began) < WINDOW);
        if counts.len() >= PLACES_MAX && !counts.contains_key(place) {
            let oldest = counts.iter().min_by_key(|(_, window)| window.began);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                counts.remove(&oldest);
            }
        }
        let window = counts.entry(place.to_owned()).or_insert(Window { began: now, wrong: 0 });
        window.wrong = window.wrong.saturating_add(1);
        window.wrong <= WRONG_MAX
    }

    /// A right word: what was wrong before is forgotten.
    pub(super) fn right(&self, place: &str) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{HeldClock, Moment};

    #[test]
    fn a_place_that_guesses_has_to_wait_and_others_have_not() {
        let clock = Arc::new(HeldClock::at(Moment(0)));
        let slow = Slow::new(clock.clone());
        for _ in 0..WRONG_MAX {
            assert!(slow.enter("a").is_ok());
            assert!(slow.wrong("a"));
        }
        assert!(!slow.wrong("a"));
        assert_eq!(slow.enter("a").map_err(|fault| fault.code), Err("too_many_attempts"));
        assert!(slow.enter("b").is_ok());
        // A clock that is set does not open the door.
        clock.set_wall(Moment(1 << 40));
        assert!(slow.enter("a").is_err());
        clock.pass(WINDOW);
        assert!(slow.enter("a").is_ok());
    }

    #[test]
    fn a_right_word_clears_the_count() {
        let slow = Slow::new(Arc::new(HeldClock::at(Moment(0))));
        for _ in 0..9 {
            slow.wrong("a");
        }
        slow.right("a");
        slow.wrong("a");
        assert!(slow.enter("a").is_ok());
    }
}
