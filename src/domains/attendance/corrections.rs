//! Corrections: asked for with a reason, decided by somebody else, taken back again; the punches stay.

use std::ops::ControlFlow;

use serde::Serialize;

use super::Attendance;
use super::closing::require_open;
use super::counting::between;
use super::people::Person;
use super::records::{
    CORRECTIONS, CORRECTIONS_BY_NUMBER, CORRECTIONS_OF, CORRECTIONS_OPEN, Change, Correction,
    Decision, Kind, PUNCHES, PUNCHES_BY_NUMBER, Punch,
};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind as Sort};
use crate::base::id::{Id, Lineage};
use crate::store::{Deed, Reader, Tx, all, under};
use jiff::tz::TimeZone;

/// Characters of a reason or a remark.
const REASON_MIN: usize = 3;
const REASON_MAX: usize = 500;
/// Corrections of a list.
const LIST_MAX: usize = 500;
/// Corrections of one person that may wait at once.
const OPEN_MAX: usize = 50;

/// What somebody asks for; a punch by its integer.
#[derive(Debug, Clone, Copy)]
pub enum Wish {
    /// A punch that is missing.
    Add {
        /// What it says.
        kind: Kind,
        /// When.
        at: Moment,
    },
    /// A punch was at another time, or said something else.
    Move {
        /// The punch.
        punch: u64,
        /// When it was; none leaves it.
        at: Option<Moment>,
        /// What it says; none leaves it.
        kind: Option<Kind>,
    },
    /// A punch does not count.
    Drop {
        /// The punch.
        punch: u64,
    },
}

/// Which corrections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Of whom, by integer; none for everybody.
    pub user: Option<u64>,
    /// Those that wait alone.
    pub open: bool,
}

/// A correction with whom and what it is about.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The correction.
    pub correction: Correction,
    /// Whose punches.
    pub person: Option<Person>,
    /// The punch that it is about, as it was made.
    pub punch: Option<Punch>,
}

impl Correction {
    /// The moments that it touches: that of the punch as it was, and the one it is put at.
    pub(super) fn moments(&self) -> impl Iterator<Item = Moment> {
        let put = match self.change {
            Change::Add { at, .. } | Change::Move { at, .. } => Some(at),
            Change::Drop { .. } => None,
        };
        std::iter::once(self.about).chain(put.filter(|at| *at != self.about))
    }
}

/// What the journal shows of a correction.
#[derive(Serialize)]
struct Shown<'c> {
    about: Moment,
    change: &'c Change,
    reason: &'c str,
    author: &'c str,
    decision: Decision,
    remark: &'c str,
}

impl<'c> Shown<'c> {
    fn of(correction: &'c Correction) -> Self {
        Self {
            about: correction.about,
            change: &correction.change,
            reason: &correction.reason,
            author: &correction.author_name,
            decision: correction.decision,
            remark: &correction.remark,
        }
    }
}

impl Attendance {
    /// Asks for a correction: of one's own punches, or, for who keeps attendance, of anybody's.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, the field at fault, `month_closed`, `corrections_full`.
    pub fn ask_correction(
        &self,
        caller: &Caller,
        user: Option<u64>,
        wish: Wish,
        reason: &str,
    ) -> Result<Listed, Fault> {
        if caller.require(Right::ManageAttendance).is_err() {
            caller.require(Right::UseAttendance)?;
        }
        let own = person_of(caller);
        let person = if let Some(number) = user {
            self.person_numbered(number)?
        } else {
            let person = own.map(|id| self.desk.people.person(id)).transpose()?.flatten();
            person.ok_or_else(|| Fault::not_found("user"))?
        };
        let right =
            if own == Some(person.id) { Right::UseAttendance } else { Right::ManageAttendance };
        caller.require(right)?;
        let reason = words("reason", reason, REASON_MIN)?;
        let (zone, who, user) = (self.zone()?, caller.clone(), person.id);
        let made = self.store.write(move |tx| {
            let draft = Draft { user, author: own, author_name: who.name().to_owned(), reason };
            let correction = draft.lay(tx, &zone, wish)?;
            let deed = Deed::new("correction.ask", correction.number);
            tx.journal(&who, deed.after(&Shown::of(&correction)))?;
            Ok(correction)
        })?;
        self.one(made)
    }

    /// Decides a correction that waits. Nobody decides about their own punches.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `correction_decided`, `own_correction`, `month_closed`.
    pub fn decide_correction(
        &self,
        caller: &Caller,
        number: u64,
        approved: bool,
        remark: &str,
    ) -> Result<Listed, Fault> {
        caller.require(Right::ManageAttendance)?;
        let remark = words("remark", remark, 0)?;
        let (zone, who, two) = (self.zone()?, caller.clone(), !self.settings.self_approval);
        let made = self.store.write(move |tx| {
            let mut correction = numbered(tx, number)?;
            if correction.decision != Decision::Open {
                return Err(decided());
            }
            let own = person_of(&who);
            let asked_too = two && correction.author == own;
            if own.is_some_and(|own| own == correction.user || asked_too) {
                return Err(own_correction());
            }
            if approved {
                correction.moments().try_for_each(|at| require_open(tx, &zone, at))?;
            }
            let to = if approved { Decision::Approved } else { Decision::Refused };
            let deed = if approved { "correction.approve" } else { "correction.refuse" };
            settle(tx, &who, &mut correction, to, remark, deed)?;
            Ok(correction)
        })?;
        self.one(made)
    }

    /// Takes a correction back: one's own while it waits, any that holds for who keeps attendance.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `correction_decided`, `own_correction`, `month_closed`.
    pub fn withdraw_correction(
        &self,
        caller: &Caller,
        number: u64,
        remark: &str,
    ) -> Result<Listed, Fault> {
        caller.require(Right::UseAttendance)?;
        let remark = words("remark", remark, 0)?;
        let (zone, who) = (self.zone()?, caller.clone());
        let made = self.store.write(move |tx| {
            let mut correction = numbered(tx, number)?;
            let own = person_of(&who);
            let author = own.is_some() && correction.author == own;
            if !author {
                // Whoever may not see it does not learn that it is there.
                who.require(Right::ManageAttendance).map_err(|_| Fault::not_found("correction"))?;
            }
            match correction.decision {
                Decision::Open => {}
                Decision::Approved => {
                    who.require(Right::ManageAttendance)?;
                    if own == Some(correction.user) {
                        return Err(own_correction());
                    }
                    correction.moments().try_for_each(|at| require_open(tx, &zone, at))?;
                }
                Decision::Refused | Decision::Withdrawn => return Err(decided()),
            }
            let deed = "correction.withdraw";
            settle(tx, &who, &mut correction, Decision::Withdrawn, remark, deed)?;
            Ok(correction)
        })?;
        self.one(made)
    }

    /// Corrections, the newest first: everybody's for who sees attendance, one's own for the others.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn corrections(&self, caller: &Caller, asked: Asked) -> Result<Vec<Listed>, Fault> {
        caller.require(Right::UseAttendance)?;
        let of = if caller.require(Right::ViewAttendance).is_ok() {
            asked.user.map(|number| self.person_numbered(number)).transpose()?.map(|p| p.id)
        } else {
            match caller.who {
                Who::User { id, .. } => Some(id),
                _ => return Ok(Vec::new()),
            }
        };
        let corrections = self.store.read(|view| match (of, asked.open) {
            (_, true) => waiting(view, of),
            (Some(user), false) => history(view, user),
            (None, false) => newest(view),
        })?;
        corrections.into_iter().map(|correction| self.one(correction)).collect()
    }

    fn one(&self, correction: Correction) -> Result<Listed, Fault> {
        let person = self.desk.people.person(correction.user)?;
        let punch = match correction.change {
            Change::Move { punch, .. } | Change::Drop { punch } => {
                self.store.read(|view| view.get(&PUNCHES, &punch))?
            }
            Change::Add { .. } => None,
        };
        Ok(Listed { correction, person, punch })
    }
}

/// A correction that is to be.
pub(super) struct Draft {
    /// Whose punches.
    pub(super) user: Id,
    /// Who asks; none for the box.
    pub(super) author: Option<Id>,
    /// The same by name.
    pub(super) author_name: String,
    /// Why.
    pub(super) reason: String,
}

impl Draft {
    /// Puts it where it waits for a decision.
    pub(super) fn lay(
        self,
        tx: &mut Tx<'_>,
        zone: &TimeZone,
        wish: Wish,
    ) -> Result<Correction, Fault> {
        let (change, about) = self.change(tx, wish)?;
        let number = tx.last(&CORRECTIONS_BY_NUMBER, &all())?.map_or(1, |(number, _)| number + 1);
        let correction = Correction {
            id: tx.new_id(),
            lineage: Lineage::born(tx.revision()),
            number,
            user: self.user,
            about,
            change,
            reason: self.reason,
            author: self.author,
            author_name: self.author_name,
            asked_at: tx.now(),
            decision: Decision::Open,
            decided_by: None,
            decided_at: None,
            remark: String::new(),
        };
        correction.moments().try_for_each(|at| require_open(tx, zone, at))?;
        if waiting(tx, Some(self.user))?.len() >= OPEN_MAX {
            let message = format!("{OPEN_MAX} corrections of this person wait already.");
            return Err(Fault::conflict("corrections_full", message));
        }
        tx.put(&CORRECTIONS, &correction.id, &correction)?;
        tx.put(&CORRECTIONS_BY_NUMBER, &number, &correction.id)?;
        tx.put(&CORRECTIONS_OPEN, &correction.id, &())?;
        for at in correction.moments() {
            tx.put(&CORRECTIONS_OF, &(self.user, at, correction.id), &())?;
        }
        Ok(correction)
    }

    /// What the wish comes to, and the moment that it is about.
    fn change(&self, tx: &Tx<'_>, wish: Wish) -> Result<(Change, Moment), Fault> {
        let past = |at: Moment| {
            if at > tx.now() {
                return Err(Fault::field("change", "value_error", "It lies in the future."));
            }
            Ok(at)
        };
        let punch = |number: u64| {
            let none = || Fault::new(Sort::NotFound, "not_found", "There is no such punch.");
            let id = tx.get(&PUNCHES_BY_NUMBER, &number)?.ok_or_else(none)?;
            tx.get(&PUNCHES, &id)?.filter(|punch| punch.user == self.user).ok_or_else(none)
        };
        Ok(match wish {
            Wish::Add { kind, at } => (Change::Add { kind, at: past(at)? }, at),
            Wish::Move { punch: number, at, kind } => {
                let punch = punch(number)?;
                let (at, kind) = (past(at.unwrap_or(punch.at))?, kind.unwrap_or(punch.kind));
                if (at, kind) == (punch.at, punch.kind) {
                    let message = "The punch says so already.";
                    return Err(Fault::field("change", "value_error", message));
                }
                (Change::Move { punch: punch.id, at, kind }, punch.at)
            }
            Wish::Drop { punch: number } => {
                let punch = punch(number)?;
                (Change::Drop { punch: punch.id }, punch.at)
            }
        })
    }
}

fn settle(
    tx: &mut Tx<'_>,
    who: &Caller,
    correction: &mut Correction,
    to: Decision,
    remark: String,
    deed: &'static str,
) -> Result<(), Fault> {
    let before = correction.clone();
    correction.lineage = correction.lineage.then(tx.revision());
    correction.decision = to;
    correction.decided_by = Some(who.name().to_owned());
    correction.decided_at = Some(tx.now());
    correction.remark = remark;
    tx.remove(&CORRECTIONS_OPEN, &correction.id)?;
    tx.put(&CORRECTIONS, &correction.id, correction)?;
    let deed = Deed::new(deed, correction.number);
    tx.journal(who, deed.before(&Shown::of(&before)).after(&Shown::of(correction)))
}

/// The person who asks; none for the console and the box itself.
fn person_of(caller: &Caller) -> Option<Id> {
    if let Who::User { id, .. } = caller.who { Some(id) } else { None }
}

fn numbered(tx: &Tx<'_>, number: u64) -> Result<Correction, Fault> {
    let none = || Fault::not_found("correction");
    let id = tx.get(&CORRECTIONS_BY_NUMBER, &number)?.ok_or_else(none)?;
    tx.get(&CORRECTIONS, &id)?.ok_or_else(none)
}

fn waiting(reader: &impl Reader, of: Option<Id>) -> Result<Vec<Correction>, Fault> {
    let mut waiting = Vec::new();
    for (id, ()) in reader.list(&CORRECTIONS_OPEN, &all(), usize::MAX)? {
        let correction = reader.get(&CORRECTIONS, &id)?;
        waiting.extend(correction.filter(|c| of.is_none_or(|of| of == c.user)));
    }
    waiting.sort_by_key(|correction| std::cmp::Reverse(correction.number));
    waiting.truncate(LIST_MAX);
    Ok(waiting)
}

fn history(reader: &impl Reader, user: Id) -> Result<Vec<Correction>, Fault> {
    let mut ids = std::collections::BTreeSet::new();
    reader.each_back(&CORRECTIONS_OF, &under(&user), |(_, _, id), ()| {
        ids.insert(id);
        let full = ids.len() >= LIST_MAX;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    named(reader, ids.into_iter().rev())
}

fn newest(reader: &impl Reader) -> Result<Vec<Correction>, Fault> {
    let mut ids = Vec::new();
    reader.each_back(&CORRECTIONS_BY_NUMBER, &all(), |_, id| {
        ids.push(id);
        let full = ids.len() >= LIST_MAX;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    named(reader, ids.into_iter())
}

fn named(reader: &impl Reader, ids: impl Iterator<Item = Id>) -> Result<Vec<Correction>, Fault> {
    ids.filter_map(|id| reader.get(&CORRECTIONS, &id).transpose()).collect()
}

/// Those that hold and touch a span of moments of a user, in the order they were asked for, and every other
/// one about the same punches: the last one about a punch is the one that counts.
pub(super) fn in_force(
    reader: &impl Reader,
    user: Id,
    from: Moment,
    until: Moment,
) -> Result<Vec<Correction>, Fault> {
    let mut found = std::collections::BTreeMap::new();
    let mut about = std::collections::BTreeSet::new();
    for ((_, _, id), ()) in reader.list(&CORRECTIONS_OF, &between(user, from, until), usize::MAX)? {
        if let Some(correction) = reader.get(&CORRECTIONS, &id)? {
            about.insert(correction.about);
            found.insert(id, correction);
        }
    }
    for at in about.into_iter().filter(|at| *at < from || until <= *at) {
        let here = between(user, at, Moment(at.0.saturating_add(1)));
        for ((_, _, id), ()) in reader.list(&CORRECTIONS_OF, &here, usize::MAX)? {
            if !found.contains_key(&id)
                && let Some(correction) = reader.get(&CORRECTIONS, &id)?
            {
                found.insert(id, correction);
            }
        }
    }
    let mut held: Vec<_> = found.into_values().collect();
    held.retain(|correction| correction.decision == Decision::Approved);
    held.sort_by_key(|correction| correction.number);
    Ok(held)
}

fn words(name: &'static str, text: &str, least: usize) -> Result<String, Fault> {
    let text = text.trim();
    let length = text.chars().count();
    if length < least || length > REASON_MAX {
        let message = format!("{least} to {REASON_MAX} characters.");
        return Err(Fault::field(name, "value_error", message));
    }
    Ok(text.to_owned())
}

fn own_correction() -> Fault {
    let message = "Somebody else has to decide about your own punches, or what you asked for.";
    Fault::forbidden("own_correction", message)
}

fn decided() -> Fault {
    Fault::conflict("correction_decided", "This correction was decided already.")
}
