//! Replaying: what was asked then is asked again today, and both answers stand side by side.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::reading::{self, Filter, Part, Seen};
use super::{ANSWERED, History, whose};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::assistant::citing::{self, Cited};
use crate::domains::assistant::records::talk::{Citation, Origin, Outcome};
use crate::store::Deed;

/// Answers that are replayed when the request does not say how many (assistant.md §3.6).
pub const REPLAYED_USUAL: usize = 30;
/// Answers that are replayed at most.
pub const REPLAYED_MAX: usize = 100;

/// A question of the history that is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// What is asked: what was looked for then, where the question leaned on what was said before.
    pub question: String,
    /// The collection that was asked.
    pub collection: Option<String>,
}

/// What is answered today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anew {
    /// The answer.
    pub answer: String,
    /// How it came about.
    pub origin: Origin,
    /// How far it came.
    pub outcome: Outcome,
    /// The passages it cites.
    pub citations: Vec<Citation>,
    /// The model that wrote it.
    pub model: Option<String>,
}

/// Who answers again: with the rights of the caller, whoever asked then. It writes nothing down, neither
/// in a conversation nor in the history; dropping the future stops it.
pub trait Replayer: Send + Sync {
    /// Answers a question anew.
    ///
    /// # Errors
    /// What answering says.
    fn replay(&self, caller: Caller, again: Again) -> BoxFuture<'static, Result<Anew, Fault>>;
}

/// Which answers are replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// These events; the last ones when there are none.
    pub ids: Option<Vec<u64>>,
    /// How many of the last ones.
    pub limit: Option<usize>,
}

/// What was answered then.
#[derive(Debug, Clone, PartialEq)]
pub struct Then {
    /// The event.
    pub event: Seen,
    /// What was asked.
    pub question: String,
    /// The answer; none when it was made of what is closed to the caller now.
    pub answer: Option<String>,
    /// How it came about.
    pub origin: Option<Origin>,
    /// The passages it cites.
    pub citations: Vec<Citation>,
    /// The model that wrote it.
    pub model: Option<String>,
    again: Again,
}

/// Both answers.
#[derive(Debug)]
pub struct Pair {
    /// The one of then.
    pub then: Then,
    /// The one of today, or why there is none.
    pub new: Result<Anew, Fault>,
    /// Whether nothing that matters has changed: the same words from the same documents.
    pub same: bool,
}

/// A replay under way; whoever drops it wants no more of it.
pub struct Replaying {
    caller: Caller,
    waiting: VecDeque<Then>,
    replayer: Arc<dyn Replayer>,
}

impl Replaying {
    /// How many answers are still to come.
    pub fn left(&self) -> usize {
        self.waiting.len()
    }

    /// The next pair; none after the last.
    pub async fn next(&mut self) -> Option<Pair> {
        let then = self.waiting.pop_front()?;
        let new = self.replayer.replay(self.caller.clone(), then.again.clone()).await;
        let same = new.as_ref().is_ok_and(|new| then.is_as(new));
        Some(Pair { then, new, same })
    }
}

/// What is known of an answer in its event.
#[derive(Deserialize)]
struct Kept {
    question: String,
    #[serde(default)]
    searched_for: Option<String>,
    #[serde(default)]
    collection: Option<String>,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    origin: Option<Origin>,
    #[serde(default)]
    citations: Vec<Citation>,
    #[serde(default)]
    model: Option<String>,
}

impl Then {
    /// The answer of an event; none when the event is none.
    fn of(event: Seen) -> Option<Self> {
        if event.event.kind != ANSWERED {
            return None;
        }
        let kept = Kept::deserialize(&event.payload).ok()?;
        let question = kept.searched_for.unwrap_or_else(|| kept.question.clone());
        Some(Self {
            event,
            question: kept.question,
            answer: kept.answer,
            origin: kept.origin,
            citations: kept.citations,
            model: kept.model,
            again: Again { question, collection: kept.collection },
        })
    }

    fn is_as(&self, new: &Anew) -> bool {
        let documents = |all: &[Citation]| -> BTreeSet<(Id, u32)> {
            all.iter().map(|one| (one.document, one.passage)).collect()
        };
        self.origin == Some(new.origin)
            && self.answer.as_deref().map(str::trim) == Some(new.answer.trim())
            && documents(&self.citations) == documents(&new.citations)
    }
}

impl History {
    /// What is cited, as the caller may read it now.
    ///
    /// # Errors
    /// What the store says.
    pub fn cited(&self, caller: &Caller, citations: &[Citation]) -> Result<Vec<Cited>, Fault> {
        self.store.read(|view| citing::read_all(view, caller, citations))
    }

    /// Asks again what was asked: the given events, else the last answers; the caller's own, and
    /// everybody's for those who may see them. Each answer is the one that the caller would get now.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, `not_found` for an event that is not the caller's to see or no
    /// answer, the field at fault.
    pub fn replay(
        &self,
        caller: &Caller,
        which: &Which,
        replayer: Arc<dyn Replayer>,
    ) -> Result<Replaying, Fault> {
        caller.require(Right::UseAssistant)?;
        let limit = which.limit.unwrap_or(REPLAYED_USUAL);
        let named = which.ids.as_ref().map_or(0, Vec::len);
        let wrong = |name: &str| {
            let words = format!("'{name}' is from 1 to {REPLAYED_MAX}.");
            Fault::field(name, "less_than_equal", words)
        };
        if !(1..=REPLAYED_MAX).contains(&limit) {
            return Err(wrong("limit"));
        }
        if named > REPLAYED_MAX || which.ids.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong("ids"));
        }
        let waiting = self.chosen(caller, which.ids.as_deref(), limit)?;
        let own = whose(caller);
        let others = waiting.iter().filter(|then| then.event.event.user != own).count();
        let shown = json!({"events": waiting.len(), "of_others": others});
        let (who, deed) = (caller.clone(), Deed::new("history.replay", "").after(&shown));
        self.store.write_freeing(move |tx| tx.journal(&who, deed))?;
        Ok(Replaying { caller: caller.clone(), waiting, replayer })
    }

    /// The answers of these events, else the last ones, that the caller may see.
    fn chosen(
        &self,
        caller: &Caller,
        ids: Option<&[u64]>,
        limit: usize,
    ) -> Result<VecDeque<Then>, Fault> {
        if let Some(ids) = ids {
            return self.store.read(|view| {
                let each = ids.iter().map(|id| {
                    let event = reading::event(view, caller, *id)?;
                    Then::of(event).ok_or_else(|| Fault::not_found("answer in the history"))
                });
                each.collect()
            });
        }
        let filter = Filter { kind: Some(ANSWERED.to_owned()), ..Filter::default() };
        let listed = self.list(caller, &filter, Part { offset: 0, limit })?;
        Ok(listed.items.into_iter().filter_map(Then::of).collect())
    }
}
