//! Documents, passages and search: the person with a question gets passages with their sources.

pub mod adding;
pub mod answers;
pub mod citing;
pub mod collections;
pub mod conversations;
pub mod documents;
pub mod eval;
mod files;
mod folding;
mod following;
pub mod fusion;
pub mod generation;
pub mod history;
mod inbox;
mod meaning;
pub mod models;
pub mod packed;
pub mod passages;
pub mod prompts;
mod queue;
pub mod readers;
mod reading;
pub mod records;
pub mod routes;
pub mod search;
pub mod steps;
pub mod thinking;
pub mod wishes;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use files::Spooled;

use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::tasks::{Handle, Tasks};
use crate::engines::embedding::Embedder;
use crate::engines::fulltext::FullText;
use crate::engines::readers::Limits;
use crate::engines::readers::child::{ChildLimits, Reader};
use crate::engines::reranking::Reranker;
use crate::engines::vectors::Vectors;
use crate::store::Store;
use following::{Followed, Progress};
use passages::Cutting;
use records::Seen;

/// Settings under `[documents]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentSettings {
    /// The largest file taken, MiB.
    pub file_max_mib: u64,
    /// The collection of documents that name none.
    pub collection: String,
    /// Whether `data/inbox` is watched.
    pub inbox: bool,
    /// How often it is looked at, seconds.
    pub inbox_seconds: u64,
    /// Memory for reading one document, MiB.
    pub read_memory_mib: u64,
    /// Processor time for reading one document, seconds.
    pub read_cpu_seconds: u64,
    /// Time on the wall for reading one document, seconds.
    pub read_wall_seconds: u64,
}

impl Default for DocumentSettings {
    fn default() -> Self {
        Self {
            file_max_mib: 200,
            collection: "general".into(),
            inbox: true,
            inbox_seconds: 2,
            read_memory_mib: 512,
            read_cpu_seconds: 20,
            read_wall_seconds: 60,
        }
    }
}

/// Settings under `[search]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// The folder under `models/` of the model that embeds.
    pub model: String,
    /// What the meaning counts in the common score; the words count the rest.
    pub vector_weight: f32,
    /// The same for questions in a language that the model was not made for.
    pub vector_weight_foreign: f32,
    /// How many passages each retriever proposes.
    pub depth: usize,
    /// After how long without a search memory is given back, seconds.
    pub idle_unload_seconds: u64,
    /// The folder under `models/` of a model that judges passages for answers; empty for none. One that
    /// was chosen on the shelf of models goes before it.
    pub reranker: String,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            model: "all-minilm-l6-v2".into(),
            vector_weight: fusion::VECTOR_WEIGHT,
            vector_weight_foreign: fusion::VECTOR_WEIGHT_FOREIGN,
            depth: 100,
            idle_unload_seconds: 600,
            reranker: String::new(),
        }
    }
}

/// Everything the assistant is set by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AssistantSettings {
    /// Documents.
    pub documents: DocumentSettings,
    /// Passages.
    pub passages: Cutting,
    /// Search.
    pub search: SearchSettings,
}

/// Where the assistant keeps things outside the store.
#[derive(Debug, Clone)]
pub struct Places {
    /// The indexes' folder.
    pub index: PathBuf,
    /// Files on their way in and out.
    pub spool: PathBuf,
    /// The watched folder.
    pub inbox: PathBuf,
    /// The models' folder.
    pub models: PathBuf,
}

/// The assistant's desk. Clones are the same desk.
#[derive(Clone)]
pub struct Assistant {
    store: Store,
    clock: Arc<dyn Clock>,
    health: Health,
    settings: Arc<AssistantSettings>,
    places: Arc<Places>,
    reader: Reader,
    desk: Arc<Desk>,
    tasks: Wakers,
}

/// What filters need to know of an edition.
struct Known {
    collection: String,
    language: String,
    path: String,
    date: Moment,
}

struct Desk {
    words: RwLock<Arc<FullText>>,
    vectors: RwLock<Option<Arc<Vectors>>>,
    embedder: RwLock<Option<Arc<Embedder>>>,
    /// The model that judges passages, by name.
    judge: Mutex<Option<(String, Arc<Reranker>)>>,
    editions: RwLock<HashMap<u32, Known>>,
    /// None until the first turn of the follower.
    vectors_at: Mutex<Option<Followed>>,
    words_seq: AtomicU64,
    rebuilding: Mutex<()>,
    progress: Mutex<Option<Progress>>,
    inbox: Mutex<BTreeMap<String, Seen>>,
    /// Boot clock of the last search, seconds.
    searched: AtomicU64,
}

/// The tasks that wait for each other's work.
#[derive(Clone, Default)]
struct Wakers(Arc<Mutex<BTreeMap<&'static str, Handle>>>);

impl Wakers {
    fn put(&self, name: &'static str, handle: Handle) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, handle);
    }

    fn wake(&self, name: &'static str) {
        if let Some(handle) =
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(name)
        {
            handle.wake();
        }
    }

    fn stop(&self) {
        for handle in self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values() {
            handle.stop();
        }
    }

    fn wake_reader(&self) {
        self.wake(READER);
    }

    fn wake_embedder(&self) {
        self.wake(EMBEDDER);
    }

    fn wake_follower(&self) {
        self.wake(FOLLOWER);
    }

    fn wake_inbox(&self) {
        self.wake(INBOX);
    }
}

const READER: &str = "reader";
const EMBEDDER: &str = "embedder";
const FOLLOWER: &str = "follower";
const INBOX: &str = "inbox";
const MEMORY: &str = "memory";

/// How often a task looks whether something waits although nobody woke it.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often memory is looked after.
const TEND_EVERY: Duration = Duration::from_secs(5);

impl Assistant {
    /// Opens the desk: the indexes that are there, and what a crash left is tidied.
    ///
    /// # Errors
    /// What the store or the file system says. A damaged index is no error: it is made anew.
    /// `thorough` compares every checksum of the index of words: ask for it after an unclean stop.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        health: Health,
        settings: AssistantSettings,
        places: Places,
        program: PathBuf,
        thorough: bool,
    ) -> Result<Self, Fault> {
        let words = FullText::open(&places.index, thorough).or_else(|fault| {
            tracing::warn!("the index of words is made anew: {fault}");
            health.report("words", Level::Reduced, "The index of words is being made anew.", "");
            let fresh = FullText::create_beside(&places.index)?;
            fresh.promote()?;
            Ok::<_, Fault>(fresh)
        })?;
        let documents = &settings.documents;
        let limits = ChildLimits {
            memory_bytes: documents.read_memory_mib << 20,
            cpu_seconds: documents.read_cpu_seconds,
            wall: Duration::from_secs(documents.read_wall_seconds),
            document: Limits {
                bytes_max: usize::try_from(documents.file_max_mib << 20).unwrap_or(usize::MAX),
                ..Limits::default()
            },
        };
        let desk = Desk {
            words: RwLock::new(Arc::new(words)),
            vectors: RwLock::default(),
            embedder: RwLock::default(),
            judge: Mutex::default(),
            editions: RwLock::default(),
            vectors_at: Mutex::default(),
            words_seq: AtomicU64::new(0),
            rebuilding: Mutex::default(),
            progress: Mutex::default(),
            inbox: Mutex::default(),
            searched: AtomicU64::new(0),
        };
        let assistant = Self {
            store,
            clock,
            health,
            settings: Arc::new(settings),
            places: Arc::new(places),
            reader: Reader { program, limits },
            desk: Arc::new(desk),
            tasks: Wakers::default(),
        };
        files::forget_unheld(&assistant.store)?;
        assistant.load_editions()?;
        assistant.find_model()?;
        Ok(assistant)
    }

    /// Starts the tasks that read, embed, follow, watch and tidy.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        let desk = self.clone();
        self.tasks.put(FOLLOWER, tasks.every(FOLLOWER, LOOK_EVERY, move |h| desk.follow(h))?);
        let wakers = self.tasks.clone();
        self.store.on_commit(move |_| wakers.wake_follower());
        let desk = self.clone();
        self.tasks.put(READER, tasks.every(READER, LOOK_EVERY, move |h| desk.read_waiting(h))?);
        let desk = self.clone();
        self.tasks
            .put(EMBEDDER, tasks.every(EMBEDDER, LOOK_EVERY, move |h| desk.embed_waiting(h))?);
        let desk = self.clone();
        self.tasks.put(MEMORY, tasks.every(MEMORY, TEND_EVERY, move |h| desk.tend_memory(h))?);
        if self.settings.documents.inbox {
            let desk = self.clone();
            let period = Duration::from_secs(self.settings.documents.inbox_seconds.max(1));
            self.tasks.put(INBOX, tasks.every(INBOX, period, move |h| desk.look_into_inbox(h))?);
        }
        Ok(())
    }

    /// The most bytes a file may have.
    pub fn file_bytes_max(&self) -> u64 {
        self.settings.documents.file_max_mib << 20
    }

    /// Where files on their way in are spooled.
    pub fn spool(&self) -> PathBuf {
        self.places.spool.clone()
    }
}
