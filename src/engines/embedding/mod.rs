//! The sentence transformer, by candle: texts become unit vectors, on threads of its own.
//!
//! Weights are loaded when first needed and given back when idle, so a box at rest stays small.

pub mod card;
#[cfg(feature = "models")]
mod encoder;
#[cfg(feature = "models")]
mod few_rows;
mod files;
#[cfg(feature = "models")]
mod kernels;
#[cfg(feature = "models")]
mod lanes;
#[cfg(feature = "models")]
mod safetensors;

use std::path::Path;
use std::time::Duration;

pub use card::Card;

use crate::base::fault::Fault;

#[cfg(not(feature = "models"))]
pub use absent::Embedder;
#[cfg(feature = "models")]
pub use loaded::Embedder;

#[cfg(feature = "models")]
mod loaded {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use super::encoder::{Encoder, TOKENS_PER_PASS};
    use super::lanes::Lanes;
    use super::{Card, Duration, Fault, Path, files, safetensors};
    use crate::base::tasks::caught;

    /// Up to so many texts go the way of a search; more are a batch.
    const QUERY_TEXTS_MAX: usize = 2;
    /// Texts tokenised and sorted together; it bounds memory, and more would save no more padding.
    const TEXTS_PER_ROUND: usize = 256;

    struct Seat {
        encoder: Option<Arc<Encoder>>,
        used: Instant,
    }

    /// A model that turns texts into unit vectors. Shared by reference between threads.
    pub struct Embedder {
        card: Card,
        folder: PathBuf,
        seat: Mutex<Seat>,
        lanes: Lanes,
    }

    impl Embedder {
        /// Opens the model in `folder`: reads its card and verifies its files, without loading them.
        ///
        /// # Errors
        /// `model_missing` when a file is not there, `model_damaged` when one is not what the card
        /// says.
        pub fn open(folder: &Path) -> Result<Self, Fault> {
            let card = Card::read(folder)?;
            files::verify(folder, &card)?;
            Ok(Self {
                card,
                folder: folder.to_path_buf(),
                seat: Mutex::new(Seat { encoder: None, used: Instant::now() }),
                lanes: Lanes::start()?,
            })
        }

        /// What the model says of itself.
        pub fn card(&self) -> &Card {
            &self.card
        }

        /// Unit vectors of `texts`, in order. One or two texts go ahead of any batch; a batch runs
        /// on one thread of low priority.
        ///
        /// # Errors
        /// `model_damaged` when loading fails, `Broken` when the network does.
        pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Fault> {
            if texts.is_empty() {
                return Ok(Vec::new());
            }
            let encoder = self.encoder()?;
            let work = || caught(|| rounds(&encoder, texts, self.card.dimension));
            let vectors = if texts.len() <= QUERY_TEXTS_MAX {
                self.lanes.query(work)
            } else {
                self.lanes.batch(work)
            };
            self.seat().used = Instant::now();
            vectors
        }

        /// Loads the weights now, so that the next text need not wait for them.
        ///
        /// # Errors
        /// As [`Self::embed`].
        pub fn warm(&self) -> Result<(), Fault> {
            self.encoder().map(drop)
        }

        /// Whether the weights are in memory.
        pub fn loaded(&self) -> bool {
            self.seat().encoder.is_some()
        }

        /// Gives the weights' memory back; the next text loads them again.
        pub fn unload(&self) {
            self.seat().encoder = None;
        }

        /// Gives the memory back when nothing was embedded for `after`; true when it did.
        pub fn unload_if_idle(&self, after: Duration) -> bool {
            let mut seat = self.seat();
            seat.used.elapsed() >= after && seat.encoder.take().is_some()
        }

        fn seat(&self) -> MutexGuard<'_, Seat> {
            self.seat.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// The network, loaded if need be; others who need it wait for the one load.
        fn encoder(&self) -> Result<Arc<Encoder>, Fault> {
            let mut seat = self.seat();
            seat.used = Instant::now();
            if let Some(encoder) = &seat.encoder {
                return Ok(Arc::clone(encoder));
            }
            let read = |name: &str| {
                fs::read(self.folder.join(name)).map_err(|e| super::card::missing(name).because(e))
            };
            let weights = read(files::WEIGHTS)?;
            safetensors::check(&weights)?;
            let encoder = caught(|| {
                Encoder::load(&self.card, &read(files::CONFIG)?, &read(files::TOKENIZER)?, &weights)
            })?;
            let encoder = Arc::new(encoder);
            seat.encoder = Some(Arc::clone(&encoder));
            Ok(encoder)
        }

        /// The token numbers of a text, as the network sees them.
        ///
        /// # Errors
        /// As [`Self::embed`].
        pub fn tokens(&self, text: &str) -> Result<Vec<u32>, Fault> {
            self.encoder()?.tokens(text)
        }
    }

    /// Embeds texts round by round; within one, sorted by length and cut into passes.
    fn rounds(encoder: &Encoder, texts: &[&str], dimension: usize) -> Result<Vec<Vec<f32>>, Fault> {
        let mut vectors = Vec::with_capacity(texts.len());
        for round in texts.chunks(TEXTS_PER_ROUND) {
            let tokens = round.iter().map(|t| encoder.tokens(t)).collect::<Result<Vec<_>, _>>()?;
            let mut order: Vec<(usize, &[u32])> =
                tokens.iter().map(Vec::as_slice).enumerate().collect();
            order.sort_by_key(|(_, t)| t.len());
            let mut found: Vec<(usize, Vec<f32>)> = Vec::with_capacity(round.len());
            let mut rest = order.as_slice();
            while !rest.is_empty() {
                let (pass, after) = rest.split_at(pass_length(rest));
                let inputs: Vec<&[u32]> = pass.iter().map(|(_, t)| *t).collect();
                found.extend(pass.iter().map(|(at, _)| *at).zip(encoder.vectors(&inputs)?));
                rest = after;
            }
            found.sort_by_key(|(at, _)| *at);
            vectors.extend(found.into_iter().map(|(_, v)| v));
        }
        if let Some(bad) = vectors.iter().find(|v| !is_unit(v, dimension)) {
            return Err(Fault::broken(
                "checking the encoder's answer",
                format!("a vector of {} numbers is not a unit vector", bad.len()),
            ));
        }
        Ok(vectors)
    }

    /// How many of the first texts fit one pass; at least one.
    fn pass_length(texts: &[(usize, &[u32])]) -> usize {
        let mut tokens = 0;
        texts
            .iter()
            .take_while(|(_, text)| {
                tokens += text.len();
                tokens <= TOKENS_PER_PASS
            })
            .count()
            .max(1)
    }

    /// A NaN, an infinity or a zero vector has no length of one.
    fn is_unit(vector: &[f32], dimension: usize) -> bool {
        let length: f32 = vector.iter().map(|v| v * v).sum();
        vector.len() == dimension && (length - 1.0).abs() < 1e-3
    }
}

#[cfg(not(feature = "models"))]
mod absent {
    use super::{Card, Duration, Fault, Path};

    /// A model in a program built without the means to run one: it cannot be opened.
    pub struct Embedder(std::convert::Infallible);

    impl Embedder {
        /// Answers that this program runs no model, once the folder's card and files are checked.
        ///
        /// # Errors
        /// `model_missing` always; `model_damaged` when the files are not what the card says.
        pub fn open(folder: &Path) -> Result<Self, Fault> {
            let card = Card::read(folder)?;
            super::files::verify(folder, &card)?;
            Err(super::card::missing("the part of this program that runs it"))
        }

        /// What the model says of itself.
        pub fn card(&self) -> &Card {
            match self.0 {}
        }

        /// Unit vectors of `texts`, in order.
        ///
        /// # Errors
        /// Never reached, since nothing was opened.
        pub fn embed(&self, _texts: &[&str]) -> Result<Vec<Vec<f32>>, Fault> {
            match self.0 {}
        }

        /// Loads the weights now.
        ///
        /// # Errors
        /// Never reached, since nothing was opened.
        pub fn warm(&self) -> Result<(), Fault> {
            match self.0 {}
        }

        /// Whether the weights are in memory.
        pub fn loaded(&self) -> bool {
            match self.0 {}
        }

        /// Gives the weights' memory back.
        pub fn unload(&self) {
            match self.0 {}
        }

        /// Gives the memory back when nothing was embedded for `after`.
        pub fn unload_if_idle(&self, _after: Duration) -> bool {
            match self.0 {}
        }

        /// The token numbers of a text.
        ///
        /// # Errors
        /// Never reached, since nothing was opened.
        pub fn tokens(&self, _text: &str) -> Result<Vec<u32>, Fault> {
            match self.0 {}
        }
    }
}

#[cfg(test)]
#[cfg(feature = "models")]
mod tests;
