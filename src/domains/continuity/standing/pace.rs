//! How fast one author may write entries: a burst, then so many a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::fault::Fault;
use crate::domains::continuity::outbox::Author;

/// Entries of one author at once: a door at the change of shifts, a program that catches up.
pub const BURST: u32 = 200;
/// Entries of one author in a second from then on.
pub const PER_SECOND: u32 = 20;
/// Authors that are counted at once; beyond it those with a whole burst left are forgotten, and when
/// there are none the one that was quiet longest.
const AUTHORS_MAX: usize = 4096;

struct Bucket {
    /// Entries that are left.
    left: f64,
    /// Boot clock when that was so.
    at: Duration,
}

impl Bucket {
    fn left(&self, now: Duration) -> f64 {
        let gained = now.saturating_sub(self.at).as_secs_f64() * f64::from(PER_SECOND);
        (self.left + gained).min(f64::from(BURST))
    }
}

/// What each author has left.
#[derive(Default)]
pub(super) struct Paces(Mutex<HashMap<Author, Bucket>>);

impl Paces {
    /// Takes one entry from what `by` has left at `now` (boot clock).
    ///
    /// # Errors
    /// `entries_too_fast`, with when the next one is taken.
    pub(super) fn take(&self, by: &Author, now: Duration) -> Result<(), Fault> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = buckets.get(by).map_or(f64::from(BURST), |bucket| bucket.left(now));
        if left < 1.0 {
            let pause = Duration::from_secs_f64((1.0 - left) / f64::from(PER_SECOND));
            let words = format!("An author may write {PER_SECOND} entries a second.");
            return Err(Fault::busy("entries_too_fast", words, pause));
        }
        if buckets.len() >= AUTHORS_MAX && !buckets.contains_key(by) {
            buckets.retain(|_, bucket| bucket.left(now) < f64::from(BURST));
            let quiet = buckets.iter().min_by_key(|(_, bucket)| bucket.at);
            if buckets.len() >= AUTHORS_MAX
                && let Some(quiet) = quiet.map(|(author, _)| author.clone())
            {
                buckets.remove(&quiet);
            }
        }
        buckets.insert(by.clone(), Bucket { left: left - 1.0, at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_has_a_burst_then_so_many_a_second_and_others_have_theirs() {
        let paces = Paces::default();
        let author = |name: &str| Author { name: name.into(), user: None, door: None };
        let (anna, now) = (author("anna"), Duration::from_secs(100));
        let taken = |now| (0..1000).take_while(|_| paces.take(&anna, now).is_ok()).count();
        assert_eq!(taken(now), 200);
        let refused = paces.take(&anna, now).unwrap_err();
        assert_eq!(refused.code, "entries_too_fast");
        assert_eq!(refused.retry_after, Some(Duration::from_millis(50)));
        assert!(paces.take(&author("bert"), now).is_ok());
        assert_eq!(taken(now + Duration::from_secs(1)), 20);
        assert_eq!(taken(now + Duration::from_hours(1)), 200);
        for n in 0..2 * AUTHORS_MAX {
            assert!(paces.take(&author(&n.to_string()), now).is_ok());
        }
        assert!(paces.0.lock().unwrap().len() <= AUTHORS_MAX);
    }
}
