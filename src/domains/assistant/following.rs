//! Following: the indexes read the change log and catch up; in any doubt they are made anew.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::meaning::vector;
use super::records::{EDITIONS, Edition, PASSAGES, Passage, Place, VECTORS, passage_number};
use super::{Assistant, Known};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::health::Level;
use crate::base::mark::Mark;
use crate::base::tasks::Handle;
use crate::engines::fulltext::{self, FullText};
use crate::engines::vectors::Vectors;
use crate::store::changes::{self, FLOORS};
use crate::store::table::read_key;
use crate::store::{Blob, Reader, View, all};

/// What is indexed and how; another number makes the indexes anew.
const SCHEMA: u32 = 1;
/// Changes followed in one step.
const STEP: usize = 2_000;
/// Passages indexed in one step of a rebuild.
const REBUILD_STEP: usize = 5_000;
/// How often the vectors' rows are written down while they change; the log replays what is younger.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// Changes of other tables after which a follower's mark is moved on all the same, so that the log can
/// be trimmed and a start has little to read.
const LAG_MAX: u64 = 5_000;
/// The followers' names in the store's floors.
const WORDS: &str = "words";
const MEANING: &str = "meaning";

/// How far the vectors in memory have come.
pub(super) struct Followed {
    seq: u64,
    /// When they were last written down.
    saved: Instant,
    /// Whether they have changed since.
    changed: bool,
}

/// How far a rebuild has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// `words` or `meaning`.
    pub stage: &'static str,
    /// Passages done.
    pub done: u64,
    /// Passages in all.
    pub total: u64,
}

/// A passage with its edition, ready for the index of words.
struct Row {
    place: Place,
    found: Option<(Passage, Edition)>,
}

impl Row {
    fn change<'r>(&'r self, heading: &'r str) -> fulltext::Change<'r> {
        let id = passage_number(self.place);
        match &self.found {
            None => fulltext::Change::Remove(id),
            Some((passage, edition)) => fulltext::Change::Put(fulltext::Entry {
                id,
                doc: u64::from(self.place.0),
                collection: &edition.collection,
                language: &edition.language,
                path: &edition.path,
                date: edition.date.0,
                title: &edition.title,
                heading,
                text: &passage.text,
            }),
        }
    }
}

/// Applies rows to the index of words.
fn apply(words: &FullText, rows: &[Row], mark: Mark) -> Result<(), Fault> {
    let headings: Vec<String> = rows
        .iter()
        .map(|row| {
            let (passage, edition) = match &row.found {
                Some(found) => (&found.0, &found.1),
                None => return String::new(),
            };
            let inner = passage.heading.iter().filter(|h| **h != edition.title);
            inner.map(String::as_str).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let changes: Vec<fulltext::Change<'_>> =
        rows.iter().zip(&headings).map(|(row, heading)| row.change(heading)).collect();
    words.apply(&changes, mark)
}

impl Assistant {
    fn mark_at(&self, seq: u64) -> Mark {
        Mark { epoch: self.store.epoch(), seq, schema: SCHEMA }
    }

    /// The index of words in use.
    pub(super) fn words(&self) -> Arc<FullText> {
        self.desk.words.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The index of vectors, when there is a model.
    pub(super) fn vectors(&self) -> Option<Arc<Vectors>> {
        self.desk.vectors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings both indexes up to the store, making anew what cannot catch up.
    ///
    /// # Errors
    /// What the store or an index says; it is tried again.
    pub fn follow(&self, handle: &Handle) -> Result<(), Fault> {
        self.follow_words(handle)?;
        if let Some(vectors) = self.vectors() {
            self.follow_vectors(&vectors, handle)?;
        }
        Ok(())
    }

    /// Whether an index with this mark can catch up from the change log; an empty new one can if
    /// the log is whole.
    fn can_follow(&self, mark: Option<Mark>) -> Result<bool, Fault> {
        let seq = match mark {
            Some(mark) if mark.follows(&self.mark_at(self.store.seq())) => mark.seq,
            Some(_) => return Ok(false),
            None => 0,
        };
        let oldest = self.store.read(changes::oldest)?;
        Ok(oldest.is_none_or(|oldest| oldest <= seq + 1))
    }

    fn follow_words(&self, handle: &Handle) -> Result<(), Fault> {
        let mark = self.words().mark().unwrap_or(None);
        if !self.can_follow(mark)? {
            self.health.report(
                "words",
                Level::Reduced,
                "The index of words is being made anew.",
                "",
            );
            self.rebuild_words(&|| handle.stopped())?;
        }
        let words = self.words();
        let marked = words.mark()?.map_or(0, |m| m.seq);
        let mut seq = marked;
        let mut in_step = true;
        while !handle.stopped() {
            let (last, rows, known) = self.store.read(|view| words_step(view, seq))?;
            if last == seq {
                break;
            }
            in_step = !rows.is_empty();
            if in_step {
                apply(&words, &rows, self.mark_at(last))?;
                self.floor(WORDS, last)?;
            }
            self.note_editions(known);
            seq = last;
        }
        if !in_step && seq.saturating_sub(marked) >= LAG_MAX {
            apply(&words, &[], self.mark_at(seq))?;
            self.floor(WORDS, seq)?;
        }
        self.desk.words_seq.store(seq, Ordering::Release);
        self.health.well("words", format!("{} passages can be found by their words.", words.len()));
        Ok(())
    }

    fn follow_vectors(&self, vectors: &Vectors, handle: &Handle) -> Result<(), Fault> {
        let mut at = self.desk.vectors_at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.is_none() {
            let mark = vectors.mark();
            if !self.can_follow(mark)? {
                drop(at);
                return self.rebuild_vectors(&|| handle.stopped());
            }
            *at = Some(Followed {
                seq: mark.map_or(0, |m| m.seq),
                saved: Instant::now(),
                changed: false,
            });
        }
        let Some(followed) = at.as_mut() else { return Ok(()) };
        while !handle.stopped() {
            let (last, rows) = self.store.read(|view| vectors_step(view, followed.seq))?;
            if last == followed.seq {
                break;
            }
            followed.changed |= !rows.is_empty();
            for (place, row) in rows {
                let id = passage_number(place);
                match row {
                    Some(row) => vectors.add(id, &vector(&row))?,
                    None => drop(vectors.remove(id)),
                }
            }
            followed.seq = last;
        }
        let lag = followed.seq.saturating_sub(vectors.mark().map_or(0, |m| m.seq));
        if followed.saved.elapsed() >= SAVE_EVERY && (followed.changed || lag >= LAG_MAX) {
            let seq = followed.seq;
            vectors.save(self.mark_at(seq))?;
            *followed = Followed { seq, saved: Instant::now(), changed: false };
            drop(at);
            self.floor(MEANING, seq)?;
        }
        Ok(())
    }

    /// Asks the assistant's tasks to stop after their present step.
    pub fn wind_down(&self) {
        self.tasks.stop();
    }

    /// Writes the vectors' rows down before the box stops; the tasks have been asked to stop.
    ///
    /// # Errors
    /// What the file system says; the change log replays what is not written.
    pub fn settle(&self) -> Result<(), Fault> {
        self.wind_down();
        let followed = self.desk.vectors_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(vectors), Some(followed)) = (self.vectors(), followed.as_ref())
            && (followed.changed || vectors.mark().is_none())
        {
            vectors.save(self.mark_at(followed.seq))?;
        }
        drop(followed);
        self.words().close()
    }

    fn floor(&self, name: &'static str, seq: u64) -> Result<(), Fault> {
        self.store.write_freeing(move |tx| tx.put(&FLOORS, &name.to_owned(), &seq))
    }

    /// Keeps what filters need to know of editions in memory.
    fn note_editions(&self, known: Vec<(u32, Option<Known>)>) {
        let mut editions = self.desk.editions.write().unwrap_or_else(PoisonError::into_inner);
        for (number, edition) in known {
            match edition {
                Some(edition) => drop(editions.insert(number, edition)),
                None => drop(editions.remove(&number)),
            }
        }
    }

    /// Reads the editions there are, at the start.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn load_editions(&self) -> Result<(), Fault> {
        let known = self.store.read(|view| {
            let mut known = Vec::new();
            view.each(&EDITIONS, &all(), |number, edition| {
                known.push((number, Some(Known::of(edition))));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(known)
        })?;
        self.note_editions(known);
        Ok(())
    }

    /// Makes the index of words anew beside the one in use, then swaps it in.
    fn rebuild_words(&self, stopped: &dyn Fn() -> bool) -> Result<(), Fault> {
        let _turn = self.desk.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.store.snapshot()?;
        let view = snapshot.view();
        let fresh = FullText::create_beside(&self.places.index)?;
        let mark = self.mark_at(snapshot.seq);
        let total = view.count(PASSAGES.name)?;
        self.progress(Some(Progress { stage: "words", done: 0, total }));
        let mut rows = Vec::with_capacity(REBUILD_STEP);
        let mut done = 0;
        view.each(&PASSAGES, &all(), |place: Place, passage| {
            let edition = view.get(&EDITIONS, &place.0)?;
            rows.push(Row { place, found: edition.map(|edition| (passage, edition)) });
            if rows.len() < REBUILD_STEP {
                return Ok(ControlFlow::Continue(()));
            }
            done += rows.len() as u64;
            // Unfinished steps carry no sequence number, so a crash between them starts again.
            apply(&fresh, &rows, Mark { seq: 0, ..mark })?;
            rows.clear();
            self.progress(Some(Progress { stage: "words", done, total }));
            Ok(if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if stopped() {
            return Ok(());
        }
        apply(&fresh, &rows, mark)?;
        fresh.promote()?;
        *self.desk.words.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        self.progress(None);
        self.floor(WORDS, mark.seq)
    }

    /// Fills the index of vectors anew from the store.
    fn rebuild_vectors(&self, stopped: &dyn Fn() -> bool) -> Result<(), Fault> {
        let Some(embedder) = self.embedder() else { return Ok(()) };
        let _turn = self.desk.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let card = embedder.card();
        // The index in use answers until the new one takes its place.
        let vectors =
            Vectors::reset(&self.places.index.join("vectors"), card.dimension, &card.name)?;
        let snapshot = self.store.snapshot()?;
        let total = snapshot.view().count(VECTORS.name)?;
        let mut done = 0u64;
        self.progress(Some(Progress { stage: "meaning", done: 0, total }));
        snapshot.view().each(&VECTORS, &all(), |place: Place, row: Blob| {
            vectors.add(passage_number(place), &vector(&row))?;
            done += 1;
            if done.is_multiple_of(REBUILD_STEP as u64) {
                self.progress(Some(Progress { stage: "meaning", done, total }));
            }
            Ok(if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if stopped() {
            return Ok(());
        }
        vectors.save(self.mark_at(snapshot.seq))?;
        *self.desk.vectors.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(vectors));
        *self.desk.vectors_at.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Followed { seq: snapshot.seq, saved: Instant::now(), changed: false });
        self.progress(None);
        self.floor(MEANING, snapshot.seq)
    }

    fn progress(&self, progress: Option<Progress>) {
        *self.desk.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// Makes the indexes anew (`full`), or only brings them up to date; the answer is how many
    /// passages can be found.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn reindex(&self, caller: &Caller, full: bool) -> Result<u64, Fault> {
        caller.require(Right::EditDocuments)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            tx.journal(
                &who,
                crate::store::Deed::new("index.rebuild", if full { "full" } else { "new" }),
            )
        })?;
        if full {
            self.rebuild_words(&|| false)?;
            self.rebuild_vectors(&|| false)?;
        }
        self.tasks.wake_inbox();
        self.tasks.wake_reader();
        self.tasks.wake_follower();
        Ok(self.words().len())
    }
}

/// One step along the change log for the index of words: the last change looked at, the passages that
/// changed as they are now, and the editions that changed.
type WordsStep = (u64, Vec<Row>, Vec<(u32, Option<Known>)>);

fn words_step(view: &View, seq: u64) -> Result<WordsStep, Fault> {
    let log = changes::since(view, seq, STEP)?;
    let last = log.last().map_or(seq, |(seq, _)| *seq);
    let mut rows = std::collections::BTreeMap::new();
    let mut editions = std::collections::BTreeMap::new();
    for (_, change) in log {
        if change.table == PASSAGES.name {
            let place: Place = read_key(&change.key)?;
            // As it is now: a passage changed twice is looked at once.
            let found = view.get(&PASSAGES, &place)?.zip(view.get(&EDITIONS, &place.0)?);
            rows.insert(place, Row { place, found });
        } else if change.table == EDITIONS.name {
            let number: u32 = read_key(&change.key)?;
            editions.insert(number, view.get(&EDITIONS, &number)?.map(Known::of));
        }
    }
    Ok((last, rows.into_values().collect(), editions.into_iter().collect()))
}

type VectorsStep = (u64, Vec<(Place, Option<Blob>)>);

fn vectors_step(view: &View, seq: u64) -> Result<VectorsStep, Fault> {
    let log = changes::since(view, seq, STEP)?;
    let last = log.last().map_or(seq, |(seq, _)| *seq);
    let mut rows = std::collections::BTreeMap::new();
    for (_, change) in log.into_iter().filter(|(_, c)| c.table == VECTORS.name) {
        let place: Place = read_key(&change.key)?;
        rows.insert(place, view.get(&VECTORS, &place)?);
    }
    Ok((last, rows.into_iter().collect()))
}
