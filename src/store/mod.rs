//! redb and nothing but redb: typed tables, one writer with group commit, journal, change log, snapshot.
//!
//! The surface is ordered tables, transactions and snapshots, so that another ordered transactional
//! store could stand in its place.

mod backend;
pub mod chain;
pub mod changes;
pub mod clock_watch;
pub mod copy;
mod file;
mod inner;
pub mod journal;
pub mod key;
pub mod meta;
pub mod migrate;
pub mod snapshot;
pub mod table;
pub mod tx;
pub mod view;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use redb::ReadableDatabase;

pub use backend::Traffic;
pub use journal::Deed;
pub use table::{Blob, Record, Table};
pub use tx::Tx;
pub use view::{Reader, Span, View, all, between, from, under};

use crate::base::caller::{Caller, Who};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::id::Id;
use crate::base::tasks::{Tasks, caught};
use file::{create, open_file, read_meta};
use inner::{Inner, Line, lock};
use meta::{CHAIN, HEADS, NUMBERS, ONCE, Once, SEQ};
use migrate::Step;
use writer::order;

/// How a store behaves; every field has a setting under `[store]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// Memory for pages of the database, MiB.
    pub cache_mib: usize,
    /// Free space that writes leave untouched, MiB; below it they are refused with 507.
    pub reserve_mib: u64,
    /// Writes committed in one transaction at most. 1 commits each request alone.
    pub batch_max: usize,
    /// How long the result of a request with an `Idempotency-Key` is kept, hours.
    pub once_hours: u64,
    /// Whether a commit waits for the disk. Only measurements and tests of tests switch it off.
    #[serde(skip)]
    pub durable: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_mib: 32, reserve_mib: 64, batch_max: 256, once_hours: 24, durable: true }
    }
}

/// The outside world a store stands on.
#[derive(Clone)]
pub struct Ground {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where bytes are kept.
    pub disk: Arc<dyn Disk>,
    /// Where trouble is told.
    pub health: Health,
}

/// The one store of a box. Clones are the same store; when the last one goes, it is closed.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    line: Arc<Line>,
}

impl Store {
    /// Opens the store at `path`, creating it by rename when there is none, and takes the migration
    /// `steps` it has not taken yet. The writer runs as a task until [`Store::close`].
    ///
    /// # Errors
    /// `store_newer` when a later version wrote it, `store_damaged` when it does not open,
    /// or what the disk says.
    pub fn open(
        path: &Path,
        ground: &Ground,
        options: StoreOptions,
        steps: &[Step],
        tasks: &Tasks,
    ) -> Result<Self, Fault> {
        let disk = &ground.disk;
        let traffic = Arc::<Traffic>::default();
        if !disk.exists(path) {
            create(path, ground, options)?;
        }
        // Also for a file that was there: an earlier start may have died between the rename and this,
        // and then the next power cut would take the whole store away.
        file::keep_name(path, disk.as_ref())?;
        let open = open_file(path, disk.as_ref(), options, &traffic)?;
        let (genesis, heads) = read_meta(&open.db)?;
        let inner = Arc::new(Inner {
            path: path.to_owned(),
            options: options.checked(),
            clock: ground.clock.clone(),
            disk: disk.clone(),
            health: ground.health.clone(),
            traffic,
            open: RwLock::new(Some(open)),
            heads: Mutex::new(heads),
            seq: AtomicU64::new(heads.seq),
            epoch: genesis.epoch,
            site: genesis.site,
            closing: AtomicBool::new(false),
            writing: OnceLock::new(),
            free: Mutex::default(),
            moved: Mutex::default(),
        });
        let (orders, line) = writer::channel();
        let (end, ended) = sync_channel(1);
        let writing = inner.clone();
        let handle = tasks.thread("store-writer", move |_| {
            writer::run(&writing, &line);
            drop(line);
            let _ = end.send(());
        })?;
        let writer = Mutex::new(Some((handle, ended)));
        let store = Self { line: Arc::new(Line { inner: inner.clone(), orders, writer }), inner };
        migrate::bring_up(&store, steps)?;
        ground.health.well("store", "Open.");
        Ok(store)
    }

    /// Runs `work` in the next commit and answers once it is durable. A `work` that fails or panics
    /// leaves nothing behind and does not disturb the others of its batch.
    ///
    /// # Errors
    /// What `work` answers; `disk_full` below the reserve; `store_write_failed` when the disk refuses,
    /// `store_reopening` while it is opened anew, `store_closed` afterwards; `Broken` from within
    /// another write, which it would wait for for ever.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.inner.room()?;
        self.write_freeing(work)
    }

    /// The same for work that makes room: it is let through when the disk is nearly full.
    ///
    /// # Errors
    /// As [`Store::write`], without `disk_full`.
    pub fn write_freeing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        if self.inner.on_writer() {
            return Err(Fault::broken(
                "writing to the store",
                "a write was asked for inside a write",
            ));
        }
        let (answer, answered) = sync_channel(1);
        self.line.orders.send(order(work, answer)).map_err(|_| self.inner.absent())?;
        // A dropped sender: this write was given up before it was run.
        answered.recv().map_err(|_| self.inner.absent())?
    }

    /// As [`Store::write`], but at most once per caller and `Idempotency-Key`: the result is kept in
    /// the same transaction, and a second call with the same key gets it without running `work`.
    ///
    /// # Errors
    /// As [`Store::write`]; `retry_key_reused` when the key was used for another verb.
    pub fn write_once<T: Record + Send + 'static>(
        &self,
        caller: &Caller,
        verb: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let Some(retry_key) = caller.retry_key.clone() else { return self.write(work) };
        let key = match &caller.who {
            Who::User { id, .. } => (*id, retry_key),
            // Those without a record share no keys either: the console is not a task, nor nobody.
            _ => (Id::ZERO, format!("{} {retry_key}", caller.name())),
        };
        if let Err(full) = self.inner.room() {
            // What was done before the disk filled up is answered all the same.
            return self.read(|view| kept(view, &key, verb))?.ok_or(full);
        }
        self.write_freeing(move |tx| {
            if let Some(result) = kept(tx, &key, verb)? {
                return Ok(result);
            }
            let result = work(tx)?;
            let once = Once { verb: verb.to_owned(), at: tx.now(), result: result.encode()? };
            tx.put(&ONCE, &key, &once)?;
            Ok(result)
        })
    }

    /// Reads one moment of the store; writers go on meanwhile.
    ///
    /// # Errors
    /// What `work` answers; `store_reopening` for a moment after the disk refused a write.
    pub fn read<T>(&self, work: impl FnOnce(&View) -> Result<T, Fault>) -> Result<T, Fault> {
        let db = self.inner.database()?;
        // redb may panic on pages that a lying disk has broken.
        caught(|| {
            let reading = db.begin_read().map_err(|e| view::broken("starting to read", e))?;
            work(&View::new(reading))
        })
    }

    /// Calls `follower` with the sequence number after each commit, on the writer's thread: it must
    /// only wake somebody.
    pub fn on_commit(&self, follower: impl Fn(u64) + Send + Sync + 'static) {
        lock(&self.inner.moved).push(Arc::new(follower));
    }

    /// The number of the last durable change.
    pub fn seq(&self) -> u64 {
        self.inner.seq.load(Ordering::Acquire)
    }

    /// New at creation and at each restore.
    pub fn epoch(&self) -> [u8; 16] {
        self.inner.epoch
    }

    /// This site's name.
    pub fn site(&self) -> Id {
        self.inner.site
    }

    /// What the store has asked of its disk.
    pub fn traffic(&self) -> Arc<Traffic> {
        self.inner.traffic.clone()
    }

    /// The journal's end.
    pub fn journal_head(&self) -> journal::Head {
        self.inner.heads().journal
    }

    /// Bytes free where the store lies.
    ///
    /// # Errors
    /// What the disk says.
    pub fn free_bytes(&self) -> Result<u64, Fault> {
        self.inner.free_bytes()
    }

    /// Drops kept results older than their time and changes that every follower has passed.
    ///
    /// # Errors
    /// As [`Store::write_freeing`].
    pub fn prune(&self) -> Result<(), Fault> {
        let keep = Duration::from_hours(self.inner.options.once_hours);
        self.write_freeing(move |tx| {
            let now = tx.now();
            let mut old = Vec::new();
            tx.each(&ONCE, &all(), |key, once| {
                if now.since(once.at) > keep {
                    old.push(key);
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            for key in old {
                tx.remove(&ONCE, &key)?;
            }
            let floors = tx.list(&changes::FLOORS, &all(), usize::MAX)?;
            let lowest = floors.iter().map(|(_, seq)| *seq).min().unwrap_or(0);
            let below = lowest.saturating_sub(changes::KEPT_BELOW_FLOOR);
            let end = key::Key::bytes(&below);
            tx.remove_span(&changes::CHANGES, &(Vec::new(), Some(end)))?;
            Ok(())
        })
    }

    /// Ends the writer after what is waiting, and gives the file up; later calls are refused with
    /// `store_closed`. After it the same file may be opened again.
    pub fn close(&self) {
        self.line.close();
    }
}

/// The result kept under `key`, when `verb` made it.
fn kept<T: Record>(
    reader: &impl Reader,
    key: &(Id, String),
    verb: &str,
) -> Result<Option<T>, Fault> {
    match reader.get(&ONCE, key)? {
        Some(once) if once.verb == verb => T::decode(&once.result).map(Some),
        Some(_) => Err(Fault::conflict(
            "retry_key_reused",
            "This Idempotency-Key was used for another request.",
        )),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{HeldClock, Moment};
    use crate::base::disk::MemoryDisk;
    use crate::base::fault::Kind;

    const NAMES: Table<u64, String> = Table::journaled("test.names");
    const NOTES: Table<(String, u32), String> = Table::quiet("test.notes");

    fn store() -> (Store, Arc<HeldClock>) {
        let clock = Arc::new(HeldClock::at(Moment(1_000_000_000_000)));
        let health = Health::new(clock.clone());
        let ground = Ground {
            clock: clock.clone(),
            disk: Arc::new(MemoryDisk::default()),
            health: health.clone(),
        };
        let tasks = Tasks::new(health);
        let store =
            Store::open(Path::new("/test.redb"), &ground, StoreOptions::default(), &[], &tasks)
                .unwrap();
        (store, clock)
    }

    fn named(
        number: u64,
        name: &str,
    ) -> impl FnOnce(&mut Tx<'_>) -> Result<(), Fault> + Send + 'static {
        let name = name.to_owned();
        move |tx| {
            tx.put(&NAMES, &number, &name)?;
            tx.journal(&Caller::task("test"), Deed::new("name.add", number))
        }
    }

    #[test]
    fn a_write_is_read_back_logged_and_journaled() {
        let (store, _) = store();
        store.write(named(1, "un")).unwrap();
        store
            .read(|view| {
                assert_eq!(view.get(&NAMES, &1)?.as_deref(), Some("un"));
                let changes = changes::since(view, 0, 10)?;
                assert_eq!(changes.len(), 1);
                assert_eq!(changes[0].1.table, "test.names");
                assert!(chain::verify(view)?.whole());
                Ok(())
            })
            .unwrap();
        assert_eq!(store.seq(), 1);
    }

    #[test]
    fn a_failing_write_leaves_nothing_and_spoils_nobody() {
        let (store, _) = store();
        let failing = store.clone();
        let thread = std::thread::Builder::new()
            .spawn(move || {
                failing.write(|tx| {
                    tx.put(&NAMES, &7, &"lost".to_owned())?;
                    Err::<(), _>(Fault::conflict("no", "no"))
                })
            })
            .unwrap();
        store.write(named(1, "un")).unwrap();
        assert_eq!(thread.join().unwrap().unwrap_err().code, "no");
        assert_eq!(store.write::<()>(|_| panic!("oh")).unwrap_err().kind, Kind::Broken);
        store.write(named(2, "deux")).unwrap();
        let kept = store.read(|view| view.list(&NAMES, &all(), 10)).unwrap();
        assert_eq!(kept, [(1, "un".to_owned()), (2, "deux".to_owned())]);
    }

    #[test]
    fn a_deed_without_a_journal_link_is_refused() {
        let (store, _) = store();
        let fault = store.write(|tx| tx.put(&NAMES, &1, &"un".to_owned())).unwrap_err();
        assert_eq!(fault.kind, Kind::Broken);
        assert_eq!(store.seq(), 0);
    }

    #[test]
    fn a_write_reads_its_own_changes_in_order() {
        let (store, _) = store();
        let front = "a".to_owned();
        store.write(|tx| tx.put(&NOTES, &("a".to_owned(), 2), &"two".to_owned())).unwrap();
        store
            .write(move |tx| {
                tx.put(&NOTES, &(front.clone(), 1), &"one".to_owned())?;
                tx.put(&NOTES, &("b".to_owned(), 1), &"other".to_owned())?;
                tx.remove(&NOTES, &(front.clone(), 2))?;
                tx.put(&NOTES, &(front.clone(), 3), &"three".to_owned())?;
                let seen: Vec<_> =
                    tx.list(&NOTES, &under(&front), 9)?.into_iter().map(|((_, n), _)| n).collect();
                assert_eq!(seen, [1, 3]);
                assert_eq!(tx.last(&NOTES, &under(&front))?.map(|((_, n), _)| n), Some(3));
                assert_eq!(tx.remove_span(&NOTES, &under(&front))?, 2);
                assert!(tx.list(&NOTES, &under(&front), 9)?.is_empty());
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn a_part_of_a_write_stands_or_falls_by_itself() {
        let (store, _) = store();
        store
            .write(|tx| {
                tx.put(&NAMES, &1, &"un".to_owned())?;
                tx.journal(&Caller::task("test"), Deed::new("name.add", 1))?;
                let fails = |tx: &mut Tx<'_>| {
                    tx.put(&NAMES, &2, &"perdu".to_owned())?;
                    tx.remove(&NAMES, &1)?;
                    tx.journal(&Caller::task("test"), Deed::new("name.add", 2))?;
                    Err::<(), _>(Fault::conflict("no", "no"))
                };
                assert_eq!(tx.attempt(fails).unwrap_err().code, "no");
                assert_eq!(tx.attempt::<()>(|_| panic!("oh")).unwrap_err().kind, Kind::Broken);
                let silent = |tx: &mut Tx<'_>| tx.put(&NAMES, &3, &"muet".to_owned());
                assert_eq!(tx.attempt(silent).unwrap_err().kind, Kind::Broken);
                tx.attempt(|tx| {
                    assert_eq!(tx.list(&NAMES, &all(), 9)?, [(1, "un".to_owned())]);
                    named(4, "quatre")(tx)
                })?;
                assert_eq!(tx.list(&NAMES, &all(), 9)?.len(), 2);
                Ok(())
            })
            .unwrap();
        let kept = store.read(|view| view.list(&NAMES, &all(), 9)).unwrap();
        assert_eq!(kept, [(1, "un".to_owned()), (4, "quatre".to_owned())]);
        assert_eq!((store.seq(), store.journal_head().number), (2, 2));
        assert!(store.read(chain::verify).unwrap().whole());
    }

    #[test]
    fn the_same_retry_key_acts_once() {
        let (store, _) = store();
        let mut caller = Caller::task("test");
        caller.retry_key = Some("k".into());
        let act = |name: &'static str| {
            store.write_once(&caller, name, move |tx| {
                let seq = tx.get(&meta::NUMBERS, &"runs".to_owned())?.unwrap_or(0) + 1;
                tx.put(&meta::NUMBERS, &"runs".to_owned(), &seq)?;
                Ok(seq)
            })
        };
        assert_eq!(act("add").unwrap(), 1);
        assert_eq!(act("add").unwrap(), 1);
        assert_eq!(act("other").unwrap_err().code, "retry_key_reused");
    }

    #[test]
    fn a_clock_that_goes_back_opens_a_doubt_until_a_person_ends_it() {
        let (store, clock) = store();
        store.write(named(1, "un")).unwrap();
        clock.set_wall(Moment(900_000_000_000));
        store.write(named(2, "deux")).unwrap();
        let doubtful = |store: &Store| {
            let last = store.journal_head().number;
            store.read(|view| journal::links(view, last, 1)).unwrap()[0].doubtful
        };
        assert!(doubtful(&store));
        store
            .write(|tx| {
                tx.settle_clock();
                tx.journal(&Caller::task("test"), Deed::new("clock.settle", ""))
            })
            .unwrap();
        store.write(named(3, "trois")).unwrap();
        assert!(!doubtful(&store));
    }

    #[test]
    fn a_link_keeps_where_it_came_from_and_its_row_is_what_it_encodes_to() {
        let (store, _) = store();
        let mut caller = Caller::task("test");
        caller.agent = Some("curl/8".into());
        caller.session = Some(Id([7; 16]));
        store.write(move |tx| tx.journal(&caller, Deed::new("name.add", 1))).unwrap();
        store
            .read(|view| {
                let link = journal::links(view, 1, 1)?.remove(0);
                assert_eq!(
                    (link.agent.as_deref(), link.session),
                    (Some("curl/8"), Some(Id([7; 16])))
                );
                assert_eq!(link.digest()?, link.hash);
                let row = view.raw_get(journal::JOURNAL.name, &key::Key::bytes(&1u64))?.unwrap();
                assert_eq!(link.encode()?, row);
                let glance = journal::Glance::at(&row)?;
                assert_eq!((glance.deed, glance.session), ("name.add", link.session));
                Ok(())
            })
            .unwrap();
    }
}
