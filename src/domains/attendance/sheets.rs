//! Day and month sheets: what the punches, the corrections, the schedule and the rules come to.

use super::Attendance;
use super::counting::{self, Counted};
use super::hours::tally::{self, Week};
use super::hours::{self, Workday};
use super::people::Person;
use super::records::{MONTH_TOTALS, MONTHS, Shift, Totals};
use super::rules::RuleBook;
use super::schedules::Expected;
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Moment;
use crate::base::day::{Day, Month};
use crate::base::fault::Fault;
use crate::store::Reader;
use jiff::tz::TimeZone;

/// A day of one person.
#[derive(Debug, Clone)]
pub struct DaySheet {
    /// The day.
    pub day: Day,
    /// What was worked; none where nothing was punched.
    pub workday: Option<Workday>,
    /// When the person was expected.
    pub shift: Option<Shift>,
    /// Minutes after the shift's beginning; 0 in time.
    pub late: u32,
    /// Minutes before the shift's end; 0 in time.
    pub early: u32,
    /// Expected, over, and never came.
    pub absent: bool,
    /// The punches that belong to the day, as they count.
    pub punches: Vec<Counted>,
}

/// A month of one person.
#[derive(Debug, Clone)]
pub struct MonthSheet {
    /// Who.
    pub person: Person,
    /// The month.
    pub month: Month,
    /// Whether it is closed: then the totals are those of the closing.
    pub closed: bool,
    /// Every day of it.
    pub days: Vec<DaySheet>,
    /// The weeks that it touches.
    pub weeks: Vec<Week>,
    /// What it comes to.
    pub totals: Totals,
}

/// What is needed to reckon anybody's days.
pub(super) struct Reckoner {
    pub(super) zone: TimeZone,
    pub(super) now: Moment,
    pub(super) book: RuleBook,
}

/// The days of one person, reckoned.
pub(super) struct Reckoned {
    /// From the Monday of the first day's week on.
    days: Vec<Workday>,
    punches: Vec<Counted>,
    expected: Expected,
}

impl Reckoner {
    /// The days from `first` to `last`, and those before them in the first one's week, for its overtime.
    pub(super) fn reckon(
        &self,
        reader: &impl Reader,
        person: &Person,
        first: Day,
        last: Day,
    ) -> Result<Reckoned, Fault> {
        let monday = first.monday();
        // A day more on both sides: nights begin before, and end after.
        let (from, until) = (monday.plus(-1).begins(&self.zone), last.plus(2).begins(&self.zone));
        let punches = counting::counted(reader, person.id, from, until)?;
        let mut days = hours::workdays(&punches, &self.zone, self.now, |day| self.book.on(day));
        days.retain(|day| monday <= day.day && day.day <= last);
        Ok(Reckoned { days, punches, expected: Expected::read(reader, person.id)? })
    }

    fn day(&self, work: &Reckoned, day: Day) -> DaySheet {
        let place = work.days.binary_search_by_key(&day, |workday| workday.day);
        let workday = place.ok().and_then(|place| work.days.get(place)).cloned();
        let shift = work.expected.on(day);
        let over = |shift: Shift| day.at(shift.until, &self.zone) <= self.now;
        let came = workday.as_ref().is_some_and(|workday| !workday.stays.is_empty());
        let late = workday.as_ref().zip(shift).map_or(0, |(w, shift)| w.late(shift, &self.zone));
        let early = workday.as_ref().zip(shift).map_or(0, |(w, shift)| w.early(shift, &self.zone));
        let absent = !came && shift.is_some_and(over);
        DaySheet { day, late, early, absent, punches: self.of(work, day), workday, shift }
    }

    /// The punches that belong to a day: those on it that end no stay of the day before, and those that
    /// end its own.
    fn of(&self, work: &Reckoned, day: Day) -> Vec<Counted> {
        let stays = |day: Day| {
            let found = work.days.iter().find(|workday| workday.day == day);
            found.into_iter().flat_map(|workday| &workday.stays)
        };
        let within = |day: Day, at: Moment| {
            stays(day).any(|stay| stay.from <= at && stay.until.is_some_and(|until| at <= until))
        };
        let belongs = |punch: &&Counted| {
            let on = Day::of(punch.at, &self.zone);
            within(day, punch.at) || (on == day && !within(day.plus(-1), punch.at))
        };
        work.punches.iter().filter(belongs).cloned().collect()
    }

    /// A month of one person, and what it comes to.
    pub(super) fn totals(&self, work: &Reckoned, first: Day, last: Day) -> (Vec<Week>, Totals) {
        let weeks = tally::weeks(&work.days, |day| self.book.on(day));
        let mut expected = None;
        let mut day = first;
        while day <= last {
            if work.expected.schedule(day).is_some() {
                let work = work.expected.on(day).map_or(0, Shift::work);
                *expected.get_or_insert(0) += work;
            }
            day = day.plus(1);
        }
        let totals = tally::totals(&work.days, &weeks, first, last, expected);
        (weeks, totals)
    }
}

impl Reckoned {
    /// The workdays, in order.
    pub(super) fn workdays(&self) -> &[Workday] {
        &self.days
    }

    /// What was expected.
    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }
}

impl Attendance {
    pub(super) fn reckoner(&self, reader: &impl Reader, zone: TimeZone) -> Result<Reckoner, Fault> {
        Ok(Reckoner { zone, now: self.now(), book: RuleBook::read(reader)? })
    }

    /// The site's day of now.
    ///
    /// # Errors
    /// What the store says.
    pub fn today(&self) -> Result<Day, Fault> {
        Ok(Day::of(self.now(), &self.zone()?))
    }

    /// Everybody's sheet of one day: who punched or was expected, by name.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn day(&self, caller: &Caller, day: Day) -> Result<Vec<(Person, DaySheet)>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let (people, zone) = (self.desk.people.everybody()?, self.zone()?);
        self.store.read(|view| {
            let reckoner = self.reckoner(view, zone)?;
            let mut sheets = Vec::new();
            for person in people {
                let work = reckoner.reckon(view, &person, day, day)?;
                let sheet = reckoner.day(&work, day);
                let expected = sheet.shift.is_some() && person.active;
                if expected || !sheet.punches.is_empty() || sheet.workday.is_some() {
                    sheets.push((person, sheet));
                }
            }
            Ok(sheets)
        })
    }

    /// A month of the caller.
    ///
    /// # Errors
    /// `right_missing`; `not_found` for whoever is no person.
    pub fn own_month(&self, caller: &Caller, month: Month) -> Result<MonthSheet, Fault> {
        caller.require(Right::UseAttendance)?;
        let Who::User { id, .. } = caller.who else { return Err(Fault::not_found("user")) };
        let person = self.desk.people.person(id)?.ok_or_else(|| Fault::not_found("user"))?;
        self.month_of(person, month)
    }

    /// A month of a person.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn month(&self, caller: &Caller, user: u64, month: Month) -> Result<MonthSheet, Fault> {
        caller.require(Right::ViewAttendance)?;
        self.month_of(self.person_numbered(user)?, month)
    }

    fn month_of(&self, person: Person, month: Month) -> Result<MonthSheet, Fault> {
        let zone = self.zone()?;
        self.store.read(|view| {
            let reckoner = self.reckoner(view, zone)?;
            let (first, last) = (month.first(), month.last());
            let work = reckoner.reckon(view, &person, first, last)?;
            let (weeks, totals) = reckoner.totals(&work, first, last);
            let days = month.days().map(|day| reckoner.day(&work, day)).collect();
            let number = i64::from(month.number());
            let closed = view.get(&MONTHS, &number)?.is_some_and(|month| month.closed);
            let kept = if closed { view.get(&MONTH_TOTALS, &(number, person.id))? } else { None };
            let totals = kept.unwrap_or(totals);
            Ok(MonthSheet { person, month, closed, days, weeks, totals })
        })
    }

    /// What a month comes to for everybody who has something in it, by name; those of the closing where it
    /// is closed.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn totals(&self, caller: &Caller, month: Month) -> Result<Vec<(Person, Totals)>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let (people, zone) = (self.desk.people.everybody()?, self.zone()?);
        self.store.read(|view| {
            let number = i64::from(month.number());
            let closed = view.get(&MONTHS, &number)?.is_some_and(|month| month.closed);
            if !closed {
                return self.totals_now(view, &people, zone, month);
            }
            let mut kept = Vec::new();
            for person in people {
                let totals = view.get(&MONTH_TOTALS, &(number, person.id))?;
                kept.extend(totals.map(|totals| (person, totals)));
            }
            Ok(kept)
        })
    }

    /// What a month comes to as its punches stand.
    pub(super) fn totals_now(
        &self,
        reader: &impl Reader,
        people: &[Person],
        zone: TimeZone,
        month: Month,
    ) -> Result<Vec<(Person, Totals)>, Fault> {
        let reckoner = self.reckoner(reader, zone)?;
        let (first, last) = (month.first(), month.last());
        let mut sums = Vec::new();
        for person in people {
            let work = reckoner.reckon(reader, person, first, last)?;
            let (_, totals) = reckoner.totals(&work, first, last);
            let has = work.days.iter().any(|day| first <= day.day) || !totals.overtime.is_empty();
            if has || (person.active && totals.expected.is_some_and(|minutes| minutes > 0)) {
                sums.push((person.clone(), totals));
            }
        }
        Ok(sums)
    }
}
