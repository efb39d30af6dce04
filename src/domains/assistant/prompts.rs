//! Prompts that people use again: the last ones, and those they keep (assistant.md §3.7).

use sha2::{Digest, Sha256 as Hasher};

use super::conversations::QUESTION_MAX;
use super::history::owner;
use super::records::Sha256;
use super::records::talk::{PROMPTS, SavedPrompt};
use super::thinking::Ground;
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Reader, Store, Tx, under};

/// Prompts of a user that are remembered because they were used; the one used longest ago goes first.
pub const RECENT_MAX: usize = 200;
/// Prompts that a user keeps on purpose.
pub const FAVOURITES_MAX: usize = 200;

/// The prompts' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Prompts {
    store: Store,
}

impl Prompts {
    /// Opens the desk.
    pub fn open(ground: &Ground) -> Self {
        Self { store: ground.store.clone() }
    }

    /// The caller's prompts, the one used last first; with `favourites` only those kept on purpose.
    ///
    /// # Errors
    /// `right_missing`, `user_required`.
    pub fn list(
        &self,
        caller: &Caller,
        favourites: bool,
        limit: usize,
    ) -> Result<Vec<SavedPrompt>, Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        let mut prompts: Vec<SavedPrompt> = self.store.read(|view| {
            let all = view.list(&PROMPTS, &under(&owner), usize::MAX)?;
            Ok(all.into_iter().map(|(_, prompt)| prompt).collect())
        })?;
        prompts.retain(|prompt| prompt.favourite || !favourites);
        prompts.sort_by(|a, b| b.last_used.cmp(&a.last_used).then_with(|| b.used.cmp(&a.used)));
        prompts.truncate(limit);
        Ok(prompts)
    }

    /// Saves a prompt, as a favourite or as one of the last; it counts as used now.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, the field at fault, `too_many_favourites`.
    pub fn save(
        &self,
        caller: &Caller,
        prompt: &str,
        favourite: bool,
    ) -> Result<SavedPrompt, Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        let prompt = checked(prompt)?.to_owned();
        self.store.write(move |tx| {
            let key = (owner, key_of(&prompt));
            let old = tx.get(&PROMPTS, &key)?;
            let was_favourite = old.as_ref().is_some_and(|old| old.favourite);
            let used = old.map_or(0, |old| old.used);
            let saved = SavedPrompt { prompt, favourite, used, last_used: tx.now() };
            tx.put(&PROMPTS, &key, &saved)?;
            if favourite && !was_favourite && count(tx, owner, true)? > FAVOURITES_MAX {
                return Err(Fault::conflict(
                    "too_many_favourites",
                    format!("A user keeps at most {FAVOURITES_MAX} prompts; let one go first."),
                ));
            }
            make_room(tx, owner)?;
            Ok(saved)
        })
    }

    /// Forgets a prompt.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, `not_found`.
    pub fn delete(&self, caller: &Caller, prompt: &str) -> Result<(), Fault> {
        caller.require(Right::UseAssistant)?;
        let key = (owner(caller)?, key_of(prompt.trim()));
        self.store.write_freeing(move |tx| {
            if !tx.has(&PROMPTS, &key)? {
                return Err(Fault::not_found("prompt"));
            }
            tx.remove(&PROMPTS, &key)
        })
    }

    /// Counts a use of a prompt, within the write of what it was used for.
    ///
    /// # Errors
    /// What the store says.
    pub fn note_use(tx: &mut Tx<'_>, owner: Id, prompt: &str) -> Result<(), Fault> {
        let key = (owner, key_of(prompt));
        let now = tx.now();
        let known = tx.get(&PROMPTS, &key)?;
        let is_new = known.is_none();
        let mut used = known.unwrap_or_else(|| SavedPrompt {
            prompt: prompt.to_owned(),
            favourite: false,
            used: 0,
            last_used: now,
        });
        used.used += 1;
        used.last_used = now;
        tx.put(&PROMPTS, &key, &used)?;
        if is_new { make_room(tx, owner) } else { Ok(()) }
    }

    /// Takes the prompts of somebody who leaves away; with `apply` false it only counts them.
    ///
    /// # Errors
    /// What the store says.
    pub fn forget_user(tx: &mut Tx<'_>, user: Id, apply: bool) -> Result<usize, Fault> {
        if apply {
            return tx.remove_span(&PROMPTS, &under(&user));
        }
        Ok(tx.list(&PROMPTS, &under(&user), usize::MAX)?.len())
    }
}

fn key_of(prompt: &str) -> Sha256 {
    Hasher::digest(prompt.as_bytes()).into()
}

/// The words of a prompt that can be kept: as long as a question.
fn checked(prompt: &str) -> Result<&str, Fault> {
    let prompt = prompt.trim();
    if prompt.is_empty() {
        return Err(Fault::field("prompt", "string_too_short", "'prompt' must not be empty."));
    }
    if prompt.chars().count() > QUESTION_MAX {
        let words = format!("'prompt' has more than {QUESTION_MAX} characters.");
        return Err(Fault::field("prompt", "string_too_long", words));
    }
    Ok(prompt)
}

fn count(reader: &impl Reader, owner: Id, favourite: bool) -> Result<usize, Fault> {
    let all = reader.list(&PROMPTS, &under(&owner), usize::MAX)?;
    Ok(all.iter().filter(|(_, prompt)| prompt.favourite == favourite).count())
}

/// Forgets what was used longest ago beyond [`RECENT_MAX`]; favourites stay.
fn make_room(tx: &mut Tx<'_>, owner: Id) -> Result<(), Fault> {
    let mut recent = tx.list(&PROMPTS, &under(&owner), usize::MAX)?;
    recent.retain(|(_, prompt)| !prompt.favourite);
    recent.sort_by_key(|(_, prompt)| prompt.last_used);
    let over = recent.len().saturating_sub(RECENT_MAX);
    for (key, _) in recent.into_iter().take(over) {
        tx.remove(&PROMPTS, &key)?;
    }
    Ok(())
}
