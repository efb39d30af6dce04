//! What is written down while the main program is away: one fsynced, hash-linked file a run.

use serde::{Deserialize, Serialize};

use crate::base::clock::Moment;
use crate::base::id::Id;

/// Who wrote an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// SHA-256 over this entry without this field, hexadecimal.
    pub hash: String,
}
