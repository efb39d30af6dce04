//! The history: what was asked and answered, kept for a while, secrets masked (assistant.md §3.6).

mod replay;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use replay::{Again, Anew, Replayer};

use super::thinking::Ground;
use crate::base::caller::Caller;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::tasks::Tasks;
use crate::store::{Store, Tx};

/// Settings under `[history]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// How long an event is kept, days.
    pub days: u32,
    /// How much the history may weigh, MiB; the oldest goes first.
    pub max_mib: u64,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { days: 30, max_mib: 200 }
    }
}

/// The history's desk. Clones are the same desk.
#[derive(Clone)]
pub struct History {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: HistorySettings,
}

impl History {
    /// Opens the desk.
    pub fn open(ground: &Ground, settings: HistorySettings) -> Self {
        Self { store: ground.store.clone(), clock: ground.clock.clone(), settings }
    }

    /// Starts what throws away what is too old.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, _tasks: &Tasks) -> Result<(), Fault> {
        Ok(())
    }

    /// Has what is too much thrown away soon; called after a write that noted something.
    pub fn look(&self) {}

    /// Notes an event within a write of its own deed; `payload` is masked before it is kept.
    ///
    /// # Errors
    /// What the store says.
    pub fn note(
        _tx: &mut Tx<'_>,
        _caller: &Caller,
        _kind: &str,
        _payload: &serde_json::Value,
    ) -> Result<(), Fault> {
        Ok(())
    }
}
