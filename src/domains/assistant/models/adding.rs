//! How a model gets onto the shelf: brought, looked into by a child, let in by one write.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::Serialize;

use super::files::{self, UNFINISHED};
use super::{Listed, Models, TOKENIZER, WEIGHTS, locked};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Lineage;
use crate::base::tasks::Handle;
use crate::domains::assistant::Spooled;
use crate::domains::assistant::records::talk::{MODELS, Model, ModelFile, Purpose};
use crate::engines::generation::Checked;
use crate::store::{Deed, Reader, Tx};

/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;

/// A file on its way onto the shelf.
#[derive(Debug)]
pub struct Incoming {
    /// What its giver calls it.
    pub name: String,
    /// Its bytes.
    pub file: Spooled,
}

/// How far a model on its way in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its bytes come in.
    Receiving,
    /// It is brought to its place.
    Keeping,
    /// A child looks into it.
    Checking,
}

/// A model on its way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adding {
    /// The name it will have.
    pub name: String,
    /// How far it is.
    pub stage: Stage,
    /// Bytes of the stage that are done.
    pub done: u64,
    /// Bytes of the stage; 0 when they are not known.
    pub total: u64,
}

/// What became of a folder that was looked into.
#[derive(Debug, Serialize)]
pub struct Rescanned {
    /// Its name.
    pub name: String,
    /// `added`, `unchanged`, `damaged` or `refused`.
    pub outcome: &'static str,
    /// Why it was refused or is damaged: the fault's code.
    pub code: Option<&'static str>,
    /// The same in a sentence.
    pub detail: Option<String>,
}

/// Holds a name while its model is on its way in; nobody else takes it meanwhile.
pub struct Entry {
    models: Models,
    name: String,
}

impl Entry {
    /// The name the model will have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new stage of so many bytes.
    pub fn stage(&self, stage: Stage, total: u64) {
        self.change(|adding| (adding.stage, adding.done, adding.total) = (stage, 0, total));
    }

    /// So many bytes of the stage more are done.
    pub fn more(&self, bytes: u64) {
        self.change(|adding| adding.done += bytes);
    }

    fn change(&self, change: impl FnOnce(&mut Adding)) {
        let mut all = locked(&self.models.0.adding);
        if let Some(adding) = all.iter_mut().find(|adding| adding.name == self.name) {
            change(adding);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        locked(&self.models.0.adding).retain(|adding| adding.name != self.name);
    }
}

/// The folder of a model on its way in; taken away unless it is kept.
struct Unfinished<'p>(Option<&'p Path>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl Models {
    /// The models on their way in.
    pub fn on_their_way(&self) -> Vec<Adding> {
        locked(&self.0.adding).clone()
    }

    /// Takes a name for a model on its way in; `bytes` of it are to come, as far as that is known.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `model_name_invalid`, `model_exists`, `disk_full`.
    pub fn begin(&self, caller: &Caller, name: &str, bytes: u64) -> Result<Entry, Fault> {
        self.may_change(caller)?;
        let name = files::tidy(name)?;
        self.check_room(bytes, self.room()?)?;
        let exists = || {
            Fault::conflict(
                "model_exists",
                format!(
                    "There is a model called '{name}' already; choose another name or remove it."
                ),
            )
        };
        let key = name.clone();
        if self.0.store.read(|view| view.has(&MODELS, &key))? || self.folder_of(&name).exists() {
            return Err(exists());
        }
        self.hold(&name, Stage::Receiving, bytes).ok_or_else(exists)
    }

    fn hold(&self, name: &str, stage: Stage, total: u64) -> Option<Entry> {
        let mut all = locked(&self.0.adding);
        if all.iter().any(|adding| adding.name == name) {
            return None;
        }
        all.push(Adding { name: name.to_owned(), stage, done: 0, total });
        Some(Entry { models: self.clone(), name: name.to_owned() })
    }

    /// Lets a model in: its weights, and the tokenizer beside them if there is one. A child looks
    /// into the files before anything else does. That its giver showed who they are was asked for by
    /// [`Models::begin`]: a long upload outlasts that proof.
    ///
    /// # Errors
    /// `right_missing`, `model_file_unknown`, `disk_full`, and what was found in
    /// the files: `model_damaged`, `model_unsupported`.
    pub fn add(&self, caller: &Caller, entry: &Entry, files: &[Incoming]) -> Result<Listed, Fault> {
        caller.require(Right::ManageAssistant)?;
        let names = file_names(files)?;
        let bytes = files.iter().map(|incoming| incoming.file.size).sum();
        let folder = self.folder_of(entry.name());
        let part = self.folder_of(&format!("{}{UNFINISHED}", entry.name()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&part)
            .map_err(|e| Fault::broken("making a model's folder", e))?;
        let mut unfinished = Unfinished(Some(&part));
        entry.stage(Stage::Keeping, bytes);
        for (incoming, name) in files.iter().zip(&names) {
            files::bring(&incoming.file.path, &part.join(name), |bytes| entry.more(bytes))?;
        }
        entry.stage(Stage::Checking, bytes);
        let checked = self.look_into(entry, &part)?;
        files::sync(&part)?;
        fs::rename(&part, &folder).map_err(|e| Fault::broken("placing a model's folder", e))?;
        unfinished.0 = Some(&folder);
        files::sync(&self.0.folder)?;
        let model = self.let_in(caller, entry.name(), checked)?;
        unfinished.0 = None;
        self.listed(&model)
    }

    /// Looks into every folder under the models' folder: those that were put there by hand are let
    /// in, and the others compared with what they were.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, what the store says. What is wrong with one model is told
    /// in its line.
    pub fn rescan(&self, caller: &Caller) -> Result<Vec<Rescanned>, Fault> {
        self.may_change(caller)?;
        let known =
            self.0.store.read(|view| view.list(&MODELS, &crate::store::all(), usize::MAX))?;
        let mut lines = Vec::new();
        for (name, model) in &known {
            lines.push(match self.compare(model, &Handle::unattended())? {
                files::Condition::Whole => line(name, "unchanged", None),
                files::Condition::Missing => line(name, "damaged", Some(files::missing(name))),
                files::Condition::Damaged => line(name, "damaged", Some(files::damaged(name))),
            });
        }
        for name in files::folders(&self.0.folder) {
            let folder = self.folder_of(&name);
            if known.iter().any(|(known, _)| *known == name) || files::weights(&folder).is_empty() {
                continue;
            }
            lines.push(match self.take_in(caller, &name) {
                Ok(()) => line(&name, "added", None),
                Err(fault) => line(&name, "refused", Some(fault)),
            });
        }
        Ok(lines)
    }

    /// Lets in a model whose folder was put there by hand.
    fn take_in(&self, caller: &Caller, name: &str) -> Result<(), Fault> {
        if files::tidy(name)? != name {
            return Err(Fault::invalid(
                "model_name_invalid",
                format!("Call the folder '{}'.", files::tidy(name)?),
            ));
        }
        let bytes = files::weights(&self.folder_of(name)).iter().map(|(_, bytes)| bytes).sum();
        let busy = || Fault::conflict("model_exists", "It is on its way in already.");
        let entry = self.hold(name, Stage::Checking, bytes).ok_or_else(busy)?;
        let checked = self.look_into(&entry, &self.folder_of(name))?;
        self.let_in(caller, entry.name(), checked).map(drop)
    }

    fn look_into(&self, entry: &Entry, folder: &Path) -> Result<Checked, Fault> {
        self.0.probe.check_with(folder, |far| {
            entry.change(|adding| (adding.done, adding.total) = (far.hashed, far.bytes));
        })
    }

    /// Puts a model that was looked into on the shelf.
    fn let_in(&self, caller: &Caller, name: &str, checked: Checked) -> Result<Model, Fault> {
        let card = serde_json::to_string(&checked.card)
            .map_err(|e| Fault::broken("writing a model's card", e))?;
        let mut files: Vec<ModelFile> = checked
            .files
            .into_iter()
            .map(|file| ModelFile { name: file.name, bytes: file.bytes, sha256: file.sha256 })
            .collect();
        files.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.name.cmp(&b.name)));
        let (name, caller) = (name.to_owned(), caller.clone());
        self.0.store.write(move |tx| let_in(tx, &caller, name, files, card))
    }
}

fn let_in(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: String,
    files: Vec<ModelFile>,
    card: String,
) -> Result<Model, Fault> {
    let model = Model {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        name,
        purpose: Purpose::Language,
        files,
        card,
        added_at: tx.now(),
        added_by: caller.name().to_owned(),
    };
    tx.put(&MODELS, &model.name, &model)?;
    tx.journal(caller, Deed::new("model.add", &model.name).after(&Shown::of(&model)))?;
    Ok(model)
}

/// A model as the journal shows it.
#[derive(Serialize)]
pub(super) struct Shown {
    name: String,
    files: Vec<super::listing::ListedFile>,
}

impl Shown {
    pub(super) fn of(model: &Model) -> Self {
        Self { name: model.name.clone(), files: model.files.iter().map(Into::into).collect() }
    }
}

/// The names that files get in a model's folder, in their order.
fn file_names(files: &[Incoming]) -> Result<Vec<String>, Fault> {
    let unknown = |words: String| Fault::invalid("model_file_unknown", words);
    let mut names = Vec::with_capacity(files.len());
    for incoming in files {
        let given = incoming.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = match given.to_lowercase() {
            lower if lower == TOKENIZER => TOKENIZER.to_owned(),
            lower if lower.ends_with(WEIGHTS) => format!("{}{WEIGHTS}", files::tidy(&lower)?),
            _ => {
                return Err(unknown(format!(
                    "'{given}' is no part of a model: one {WEIGHTS} file and, beside it, a {TOKENIZER}."
                )));
            }
        };
        if names.contains(&name) {
            return Err(unknown(format!("'{name}' comes twice.")));
        }
        names.push(name);
    }
    match names.iter().filter(|name| name.ends_with(WEIGHTS)).count() {
        1 => Ok(names),
        0 => Err(unknown(format!("There is no {WEIGHTS} file in what was sent."))),
        _ => Err(unknown(format!(
            "A model is one {WEIGHTS} file; join the parts of a split one, or add models one by one."
        ))),
    }
}

fn line(name: &str, outcome: &'static str, fault: Option<Fault>) -> Rescanned {
    let (code, detail) = fault.map(|fault| (fault.code, fault.message)).unzip();
    Rescanned { name: name.to_owned(), outcome, code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Result<Vec<String>, Fault> {
        let files: Vec<Incoming> = names
            .iter()
            .map(|name| {
                let file = Spooled { path: "".into(), size: 1, sha256: [0; 32], ours: false };
                Incoming { name: (*name).to_owned(), file }
            })
            .collect();
        file_names(&files)
    }

    #[test]
    fn a_model_is_one_weights_file_and_a_tokenizer_beside_it() {
        let names = named(&["C:\\dl\\Qwen3 0.6B.GGUF", "Tokenizer.json"]).unwrap();
        assert_eq!(names, ["qwen3-0.6b.gguf", "tokenizer.json"]);
        for bad in [
            &[][..],
            &["tokenizer.json"],
            &["a.gguf", "b.gguf"],
            &["a.gguf", "A.gguf"],
            &["a.gguf", "readme.md"],
        ] {
            assert_eq!(named(bad).unwrap_err().code, "model_file_unknown", "{bad:?}");
        }
        assert_eq!(named(&["../.gguf"]).unwrap_err().code, "model_name_invalid");
    }
}
