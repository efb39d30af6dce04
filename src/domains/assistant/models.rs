//! The shelf of models: which there are, what was found in them, and which one does the work.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;

use super::records::talk::{CHOSEN, MODELS, Model, Purpose};
use super::thinking::Ground;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::engines::generation::Runnable;
use crate::store::{Reader, Store};

/// The models' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Models {
    store: Store,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    program: PathBuf,
    spool: PathBuf,
    followers: Arc<Mutex<Vec<Follower>>>,
}

/// Whoever works with the chosen model.
type Follower = Arc<dyn Fn() -> Result<(), Fault> + Send + Sync>;

/// How the names of a language model's weights end.
pub const WEIGHTS: &str = ".gguf";
/// The name of the tokenizer that may lie beside them.
pub const TOKENIZER: &str = "tokenizer.json";

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
            followers: Arc::default(),
        })
    }

    /// Calls `follower` whenever another model may be chosen than before.
    pub fn on_choice(&self, follower: impl Fn() -> Result<(), Fault> + Send + Sync + 'static) {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(follower));
    }

    /// What the engine needs to run a model; none when it has no weights of the kind it runs.
    pub fn runnable(&self, model: &Model) -> Option<Runnable> {
        let weights = model.files.iter().find(|file| file.name.ends_with(WEIGHTS))?;
        let folder = self.folder.join(&model.name);
        let tokenizer = model.files.iter().find(|file| file.name == TOKENIZER);
        Some(Runnable {
            file: weights.name.clone(),
            sha256: HEXLOWER.encode(&weights.sha256),
            tokenizer: tokenizer.map(|file| folder.join(&file.name)),
            folder,
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
