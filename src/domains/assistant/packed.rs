//! Packed documents: those that somebody chose to stay readable while the main program is away.
//!
//! Whoever reads the pack is not asked which collections are open to them, so only documents of a
//! collection that everyone reads are chosen, and one whose collection is closed later stays out.

use std::io::{self, Read};

use super::Assistant;
use super::documents::Standing;
use super::files;
use super::readers::Gate;
use super::records::{
    BY_CONTENT, COLLECTIONS, DOCUMENTS, Document, FILES, PACKED, Packed, Readers, Sha256,
};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Deed, Reader, Store, Tx, all, under};

/// Documents that may be chosen.
pub const PACKED_MAX: usize = 500;

impl Assistant {
    /// Chooses a document for the pack; nothing happens when it is chosen already.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `document_closed` when its collection is not open to everyone,
    /// `pack_full`.
    pub fn pack(&self, caller: &Caller, id: Id) -> Result<Standing, Fault> {
        may_choose(caller)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let document = Gate::at(tx, &who).find(id)?;
            if !tx.has(&PACKED, &id)? {
                if !open_to_all(tx, &document)? {
                    return Err(Fault::conflict(
                        "document_closed",
                        "Only documents of a collection that everyone reads can be in the pack.",
                    ));
                }
                if tx.list(&PACKED, &all(), PACKED_MAX)?.len() >= PACKED_MAX {
                    return Err(Fault::conflict(
                        "pack_full",
                        format!("{PACKED_MAX} documents are in the pack already."),
                    ));
                }
                let packed = Packed { at: tx.now(), by: who.name().to_owned() };
                tx.put(&PACKED, &id, &packed)?;
                tx.journal(&who, Deed::new("document.pack", id).after(&document.path))?;
            }
            Ok(())
        })?;
        self.document_standing(caller, id)
    }

    /// Chooses a document no longer; nothing happens when it was not chosen.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn unpack(&self, caller: &Caller, id: Id) -> Result<Standing, Fault> {
        may_choose(caller)?;
        let who = caller.clone();
        self.store.write_freeing(move |tx| {
            let document = Gate::at(tx, &who).find(id)?;
            if tx.has(&PACKED, &id)? {
                tx.remove(&PACKED, &id)?;
                tx.journal(&who, Deed::new("document.unpack", id).before(&document.path))?;
            }
            Ok(())
        })?;
        self.document_standing(caller, id)
    }

    /// How a document stands that was just brought.
    pub(super) fn brought(&self, document: Document) -> Result<Standing, Fault> {
        self.store.read(|view| Standing::unread(view, document))
    }

    fn document_standing(&self, caller: &Caller, id: Id) -> Result<Standing, Fault> {
        self.store.read(|view| Standing::of(view, Gate::at(view, caller).find(id)?))
    }

    /// The chosen documents whose collection everyone reads, by path.
    ///
    /// # Errors
    /// `right_missing`: it takes the right to read and that to manage Plan B.
    pub fn packed(&self, caller: &Caller) -> Result<Vec<Document>, Fault> {
        caller.require(Right::ReadDocuments)?;
        caller.require(Right::ManageContinuity)?;
        let mut documents = self.store.read(|view| {
            let mut documents = Vec::new();
            for (id, _) in view.list(&PACKED, &all(), usize::MAX)? {
                let Some(document) = view.get(&DOCUMENTS, &id)? else { continue };
                if open_to_all(view, &document)? {
                    documents.push(document);
                }
            }
            Ok(documents)
        })?;
        documents.sort_by(|a, b| (&a.collection, &a.path).cmp(&(&b.collection, &b.path)));
        Ok(documents)
    }

    /// Opens the bytes of a chosen document's file.
    ///
    /// # Errors
    /// `right_missing` as for [`Assistant::packed`]; `not_found` when no chosen document has that file.
    pub fn open_file(&self, caller: &Caller, hash: Sha256) -> Result<FileReader, Fault> {
        caller.require(Right::ReadDocuments)?;
        caller.require(Right::ManageContinuity)?;
        let file = self.store.read(|view| {
            for ((_, id), ()) in view.list(&BY_CONTENT, &under(&hash), usize::MAX)? {
                let document = view.get(&DOCUMENTS, &id)?.filter(|d| d.sha256 == hash);
                let Some(document) = document else { continue };
                if is_packed(view, id)? && open_to_all(view, &document)? {
                    return view.get(&FILES, &hash);
                }
            }
            Ok(None)
        })?;
        let file = file.ok_or_else(|| Fault::not_found("file"))?;
        let (store, part) = (self.store.clone(), io::Cursor::default());
        Ok(FileReader { store, hash, parts: file.parts, next: 0, part })
    }
}

/// Reads a file's bytes out of the store; at most one part of it is in memory.
pub struct FileReader {
    store: Store,
    hash: Sha256,
    parts: u32,
    next: u32,
    part: io::Cursor<Vec<u8>>,
}

impl Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.part.read(out)?;
            if count > 0 || out.is_empty() || self.next >= self.parts {
                return Ok(count);
            }
            let (hash, number) = (self.hash, self.next);
            let part = self.store.read(|view| files::part(view, &hash, number));
            let part = part.map_err(io::Error::other)?;
            let gone = || io::Error::new(io::ErrorKind::NotFound, "the file was deleted meanwhile");
            self.part = io::Cursor::new(part.ok_or_else(gone)?);
            self.next += 1;
        }
    }
}

/// Whether a document is chosen.
pub(super) fn is_packed(reader: &impl Reader, id: Id) -> Result<bool, Fault> {
    reader.has(&PACKED, &id)
}

/// A document that goes is chosen no longer; the deed that takes it away speaks for this too.
pub(super) fn unpack_gone(tx: &mut Tx<'_>, id: Id) -> Result<(), Fault> {
    tx.remove(&PACKED, &id)
}

fn may_choose(caller: &Caller) -> Result<(), Fault> {
    caller.require(Right::EditDocuments)?;
    caller.require(Right::ManageContinuity)
}

fn open_to_all(reader: &impl Reader, document: &Document) -> Result<bool, Fault> {
    let collection = reader.get(&COLLECTIONS, &document.collection)?;
    Ok(collection.is_some_and(|c| c.readers == Readers::Everyone))
}
