//! One write under way: its changes lie beside the batch until it succeeds, so failing spoils nobody.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::rc::Rc;

use redb::WriteTransaction;

use super::changes::{CHANGES, Change};
use super::journal::{Deed, Head, JOURNAL, Link, When};
use super::key::Key;
use super::table::{Duty, Record, Table};
use super::view::{Raw, Reader, Span, Visit, broken, fetch, walk};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::{Id, Revision};
use crate::base::tasks::caught;

type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;
pub(super) type Beside = BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

/// The longest key, bytes.
const KEY_BYTES_MAX: usize = 64 << 10;
/// The longest record, bytes; larger things are files.
const ROW_BYTES_MAX: usize = 512 << 20;

/// The redb transaction a whole batch shares, with its tables kept open.
pub(super) struct Batch<'t> {
    writing: &'t WriteTransaction,
    open: RefCell<BTreeMap<&'static str, Rc<RefCell<OpenTable<'t>>>>>,
}

impl<'t> Batch<'t> {
    pub(super) fn new(writing: &'t WriteTransaction) -> Self {
        Self { writing, open: RefCell::default() }
    }

    /// The open table; shared, so that a visitor of one span may read others meanwhile.
    fn table(&self, name: &'static str) -> Result<Rc<RefCell<OpenTable<'t>>>, Fault> {
        if let Some(opened) = self.open.borrow().get(name) {
            return Ok(opened.clone());
        }
        let opened =
            self.writing.open_table(Raw::new(name)).map_err(|e| broken("opening a table", e))?;
        let opened = Rc::new(RefCell::new(opened));
        self.open.borrow_mut().insert(name, opened.clone());
        Ok(opened)
    }

    /// Puts the changes of a finished write into the shared transaction.
    pub(super) fn take(&self, beside: Beside) -> Result<(), Fault> {
        for (name, rows) in beside {
            let table = self.table(name)?;
            let mut table = table.borrow_mut();
            for (key, value) in rows {
                let outcome = match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice()).map(drop),
                    None => table.remove(key.as_slice()).map(drop),
                };
                outcome.map_err(|e| broken("writing a row", e))?;
            }
        }
        Ok(())
    }
}

/// What lies below a write: the shared transaction, as far as reading goes.
pub(super) trait Below {
    fn below_get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    fn below_each(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault>;
}

impl Below for Batch<'_> {
    fn below_get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        fetch(&*self.table(table)?.borrow(), key)
    }

    fn below_each(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        walk(&*self.table(table)?.borrow(), span, backwards, visit)
    }
}

/// The counters that a write moves on; a write that fails leaves them where they were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) seq: u64,
    pub(super) journal: Head,
}

/// One write: reads what is there and its own changes, and writes beside.
pub struct Tx<'b> {
    batch: &'b dyn Below,
    beside: Beside,
    bytes: usize,
    heads: Heads,
    when: When,
    site: Id,
    deeds: u32,
    owes_journal: Option<&'static str>,
    settles_clock: bool,
}

/// What a finished write leaves for the writer to take up.
pub(super) struct Done {
    pub(super) changes: Beside,
    pub(super) heads: Heads,
    pub(super) bytes: usize,
    pub(super) settles_clock: bool,
}

impl<'b> Tx<'b> {
    pub(super) fn new(batch: &'b dyn Below, heads: Heads, when: When, site: Id) -> Self {
        Self {
            batch,
            beside: Beside::new(),
            bytes: 0,
            heads,
            when,
            site,
            deeds: 0,
            owes_journal: None,
            settles_clock: false,
        }
    }

    /// The moment of this write; the same for every row of it.
    pub fn now(&self) -> Moment {
        self.when.at
    }

    /// How long the machine had been running at that moment.
    pub fn since_boot(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.when.since_boot_ms)
    }

    /// Whether the clock is in doubt.
    pub fn doubtful(&self) -> bool {
        self.when.doubtful
    }

    /// A new record's name.
    pub fn new_id(&self) -> Id {
        Id::new(self.when.at)
    }

    /// The revision of the row that is put next (of a journaled table).
    pub fn revision(&self) -> Revision {
        Revision { site: self.site, count: self.heads.seq + 1 }
    }

    /// This site's name.
    pub fn site(&self) -> Id {
        self.site
    }

    /// Puts a record in its place.
    ///
    /// # Errors
    /// `Broken` when it cannot be written down.
    pub fn put<K: Key, V: Record>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), Fault> {
        self.set(table.name, table.duty, key.bytes(), Some(value.encode()?))
    }

    /// Takes a record out; nothing happens when there is none.
    ///
    /// # Errors
    /// What the store says.
    pub fn remove<K: Key, V>(&mut self, table: &Table<K, V>, key: &K) -> Result<(), Fault> {
        let key = key.bytes();
        if self.raw_get(table.name, &key)?.is_none() {
            return Ok(());
        }
        self.set(table.name, table.duty, key, None)
    }

    /// Takes out every record of a span; the answer is how many there were.
    ///
    /// # Errors
    /// What the store says.
    pub fn remove_span<K: Key, V>(
        &mut self,
        table: &Table<K, V>,
        span: &Span,
    ) -> Result<usize, Fault> {
        let mut keys = Vec::new();
        self.raw_each(table.name, span, false, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let count = keys.len();
        for key in keys {
            self.set(table.name, table.duty, key, None)?;
        }
        Ok(count)
    }

    /// Adds a link to the journal.
    ///
    /// # Errors
    /// `Broken` when it cannot be written down.
    pub fn journal(&mut self, caller: &Caller, deed: Deed) -> Result<(), Fault> {
        let (head, row) = Link::after(self.heads.journal, self.when, caller, deed)?;
        self.set(JOURNAL.name, JOURNAL.duty, head.number.bytes(), Some(row))?;
        self.heads.journal = head;
        self.deeds += 1;
        Ok(())
    }

    /// A row of any table, bytes as they are; for migration steps and restores, which have no types.
    ///
    /// # Errors
    /// What the store says.
    pub fn set_raw(
        &mut self,
        table: &'static str,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        self.set(table, Duty::Quiet, key, value)
    }

    /// Runs `work` as a part of this write that stands or falls by itself: when it fails or panics it
    /// leaves nothing behind, and the write goes on. It sees the rest of the write, and keeps its own
    /// duties: what it owes the journal it writes itself.
    ///
    /// # Errors
    /// What `work` answers; `Broken` when it panicked or left the journal out.
    pub fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (answer, done) = {
            let mut part = Tx::new(&*self, self.heads, self.when, self.site);
            let answer = caught(|| work(&mut part))?;
            (answer, part.finish()?)
        };
        if done.heads.journal.number > self.heads.journal.number {
            self.deeds += 1;
        }
        for (table, rows) in done.changes {
            self.beside.entry(table).or_default().extend(rows);
        }
        self.heads = done.heads;
        self.bytes += done.bytes;
        self.settles_clock |= done.settles_clock;
        Ok(answer)
    }

    fn set(
        &mut self,
        table: &'static str,
        duty: Duty,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        // Refused here, where it harms one caller: further down it would end the whole batch.
        if key.len() > KEY_BYTES_MAX || value.as_ref().is_some_and(|v| v.len() > ROW_BYTES_MAX) {
            return Err(Fault::too_large("row_too_large", "This record is too large to be kept."));
        }
        if duty == Duty::Journaled {
            self.owes_journal = Some(table);
        }
        if duty != Duty::Quiet {
            self.heads.seq += 1;
            let change =
                Change { table: table.to_owned(), key: key.clone(), removed: value.is_none() };
            self.lay(CHANGES.name, self.heads.seq.bytes(), Some(change.encode()?));
        }
        self.lay(table, key, value);
        Ok(())
    }

    fn lay(&mut self, table: &'static str, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.beside.entry(table).or_default().insert(key, value);
    }

    /// Ends the interval of doubt about the clock: a person says that it is right now.
    pub fn settle_clock(&mut self) {
        self.settles_clock = true;
    }

    /// The changes and the counters after them, once the write has kept its duties.
    pub(super) fn finish(self) -> Result<Done, Fault> {
        match self.owes_journal {
            Some(table) if self.deeds == 0 => Err(Fault::broken(
                "finishing a write",
                format!("'{table}' changed without a journal link"),
            )),
            _ => Ok(Done {
                changes: self.beside,
                heads: self.heads,
                bytes: self.bytes,
                settles_clock: self.settles_clock,
            }),
        }
    }
}

/// A part of a write stands on the write.
impl Below for Tx<'_> {
    fn below_get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.raw_get(table, key)
    }

    fn below_each(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        self.raw_each(table, span, backwards, visit)
    }
}

impl Reader for Tx<'_> {
    fn raw_get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(changed) = self.beside.get(table).and_then(|rows| rows.get(key)) {
            return Ok(changed.clone());
        }
        self.batch.below_get(table, key)
    }

    fn raw_each(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        let Some(rows) = self.beside.get(table) else {
            return self.batch.below_each(table, span, backwards, visit);
        };
        if span.1.as_ref().is_some_and(|end| *end <= span.0) {
            return Ok(());
        }
        let inside = rows
            .range::<[u8], _>((
                Bound::Included(span.0.as_slice()),
                span.1.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
            ))
            .map(|(key, value)| (key.as_slice(), value.as_deref()));
        if backwards {
            self.merge(table, span, true, inside.rev(), visit)
        } else {
            self.merge(table, span, false, inside, visit)
        }
    }
}

impl Tx<'_> {
    /// Visits what lies below with this write's own rows put in their places; nothing is gathered, so
    /// that the last row of a long table costs one row.
    fn merge<'r>(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        own: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        let mut own = own.peekable();
        let mut ended = false;
        self.batch.below_each(table, span, backwards, &mut |key, value| {
            let comes_first = |mine: &[u8]| if backwards { mine > key } else { mine < key };
            let mut row = Some(value);
            let mut step = ControlFlow::Continue(());
            while let Some((mine, changed)) =
                own.next_if(|(mine, _)| comes_first(mine) || *mine == key)
            {
                if mine == key {
                    row = changed;
                } else if let Some(changed) = changed {
                    step = visit(mine, changed)?;
                }
                if step.is_break() {
                    break;
                }
            }
            if let (Some(row), ControlFlow::Continue(())) = (row, step) {
                step = visit(key, row)?;
            }
            ended = step.is_break();
            Ok(step)
        })?;
        if ended {
            return Ok(());
        }
        for (key, changed) in own {
            if let Some(changed) = changed
                && visit(key, changed)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}
