//! Conversations: what was said, by whom, with which passages; each belongs to one person.

mod asking;

use std::ops::ControlFlow;
use std::sync::Arc;

pub use asking::{ANSWERED, MAX_EARLIER, Opened, QUESTION_MAX, Said, checked};

use super::history::History;
use super::readers::Gate;
use super::records::talk::{CONVERSATIONS, CONVERSATIONS_OF, Citation, Conversation, TURNS, Turn};
use super::records::{DOCUMENTS, EDITIONS, PASSAGES};
use super::thinking::Ground;
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Reader, Store, Tx, under};

/// The most turns of a conversation.
pub const TURNS_MAX: u32 = 2_000;
/// The most conversations of a user.
pub const CONVERSATIONS_MAX: usize = 10_000;
/// The longest title, characters.
pub const TITLE_MAX: usize = 200;
/// The longest title that is made of a question's first words, characters.
const TITLE_MADE_MAX: usize = 60;

/// The conversations' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Conversations {
    store: Store,
    clock: Arc<dyn Clock>,
    history: History,
    busy: asking::Busy,
}

impl Conversations {
    /// Opens the desk.
    pub fn open(ground: &Ground, history: History) -> Self {
        Self {
            store: ground.store.clone(),
            clock: ground.clock.clone(),
            history,
            busy: asking::Busy::default(),
        }
    }
}

/// Whose conversations a caller's are. A key acts for its user, and a machine for itself.
fn owner(caller: &Caller) -> Result<Id, Fault> {
    match &caller.who {
        Who::User { id, .. } | Who::Machine { id, .. } => Ok(*id),
        Who::Nobody => Err(caller.unauthenticated()),
        Who::Console | Who::Task(_) => Err(Fault::forbidden(
            "user_required",
            "Only a user has conversations, a history and prompts of their own.",
        )),
    }
}

/// How many conversations a user has.
fn of_owner(reader: &impl Reader, owner: Id) -> Result<usize, Fault> {
    let mut count = 0;
    reader.raw_each(CONVERSATIONS_OF.name, &under(&owner), false, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Writes a conversation in which something was said: it is its owner's newest.
fn move_to(tx: &mut Tx<'_>, old: &Conversation, new: &mut Conversation) -> Result<(), Fault> {
    tx.remove(&CONVERSATIONS_OF, &(old.owner, old.updated_at, old.id))?;
    new.updated_at = tx.now();
    new.lineage = old.lineage.then(tx.revision());
    tx.put(&CONVERSATIONS, &new.id, new)?;
    tx.put(&CONVERSATIONS_OF, &(new.owner, new.updated_at, new.id), &())
}

/// A title of a question's first words.
fn title_of(question: &str) -> String {
    let mut title = String::new();
    for word in question.split_whitespace() {
        let length = title.chars().count() + word.chars().count() + usize::from(!title.is_empty());
        if length > TITLE_MADE_MAX {
            if title.is_empty() {
                title = word.chars().take(TITLE_MADE_MAX).collect();
            }
            title.push('…');
            break;
        }
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(word);
    }
    title
}
