//! The change log: which row of which table changed, in order, for indexes to follow.

use serde::{Deserialize, Serialize};

use super::table::Table;
use super::view::{Reader, from};
use crate::base::fault::Fault;
use crate::records;

/// The changes, by sequence number.
pub const CHANGES: Table<u64, Change> = Table::quiet("store.changes");

/// How far each follower has come durably, by its name; what is below all of them may be trimmed.
pub const FLOORS: Table<String, u64> = Table::quiet("store.floors");

/// How many changes are kept below the lowest floor, for a follower that lost its last steps.
pub const KEPT_BELOW_FLOOR: u64 = 10_000;

/// One row changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The table's name.
    pub table: String,
    /// The row's key.
    pub key: Vec<u8>,
    /// Whether the row is gone.
    pub removed: bool,
}

records!(Change);

/// At most `limit` changes after `seq`.
///
/// # Errors
/// What the store says.
pub fn since(reader: &impl Reader, seq: u64, limit: usize) -> Result<Vec<(u64, Change)>, Fault> {
    reader.list(&CHANGES, &from(&(seq + 1)), limit)
}

/// The lowest sequence number still in the log; `seq + 1` of a follower must not be below it.
///
/// # Errors
/// What the store says.
pub fn oldest(reader: &impl Reader) -> Result<Option<u64>, Fault> {
    Ok(reader.list(&CHANGES, &from(&0_u64), 1)?.first().map(|(seq, _)| *seq))
}
