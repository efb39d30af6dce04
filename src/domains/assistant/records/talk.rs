//! Models, conversations, the history and prompts, and their tables.

use serde::{Deserialize, Serialize};

use super::Sha256;
use crate::base::clock::Moment;
use crate::base::id::{Id, Lineage};
use crate::engines::generation::{Role, Usage};
use crate::records;
use crate::store::Table;

/// Installed models by the name of their folder.
pub const MODELS: Table<String, Model> = Table::journaled("assistant.models");
/// Which model does a kind of work, by the kind's word.
pub const CHOSEN: Table<String, String> = Table::journaled("assistant.chosen");
/// The sealed key of a server that generates for this box, by its place; see `upstream`.
pub const UPSTREAM_KEYS: Table<String, crate::store::Blob> =
    Table::journaled("assistant.upstream_keys");
/// Conversations by name of record.
pub const CONVERSATIONS: Table<Id, Conversation> = Table::journaled("assistant.conversations");
/// Conversations of a user by when something was last said.
pub const CONVERSATIONS_OF: Table<(Id, Moment, Id), ()> =
    Table::journaled("assistant.conversations_of");
/// What was said, by conversation and place.
pub const TURNS: Table<(Id, u32), Turn> = Table::journaled("assistant.turns");
/// The history by number.
pub const EVENTS: Table<u64, Event> = Table::quiet("assistant.events");
/// The history of a user by number.
pub const EVENTS_OF: Table<(Id, u64), ()> = Table::quiet("assistant.events_of");
/// How much history there is, under the one key `()`.
pub const EVENTS_HELD: Table<(), Held> = Table::quiet("assistant.events_held");
/// Prompts of a user by their text's SHA-256.
pub const PROMPTS: Table<(Id, Sha256), SavedPrompt> = Table::quiet("assistant.prompts");

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// It writes.
    Language,
    /// It judges how well a passage answers a question.
    Reranker,
}

/// A model that was checked and let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The name of its folder under `models/`.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Its files, each with its bytes and hash, largest first.
    pub files: Vec<ModelFile>,
    /// What was found in it: the engine's card, as JSON.
    pub card: String,
    /// When it was let in.
    pub added_at: Moment,
    /// Who let it in, by name.
    pub added_by: String,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its name in the model's folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
}

/// A conversation with the assistant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// Whose it is.
    pub owner: Id,
    /// What it is called.
    pub title: String,
    /// Whether a person gave it that title.
    pub titled: bool,
    /// The collection it asks; none asks all that are open.
    pub collection: Option<String>,
    /// When it began.
    pub created_at: Moment,
    /// When something was last said.
    pub updated_at: Moment,
    /// How many turns it has.
    pub turns: u32,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A person wrote it.
    Person,
    /// A model wrote it from passages.
    Grounded,
    /// It is made of the passages' own sentences.
    Extract,
    /// A model wrote it by itself.
    Model,
    /// The documents do not say.
    NotFound,
}

/// How far an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is whole.
    Whole,
    /// It was stopped; what was written until then is kept.
    Stopped,
    /// It broke off; what was written until then is kept.
    Failed,
}

/// One thing that was said in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Its name of record.
    pub id: Id,
    /// Its place in the conversation, from 1.
    pub ordinal: u32,
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
    /// When.
    pub at: Moment,
    /// How it came about.
    pub origin: Origin,
    /// How far it came.
    pub outcome: Outcome,
    /// Why it broke off: a fault's code.
    pub failure: Option<String>,
    /// The passages it cites.
    pub citations: Vec<Citation>,
    /// The model that wrote it.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Usage,
    /// Milliseconds from the question to its end.
    pub took_ms: u64,
    /// What was looked for in place of a question that leans on what was said before.
    pub searched_for: Option<String>,
    /// The documents whose words it was made of, cited or not.
    pub given: Vec<Id>,
}

/// A passage that an answer cites. Its words are read anew for whoever looks, and only if they may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// The number in the answer's text, from 1.
    pub number: u32,
    /// The document.
    pub document: Id,
    /// The edition that was read.
    pub edition: u32,
    /// The passage's place in it.
    pub passage: u32,
}

/// Something that happened to the assistant (assistant.md §3.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What, as `chat.answer`.
    pub kind: String,
    /// Who did it; none for the box itself.
    pub user: Option<Id>,
    /// Their name then.
    pub username: String,
    /// The session it was done in.
    pub session: Option<String>,
    /// The plugin it is about.
    pub plugin: Option<String>,
    /// What there is to know of it, as JSON with its secrets masked.
    pub payload: String,
    /// When.
    pub at: Moment,
}

/// How much history there is; written with every event that comes or goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The number that was given last; numbers are never given twice.
    pub last: u64,
    /// How many events there are.
    pub count: u64,
    /// Bytes of their rows.
    pub bytes: u64,
}

/// A prompt that somebody used or wants to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPrompt {
    /// Its text.
    pub prompt: String,
    /// Whether it is kept on purpose.
    pub favourite: bool,
    /// How often it was used.
    pub used: u64,
    /// When it was last used or saved.
    pub last_used: Moment,
}

records!(Model, Conversation, Turn, Event, Held, SavedPrompt);
