//! Which model does the work, and what leaves the shelf.

use serde::Serialize;

use super::adding::Shown;
use super::files::{Condition, LEAVING, damaged, missing};
use super::listing::card;
use super::{Listed, Models, NONE, model_unknown};
use crate::base::caller::Caller;
use crate::base::fault::{Fault, Kind};
use crate::domains::assistant::records::talk::{CHOSEN, MODELS, Model, Purpose};
use crate::store::{Deed, Reader};

/// A context that is too short for anything useful, tokens: a model that cannot have it is refused.
const CONTEXT_LEAST: usize = 1024;

/// What the journal keeps of a choice.
#[derive(Serialize)]
struct Choice<'c> {
    purpose: &'static str,
    model: &'c str,
}

impl Models {
    /// Lets a model do a kind of work from now on, or none ([`NONE`]). What is being written by
    /// another one ends.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `model_unknown`, `model_missing` and `model_damaged` for
    /// its files, `model_unsupported` for a family that is not run, `model_too_large` with the numbers.
    pub fn choose(
        &self,
        caller: &Caller,
        purpose: Purpose,
        name: &str,
    ) -> Result<Option<Listed>, Fault> {
        self.may_change(caller)?;
        let chosen = if name == NONE { None } else { Some(self.usable(purpose, name)?) };
        let (who, word, name) = (caller.clone(), purpose.word(), name.to_owned());
        let row = chosen.is_some().then(|| name.clone());
        self.0.store.write(move |tx| {
            let key = word.to_owned();
            let before = tx.get(&CHOSEN, &key)?;
            match row {
                // It may have been removed a moment ago.
                Some(name) if !tx.has(&MODELS, &name)? => return Err(model_unknown(&name)),
                Some(name) => tx.put(&CHOSEN, &key, &name)?,
                None => tx.remove(&CHOSEN, &key)?,
            }
            let before = before.as_deref().unwrap_or(NONE);
            let deed = Deed::new("model.use", &name)
                .before(&Choice { purpose: word, model: before })
                .after(&Choice { purpose: word, model: &name });
            tx.journal(&who, deed)
        })?;
        self.tell_followers();
        chosen.map(|model| self.listed(&model)).transpose()
    }

    /// The model of that name, once it can do the work.
    fn usable(&self, purpose: Purpose, name: &str) -> Result<Model, Fault> {
        let key = name.to_owned();
        let model = self.0.store.read(|view| view.get(&MODELS, &key))?;
        let model =
            model.filter(|model| model.purpose == purpose).ok_or_else(|| model_unknown(name))?;
        match self.condition(&model) {
            Condition::Whole => {}
            Condition::Missing => return Err(missing(name)),
            Condition::Damaged => return Err(damaged(name)),
        }
        if let Some(card) = card(&model).filter(|card| !card.runnable) {
            return Err(Fault::conflict(
                "model_unsupported",
                format!("This box does not run models of the family '{}'.", card.architecture),
            ));
        }
        self.fits(&model)?;
        Ok(model)
    }

    /// Refuses a model that cannot have even a short context in the memory it may take.
    ///
    /// # Errors
    /// `model_too_large` with the numbers.
    pub(super) fn fits(&self, model: &Model) -> Result<(), Fault> {
        let (Some(card), Some(may_take)) = (card(model), self.memory_bytes()) else {
            return Ok(());
        };
        let context = CONTEXT_LEAST.min(card.context);
        let needs = card.memory(context, 1).total;
        if needs <= may_take {
            return Ok(());
        }
        let (needs, may_take) = (needs.div_ceil(1 << 20), may_take >> 20);
        Err(Fault::conflict(
            "model_too_large",
            format!(
                "'{}' needs {needs} MiB for a context of {context} tokens, and {may_take} MiB may be \
                 taken: half of the free memory, or assistant.memory_mib.",
                model.name
            ),
        ))
    }

    /// Takes a model off the shelf and its files off the disk. One that is in use stays, unless it is
    /// `forced` off.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `model_unknown`, `model_in_use`.
    pub fn remove(&self, caller: &Caller, name: &str, forced: bool) -> Result<(), Fault> {
        self.may_change(caller)?;
        let (who, key) = (caller.clone(), name.to_owned());
        let was_chosen = self.0.store.write_freeing(move |tx| {
            let model = tx.get(&MODELS, &key)?.ok_or_else(|| model_unknown(&key))?;
            let purpose = model.purpose.word().to_owned();
            let chosen = tx.get(&CHOSEN, &purpose)?.as_ref() == Some(&key);
            if chosen && !forced {
                return Err(Fault::new(
                    Kind::Conflict,
                    "model_in_use",
                    format!("'{key}' is in use; choose another model or none first."),
                ));
            }
            if chosen {
                tx.remove(&CHOSEN, &purpose)?;
            }
            tx.remove(&MODELS, &key)?;
            tx.journal(&who, Deed::new("model.remove", &key).before(&Shown::of(&model)))?;
            Ok(chosen)
        })?;
        if was_chosen {
            self.tell_followers();
        }
        let (folder, leaving) = (self.folder_of(name), self.folder_of(&format!("{name}{LEAVING}")));
        if folder.exists() {
            // Under another name first: what a crash leaves half deleted is no model any more.
            std::fs::rename(&folder, &leaving)
                .and_then(|()| std::fs::remove_dir_all(&leaving))
                .map_err(|e| Fault::broken("taking a model's files away", e))?;
        }
        Ok(())
    }
}
