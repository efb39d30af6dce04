//! Lists of punches: one's own, everybody's, the dashboard's counts, the report.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::Attendance;
use super::counting;
use super::records::{
    DEVICES, DEVICES_BY_NUMBER, KIOSKS, KIOSKS_BY_NUMBER, PUNCHES, PUNCHES_AT, PUNCHES_OF, Punch,
};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::day::Day;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::{Reader, Span, all, between, under};

/// Rows of a list when the request does not say how many, and the most of them.
pub(super) const LIST_USUAL: usize = 50;
pub(super) const LIST_MAX: usize = 100;
/// Punches of a report at most: five years of a site of five hundred would not fit an answer.
const REPORT_MAX: usize = 200_000;
/// Punches on the dashboard.
const RECENT: usize = 10;

/// A punch with the integers that clients know its parts by.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The punch.
    pub punch: Punch,
    /// The user's integer; none for one who is no longer in the directory.
    pub user: Option<u64>,
    /// The device's.
    pub device: Option<u64>,
    /// The kiosk's; none for one that was deleted.
    pub kiosk: Option<u64>,
}

/// Which punches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Of whom, by integer; none for everybody.
    pub user: Option<u64>,
    /// From when on.
    pub from: Option<Moment>,
    /// Until when, itself left out.
    pub until: Option<Moment>,
}

/// The dashboard's counts.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Users.
    pub users: usize,
    /// Devices, revoked ones too.
    pub devices: usize,
    /// Kiosks.
    pub kiosks: usize,
    /// Kiosks that take punches.
    pub active_kiosks: usize,
    /// Punches of today, as the site's zone has it.
    pub punches: usize,
    /// People who punched today.
    pub people: usize,
    /// The last ones.
    pub recent: Vec<Listed>,
}

impl Attendance {
    /// The caller's own punches, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn own_punches(
        &self,
        caller: &Caller,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<Listed>, Fault> {
        caller.require(Right::UseAttendance)?;
        let Who::User { id, .. } = caller.who else { return Ok(Vec::new()) };
        let limit = limit.unwrap_or(LIST_USUAL).min(LIST_MAX);
        let span = under(&id);
        self.newest(&Source::Of(span), offset, limit)
    }

    /// Everybody's punches, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn punches(
        &self,
        caller: &Caller,
        wanted: Wanted,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<Listed>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let limit = limit.unwrap_or(LIST_USUAL).min(LIST_MAX);
        let Some(source) = self.source(wanted)? else { return Ok(Vec::new()) };
        self.newest(&source, offset, limit)
    }

    /// The punches of a report, oldest first.
    ///
    /// # Errors
    /// `right_missing`, `report_too_large`.
    pub fn report(&self, caller: &Caller, wanted: Wanted) -> Result<Vec<Listed>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let Some(source) = self.source(wanted)? else { return Ok(Vec::new()) };
        let punches = self.store.read(|view| {
            let mut ids = source.ids(view, false, REPORT_MAX + 1)?;
            if ids.len() > REPORT_MAX {
                let message = format!("A report holds at most {REPORT_MAX} punches; ask for less.");
                return Err(Fault::invalid("report_too_large", message));
            }
            ids.drain(..).filter_map(|id| view.get(&PUNCHES, &id).transpose()).collect()
        })?;
        self.listed(punches)
    }

    /// The dashboard's counts.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn stats(&self, caller: &Caller) -> Result<Stats, Fault> {
        caller.require(Right::ViewAttendance)?;
        let zone = self.zone()?;
        let today = Day::of(self.now(), &zone);
        let span =
            between(&(today.begins(&zone), Id::ZERO), &(today.plus(1).begins(&zone), Id::ZERO));
        let users = self.desk.people.everybody()?.len();
        let (mut stats, recent) = self.store.read(|view| {
            let mut people = BTreeSet::new();
            let mut punches = 0;
            for ((_, id), ()) in view.list(&PUNCHES_AT, &span, usize::MAX)? {
                punches += 1;
                people.extend(view.get(&PUNCHES, &id)?.map(|punch| punch.user));
            }
            let kiosks = view.list(&KIOSKS, &all(), usize::MAX)?;
            let stats = Stats {
                users,
                devices: view.list(&DEVICES_BY_NUMBER, &all(), usize::MAX)?.len(),
                kiosks: view.list(&KIOSKS_BY_NUMBER, &all(), usize::MAX)?.len(),
                active_kiosks: kiosks.iter().filter(|(_, kiosk)| kiosk.active).count(),
                punches,
                people: people.len(),
                recent: Vec::new(),
            };
            let ids = Source::At(all()).ids(view, true, RECENT)?;
            let recent = ids.iter().filter_map(|id| view.get(&PUNCHES, id).transpose());
            Ok((stats, recent.collect::<Result<Vec<_>, Fault>>()?))
        })?;
        stats.recent = self.listed(recent)?;
        Ok(stats)
    }

    /// Where the wanted punches are; none when there can be none.
    fn source(&self, wanted: Wanted) -> Result<Option<Source>, Fault> {
        let from = wanted.from.unwrap_or(Moment(i64::MIN));
        let until = wanted.until.unwrap_or(Moment(i64::MAX));
        let Some(number) = wanted.user else {
            let span = between(&(from, Id::ZERO), &(until, Id::ZERO));
            return Ok((from < until).then_some(Source::At(span)));
        };
        let person = self.desk.people.numbered(number)?;
        Ok(person
            .filter(|_| from < until)
            .map(|person| Source::Of(counting::between(person.id, from, until))))
    }

    fn newest(&self, source: &Source, offset: usize, limit: usize) -> Result<Vec<Listed>, Fault> {
        let punches = self.store.read(|view| {
            let ids = source.ids(view, true, offset.saturating_add(limit))?;
            let part = ids.iter().skip(offset);
            part.filter_map(|id| view.get(&PUNCHES, id).transpose()).collect()
        })?;
        self.listed(punches)
    }

    /// The punches with the integers of their parts.
    pub(super) fn listed(&self, punches: Vec<Punch>) -> Result<Vec<Listed>, Fault> {
        let mut users: HashMap<Id, Option<u64>> = HashMap::new();
        for punch in &punches {
            if let Entry::Vacant(place) = users.entry(punch.user) {
                let person = self.desk.people.person(punch.user)?;
                place.insert(person.map(|person| person.number));
            }
        }
        self.store.read(|view| {
            let mut devices: HashMap<Id, Option<u64>> = HashMap::new();
            let mut kiosks: HashMap<Id, Option<u64>> = HashMap::new();
            let mut listed = Vec::with_capacity(punches.len());
            for punch in punches {
                let device = numbered(&mut devices, punch.device, |id| {
                    Ok(view.get(&DEVICES, &id)?.map(|device| device.number))
                })?;
                let kiosk = numbered(&mut kiosks, punch.kiosk, |id| {
                    Ok(view.get(&KIOSKS, &id)?.map(|kiosk| kiosk.number))
                })?;
                let user = users.get(&punch.user).copied().flatten();
                listed.push(Listed { punch, user, device, kiosk });
            }
            Ok(listed)
        })
    }
}

/// Punches in one of their orders.
enum Source {
    /// Of one person.
    Of(Span),
    /// Of everybody.
    At(Span),
}

impl Source {
    /// Their names, newest or oldest first.
    fn ids(&self, reader: &impl Reader, newest: bool, most: usize) -> Result<Vec<Id>, Fault> {
        let mut ids = Vec::new();
        let mut take = |id: Id| {
            ids.push(id);
            Ok(if ids.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        if most == 0 {
            return Ok(Vec::new());
        }
        match (self, newest) {
            (Self::Of(span), true) => {
                reader.each_back(&PUNCHES_OF, span, |(_, _, id), _| take(id))?;
            }
            (Self::Of(span), false) => reader.each(&PUNCHES_OF, span, |(_, _, id), _| take(id))?,
            (Self::At(span), true) => {
                reader.each_back(&PUNCHES_AT, span, |(_, id), ()| take(id))?;
            }
            (Self::At(span), false) => reader.each(&PUNCHES_AT, span, |(_, id), ()| take(id))?,
        }
        Ok(ids)
    }
}

fn numbered(
    known: &mut HashMap<Id, Option<u64>>,
    id: Option<Id>,
    look: impl FnOnce(Id) -> Result<Option<u64>, Fault>,
) -> Result<Option<u64>, Fault> {
    let Some(id) = id else { return Ok(None) };
    if let Some(number) = known.get(&id) {
        return Ok(*number);
    }
    let number = look(id)?;
    known.insert(id, number);
    Ok(number)
}
