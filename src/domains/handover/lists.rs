//! Lists of what arrived, newest first, and the reports of the files it came in.

use std::ops::ControlFlow;

use super::records::{ARRIVALS, ARRIVALS_IN_ORDER, Arrived, OPEN, REPORTS, Report};
use super::{Handover, count_open};
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::key::Key;
use crate::store::table::read_key;
use crate::store::view::Span;
use crate::store::{Reader, Record, all, under};

/// The most arrivals that one call lists.
pub const LIST_MAX: usize = 500;
/// The most reports that are listed: those of the newest files.
pub const REPORTS_MAX: usize = 200;

/// Which arrivals to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Only those that wait for a hand, or only those that do not.
    pub open: Option<bool>,
    /// Only those of this file.
    pub file: Option<Id>,
    /// Only those before this one, the last of the page before.
    pub before: Option<Id>,
    /// How many to list, at most [`LIST_MAX`].
    pub limit: usize,
}

/// A page of arrivals.
#[derive(Debug, Clone)]
pub struct Page {
    /// The arrivals, newest first.
    pub items: Vec<Arrived>,
    /// How many wait for a hand, of whichever file.
    pub total_open: u64,
}

/// A file's report, with how many of its entries wait for a hand.
#[derive(Debug, Clone)]
pub struct Reported {
    /// The report.
    pub report: Report,
    /// Entries that wait for a hand.
    pub open: u64,
}

impl Handover {
    /// Lists arrivals. What people wrote and whom it is about is for those who deal with it, not for a
    /// program's key that may see how Plan B stands.
    ///
    /// # Errors
    /// `right_missing`, `not_found` for a `before` that never arrived.
    pub fn arrivals(&self, caller: &Caller, asked: &Asked) -> Result<Page, Fault> {
        may_read(caller)?;
        self.store.read(|view| {
            let mut span = asked.file.as_ref().map_or_else(all, under);
            if let Some(before) = &asked.before {
                let last =
                    view.get(&ARRIVALS, before)?.ok_or_else(|| Fault::not_found("arrival"))?;
                let end = (last.file, last.seq).bytes();
                span.1 = Some(span.1.map_or(end.clone(), |other| other.min(end)));
            }
            let items = walk(view, asked, &span)?;
            Ok(Page { items, total_open: count_open(view)? })
        })
    }

    /// The reports of the newest files, newest first, for the same people.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn reports(&self, caller: &Caller) -> Result<Vec<Reported>, Fault> {
        may_read(caller)?;
        self.store.read(|view| {
            let mut reports = Vec::new();
            view.raw_each(REPORTS.name, &all(), true, &mut |_, value| {
                let report = Report::decode(value)?;
                let mut open = 0;
                view.each(&OPEN, &under(&report.file), |_, _| {
                    open += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                reports.push(Reported { report, open });
                Ok(on_while(reports.len() < REPORTS_MAX))
            })?;
            Ok(reports)
        })
    }

    /// How many arrivals wait for a hand.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn total_open(&self, caller: &Caller) -> Result<u64, Fault> {
        caller.require(Right::UseContinuity)?;
        self.store.read(count_open)
    }

    /// Which of these entries have arrived, in the order they are asked for.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn arrived(&self, caller: &Caller, ids: &[Id]) -> Result<Vec<bool>, Fault> {
        caller.require(Right::UseContinuity)?;
        self.store.read(|view| ids.iter().map(|id| view.has(&ARRIVALS, id)).collect())
    }
}

/// Refuses whoever does not see Plan B, and whoever deals with nothing that arrives.
fn may_read(caller: &Caller) -> Result<(), Fault> {
    caller.require(Right::UseContinuity)?;
    let deals = [Right::EditPlanning, Right::ManageAttendance];
    if deals.into_iter().any(|right| caller.require(right).is_ok()) {
        return Ok(());
    }
    caller.require(Right::ManageContinuity)
}

/// The newest arrivals of a span that fit.
fn walk(view: &impl Reader, asked: &Asked, span: &Span) -> Result<Vec<Arrived>, Fault> {
    let limit = asked.limit.min(LIST_MAX);
    let mut items = Vec::new();
    if limit == 0 {
        return Ok(items);
    }
    let table = if asked.open == Some(true) { OPEN.name } else { ARRIVALS_IN_ORDER.name };
    view.raw_each(table, span, true, &mut |key, value| {
        let _: (Id, u64) = read_key(key)?;
        let found = view.get(&ARRIVALS, &Id::decode(value)?)?;
        items.extend(found.filter(|a| asked.open.is_none_or(|open| open == a.outcome.is_open())));
        Ok(on_while(items.len() < limit))
    })?;
    Ok(items)
}

fn on_while(more: bool) -> ControlFlow<()> {
    if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
