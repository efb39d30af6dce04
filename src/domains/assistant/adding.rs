//! Adding: where a document comes in, under which path, and what becomes of what stood there.

use serde::Serialize;

use super::Assistant;
use super::collections;
use super::documents::{Shown, standing};
use super::files::{self, Spooled};
use super::records::{BY_CONTENT, BY_PATH, DOCUMENTS, Document, Sha256, State, TO_READ};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Lineage;
use crate::engines::readers::{FIRST_BYTES, Format};
use crate::records;
use crate::store::{Deed, Reader, Tx, under};

/// The longest path of a document, bytes.
const PATH_MAX: usize = 1024;

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

fn name_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

impl Assistant {
    /// Takes a document in. It is read afterwards; what cannot be read becomes a failed document.
    ///
    /// # Errors
    /// `right_missing`, `path_invalid`, `collection_invalid`, `collection_closed`,
    /// `document_too_large`, `format_unknown`, `file_empty`, `disk_full`.
    pub fn add(&self, caller: &Caller, incoming: &Incoming) -> Result<Added, Fault> {
        caller.require(Right::EditDocuments)?;
        let path = tidy_path(&incoming.path)?;
        let usual = &self.settings.documents.collection;
        let collection = collections::tidy(&incoming.collection, usual)?;
        self.check_size(incoming.file.size)?;
        // Asked again in the write itself; here it spares the disk a file that is not wanted.
        self.store.read(|view| collections::admits(view, caller, &collection))?;
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

fn add(tx: &mut Tx<'_>, caller: &Caller, draft: Draft) -> Result<Added, Fault> {
    // Before anything is looked up: what is found below is told to the giver.
    collections::open(tx, caller, &draft.collection)?;
    let key = (draft.collection.clone(), draft.path.clone());
    if let Some(id) = tx.get(&BY_PATH, &key)? {
        let old = standing(tx, id)?;
        if old.sha256 == draft.sha256 && old.state != State::Failed {
            return Ok(Added { outcome: Outcome::Unchanged, document: old });
        }
        return replace(tx, caller, &old, draft);
    }
    let twins = tx.list(&BY_CONTENT, &under(&draft.sha256), usize::MAX)?;
    for ((_, id), ()) in twins {
        let twin = standing(tx, id)?;
        if twin.collection == draft.collection && twin.state != State::Failed {
            return Ok(Added { outcome: Outcome::Duplicate, document: twin });
        }
    }
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
