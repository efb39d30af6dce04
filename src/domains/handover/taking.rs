//! Taking: each entry once, in its order, in the same write as what it becomes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde::Serialize;

use super::records::{ARRIVALS, ARRIVALS_IN_ORDER, Arrived, OPEN, Outcome, REPORTS, Report};
use super::{Arrival, Handover, Takers};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::store::{Deed, Reader, Tx, all, under};

/// Entries of one write: few enough that others' writes do not wait for them.
pub const BATCH: usize = 64;
/// The task that takes, as the journal names it.
const TASK: &str = "replay";

/// What one write took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    entries: u64,
    taken: u64,
    conflicts: u64,
    notes: u64,
    waiting: u64,
}

impl Counts {
    fn count(&mut self, outcome: &Outcome) {
        self.entries += 1;
        *match outcome {
            Outcome::Taken { .. } | Outcome::Done { .. } => &mut self.taken,
            Outcome::Conflict { .. } => &mut self.conflicts,
            Outcome::Note => &mut self.notes,
            Outcome::Waiting => &mut self.waiting,
        } += 1;
    }
}

/// Where an entry stands: its file, and its place in it.
type Place = (Id, u64);
/// Why a file stops before its end; what came before is kept.
type Stopped = Option<Fault>;

impl Handover {
    /// Takes what was not taken yet of a file's entries, in their order, and answers what came of the
    /// whole file. `damage` says what is wrong with the file, if anything is.
    ///
    /// An entry that does not fit becomes a conflict and never stops the next one.
    ///
    /// # Errors
    /// What stops the file: the store or a taker is at fault or busy. What came before is kept, and
    /// the next call goes on from there.
    pub fn take(
        &self,
        file: Id,
        arrivals: Vec<Arrival>,
        damage: Option<&str>,
    ) -> Result<Report, Fault> {
        let _turn = self.desk.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (takers, held) = self.offer_due()?;
        let (fresh, known) = self.store.read(|view| {
            let mut fresh = Vec::new();
            for arrival in arrivals {
                if !view.has(&ARRIVALS, &arrival.id)? {
                    fresh.push(arrival);
                }
            }
            Ok((fresh, view.get(&REPORTS, &file)?))
        })?;
        let told = known.as_ref().and_then(|report| report.damage.as_deref());
        let mut report = match known {
            Some(report) if damage.is_none() || told == damage => report,
            None if damage.is_none() => Report::of(file),
            _ => self.note_damage(file, damage.map(str::to_owned))?,
        };
        let mut left = fresh.into_iter();
        loop {
            let batch: Vec<_> = left.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let takers = takers.clone();
            let (now, stopped) =
                self.store.write(move |tx| take_batch(tx, &takers, file, &batch))?;
            report = now;
            if let Some(fault) = stopped {
                self.tell()?;
                return Err(fault);
            }
        }
        self.tell()?;
        held.map_or(Ok(report), Err)
    }

    fn note_damage(&self, file: Id, damage: Option<String>) -> Result<Report, Fault> {
        self.store.write(move |tx| {
            let mut report = tx.get(&REPORTS, &file)?.unwrap_or_else(|| Report::of(file));
            report.damage = damage;
            report.taken_at = tx.now();
            tx.put(&REPORTS, &file, &report)?;
            let deed = Deed::new("handover.damage", file).after(&report.damage);
            tx.journal(&Caller::task(TASK), deed)?;
            Ok(report)
        })
    }

    /// Offers what waits for a taker to the takers there are by now; nothing happens when none came
    /// since the last time.
    ///
    /// # Errors
    /// As [`Handover::take`]; everything that still waits is offered again the next time.
    pub fn offer_again(&self) -> Result<(), Fault> {
        let _turn = self.desk.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, held) = self.offer_due()?;
        self.tell()?;
        held.map_or(Ok(()), Err)
    }

    /// Offers what waits, when that is due, and answers the takers of what comes next. When a taker
    /// could not take all that waits, its kind goes on waiting, so that nothing overtakes: the taker is
    /// not among them.
    fn offer_due(&self) -> Result<(Takers, Stopped), Fault> {
        // Asked before the takers are looked at: whoever comes in between is offered the next time.
        let due = self.desk.offer.swap(false, Ordering::AcqRel);
        let takers = self.takers();
        if !due {
            return Ok((takers, None));
        }
        let offered = self.offer_waiting(&takers);
        if let Ok(None) = offered {
            return Ok((takers, None));
        }
        self.desk.offer.store(true, Ordering::Release);
        let held = offered?;
        let waiting = self.waiting(&takers)?;
        let mut others = (*takers).clone();
        others.retain(|kind, _| waiting.iter().all(|(_, held)| held != kind));
        Ok((Arc::new(others), held))
    }

    /// Where those stand that wait for one of these takers, each with its kind, in their order.
    fn waiting(&self, takers: &Takers) -> Result<Vec<(Place, String)>, Fault> {
        self.store.read(|view| {
            let mut waiting = Vec::new();
            for (place, id) in view.list(&OPEN, &all(), usize::MAX)? {
                let arrived = view.get(&ARRIVALS, &id)?.filter(|a| waits_for_one_of(takers, a));
                waiting.extend(arrived.map(|arrived| (place, arrived.kind)));
            }
            Ok(waiting)
        })
    }

    fn offer_waiting(&self, takers: &Takers) -> Result<Stopped, Fault> {
        let places: Vec<_> = self.waiting(takers)?.into_iter().map(|(place, _)| place).collect();
        for batch in places.chunk_by(|a, b| a.0 == b.0).flat_map(|file| file.chunks(BATCH)) {
            let (takers, places) = (takers.clone(), batch.to_vec());
            let stopped = self.store.write(move |tx| take_waiting(tx, &takers, &places))?;
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
        Ok(None)
    }
}

/// Notes that a drill's entry has found its way: the last of a drill's proofs.
pub(super) fn drill(tx: &mut Tx<'_>, arrival: &Arrival) -> Result<Outcome, Fault> {
    let deed = Deed::new("continuity.drill_entry", arrival.id).after(&arrival.body);
    tx.journal(&Caller::task(TASK), deed)?;
    Ok(Outcome::Taken { record: "drill".to_owned() })
}

impl Report {
    /// The report of a file of which nothing is taken yet.
    fn of(file: Id) -> Self {
        Self {
            file,
            first_at: Moment::default(),
            last_at: Moment::default(),
            taken_at: Moment::default(),
            entries: 0,
            taken: 0,
            conflicts: 0,
            notes: 0,
            waiting: 0,
            damage: None,
        }
    }

    fn add(&mut self, counts: &Counts) {
        self.entries += counts.entries;
        self.taken += counts.taken;
        self.conflicts += counts.conflicts;
        self.notes += counts.notes;
        self.waiting += counts.waiting;
    }
}

/// Takes a batch of one file; the entries before the one that stops it are kept.
fn take_batch(
    tx: &mut Tx<'_>,
    takers: &Takers,
    file: Id,
    batch: &[Arrival],
) -> Result<(Report, Stopped), Fault> {
    let mut report = tx.get(&REPORTS, &file)?.unwrap_or_else(|| Report::of(file));
    let (mut counts, mut stopped) = (Counts::default(), None);
    for arrival in batch {
        // The same entry may stand in a batch twice.
        if tx.has(&ARRIVALS, &arrival.id)? {
            continue;
        }
        let place = free_place(tx, file, arrival.seq)?;
        let outcome = if place == arrival.seq {
            match offer(tx, takers, arrival) {
                Ok(outcome) => outcome,
                Err(fault) => {
                    stopped = Some(fault);
                    break;
                }
            }
        } else {
            place_taken()
        };
        lay(tx, file, place, arrival, &outcome)?;
        if report.entries + counts.entries == 0 {
            report.first_at = arrival.at;
        }
        report.last_at = arrival.at;
        counts.count(&outcome);
    }
    if counts.entries > 0 {
        report.add(&counts);
        report.taken_at = tx.now();
        tx.put(&REPORTS, &file, &report)?;
        tx.journal(&Caller::task(TASK), Deed::new("handover.take", file).after(&counts))?;
    }
    Ok((report, stopped))
}

/// Offers entries of one file that waited; those before the one that stops are kept.
fn take_waiting(tx: &mut Tx<'_>, takers: &Takers, places: &[Place]) -> Result<Stopped, Fault> {
    let (mut counts, mut stopped) = (Counts::default(), None);
    for place in places {
        let Some(id) = tx.get(&OPEN, place)? else { continue };
        let Some(mut arrived) = tx.get(&ARRIVALS, &id)? else { continue };
        // A person may have dealt with it meanwhile.
        if !waits_for_one_of(takers, &arrived) {
            continue;
        }
        match offer(tx, takers, &arrived.arrival()?) {
            Ok(Outcome::Waiting) => {}
            Ok(outcome) => {
                counts.count(&outcome);
                tell_conflict(tx, id, &arrived.kind, &outcome)?;
                arrived.outcome = outcome;
                keep(tx, &arrived)?;
            }
            Err(fault) => {
                stopped = Some(fault);
                break;
            }
        }
    }
    if let (1.., Some((file, _))) = (counts.entries, places.first()) {
        let mut report = tx.get(&REPORTS, file)?.unwrap_or_else(|| Report::of(*file));
        report.waiting = report.waiting.saturating_sub(counts.entries);
        // They were counted as entries when they came.
        report.add(&Counts { entries: 0, ..counts });
        report.taken_at = tx.now();
        tx.put(&REPORTS, file, &report)?;
        tx.journal(&Caller::task(TASK), Deed::new("handover.take", file).after(&counts))?;
    }
    Ok(stopped)
}

fn waits_for_one_of(takers: &Takers, arrived: &Arrived) -> bool {
    arrived.outcome == Outcome::Waiting && takers.contains_key(&arrived.kind)
}

/// What its taker makes of an entry.
fn offer(tx: &mut Tx<'_>, takers: &Takers, arrival: &Arrival) -> Result<Outcome, Fault> {
    let Some(taker) = takers.get(&arrival.kind) else { return Ok(Outcome::Waiting) };
    match tx.attempt(|tx| taker(tx, arrival)) {
        Err(fault) if !passes(fault.kind) => {
            Ok(Outcome::Conflict { code: fault.code.to_owned(), reason: fault.message })
        }
        answered => answered,
    }
}

/// Whether a fault says something of the box at this moment, and nothing of the entry.
fn passes(kind: Kind) -> bool {
    matches!(kind, Kind::Broken | Kind::Busy | Kind::Unavailable | Kind::Full | Kind::TooSlow)
}

/// The entry's own place, or the next free one of its file: whatever came, nothing is lost.
fn free_place(tx: &Tx<'_>, file: Id, seq: u64) -> Result<u64, Fault> {
    if !tx.has(&ARRIVALS_IN_ORDER, &(file, seq))? {
        return Ok(seq);
    }
    let last = tx.last(&ARRIVALS_IN_ORDER, &under(&file))?;
    Ok(last.map_or(seq, |((_, seq), _)| seq.saturating_add(1)))
}

fn place_taken() -> Outcome {
    Outcome::Conflict {
        code: "arrival_place_taken".to_owned(),
        reason: "Another entry has this one's place in its file: the file was changed.".to_owned(),
    }
}

fn lay(
    tx: &mut Tx<'_>,
    file: Id,
    seq: u64,
    arrival: &Arrival,
    outcome: &Outcome,
) -> Result<(), Fault> {
    let Arrival { id, kind, at, by, user, door, body, .. } = arrival.clone();
    tell_conflict(tx, id, &kind, outcome)?;
    let (body, taken_at, outcome) = (body.to_string(), tx.now(), outcome.clone());
    let arrived = Arrived { id, file, seq, kind, at, by, user, door, body, taken_at, outcome };
    tx.put(&ARRIVALS_IN_ORDER, &(file, seq), &id)?;
    keep(tx, &arrived)
}

/// Puts an arrival in its place, and on the list of those that wait or off it.
pub(super) fn keep(tx: &mut Tx<'_>, arrived: &Arrived) -> Result<(), Fault> {
    tx.put(&ARRIVALS, &arrived.id, arrived)?;
    let place = (arrived.file, arrived.seq);
    if arrived.outcome.is_open() {
        tx.put(&OPEN, &place, &arrived.id)
    } else {
        tx.remove(&OPEN, &place)
    }
}

fn tell_conflict(tx: &mut Tx<'_>, id: Id, kind: &str, outcome: &Outcome) -> Result<(), Fault> {
    let Outcome::Conflict { code, .. } = outcome else { return Ok(()) };
    let shown = serde_json::json!({ "kind": kind, "code": code });
    tx.journal(&Caller::task(TASK), Deed::new("handover.conflict", id).after(&shown))
}

impl Arrived {
    /// The entry as it arrived.
    fn arrival(&self) -> Result<Arrival, Fault> {
        let body = serde_json::from_str(&self.body)
            .map_err(|e| Fault::broken("reading an arrival's body", e))?;
        let Self { id, seq, kind, at, by, user, door, .. } = self.clone();
        Ok(Arrival { id, seq, kind, at, by, user, door, body })
    }
}
