//! The history: what was asked and answered, kept for a while, secrets masked (assistant.md §3.6).

mod keeping;
mod masking;
mod reading;
mod replay;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use keeping::AT_ONCE;
pub use masking::{MASK, mask, mask_text};
pub use reading::{Filter, LOOKED_AT_MAX, Listed, Part, Seen};
pub use replay::{
    Again, Anew, Pair, REPLAYED_MAX, REPLAYED_USUAL, Replayer, Replaying, Then, Which,
};

use super::records::talk::{EVENTS_HELD, Event};
use super::thinking::Ground;
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::base::tasks::{Handle, Tasks};
use crate::store::{Deed, Reader, Store, Tx};

/// The kind of an answer in the history, and its deed in the journal.
pub const ANSWERED: &str = "chat.answer";
/// How often it is looked for what is too old or too much.
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// A look that the same caller repeats within this time is journaled once: pages poll.
const SAME_LOOK: Duration = Duration::from_mins(10);
/// Looks remembered at once; beyond, those that are over are forgotten, else all of them.
const LOOKS_MAX: usize = 1_000;

/// Settings under `[history]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// How long an event is kept, days; 0 keeps none beyond the next minute.
    pub days: u32,
    /// How much the history may weigh, MiB; the oldest goes first, and with 0 all of it.
    pub max_mib: u64,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { days: 30, max_mib: 200 }
    }
}

/// The history's desk. Clones are the same desk.
#[derive(Clone)]
pub struct History {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: HistorySettings,
    /// When which look at others' events was journaled last, on the boot clock.
    looks: Arc<Mutex<HashMap<String, Duration>>>,
    /// What throws away, once it runs.
    purging: Arc<OnceLock<Handle>>,
}

impl History {
    /// Opens the desk.
    pub fn open(ground: &Ground, settings: HistorySettings) -> Self {
        Self {
            store: ground.store.clone(),
            clock: ground.clock.clone(),
            settings,
            looks: Arc::default(),
            purging: Arc::default(),
        }
    }

    /// Starts what throws away what is too old.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<(), Fault> {
        let desk = self.clone();
        let handle = tasks.every("history", PURGE_EVERY, move |handle| {
            desk.purge(|| handle.stopped()).map(drop)
        })?;
        // A second start keeps the first one's handle; both tasks do the same.
        let _ = self.purging.set(handle);
        Ok(())
    }

    /// Has what is too much thrown away soon; called after a write that noted something.
    pub fn look(&self) {
        let Some(purging) = self.purging.get() else { return };
        let held = self.store.read(|view| view.get(&EVENTS_HELD, &()));
        if held.ok().flatten().is_some_and(|held| self.settings.is_over(&held)) {
            purging.wake();
        }
    }

    /// Notes an event within a write of its own deed; `payload` is masked before it is kept. A member
    /// `plugin` names the plugin that the event is about.
    ///
    /// # Errors
    /// What the store says.
    pub fn note(
        tx: &mut Tx<'_>,
        caller: &Caller,
        kind: &str,
        payload: &serde_json::Value,
    ) -> Result<(), Fault> {
        let event = Event {
            kind: kind.to_owned(),
            user: whose(caller),
            username: caller.name().to_owned(),
            session: caller.session.map(|session| session.to_string()),
            plugin: payload.get("plugin").and_then(|name| name.as_str()).map(str::to_owned),
            payload: mask(payload).to_string(),
            at: tx.now(),
        };
        keeping::put(tx, &event).map(drop)
    }

    /// Throws events away: the caller's own, or with `all` everybody's, up to what there is now. The
    /// answer is how many went; each piece of it is journaled with its count. A key reads the history,
    /// and does not end it.
    ///
    /// # Errors
    /// `right_missing`, `session_required`; `step_up_required` for everybody's; `user_required` when the
    /// caller has none of their own.
    pub fn clear(&self, caller: &Caller, all: bool) -> Result<u64, Fault> {
        caller.require(Right::UseAssistant)?;
        if caller.who != Who::Console {
            caller.in_person()?;
        }
        let owner = if all {
            caller.require(Right::ManageAssistant)?;
            caller.fresh(self.clock.now())?;
            None
        } else {
            Some(owner(caller)?)
        };
        let held = self.store.read(|view| view.get(&EVENTS_HELD, &()))?.unwrap_or_default();
        let mut gone = 0;
        loop {
            let who = caller.clone();
            let first = gone == 0;
            let removed = self.store.write_freeing(move |tx| {
                let removed = match owner {
                    Some(owner) => keeping::remove_of(tx, owner, held.last, AT_ONCE)?,
                    None => keeping::remove_oldest(tx, AT_ONCE, |n, _| n <= held.last)?,
                };
                if removed > 0 || first {
                    let shown = json!({"events": removed, "everybodys": all});
                    tx.journal(&who, Deed::new("history.clear", "").after(&shown))?;
                }
                Ok(removed)
            })?;
            gone += removed;
            if removed < AT_ONCE as u64 {
                return Ok(gone);
            }
        }
    }

    /// Takes what the history holds of somebody who leaves away; with `apply` false it only counts.
    ///
    /// # Errors
    /// What the store says.
    pub fn forget_user(tx: &mut Tx<'_>, user: Id, apply: bool) -> Result<usize, Fault> {
        let count = keeping::count_of(tx, user)?;
        if apply {
            keeping::remove_of(tx, user, u64::MAX, usize::MAX)?;
        }
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Journals that somebody looked at what others asked; once, when the same is looked at again and
    /// again. `look` names the look with what narrowed it.
    fn note_look(&self, caller: &Caller, look: &str) -> Result<(), Fault> {
        let who = caller.session.or(caller.key).map_or_else(String::new, |id| id.to_string());
        let key = format!("{} {who} {look}", caller.name());
        let now = self.clock.since_boot();
        {
            let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = |at: &Duration| now.saturating_sub(*at) < SAME_LOOK;
            if looks.get(&key).is_some_and(recent) {
                return Ok(());
            }
            if looks.len() >= LOOKS_MAX {
                looks.retain(|_, at| recent(at));
            }
            if looks.len() >= LOOKS_MAX {
                looks.clear();
            }
            looks.insert(key, now);
        }
        let (caller, deed) = (caller.clone(), Deed::new("history.read", look));
        // Reading goes on when the disk is nearly full, and so does what is known of it.
        self.store.write_freeing(move |tx| tx.journal(&caller, deed))
    }
}

/// Whose a caller's words are: a user's, or a machine's. A key acts for its user.
fn whose(caller: &Caller) -> Option<Id> {
    match caller.who {
        Who::User { id, .. } | Who::Machine { id, .. } => Some(id),
        Who::Nobody | Who::Console | Who::Task(_) => None,
    }
}

/// The caller as the owner of conversations, events and prompts.
///
/// # Errors
/// `unauthenticated` for nobody, `user_required` for the console and the box itself.
pub(super) fn owner(caller: &Caller) -> Result<Id, Fault> {
    caller.signed_in()?;
    whose(caller).ok_or_else(|| {
        Fault::forbidden(
            "user_required",
            "Only a user has conversations, a history and prompts of their own.",
        )
    })
}

/// Whether the caller may see everybody's events.
fn sees_all(caller: &Caller) -> bool {
    caller.rights.holds(Right::ManageAssistant) || caller.rights.holds(Right::ExportActivity)
}
