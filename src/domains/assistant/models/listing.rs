//! What is on the shelf, as people see it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::files::{self, Condition};
use super::{Models, locked, model_unknown};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::domains::assistant::records::talk::{CHOSEN, MODELS, Model, Purpose};
use crate::engines::embedding;
use crate::engines::generation::{Card, Memory};
use crate::store::{Reader, all};

/// Contexts that the memory of a model is told for, tokens.
pub const CONTEXTS: &[usize] = &[1024, 4096, 8192, 32_768];

/// How the writer uses memory.
#[derive(Clone, Default)]
pub struct Use {
    /// The longest context, tokens.
    pub context_tokens: usize,
    /// Answers written side by side.
    pub slots: usize,
    /// Memory for the model, bytes; 0 takes half of what is free.
    pub memory_bytes: u64,
    /// What the model in memory takes now, bytes.
    pub loaded: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
}

/// How a model on the shelf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was checked, and its files are there.
    Ready,
    /// Its folder was put there by hand and not looked into yet.
    Unchecked,
    /// Its files are gone.
    Missing,
    /// Its files are not what they were when they were checked.
    Damaged,
}

/// The memory a model needs for a context.
#[derive(Debug, Clone, Serialize)]
pub struct Needs {
    /// Tokens of the context.
    pub context_tokens: usize,
    /// Answers side by side.
    pub slots: usize,
    /// Whether it fits what the box gives a model now; null where that is not known.
    pub fits: Option<bool>,
    /// Bytes, by what they are for.
    #[serde(flatten)]
    pub memory: Memory,
}

/// A model on the shelf.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The name of its folder.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// `language`, `reranker`, `embedding`; empty for a folder that was not looked into.
    pub purpose: &'static str,
    /// How it is.
    pub state: State,
    /// Whether it does the work of its kind.
    pub in_use: bool,
    /// What was found in a language model; null for other kinds.
    pub card: Value,
    /// The memory it needs as the box is set; null where that is not known.
    pub memory: Option<Needs>,
    /// The same at other contexts, one answer at a time.
    pub memory_at: Vec<Needs>,
    /// Its files, largest first: name, bytes, sha256.
    pub files: Vec<ListedFile>,
    /// Bytes of all files.
    pub bytes: u64,
    /// When it was let in.
    pub added_at: Option<Moment>,
    /// Who let it in.
    pub added_by: Option<String>,
}

/// A file of a model.
#[derive(Debug, Clone, Serialize)]
pub struct ListedFile {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// The SHA-256 it was let in with, hexadecimal; empty when it was not read.
    pub sha256: String,
}

impl Models {
    /// Every model on the shelf, by name: those that were checked, folders that were not, and those
    /// that embed.
    ///
    /// # Errors
    /// `right_missing`, what the store says.
    pub fn list(&self, caller: &Caller) -> Result<Vec<Listed>, Fault> {
        caller.require(Right::UseAssistant)?;
        let models = self.0.store.read(|view| view.list(&MODELS, &all(), usize::MAX))?;
        let mut listed = Vec::with_capacity(models.len());
        for (_, model) in &models {
            listed.push(self.listed(model)?);
        }
        for name in files::folders(&self.0.folder) {
            if !models.iter().any(|(known, _)| *known == name) {
                listed.extend(self.unlisted(&name));
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// One model on the shelf.
    ///
    /// # Errors
    /// `right_missing`, `model_unknown`, what the store says.
    pub fn inspect(&self, caller: &Caller, name: &str) -> Result<Listed, Fault> {
        caller.require(Right::UseAssistant)?;
        let name = name.to_owned();
        match self.0.store.read(|view| view.get(&MODELS, &name))? {
            Some(model) => self.listed(&model),
            None => files::folders(&self.0.folder)
                .contains(&name)
                .then(|| self.unlisted(&name))
                .flatten()
                .ok_or_else(|| model_unknown(&name)),
        }
    }

    /// A checked model as people see it.
    pub(super) fn listed(&self, model: &Model) -> Result<Listed, Fault> {
        let purpose = model.purpose.word();
        let chosen = self.0.store.read(|view| view.get(&CHOSEN, &purpose.to_owned()))?;
        let card = card(model);
        let usage = locked(&self.0.usage).clone();
        Ok(Listed {
            name: model.name.clone(),
            title: card.as_ref().map_or_else(|| model.name.clone(), |card| card.title.clone()),
            purpose,
            state: match self.condition(model) {
                Condition::Whole => State::Ready,
                Condition::Missing => State::Missing,
                Condition::Damaged => State::Damaged,
            },
            in_use: chosen.as_ref() == Some(&model.name),
            card: serde_json::from_str(&model.card).unwrap_or_default(),
            memory: card.as_ref().map(|card| {
                let context = usage.context_tokens.min(card.context);
                self.needs(card, context, usage.slots.max(1))
            }),
            memory_at: card.as_ref().map_or_else(Vec::new, |card| self.needs_at(card)),
            bytes: model.files.iter().map(|file| file.bytes).sum(),
            files: model.files.iter().map(ListedFile::from).collect(),
            added_at: Some(model.added_at),
            added_by: Some(model.added_by.clone()),
        })
    }

    /// What a language model needs at several contexts up to its own.
    pub fn needs_at(&self, card: &Card) -> Vec<Needs> {
        let own = CONTEXTS.iter().copied().filter(|context| *context < card.context);
        own.chain([card.context]).map(|context| self.needs(card, context, 1)).collect()
    }

    fn needs(&self, card: &Card, context_tokens: usize, slots: usize) -> Needs {
        let memory = card.memory(context_tokens, slots);
        let fits = self.memory_bytes().map(|bytes| memory.total <= bytes);
        Needs { context_tokens, slots, fits, memory }
    }

    /// A folder that is in no table: a model that embeds, or one that was put there by hand.
    fn unlisted(&self, name: &str) -> Option<Listed> {
        let folder = self.folder_of(name);
        let plain = |title: String, purpose, state| Listed {
            name: name.to_owned(),
            title,
            purpose,
            state,
            in_use: purpose == EMBEDDING && name == self.0.embedding,
            card: Value::Null,
            memory: None,
            memory_at: Vec::new(),
            files: Vec::new(),
            bytes: 0,
            added_at: None,
            added_by: None,
        };
        if let Ok(card) = embedding::Card::read(&folder) {
            let present = |file: &embedding::card::CardFile| {
                std::fs::metadata(folder.join(&file.name)).is_ok_and(|m| m.len() == file.bytes)
            };
            let state = if card.files.iter().all(present) { State::Ready } else { State::Missing };
            let title = if card.title.is_empty() { card.name.clone() } else { card.title.clone() };
            // Its card says other things than a language model's, and the search settings are where
            // it is at home.
            let mut listed = plain(title, EMBEDDING, state);
            listed.files = card
                .files
                .into_iter()
                .map(|file| ListedFile { name: file.name, bytes: file.bytes, sha256: file.sha256 })
                .collect();
            listed.bytes = listed.files.iter().map(|file| file.bytes).sum();
            return Some(listed);
        }
        let weights = files::weights(&folder);
        if weights.is_empty() {
            return None;
        }
        let mut listed = plain(name.to_owned(), "", State::Unchecked);
        listed.bytes = weights.iter().map(|(_, bytes)| bytes).sum();
        listed.files = weights
            .into_iter()
            .map(|(path, bytes)| ListedFile {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                bytes,
                sha256: String::new(),
            })
            .collect();
        Some(listed)
    }
}

/// The word for models that embed, which the setting `search.model` chooses.
const EMBEDDING: &str = "embedding";

/// The card of a language model; none for other kinds, or when an earlier version wrote it otherwise.
pub(super) fn card(model: &Model) -> Option<Card> {
    (model.purpose == Purpose::Language).then(|| serde_json::from_str(&model.card).ok()).flatten()
}

impl From<&crate::domains::assistant::records::talk::ModelFile> for ListedFile {
    fn from(file: &crate::domains::assistant::records::talk::ModelFile) -> Self {
        Self {
            name: file.name.clone(),
            bytes: file.bytes,
            sha256: data_encoding::HEXLOWER.encode(&file.sha256),
        }
    }
}
