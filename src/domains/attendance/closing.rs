//! Closing a month: what it came to is kept, and nothing in it changes until it is opened again.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::people::Person;
use super::records::{CORRECTIONS, CORRECTIONS_OPEN, ClosedMonth, MONTH_TOTALS, MONTHS, Totals};
use super::{Attendance, payroll};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::day::{Day, Month};
use crate::base::fault::Fault;
use crate::base::id::{Id, Lineage};
use crate::records;
use crate::store::{Deed, Reader, all, between, from};

/// Characters of a reason at most.
const REASON_MAX: usize = 500;

/// What closing a month would find.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The month.
    pub month: Month,
    /// How it stands, where it was ever closed.
    pub state: Option<ClosedMonth>,
    /// What it comes to.
    pub totals: Vec<(Person, Totals)>,
    /// Corrections in it that nobody has decided.
    pub corrections: usize,
    /// Days with something that a person has to look at.
    pub open_days: u32,
    /// Whether the month is over.
    pub over: bool,
}

/// A month's place in the list of closings.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Closing {
    /// The month.
    #[schema(value_type = String)]
    pub month: Month,
    /// Whether it is closed now.
    pub closed: bool,
    /// When it was last closed or opened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// By whom, by name.
    pub by: String,
    /// Why it was opened again.
    pub reason: String,
    /// How many times it was closed.
    pub times: u32,
    /// SHA-256 of the payroll export at the closing, in hex: a file that was handed on can be checked.
    pub sha256: String,
}

impl From<&ClosedMonth> for Closing {
    fn from(month: &ClosedMonth) -> Self {
        Self {
            month: month.month,
            closed: month.closed,
            at: month.at,
            by: month.by.clone(),
            reason: month.reason.clone(),
            times: month.times,
            sha256: data_encoding::HEXLOWER.encode(&month.sha256),
        }
    }
}

records!(Closing);

/// Refuses what would change a month that is closed.
///
/// # Errors
/// `month_closed`.
pub(super) fn require_open(reader: &impl Reader, zone: &TimeZone, at: Moment) -> Result<(), Fault> {
    let month = Day::of(at, zone).month();
    match reader.get(&MONTHS, &i64::from(month.number()))? {
        Some(known) if known.closed => Err(closed(month)),
        _ => Ok(()),
    }
}

/// Refuses what would change a closed month on or after a day.
pub(super) fn require_open_from(reader: &impl Reader, day: Day) -> Result<(), Fault> {
    let months = reader.list(&MONTHS, &from(&i64::from(day.month().number())), usize::MAX)?;
    match months.into_iter().find(|(_, month)| month.closed) {
        Some((_, month)) => Err(closed(month.month)),
        None => Ok(()),
    }
}

fn closed(month: Month) -> Fault {
    let message = format!("{month} is closed; somebody who may has to open it again first.");
    Fault::conflict("month_closed", message)
}

impl Attendance {
    /// The months that were ever closed, the newest first.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn closings(&self, caller: &Caller) -> Result<Vec<Closing>, Fault> {
        caller.require(Right::ViewAttendance)?;
        let months = self.store.read(|view| view.list(&MONTHS, &all(), usize::MAX))?;
        Ok(months.iter().rev().map(|(_, month)| month.into()).collect())
    }

    /// What closing a month would find.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn plan_closing(&self, caller: &Caller, month: Month) -> Result<Plan, Fault> {
        caller.require(Right::ViewAttendance)?;
        let (people, zone) = (self.desk.people.everybody()?, self.zone()?);
        self.store.read(|view| self.plan(view, &people, &zone, month))
    }

    fn plan(
        &self,
        reader: &impl Reader,
        people: &[Person],
        zone: &TimeZone,
        month: Month,
    ) -> Result<Plan, Fault> {
        let totals = self.totals_now(reader, people, zone.clone(), month)?;
        let mut corrections = 0;
        for (id, ()) in reader.list(&CORRECTIONS_OPEN, &all(), usize::MAX)? {
            let correction = reader.get(&CORRECTIONS, &id)?;
            let in_it = |at: Moment| Day::of(at, zone).month() == month;
            corrections += usize::from(correction.is_some_and(|c| c.moments().any(in_it)));
        }
        Ok(Plan {
            month,
            state: reader.get(&MONTHS, &i64::from(month.number()))?,
            open_days: totals.iter().map(|(_, totals)| totals.open_days).sum(),
            totals,
            corrections,
            over: month.plus(1).first().begins(zone) <= self.now(),
        })
    }

    /// Closes a month. `anyway` closes it with days that nobody has settled; corrections have to be decided.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `month_not_over`, `month_closed`, `month_unsettled`.
    pub fn close_month(
        &self,
        caller: &Caller,
        month: Month,
        anyway: bool,
    ) -> Result<Closing, Fault> {
        caller.require(Right::ManageAttendance)?;
        caller.fresh(self.now())?;
        let (people, zone) = (self.desk.people.everybody()?, self.zone()?);
        let (desk, who) = (self.clone(), caller.clone());
        self.store.write(move |tx| {
            let plan = desk.plan(tx, &people, &zone, month)?;
            settled(&plan, anyway)?;
            let number = i64::from(month.number());
            let old = between(&(number, Id::ZERO), &(number + 1, Id::ZERO));
            for (key, _) in tx.list(&MONTH_TOTALS, &old, usize::MAX)? {
                tx.remove(&MONTH_TOTALS, &key)?;
            }
            for (person, totals) in &plan.totals {
                tx.put(&MONTH_TOTALS, &(number, person.id), totals)?;
            }
            let kept = ClosedMonth {
                lineage: match &plan.state {
                    Some(old) => old.lineage.then(tx.revision()),
                    None => Lineage::born(tx.revision()),
                },
                month,
                closed: true,
                at: tx.now(),
                by: who.name().to_owned(),
                reason: String::new(),
                times: plan.state.map_or(0, |old| old.times) + 1,
                sha256: payroll::digest(month, &plan.totals),
            };
            tx.put(&MONTHS, &number, &kept)?;
            let closing = Closing::from(&kept);
            tx.journal(&who, Deed::new("month.close", month).after(&closing))?;
            Ok(closing)
        })
    }

    /// Opens a closed month again.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, the field at fault, `month_not_closed`.
    pub fn reopen_month(
        &self,
        caller: &Caller,
        month: Month,
        reason: &str,
    ) -> Result<Closing, Fault> {
        caller.require(Right::ManageAttendance)?;
        caller.fresh(self.now())?;
        let reason = reason.trim().to_owned();
        if reason.is_empty() || reason.chars().count() > REASON_MAX {
            let message = format!("Say why, in at most {REASON_MAX} characters.");
            return Err(Fault::field("reason", "value_error", message));
        }
        let who = caller.clone();
        self.store.write(move |tx| {
            let number = i64::from(month.number());
            let old = tx.get(&MONTHS, &number)?.filter(|month| month.closed);
            let mut kept = old.ok_or_else(|| {
                Fault::conflict("month_not_closed", format!("{month} is not closed."))
            })?;
            let before = Closing::from(&kept);
            kept.lineage = kept.lineage.then(tx.revision());
            kept.closed = false;
            kept.at = tx.now();
            who.name().clone_into(&mut kept.by);
            kept.reason = reason;
            tx.put(&MONTHS, &number, &kept)?;
            let closing = Closing::from(&kept);
            tx.journal(&who, Deed::new("month.reopen", month).before(&before).after(&closing))?;
            Ok(closing)
        })
    }
}

/// Refuses a month that cannot be closed yet.
fn settled(plan: &Plan, anyway: bool) -> Result<(), Fault> {
    let month = plan.month;
    if !plan.over {
        let message = format!("{month} is not over yet.");
        return Err(Fault::conflict("month_not_over", message));
    }
    if plan.state.as_ref().is_some_and(|state| state.closed) {
        return Err(Fault::conflict("month_closed", format!("{month} is closed already.")));
    }
    if plan.corrections > 0 || (plan.open_days > 0 && !anyway) {
        let message = format!(
            "{} corrections wait for a decision, {} days have something to look at.",
            plan.corrections, plan.open_days
        );
        return Err(Fault::conflict("month_unsettled", message));
    }
    Ok(())
}
