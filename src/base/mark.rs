//! Which state of the store a derived index reflects.

use serde::{Deserialize, Serialize};

/// An index is good when its epoch and schema are the store's and the code's, and its change is not
/// ahead of the store's: one that is ahead holds ghosts of a state that a crash or a restore undid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The store's own number; another one means another store.
    pub epoch: [u8; 16],
    /// The last change that is in the index.
    pub seq: u64,
    /// The version of the code's idea of what is indexed.
    pub schema: u32,
}

impl Mark {
    /// Whether an index with this mark can catch up to `store`, the store's own mark.
    pub fn follows(&self, store: &Self) -> bool {
        self.epoch == store.epoch && self.schema == store.schema && self.seq <= store.seq
    }
}
