//! What the store keeps about itself.

use serde::{Deserialize, Serialize};

use super::clock_watch::Kept;
use super::journal::Head;
use super::table::Table;
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::records;

/// Counters by name.
pub const NUMBERS: Table<String, u64> = Table::quiet("store.numbers");
/// Ends of chains by name.
pub const HEADS: Table<String, Head> = Table::quiet("store.heads");
/// What is known about time.
pub const CLOCKS: Table<String, Kept> = Table::quiet("store.clock");
/// The one row a store is born with.
pub const GENESIS: Table<String, Genesis> = Table::quiet("store.genesis");
/// Results of unsafe requests by caller and `Idempotency-Key`.
pub const ONCE: Table<(Id, String), Once> = Table::quiet("store.once");

/// The number of the last change.
pub(super) const SEQ: &str = "seq";
/// How many migration steps have been taken.
pub(super) const SCHEMA: &str = "schema";
/// The journal's end.
pub(super) const CHAIN: &str = "journal";
/// The clock's row.
pub(super) const CLOCK: &str = "wall";
/// The genesis row.
pub(super) const BIRTH: &str = "birth";

/// How a store began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// New at creation and at each restore: an index of another epoch is not this store's.
    pub epoch: [u8; 16],
    /// This site's name, for ever.
    pub site: Id,
    /// When it was created.
    pub created: Moment,
}

/// The kept result of a request that may be sent twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// The verb that made it.
    pub verb: String,
    /// When.
    pub at: Moment,
    /// The encoded result.
    pub result: Vec<u8>,
}

records!(Genesis, Once);
