//! What the box derives from its journal and counts of its requests, and the tables of both.

use serde::{Deserialize, Serialize};

use crate::base::clock::Moment;
use crate::records;
use crate::store::chain::Offence;
use crate::store::journal::Head;
use crate::store::{Blob, Table};

/// Signed checkpoints by the number of the link they sign. Quiet: a checkpoint is derived from the
/// journal, and one that wrote a link of its own would never be the last.
pub const CHECKPOINTS: Table<u64, Checkpoint> = Table::quiet("activity.checkpoints");
/// The key that signs checkpoints: sealed under its purpose, its public half under its own name.
pub const KEYS: Table<String, Blob> = Table::journaled("activity.keys");
/// Requests by hour, route as declared, method, and status.
pub const REQUESTS: Table<RequestKey, Tally> = Table::quiet("activity.requests");
/// Which links were written in which hour of the wall clock.
pub const HOURS: Table<Moment, Hour> = Table::quiet("activity.hours");
/// The last link that [`HOURS`] knows, under the one key `()`.
pub const HOURS_UNTIL: Table<(), u64> = Table::quiet("activity.hours_until");
/// How far the chain was found whole, under the one key `()`.
pub const VERIFIED: Table<(), Verified> = Table::quiet("activity.verified");

/// The hour, the route as declared, and the method with the status.
pub type RequestKey = (Moment, String, (String, u32));

/// The journal's end at a moment, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of the link.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// When it was signed.
    pub at: Moment,
    /// The name of the key.
    pub key: String,
    /// The Ed25519 signature, 64 bytes.
    pub signature: Vec<u8>,
}

/// Requests of one sort in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// How long they took in all, microseconds.
    pub micros: u64,
}

/// The links of an hour: every one of them lies within these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// The lowest number.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

/// How far the chain was found whole, and what was found otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The last link up to which a walk found the chain whole.
    pub head: Head,
    /// When the last walk ended.
    pub at: Moment,
    /// When the last walk from the first link on ended.
    pub whole_at: Moment,
    /// How many offences were found.
    pub count: u64,
    /// The first of them.
    pub first: Option<Offence>,
}

records!(Checkpoint, Tally, Hour, Verified);
