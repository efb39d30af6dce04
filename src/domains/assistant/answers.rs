//! Grounded answers: passages that the caller may read, a text made of them, and every sentence's source.

mod answering;
pub mod citing;
pub mod extracting;
pub mod following_up;
pub mod judging;
pub mod packing;
pub mod places;
pub mod prompting;
pub mod telling;
pub mod threshold;
pub mod wording;
pub mod writing;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use self::answering::{Earlier, Inquiry, Reply};
use self::following_up::Before;
use self::packing::Source;
use self::places::{Place, Places};
use self::prompting::Exchange;
use self::telling::Listener;
use super::Assistant;
use super::conversations::{Conversations, Opened, Said, checked};
use super::generation::Generation;
use super::history::{Again, Anew, Replayer};
use super::models::Models;
use super::readers::Gate;
use super::records::talk::{Citation, Origin, Outcome, Purpose, Turn};
use super::search::{Question, TOP_MAX};
use crate::base::caller::{Caller, Right, Who};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::generation::{Role, Usage};
use crate::engines::reranking::Reranker;

/// Passages looked at when the request does not say how many.
pub const TOP_USUAL: usize = 8;

/// The answers' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Answers {
    search: Assistant,
    generation: Generation,
    conversations: Conversations,
    models: Models,
    places: Places,
}

/// A question that wants an answer.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The question.
    pub question: String,
    /// The collection to ask; none asks the conversation's, else all that are open.
    pub collection: Option<String>,
    /// The conversation it belongs to.
    pub conversation: Option<Id>,
    /// Whether a conversation is made for it when none is named.
    pub converse: bool,
    /// Whether the last question of the conversation is answered anew.
    pub regenerate: bool,
    /// The language to answer in, as `fr`; none takes the question's.
    pub language: Option<String>,
    /// How many passages to look at; none takes [`TOP_USUAL`].
    pub top: Option<usize>,
}

/// A question that was taken up.
pub struct Taken {
    asked: Asked,
    opened: Option<Opened>,
    began: Instant,
}

/// An answer that was given.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its text, with its citations.
    pub answer: String,
    /// How it came about.
    pub origin: Origin,
    /// How far it came.
    pub outcome: Outcome,
    /// Why it broke off: a fault's code.
    pub failure: Option<String>,
    /// The numbers of the sources that it cites.
    pub citations: Vec<u32>,
    /// What it was made of; when the documents do not tell, what is nearest.
    pub sources: Vec<Source>,
    /// What was looked for, when it was not the question itself.
    pub searched_for: Option<String>,
    /// Sentences that no source bears out; they carry no number.
    pub unsupported: usize,
    /// The model that wrote it.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Usage,
    /// Milliseconds from the question to its end.
    pub took_ms: u64,
    /// The conversation.
    pub conversation: Option<Id>,
    /// The question's turn.
    pub question_turn: Option<Turn>,
    /// The answer's turn.
    pub turn: Option<Turn>,
}

impl Answers {
    /// Opens the desk.
    pub fn open(
        search: Assistant,
        generation: Generation,
        conversations: Conversations,
        models: Models,
    ) -> Self {
        let settings = generation.settings();
        let all = settings.queue_max.saturating_add(settings.slots);
        let places = Places::new(all, settings.queue_max_per_user);
        Self { search, generation, conversations, models, places }
    }

    /// A place to be answered at, to be kept until the answer is there.
    ///
    /// # Errors
    /// `right_missing` without `use_assistant` and `read_documents`, `queue_full`.
    pub fn place(&self, caller: &Caller) -> Result<Place, Fault> {
        may_ask(caller)?;
        self.places.take(caller)
    }

    /// Takes a question up: everything that can be refused is refused here, and the question is written
    /// down in its conversation.
    ///
    /// # Errors
    /// `right_missing` without `use_assistant` and `read_documents`, the fields at fault, `not_found`, and
    /// what [`Conversations::begin`] says.
    pub fn take(&self, caller: &Caller, asked: Asked) -> Result<Taken, Fault> {
        let began = Instant::now();
        may_ask(caller)?;
        checked(&asked.question)?;
        if asked.top.is_some_and(|top| top == 0 || top > TOP_MAX) {
            let message = format!("'top_k' is from 1 to {TOP_MAX}.");
            return Err(Fault::field("top_k", "less_than_equal", message));
        }
        let collection = asked.collection.as_deref();
        let question = Question { collection: asked.collection.clone(), ..Question::default() };
        self.search.scales(caller, &question)?;
        // The console and the box itself have no conversations.
        let has_own = matches!(caller.who, Who::User { .. } | Who::Machine { .. });
        let converses = asked.conversation.is_some() || asked.converse && has_own;
        let opened = if converses || asked.regenerate {
            let (id, question) = (asked.conversation, asked.question.as_str());
            Some(self.conversations.begin(caller, id, question, collection, asked.regenerate)?)
        } else {
            None
        };
        Ok(Taken { asked, opened, began })
    }

    /// Answers a question that was taken up, and writes the answer down. When the listener goes away, what
    /// was told until then is kept as stopped. It waits for a model: call it where a thread may wait.
    ///
    /// `now` is the caller with the rights of the moment: an answer of which a document was closed to them
    /// while it was made becomes one that found nothing, without a word or a source.
    ///
    /// # Errors
    /// `right_missing`, or what the store or the index says; then the conversation keeps that it failed.
    pub fn tell(
        &self,
        caller: &Caller,
        now: &watch::Receiver<Arc<Caller>>,
        taken: Taken,
        listener: &Listener,
    ) -> Result<Told, Fault> {
        let Taken { asked, opened, began } = taken;
        let inquiry = self.inquiry(caller, &asked, opened.as_ref());
        let reply = inquiry.and_then(|inquiry| self.reply(caller, &inquiry, listener));
        let reply = reply.and_then(|reply| self.still_open(&now.borrow().clone(), &asked, reply));
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reply = match reply {
            Ok(reply) => reply,
            Err(fault) => {
                if let Some(opened) = &opened {
                    self.conversations.finish(caller, opened, broken_off(&fault, took_ms))?;
                }
                return Err(fault);
            }
        };
        let said = said(&reply, took_ms);
        let turn = if let Some(opened) = &opened {
            Some(self.conversations.finish(caller, opened, said)?)
        } else {
            let collection = asked.collection.as_deref();
            self.conversations.note_answer(caller, &asked.question, collection, &said)?;
            None
        };
        Ok(Told {
            citations: reply.numbers.into_iter().collect(),
            answer: reply.text,
            origin: reply.origin,
            outcome: reply.outcome,
            failure: reply.failure,
            sources: reply.sources,
            searched_for: reply.searched_for,
            unsupported: reply.unsupported,
            model: reply.model,
            usage: reply.usage,
            took_ms,
            conversation: opened.as_ref().map(|opened| opened.conversation.id),
            question_turn: opened.map(|opened| opened.question_turn.clone()),
            turn,
        })
    }

    /// The answer, if every document it was given is open to the caller by now; else one that found nothing.
    fn still_open(&self, caller: &Caller, asked: &Asked, reply: Reply) -> Result<Reply, Fault> {
        may_ask(caller)?;
        let open = self.search.store.read(|view| {
            let gate = Gate::at(view, caller);
            for source in &reply.sources {
                match gate.find(source.edition.document) {
                    Ok(_) => {}
                    Err(fault) if fault.kind == Kind::NotFound => return Ok(false),
                    Err(fault) => return Err(fault),
                }
            }
            Ok(true)
        })?;
        if open {
            return Ok(reply);
        }
        let language = wording::language(asked.language.as_deref(), &asked.question, None);
        Ok(reply.withdrawn(wording::not_found(language)))
    }

    /// The question with what was said before, as far as the caller may still read what that was made of.
    fn inquiry(
        &self,
        caller: &Caller,
        asked: &Asked,
        opened: Option<&Opened>,
    ) -> Result<Inquiry, Fault> {
        let mut earlier = Vec::new();
        let turns = opened.map_or(&[] as &[Turn], |opened| opened.earlier.as_slice());
        for pair in turns.windows(2) {
            let [question, answer] = pair else { continue };
            if question.role != Role::User || answer.role != Role::Assistant {
                continue;
            }
            let Some(titles) = self.titles(caller, &answer.citations)? else { continue };
            let looked_for = answer.searched_for.as_ref().unwrap_or(&question.text);
            earlier.push(Earlier {
                before: Before { question: looked_for.clone(), titles },
                exchange: Exchange {
                    question: question.text.clone(),
                    // Numbers of another answer's sources mean nothing to this one.
                    answer: citing::bare(&answer.text),
                },
            });
        }
        let own = opened.and_then(|opened| opened.conversation.collection.clone());
        let scope = opened.map_or_else(
            || format!("answers of {}", caller.name()),
            |opened| opened.conversation.id.to_string(),
        );
        Ok(Inquiry {
            question: asked.question.trim().to_owned(),
            collection: asked.collection.clone().or(own),
            language: asked.language.clone(),
            top: asked.top.unwrap_or(TOP_USUAL),
            earlier,
            scope,
        })
    }

    /// The titles of the documents that an answer cites, each once; none when one of them is gone or closed
    /// to the caller by now, so that its words do not go on through an answer of before.
    fn titles(&self, caller: &Caller, cited: &[Citation]) -> Result<Option<Vec<String>>, Fault> {
        self.search.store.read(|view| {
            let gate = Gate::at(view, caller);
            let mut titles = Vec::new();
            for citation in cited {
                match gate.find(citation.document) {
                    Ok(document) if titles.contains(&document.title) => {}
                    Ok(document) => titles.push(document.title),
                    Err(fault) if fault.kind == Kind::NotFound => return Ok(None),
                    Err(fault) => return Err(fault),
                }
            }
            Ok(Some(titles))
        })
    }

    /// The model that judges passages, when there is one: the one chosen on the shelf, else the setting's.
    fn judge(&self) -> Result<Option<Arc<Reranker>>, Fault> {
        let chosen = self.models.chosen(Purpose::Reranker)?.map(|model| model.name);
        let name = chosen.unwrap_or_else(|| self.search.settings.search.reranker.clone());
        Ok(if name.is_empty() { None } else { self.search.judge(&name) })
    }
}

impl Replayer for Answers {
    fn replay(&self, caller: Caller, again: Again) -> BoxFuture<'static, Result<Anew, Fault>> {
        let desk = self.clone();
        Box::pin(async move {
            // Dropping the future drops the channel, and that ends the answer.
            let (steps, _heard) = unbounded_channel();
            let place = desk.place(&caller)?;
            let reply = crate::web::run(move || {
                let _place = place;
                let inquiry = Inquiry {
                    question: again.question,
                    collection: again.collection,
                    language: None,
                    top: TOP_USUAL,
                    earlier: Vec::new(),
                    scope: format!("answers of {}", caller.name()),
                };
                Ok(desk.reply(&caller, &inquiry, &Listener::new(steps)))
            })
            .await
            .map_err(|busy| {
                Fault::unavailable(busy.fault().code, busy.fault().message.clone())
            })??;
            Ok(Anew {
                citations: reply.citations(),
                answer: reply.text,
                origin: reply.origin,
                outcome: reply.outcome,
                model: reply.model,
            })
        })
    }
}

/// Whether the caller may have anything answered.
fn may_ask(caller: &Caller) -> Result<(), Fault> {
    caller.require(Right::UseAssistant)?;
    caller.require(Right::ReadDocuments)
}

/// What is written down of an answer.
fn said(reply: &Reply, took_ms: u64) -> Said {
    Said {
        text: reply.text.clone(),
        origin: reply.origin,
        outcome: reply.outcome,
        failure: reply.failure.clone(),
        citations: reply.citations(),
        model: reply.model.clone(),
        usage: reply.usage,
        took_ms,
        searched_for: reply.searched_for.clone(),
        given: reply.sources.iter().map(|source| source.edition.document).collect(),
    }
}

/// What is written down of an answer that never came.
fn broken_off(fault: &Fault, took_ms: u64) -> Said {
    Said {
        text: String::new(),
        origin: Origin::NotFound,
        outcome: Outcome::Failed,
        failure: Some(fault.code.to_owned()),
        citations: Vec::new(),
        model: None,
        usage: Usage::default(),
        took_ms,
        searched_for: None,
        given: Vec::new(),
    }
}
