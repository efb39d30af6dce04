//! Reading: one interface for a frozen view and for a write under way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError,
};

use super::key::{Key, after_prefix};
use super::table::{Record, Table, read_key};
use crate::base::fault::Fault;

/// A table as redb sees it.
pub(super) type Raw = TableDefinition<'static, &'static [u8], &'static [u8]>;
type RawTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A span of keys: from the first byte string (included) to the second (excluded; none = the end).
pub type Span = (Vec<u8>, Option<Vec<u8>>);

/// Called with each key and value in order.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault> + 'v;

/// Whatever can be read from: a frozen view, or a write that sees its own changes.
pub trait Reader {
    /// The bytes under `key`.
    ///
    /// # Errors
    /// What the store says.
    fn raw_get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Visits a span of a table, in order or backwards.
    ///
    /// # Errors
    /// What the store or the visitor says.
    fn raw_each(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault>;

    /// The record under `key`.
    ///
    /// # Errors
    /// What the store says; `Broken` for damaged bytes.
    fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, Fault> {
        self.raw_get(table.name, &key.bytes())?.map(|bytes| V::decode(&bytes)).transpose()
    }

    /// Whether there is a record under `key`.
    ///
    /// # Errors
    /// What the store says.
    fn has<K: Key, V>(&self, table: &Table<K, V>, key: &K) -> Result<bool, Fault> {
        Ok(self.raw_get(table.name, &key.bytes())?.is_some())
    }

    /// Visits the records of a span in key order.
    ///
    /// # Errors
    /// What the store or the visitor says; `Broken` for damaged bytes.
    fn each<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        span: &Span,
        mut visit: impl FnMut(K, V) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        self.raw_each(table.name, span, false, &mut |key, value| {
            visit(read_key(key)?, V::decode(value)?)
        })
    }

    /// Visits the records of a span from the last key to the first.
    ///
    /// # Errors
    /// What the store or the visitor says; `Broken` for damaged bytes.
    fn each_back<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        span: &Span,
        mut visit: impl FnMut(K, V) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        self.raw_each(table.name, span, true, &mut |key, value| {
            visit(read_key(key)?, V::decode(value)?)
        })
    }

    /// At most `limit` records of a span, in key order.
    ///
    /// # Errors
    /// What the store says; `Broken` for damaged bytes.
    fn list<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        span: &Span,
        limit: usize,
    ) -> Result<Vec<(K, V)>, Fault> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.each(table, span, |key, value| {
            found.push((key, value));
            Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// The last record of a span.
    ///
    /// # Errors
    /// What the store says; `Broken` for damaged bytes.
    fn last<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        span: &Span,
    ) -> Result<Option<(K, V)>, Fault> {
        let mut found = None;
        self.raw_each(table.name, span, true, &mut |key, value| {
            found = Some((read_key(key)?, V::decode(value)?));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// The span of a whole table.
pub fn all() -> Span {
    (Vec::new(), None)
}

/// The span of keys that start with `front`.
pub fn under<P: Key>(front: &P) -> Span {
    let bytes = front.bytes();
    let end = after_prefix(&bytes);
    (bytes, end)
}

/// The span from `first` on, itself included.
pub fn from<K: Key>(first: &K) -> Span {
    (first.bytes(), None)
}

/// The span from `first` on up to `end`, which is left out.
pub fn between<K: Key>(first: &K, end: &K) -> Span {
    (first.bytes(), Some(end.bytes()))
}

/// One moment of the store, frozen while writers go on.
pub struct View {
    reading: ReadTransaction,
    /// Shared, so that a visitor of one span may open and read other tables meanwhile.
    open: RefCell<BTreeMap<&'static str, Option<Rc<RawTable>>>>,
}

impl View {
    pub(super) fn new(reading: ReadTransaction) -> Self {
        Self { reading, open: RefCell::default() }
    }

    fn with<T>(
        &self,
        table: &'static str,
        read: impl FnOnce(&RawTable) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let known = self.open.borrow().get(table).cloned();
        let opened = if let Some(opened) = known {
            opened
        } else {
            let opened = match self.reading.open_table(Raw::new(table)) {
                Ok(opened) => Some(Rc::new(opened)),
                // A table nobody has written to yet is an empty one.
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(e) => return Err(broken("opening a table", e)),
            };
            self.open.borrow_mut().insert(table, opened.clone());
            opened
        };
        opened.map(|opened| read(&opened)).transpose()
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// What the store says.
    pub fn count(&self, table: &'static str) -> Result<u64, Fault> {
        Ok(self.with(table, |t| t.len().map_err(|e| broken("counting", e)))?.unwrap_or(0))
    }
}

impl Reader for View {
    fn raw_get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.with(table, |t| fetch(t, key))?.flatten())
    }

    fn raw_each(
        &self,
        table: &'static str,
        span: &Span,
        backwards: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        self.with(table, |t| walk(t, span, backwards, visit))?;
        Ok(())
    }
}

/// The bytes under `key` in an open table.
pub(super) fn fetch<T>(table: &T, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>
where
    T: ReadableTable<&'static [u8], &'static [u8]>,
{
    let found = table.get(key).map_err(|e| broken("reading", e))?;
    Ok(found.map(|guard| guard.value().to_vec()))
}

/// Visits a span of an open table.
pub(super) fn walk<T>(
    table: &T,
    span: &Span,
    backwards: bool,
    visit: &mut Visit<'_>,
) -> Result<(), Fault>
where
    T: ReadableTable<&'static [u8], &'static [u8]>,
{
    use std::ops::Bound;
    if span.1.as_ref().is_some_and(|end| *end <= span.0) {
        return Ok(());
    }
    let end = span.1.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut range = table
        .range::<&[u8]>((Bound::Included(span.0.as_slice()), end))
        .map_err(|e| broken("reading a span", e))?;
    loop {
        let next = if backwards { range.next_back() } else { range.next() };
        let Some(row) = next else { return Ok(()) };
        let (key, value) = row.map_err(|e| broken("reading a span", e))?;
        if visit(key.value(), value.value())?.is_break() {
            return Ok(());
        }
    }
}

/// A redb error as a fault. An I/O error means the handle is latched until it is reopened.
pub(super) fn broken(doing: &str, error: impl Into<redb::Error>) -> Fault {
    let error = error.into();
    match error {
        redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            Fault::unavailable("store_reopening", "The store is being reopened; try again.")
                .retry_after(std::time::Duration::from_secs(1))
                .because(error)
        }
        other => Fault::broken(doing, other),
    }
}
