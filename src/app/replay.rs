//! Replay: what Plan B wrote down is read from its files and handed over, until all of it is taken.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::caller::Caller;
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::id::Id;
use crate::domains::continuity::outbox::{self, Entry, Follower, OutboxFile};
use crate::domains::continuity::place::Place;
use crate::domains::handover::{Arrival, Handover};

/// The part of the box's health that says how the outbox is.
pub const PART: &str = "planb_outbox";
/// The task's name, as the journal shows it.
const TASK: &str = "replay";
/// How long files that were taken whole are kept.
const KEEP: Duration = Duration::from_hours(90 * 24);
/// How often those that are older are thrown away.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// The way of the outbox's files into the store. Clones are the same way.
#[derive(Clone)]
pub struct Replay {
    place: Place,
    clock: Arc<dyn Clock>,
    health: Health,
    handover: Handover,
    seen: Arc<Mutex<Seen>>,
}

/// What is known of the files between two turns.
#[derive(Default)]
struct Seen {
    follower: Follower,
    taken: BTreeMap<Id, Taken>,
    /// What was last logged.
    logged: String,
    /// When old files were last thrown away, on the boot clock.
    forgot: Option<Duration>,
}

/// What is taken of one file.
#[derive(Default)]
struct Taken {
    /// The reading of the file that this is of.
    epoch: u64,
    entries: usize,
    /// Which damage was told.
    told: Option<String>,
}

/// How many files and entries lie in the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lying {
    /// Files that are not archived.
    pub files: u64,
    /// Their entries.
    pub entries: u64,
    /// Entries among them that are not taken yet.
    pub waiting: u64,
}

impl Replay {
    /// The way from the outbox of `place` to `handover`.
    pub fn new(place: Place, clock: Arc<dyn Clock>, health: Health, handover: Handover) -> Self {
        Self { place, clock, health, handover, seen: Arc::default() }
    }

    /// Takes what is new in every file, oldest first, and archives the files that are done with: their
    /// writer is gone, they are whole, and everything in them is taken. A file that stops or is damaged is
    /// told in the box's health and never stops the others.
    ///
    /// # Errors
    /// What the file system says of the folder.
    pub fn turn(&self) -> Result<(), Fault> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let files = seen.follower.waiting(&self.place)?;
        seen.taken.retain(|id, _| files.iter().any(|file| file.id == *id));
        let (mut stopped, mut damaged) = (Vec::new(), Vec::new());
        for file in &files {
            let taken = self.take(&mut seen, file);
            if let Some(damage) = damage(file) {
                damaged.push(format!("{}: {damage}", file.id));
            }
            let done = taken.and_then(|()| self.archive(&mut seen, file));
            if let Err(fault) = done {
                stopped.push(format!("{}: {fault}", file.id));
            }
        }
        if let Err(fault) = self.handover.offer_again() {
            stopped.push(format!("waiting entries: {fault}"));
        }
        self.tell(&mut seen, &stopped, &damaged);
        self.forget_old(&mut seen)
    }

    /// How much lies in the outbox at the moment.
    ///
    /// # Errors
    /// What the file system says of the folder.
    pub fn lying(&self) -> Result<Lying, Fault> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lying = Lying::default();
        for file in seen.follower.waiting(&self.place)? {
            let taken = seen.taken_of(&file);
            lying.files += 1;
            lying.entries += file.entries.len() as u64;
            lying.waiting += file.entries.len().saturating_sub(taken) as u64;
        }
        Ok(lying)
    }

    /// Hands over the entries that came since the last turn.
    fn take(&self, seen: &mut Seen, file: &OutboxFile) -> Result<(), Fault> {
        let damage = damage(file);
        let fresh = file.entries.get(seen.taken_of(file)..).unwrap_or(&file.entries);
        let told = seen.taken.get(&file.id).and_then(|taken| taken.told.as_ref());
        if fresh.is_empty() && told == damage.as_ref() {
            return Ok(());
        }
        let arrivals = fresh.iter().map(arrival).collect();
        self.handover.take(file.id, arrivals, damage.as_deref())?;
        let taken = Taken { epoch: file.epoch, entries: file.entries.len(), told: damage };
        seen.taken.insert(file.id, taken);
        Ok(())
    }

    fn archive(&self, seen: &mut Seen, file: &OutboxFile) -> Result<(), Fault> {
        // A damaged file stays where a person finds it.
        if file.live || file.damage.is_some() {
            return Ok(());
        }
        let ids: Vec<Id> = file.entries.iter().map(|entry| entry.id).collect();
        let arrived = self.handover.arrived(&Caller::task(TASK), &ids)?;
        let missing = arrived.iter().filter(|arrived| !**arrived).count();
        if missing > 0 {
            // The next turn offers all of them again.
            seen.taken.remove(&file.id);
            let why = format!("{missing} of its entries have not arrived");
            return Err(Fault::broken("archiving an outbox file", why));
        }
        outbox::archive(&self.place, file.id)?;
        seen.taken.remove(&file.id);
        tracing::info!(file = %file.id, entries = file.entries.len(), "took what Plan B wrote down");
        Ok(())
    }

    fn tell(&self, seen: &mut Seen, stopped: &[String], damaged: &[String]) {
        let mut words = String::new();
        for what in stopped {
            let _ = write!(words, "Not taken yet: {what}. ");
        }
        for what in damaged {
            let _ = write!(words, "Damaged: {what}. ");
        }
        let words = words.trim_end();
        if !words.is_empty() && seen.logged != words {
            tracing::error!("the outbox of Plan B: {words}");
        }
        words.clone_into(&mut seen.logged);
        if !stopped.is_empty() {
            let advice = "It is tried again every few seconds; see the log for the cause.";
            self.health.report(PART, Level::Failed, words, advice);
        } else if !damaged.is_empty() {
            let advice = "What is whole in it was taken. Compare the damaged lines with what people \
                          remember, then move the file out of planb/outbox.";
            self.health.report(PART, Level::Reduced, words, advice);
        } else {
            self.health.well(PART, "Everything that Plan B wrote down is taken.");
        }
    }

    fn forget_old(&self, seen: &mut Seen) -> Result<(), Fault> {
        let now = self.clock.since_boot();
        if seen.forgot.is_some_and(|at| now.saturating_sub(at) < FORGET_EVERY) {
            return Ok(());
        }
        let keep = i64::try_from(KEEP.as_millis()).unwrap_or(i64::MAX);
        let before = Moment(self.clock.now().0.saturating_sub(keep));
        outbox::forget_archived(&self.place, before)?;
        seen.forgot = Some(now);
        Ok(())
    }
}

impl Seen {
    /// How many entries of a file are taken: none of one that had to be read anew.
    fn taken_of(&self, file: &OutboxFile) -> usize {
        let taken = self.taken.get(&file.id).filter(|taken| taken.epoch == file.epoch);
        taken.map_or(0, |taken| taken.entries)
    }
}

/// What is wrong with a file, in words.
fn damage(file: &OutboxFile) -> Option<String> {
    let damage = file.damage.as_ref()?;
    Some(format!(
        "line {}: {} ({} lines cannot be read)",
        damage.line, damage.what, damage.lines_lost
    ))
}

fn arrival(entry: &Entry) -> Arrival {
    let Entry { id, seq, at, kind, by, body, .. } = entry.clone();
    Arrival { id, seq, kind, at, by: by.name, user: by.user, door: by.door, body }
}

#[cfg(test)]
mod tests;
