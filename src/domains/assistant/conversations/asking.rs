//! A question and its answer, each written down in one piece: what the answering desk leans on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use super::{
    CONVERSATIONS_MAX, Conversations, StillHere, TURNS_MAX, find, move_to, of_owner, title_of,
};
use crate::base::caller::{Caller, Right};
use crate::base::fault::{Fault, Kind};
use crate::base::id::{Id, Lineage};
use crate::domains::assistant::citing::Grounds;
use crate::domains::assistant::history::{ANSWERED, History, owner};
use crate::domains::assistant::prompts::Prompts;
use crate::domains::assistant::readers::Gate;
use crate::domains::assistant::records::talk::{
    CONVERSATIONS, CONVERSATIONS_OF, Citation, Conversation, Origin, Outcome, TURNS, Turn,
};
use crate::engines::generation::{Role, Usage};
use crate::store::{Deed, Reader, Tx, under};

/// The longest question, characters.
pub const QUESTION_MAX: usize = 8_000;
/// The most earlier turns that go with a question: the last ones.
pub const MAX_EARLIER: usize = 20;
/// The most documents that are kept with an answer as what it was made of: its own come first, then those
/// of the answers before it, the latest first. What is left out was retold a hundred answers ago.
const GIVEN_MAX: usize = 200;

/// Conversations that somebody is being answered in.
pub(super) type Busy = Arc<Mutex<BTreeSet<Id>>>;

/// Keeps a conversation to one question at a time; dropped, it lets the next one in.
#[derive(Debug)]
struct Place {
    busy: Busy,
    conversation: Id,
}

impl Place {
    fn take(busy: &Busy, conversation: Id) -> Result<Self, Fault> {
        let mut taken = busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.insert(conversation) {
            return Err(Fault::conflict(
                "conversation_busy",
                "A question in this conversation is being answered; wait for it, or stop it.",
            ));
        }
        Ok(Self { busy: busy.clone(), conversation })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.conversation);
    }
}

/// A question that waits for its answer. Until it is dropped, nobody asks in the same conversation.
#[derive(Debug)]
pub struct Opened {
    /// The conversation; its collection is the one to ask.
    pub conversation: Conversation,
    /// The question's turn.
    pub question_turn: Turn,
    /// What was said before, oldest first, [`MAX_EARLIER`] turns at most: questions and answers in turn,
    /// beginning with a question. Questions without an answer are left out, and answers of documents that
    /// are closed to the caller by now with theirs.
    pub earlier: Vec<Turn>,
    /// Whether the answer takes the place of one that is there.
    pub regenerate: bool,
    /// Whether the conversation was made for this question.
    pub is_new: bool,
    _place: Place,
}

/// What was answered: a turn without its names and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What was said.
    pub text: String,
    /// How it came about.
    pub origin: Origin,
    /// How far it came.
    pub outcome: Outcome,
    /// Why it broke off: a fault's code.
    pub failure: Option<String>,
    /// The passages it cites.
    pub citations: Vec<Citation>,
    /// The model that wrote it.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Usage,
    /// Milliseconds from the question to its end.
    pub took_ms: u64,
    /// What was looked for in place of a question that leans on what was said before.
    pub searched_for: Option<String>,
    /// The documents whose words it was made of, cited or not: all that a model was given, or that an
    /// extract was chosen from.
    pub given: Vec<Id>,
}

impl Said {
    /// Whether it broke off before its first word.
    fn is_nothing(&self) -> bool {
        self.outcome != Outcome::Whole && self.text.trim().is_empty()
    }
}

/// What the journal shows of an answer: no word of it.
#[derive(Serialize)]
struct Shown<'s> {
    origin: Origin,
    outcome: Outcome,
    failure: Option<&'s str>,
    model: Option<&'s str>,
    prompt_tokens: usize,
    completion_tokens: usize,
    citations: usize,
    took_ms: u64,
    regenerated: bool,
}

impl<'s> Shown<'s> {
    fn of(said: &'s Said, regenerated: bool) -> Self {
        Self {
            origin: said.origin,
            outcome: said.outcome,
            failure: said.failure.as_deref(),
            model: said.model.as_deref(),
            prompt_tokens: said.usage.prompt_tokens,
            completion_tokens: said.usage.completion_tokens,
            citations: said.citations.len(),
            took_ms: said.took_ms,
            regenerated,
        }
    }
}

/// The words of a question that can be asked.
///
/// # Errors
/// The field at fault.
pub fn checked(question: &str) -> Result<&str, Fault> {
    let question = question.trim();
    if question.is_empty() {
        return Err(Fault::field("question", "string_too_short", "'question' must not be empty."));
    }
    if question.chars().count() > QUESTION_MAX {
        return Err(Fault::field(
            "question",
            "string_too_long",
            format!("'question' has more than {QUESTION_MAX} characters."),
        ));
    }
    Ok(question)
}

impl Conversations {
    /// Takes a question up: makes the conversation when none is named, and writes the question down. To
    /// regenerate, nothing is written yet: the last question is asked again, in these words, and
    /// [`finish`](Self::finish) puts the new answer in the old one's place.
    ///
    /// A `collection` is the conversation's from then on. The question is counted among the caller's
    /// prompts here; nobody else needs to.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, the field at fault, `not_found` for a conversation that is not
    /// the caller's or a collection that is closed to them, `conversation_busy`, `conversation_full`,
    /// `too_many_conversations`, `nothing_to_regenerate`, `session_ended` for somebody who left meanwhile.
    pub fn begin(
        &self,
        caller: &Caller,
        conversation: Option<Id>,
        question: &str,
        collection: Option<&str>,
        regenerate: bool,
    ) -> Result<Opened, Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        let question = checked(question)?.to_owned();
        let collection = self.open_collection(caller, collection)?;
        // Nobody learns of another's conversation that it is there, and being answered in.
        if let Some(id) = conversation {
            self.store.read(|view| find(view, owner, id).map(drop))?;
        }
        let place = conversation.map(|id| Place::take(&self.busy, id)).transpose()?;
        if regenerate {
            let place = place.ok_or_else(nothing_to_regenerate)?;
            return self.again(caller, owner, place, question, collection);
        }
        let who = caller.clone();
        let (is_new, busy) = (place.is_none(), self.busy.clone());
        let here = self.still_here.clone();
        let (conversation, question_turn, earlier, place) = self.store.write(move |tx| {
            check_here(tx, &here, owner)?;
            let mut kept = match conversation {
                Some(id) => find(tx, owner, id)?,
                None => make(tx, &who, owner, None, None)?,
            };
            // A new conversation's place is taken before anybody can see it and ask in between.
            let place = place.map_or_else(|| Place::take(&busy, kept.id), Ok)?;
            if kept.turns.saturating_add(2) > TURNS_MAX {
                return Err(Fault::conflict(
                    "conversation_full",
                    format!("A conversation has at most {TURNS_MAX} turns; begin another one."),
                ));
            }
            let earlier = earlier(tx, &who, kept.id, kept.turns)?;
            let old = kept.clone();
            if kept.turns == 0 && !kept.titled {
                kept.title = title_of(&question);
            }
            kept.turns += 1;
            kept.collection = collection.or(kept.collection);
            let turn = asked(tx, kept.turns, &question);
            tx.put(&TURNS, &(kept.id, turn.ordinal), &turn)?;
            move_to(tx, &old, &mut kept)?;
            Prompts::note_use(tx, owner, &question)?;
            tx.journal(&who, Deed::new("chat.ask", kept.id))?;
            Ok((kept, turn, earlier, place))
        })?;
        Ok(Opened { conversation, question_turn, earlier, regenerate, is_new, _place: place })
    }

    /// The last question of a conversation, to be asked again.
    fn again(
        &self,
        caller: &Caller,
        owner: Id,
        place: Place,
        question: String,
        collection: Option<String>,
    ) -> Result<Opened, Fault> {
        let id = place.conversation;
        self.store.read(move |view| {
            let mut conversation = find(view, owner, id)?;
            let mut turn = last_question(view, id)?.ok_or_else(nothing_to_regenerate)?;
            turn.text = question;
            conversation.collection = collection.or(conversation.collection);
            let earlier = earlier(view, caller, id, turn.ordinal - 1)?;
            let regenerate = true;
            Ok(Opened {
                conversation,
                question_turn: turn,
                earlier,
                regenerate,
                is_new: false,
                _place: place,
            })
        })
    }

    /// Writes an answer down behind its question, in the journal without a word of it, and in the history:
    /// one write. What was stopped or broke off is written down too; but when it was to take the place of
    /// an answer and has no word, that answer stays, and is what this answers.
    ///
    /// # Errors
    /// `right_missing`, `session_ended` when who asked left meanwhile, `not_found` when the conversation was
    /// deleted meanwhile, or what the store says.
    pub fn finish(&self, caller: &Caller, opened: &Opened, answer: Said) -> Result<Turn, Fault> {
        caller.require(Right::UseAssistant)?;
        let (who, owner) = (caller.clone(), owner(caller)?);
        let (id, question) = (opened.conversation.id, opened.question_turn.clone());
        let (regenerated, collection) = (opened.regenerate, opened.conversation.collection.clone());
        let given = given(&answer, &opened.earlier);
        let answer = Said { given, ..answer };
        let here = self.still_here.clone();
        let turn = self.store.write(move |tx| {
            check_here(tx, &here, owner)?;
            let mut kept = find(tx, owner, id)?;
            let old = kept.clone();
            let place = (id, question.ordinal.saturating_add(1));
            let before = tx.get(&TURNS, &place)?.filter(|_| answer.is_nothing());
            let turn = if let Some(before) = before {
                before
            } else {
                if regenerated {
                    tx.put(&TURNS, &(id, question.ordinal), &question)?;
                    kept.collection.clone_from(&collection);
                }
                let turn = answered(tx, place.1, answer.clone());
                tx.put(&TURNS, &place, &turn)?;
                kept.turns = kept.turns.max(turn.ordinal);
                turn
            };
            move_to(tx, &old, &mut kept)?;
            let place = Some((id, turn.id));
            note(tx, &who, place, collection.as_deref(), &question.text, &answer)?;
            let shown = Shown::of(&answer, regenerated);
            tx.journal(&who, Deed::new(ANSWERED, id).after(&shown))?;
            Ok(turn)
        })?;
        self.history.look();
        Ok(turn)
    }

    /// Notes an answer that belongs to no conversation: in the journal, and in the history.
    ///
    /// # Errors
    /// `right_missing`, `session_ended` when who asked left meanwhile, or what the store says.
    pub fn note_answer(
        &self,
        caller: &Caller,
        question: &str,
        collection: Option<&str>,
        answer: &Said,
    ) -> Result<(), Fault> {
        caller.require(Right::UseAssistant)?;
        let (who, answer) = (caller.clone(), answer.clone());
        let (question, collection) = (question.to_owned(), collection.map(str::to_owned));
        let here = self.still_here.clone();
        self.store.write(move |tx| {
            if let Ok(owner) = owner(&who) {
                check_here(tx, &here, owner)?;
                Prompts::note_use(tx, owner, &question)?;
            }
            note(tx, &who, None, collection.as_deref(), &question, &answer)?;
            tx.journal(&who, Deed::new(ANSWERED, "").after(&Shown::of(&answer, false)))
        })?;
        self.history.look();
        Ok(())
    }
}

/// Refuses to write for somebody who left: what was taken away when they did would come back with an
/// answer that ends later.
///
/// # Errors
/// `session_ended`, or what the store says.
pub(super) fn check_here(tx: &Tx<'_>, here: &StillHere, owner: Id) -> Result<(), Fault> {
    if here(tx, owner)? {
        return Ok(());
    }
    Err(Fault::new(Kind::Unauthenticated, "session_ended", "The session has ended; sign in again."))
}

fn nothing_to_regenerate() -> Fault {
    Fault::conflict("nothing_to_regenerate", "No question was asked in this conversation yet.")
}

/// Makes a conversation.
pub(super) fn make(
    tx: &mut Tx<'_>,
    caller: &Caller,
    owner: Id,
    title: Option<String>,
    collection: Option<String>,
) -> Result<Conversation, Fault> {
    if of_owner(tx, owner)? >= CONVERSATIONS_MAX {
        return Err(Fault::conflict(
            "too_many_conversations",
            format!("A user has at most {CONVERSATIONS_MAX} conversations; delete some first."),
        ));
    }
    let conversation = Conversation {
        id: tx.new_id(),
        lineage: Lineage::born(tx.revision()),
        owner,
        titled: title.is_some(),
        title: title.unwrap_or_default(),
        collection,
        created_at: tx.now(),
        updated_at: tx.now(),
        turns: 0,
    };
    tx.put(&CONVERSATIONS, &conversation.id, &conversation)?;
    tx.put(&CONVERSATIONS_OF, &(owner, conversation.updated_at, conversation.id), &())?;
    tx.journal(caller, Deed::new("conversation.add", conversation.id))?;
    Ok(conversation)
}

/// A question's turn.
fn asked(tx: &Tx<'_>, ordinal: u32, question: &str) -> Turn {
    Turn {
        id: tx.new_id(),
        ordinal,
        role: Role::User,
        text: question.to_owned(),
        at: tx.now(),
        origin: Origin::Person,
        outcome: Outcome::Whole,
        failure: None,
        citations: Vec::new(),
        model: None,
        usage: Usage::default(),
        took_ms: 0,
        searched_for: None,
        given: Vec::new(),
    }
}

/// An answer's turn.
fn answered(tx: &Tx<'_>, ordinal: u32, said: Said) -> Turn {
    Turn {
        id: tx.new_id(),
        ordinal,
        role: Role::Assistant,
        text: said.text,
        at: tx.now(),
        origin: said.origin,
        outcome: said.outcome,
        failure: said.failure,
        citations: said.citations,
        model: said.model,
        usage: said.usage,
        took_ms: said.took_ms,
        searched_for: said.searched_for,
        given: said.given,
    }
}

/// The last question of a conversation: its last turn, or the one before an answer.
fn last_question(reader: &impl Reader, id: Id) -> Result<Option<Turn>, Fault> {
    let last = reader.last(&TURNS, &under(&id))?.map(|(_, turn)| turn);
    match last {
        Some(turn) if turn.role == Role::User => Ok(Some(turn)),
        Some(turn) if turn.ordinal > 1 => reader.get(&TURNS, &(id, turn.ordinal - 1)),
        _ => Ok(None),
    }
}

/// The documents an answer was made of: its own, and those of the answers before it where it leans on
/// them, so that no words go on through a second answer to somebody who may not read the first.
fn given(said: &Said, earlier: &[Turn]) -> Vec<Id> {
    let retells = matches!(said.origin, Origin::Grounded | Origin::Model);
    let leans = retells || said.searched_for.is_some();
    let before = earlier.iter().rev().filter(|_| leans).flat_map(|turn| &turn.given);
    // That the documents do not tell is said without a word of theirs.
    let own = said.given.iter().filter(|_| said.origin != Origin::NotFound);
    let mut known = BTreeSet::new();
    let each = own.chain(before).copied();
    each.filter(|document| known.insert(*document)).take(GIVEN_MAX).collect()
}

/// The last exchanges up to a turn, oldest first: what a chat template takes.
fn earlier<R: Reader>(reader: &R, caller: &Caller, id: Id, until: u32) -> Result<Vec<Turn>, Fault> {
    let gate = Gate::at(reader, caller);
    let mut newest_first = Vec::new();
    let mut answer = None::<Turn>;
    for ordinal in (1..=until).rev() {
        if newest_first.len() >= MAX_EARLIER {
            break;
        }
        let Some(turn) = reader.get(&TURNS, &(id, ordinal))? else { continue };
        match (turn.role, answer.take()) {
            (Role::User, Some(answer)) => newest_first.extend([answer, turn]),
            (Role::Assistant, _) if !turn.text.trim().is_empty() => {
                let open = Grounds::of_own(&turn).are_open(reader, &gate)?;
                answer = Some(turn).filter(|_| open);
            }
            _ => {}
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// The event of an answer.
fn note(
    tx: &mut Tx<'_>,
    caller: &Caller,
    place: Option<(Id, Id)>,
    collection: Option<&str>,
    question: &str,
    said: &Said,
) -> Result<(), Fault> {
    let payload = json!({
        "conversation_id": place.map(|(conversation, _)| conversation),
        "turn_id": place.map(|(_, turn)| turn),
        "question": question,
        "searched_for": said.searched_for,
        "collection": collection,
        "answer": said.text,
        "origin": said.origin,
        "outcome": said.outcome,
        "failure": said.failure,
        "citations": said.citations,
        "given": said.given,
        "model": said.model,
        "usage": said.usage,
        "took_ms": said.took_ms,
    });
    History::note(tx, caller, ANSWERED, &payload)
}
