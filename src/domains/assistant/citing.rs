//! Citations read anew: a place is kept, its words are fetched for whoever looks, and only if they may.

use super::readers::Gate;
use super::records::talk::{Citation, Origin, Turn};
use super::records::{DOCUMENTS, EDITIONS, PASSAGES};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::Reader;

/// A citation as somebody sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cited {
    /// The number in the answer's text.
    pub number: u32,
    /// The passage's place in its document.
    pub passage: u32,
    /// The document; none when it is gone, or closed to whoever looks.
    pub source: Option<Source>,
    /// The passage's words; none when its edition was replaced or is closed.
    pub words: Option<Words>,
}

/// The document that a citation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name of record.
    pub document: Id,
    /// Its collection.
    pub collection: String,
    /// Its title.
    pub title: String,
    /// Its path.
    pub path: String,
}

/// What a cited passage says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Its first character in the document's text.
    pub start: u64,
    /// The character after its last.
    pub end: u64,
    /// Its text.
    pub text: String,
    /// The headings above it, outermost first.
    pub heading: Vec<String>,
}

impl Cited {
    /// A citation that shows nothing.
    fn closed(citation: &Citation) -> Self {
        Self { number: citation.number, passage: citation.passage, source: None, words: None }
    }
}

/// Reads a citation for the caller of `gate`.
fn read<R: Reader>(reader: &R, gate: &Gate<'_, R>, citation: &Citation) -> Result<Cited, Fault> {
    let mut cited = Cited::closed(citation);
    let edition = reader.get(&EDITIONS, &citation.edition)?;
    if let Some(edition) = edition.filter(|edition| edition.document == citation.document) {
        if !gate.lets(&edition.collection)? {
            return Ok(cited);
        }
        cited.source = Some(Source {
            document: edition.document,
            collection: edition.collection,
            title: edition.title,
            path: edition.path,
        });
        let passage = reader.get(&PASSAGES, &(citation.edition, citation.passage))?;
        cited.words = passage.map(|passage| Words {
            start: passage.start,
            end: passage.end,
            text: passage.text,
            heading: passage.heading,
        });
    } else if let Some(document) = reader.get(&DOCUMENTS, &citation.document)?
        && gate.lets(&document.collection)?
    {
        // Its edition was replaced: where to look is still known, what was read there is not.
        cited.source = Some(Source {
            document: document.id,
            collection: document.collection,
            title: document.title,
            path: document.path,
        });
    }
    Ok(cited)
}

/// Reads citations for a caller; who may not read documents at all reads none here either.
///
/// # Errors
/// What the store says.
pub(super) fn read_all<R: Reader>(
    reader: &R,
    caller: &Caller,
    citations: &[Citation],
) -> Result<Vec<Cited>, Fault> {
    if !caller.rights.holds(Right::ReadDocuments) {
        return Ok(citations.iter().map(Cited::closed).collect());
    }
    let gate = Gate::at(reader, caller);
    citations.iter().map(|one| read(reader, &gate, one)).collect()
}

/// What an answer stands on: whoever may not read all of it may not read the answer.
pub(super) struct Grounds<'g> {
    /// How it came about; none when that is not known.
    pub(super) origin: Option<Origin>,
    /// The documents it was made of.
    pub(super) given: &'g [Id],
    /// The passages it cites.
    pub(super) citations: &'g [Citation],
    /// Whether it was answered to the caller themselves.
    pub(super) own: bool,
}

impl<'g> Grounds<'g> {
    /// What a turn that was said to the caller themselves stands on.
    pub(super) fn of_own(turn: &'g Turn) -> Self {
        let Turn { origin, given, citations, .. } = turn;
        Self { origin: Some(*origin), given, citations, own: true }
    }

    /// Whether all of it lies in collections that are open to the caller of `gate`. Of a document that is
    /// gone nobody can tell, nor of an answer to somebody else that keeps no document it was made of: only
    /// to those who read every collection these are open.
    pub(super) fn are_open<R: Reader>(
        &self,
        reader: &R,
        gate: &Gate<'_, R>,
    ) -> Result<bool, Fault> {
        let of_documents = matches!(self.origin, None | Some(Origin::Grounded | Origin::Extract));
        if of_documents && self.given.is_empty() && !self.own && gate.readable()?.is_some() {
            return Ok(false);
        }
        let cited = self.citations.iter().map(|citation| &citation.document);
        for document in self.given.iter().chain(cited) {
            let open = match reader.get(&DOCUMENTS, document)? {
                Some(document) => gate.lets(&document.collection)?,
                None => gate.readable()?.is_none(),
            };
            if !open {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
