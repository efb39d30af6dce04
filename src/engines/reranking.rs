//! The judge of passages, by candle: a cross-encoder reads question and passage together and scores the pair.
//!
//! Weights are loaded when first needed, after their hashes were compared with the card's, and given back
//! when idle. The network runs on one thread of low priority, so that it never holds up a search.

#[cfg(feature = "models")]
mod network;

use std::fs;
use std::path::{Component, Path};
use std::time::Duration;

use serde::Deserialize;

use crate::base::fault::Fault;

#[cfg(not(feature = "models"))]
pub use absent::Reranker;
#[cfg(feature = "models")]
pub use loaded::Reranker;

/// The card's name in a judge's folder.
pub const CARD_FILE: &str = "card.toml";
/// The network's shape.
const CONFIG: &str = "config.json";
/// How text becomes tokens.
const TOKENIZER: &str = "tokenizer.json";
/// The numbers.
const WEIGHTS: &str = "model.safetensors";
/// No card is longer than this, bytes.
const CARD_BYTES_MAX: u64 = 64 * 1024;

/// What a judge's folder says of itself in `card.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// What kind of network the files hold.
    pub architecture: Architecture,
    /// Longer pairs lose the end of their passage after so many tokens, the marks included.
    pub max_tokens: usize,
    /// The files and what they must be.
    pub files: Vec<CardFile>,
}

/// The networks that judge: a transformer with a classifier of one output on its first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// BERT and its children, with a pooler: the ms-marco cross-encoders.
    Bert,
    /// XLM-R and its children: bge-reranker, and others that read French.
    XlmRoberta,
}

/// One file of a judge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CardFile {
    /// Its name in the folder.
    pub name: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Card {
    /// Reads the card of the judge in `folder`.
    ///
    /// # Errors
    /// `model_missing` without a card, `model_damaged` when it cannot be read or makes no sense.
    pub fn read(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(CARD_FILE);
        let length = fs::metadata(&path).map_err(|e| missing(CARD_FILE).because(e))?.len();
        if length > CARD_BYTES_MAX {
            return Err(damaged("The judge's card is too long."));
        }
        let text = fs::read_to_string(&path).map_err(|e| missing(CARD_FILE).because(e))?;
        let card: Self = toml::from_str(&text)
            .map_err(|e| damaged("The judge's card cannot be read.").because(e))?;
        // A pair has four marks at most, and one token of each text at least.
        if card.name.is_empty() || card.max_tokens < 6 {
            return Err(damaged("The judge's card lacks a name or a length."));
        }
        for file in &card.files {
            let mut parts = Path::new(&file.name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(damaged("The judge's card names a file outside its folder."));
            }
        }
        for needed in [CONFIG, TOKENIZER, WEIGHTS] {
            if !card.files.iter().any(|file| file.name == needed) {
                return Err(damaged(format!("The judge's card does not list {needed}.")));
            }
            if !folder.join(needed).is_file() {
                return Err(missing(needed));
            }
        }
        Ok(card)
    }
}

/// The fault for a judge, or a part of one, that is not there.
fn missing(what: &str) -> Fault {
    let words = format!("The model that judges passages is not installed ({what} is missing).");
    Fault::unavailable("model_missing", words)
}

/// The fault for a judge whose files are not what its card says.
fn damaged(message: impl Into<String>) -> Fault {
    Fault::unavailable("model_damaged", message)
}

#[cfg(feature = "models")]
mod loaded {
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use rayon::{ThreadPool, ThreadPoolBuilder};
    use sha2::{Digest, Sha256};

    use super::network::Network;
    use super::{CONFIG, Card, Duration, Fault, Path, TOKENIZER, WEIGHTS, damaged, fs, missing};
    use crate::base::tasks::caught;

    /// The thread yields to everything else, as `nice` counts it.
    const NICENESS: i32 = 10;

    struct Seat {
        network: Option<Arc<Network>>,
        used: Instant,
    }

    /// A model that judges how well passages answer a question. Shared by reference between threads.
    pub struct Reranker {
        card: Card,
        folder: PathBuf,
        seat: Mutex<Seat>,
        lane: ThreadPool,
    }

    impl Reranker {
        /// Opens the judge in `folder`: reads its card, and loads nothing yet.
        ///
        /// # Errors
        /// `model_missing`, `model_damaged`; `Broken` when no thread can be had.
        pub fn open(folder: &Path) -> Result<Self, Fault> {
            let yields = || {
                if let Err(e) = rustix::process::setpriority_process(None, NICENESS) {
                    tracing::debug!("the judge's thread keeps its priority: {e}");
                }
            };
            let lane = ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(|_| "ilot-judge".into())
                .start_handler(move |_| yields())
                .build()
                .map_err(|e| Fault::broken("starting the judge's thread", e))?;
            Ok(Self {
                card: Card::read(folder)?,
                folder: folder.to_path_buf(),
                seat: Mutex::new(Seat { network: None, used: Instant::now() }),
                lane,
            })
        }

        /// What the judge says of itself.
        pub fn card(&self) -> &Card {
            &self.card
        }

        /// How well each passage answers the question, from 0 to 1, in order: the logistic function of the
        /// classifier's output.
        ///
        /// # Errors
        /// `model_damaged` when loading fails, `Broken` when the network does.
        pub fn scores(&self, question: &str, passages: &[&str]) -> Result<Vec<f32>, Fault> {
            if passages.is_empty() {
                return Ok(Vec::new());
            }
            let network = self.network()?;
            let scores = self.lane.install(|| caught(|| network.scores(question, passages)))?;
            self.seat().used = Instant::now();
            if scores.len() != passages.len() || scores.iter().any(|score| !score.is_finite()) {
                return Err(Fault::broken("judging passages", "the answer is not finite numbers"));
            }
            Ok(scores)
        }

        /// Gives the memory back when nothing was judged for `after`; true when it did.
        pub fn unload_if_idle(&self, after: Duration) -> bool {
            let mut seat = self.seat();
            seat.used.elapsed() >= after && seat.network.take().is_some()
        }

        fn seat(&self) -> MutexGuard<'_, Seat> {
            self.seat.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn network(&self) -> Result<Arc<Network>, Fault> {
            let mut seat = self.seat();
            seat.used = Instant::now();
            if let Some(network) = &seat.network {
                return Ok(Arc::clone(network));
            }
            let (config, tokenizer) = (self.checked(CONFIG)?, self.checked(TOKENIZER)?);
            let weights = self.checked(WEIGHTS)?;
            let network = caught(|| Network::load(&self.card, &config, &tokenizer, &weights))?;
            let network = Arc::new(network);
            seat.network = Some(Arc::clone(&network));
            Ok(network)
        }

        /// The bytes of a file that are what the card says.
        fn checked(&self, name: &str) -> Result<Vec<u8>, Fault> {
            let bytes = fs::read(self.folder.join(name)).map_err(|e| missing(name).because(e))?;
            let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
            let listed = self.card.files.iter().find(|file| file.name == name);
            if listed.is_some_and(|file| file.sha256.eq_ignore_ascii_case(&hash)) {
                Ok(bytes)
            } else {
                Err(damaged(format!("{name} is not the file its card describes.")))
            }
        }
    }
}

#[cfg(not(feature = "models"))]
mod absent {
    use super::{Card, Duration, Fault, Path, missing};

    /// A judge in a program built without the means to run one: it cannot be opened.
    pub struct Reranker(std::convert::Infallible);

    impl Reranker {
        /// Answers that this program runs no model, once the folder's card is checked.
        ///
        /// # Errors
        /// `model_missing` always; `model_damaged` when the card makes no sense.
        pub fn open(folder: &Path) -> Result<Self, Fault> {
            Card::read(folder)?;
            Err(missing("the part of this program that runs it"))
        }

        /// What the judge says of itself.
        pub fn card(&self) -> &Card {
            match self.0 {}
        }

        /// How well each passage answers the question.
        ///
        /// # Errors
        /// Never reached, since nothing was opened.
        pub fn scores(&self, _question: &str, _passages: &[&str]) -> Result<Vec<f32>, Fault> {
            match self.0 {}
        }

        /// Gives the memory back.
        pub fn unload_if_idle(&self, _after: Duration) -> bool {
            match self.0 {}
        }
    }
}

#[cfg(test)]
#[cfg(feature = "models")]
mod tests;
