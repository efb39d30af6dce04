//! The shelf of models: which there are, what was found in them, and which one does the work.

mod adding;
mod choosing;
mod files;
mod listing;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;

pub use adding::{Adding, Entry, Incoming, Rescanned, Stage};
pub use listing::{CONTEXTS, Listed, Needs, State, Use};

use super::records::talk::{CHOSEN, MODELS, Model, Purpose};
use super::thinking::Ground;
use crate::base::caller::{Caller, Right};
use crate::base::clock::Clock;
use crate::base::disk::{Disk, MachineDisk};
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::memory;
use crate::base::tasks::Tasks;
use crate::engines::generation::{Pinned, Probe, Runnable};
use crate::store::{Reader, Store};

/// How the names of a language model's weights end.
pub const WEIGHTS: &str = ".gguf";
/// The name of the tokenizer that may lie beside them.
pub const TOKENIZER: &str = "tokenizer.json";
/// The word that stands for no model where one is named.
pub const NONE: &str = "none";

/// The models' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Models(Arc<Desk>);

struct Desk {
    store: Store,
    clock: Arc<dyn Clock>,
    health: Health,
    folder: PathBuf,
    spool: PathBuf,
    /// The model that embeds, by the setting.
    embedding: String,
    probe: Probe,
    followers: Mutex<Vec<Follower>>,
    /// How the writer uses memory; the desk of generation says so when it opens.
    usage: Mutex<Use>,
    /// Models on their way in, by name; a name is held here until it is in the table.
    adding: Mutex<Vec<Adding>>,
    /// Weights that were compared with their hash, and whether they had it.
    compared: Mutex<HashMap<PathBuf, (files::Stamp, bool)>>,
}

/// Whoever works with the chosen model.
type Follower = Arc<dyn Fn() -> Result<(), Fault> + Send + Sync>;

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
    /// Opens the desk, and takes away what a crash left of models on their way in.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(ground: &Ground) -> Result<Self, Fault> {
        files::forget_unfinished(&ground.models);
        Ok(Self(Arc::new(Desk {
            store: ground.store.clone(),
            clock: ground.clock.clone(),
            health: ground.health.clone(),
            folder: ground.models.clone(),
            spool: ground.spool.clone(),
            embedding: ground.embedding.clone(),
            probe: Probe { program: ground.program.clone() },
            followers: Mutex::default(),
            usage: Mutex::default(),
            adding: Mutex::default(),
            compared: Mutex::default(),
        })))
    }

    /// Starts what looks after the files of the chosen model.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        let models = self.clone();
        tasks.every("models", files::LOOK_EVERY, move |handle| models.look_after(handle)).map(drop)
    }

    /// Calls `follower` whenever another model may be chosen than before.
    pub fn on_choice(&self, follower: impl Fn() -> Result<(), Fault> + Send + Sync + 'static) {
        locked(&self.0.followers).push(Arc::new(follower));
    }

    /// Says how the writer uses memory, which is what a model is measured against.
    pub fn will_be_used(&self, usage: Use) {
        *locked(&self.0.usage) = usage;
    }

    /// What the engine needs to run a model; none when it has no weights of the kind it runs.
    pub fn runnable(&self, model: &Model) -> Option<Runnable> {
        let weights = model.files.iter().find(|file| file.name.ends_with(WEIGHTS))?;
        let beside = model.files.iter().filter(|file| file.name != weights.name);
        Some(Runnable {
            folder: self.folder_of(&model.name),
            file: weights.name.clone(),
            sha256: HEXLOWER.encode(&weights.sha256),
            beside: beside
                .map(|file| Pinned {
                    name: file.name.clone(),
                    sha256: HEXLOWER.encode(&file.sha256),
                })
                .collect(),
        })
    }

    /// Tokens of the longest context a language model was made for.
    pub fn context_of(&self, model: &Model) -> Option<usize> {
        listing::card(model).map(|card| card.context)
    }

    /// The folder of a model of that name.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.0.folder.join(name)
    }

    /// The model chosen for a purpose; none when none was, or when it is gone.
    ///
    /// # Errors
    /// What the store says.
    pub fn chosen(&self, purpose: Purpose) -> Result<Option<Model>, Fault> {
        self.0.store.read(|view| {
            let Some(name) = view.get(&CHOSEN, &purpose.word().to_owned())? else {
                return Ok(None);
            };
            view.get(&MODELS, &name)
        })
    }

    /// Where uploads on their way in are spooled.
    pub fn spool(&self) -> PathBuf {
        self.0.spool.clone()
    }

    /// Bytes free for models.
    ///
    /// # Errors
    /// What the disk says.
    pub fn free_bytes(&self) -> Result<u64, Fault> {
        let there = self.0.folder.ancestors().find(|folder| folder.exists());
        MachineDisk
            .free_bytes(there.unwrap_or(&self.0.spool))
            .map_err(|e| Fault::broken("looking at the room for models", e))
    }

    /// Bytes a model on its way in may have.
    ///
    /// # Errors
    /// What the disk says.
    pub fn room(&self) -> Result<u64, Fault> {
        files::room(&self.0.spool)
    }

    /// Refuses a model of more bytes than there is `room` for.
    ///
    /// # Errors
    /// `disk_full` with the numbers.
    pub fn check_room(&self, bytes: u64, room: u64) -> Result<(), Fault> {
        files::check_room(bytes, room)
    }

    /// Memory a model may take, bytes: what the setting says, else half of what is free; what the
    /// model in memory takes counts as free, since it goes first. None where the machine does not say.
    pub fn memory_bytes(&self) -> Option<u64> {
        let usage = locked(&self.0.usage).clone();
        if usage.memory_bytes > 0 {
            return Some(usage.memory_bytes);
        }
        let loaded = usage.loaded.map_or(0, |loaded| loaded());
        memory::available().map(|free| free.saturating_add(loaded) / 2)
    }

    /// Who may change models, and has shown a moment ago who they are.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`.
    pub fn may_change(&self, caller: &Caller) -> Result<(), Fault> {
        caller.require(Right::ManageAssistant)?;
        caller.fresh(self.0.clock.now())
    }

    fn tell_followers(&self) {
        let followers = locked(&self.0.followers).clone();
        for follower in followers {
            // The choice is made and kept; who cannot follow it now does at the next start.
            if let Err(fault) = follower() {
                tracing::error!("the choice of a model was not followed: {fault}");
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// There is no model of that name.
fn model_unknown(name: &str) -> Fault {
    Fault::new(
        crate::base::fault::Kind::NotFound,
        "model_unknown",
        format!("There is no model called '{name}'; 'ilot model list' shows those there are."),
    )
}
