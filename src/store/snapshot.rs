//! One moment of the whole store, table by table, for exports and checks while writers go on.

use redb::{ReadableDatabase, TableHandle};

use super::view::{Reader, View, Visit, all, broken};
use super::{Store, journal};
use crate::base::fault::Fault;

/// A frozen view of everything. While it lives, pages freed meanwhile are not reused: keep it short.
pub struct Snapshot {
    view: View,
    /// The tables there are.
    pub tables: Vec<String>,
    /// The store's epoch.
    pub epoch: [u8; 16],
    /// The journal's end at that moment.
    pub journal: journal::Head,
    /// The last change at that moment.
    pub seq: u64,
}

impl Store {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// What the store says.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        let db = self.inner.database()?;
        let reading = db.begin_read().map_err(|e| broken("starting to read", e))?;
        let mut tables: Vec<String> = reading
            .list_tables()
            .map_err(|e| broken("listing the tables", e))?
            .map(|table| table.name().to_owned())
            .collect();
        tables.sort();
        let view = View::new(reading);
        let seq = view.get(&super::NUMBERS, &super::SEQ.to_owned())?.unwrap_or(0);
        let journal = view.get(&super::HEADS, &super::CHAIN.to_owned())?.unwrap_or_default();
        Ok(Snapshot { view, tables, epoch: self.epoch(), journal, seq })
    }
}

impl Snapshot {
    /// The view itself, for typed reading.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Visits every row of a table in key order, bytes as they are.
    ///
    /// # Errors
    /// What the store or the visitor says.
    pub fn each_row(&self, table: &'static str, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.view.raw_each(table, &all(), false, visit)
    }
}
