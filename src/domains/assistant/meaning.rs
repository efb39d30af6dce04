//! Meaning: each passage gets a vector from the model, a batch at a time, when there is a model.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use half::f16;

use super::Assistant;
use super::records::{EDITIONS, NOTES, PASSAGES, Passage, Place, TO_EMBED, VECTORS};
use crate::base::caller::{Caller, Right};
use crate::base::fault::{Fault, Field};
use crate::base::health::Level;
use crate::base::memory;
use crate::base::tasks::Handle;
use crate::engines::embedding::Embedder;
use crate::engines::vectors::Vectors;
use crate::store::{Blob, Reader, all};

/// Passages embedded in one batch: large enough for the processor, small enough to stop soon.
const BATCH: usize = 32;
/// How long the index of words keeps its writer when there is nothing to index.
const WRITER_IDLE: Duration = Duration::from_secs(30);
/// When somebody who needs a model that is not there should ask again.
const COME_BACK: Duration = Duration::from_mins(1);
/// The note that says which model made the vectors.
const MODEL: &str = "vectors_model";
/// The part of the box that the health page knows the model by.
const PART: &str = "model";

/// The words of a passage that are looked up: its document's title and its headings in front.
pub(super) fn spoken(title: &str, passage: &Passage) -> String {
    let mut words = String::with_capacity(passage.text.len() + title.len() + 64);
    words.push_str(title);
    for heading in passage.heading.iter().filter(|h| h.as_str() != title) {
        words.push_str(" · ");
        words.push_str(heading);
    }
    words.push('\n');
    words.push_str(&passage.text);
    words
}

fn embeddable(texts: &[String]) -> Result<(), Fault> {
    if texts.is_empty() || texts.len() > EMBED_TEXTS_MAX {
        let words = format!(
            "1 to {EMBED_TEXTS_MAX} texts are embedded at once; these are {}.",
            texts.len()
        );
        return Err(Fault::field("input", "list_length", words));
    }
    for (at, text) in texts.iter().enumerate() {
        let length = text.chars().count();
        if length == 0 || length > EMBED_LENGTH_MAX {
            let place = vec!["body".into(), "input".into(), at.to_string()];
            let message =
                format!("A text has 1 to {EMBED_LENGTH_MAX} characters; this one has {length}.");
            return Err(Fault::fields(vec![Field { place, wrong: "string_length", message }]));
        }
    }
    Ok(())
}

fn nothing_embeds() -> Fault {
    Fault::unavailable(
        "model_missing",
        "No model that embeds is installed. Copy a model's folder into models/ and restart the box, or \
         run 'make model' where there is a network.",
    )
    .retry_after(COME_BACK)
}

/// A vector as it is kept.
pub(super) fn kept(vector: &[f32]) -> Blob {
    Blob(vector.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect())
}

/// A kept vector.
pub(super) fn vector(Blob(bytes): &Blob) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
}

/// Texts that somebody may have embedded at once.
pub const EMBED_TEXTS_MAX: usize = 512;
/// The longest of them, characters; a model reads the beginning alone.
pub const EMBED_LENGTH_MAX: usize = 32 * 1024;

/// What the model that embeds makes of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// A unit vector for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that the model read.
    pub tokens: usize,
}

impl Assistant {
    /// The model that embeds and how many numbers its vectors have; none when there is none.
    pub fn embedding(&self) -> Option<(String, usize)> {
        self.embedder().map(|model| (model.card().name.clone(), model.card().dimension))
    }

    /// Embeds texts for somebody, a batch at a time and behind every search, for as long as they are
    /// `wanted`.
    ///
    /// # Errors
    /// `right_missing`; `validation` for no text, an empty one, too many or too long ones;
    /// `model_missing` (503); `cancelled` when nobody wants them any more.
    pub fn embed(
        &self,
        caller: &Caller,
        texts: &[String],
        wanted: &dyn Fn() -> bool,
    ) -> Result<Embedded, Fault> {
        caller.require(Right::UseAssistant)?;
        embeddable(texts)?;
        let embedder = self.embedder().ok_or_else(nothing_embeds)?;
        let mut vectors = Vec::with_capacity(texts.len());
        let mut tokens = 0;
        for batch in texts.chunks(BATCH) {
            if !wanted() {
                return Err(Fault::unavailable("cancelled", "Nobody waits for this any more."));
            }
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            vectors.extend(embedder.embed(&batch)?);
            for text in batch {
                tokens += embedder.tokens(text)?.len();
            }
        }
        Ok(Embedded { vectors, tokens })
    }

    /// The model, when there is one.
    pub(super) fn embedder(&self) -> Option<Arc<Embedder>> {
        self.desk.embedder.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the model if there is one now and none was open, and the index of its vectors.
    ///
    /// # Errors
    /// What the store says; a missing or damaged model is told in health, not as an error.
    pub fn find_model(&self) -> Result<(), Fault> {
        if self.embedder().is_some() {
            return Ok(());
        }
        let folder = self.places.models.join(&self.settings.search.model);
        let embedder = match Embedder::open(&folder) {
            Ok(embedder) => embedder,
            Err(fault) => {
                self.health.report(
                    PART,
                    Level::Reduced,
                    format!("Search goes by words alone: {}", fault.message),
                    "Run `make model` where there is a network, or copy a model's folder into models/.",
                );
                return Ok(());
            }
        };
        let name = embedder.card().name.clone();
        self.forget_other_vectors(&name)?;
        let root = self.places.index.join("vectors");
        let dimension = embedder.card().dimension;
        let vectors = Vectors::open(&root, dimension, &name).or_else(|fault| {
            tracing::warn!("the vectors' index is made anew: {fault}");
            Vectors::reset(&root, dimension, &name)
        })?;
        *self.desk.vectors.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(vectors));
        *self.desk.embedder.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(embedder));
        self.health.well(PART, format!("Search goes by words and by meaning ({name})."));
        self.tasks.wake_follower();
        Ok(())
    }

    /// Vectors of another model mean nothing to this one: every passage waits for a new one.
    fn forget_other_vectors(&self, model: &str) -> Result<(), Fault> {
        let note = MODEL.to_owned();
        let made_by = self.store.read(|view| view.get(&NOTES, &note))?;
        if made_by.as_deref() == Some(model) {
            return Ok(());
        }
        let model = model.to_owned();
        self.store.write(move |tx| {
            tx.remove_span(&VECTORS, &all())?;
            let mut places = Vec::new();
            tx.raw_each(PASSAGES.name, &all(), false, &mut |key, _| {
                places.push(crate::store::table::read_key::<Place>(key)?);
                Ok(ControlFlow::Continue(()))
            })?;
            places.iter().try_for_each(|place| tx.put(&TO_EMBED, place, &()))?;
            tx.put(&NOTES, &note, &model)
        })
    }

    /// Embeds what waits, until nothing waits or the handle says stop.
    ///
    /// # Errors
    /// What the store or the model says.
    pub fn embed_waiting(&self, handle: &Handle) -> Result<(), Fault> {
        self.find_model()?;
        let Some(embedder) = self.embedder() else { return Ok(()) };
        while !handle.stopped() && self.embed_some(&embedder)? {}
        Ok(())
    }

    fn embed_some(&self, embedder: &Embedder) -> Result<bool, Fault> {
        let waiting = self.store.read(|view| {
            let places = view.list(&TO_EMBED, &all(), BATCH)?;
            let mut waiting = Vec::with_capacity(places.len());
            for (place, ()) in places {
                let passage = view.get(&PASSAGES, &place)?;
                let edition = view.get(&EDITIONS, &place.0)?;
                waiting.push((place, passage.zip(edition).map(|(p, e)| spoken(&e.title, &p))));
            }
            Ok(waiting)
        })?;
        if waiting.is_empty() {
            return Ok(false);
        }
        let texts: Vec<&str> = waiting.iter().filter_map(|(_, words)| words.as_deref()).collect();
        let mut vectors = embedder.embed(&texts)?.into_iter();
        let rows: Vec<(Place, Option<Blob>)> = waiting
            .iter()
            .map(|(place, words)| {
                (*place, words.as_ref().and_then(|_| vectors.next()).map(|v| kept(&v)))
            })
            .collect();
        self.store.write(move |tx| {
            for (place, row) in rows {
                tx.remove(&TO_EMBED, &place)?;
                // The passage may have gone while its vector was made.
                if let Some(row) = row
                    && tx.has(&PASSAGES, &place)?
                {
                    tx.put(&VECTORS, &place, &row)?;
                }
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Gives memory back when nobody has searched for a while, and takes up the graph when an index
    /// is large and somebody has.
    ///
    /// # Errors
    /// What the index says; searches go on by comparing every row.
    pub fn tend_memory(&self, handle: &Handle) -> Result<(), Fault> {
        let idle = Duration::from_secs(self.settings.search.idle_unload_seconds);
        let model = self.embedder().is_some_and(|model| model.unload_if_idle(idle));
        let graph = self.vectors().is_some_and(|vectors| vectors.unload_if_idle(idle));
        let writer = self.words().close_if_idle(WRITER_IDLE)?;
        let judge = self.desk.judge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let judge = judge.is_some_and(|(_, judge)| judge.unload_if_idle(idle));
        if model || graph || writer || judge {
            memory::give_back();
            tracing::debug!(model, graph, writer, judge, "memory was given back");
        }
        let Some(vectors) = self.vectors() else { return Ok(()) };
        if self.searched_within(idle) && (vectors.wants_graph() || vectors.needs_rebuild()) {
            if vectors.needs_rebuild() {
                vectors.rebuild_graph(&|| handle.stopped())?;
            } else {
                vectors.load_graph(&|| handle.stopped())?;
            }
            if let Some(mark) = vectors.mark() {
                vectors.save_graph(mark)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_vector_comes_back_nearly_as_it_was() {
        let before = [0.25f32, -0.5, 0.123_456];
        let after = vector(&kept(&before));
        assert!(before.iter().zip(after).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
