//! Everything that thinks with a language model, or in place of one: opened together, closed together.

use std::path::PathBuf;
use std::sync::Arc;

use super::Assistant;
use super::answers::Answers;
use super::conversations::{Conversations, StillHere};
use super::generation::{Generation, GenerationSettings};
use super::history::{History, HistorySettings};
use super::models::Models;
use super::prompts::Prompts;
use crate::base::caller::Caller;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::id::Id;
use crate::base::tasks::Tasks;
use crate::engines::secrets::RootKey;
use crate::store::{Store, Tx};

/// What the desks below stand on.
pub struct Ground {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where parts say how they are.
    pub health: Health,
    /// What seals the keys of other servers.
    pub root: RootKey,
    /// The program whose children run models.
    pub program: PathBuf,
    /// The models' folder.
    pub models: PathBuf,
    /// The name of the folder in it whose model embeds.
    pub embedding: String,
    /// Where uploads and imports are spooled.
    pub spool: PathBuf,
    /// Whether somebody still has an account.
    pub still_here: StillHere,
}

/// Settings of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThinkingSettings {
    /// `[assistant]`.
    pub generation: GenerationSettings,
    /// `[history]`.
    pub history: HistorySettings,
}

/// The desks of models, generation, conversations, answers, history and prompts. Clones are the same.
#[derive(Clone)]
pub struct Thinking {
    /// Which models there are.
    pub models: Models,
    /// What writes.
    pub generation: Generation,
    /// What happened.
    pub history: History,
    /// What was said.
    pub conversations: Conversations,
    /// What the documents answer.
    pub answers: Answers,
    /// What people ask again and again.
    pub prompts: Prompts,
}

impl Thinking {
    /// Opens the desks.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        ground: &Ground,
        settings: &ThinkingSettings,
        search: &Assistant,
    ) -> Result<Self, Fault> {
        let history = History::open(ground, settings.history.clone());
        let models = Models::open(ground)?;
        let generation = Generation::open(ground, settings.generation.clone(), &models)?;
        let conversations = Conversations::open(ground, history.clone());
        let prompts = Prompts::open(ground);
        let answers = Answers::open(
            search.clone(),
            generation.clone(),
            conversations.clone(),
            models.clone(),
        );
        Ok(Self { models, generation, history, conversations, answers, prompts })
    }

    /// Starts what runs by itself.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        self.models.start(tasks)?;
        self.generation.start(tasks)?;
        self.history.start(tasks)
    }

    /// Takes away what is kept of somebody who leaves: their conversations, what the history holds of
    /// them and their prompts. Nobody else may read these, so nobody needs them; that they asked stays
    /// in the journal, without a word of what. With `apply` false it only counts.
    ///
    /// # Errors
    /// What the store says.
    pub fn forget_user(
        tx: &mut Tx<'_>,
        caller: &Caller,
        user: Id,
        apply: bool,
    ) -> Result<[(&'static str, usize); 3], Fault> {
        Ok([
            ("conversations", Conversations::forget_user(tx, caller, user, apply)?),
            ("history_events", History::forget_user(tx, user, apply)?),
            ("prompts", Prompts::forget_user(tx, user, apply)?),
        ])
    }

    /// Ends what is being written, so that the door can drain.
    pub fn wind_down(&self) {
        self.generation.wind_down();
    }
}
