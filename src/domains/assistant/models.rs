//! The shelf of models: which there are, what was found in them, and which one does the work.

use std::path::PathBuf;
use std::sync::Arc;

use super::records::talk::{CHOSEN, MODELS, Model, Purpose};
use super::thinking::Ground;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::store::{Reader, Store};

/// The models' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Models {
    store: Store,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    program: PathBuf,
    spool: PathBuf,
}

impl Purpose {
    /// The word a purpose is kept under.
    pub fn word(self) -> &'static str {
        match self {
            Self::Language => "language",
            Self::Reranker => "reranker",
        }
    }
}

impl Models {
    /// Opens the desk.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(ground: &Ground) -> Result<Self, Fault> {
        Ok(Self {
            store: ground.store.clone(),
            clock: ground.clock.clone(),
            folder: ground.models.clone(),
            program: ground.program.clone(),
            spool: ground.spool.clone(),
        })
    }

    /// The model chosen for a purpose; none when none was, or when it is gone.
    ///
    /// # Errors
    /// What the store says.
    pub fn chosen(&self, purpose: Purpose) -> Result<Option<Model>, Fault> {
        self.store.read(|view| {
            let Some(name) = view.get(&CHOSEN, &purpose.word().to_owned())? else {
                return Ok(None);
            };
            view.get(&MODELS, &name)
        })
    }
}
