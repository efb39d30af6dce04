//! Handover: what was written down while the box was away comes into the records, once and in order.
//!
//! Each entry of Plan B's outbox becomes an [`Arrived`](records::Arrived) in the same write in which the
//! taker of its kind puts it into the records of its domain. Entries are known by their names, so that a
//! file may be brought again and again.

pub mod dealing;
pub mod lists;
pub mod records;
mod taking;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::id::Id;
use crate::store::{Reader, Store, Tx, all};
use records::{OPEN, Outcome};

/// The part of the box's health that says whether somebody has to look at what arrived.
pub const PART: &str = "planb_arrivals";

/// An entry of Plan B's outbox on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The entry's name.
    pub id: Id,
    /// Its place in its file.
    pub seq: u64,
    /// What it is.
    pub kind: String,
    /// When it was written, by the wall of that hour.
    pub at: Moment,
    /// The name of who wrote it.
    pub by: String,
    /// The user, when a person signed in.
    pub user: Option<Id>,
    /// The kiosk or device, when a door wrote.
    pub door: Option<Id>,
    /// What it says.
    pub body: serde_json::Value,
}

/// Brings an arrival into the records of its domain, within the write that keeps the arrival itself: it
/// runs on the writer's thread, asks nothing but the transaction, and journals what it changes.
///
/// A fault that says that the entry does not fit becomes a conflict for a person to look at, and nothing
/// of what the taker wrote is kept. One that says that the box is at fault or busy stops the entry's file
/// where it is; the entry is offered again later.
pub type Taker = Arc<dyn Fn(&mut Tx<'_>, &Arrival) -> Result<Outcome, Fault> + Send + Sync>;

/// The takers by the kind that they take.
type Takers = Arc<BTreeMap<String, Taker>>;

/// The handover desk. Clones are the same desk.
#[derive(Clone)]
pub struct Handover {
    store: Store,
    health: Health,
    desk: Arc<Desk>,
}

struct Desk {
    takers: Mutex<Takers>,
    /// One at a time, so that the order of two files' entries is that of their files.
    turn: Mutex<()>,
    /// Whether those that wait for a taker are to be offered: at the start, and when a taker came.
    offer: AtomicBool,
}

impl Handover {
    /// Opens the desk, with takers for no kind yet but its own: notes and drills.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(store: Store, health: Health) -> Result<Self, Fault> {
        let desk =
            Desk { takers: Mutex::default(), turn: Mutex::default(), offer: AtomicBool::new(true) };
        let handover = Self { store, health, desk: Arc::new(desk) };
        handover.on("note", Arc::new(|_, _| Ok(Outcome::Note)));
        handover.on("drill", Arc::new(taking::drill));
        handover.tell()?;
        Ok(handover)
    }

    /// From now on `taker` takes what is of that `kind`, and is offered what already waits for one.
    pub fn on(&self, kind: &str, taker: Taker) {
        let mut takers = self.desk.takers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut more = (**takers).clone();
        more.insert(kind.to_owned(), taker);
        *takers = Arc::new(more);
        self.desk.offer.store(true, Ordering::Release);
    }

    fn takers(&self) -> Takers {
        self.desk.takers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says in the box's health whether arrivals wait for a person.
    fn tell(&self) -> Result<(), Fault> {
        match self.store.read(count_open)? {
            0 => self.health.well(PART, "Nothing that arrived waits for a person."),
            open => self.health.report(
                PART,
                Level::Reduced,
                format!("{open} entries from Plan B wait for a person."),
                "Look at them on the continuity page, and mark what is dealt with.",
            ),
        }
        Ok(())
    }
}

/// How many arrivals wait for a hand.
fn count_open(reader: &impl Reader) -> Result<u64, Fault> {
    let mut open = 0;
    reader.each(&OPEN, &all(), |_, _| {
        open += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(open)
}
