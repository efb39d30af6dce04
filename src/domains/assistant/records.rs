//! Documents, their editions, passages and vectors, and their tables.

pub mod talk;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::clock::Moment;
use crate::base::id::{Id, Lineage};
use crate::engines::readers::Heading;
use crate::records;
use crate::store::{Blob, Table};

/// The SHA-256 of a file's bytes.
pub type Sha256 = [u8; 32];
/// Where a passage stands: its edition, and its place within it.
pub type Place = (u32, u32);

/// Documents by name of record.
pub const DOCUMENTS: Table<Id, Document> = Table::journaled("assistant.documents");
/// Documents by collection and path.
pub const BY_PATH: Table<(String, String), Id> = Table::journaled("assistant.documents_by_path");
/// Documents by their file's bytes.
pub const BY_CONTENT: Table<(Sha256, Id), ()> = Table::journaled("assistant.documents_by_content");
/// Collections by name.
pub const COLLECTIONS: Table<String, Collection> = Table::journaled("assistant.collections");
/// Documents that wait to be read.
pub const TO_READ: Table<Id, Moment> = Table::quiet("assistant.to_read");
/// Files by their bytes' hash.
pub const FILES: Table<Sha256, File> = Table::quiet("assistant.files");
/// A file's bytes in parts of [`FILE_PART`].
pub const FILE_PARTS: Table<(Sha256, u32), Blob> = Table::quiet("assistant.file_parts");
/// Files whose bytes are on their way in and that no document holds yet.
pub const UNFINISHED: Table<Sha256, ()> = Table::quiet("assistant.unfinished");
/// What was read from a document at one time.
pub const EDITIONS: Table<u32, Edition> = Table::followed("assistant.editions");
/// An edition's text in parts of [`TEXT_PART`] characters.
pub const TEXTS: Table<(u32, u32), String> = Table::quiet("assistant.texts");
/// An edition's headings.
pub const HEADINGS: Table<u32, Headings> = Table::quiet("assistant.headings");
/// An edition's passages.
pub const PASSAGES: Table<Place, Passage> = Table::followed("assistant.passages");
/// Passages' vectors: half-precision numbers, little-endian.
pub const VECTORS: Table<Place, Blob> = Table::followed("assistant.vectors");
/// Passages that wait for a vector.
pub const TO_EMBED: Table<Place, ()> = Table::quiet("assistant.to_embed");
/// What was seen in the watched folder, by path.
pub const SEEN: Table<String, Seen> = Table::quiet("assistant.seen");
/// Counters by name.
pub const COUNTERS: Table<String, u64> = Table::quiet("assistant.counters");
/// Documents that are chosen for Plan B's pack.
pub const PACKED: Table<Id, Packed> = Table::journaled("assistant.packed");
/// Names by purpose, for instance which model made the vectors.
pub const NOTES: Table<String, String> = Table::quiet("assistant.notes");

/// Bytes of one part of a file: small enough to sit in a page cache, large enough to stream.
pub const FILE_PART: usize = 256 << 10;
/// Characters of one part of a text.
pub const TEXT_PART: usize = 16_384;

/// How far a document has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits to be read.
    Queued,
    /// It is being read.
    Reading,
    /// Its passages can be found.
    Ready,
    /// It cannot be read; the failure says why.
    Failed,
}

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The fault's stable code.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

/// A document somebody gave to the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// The collection it is in.
    pub collection: String,
    /// Its path within the collection, with `/`.
    pub path: String,
    /// What it calls itself, else its file's name.
    pub title: String,
    /// Who it says wrote it.
    pub author: Option<String>,
    /// The media type of its bytes.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
    /// Its language, as `fr`; empty until it was read.
    pub language: String,
    /// How far it has come.
    pub state: State,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The edition that can be found; none until it was read.
    pub edition: Option<u32>,
    /// Passages of that edition.
    pub passages: u32,
    /// Characters of that edition's text.
    pub characters: u64,
    /// Pages, where the format knows pages.
    pub pages: Option<u32>,
    /// When it says it was written, else when its file was, else when it came.
    pub date: Moment,
    /// When it came.
    pub added_at: Moment,
    /// Who brought it, by name.
    pub added_by: String,
}

/// A collection of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its name of record.
    pub id: Id,
    /// What it descends from.
    pub lineage: Lineage,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Moment,
    /// Who reads it.
    pub readers: Readers,
}

/// Who reads a collection, among those who may read documents at all; see
/// [`may_read`](super::readers::may_read).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readers {
    /// Everyone.
    #[default]
    Everyone,
    /// Those who have one of these roles, and these users.
    Only {
        /// The names of the roles.
        roles: BTreeSet<String>,
        /// The users' names of record.
        users: BTreeSet<Id>,
    },
}

/// A file's bytes, kept once however many documents have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Bytes.
    pub size: u64,
    /// How many parts they are in.
    pub parts: u32,
    /// How many documents have them.
    pub holders: u32,
}

/// What was read from a document at one time. The indexes know documents by their editions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// The document.
    pub document: Id,
    /// Its collection.
    pub collection: String,
    /// Its path.
    pub path: String,
    /// Its title.
    pub title: String,
    /// Its language, as `fr`.
    pub language: String,
    /// Its date.
    pub date: Moment,
    /// The hash of the bytes that were read.
    pub sha256: Sha256,
    /// How many passages it was cut into.
    pub passages: u32,
    /// Characters of its text.
    pub characters: u64,
}

/// An edition's headings, in the order of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headings(pub Vec<Heading>);

/// A piece of a text that answers a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its first character in the text.
    pub start: u64,
    /// The character after its last.
    pub end: u64,
    /// The headings above it, outermost first.
    pub heading: Vec<String>,
    /// Its words.
    pub text: String,
}

/// That a document is chosen to be readable while the main program is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// Since when.
    pub at: Moment,
    /// By whom, by name.
    pub by: String,
}

/// A file of the watched folder as it was when it was learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Moment,
}

records!(Document, Collection = 2, File, Edition, Headings, Passage, Packed, Seen);

/// The number that indexes know a passage by.
pub fn passage_number(place: Place) -> u64 {
    u64::from(place.0) << 32 | u64::from(place.1)
}

/// The place of a passage that an index names.
pub fn place_of(number: u64) -> Place {
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (u32::try_from(number >> 32).unwrap_or(u32::MAX), low)
}

/// A hash in hexadecimal.
pub fn hex(hash: &Sha256) -> String {
    data_encoding::HEXLOWER.encode(hash)
}
