//! Search: by words and by meaning at once, fused, checked against the store, with sources.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::documents::Counts;
use super::following::Progress;
use super::fusion::{Fused, fuse};
use super::records::{
    COLLECTIONS, DOCUMENTS, EDITIONS, Edition, PASSAGES, Passage, TO_EMBED, place_of,
};
use super::{Assistant, Known};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::engines::fulltext::{Filter, Hits};
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
    /// The rebuild under way.
    pub rebuild: Option<Progress>,
}

impl Assistant {
    /// Answers a question with passages.
    ///
    /// # Errors
    /// `right_missing`, `empty_query`, `query_too_long`, `not_found` for an unknown collection.
    pub fn search(&self, caller: &Caller, question: &Question) -> Result<Found, Fault> {
        caller.require(Right::ReadDocuments)?;
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
        if let Some(name) = &question.collection
            && !self.store.read(|view| view.has(&COLLECTIONS, name))?
        {
            return Err(Fault::not_found("collection"));
        }
        self.note_search();
        let filter = filter_of(question);
        let (hits, dense) = self.retrieve(query, &filter)?;
        let by_words_alone = dense.is_none();
        let fused = self.fused(&hits, dense)?;
        let answers = self.store.read(|view| {
            let mut answers = Vec::with_capacity(question.top);
            for one in &fused {
                // What was deleted or replaced since the index last caught up is not there any more.
                let place = place_of(one.id);
                let Some(passage) = view.get(&PASSAGES, &place)? else { continue };
                let Some(edition) = view.get(&EDITIONS, &place.0)? else { continue };
                answers.push(Answer {
                    number: one.id,
                    score: one.score,
                    by_words: one.by_words,
                    by_meaning: one.by_meaning,
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
        let words = self.words();
        let answers = answers
            .into_iter()
            .map(|mut answer| {
                answer.highlights =
                    words.highlights(&answer.passage.text, &answer.edition.language, &hits.terms);
                answer
            })
            .collect();
        Ok(Found { answers, by_words_alone, corrected: hits.corrected })
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
            let editions = self.desk.editions.read().unwrap_or_else(PoisonError::into_inner);
            let allow = |id| editions.get(&place_of(id).0).is_some_and(|known| known.fits(filter));
            vectors.search(vector, depth, Some(&allow))?
        };
        Ok(Some(Dense { vector: vector.to_vec(), near }))
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

    /// How the documents and their indexes are.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn status(&self, caller: &Caller) -> Result<Status, Fault> {
        caller.require(Right::ReadDocuments)?;
        let (documents, waiting) = self.store.read(|view| {
            let mut counts = Counts::default();
            view.each(&DOCUMENTS, &all(), |_, document| {
                counts.count(document.state);
                Ok(ControlFlow::Continue(()))
            })?;
            Ok((counts, view.count(TO_EMBED.name)?))
        })?;
        Ok(Status {
            documents,
            waiting,
            passages: self.words().len(),
            vectors: self.vectors().map_or(0, |v| v.len() as u64),
            lag: self.lag(),
            model: self.settings.search.model.clone(),
            model_present: self.embedder().is_some(),
            rebuild: self.desk.progress.lock().unwrap_or_else(PoisonError::into_inner).clone(),
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

fn filter_of(question: &Question) -> Filter {
    Filter {
        collections: question.collection.clone().map(|name| vec![name]),
        language: question.language.clone(),
        path_prefix: question.path.clone(),
        date_from: question.from.map(|m| m.0),
        date_to: question.until.map(|m| m.0),
    }
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

    fn fits(&self, filter: &Filter) -> bool {
        filter.collections.as_ref().is_none_or(|names| names.contains(&self.collection))
            && filter.language.as_ref().is_none_or(|language| *language == self.language)
            && filter.path_prefix.as_ref().is_none_or(|front| self.path.starts_with(front))
            && filter.date_from.is_none_or(|from| self.date.0 >= from)
            && filter.date_to.is_none_or(|until| self.date.0 <= until)
    }
}
