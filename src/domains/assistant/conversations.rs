//! Conversations: what was said, by whom, with which passages; each belongs to one person.

mod asking;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::json;

pub use asking::{MAX_EARLIER, Opened, QUESTION_MAX, Said, checked};

use super::citing::{self, Cited, Grounds};
use super::folding::Needle;
use super::history::{History, owner};
use super::readers::Gate;
use super::records::talk::{CONVERSATIONS, CONVERSATIONS_OF, Conversation, TURNS, Turn};
use super::thinking::Ground;
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::key::Key;
use crate::store::table::read_key;
use crate::store::{Deed, Reader, Record, Store, Tx, View, under};

/// The most turns of a conversation.
pub const TURNS_MAX: u32 = 2_000;
/// The most conversations of a user.
pub const CONVERSATIONS_MAX: usize = 10_000;
/// The longest title, characters.
pub const TITLE_MAX: usize = 200;
/// The longest title that is made of a question's first words, characters.
const TITLE_MADE_MAX: usize = 60;
/// Bytes of turns that one search reads at most; conversations behind it are found by title alone.
const SEARCHED_MAX: usize = 16 << 20;

/// Whether an owner of conversations still has an account that is in use, asked within the write that puts
/// something down for them.
pub type StillHere = Arc<dyn Fn(&Tx<'_>, Id) -> Result<bool, Fault> + Send + Sync>;

/// The conversations' desk. Clones are the same desk.
#[derive(Clone)]
pub struct Conversations {
    store: Store,
    history: History,
    busy: asking::Busy,
    still_here: StillHere,
}

/// A page of conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Conversation>,
    /// Whether there are more behind them.
    pub more: bool,
    /// Whether everything that was said was looked through; else some of it by title alone.
    pub whole: bool,
}

/// A turn as its owner sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// It.
    pub turn: Turn,
    /// Whether it was made of documents that are closed to the caller by now: then it has no words here.
    pub closed: bool,
    /// The passages it cites, as far as they are there and open to the caller.
    pub citations: Vec<Cited>,
}

impl Conversations {
    /// Opens the desk.
    pub fn open(ground: &Ground, history: History) -> Self {
        Self {
            store: ground.store.clone(),
            history,
            busy: asking::Busy::default(),
            still_here: ground.still_here.clone(),
        }
    }

    /// Begins a conversation in which nothing is said yet.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, the field at fault, `not_found` for a collection that is closed
    /// to the caller, `too_many_conversations`, `session_ended` for somebody who left meanwhile.
    pub fn start(
        &self,
        caller: &Caller,
        title: Option<&str>,
        collection: Option<&str>,
    ) -> Result<Conversation, Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        let title = title.map(str::trim).filter(|title| !title.is_empty());
        let title = title.map(checked_title).transpose()?;
        let collection = self.open_collection(caller, collection)?;
        let who = caller.clone();
        let here = self.still_here.clone();
        self.store.write_once(caller, "conversation.add", move |tx| {
            asking::check_here(tx, &here, owner)?;
            asking::make(tx, &who, owner, title, collection)
        })
    }

    /// The caller's conversations, newest first, after the one of the name `before`; with `words` those
    /// in whose title or turns they stand, whatever their case and accents.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, `not_found` when `before` is not there.
    pub fn list(
        &self,
        caller: &Caller,
        words: Option<&str>,
        limit: usize,
        before: Option<Id>,
    ) -> Result<Page, Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        self.store.read(|view| {
            let mut span = under(&owner);
            if let Some(before) = before {
                let before = find(view, owner, before)?;
                span.1 = Some((owner, before.updated_at, before.id).bytes());
            }
            let mut search =
                words.and_then(Needle::of).map(|needle| Search::new(view, caller, needle));
            let mut page = Page { whole: true, ..Page::default() };
            view.raw_each(CONVERSATIONS_OF.name, &span, true, &mut |key, _| {
                let (_, _, id) = read_key::<(Id, Moment, Id)>(key)?;
                let Some(found) = view.get(&CONVERSATIONS, &id)? else {
                    return Ok(ControlFlow::Continue(()));
                };
                let fits = search.as_mut().map_or(Ok(true), |search| search.fits(&found))?;
                if fits && page.items.len() == limit {
                    page.more = true;
                    return Ok(ControlFlow::Break(()));
                }
                page.items.extend(fits.then_some(found));
                Ok(ControlFlow::Continue(()))
            })?;
            page.whole = search.is_none_or(|search| search.left > 0);
            Ok(page)
        })
    }

    /// Gives a conversation another title, or another collection to ask from now on; an empty one asks
    /// all that are open.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, `not_found`, the field at fault.
    pub fn edit(
        &self,
        caller: &Caller,
        id: Id,
        title: Option<&str>,
        collection: Option<&str>,
    ) -> Result<Conversation, Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        let title = title.map(checked_title).transpose()?;
        let asked = collection.map(|name| self.open_collection(caller, Some(name))).transpose()?;
        let who = caller.clone();
        self.store.write(move |tx| {
            let mut kept = find(tx, owner, id)?;
            let old = kept.clone();
            if let Some(title) = title {
                kept.title = title;
                kept.titled = true;
            }
            if let Some(collection) = asked {
                kept.collection = collection;
            }
            if kept != old {
                kept.lineage = old.lineage.then(tx.revision());
                tx.put(&CONVERSATIONS, &id, &kept)?;
                tx.journal(&who, Deed::new("conversation.edit", id))?;
            }
            Ok(kept)
        })
    }

    /// Deletes a conversation with everything that was said in it.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, `not_found`.
    pub fn delete(&self, caller: &Caller, id: Id) -> Result<(), Fault> {
        caller.require(Right::UseAssistant)?;
        let (who, owner) = (caller.clone(), owner(caller)?);
        self.store.write_freeing(move |tx| {
            let kept = find(tx, owner, id)?;
            let turns = forget(tx, &kept)?;
            let shown = json!({"turns": turns});
            tx.journal(&who, Deed::new("conversation.delete", id).before(&shown))
        })
    }

    /// What was said in a conversation: the last `limit` turns before the place `before`, oldest first,
    /// and whether there are more before them.
    ///
    /// # Errors
    /// `right_missing`, `user_required`, `not_found`.
    pub fn turns(
        &self,
        caller: &Caller,
        id: Id,
        limit: usize,
        before: Option<Id>,
    ) -> Result<(Vec<Shown>, bool), Fault> {
        caller.require(Right::UseAssistant)?;
        let owner = owner(caller)?;
        self.store.read(|view| {
            find(view, owner, id)?;
            let mut span = under(&id);
            if let Some(before) = before {
                span.1 = Some((id, place_of(view, id, before)?).bytes());
            }
            let (mut turns, mut more) = (Vec::new(), false);
            view.raw_each(TURNS.name, &span, true, &mut |_, row| {
                if turns.len() == limit {
                    more = true;
                    return Ok(ControlFlow::Break(()));
                }
                turns.push(Turn::decode(row)?);
                Ok(ControlFlow::Continue(()))
            })?;
            turns.reverse();
            let gate = Gate::at(view, caller);
            let shown = turns.into_iter().map(|mut turn| {
                let citations = citing::read_all(view, caller, &turn.citations)?;
                let closed = !Grounds::of_own(&turn).are_open(view, &gate)?;
                if closed {
                    turn.text.clear();
                    turn.searched_for = None;
                }
                Ok(Shown { turn, closed, citations })
            });
            Ok((shown.collect::<Result<_, Fault>>()?, more))
        })
    }

    /// Takes the conversations of somebody who leaves away; with `apply` false it only counts them.
    ///
    /// # Errors
    /// What the store says.
    pub fn forget_user(
        tx: &mut Tx<'_>,
        caller: &Caller,
        user: Id,
        apply: bool,
    ) -> Result<usize, Fault> {
        let count = of_owner(tx, user)?;
        if apply && count > 0 {
            for ((_, _, id), ()) in tx.list(&CONVERSATIONS_OF, &under(&user), usize::MAX)? {
                if let Some(kept) = tx.get(&CONVERSATIONS, &id)? {
                    forget(tx, &kept)?;
                }
            }
            let shown = json!({"conversations": count});
            tx.journal(caller, Deed::new("conversation.delete_all", user).before(&shown))?;
        }
        Ok(count)
    }

    /// A collection that the caller may read, tidied; an empty name is none.
    fn open_collection(
        &self,
        caller: &Caller,
        name: Option<&str>,
    ) -> Result<Option<String>, Fault> {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if !self.store.read(|view| Gate::at(view, caller).lets(name))? {
            return Err(Fault::not_found("collection"));
        }
        Ok(Some(name.to_owned()))
    }
}

/// Looks through conversations for words, newest first, until it has read [`SEARCHED_MAX`] bytes.
struct Search<'v> {
    view: &'v View,
    gate: Gate<'v, View>,
    needle: Needle,
    left: usize,
}

impl<'v> Search<'v> {
    fn new(view: &'v View, caller: &'v Caller, needle: Needle) -> Self {
        Self { view, gate: Gate::at(view, caller), needle, left: SEARCHED_MAX }
    }

    fn fits(&mut self, conversation: &Conversation) -> Result<bool, Fault> {
        if self.needle.is_in(&conversation.title) {
            return Ok(true);
        }
        let mut found = false;
        let (view, gate) = (self.view, &self.gate);
        let (needle, left) = (&mut self.needle, &mut self.left);
        view.raw_each(TURNS.name, &under(&conversation.id), false, &mut |_, row| {
            *left = left.saturating_sub(row.len());
            let turn = Turn::decode(row)?;
            // What is found tells what an answer says, also of one that is closed to the caller by now.
            found = *left > 0
                && needle.is_in(&turn.text)
                && Grounds::of_own(&turn).are_open(view, gate)?;
            let end = found || *left == 0;
            Ok(if end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }
}

/// The place of a turn in its conversation; its name tells nothing of it, so the turns are walked.
fn place_of(view: &View, conversation: Id, turn: Id) -> Result<u32, Fault> {
    let mut place = None;
    view.each(&TURNS, &under(&conversation), |(_, ordinal), found| {
        place = (found.id == turn).then_some(ordinal);
        Ok(if place.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    place.ok_or_else(|| Fault::not_found("message"))
}

/// The conversation of that name, if it is this owner's.
fn find(reader: &impl Reader, owner: Id, id: Id) -> Result<Conversation, Fault> {
    let found = reader.get(&CONVERSATIONS, &id)?;
    found.filter(|it| it.owner == owner).ok_or_else(|| Fault::not_found("conversation"))
}

/// Takes a conversation out with its turns; the answer is how many there were.
fn forget(tx: &mut Tx<'_>, kept: &Conversation) -> Result<usize, Fault> {
    tx.remove(&CONVERSATIONS, &kept.id)?;
    tx.remove(&CONVERSATIONS_OF, &(kept.owner, kept.updated_at, kept.id))?;
    tx.remove_span(&TURNS, &under(&kept.id))
}

/// A title as it is kept.
fn checked_title(title: &str) -> Result<String, Fault> {
    let title = title.trim();
    if title.is_empty() {
        return Err(Fault::field("title", "string_too_short", "'title' must not be empty."));
    }
    if title.chars().count() > TITLE_MAX {
        let words = format!("'title' has more than {TITLE_MAX} characters.");
        return Err(Fault::field("title", "string_too_long", words));
    }
    if title.chars().any(char::is_control) {
        let words = "'title' has control characters.";
        return Err(Fault::field("title", "string_pattern", words));
    }
    Ok(title.to_owned())
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
