//! How many requests there were, by hour, route, method and status, and how long they took.
//!
//! Counted in memory without an allocation (but for the first of a sort) and written down each minute and
//! at closing. A request belongs to the hour in which it is written down: at most a minute late.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::Activity;
use super::records::{REQUESTS, RequestKey, Tally};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::store::key::Key;
use crate::store::{Reader, from};
use crate::web::meters::Observer;

/// Endpoints of the answer, most asked first.
pub const ENDPOINTS_SHOWN: usize = 20;
/// The longest span that is added up, days.
pub const DAYS_MAX: u64 = 3_660;
/// Sorts of requests counted at once. Routes are declared and methods few, so this is never reached but by
/// a box that has thousands of routes.
const SORTS_MAX: usize = 20_000;
/// The route of a request that matched none.
const NO_ROUTE: &str = "none";
/// Routes that say nothing of the work done: watchdogs, counters, and the pages' own files.
const SKIPPED: [&str; 5] = ["/health", "/favicon.ico", "/metrics", "/ui", "/docs/"];
/// Methods that are told apart; clients may invent others, which share one row.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The counts that are not written down yet.
#[derive(Default)]
pub struct Counting(RwLock<HashMap<String, Vec<Cell>>>);

struct Cell {
    method: &'static str,
    status: u16,
    count: AtomicU64,
    micros: AtomicU64,
}

impl Cell {
    fn add(&self, count: u64, micros: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Observer for Counting {
    fn saw(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        let route = route.unwrap_or(NO_ROUTE);
        if SKIPPED.iter().any(|skipped| route.starts_with(skipped)) {
            return;
        }
        let method = METHODS.iter().find(|known| **known == method).copied().unwrap_or("other");
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.add(route, method, status, 1, micros);
    }
}

impl Counting {
    fn add(&self, route: &str, method: &'static str, status: u16, count: u64, micros: u64) {
        let of = |cells: &Vec<Cell>| {
            let cell = cells.iter().find(|cell| cell.status == status && cell.method == method);
            cell.map(|cell| cell.add(count, micros)).is_some()
        };
        if self.0.read().unwrap_or_else(PoisonError::into_inner).get(route).is_some_and(of) {
            return;
        }
        let mut sorts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if sorts.get(route).is_some_and(of)
            || sorts.values().map(Vec::len).sum::<usize>() >= SORTS_MAX
        {
            return;
        }
        let cell = Cell { method, status, count: count.into(), micros: micros.into() };
        sorts.entry(route.to_owned()).or_default().push(cell);
    }

    /// Every sort of request counted since the last taking; `take` begins anew.
    fn rows(&self, take: bool) -> Vec<(String, &'static str, u16, Tally)> {
        let sorts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let read = |number: &AtomicU64| {
            if take { number.swap(0, Ordering::Relaxed) } else { number.load(Ordering::Relaxed) }
        };
        sorts
            .iter()
            .flat_map(|(route, cells)| cells.iter().map(move |cell| (route, cell)))
            .map(|(route, cell)| {
                let tally = Tally { count: read(&cell.count), micros: read(&cell.micros) };
                (route.clone(), cell.method, cell.status, tally)
            })
            .filter(|(.., tally)| tally.count > 0)
            .collect()
    }
}

/// Requests added up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// Requests by route, most asked first, [`ENDPOINTS_SHOWN`] at most.
    pub endpoints: Vec<(String, u64)>,
    /// Requests by status, most frequent first.
    pub statuses: Vec<(u16, u64)>,
    /// The mean time until an answer began, milliseconds.
    pub mean_ms: f64,
}

fn hour_of(moment: Moment) -> Moment {
    Moment(moment.0 - moment.0.rem_euclid(3_600_000))
}

fn days_before(moment: Moment, days: u64) -> Moment {
    let millis = i64::try_from(days.min(DAYS_MAX)).unwrap_or(0) * 86_400_000;
    Moment(moment.0.saturating_sub(millis))
}

impl Activity {
    /// Adds up the requests of the last `days`, those of this minute included.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn traffic(&self, caller: &Caller, days: u64) -> Result<Traffic, Fault> {
        caller.require(Right::AdminAccess)?;
        let mut endpoints = BTreeMap::<String, u64>::new();
        let mut statuses = BTreeMap::<u16, u64>::new();
        let (mut count, mut micros) = (0u64, 0u64);
        let mut add = |route: &str, status: u16, tally: Tally| {
            count += tally.count;
            micros = micros.saturating_add(tally.micros);
            *statuses.entry(status).or_default() += tally.count;
            match endpoints.get_mut(route) {
                Some(sum) => *sum += tally.count,
                None => drop(endpoints.insert(route.to_owned(), tally.count)),
            }
        };
        for (route, _, status, tally) in self.desk.counting.rows(false) {
            add(&route, status, tally);
        }
        let first = hour_of(days_before(self.clock.now(), days));
        self.store.read(|view| {
            view.each(&REQUESTS, &from(&first), |(_, route, (_, status)), tally| {
                add(&route, u16::try_from(status).unwrap_or(0), tally);
                Ok(ControlFlow::Continue(()))
            })
        })?;
        let mut endpoints: Vec<_> = endpoints.into_iter().collect();
        endpoints.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        endpoints.truncate(ENDPOINTS_SHOWN);
        let mut statuses: Vec<_> = statuses.into_iter().collect();
        statuses.sort_by_key(|&(status, count)| (std::cmp::Reverse(count), status));
        let mean_ms = if count == 0 { 0.0 } else { micros as f64 / count as f64 / 1e3 };
        Ok(Traffic { endpoints, statuses, mean_ms })
    }

    /// Writes the counts down, and forgets those that are older than they are kept.
    ///
    /// # Errors
    /// What the store says; a disk that is full loses nothing, the counts wait.
    pub fn flush_requests(&self) -> Result<(), Fault> {
        let rows = self.desk.counting.rows(true);
        let now = self.clock.now();
        let (hour, oldest) = (hour_of(now), hour_of(days_before(now, self.settings.request_days)));
        let kept = rows.clone();
        let outcome = self.store.write(move |tx| {
            for (route, method, status, tally) in kept {
                let key: RequestKey = (hour, route, (method.to_owned(), u32::from(status)));
                let before = tx.get(&REQUESTS, &key)?.unwrap_or_default();
                let sum = Tally {
                    count: before.count + tally.count,
                    micros: before.micros.saturating_add(tally.micros),
                };
                tx.put(&REQUESTS, &key, &sum)?;
            }
            tx.remove_span(&REQUESTS, &(Vec::new(), Some(oldest.bytes())))
        });
        match outcome {
            Ok(_) => Ok(()),
            Err(fault) => {
                for (route, method, status, tally) in rows {
                    self.desk.counting.add(&route, method, status, tally.count, tally.micros);
                }
                if fault.kind == Kind::Full { Ok(()) } else { Err(fault) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_are_counted_apart_and_taken_once() {
        let counting = Counting::default();
        let ms = Duration::from_millis;
        for _ in 0..3 {
            counting.saw(Some("/a/{id}"), "GET", 200, ms(2));
        }
        counting.saw(Some("/a/{id}"), "GET", 404, ms(1));
        counting.saw(None, "BREW", 405, ms(1));
        for skipped in ["/health", "/health/detail", "/ui/{*path}", "/metrics"] {
            counting.saw(Some(skipped), "GET", 200, ms(1));
        }
        let mut rows = counting.rows(true);
        rows.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
        let seen: Vec<_> =
            rows.iter().map(|(r, m, s, t)| (r.as_str(), *m, *s, t.count, t.micros)).collect();
        assert_eq!(
            seen,
            [
                ("/a/{id}", "GET", 200, 3, 6_000),
                ("/a/{id}", "GET", 404, 1, 1_000),
                ("none", "other", 405, 1, 1_000)
            ]
        );
        assert!(counting.rows(true).is_empty());
    }
}
