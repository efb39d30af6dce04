//! A model's card: what it is, where it is from, under which licence, and how its files must look.

use std::fs;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;

/// The card's name in a model's folder.
pub const CARD_FILE: &str = "card.toml";
/// No card is longer than this.
const CARD_BYTES_MAX: u64 = 64 * 1024;

/// What a folder under `models/` says of itself in `card.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The model's name, which vectors made by it carry.
    pub name: String,
    /// The name for people.
    #[serde(default)]
    pub title: String,
    /// What kind of network the files hold.
    pub architecture: Architecture,
    /// Numbers in a vector.
    pub dimension: usize,
    /// Longer texts are cut after so many tokens, the marks at both ends included.
    pub max_tokens: usize,
    /// How a text's tokens become one vector.
    pub pooling: Pooling,
    /// The languages it was made for, as `en`; none named means all.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Where the files are from; a customer's own model may leave it out.
    #[serde(default)]
    pub source: Option<Source>,
    /// The licences that travel with the files.
    #[serde(default)]
    pub licences: Vec<Licence>,
    /// The files and what they must be.
    pub files: Vec<CardFile>,
}

/// The networks this box can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// BERT and its children: `MiniLM`, e5, bge.
    Bert,
    /// XLM-R and its children: multilingual-e5, bge-m3.
    XlmRoberta,
}

/// How token vectors become a text's vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of every token, the marks at both ends included.
    Mean,
    /// The first token alone.
    First,
}

/// Where a model was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The registry's name.
    pub registry: String,
    /// The package's name there.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The archive's file name.
    pub archive: String,
    /// The archive's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The folder inside the archive.
    pub folder: String,
    /// The model the package repacks.
    #[serde(default)]
    pub original: String,
}

/// One licence and what it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// What it covers, in words.
    pub covers: String,
    /// Its SPDX name.
    pub spdx: String,
    /// Whom to name.
    #[serde(default)]
    pub notice: String,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardFile {
    /// Its name in the model's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Card {
    /// Whether the model was made for texts of this language, as `fr`.
    pub fn reads(&self, language: &str) -> bool {
        self.languages.is_empty() || self.languages.iter().any(|known| known == language)
    }

    /// Reads the card of the model in `folder`.
    ///
    /// # Errors
    /// `model_missing` without a card, `model_damaged` when it cannot be read or makes no sense.
    pub fn read(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(CARD_FILE);
        let length = fs::metadata(&path).map_err(|e| missing(CARD_FILE).because(e))?.len();
        if length > CARD_BYTES_MAX {
            return Err(damaged("The model's card is too long."));
        }
        let text = fs::read_to_string(&path).map_err(|e| missing(CARD_FILE).because(e))?;
        let card: Self = toml::from_str(&text)
            .map_err(|e| damaged("The model's card cannot be read.").because(e))?;
        card.check()?;
        Ok(card)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.name.is_empty() || self.dimension == 0 || self.max_tokens < 3 {
            return Err(damaged("The model's card lacks a name, a dimension or a length."));
        }
        for file in &self.files {
            let mut parts = Path::new(&file.name).components();
            // A card may only speak of files beside itself.
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(damaged("The model's card names a file outside its folder."));
            }
        }
        for needed in [super::files::CONFIG, super::files::TOKENIZER, super::files::WEIGHTS] {
            if !self.files.iter().any(|f| f.name == needed) {
                return Err(damaged(format!("The model's card does not list {needed}.")));
            }
        }
        Ok(())
    }
}

/// The fault for a model, or a part of one, that is not there.
pub(super) fn missing(what: &str) -> Fault {
    Fault::unavailable(
        "model_missing",
        format!("The embedding model is not installed ({what} is missing); search works by words."),
    )
}

/// The fault for a model whose files are not what its card says.
pub(super) fn damaged(message: impl Into<String>) -> Fault {
    Fault::unavailable("model_damaged", message)
}
