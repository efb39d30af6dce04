//! How the history is kept: rows, their index by user and their exact weight move together, and what is
//! too old or too much goes, the oldest first.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{History, HistorySettings};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::assistant::records::talk::{EVENTS, EVENTS_HELD, EVENTS_OF, Event, Held};
use crate::store::key::Key;
use crate::store::{Reader, Record, Tx, View, all, meta, under};

/// Events that one write throws away at most, so that nobody waits long behind it.
pub const AT_ONCE: usize = 2_000;
/// The part of the history that goes when it weighs too much: one tenth (assistant.md §3.6).
const TENTH: u64 = 10;
/// Bytes of an event's key.
const KEY_BYTES: u64 = 8;

/// Puts an event behind all others; its number was never given before.
pub(super) fn put(tx: &mut Tx<'_>, event: &Event) -> Result<u64, Fault> {
    let mut held = tx.get(&EVENTS_HELD, &())?.unwrap_or_default();
    held.last += 1;
    held.count += 1;
    held.bytes += weight(&event.encode()?);
    tx.put(&EVENTS, &held.last, event)?;
    if let Some(user) = event.user {
        tx.put(&EVENTS_OF, &(user, held.last), &())?;
    }
    tx.put(&EVENTS_HELD, &(), &held)?;
    Ok(held.last)
}

fn weight(row: &[u8]) -> u64 {
    KEY_BYTES + row.len() as u64
}

/// Takes events of these numbers out; the answer is how many there were.
fn remove(tx: &mut Tx<'_>, numbers: &[u64]) -> Result<u64, Fault> {
    let mut held = tx.get(&EVENTS_HELD, &())?.unwrap_or_default();
    let mut removed = 0;
    for number in numbers {
        let Some(row) = tx.raw_get(EVENTS.name, &number.bytes())? else { continue };
        // A row that cannot be read goes too; its place in the index shows nothing then.
        if let Ok(Event { user: Some(user), .. }) = Event::decode(&row) {
            tx.remove(&EVENTS_OF, &(user, *number))?;
        }
        tx.remove(&EVENTS, number)?;
        held.count = held.count.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(weight(&row));
        removed += 1;
    }
    tx.put(&EVENTS_HELD, &(), &held)?;
    Ok(removed)
}

/// Takes the oldest events out, [`AT_ONCE`] at most, as long as `goes` says so of each.
pub(super) fn remove_oldest(
    tx: &mut Tx<'_>,
    most: usize,
    mut goes: impl FnMut(u64, &Event) -> bool,
) -> Result<u64, Fault> {
    let mut numbers = Vec::new();
    tx.raw_each(EVENTS.name, &all(), false, &mut |key, row| {
        let number = crate::store::table::read_key(key)?;
        let stays = Event::decode(row).is_ok_and(|event| !goes(number, &event));
        if stays || numbers.len() >= most.min(AT_ONCE) {
            return Ok(ControlFlow::Break(()));
        }
        numbers.push(number);
        Ok(ControlFlow::Continue(()))
    })?;
    remove(tx, &numbers)
}

/// Takes a user's oldest events out up to a number, `most` at most.
pub(super) fn remove_of(tx: &mut Tx<'_>, user: Id, until: u64, most: usize) -> Result<u64, Fault> {
    let mut numbers = Vec::new();
    tx.each(&EVENTS_OF, &under(&user), |(_, number), ()| {
        if number > until || numbers.len() >= most {
            return Ok(ControlFlow::Break(()));
        }
        numbers.push(number);
        Ok(ControlFlow::Continue(()))
    })?;
    remove(tx, &numbers)
}

/// How many events a user has.
pub(super) fn count_of(reader: &impl Reader, user: Id) -> Result<u64, Fault> {
    let mut count = 0;
    reader.raw_each(EVENTS_OF.name, &under(&user), false, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

impl HistorySettings {
    fn bytes_max(&self) -> u64 {
        self.max_mib << 20
    }

    /// Whether so much is more than the history may weigh.
    pub(super) fn is_over(&self, held: &Held) -> bool {
        held.bytes > self.bytes_max()
    }

    /// What is from before this moment is too old.
    fn floor(&self, now: Moment) -> Moment {
        let days = Duration::from_hours(24 * u64::from(self.days));
        Moment(now.0.saturating_sub(i64::try_from(days.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Whether the wall clock is in doubt: then nothing is too old until a person has settled it.
fn is_in_doubt(view: &View) -> Result<bool, Fault> {
    let kept = view.list(&meta::CLOCKS, &all(), usize::MAX)?;
    Ok(kept.iter().any(|(_, kept)| kept.doubt.is_some()))
}

impl History {
    /// Throws away what is too old, and the oldest tenth as often as there is too much; in writes of
    /// [`AT_ONCE`] events, until `enough`. The answer is how many went.
    ///
    /// # Errors
    /// What the store says.
    pub fn purge(&self, enough: impl Fn() -> bool) -> Result<u64, Fault> {
        let mut gone = 0;
        let in_doubt = self.store.read(is_in_doubt)?;
        while !in_doubt && !enough() {
            let settings = self.settings.clone();
            let removed = self.store.write_freeing(move |tx| {
                let floor = settings.floor(tx.now());
                remove_oldest(tx, AT_ONCE, |_, event| event.at < floor)
            })?;
            gone += removed;
            if removed < AT_ONCE as u64 {
                break;
            }
        }
        while let Some(until) = self.goes_until()?
            && !enough()
        {
            gone += self.remove_until(until, &enough)?;
        }
        if gone > 0 {
            tracing::info!(events = gone, "the oldest of the history went");
        }
        Ok(gone)
    }

    /// The number up to which the oldest tenth goes; none when there is not too much.
    fn goes_until(&self) -> Result<Option<u64>, Fault> {
        self.store.read(|view| {
            let held = view.get(&EVENTS_HELD, &())?.unwrap_or_default();
            if !self.settings.is_over(&held) || held.count == 0 {
                return Ok(None);
            }
            let (mut left, mut until) = (held.count.div_ceil(TENTH), 0);
            view.raw_each(EVENTS.name, &all(), false, &mut |key, _| {
                until = crate::store::table::read_key(key)?;
                left -= 1;
                Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            Ok(Some(until))
        })
    }

    fn remove_until(&self, until: u64, enough: &impl Fn() -> bool) -> Result<u64, Fault> {
        let mut gone = 0;
        while !enough() {
            let removed = self
                .store
                .write_freeing(move |tx| remove_oldest(tx, AT_ONCE, |number, _| number <= until))?;
            gone += removed;
            if removed == 0 {
                break;
            }
        }
        Ok(gone)
    }
}
