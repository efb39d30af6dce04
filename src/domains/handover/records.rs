//! What was written down while the box was away and what became of it, and their tables.

use serde::{Deserialize, Serialize};

use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::records;
use crate::store::Table;

/// Arrivals by name: each is here once it was taken, whatever became of it.
pub const ARRIVALS: Table<Id, Arrived> = Table::journaled("handover.arrivals");
/// The same in the order they came: by file, by place in it.
pub const ARRIVALS_IN_ORDER: Table<(Id, u64), Id> = Table::journaled("handover.arrivals_in_order");
/// Reports by the file they are about.
pub const REPORTS: Table<Id, Report> = Table::journaled("handover.reports");
/// Those that wait for a hand, in the same order: notes that are not done, conflicts, what nobody takes
/// yet.
pub const OPEN: Table<(Id, u64), Id> = Table::journaled("handover.open");

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the records of its domain.
    Taken {
        /// What it became, in words: `punch 4711`.
        record: String,
    },
    /// It does not fit what is there; it waits for a person.
    Conflict {
        /// A stable word.
        code: String,
        /// Why, as a sentence in English.
        reason: String,
    },
    /// It is a note for a person, who has not dealt with it yet.
    Note,
    /// No domain takes this kind yet; it is kept, and offered again once one does.
    Waiting,
    /// A person has dealt with it.
    Done {
        /// Who.
        by: String,
        /// When.
        at: Moment,
        /// What was done, in the person's words.
        remark: String,
    },
}

impl Outcome {
    /// Whether it still waits for a hand.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Note | Self::Waiting)
    }
}

/// An entry of Plan B's outbox, in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// The entry's name.
    pub id: Id,
    /// The file it came in.
    pub file: Id,
    /// Its place in that file; behind the last one when another entry stands there already.
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
    /// What it says, JSON.
    pub body: String,
    /// When the main program took it.
    pub taken_at: Moment,
    /// What became of it.
    pub outcome: Outcome,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The file.
    pub file: Id,
    /// When its first entry was written.
    pub first_at: Moment,
    /// When its last one was.
    pub last_at: Moment,
    /// When the main program last took some of it.
    pub taken_at: Moment,
    /// Entries.
    pub entries: u64,
    /// Of those, taken at once.
    pub taken: u64,
    /// In conflict.
    pub conflicts: u64,
    /// Notes for a person.
    pub notes: u64,
    /// Of a kind that nobody takes yet.
    pub waiting: u64,
    /// What is wrong with the file, when its links do not hold: the line and what it is.
    pub damage: Option<String>,
}

records!(Arrived, Report);
