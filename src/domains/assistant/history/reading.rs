//! The history read backwards: one's own events, or everybody's for those who may see them.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::Value;

use super::keeping::count_of;
use super::masking::mask_text;
use super::{History, owner, sees_all, whose};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::assistant::citing::Grounds;
use crate::domains::assistant::folding::Needle;
use crate::domains::assistant::readers::Gate;
use crate::domains::assistant::records::talk::{
    Citation, EVENTS, EVENTS_HELD, EVENTS_OF, Event, Origin,
};
use crate::store::key::Key;
use crate::store::table::{look, read_key};
use crate::store::{Reader, Record, View, all, under};

/// Events looked at for one list at most, newest first; what is older is neither shown nor counted.
pub const LOOKED_AT_MAX: u64 = 1_000_000;
/// A user with less than this part of all events is looked up by their index, row by row.
const FEW: u64 = 8;
/// Characters of a filter that are journaled.
const JOURNALED_MAX: usize = 64;

/// Which events; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whose kind or payload holds this, whatever its case and accents.
    pub text: Option<String>,
    /// About this plugin.
    pub plugin: Option<String>,
    /// Of this kind; all kinds that begin so when it ends with a point, as `plugin.`.
    pub kind: Option<String>,
    /// Of this session.
    pub session: Option<String>,
    /// From this moment on.
    pub from: Option<Moment>,
    /// Before this moment.
    pub until: Option<Moment>,
    /// Of this user, by name or by name of record; of everybody one may see when there is none.
    pub user: Option<String>,
}

/// Which part of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many to skip.
    pub offset: usize,
    /// How many to show.
    pub limit: usize,
}

/// An event as somebody may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its number.
    pub number: u64,
    /// It; its payload is below.
    pub event: Event,
    /// What there is to know of it. An answer that was made of what is closed to the caller has no words
    /// here, but `"closed": true`.
    pub payload: Value,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// Those to show, newest first.
    pub items: Vec<Seen>,
    /// How many there are, of the newest [`LOOKED_AT_MAX`].
    pub total: u64,
}

/// What a list asks of every event, read without copying anything.
#[derive(Deserialize)]
struct Glance<'e> {
    kind: &'e str,
    user: Option<Id>,
    username: &'e str,
    session: Option<&'e str>,
    plugin: Option<&'e str>,
    payload: &'e str,
    at: Moment,
}

/// Whom a list is about.
enum Whose {
    Everybody,
    /// A user that is known by name of record.
    One(Id),
    /// A user that is known by name, in small letters.
    Named(String),
}

/// A filter made ready for many events.
struct Sieve<'f> {
    filter: &'f Filter,
    whose: &'f Whose,
    needle: Option<Needle>,
    /// Whether words may stand where the caller may not see them.
    veils: bool,
}

impl Sieve<'_> {
    fn is_open(&self) -> bool {
        let narrowed = Filter { user: self.filter.user.clone(), ..Filter::default() };
        *self.filter == narrowed && !matches!(self.whose, Whose::Named(_))
    }

    fn fits(&mut self, event: &Glance<'_>) -> bool {
        let filter = self.filter;
        let kind = |wanted: &str| {
            event.kind == wanted || (wanted.ends_with('.') && event.kind.starts_with(wanted))
        };
        let user = match self.whose {
            Whose::Everybody => true,
            Whose::One(user) => event.user == Some(*user),
            Whose::Named(name) => event.username.to_lowercase() == *name,
        };
        user && filter.from.is_none_or(|from| event.at >= from)
            && filter.until.is_none_or(|until| event.at < until)
            && filter.kind.as_deref().is_none_or(kind)
            && filter.plugin.as_deref().is_none_or(|plugin| event.plugin == Some(plugin))
            && filter.session.as_deref().is_none_or(|session| event.session == Some(session))
            && self
                .needle
                .as_mut()
                .is_none_or(|needle| needle.is_in(event.kind) || needle.is_in(event.payload))
    }

    /// Whether the words still stand in what the caller may see of an event that fits: else whoever looks
    /// for words would learn from what is found what an answer says that is closed to them.
    fn shows(
        &mut self,
        view: &View,
        caller: &Caller,
        number: u64,
        row: &[u8],
    ) -> Result<bool, Fault> {
        let Some(needle) = self.needle.as_mut().filter(|_| self.veils) else { return Ok(true) };
        let mut seen = Seen::of(number, Event::decode(row)?);
        veil(view, caller, &mut seen)?;
        Ok(needle.is_in(&seen.event.kind) || needle.is_in(&seen.payload.to_string()))
    }
}

impl History {
    /// Lists events, newest first: the caller's own, and everybody's for those who may see them
    /// (`manage_assistant`, `export_activity`), whose look is journaled.
    ///
    /// # Errors
    /// `right_missing`, also for another user's events; `user_required` for who has none of their own
    /// and may not see others'.
    pub fn list(&self, caller: &Caller, filter: &Filter, part: Part) -> Result<Listed, Fault> {
        let whose = about(caller, filter)?;
        let listed = self.store.read(|view| {
            let needle = filter.text.as_deref().and_then(Needle::of);
            let veils = needle.is_some() && Gate::at(view, caller).readable()?.is_some();
            let sieve = Sieve { filter, whose: &whose, needle, veils };
            let mut listed = walk(view, caller, sieve, part)?;
            for seen in &mut listed.items {
                veil(view, caller, seen)?;
            }
            Ok(listed)
        })?;
        if !is_own(caller, &whose) {
            self.note_look(caller, &words_of(filter))?;
        }
        Ok(listed)
    }
}

/// Whom a list is about, as far as the caller may see them.
fn about(caller: &Caller, filter: &Filter) -> Result<Whose, Fault> {
    let all = sees_all(caller);
    if !all {
        caller.require(Right::UseAssistant)?;
    }
    // Who has to choose a password first sees nothing either.
    caller.not_held()?;
    let Some(user) = filter.user.as_deref() else {
        return if all { Ok(Whose::Everybody) } else { owner(caller).map(Whose::One) };
    };
    let whose = match (user.parse::<Id>(), whose(caller)) {
        (Ok(id), _) => Whose::One(id),
        (Err(_), Some(own)) if user.to_lowercase() == caller.name().to_lowercase() => {
            Whose::One(own)
        }
        _ => Whose::Named(user.to_lowercase()),
    };
    if !all && !is_own(caller, &whose) {
        caller.require(Right::ManageAssistant)?;
    }
    Ok(whose)
}

fn is_own(caller: &Caller, whose: &Whose) -> bool {
    matches!(whose, Whose::One(user) if self::whose(caller) == Some(*user))
}

/// Walks along events, newest first.
fn walk(view: &View, caller: &Caller, mut sieve: Sieve<'_>, part: Part) -> Result<Listed, Fault> {
    let held = view.get(&EVENTS_HELD, &())?.unwrap_or_default();
    // How many there are in all needs no walk, and how many a user has none along their rows.
    let (user, known) = match sieve.whose {
        Whose::One(user) => (Some(*user), count_of(view, *user)?),
        Whose::Everybody | Whose::Named(_) => (None, held.count),
    };
    let user = user.filter(|_| known.saturating_mul(FEW) < held.count);
    let counted = sieve.is_open();
    let wanted = part.offset.saturating_add(part.limit) as u64;
    let (mut left, mut listed) = (LOOKED_AT_MAX, Listed::default());
    let mut visit = |number: u64, row: &[u8]| {
        if left == 0 || (counted && listed.total >= wanted) {
            return Ok(ControlFlow::Break(()));
        }
        left -= 1;
        // A row that is damaged hides no other.
        let glance = look::<Glance<'_>>(Event::VERSION, row);
        if glance.is_ok_and(|glance| sieve.fits(&glance))
            && sieve.shows(view, caller, number, row)?
        {
            listed.total += 1;
            if listed.total > part.offset as u64 && listed.total <= wanted {
                listed.items.push(Seen::of(number, Event::decode(row)?));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    if let Some(user) = user {
        view.raw_each(EVENTS_OF.name, &under(&user), true, &mut |key, _| {
            let (_, number) = read_key::<(Id, u64)>(key)?;
            let row = view.raw_get(EVENTS.name, &number.bytes())?;
            row.map_or(Ok(ControlFlow::Continue(())), |row| visit(number, &row))
        })?;
    } else {
        view.raw_each(EVENTS.name, &all(), true, &mut |key, row| visit(read_key(key)?, row))?;
    }
    if counted {
        listed.total = known;
    }
    Ok(listed)
}

impl Seen {
    fn of(number: u64, mut event: Event) -> Self {
        let payload = std::mem::take(&mut event.payload);
        let payload = serde_json::from_str(&payload).unwrap_or(Value::String(payload));
        Self { number, event, payload }
    }
}

/// What an answer's event keeps of what the answer stands on.
#[derive(Deserialize)]
struct Standing {
    #[serde(default)]
    origin: Option<Origin>,
    #[serde(default)]
    given: Vec<Id>,
    citations: Vec<Citation>,
}

/// Takes the words of an answer away that was made of documents which are closed to the caller by now, or
/// of which nobody can tell any more; with them what was looked for, which may name such a document.
fn veil(view: &View, caller: &Caller, seen: &mut Seen) -> Result<(), Fault> {
    if seen.payload.get("citations").is_none() {
        return Ok(());
    }
    let own = seen.event.user.is_some() && seen.event.user == whose(caller);
    let known = Standing::deserialize(&seen.payload);
    let open = known.map_or(Ok(false), |Standing { origin, given, citations }| {
        let grounds = Grounds { origin, given: &given, citations: &citations, own };
        grounds.are_open(view, &Gate::at(view, caller))
    })?;
    if !open && let Some(payload) = seen.payload.as_object_mut() {
        for words in ["answer", "searched_for"] {
            payload.insert(words.into(), Value::Null);
        }
        payload.remove("given");
        payload.insert("closed".into(), Value::Bool(true));
    }
    Ok(())
}

/// The event of that number, if the caller may see it.
pub(super) fn event(view: &View, caller: &Caller, number: u64) -> Result<Seen, Fault> {
    let found = view.get(&EVENTS, &number)?;
    let may =
        |event: &Event| sees_all(caller) || (event.user.is_some() && event.user == whose(caller));
    let event = found.filter(may).ok_or_else(|| Fault::not_found("event"))?;
    let mut seen = Seen::of(number, event);
    veil(view, caller, &mut seen)?;
    Ok(seen)
}

/// A look as it is journaled: what narrowed it, without the part that was shown.
fn words_of(filter: &Filter) -> String {
    let time = |moment: Option<Moment>| moment.map(Moment::to_rfc3339);
    let parts = [
        ("q", filter.text.clone()),
        ("plugin", filter.plugin.clone()),
        ("type", filter.kind.clone()),
        ("session_id", filter.session.clone()),
        ("start", time(filter.from)),
        ("end", time(filter.until)),
        ("user", filter.user.clone()),
    ];
    parts.into_iter().fold("history".to_owned(), |mut text, (name, value)| {
        if let Some(value) = value {
            // What is looked for may be a secret that somebody hopes was masked.
            let value: String = mask_text(&value).chars().take(JOURNALED_MAX).collect();
            text = format!("{text} {name}={value}");
        }
        text
    })
}
