//! What stands in for the main program: the pack to read, the outbox to write, and who may do which.

mod pace;

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Continuity;
use super::outbox::{Author, Draft, Entry, Outbox};
use super::pack::part::{Cell, Section};
use super::pack::{Found, Pack, Shelf};
use super::people::People;
use super::watchdog::state::{Phase, WatchdogState};
use crate::base::caller::{Caller, Door, Right, Who};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use pace::Paces;

/// The longest note, characters.
pub const TEXT_MAX: usize = 2_000;
/// The longest name of a row or a section that a note is about, bytes.
const ABOUT_MAX: usize = 200;
/// Rows whose key begins so are people who can be punched for, besides those who may sign in.
const PERSON_ROW: &str = "person:";
/// The longest file of the watchdog's that is read, bytes.
const STATE_MAX: usize = 64 * 1024;

/// What [`Standing`] stands on.
pub struct Ground {
    /// Plan B's desk: its keys, its identity, its settings.
    pub desk: Continuity,
    /// The pack.
    pub shelf: Shelf,
    /// Who is who.
    pub people: People,
    /// Where entries go.
    pub outbox: Outbox,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Plan B's process. Clones share it.
#[derive(Clone)]
pub struct Standing(Arc<Inside>);

struct Inside {
    ground: Ground,
    since: Moment,
    paces: Paces,
}

/// What a note says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The row it is about, by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The table of that row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// What changes.
    pub text: String,
}

/// Which way somebody goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Comes.
    In,
    /// Goes.
    Out,
    /// Begins a break.
    BreakStart,
    /// Ends one.
    BreakEnd,
}

/// What a punch says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Punch {
    /// Who: the record of the person.
    pub person: Id,
    /// Which way.
    pub direction: Direction,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// What was written down, newest first.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// In this run.
    pub written: Vec<Entry>,
    /// In runs before it, and not taken over yet.
    pub earlier: Vec<Entry>,
}

/// Somebody who can be punched for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Punchable {
    /// How pages show the person.
    pub name: String,
    /// The record.
    pub id: Id,
}

impl Direction {
    /// All of them, as a form lists them.
    pub const ALL: [Self; 4] = [Self::In, Self::Out, Self::BreakStart, Self::BreakEnd];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::BreakStart => "break_start",
            Self::BreakEnd => "break_end",
        }
    }

    /// The direction of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.name() == name)
    }
}

impl Standing {
    /// Begins to stand in, now.
    pub fn on(ground: Ground) -> Self {
        let since = ground.clock.now();
        Self(Arc::new(Inside { ground, since, paces: Paces::default() }))
    }

    /// What it stands on.
    pub fn ground(&self) -> &Ground {
        &self.0.ground
    }

    /// Since when it stands in.
    pub fn since(&self) -> Moment {
        self.0.since
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.0.ground.clock.now()
    }

    /// The pack as it is now.
    pub fn found(&self) -> Arc<Found> {
        self.0.ground.shelf.now()
    }

    /// Whether a drill is held: the main program was stopped on purpose.
    pub fn is_drill(&self) -> bool {
        let file = self.0.ground.desk.place().watchdog_state();
        let bytes = std::fs::read(file).unwrap_or_default();
        let bytes = bytes.get(..bytes.len().min(STATE_MAX)).unwrap_or_default();
        serde_json::from_slice::<WatchdogState>(bytes).is_ok_and(|s| s.phase == Phase::Drill)
    }

    /// Whether the pack may be read: by people who signed in, by whoever has the key of the file, and by
    /// everybody at the box itself unless the settings say otherwise. A kiosk's key and a key with scopes
    /// hang in places where strangers are: they open what they are for and no names.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing` for such a key.
    pub fn may_read(&self, caller: &Caller) -> Result<(), Fault> {
        if matches!(caller.who, Who::Machine { .. }) {
            return caller.require(Right::ManageContinuity);
        }
        let open = self.0.ground.desk.settings().open_at_the_box && is_near(caller.address);
        if open { Ok(()) } else { caller.signed_in() }
    }

    /// Whether a table may be read, which some rights are asked for.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing`.
    pub fn may_read_section(&self, caller: &Caller, section: &Section) -> Result<(), Fault> {
        self.may_read(caller)?;
        match Right::named(&section.right) {
            // Plan B's own key opens what the box's owner can read in its files anyway.
            Some(right)
                if caller.who != Who::Nobody && !caller.rights.holds(Right::ManageContinuity) =>
            {
                caller.require(right)
            }
            _ => Ok(()),
        }
    }

    /// Whether papers may be read.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing`.
    pub fn may_read_papers(&self, caller: &Caller) -> Result<(), Fault> {
        self.may_read(caller)?;
        let open = caller.who == Who::Nobody || caller.rights.holds(Right::ManageContinuity);
        if open { Ok(()) } else { caller.require(Right::ReadDocuments) }
    }

    /// What was written down that the caller sees: everything for whoever may write notes or sees
    /// everybody's punches, and for who reads at the box itself; their own lines for the others.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing`.
    pub fn entries(&self, caller: &Caller) -> Result<Kept, Fault> {
        self.may_read(caller)?;
        let seen = [Right::ViewAttendance, Right::ManageAttendance].map(|r| caller.rights.holds(r));
        let all =
            caller.who == Who::Nobody || seen.contains(&true) || self.may_note(caller).is_ok();
        let outbox = &self.0.ground.outbox;
        let mut kept = Kept { written: outbox.written(), earlier: outbox.earlier() };
        if !all {
            let own = |entry: &Entry| match &caller.who {
                Who::User { id, .. } => entry.by.user == Some(*id),
                _ => false,
            };
            kept.written.retain(own);
            kept.earlier.retain(own);
        }
        Ok(kept)
    }

    /// Whether the caller may write notes.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing`.
    pub fn may_note(&self, caller: &Caller) -> Result<(), Fault> {
        caller.signed_in()?;
        let either = [Right::EditPlanning, Right::ManageAttendance];
        if either.into_iter().any(|right| caller.rights.holds(right)) {
            return caller.not_held();
        }
        caller.require(Right::ManageContinuity)
    }

    /// Whether the caller may punch for `person`.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing`.
    pub fn may_punch(&self, caller: &Caller, person: Id) -> Result<(), Fault> {
        caller.signed_in()?;
        let for_all = [Right::PunchForOthers, Right::ManageAttendance];
        if for_all.into_iter().any(|right| caller.rights.holds(right)) {
            return caller.not_held();
        }
        match &caller.who {
            Who::User { id, .. } if *id == person => caller.require(Right::UseAttendance),
            _ => caller.require(Right::ManageAttendance),
        }
    }

    /// The people the caller may punch for, by name.
    pub fn punchable(&self, caller: &Caller) -> Vec<Punchable> {
        let found = self.found();
        let Some(pack) = &found.pack else { return Vec::new() };
        let mut people = everybody(pack);
        people.retain(|person| self.may_punch(caller, person.id).is_ok());
        people
    }

    /// Writes an entry down; the answer comes when the disk has it. What of it the main program takes,
    /// and how, is decided there.
    ///
    /// # Errors
    /// `unauthenticated`, `right_missing`, `entry_kind_unknown`, `text_missing`, `text_too_long`,
    /// `person_unknown`, `validation`, `entries_too_fast` (429), and what the outbox says.
    pub fn enter(&self, caller: &Caller, kind: &str, body: Value) -> Result<Entry, Fault> {
        let body = match kind {
            "note" => self.note(caller, &body)?,
            "punch" => self.punch(caller, &body)?,
            "drill" => Self::drill(caller, body)?,
            _ => {
                return Err(Fault::invalid(
                    "entry_kind_unknown",
                    "An entry is a 'note', a 'punch' or a 'drill'.",
                ));
            }
        };
        let by = author(caller);
        self.0.paces.take(&by, self.0.ground.clock.since_boot())?;
        let entry = self.0.ground.outbox.append(Draft {
            kind: kind.to_owned(),
            by,
            body,
            retry_key: caller.retry_key.clone(),
        })?;
        tracing::info!(kind, id = %entry.id, seq = entry.seq, by = caller.name(), "an entry was written");
        Ok(entry)
    }

    fn note(&self, caller: &Caller, body: &Value) -> Result<Value, Fault> {
        self.may_note(caller)?;
        let mut note: Note = taken(body)?;
        note.text = note.text.trim().to_owned();
        check_text(&note.text, true)?;
        for (name, word) in [("about", &mut note.about), ("section", &mut note.section)] {
            if word.as_ref().is_some_and(String::is_empty) {
                *word = None;
            }
            if word.as_ref().is_some_and(|word| word.len() > ABOUT_MAX) {
                return Err(Fault::field(name, "string_too_long", "This name is too long."));
            }
        }
        given(&note)
    }

    fn punch(&self, caller: &Caller, body: &Value) -> Result<Value, Fault> {
        caller.signed_in()?;
        let mut punch: Punch = taken(body)?;
        self.may_punch(caller, punch.person)?;
        let remark = punch.remark.take().map(|text| text.trim().to_owned());
        punch.remark = remark.filter(|text| !text.is_empty());
        check_text(punch.remark.as_deref().unwrap_or_default(), false)?;
        // A kiosk knows people this pack may not: those who never sign in.
        let known =
            caller.door == Door::Kiosk
                || self.found().pack.as_ref().is_some_and(|pack| {
                    everybody(pack).iter().any(|person| person.id == punch.person)
                });
        if !known {
            return Err(Fault::new(
                Kind::Unprocessable,
                "person_unknown",
                "The pack knows nobody by this id.",
            ));
        }
        given(&punch)
    }

    fn drill(caller: &Caller, body: Value) -> Result<Value, Fault> {
        caller.require(Right::ManageContinuity)?;
        if caller.door != Door::PlanB {
            return Err(Fault::forbidden("key_required", "A drill's entry takes Plan B's key."));
        }
        Ok(body)
    }
}

/// Whether somebody sits at the box itself.
pub fn is_near(address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| address.to_canonical().is_loopback())
}

fn everybody(pack: &Pack) -> Vec<Punchable> {
    let users =
        pack.people().map(|person| Punchable { name: person.display_name.clone(), id: person.id });
    let rows = pack.sections().flat_map(|(section, _)| section.rows.iter());
    let of_rows = rows.filter_map(|row| {
        let id = row.key.strip_prefix(PERSON_ROW)?.parse().ok()?;
        let name = row.cells.iter().find_map(|cell| match cell {
            Cell::Text(name) => Some(name.clone()),
            _ => None,
        })?;
        Some(Punchable { name, id })
    });
    let mut people: Vec<Punchable> = users.chain(of_rows).collect();
    people.sort_by(|a, b| (a.id, &a.name).cmp(&(b.id, &b.name)));
    people.dedup_by_key(|person| person.id);
    people.sort_by_key(|person| person.name.to_lowercase());
    people
}

fn author(caller: &Caller) -> Author {
    let name = caller.name().to_owned();
    match &caller.who {
        Who::User { id, .. } => Author { name, user: Some(*id), door: None },
        Who::Machine { id, .. } if *id != Id::ZERO => Author { name, user: None, door: Some(*id) },
        _ => Author { name, user: None, door: None },
    }
}

fn check_text(text: &str, needed: bool) -> Result<(), Fault> {
    if needed && text.is_empty() {
        return Err(Fault::new(Kind::Unprocessable, "text_missing", "A note needs a text."));
    }
    if text.chars().count() > TEXT_MAX {
        let words = format!("A text may have {TEXT_MAX} characters.");
        return Err(Fault::new(Kind::Unprocessable, "text_too_long", words));
    }
    Ok(())
}

fn taken<T: serde::de::DeserializeOwned>(body: &Value) -> Result<T, Fault> {
    // Through the text of it, so that the refusal names the field.
    let bytes = serde_json::to_vec(body).map_err(|e| Fault::broken("reading an entry", e))?;
    crate::web::extract::from_json(&bytes)
}

fn given(body: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(body).map_err(|e| Fault::broken("writing an entry", e))
}
