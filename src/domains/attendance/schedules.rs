//! When people are expected: weeks with a name, and who follows which from when on.

use serde::Serialize;
use utoipa::ToSchema;

use super::records::{FOLLOWS, SCHEDULES, Schedule, Shift};
use super::{Attendance, closing};
use crate::base::caller::{Caller, Right};
use crate::base::day::Day;
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::store::{Deed, Reader, all, under};

/// Days of a week.
const DAYS: usize = 7;
/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Characters of a name at most.
const NAME_MAX: usize = 100;
/// Schedules at most: a list a person can choose from.
const SCHEDULES_MAX: usize = 200;

/// What a person followed from a day on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Following {
    /// From when on.
    #[schema(value_type = String, format = Date)]
    pub from: Day,
    /// The schedule's number; none for nobody expecting anything.
    pub schedule_id: Option<u64>,
}

/// What is expected of one person.
pub struct Expected(Vec<(Day, Option<Schedule>)>);

impl Expected {
    /// Reads it.
    ///
    /// # Errors
    /// What the store says.
    pub fn read(reader: &impl Reader, user: Id) -> Result<Self, Fault> {
        let mut expected = Vec::new();
        for ((_, day), number) in reader.list(&FOLLOWS, &under(&user), usize::MAX)? {
            let day = Day::numbered(i32::try_from(day).unwrap_or(0));
            expected.push((day, reader.get(&SCHEDULES, &number)?));
        }
        Ok(Self(expected))
    }

    /// The schedule that is followed on a day.
    pub fn schedule(&self, day: Day) -> Option<&Schedule> {
        let holds = self.0.iter().rev().find(|(from, _)| *from <= day);
        holds.and_then(|(_, schedule)| schedule.as_ref())
    }

    /// The shift of a day; none on a free day, and for who follows nothing.
    pub fn on(&self, day: Day) -> Option<Shift> {
        self.schedule(day)?.days.get(day.weekday()).copied().flatten()
    }
}

impl Shift {
    /// How much work it is, minutes.
    pub const fn work(self) -> u32 {
        self.until.saturating_sub(self.from).saturating_sub(self.pause)
    }
}

impl Attendance {
    /// The schedules, by number.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn schedules(&self, caller: &Caller) -> Result<Vec<Schedule>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let schedules = self.store.read(|view| view.list(&SCHEDULES, &all(), usize::MAX))?;
        Ok(schedules.into_iter().map(|(_, schedule)| schedule).collect())
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// `right_missing`, the field at fault, `schedules_full`.
    pub fn add_schedule(
        &self,
        caller: &Caller,
        name: &str,
        days: Vec<Option<Shift>>,
    ) -> Result<Schedule, Fault> {
        caller.require(Right::ManageAttendance)?;
        let name = named(name)?;
        check(&days)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            if tx.list(&SCHEDULES, &all(), SCHEDULES_MAX)?.len() >= SCHEDULES_MAX {
                let message = format!("There are {SCHEDULES_MAX} schedules already.");
                return Err(Fault::conflict("schedules_full", message));
            }
            let number = tx.last(&SCHEDULES, &all())?.map_or(1, |(number, _)| number + 1);
            let lineage = Lineage::born(tx.revision());
            let schedule = Schedule { lineage, number, name, days, retired: false };
            tx.put(&SCHEDULES, &number, &schedule)?;
            tx.journal(&who, Deed::new("schedule.add", number).after(&Shown::of(&schedule)))?;
            Ok(schedule)
        })
    }

    /// Renames a schedule, takes it off the list, or changes its days while nobody follows it: a sheet of
    /// the past does not change because somebody's hours do.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, the field at fault, `schedule_followed`.
    pub fn change_schedule(
        &self,
        caller: &Caller,
        number: u64,
        name: Option<&str>,
        days: Option<Vec<Option<Shift>>>,
        retired: Option<bool>,
    ) -> Result<Schedule, Fault> {
        caller.require(Right::ManageAttendance)?;
        let name = name.map(named).transpose()?;
        if let Some(days) = &days {
            check(days)?;
        }
        let who = caller.clone();
        self.store.write(move |tx| {
            let old = tx.get(&SCHEDULES, &number)?.ok_or_else(|| Fault::not_found("schedule"))?;
            let mut schedule = old.clone();
            if let Some(days) = days.filter(|days| *days != old.days) {
                let followed = tx.list(&FOLLOWS, &all(), usize::MAX)?;
                if followed.iter().any(|(_, followed)| *followed == number) {
                    let message = "People follow this schedule; make a new one instead.";
                    return Err(Fault::conflict("schedule_followed", message));
                }
                schedule.days = days;
            }
            schedule.name = name.unwrap_or(schedule.name);
            schedule.retired = retired.unwrap_or(schedule.retired);
            schedule.lineage = old.lineage.then(tx.revision());
            tx.put(&SCHEDULES, &number, &schedule)?;
            let deed = Deed::new("schedule.change", number);
            tx.journal(&who, deed.before(&Shown::of(&old)).after(&Shown::of(&schedule)))?;
            Ok(schedule)
        })
    }

    /// What a person follows, from when on.
    ///
    /// # Errors
    /// `right_missing`, `not_found`.
    pub fn followed(&self, caller: &Caller, user: u64) -> Result<Vec<Following>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let person = self.person_numbered(user)?;
        let rows = self.store.read(|view| view.list(&FOLLOWS, &under(&person.id), usize::MAX))?;
        let following = |((_, day), number): ((Id, i64), u64)| Following {
            from: Day::numbered(i32::try_from(day).unwrap_or(0)),
            schedule_id: (number != 0).then_some(number),
        };
        Ok(rows.into_iter().map(following).collect())
    }

    /// Has a person follow a schedule from a day on, or none.
    ///
    /// # Errors
    /// `right_missing`, `not_found`, `month_closed`, the field at fault for a schedule there is not.
    pub fn follow(
        &self,
        caller: &Caller,
        user: u64,
        schedule: Option<u64>,
        from: Day,
    ) -> Result<Vec<Following>, Fault> {
        caller.require(Right::ManageAttendance)?;
        let person = self.person_numbered(user)?;
        let who = caller.clone();
        self.store.write(move |tx| {
            closing::require_open_from(tx, from)?;
            let number = schedule.unwrap_or(0);
            if number != 0 && tx.get(&SCHEDULES, &number)?.is_none_or(|known| known.retired) {
                let message = "There is no schedule of that number.";
                return Err(Fault::field("schedule_id", "value_error", message));
            }
            tx.put(&FOLLOWS, &(person.id, i64::from(from.number())), &number)?;
            let shown = Following { from, schedule_id: schedule };
            tx.journal(&who, Deed::new("schedule.follow", user).after(&shown))
        })?;
        self.followed(caller, user)
    }
}

/// What the journal shows of a schedule.
#[derive(Serialize)]
struct Shown<'s> {
    name: &'s str,
    days: &'s [Option<Shift>],
    retired: bool,
}

impl<'s> Shown<'s> {
    fn of(schedule: &'s Schedule) -> Self {
        Self { name: &schedule.name, days: &schedule.days, retired: schedule.retired }
    }
}

fn named(name: &str) -> Result<String, Fault> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX {
        let message = format!("1 to {NAME_MAX} characters.");
        return Err(Fault::field("name", "value_error", message));
    }
    Ok(name.to_owned())
}

fn check(days: &[Option<Shift>]) -> Result<(), Fault> {
    let fits = |shift: &Shift| {
        shift.from < DAY
            && shift.from < shift.until
            && shift.until <= shift.from + DAY
            && shift.pause < shift.until - shift.from
    };
    if days.len() != DAYS || !days.iter().flatten().all(fits) {
        let message = "Seven days from Monday; a shift begins on its day, lasts at most a day, and is longer than its break.";
        return Err(Fault::field("days", "value_error", message));
    }
    Ok(())
}
