//! The month for the payroll office: one row per person, minutes throughout.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::Attendance;
use super::people::Person;
use super::records::Totals;
use crate::base::caller::{Caller, Right};
use crate::base::day::Month;
use crate::base::fault::Fault;
use crate::store::Deed;

/// The columns that are always there; one per band of overtime follows, `overtime_25_minutes`.
pub const COLUMNS: [&str; 12] = [
    "month",
    "user_id",
    "username",
    "name",
    "days",
    "worked_minutes",
    "break_minutes",
    "night_minutes",
    "sunday_minutes",
    "expected_minutes",
    "balance_minutes",
    "open_days",
];

/// A table: its columns' names and its rows.
pub struct Payroll {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// A row per person.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
    /// Nothing.
    Empty,
}

impl Cell {
    /// As a CSV file holds it.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Empty => String::new(),
        }
    }
}

/// The table of a month's totals.
pub fn table(month: Month, totals: &[(Person, Totals)]) -> Payroll {
    let bands: BTreeSet<u32> =
        totals.iter().flat_map(|(_, t)| t.overtime.iter().map(|band| band.percent)).collect();
    let mut columns: Vec<String> = COLUMNS.iter().map(|&name| name.to_owned()).collect();
    columns.extend(bands.iter().map(|percent| format!("overtime_{percent}_minutes")));
    let rows = totals.iter().map(|(person, totals)| {
        let number = |n: u32| Cell::Number(i64::from(n));
        let mut row = vec![
            Cell::Text(month.to_string()),
            Cell::Number(i64::try_from(person.number).unwrap_or(i64::MAX)),
            Cell::Text(person.username.clone()),
            Cell::Text(person.name.clone()),
            number(totals.days),
            number(totals.worked),
            number(totals.paused),
            number(totals.night),
            number(totals.sunday),
            totals.expected.map_or(Cell::Empty, number),
            totals.expected.map_or(Cell::Empty, |expected| {
                Cell::Number(i64::from(totals.worked) - i64::from(expected))
            }),
            number(totals.open_days),
        ];
        row.extend(bands.iter().map(|percent| {
            let band = totals.overtime.iter().find(|band| band.percent == *percent);
            number(band.map_or(0, |band| band.minutes))
        }));
        row
    });
    Payroll { rows: rows.collect(), columns }
}

/// SHA-256 of the rows of a month, cells parted by tabs and rows by line feeds, columns first: the same for
/// the same figures, whatever format they are handed on in.
pub fn digest(month: Month, totals: &[(Person, Totals)]) -> [u8; 32] {
    let payroll = table(month, totals);
    let mut hash = Sha256::new();
    hash.update(payroll.columns.join("\t"));
    for row in payroll.rows {
        hash.update("\n");
        hash.update(row.iter().map(Cell::text).collect::<Vec<_>>().join("\t"));
    }
    hash.finalize().into()
}

impl Attendance {
    /// The payroll table of a month, with a line in the journal: it leaves the box.
    ///
    /// # Errors
    /// `right_missing`.
    pub fn payroll(
        &self,
        caller: &Caller,
        month: Month,
        format: &'static str,
    ) -> Result<Payroll, Fault> {
        caller.require(Right::ManageAttendance)?;
        let totals = self.totals(caller, month)?;
        let who = caller.clone();
        let people = totals.len();
        self.store.write(move |tx| {
            let said = serde_json::json!({"format": format, "people": people});
            tx.journal(&who, Deed::new("payroll.export", month).after(&said))
        })?;
        Ok(table(month, &totals))
    }
}
