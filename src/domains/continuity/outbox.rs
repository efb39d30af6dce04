//! What is written down while the main program is away: one fsynced, hash-linked file a run.

mod reading;
mod writing;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::clock::Moment;
use crate::base::id::Id;

pub use reading::{Damage, Follower, OutboxFile, archive, archived, forget_archived, waiting};
pub use writing::Outbox;

/// The longest line of a file, bytes.
pub const ENTRY_MAX: usize = 64 * 1024;
/// Entries of one file; a further one begins the next file.
pub const ENTRIES_MAX: u64 = 50_000;
/// The longest file, bytes, so that a reader never holds more of it; what follows begins the next file.
pub const FILE_MAX: u64 = 64 * 1024 * 1024;
/// The ending of a file's name.
const ENDING: &str = "jsonl";
/// Where files go that were taken whole, below the outbox.
const DONE: &str = "done";
/// What stands before an entry's hash in its line: the hash is over everything in front of this.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The file's name.
    pub file: Id,
    /// Who wrote it: the node's id, hexadecimal.
    pub node_id: String,
    /// When its first entry came.
    pub begun_at: Moment,
    /// The pack that was shown; 0 for none.
    pub pack_generation: u64,
}

/// Who wrote an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Author {
    /// The name of a person, a kiosk, or `planb` for whoever holds the key.
    pub name: String,
    /// The user's record, when a person signed in.
    pub user: Option<Id>,
    /// The kiosk's or the device's record, when a door wrote.
    pub door: Option<Id>,
}

/// An entry to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What it is: `punch`, `note`, `drill`; whoever takes it in the main program goes by this.
    pub kind: String,
    /// Who writes.
    pub by: Author,
    /// What is to be kept, as its taker understands it; never a secret.
    pub body: serde_json::Value,
    /// The writer's `Idempotency-Key`: the same key of the same author gives the same entry once.
    pub retry_key: Option<String>,
}

/// One entry: a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, which the main program takes once.
    pub id: Id,
    /// Its place in its file, from 0.
    pub seq: u64,
    /// When it was written, by the wall.
    pub at: Moment,
    /// What it is.
    pub kind: String,
    /// Who wrote it.
    pub by: Author,
    /// What is kept.
    pub body: serde_json::Value,
    /// The writer's key for tries again.
    pub retry_key: Option<String>,
    /// The hash of the entry before; of the file's head for the first.
    pub previous: String,
    /// SHA-256 over the bytes of the line in front of `,"hash":`, hexadecimal.
    pub hash: String,
}

/// SHA-256, hexadecimal.
fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
