//! Places at the answers' desk: so many answers at once, and so many of one person, that the box's other verbs never wait for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::caller::{Caller, Who};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::web::run::VERBS_AT_ONCE;

/// The most places, whatever the settings say: half of the box's verbs stay free.
const PLACES_MAX: usize = VERBS_AT_ONCE / 2;
/// When who found no place should come back.
const COME_BACK: Duration = Duration::from_secs(5);

/// The places. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Places {
    all: usize,
    each: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of users and machines; the box and its console share only what all share.
    each: BTreeMap<Id, usize>,
}

/// A place that is taken; dropped, it is free.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    whose: Option<Id>,
}

impl Places {
    /// `all` places, `each` of one user or machine; at least one of both.
    pub(super) fn new(all: usize, each: usize) -> Self {
        let all = all.clamp(1, PLACES_MAX);
        Self { all, each: each.max(1), taken: Arc::default() }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// `queue_full` when there is none.
    pub(super) fn take(&self, caller: &Caller) -> Result<Place, Fault> {
        let whose = match caller.who {
            Who::User { id, .. } | Who::Machine { id, .. } => Some(id),
            _ => None,
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = whose.and_then(|id| taken.each.get(&id).copied()).unwrap_or_default();
        if taken.all >= self.all || own >= self.each {
            let words = "Too many questions are being answered; ask again in a moment.";
            return Err(Fault::busy("queue_full", words, COME_BACK));
        }
        taken.all += 1;
        if let Some(id) = whose {
            taken.each.insert(id, own + 1);
        }
        Ok(Place { taken: self.taken.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let Some(id) = self.whose else { return };
        let left = taken.each.get(&id).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            taken.each.remove(&id);
        } else {
            taken.each.insert(id, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Moment;

    fn user(number: i64) -> Caller {
        let who = Who::User { id: Id::new(Moment(number)), name: "anna".into() };
        Caller { who, ..Caller::nobody(None, "r") }
    }

    #[test]
    fn one_person_takes_so_many_places_and_all_take_no_more_than_there_are() {
        let places = Places::new(3, 2);
        let (anna, bert) = (user(1), user(2));
        let first = places.take(&anna).unwrap();
        let _second = places.take(&anna).unwrap();
        assert_eq!(places.take(&anna).unwrap_err().code, "queue_full");
        let _third = places.take(&bert).unwrap();
        assert!(places.take(&bert).unwrap_err().retry_after.is_some());
        drop(first);
        assert!(places.take(&anna).is_ok());
    }
}
