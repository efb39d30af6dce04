//! Reading: what waits is read in a child process, cut into passages, and put in place at once.

use std::fs;
use std::io::Write;

use super::documents::forget_edition;
use super::passages::{self, Cut};
use super::records::{
    COUNTERS, DOCUMENTS, Document, EDITIONS, Edition, FILES, Failure, HEADINGS, Headings, PASSAGES,
    Passage, State, TEXT_PART, TEXTS, TO_EMBED, TO_READ,
};
use super::{Assistant, files};
use crate::base::caller::Caller;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::base::tasks::Handle;
use crate::engines::language;
use crate::engines::readers::{Extract, FIRST_BYTES, Format};
use crate::store::{Deed, Reader, Tx, all, from};

/// The counter of editions.
const EDITION: &str = "edition";
/// The longest title taken from a document, characters.
const TITLE_MAX: usize = 300;

/// What came out of a document, ready to be put in place.
struct Read {
    extract: Extract,
    cuts: Vec<Cut>,
    language: &'static str,
}

impl Assistant {
    /// Reads what waits, one document after another, until nothing waits or the handle says stop.
    ///
    /// # Errors
    /// What kept a document from being tried; the ones behind it were tried all the same. A document
    /// that cannot be read is no error but a failed document.
    pub fn read_waiting(&self, handle: &Handle) -> Result<(), Fault> {
        let mut behind = None;
        let mut first_fault = None;
        while !handle.stopped() {
            let span = behind.as_ref().map_or_else(all, from);
            let waiting = self.store.read(|view| view.list(&TO_READ, &span, 2))?;
            let next = waiting.into_iter().map(|(id, _)| id).find(|id| behind != Some(*id));
            let Some(id) = next else { break };
            match self.read_one(id) {
                Ok(()) => self.tasks.wake_embedder(),
                // Without room or without the store the next one would fare no better.
                Err(fault) if matches!(fault.kind, Kind::Full | Kind::Unavailable) => {
                    return Err(fault);
                }
                Err(fault) => drop(first_fault.get_or_insert(fault)),
            }
            behind = Some(id);
        }
        first_fault.map_or(Ok(()), Err)
    }

    fn read_one(&self, id: Id) -> Result<(), Fault> {
        let document = self.store.write(move |tx| {
            let Some(mut document) = tx.get(&DOCUMENTS, &id)? else {
                tx.remove(&TO_READ, &id)?;
                return Ok(None);
            };
            document.state = State::Reading;
            // Progress, not a deed: the row is put as it is, without a revision of its own.
            tx.set_raw(
                DOCUMENTS.name,
                crate::store::key::Key::bytes(&id),
                Some(crate::store::Record::encode(&document)?),
            )?;
            Ok(Some(document))
        })?;
        let Some(document) = document else { return Ok(()) };
        match self.extract(&document).and_then(|extract| self.digest(&document, extract)) {
            Ok(read) => self.put_in_place(&document, read),
            // The box could not try: the document waits, and the task tries again.
            Err(fault) if matches!(fault.kind, Kind::Broken | Kind::Full | Kind::Unavailable) => {
                Err(fault)
            }
            Err(fault) => self.put_down(&document, &fault),
        }
    }

    /// Spools the document's bytes and reads them in a child process.
    fn extract(&self, document: &Document) -> Result<Extract, Fault> {
        let spool = |e| Fault::broken("spooling a document to read it", e);
        let path = self.places.spool.join(format!("read-{}", document.id));
        let _spooled =
            files::Spooled { path: path.clone(), size: 0, sha256: document.sha256, ours: true };
        let file = self
            .store
            .read(|view| view.get(&FILES, &document.sha256))?
            .ok_or_else(|| Fault::not_found("file"))?;
        let mut first = Vec::new();
        let mut out = fs::File::create(&path).map_err(spool)?;
        for number in 0..file.parts {
            let part = self
                .store
                .read(|view| files::part(view, &document.sha256, number))?
                .ok_or_else(|| Fault::not_found("file"))?;
            if number == 0 {
                first = part.get(..part.len().min(FIRST_BYTES)).unwrap_or_default().to_vec();
            }
            out.write_all(&part).map_err(spool)?;
        }
        drop(out);
        let format = Format::detect(&document.path, &first)?;
        self.reader.read(format, &path)
    }

    /// Cuts an extract into passages and finds out its language.
    fn digest(&self, _: &Document, extract: Extract) -> Result<Read, Fault> {
        let cuts = passages::cut(&extract.text, &extract.headings, &self.settings.passages);
        if cuts.is_empty() {
            return Err(Fault::new(
                Kind::Unprocessable,
                "document_without_text",
                "There is no text in this document; a scan has to be recognised first.",
            ));
        }
        let language = language::detect(&extract.text).code();
        Ok(Read { extract, cuts, language })
    }

    /// Puts what was read in place of what was there, in one transaction.
    fn put_in_place(&self, document: &Document, read: Read) -> Result<(), Fault> {
        let (id, hash) = (document.id, document.sha256);
        self.store.write(move |tx| {
            // Deleted or replaced meanwhile: what was read is nobody's.
            let Some(document) = tx.get(&DOCUMENTS, &id)?.filter(|d| d.sha256 == hash) else {
                return Ok(());
            };
            place(tx, document, read)
        })
    }

    /// Marks a document as not readable, with the reason.
    fn put_down(&self, document: &Document, fault: &Fault) -> Result<(), Fault> {
        let (id, hash) = (document.id, document.sha256);
        let failure = Failure { code: fault.code.to_owned(), detail: fault.message.clone() };
        tracing::info!(document = %id, code = fault.code, "a document cannot be read");
        self.store.write(move |tx| {
            let Some(document) = tx.get(&DOCUMENTS, &id)?.filter(|d| d.sha256 == hash) else {
                return Ok(());
            };
            forget_edition(tx, document.edition)?;
            let failed = Document {
                lineage: document.lineage.then(tx.revision()),
                state: State::Failed,
                failure: Some(failure.clone()),
                edition: None,
                passages: 0,
                characters: 0,
                ..document
            };
            tx.put(&DOCUMENTS, &id, &failed)?;
            tx.remove(&TO_READ, &id)?;
            tx.journal(&Caller::task("reader"), Deed::new("document.fail", id).after(&failure))
        })
    }

    /// Puts a text in place that came without a file, for measurements: it is found like any other.
    ///
    /// # Errors
    /// `document_without_text`, or what the store says.
    pub fn learn(
        &self,
        caller: &Caller,
        incoming: &super::adding::Incoming,
        extract: Extract,
    ) -> Result<Id, Fault> {
        let added = self.add(caller, incoming)?.document;
        let read = self.digest(&added, extract)?;
        self.put_in_place(&added, read)?;
        self.tasks.wake_embedder();
        Ok(added.id)
    }
}

fn place(tx: &mut Tx<'_>, document: Document, read: Read) -> Result<(), Fault> {
    let id = document.id;
    forget_edition(tx, document.edition)?;
    let number = tx.get(&COUNTERS, &EDITION.to_owned())?.unwrap_or(0) + 1;
    tx.put(&COUNTERS, &EDITION.to_owned(), &number)?;
    let edition = u32::try_from(number).map_err(|e| Fault::broken("counting editions", e))?;
    let Read { extract, cuts, language } = read;
    let title = extract.title.filter(|t| !t.trim().is_empty());
    let title =
        title.map_or(document.title.clone(), |t| t.trim().chars().take(TITLE_MAX).collect());
    let count = u32::try_from(cuts.len()).map_err(|e| Fault::broken("counting passages", e))?;
    let length = put_text(tx, edition, &extract.text)?;
    tx.put(&HEADINGS, &edition, &Headings(extract.headings))?;
    for (ordinal, cut) in (0u32..).zip(cuts) {
        let passage = Passage {
            start: cut.start as u64,
            end: cut.end as u64,
            heading: cut.heading,
            text: cut.text,
        };
        tx.put(&PASSAGES, &(edition, ordinal), &passage)?;
        tx.put(&TO_EMBED, &(edition, ordinal), &())?;
    }
    let ready = Document {
        lineage: document.lineage.then(tx.revision()),
        title,
        author: extract.author,
        language: language.to_owned(),
        state: State::Ready,
        failure: None,
        edition: Some(edition),
        passages: count,
        characters: length,
        pages: extract.pages,
        date: extract.date.unwrap_or(document.date),
        ..document
    };
    tx.put(&DOCUMENTS, &id, &ready)?;
    tx.put(
        &EDITIONS,
        &edition,
        &Edition {
            document: id,
            collection: ready.collection.clone(),
            path: ready.path.clone(),
            title: ready.title.clone(),
            language: ready.language.clone(),
            date: ready.date,
            sha256: ready.sha256,
            passages: count,
            characters: length,
        },
    )?;
    tx.remove(&TO_READ, &id)?;
    tx.journal(&Caller::task("reader"), Deed::new("document.read", id))
}

/// Writes a text in parts; the answer is its length in characters.
fn put_text(tx: &mut Tx<'_>, edition: u32, text: &str) -> Result<u64, Fault> {
    let mut rest = text;
    let mut length = 0u64;
    let mut number = 0u32;
    while !rest.is_empty() {
        let cut = rest.char_indices().nth(TEXT_PART).map_or(rest.len(), |(at, _)| at);
        let (part, after) = rest.split_at(cut);
        length += part.chars().count() as u64;
        tx.put(&TEXTS, &(edition, number), &part.to_owned())?;
        number += 1;
        rest = after;
    }
    Ok(length)
}
