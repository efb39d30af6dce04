//! Search: by words and by meaning at once, fused, checked against the store, with sources.
//!
//! Who may read what is asked twice. Before: passages that are closed to the caller never take a place
//! among those proposed. After: each passage is answered only if its collection is open to the caller
//! at the moment its words are taken, so that a change between the two counts at once.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::documents::{Counts, embedded};
use super::following::Progress;
use super::fusion::{Fused, fuse};
use super::readers::Gate;
use super::records::{DOCUMENTS, EDITIONS, Edition, PASSAGES, Passage, TO_EMBED, place_of};
use super::{Assistant, Known};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::engines::fulltext::{Filter, FullText, Hits, Terms, Weighed};
use crate::store::{Reader, all};

/// The longest question, bytes.
pub const QUERY_MAX: usize = 1024;
/// The most passages one question answers.
pub const TOP_MAX: usize = 100;
/// The most passages that a question's conditions may leave for the vectors to choose from; beyond
/// it the words alone decide.
const ALLOWED_MAX: usize = 50_000;

/// The first passages found by words tell the language of a question.
const WITNESSES: usize = 10;

/// A question.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What is asked.
    pub query: String,
    /// How many passages to answer.
    pub top: usize,
    /// Only this collection.
    pub collection: Option<String>,
    /// Only this language, as `fr`.
    pub language: Option<String>,
    /// Only paths that begin so.
    pub path: Option<String>,
    /// Only documents of this moment or later.
    pub from: Option<Moment>,
    /// Only documents of this moment or earlier.
    pub until: Option<Moment>,
}

/// A passage that answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its number in the indexes.
    pub number: u64,
    /// From 0 to 1.
    pub score: f32,
    /// Whether its words were found.
    pub by_words: bool,
    /// Whether its meaning was found.
    pub by_meaning: bool,
    /// Its BM25; nought when the words did not find it.
    pub bm25: f32,
    /// Its cosine with the question, where it was looked at.
    pub cosine: Option<f32>,
    /// The passage.
    pub passage: Passage,
    /// What it is from.
    pub edition: Edition,
    /// The words that match, as ranges of characters in the passage.
    pub highlights: Vec<(usize, usize)>,
}

/// What a question found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The passages, best first.
    pub answers: Vec<Answer>,
    /// Whether only words were looked at.
    pub by_words_alone: bool,
    /// Words that no document holds, each with the words looked for instead.
    pub corrected: Vec<(String, Vec<String>)>,
}

/// What the indexes propose for a question, before the store is asked.
#[derive(Debug)]
pub struct Proposed {
    passages: Vec<Fused>,
    terms: Terms,
    by_words_alone: bool,
    corrected: Vec<(String, Vec<String>)>,
}

impl Proposed {
    /// The numbers of the passages in the indexes, best first.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.passages.iter().map(|one| one.id)
    }
}

/// The index of words, and what of it counts for a caller and a question.
pub(super) struct Scales {
    words: Arc<FullText>,
    filter: Filter,
}

impl Scales {
    /// The words of a question, as `language` reads them.
    pub(super) fn question(&self, query: &str, language: &str) -> Result<Vec<Weighed>, Fault> {
        self.words.weighed(query, language, &self.filter)
    }

    /// The words of any text.
    pub(super) fn text(&self, text: &str, language: &str) -> Result<Vec<Weighed>, Fault> {
        self.words.weighed_text(text, language, &self.filter)
    }

    /// The terms of a text, in order.
    pub(super) fn terms(&self, text: &str, language: &str) -> Vec<String> {
        self.words.terms(text, language)
    }
}

/// How the documents and their indexes are.
#[derive(Debug, Clone)]
pub struct Status {
    /// Documents by state.
    pub documents: Counts,
    /// Passages that can be found by words.
    pub passages: u64,
    /// Passages that can be found by meaning.
    pub vectors: u64,
    /// Passages that wait for a vector.
    pub waiting: u64,
    /// Changes that the index of words has not followed yet.
    pub lag: u64,
    /// The model's name.
    pub model: String,
    /// Whether the model is there.
    pub model_present: bool,
    /// The rebuild under way, for those who read every collection.
    pub rebuild: Option<Progress>,
}

/// What a caller may know of there being.
#[derive(Default)]
struct Seen {
    documents: Counts,
    passages: u64,
    waiting: u64,
}

impl Assistant {
    /// Answers a question with passages that the caller may read.
    ///
    /// # Errors
    /// `right_missing`, `empty_query`, the fields at fault, `not_found` for a collection that is not
    /// there or closed to the caller.
    pub fn search(&self, caller: &Caller, question: &Question) -> Result<Found, Fault> {
        let proposed = self.propose(caller, question)?;
        self.answer(caller, question, proposed)
    }

    /// The first half of [`search`](Self::search): what the indexes propose among the collections
    /// that are open to the caller now.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn propose(&self, caller: &Caller, question: &Question) -> Result<Proposed, Fault> {
        caller.require(Right::ReadDocuments)?;
        checked(question)?;
        let filter = self.filter_for(caller, question)?;
        self.propose_within(question, &filter)
    }

    /// What the indexes propose among the passages that a filter lets through.
    pub(super) fn propose_within(
        &self,
        question: &Question,
        filter: &Filter,
    ) -> Result<Proposed, Fault> {
        let query = checked(question)?;
        self.note_search();
        let (hits, dense) = self.retrieve(query, filter)?;
        let by_words_alone = dense.is_none();
        let passages = self.fused(&hits, dense)?;
        Ok(Proposed { passages, terms: hits.terms, by_words_alone, corrected: hits.corrected })
    }

    /// The second half of [`search`](Self::search): what is still there, and still open to the caller.
    ///
    /// # Errors
    /// `right_missing`, or what the store says.
    pub fn answer(
        &self,
        caller: &Caller,
        question: &Question,
        proposed: Proposed,
    ) -> Result<Found, Fault> {
        caller.require(Right::ReadDocuments)?;
        let Proposed { passages, terms, by_words_alone, mut corrected } = proposed;
        let words = self.words();
        let mut answers = self.store.read(|view| {
            let gate = Gate::at(view, caller);
            let mut answers = Vec::with_capacity(question.top);
            for one in &passages {
                // What was deleted or replaced since the index last caught up is not there any more.
                let place = place_of(one.id);
                let Some(edition) = view.get(&EDITIONS, &place.0)? else { continue };
                if !gate.lets(&edition.collection)? {
                    // Closed since it was proposed: nor may its spellings be told.
                    corrected.clear();
                    continue;
                }
                let Some(passage) = view.get(&PASSAGES, &place)? else { continue };
                answers.push(Answer {
                    number: one.id,
                    score: one.score,
                    by_words: one.by_words,
                    by_meaning: one.by_meaning,
                    bm25: one.bm25,
                    cosine: one.cosine,
                    passage,
                    edition,
                    highlights: Vec::new(),
                });
                if answers.len() == question.top {
                    break;
                }
            }
            Ok(answers)
        })?;
        for answer in &mut answers {
            answer.highlights =
                words.highlights(&answer.passage.text, &answer.edition.language, &terms);
        }
        Ok(Found { answers, by_words_alone, corrected })
    }

    /// What a question is weighed with once its passages are known: the words as each language reads
    /// them, counted among the collections that are open to the caller.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub(super) fn scales(&self, caller: &Caller, question: &Question) -> Result<Scales, Fault> {
        Ok(self.scales_within(self.filter_for(caller, question)?))
    }

    /// The scales among the passages that a filter lets through.
    pub(super) fn scales_within(&self, filter: Filter) -> Scales {
        Scales { words: self.words(), filter }
    }

    /// Whether the model that embeds was made for a language.
    pub(super) fn reads(&self, language: &str) -> bool {
        self.embedder().is_some_and(|model| model.card().reads(language))
    }

    /// The question's own conditions, and the collections that are open to the caller now.
    fn filter_for(&self, caller: &Caller, question: &Question) -> Result<Filter, Fault> {
        let collections = self.store.read(|view| {
            let gate = Gate::at(view, caller);
            match &question.collection {
                None => gate.readable(),
                Some(name) if gate.lets(name)? => Ok(Some(vec![name.clone()])),
                Some(_) => Err(Fault::not_found("collection")),
            }
        })?;
        Ok(Filter {
            collections,
            language: question.language.clone(),
            path_prefix: question.path.clone(),
            date_from: question.from.map(|m| m.0),
            date_to: question.until.map(|m| m.0),
        })
    }

    /// Both retrievers at once: the words on this thread, the meaning on another.
    fn retrieve(&self, query: &str, filter: &Filter) -> Result<(Hits, Option<Dense>), Fault> {
        let depth = self.settings.search.depth;
        let words = self.words();
        std::thread::scope(|scope| {
            let meaning = scope.spawn(|| self.embed_query(query));
            let hits = words.search(query, filter, depth)?;
            let vector = meaning.join().unwrap_or_else(|_| {
                Err(Fault::broken("embedding a question", "the thread panicked"))
            });
            let dense = match vector {
                Ok(Some(vector)) => self.near(&vector, query, filter, hits.strict)?,
                Ok(None) => None,
                Err(fault) => {
                    // Half an answer is better than none; health tells the rest.
                    tracing::error!("a question could not be embedded: {fault}");
                    None
                }
            };
            Ok((hits, dense))
        })
    }

    fn embed_query(&self, query: &str) -> Result<Option<Vec<f32>>, Fault> {
        let Some(embedder) = self.embedder() else { return Ok(None) };
        Ok(embedder.embed(&[query])?.into_iter().next())
    }

    /// The nearest passages within the question's conditions; none when the words alone decide.
    fn near(
        &self,
        vector: &[f32],
        query: &str,
        filter: &Filter,
        strict: bool,
    ) -> Result<Option<Dense>, Fault> {
        let Some(vectors) = self.vectors().filter(|v| !v.is_empty()) else { return Ok(None) };
        let depth = self.settings.search.depth;
        let near = if strict {
            let Some(allowed) = self.words().allowed(query, filter, ALLOWED_MAX)? else {
                return Ok(None);
            };
            vectors.search(vector, depth, Some(&|id| allowed.contains(&id)))?
        } else if filter.is_open() {
            vectors.search(vector, depth, None)?
        } else {
            let fitting = self.fitting(filter);
            let allow = |id| fitting.contains(&place_of(id).0);
            vectors.search(vector, depth, Some(&allow))?
        };
        Ok(Some(Dense { vector: vector.to_vec(), near }))
    }

    /// The editions within a question's conditions: looked at once, not for each of their passages.
    fn fitting(&self, filter: &Filter) -> HashSet<u32> {
        let names = filter.collections.as_ref();
        let names = names.map(|names| names.iter().map(String::as_str).collect());
        let editions = self.desk.editions.read().unwrap_or_else(PoisonError::into_inner);
        let fitting = editions.iter().filter(|(_, known)| known.fits(names.as_ref(), filter));
        fitting.map(|(number, _)| *number).collect()
    }

    fn fused(&self, hits: &Hits, dense: Option<Dense>) -> Result<Vec<Fused>, Fault> {
        let (Some(dense), Some(vectors)) = (dense, self.vectors()) else {
            return Ok(fuse(&hits.hits, &[], |_| None, 0.0));
        };
        let ids: Vec<u64> = hits.hits.iter().map(|(id, _)| *id).collect();
        let cosines: HashMap<u64, f32> =
            vectors.cosines(&dense.vector, &ids)?.into_iter().collect();
        let weight = self.vector_weight(&ids);
        Ok(fuse(&hits.hits, &dense.near, |id| cosines.get(&id).copied(), weight))
    }

    /// What the meaning counts for a question whose words found these passages: they are in its
    /// language, which a question alone is too short to tell.
    fn vector_weight(&self, ids: &[u64]) -> f32 {
        let settings = &self.settings.search;
        let Some(model) = self.embedder() else { return settings.vector_weight };
        let editions = self.desk.editions.read().unwrap_or_else(PoisonError::into_inner);
        let first = ids.get(..ids.len().min(WITNESSES)).unwrap_or(ids);
        let foreign = |id: &&u64| {
            let known = editions.get(&place_of(**id).0);
            known.is_some_and(|known| !model.card().reads(&known.language))
        };
        if first.iter().filter(foreign).count() * 2 > first.len() {
            settings.vector_weight_foreign
        } else {
            settings.vector_weight
        }
    }

    fn note_search(&self) {
        let now = self.clock.since_boot().as_secs();
        self.desk.searched.store(now, Ordering::Relaxed);
    }

    /// Whether somebody has searched within that time.
    pub(super) fn searched_within(&self, span: Duration) -> bool {
        let last = self.desk.searched.load(Ordering::Relaxed);
        last > 0 && self.clock.since_boot().as_secs().saturating_sub(last) < span.as_secs()
    }

    /// How the documents that the caller may read and their indexes are. Who may not read all is told of
    /// no rebuild, since how far it is counts what is closed too.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn status(&self, caller: &Caller) -> Result<Status, Fault> {
        caller.require(Right::ReadDocuments)?;
        let (all_open, seen) = self.store.read(|view| {
            let gate = Gate::at(view, caller);
            let all_open = gate.readable()?.is_none();
            let mut seen = Seen::default();
            view.each(&DOCUMENTS, &all(), |_, document| {
                if all_open {
                    seen.documents.count(document.state);
                } else if gate.lets(&document.collection)? {
                    seen.documents.count(document.state);
                    let passages = document.edition.map_or(0, |_| document.passages);
                    let embedded = embedded(view, &document)?;
                    seen.passages += u64::from(passages);
                    seen.waiting += u64::from(passages.saturating_sub(embedded));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if all_open {
                seen.waiting = view.count(TO_EMBED.name)?;
            }
            Ok((all_open, seen))
        })?;
        let vectors = self.vectors().map_or(0, |vectors| vectors.len() as u64);
        let rebuild = self.desk.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Status {
            documents: seen.documents,
            waiting: seen.waiting,
            passages: if all_open { self.words().len() } else { seen.passages },
            vectors: if all_open { vectors } else { vectors.min(seen.passages - seen.waiting) },
            lag: self.lag(),
            model: self.settings.search.model.clone(),
            model_present: self.embedder().is_some(),
            rebuild: rebuild.filter(|_| all_open),
        })
    }

    /// Changes that the index of words has not followed yet.
    pub fn lag(&self) -> u64 {
        self.store.seq().saturating_sub(self.desk.words_seq.load(Ordering::Acquire))
    }
}

/// What the vectors found, with the question's own vector for the cosines of the rest.
struct Dense {
    vector: Vec<f32>,
    near: Vec<(u64, f32)>,
}

/// The words of a question that can be asked.
fn checked(question: &Question) -> Result<&str, Fault> {
    let query = question.query.trim();
    if query.is_empty() {
        return Err(Fault::field("query", "string_too_short", "'query' must not be empty."));
    }
    if query.len() > QUERY_MAX {
        return Err(Fault::field(
            "query",
            "string_too_long",
            format!("'query' has more than {QUERY_MAX} bytes."),
        ));
    }
    if question.top == 0 || question.top > TOP_MAX {
        return Err(Fault::field(
            "top_k",
            "less_than_equal",
            format!("'top_k' is from 1 to {TOP_MAX}."),
        ));
    }
    Ok(query)
}

impl Known {
    pub(super) fn of(edition: Edition) -> Self {
        Self {
            collection: edition.collection,
            language: edition.language,
            path: edition.path,
            date: edition.date,
        }
    }

    /// Whether it is in one of the collections of these names, and within the other conditions.
    fn fits(&self, names: Option<&HashSet<&str>>, filter: &Filter) -> bool {
        names.is_none_or(|names| names.contains(self.collection.as_str()))
            && filter.language.as_ref().is_none_or(|language| *language == self.language)
            && filter.path_prefix.as_ref().is_none_or(|front| self.path.starts_with(front))
            && filter.date_from.is_none_or(|from| self.date.0 >= from)
            && filter.date_to.is_none_or(|until| self.date.0 <= until)
    }
}
