//! The documents' desk: list, open, delete, read again.

use std::ops::ControlFlow;

use serde::Serialize;

use super::Assistant;
use super::files::{self};
use super::packed::{is_packed, unpack_gone};
use super::readers::Gate;
use super::records::{
    BY_CONTENT, BY_PATH, DOCUMENTS, Document, EDITIONS, FILES, File, HEADINGS, Headings, PASSAGES,
    Sha256, State, TEXT_PART, TEXTS, TO_EMBED, TO_READ, VECTORS, hex,
};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Deed, Reader, Tx, View, all, under};

/// The most characters of a text that one call answers.
pub const TEXT_WINDOW_MAX: usize = 200_000;
/// The most documents that one call lists.
pub const LIST_MAX: usize = 1_000;

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

/// A document and how it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The document.
    pub document: Document,
    /// How many of its passages have a vector.
    pub embedded: u32,
    /// Whether it is chosen for Plan B's pack.
    pub in_pack: bool,
}

impl Standing {
    /// How a document stands that was just put among those to be read.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn unread(reader: &impl Reader, document: Document) -> Result<Self, Fault> {
        Ok(Self { in_pack: is_packed(reader, document.id)?, document, embedded: 0 })
    }

    pub(super) fn of(view: &View, document: Document) -> Result<Self, Fault> {
        let embedded = embedded(view, &document)?;
        Ok(Self { embedded, ..Self::unread(view, document)? })
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The documents, newest first.
    pub items: Vec<Standing>,
    /// How many there are in all.
    pub total: usize,
    /// How many of all documents the caller may read are in which state.
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

impl Assistant {
    /// The document of that name.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn document(&self, caller: &Caller, id: Id) -> Result<Standing, Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| Standing::of(view, Gate::at(view, caller).find(id)?))
    }

    /// Lists documents that the caller may read, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn documents(&self, caller: &Caller, asked: &Listing) -> Result<Listed, Fault> {
        caller.require(Right::ReadDocuments)?;
        let wanted = asked.containing.to_lowercase();
        self.store.read(|view| {
            let gate = Gate::at(view, caller);
            let mut counts = Counts::default();
            let mut found = Vec::new();
            view.each(&DOCUMENTS, &all(), |_, document| {
                if !gate.lets(&document.collection)? {
                    return Ok(ControlFlow::Continue(()));
                }
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
            let items =
                page.map(|document| Standing::of(view, document)).collect::<Result<_, _>>()?;
            Ok(Listed { items, total, counts })
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
            let document = Gate::at(view, caller).find(id)?;
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
            let document = Gate::at(view, caller).find(id)?;
            let file =
                view.get(&FILES, &document.sha256)?.ok_or_else(|| Fault::not_found("file"))?;
            Ok((document, file))
        })
    }

    /// One part of the bytes of a document's file; none once the document has another file.
    /// Whether the caller may read it is asked for each part, so that a long download ends with it.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn file_part(
        &self,
        caller: &Caller,
        id: Id,
        hash: &Sha256,
        number: u32,
    ) -> Result<Option<Vec<u8>>, Fault> {
        caller.require(Right::ReadDocuments)?;
        self.store.read(|view| {
            Gate::at(view, caller).find(id)?;
            files::part(view, hash, number)
        })
    }

    /// Deletes a document: no search finds it from now on.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn delete(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        caller.require(Right::EditDocuments)?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let document = Gate::at(tx, &who).find(id)?;
            forget_edition(tx, document.edition)?;
            tx.remove(&DOCUMENTS, &id)?;
            tx.remove(&BY_PATH, &(document.collection.clone(), document.path.clone()))?;
            tx.remove(&BY_CONTENT, &(document.sha256, id))?;
            tx.remove(&TO_READ, &id)?;
            unpack_gone(tx, id)?;
            files::let_go(tx, &document.sha256)?;
            tx.journal(&who, Deed::new("document.delete", id).before(&Shown::of(&document)))
        })
    }

    /// Reads a document again from its bytes; what was found before is found until then.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn read_again(&self, caller: &Caller, id: Id) -> Result<Standing, Fault> {
        caller.require(Right::EditDocuments)?;
        let who = caller.clone();
        let standing = self.store.write(move |tx| {
            let mut document = Gate::at(tx, &who).find(id)?;
            document.state = State::Queued;
            document.failure = None;
            document.lineage = document.lineage.then(tx.revision());
            tx.put(&DOCUMENTS, &id, &document)?;
            let now = tx.now();
            tx.put(&TO_READ, &id, &now)?;
            tx.journal(&who, Deed::new("document.read_again", id))?;
            Standing::unread(tx, document)
        })?;
        self.tasks.wake_reader();
        Ok(standing)
    }
}

/// The document that another row names; whether the caller may read it was asked before.
pub(super) fn standing(reader: &impl Reader, id: Id) -> Result<Document, Fault> {
    reader.get(&DOCUMENTS, &id)?.ok_or_else(|| Fault::not_found("document"))
}

/// How many passages of a document have a vector.
pub(super) fn embedded(view: &View, document: &Document) -> Result<u32, Fault> {
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

/// What the journal shows of a document.
#[derive(Serialize)]
pub(super) struct Shown<'d> {
    collection: &'d str,
    path: &'d str,
    sha256: String,
    size: u64,
}

impl<'d> Shown<'d> {
    pub(super) fn of(document: &'d Document) -> Self {
        Self {
            collection: &document.collection,
            path: &document.path,
            sha256: hex(&document.sha256),
            size: document.size,
        }
    }
}
