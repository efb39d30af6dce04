//! Conversations: what was said, by whom, with which passages; each belongs to one person.

use std::sync::Arc;

use super::history::History;
use super::thinking::Ground;
use crate::base::clock::Clock;
use crate::store::Store;

/// The conversations' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Conversations {
    store: Store,
    clock: Arc<dyn Clock>,
    history: History,
}

impl Conversations {
    /// Opens the desk.
    pub fn open(ground: &Ground, history: History) -> Self {
        Self { store: ground.store.clone(), clock: ground.clock.clone(), history }
    }
}
