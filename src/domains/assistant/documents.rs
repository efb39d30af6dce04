//! The documents' desk: add, list, open, delete, read again.

use std::ops::ControlFlow;

use serde::Serialize;

use super::Assistant;
use super::files::{self, Spooled};
use super::records::{
    BY_CONTENT, BY_PATH, COLLECTIONS, Collection, DOCUMENTS, Document, EDITIONS, FILES, File,
    HEADINGS, Headings, PASSAGES, Sha256, State, TEXT_PART, TEXTS, TO_EMBED, TO_READ, VECTORS, hex,
};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::engines::readers::{FIRST_BYTES, Format};
use crate::records;
use crate::store::{Deed, Reader, Tx, View, all, under};

/// The longest path of a document, bytes.
const PATH_MAX: usize = 1024;
/// The longest name of a collection, characters.
const COLLECTION_MAX: usize = 64;
/// The most characters of a text that one call answers.
pub const TEXT_WINDOW_MAX: usize = 200_000;
/// The most documents that one call lists.
pub const LIST_MAX: usize = 1_000;

/// A document on its way in.
#[derive(Debug)]
pub struct Incoming {
    /// The collection; empty for the usual one.
    pub collection: String,
    /// Its path, as its giver names it.
    pub path: String,
    /// Its bytes.
    pub file: Spooled,
    /// When its file was last written, where that is known.
    pub modified: Option<Moment>,
}

/// What became of a document that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new.
    Added,
    /// Another file stood at its path, and this one takes its place.
    Replaced,
    /// The same file stands at its path.
    Unchanged,
    /// The same file stands in its collection under another path.
    Duplicate,
}

/// A document and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Added {
    /// What became of it.
    pub outcome: Outcome,
    /// The document, or the one that stood there.
    pub document: Document,
}

records!(Added);

/// Which documents to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only those with this in their path or title.
    pub containing: String,
    /// Only this collection.
    pub collection: Option<String>,
    /// Only this state.
    pub state: Option<State>,
    /// How many to skip.
    pub offset: usize,
    /// How many to list.
    pub limit: usize,
}

/// How many documents are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Waiting to be read.
    pub queued: u64,
    /// Being read.
    pub reading: u64,
    /// Found by searches.
    pub ready: u64,
    /// Not readable.
    pub failed: u64,
}

impl Counts {
    pub(super) fn count(&mut self, state: State) {
        match state {
            State::Queued => self.queued += 1,
            State::Reading => self.reading += 1,
            State::Ready => self.ready += 1,
            State::Failed => self.failed += 1,
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The documents, newest first, each with how many of its passages have a vector.
    pub items: Vec<(Document, u32)>,
    /// How many there are in all.
    pub total: usize,
    /// How many of all documents are in which state.
    pub counts: Counts,
}

/// Part of a text.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its first character.
    pub start: usize,
    /// The character after its last.
    pub end: usize,
    /// Characters of the whole text.
    pub length: usize,
    /// The characters.
    pub text: String,
    /// The headings of the whole text.
    pub headings: Headings,
}

/// A path as it is kept: `/` between its parts, without drives, roots, `.` and `..`.
///
/// # Errors
/// `path_invalid`.
pub fn tidy_path(path: &str) -> Result<String, Fault> {
    let invalid = |why: &str| {
        Fault::invalid("path_invalid", format!("This is no path of a document: {why}."))
    };
    let parts: Vec<&str> = path
        .split(['/', '\\'])
        .map(str::trim)
        .filter(|p| !p.is_empty() && *p != "." && !p.ends_with(':'))
        .collect();
    if parts.contains(&"..") {
        return Err(invalid("it climbs out of its folder"));
    }
    let tidy = parts.join("/");
    if tidy.is_empty() {
        return Err(invalid("it is empty"));
    }
    if tidy.len() > PATH_MAX {
        return Err(invalid("it is too long"));
    }
    if tidy.chars().any(char::is_control) {
        return Err(invalid("it has control characters"));
    }
    Ok(tidy)
}

fn tidy_collection(name: &str, usual: &str) -> Result<String, Fault> {
    let name = name.trim();
    let name = if name.is_empty() { usual } else { name };
    if name.chars().count() > COLLECTION_MAX || name.chars().any(|c| c.is_control() || c == '/') {
        return Err(Fault::invalid(
            "collection_invalid",
            format!("A collection's name has at most {COLLECTION_MAX} characters, and no '/'."),
        ));
    }
    Ok(name.to_owned())
}

fn name_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

impl Assistant {
    /// Takes a document in. It is read afterwards; what cannot be read becomes a failed document.
    ///
    /// # Errors
    /// `right_missing`, `path_invalid`, `collection_invalid`, `document_too_large`, `format_unknown`,
    /// `file_empty`, `disk_full`.
    pub fn add(&self, caller: &Caller, incoming: &Incoming) -> Result<Added, Fault> {
        caller.require(Right::EditDocuments)?;
        let path = tidy_path(&incoming.path)?;
        let collection =
            tidy_collection(&incoming.collection, &self.settings.documents.collection)?;
        self.check_size(incoming.file.size)?;
        let format = format_of(&path, &incoming.file)?;
        files::keep(&self.store, &incoming.file)?;
        let draft = Draft {
            collection,
            path,
            media_type: format.media_type().to_owned(),
            size: incoming.file.size,
            sha256: incoming.file.sha256,
            modified: incoming.modified,
        };
        let who = caller.clone();
        let added =
            self.store.write_once(caller, "document.add", move |tx| add(tx, &who, draft))?;
        self.tasks.wake_reader();
        Ok(added)
    }

    /// Refuses a file that is larger than the setting, before its bytes are taken.
    ///
    /// # Errors
    /// `document_too_large`, `file_empty`.
    pub fn check_size(&self, size: u64) -> Result<(), Fault> {
        let limit = self.settings.documents.file_max_mib << 20;
        if size > limit {
            return Err(Fault::too_large(
                "document_too_large",
                format!(
                    "A document has at most {} MiB (setting documents.file_max_mib).",
                    limit >> 20
                ),
            ));
        }
        if size == 0 {
            return Err(Fault::invalid("file_empty", "The file is empty."));
        }
        Ok(())
    }

    /// The document of that name.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn document(&self, caller: &Caller, id: Id) -> Result<(Document, u32), Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| {
            let document = find(view, id)?;
            let embedded = embedded(view, &document)?;
            Ok((document, embedded))
        })
    }

    /// Lists documents, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn documents(&self, caller: &Caller, asked: &Listing) -> Result<Listed, Fault> {
        caller.require(Right::ReadDocuments)?;
        let wanted = asked.containing.to_lowercase();
        self.store.read(|view| {
            let mut counts = Counts::default();
            let mut found = Vec::new();
            view.each(&DOCUMENTS, &all(), |_, document| {
                counts.count(document.state);
                let fits = asked.state.is_none_or(|state| state == document.state)
                    && asked.collection.as_ref().is_none_or(|c| *c == document.collection)
                    && (wanted.is_empty()
                        || document.path.to_lowercase().contains(&wanted)
                        || document.title.to_lowercase().contains(&wanted));
                if fits {
                    found.push(document);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            let total = found.len();
            let page = found.into_iter().rev().skip(asked.offset).take(asked.limit.min(LIST_MAX));
            let items = page
                .map(|document| embedded(view, &document).map(|count| (document, count)))
                .collect::<Result<_, _>>()?;
            Ok(Listed { items, total, counts })
        })
    }

    /// The collections, each with how many documents it has.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn collections(&self, caller: &Caller) -> Result<Vec<(Collection, u64)>, Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| {
            let mut counts = std::collections::BTreeMap::<String, u64>::new();
            view.each(&BY_PATH, &all(), |(collection, _), _| {
                *counts.entry(collection).or_default() += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            let all = view.list(&COLLECTIONS, &all(), usize::MAX)?;
            Ok(all
                .into_iter()
                .map(|(name, collection)| {
                    let count = counts.get(&name).copied().unwrap_or(0);
                    (collection, count)
                })
                .collect())
        })
    }

    /// Part of a document's text, at most [`TEXT_WINDOW_MAX`] characters, with its headings.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `document_unread` when there is no text yet.
    pub fn text(
        &self,
        caller: &Caller,
        id: Id,
        start: usize,
        end: Option<usize>,
    ) -> Result<Window, Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| {
            let document = find(view, id)?;
            let edition = document.edition.ok_or_else(|| {
                Fault::conflict(
                    "document_unread",
                    "This document has no text: it is not read, or cannot be.",
                )
            })?;
            let length = usize::try_from(document.characters).unwrap_or(usize::MAX);
            let start = start.min(length);
            let end = end
                .unwrap_or(length)
                .clamp(start, length)
                .min(start.saturating_add(TEXT_WINDOW_MAX));
            let text = characters(view, edition, start, end)?;
            let headings = view.get(&HEADINGS, &edition)?.unwrap_or(Headings(Vec::new()));
            Ok(Window { start, end, length, text, headings })
        })
    }

    /// The document with its file, for reading its bytes part by part.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn file(&self, caller: &Caller, id: Id) -> Result<(Document, File), Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| {
            let document = find(view, id)?;
            let file =
                view.get(&FILES, &document.sha256)?.ok_or_else(|| Fault::not_found("file"))?;
            Ok((document, file))
        })
    }

    /// One part of a file's bytes.
    ///
    /// # Errors
    /// What the store says.
    pub fn file_part(&self, hash: &Sha256, number: u32) -> Result<Option<Vec<u8>>, Fault> {
        self.store.read(|view| files::part(view, hash, number))
    }

    /// Deletes a document: no search finds it from now on.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn delete(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        caller.require(Right::EditDocuments)?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let document = find(tx, id)?;
            forget_edition(tx, document.edition)?;
            tx.remove(&DOCUMENTS, &id)?;
            tx.remove(&BY_PATH, &(document.collection.clone(), document.path.clone()))?;
            tx.remove(&BY_CONTENT, &(document.sha256, id))?;
            tx.remove(&TO_READ, &id)?;
            files::let_go(tx, &document.sha256)?;
            tx.journal(&who, Deed::new("document.delete", id).before(&Shown::of(&document)))
        })
    }

    /// Reads a document again from its bytes; what was found before is found until then.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn read_again(&self, caller: &Caller, id: Id) -> Result<Document, Fault> {
        caller.require(Right::EditDocuments)?;
        let who = caller.clone();
        let document = self.store.write(move |tx| {
            let mut document = find(tx, id)?;
            document.state = State::Queued;
            document.failure = None;
            document.lineage = document.lineage.then(tx.revision());
            tx.put(&DOCUMENTS, &id, &document)?;
            let now = tx.now();
            tx.put(&TO_READ, &id, &now)?;
            tx.journal(&who, Deed::new("document.read_again", id))?;
            Ok(document)
        })?;
        self.tasks.wake_reader();
        Ok(document)
    }
}

/// The document of that name, or `not_found`.
pub(super) fn find(reader: &impl Reader, id: Id) -> Result<Document, Fault> {
    reader.get(&DOCUMENTS, &id)?.ok_or_else(|| Fault::not_found("document"))
}

/// How many passages of a document have a vector.
fn embedded(view: &View, document: &Document) -> Result<u32, Fault> {
    let Some(edition) = document.edition else { return Ok(0) };
    let mut waiting = 0;
    view.each(&TO_EMBED, &under(&edition), |_, ()| {
        waiting += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(document.passages.saturating_sub(waiting))
}

/// Characters `start..end` of an edition's text.
pub(super) fn characters(
    view: &View,
    edition: u32,
    start: usize,
    end: usize,
) -> Result<String, Fault> {
    let mut text = String::new();
    let first = start / TEXT_PART;
    let last = end.saturating_sub(1) / TEXT_PART;
    for number in first..=last.max(first) {
        let key = (edition, u32::try_from(number).unwrap_or(u32::MAX));
        let Some(part) = view.get(&TEXTS, &key)? else { break };
        let offset = number * TEXT_PART;
        let from = start.saturating_sub(offset);
        let upto = end.saturating_sub(offset).min(TEXT_PART);
        text.extend(part.chars().take(upto).skip(from));
    }
    Ok(text)
}

/// Takes everything that was read away, passages and vectors included.
pub(super) fn forget_edition(tx: &mut Tx<'_>, edition: Option<u32>) -> Result<(), Fault> {
    let Some(edition) = edition else { return Ok(()) };
    let span = under(&edition);
    tx.remove(&EDITIONS, &edition)?;
    tx.remove(&HEADINGS, &edition)?;
    tx.remove_span(&TEXTS, &span)?;
    tx.remove_span(&PASSAGES, &span)?;
    tx.remove_span(&VECTORS, &span)?;
    tx.remove_span(&TO_EMBED, &span)?;
    Ok(())
}

fn format_of(path: &str, file: &Spooled) -> Result<Format, Fault> {
    use std::io::Read;
    let mut first = Vec::with_capacity(FIRST_BYTES);
    std::fs::File::open(&file.path)
        .and_then(|f| f.take(FIRST_BYTES as u64).read_to_end(&mut first))
        .map_err(|e| Fault::broken("looking at a document", e))?;
    Format::detect(path, &first)
}

/// What is known of a document before it is read.
struct Draft {
    collection: String,
    path: String,
    media_type: String,
    size: u64,
    sha256: Sha256,
    modified: Option<Moment>,
}

/// What the journal shows of a document.
#[derive(Serialize)]
struct Shown<'d> {
    collection: &'d str,
    path: &'d str,
    sha256: String,
    size: u64,
}

impl<'d> Shown<'d> {
    fn of(document: &'d Document) -> Self {
        Self {
            collection: &document.collection,
            path: &document.path,
            sha256: hex(&document.sha256),
            size: document.size,
        }
    }
}

fn add(tx: &mut Tx<'_>, caller: &Caller, draft: Draft) -> Result<Added, Fault> {
    let key = (draft.collection.clone(), draft.path.clone());
    if let Some(id) = tx.get(&BY_PATH, &key)? {
        let old = find(tx, id)?;
        if old.sha256 == draft.sha256 && old.state != State::Failed {
            return Ok(Added { outcome: Outcome::Unchanged, document: old });
        }
        return replace(tx, caller, &old, draft);
    }
    let twins = tx.list(&BY_CONTENT, &under(&draft.sha256), usize::MAX)?;
    for ((_, id), ()) in twins {
        let twin = find(tx, id)?;
        if twin.collection == draft.collection && twin.state != State::Failed {
            return Ok(Added { outcome: Outcome::Duplicate, document: twin });
        }
    }
    make_collection(tx, caller, &draft.collection)?;
    files::hold(tx, &draft.sha256)?;
    let document = Document {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        title: name_of(&draft.path),
        collection: draft.collection,
        path: draft.path,
        author: None,
        media_type: draft.media_type,
        size: draft.size,
        sha256: draft.sha256,
        language: String::new(),
        state: State::Queued,
        failure: None,
        edition: None,
        passages: 0,
        characters: 0,
        pages: None,
        date: draft.modified.unwrap_or(tx.now()),
        added_at: tx.now(),
        added_by: caller.name().to_owned(),
    };
    tx.put(&DOCUMENTS, &document.id, &document)?;
    tx.put(&BY_PATH, &key, &document.id)?;
    tx.put(&BY_CONTENT, &(document.sha256, document.id), &())?;
    tx.put(&TO_READ, &document.id, &document.added_at)?;
    tx.journal(caller, Deed::new("document.add", document.id).after(&Shown::of(&document)))?;
    Ok(Added { outcome: Outcome::Added, document })
}

/// Puts another file in a document's place. Its old passages answer until the new ones are read.
fn replace(tx: &mut Tx<'_>, caller: &Caller, old: &Document, draft: Draft) -> Result<Added, Fault> {
    if old.sha256 != draft.sha256 {
        files::hold(tx, &draft.sha256)?;
        files::let_go(tx, &old.sha256)?;
        tx.remove(&BY_CONTENT, &(old.sha256, old.id))?;
        tx.put(&BY_CONTENT, &(draft.sha256, old.id), &())?;
    }
    let document = Document {
        lineage: old.lineage.then(tx.revision()),
        media_type: draft.media_type,
        size: draft.size,
        sha256: draft.sha256,
        state: State::Queued,
        failure: None,
        date: draft.modified.unwrap_or(tx.now()),
        added_at: tx.now(),
        added_by: caller.name().to_owned(),
        ..old.clone()
    };
    tx.put(&DOCUMENTS, &document.id, &document)?;
    tx.put(&TO_READ, &document.id, &document.added_at)?;
    let deed = Deed::new("document.replace", document.id);
    tx.journal(caller, deed.before(&Shown::of(old)).after(&Shown::of(&document)))?;
    Ok(Added { outcome: Outcome::Replaced, document })
}

fn make_collection(tx: &mut Tx<'_>, caller: &Caller, name: &String) -> Result<(), Fault> {
    if tx.has(&COLLECTIONS, name)? {
        return Ok(());
    }
    let collection = Collection {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        name: name.clone(),
        created_at: tx.now(),
    };
    tx.put(&COLLECTIONS, name, &collection)?;
    tx.journal(caller, Deed::new("collection.add", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_tidy_and_never_climbs() {
        assert_eq!(tidy_path("/a//b/./c.md").unwrap(), "a/b/c.md");
        assert_eq!(tidy_path("C:\\Dossier\\été.txt").unwrap(), "Dossier/été.txt");
        for bad in ["", "/", "a/../b", "a\u{0}b", &"x".repeat(PATH_MAX + 1)] {
            assert_eq!(tidy_path(bad).unwrap_err().code, "path_invalid", "{bad:?}");
        }
    }
}
