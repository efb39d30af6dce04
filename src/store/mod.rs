//! redb and nothing but redb: typed tables, one writer with group commit, journal, change log, snapshot.
//!
//! The surface is ordered tables, transactions and snapshots, so that another ordered transactional
//! store could stand in its place.

mod backend;
pub mod changes;
pub mod clock_watch;
mod file;
pub mod journal;
pub mod key;
pub mod meta;
pub mod migrate;
pub mod snapshot;
pub mod table;
pub mod tx;
pub mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase};

pub use backend::Traffic;
pub use journal::Deed;
pub use table::{Blob, Record, Table};
pub use tx::Tx;
pub use view::{Reader, View, all, from, under};

use crate::base::caller::{Caller, Who};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::fault::{Fault, Kind};
use crate::base::health::Health;
use crate::base::id::Id;
use crate::base::tasks::{Handle, Tasks, caught};
use file::{Open, create, open_file, read_meta};
use meta::{CHAIN, HEADS, NUMBERS, ONCE, Once, SEQ};
use migrate::Step;
use tx::Heads;
use writer::{Order, order};

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

/// How long a reading of the free space is good for.
const FREE_SPACE_AGE: Duration = Duration::from_millis(500);

/// How long closing waits for the writer, and then for readers, before it goes on without them.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How often closing looks whether the last reader is gone.
const CLOSE_LOOK: Duration = Duration::from_millis(1);

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

/// The way to the writer.
struct Line {
    inner: Arc<Inner>,
    orders: SyncSender<Order>,
    /// The writer's task, and what says that it has ended; none once closed.
    writer: Mutex<Option<(Handle, Receiver<()>)>>,
}

/// Told the sequence number after each commit.
type Follower = Arc<dyn Fn(u64) + Send + Sync>;

struct Inner {
    path: PathBuf,
    options: StoreOptions,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    health: Health,
    traffic: Arc<Traffic>,
    open: RwLock<Option<Open>>,
    heads: Mutex<Heads>,
    seq: AtomicU64,
    epoch: [u8; 16],
    site: Id,
    closing: AtomicBool,
    writing: OnceLock<ThreadId>,
    free: Mutex<Option<(Instant, u64)>>,
    moved: Mutex<Vec<Follower>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Line {
    fn close(&self) {
        self.inner.closing.store(true, Ordering::Release);
        let Some((handle, ended)) = lock(&self.writer).take() else { return };
        handle.stop();
        if self.inner.on_writer() {
            // A write or a follower holds the last clone: the writer ends by itself after it.
            return;
        }
        let _ = self.orders.send(Order::Stop);
        if ended.recv_timeout(CLOSE_WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the store's writer did not end in time");
        }
        self.inner.give_up();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
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

impl Inner {
    fn database(&self) -> Result<Arc<Database>, Fault> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|o| o.db.clone()).ok_or_else(|| self.absent())
    }

    /// Why there is no database at this moment.
    fn absent(&self) -> Fault {
        if self.closing() {
            return Fault::unavailable("store_closed", "The store is closed.");
        }
        Fault::unavailable("store_reopening", "The store is being reopened; try again.")
            .retry_after(Duration::from_secs(1))
    }

    /// Whether this is the writer's own thread, which must not wait for itself.
    fn on_writer(&self) -> bool {
        self.writing.get() == Some(&std::thread::current().id())
    }

    fn heads(&self) -> Heads {
        *lock(&self.heads)
    }

    fn moved(&self, heads: Heads) {
        *lock(&self.heads) = heads;
        self.seq.store(heads.seq, Ordering::Release);
        let followers = lock(&self.moved).clone();
        for follower in followers {
            // What is committed stays committed, whatever a follower does.
            if let Err(fault) = caught(|| {
                follower(heads.seq);
                Ok(())
            }) {
                tracing::error!("a follower of the store failed: {fault}");
            }
        }
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Gives the latched handle up and opens a new one on the same file.
    fn reopen(&self) -> Result<(), Fault> {
        let old = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(old) = old {
            // First: a dropped handle still writes, and would write over its successor.
            old.fence.close();
        }
        *lock(&self.free) = None;
        let missing = || Fault::unavailable("store_damaged", "The store's file is gone.");
        if !self.disk.exists(&self.path) {
            return Err(missing());
        }
        let open = open_file(&self.path, self.disk.as_ref(), self.options, &self.traffic)?;
        let (genesis, heads) = read_meta(&open.db)?;
        if genesis.epoch != self.epoch {
            return Err(missing());
        }
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
        self.moved(heads);
        Ok(())
    }

    /// Lets go of the file for good; a reader that lingers is cut off rather than left to write when
    /// it drops the last handle.
    fn give_up(&self) {
        let Some(old) = self.open.write().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let deadline = Instant::now() + CLOSE_WAIT;
        while Arc::strong_count(&old.db) > 1 {
            if Instant::now() >= deadline {
                tracing::warn!("a reader outlived the store");
                old.fence.close();
                break;
            }
            std::thread::sleep(CLOSE_LOOK);
        }
        // Dropping writes the last words of a clean end; redb may panic on a broken disk.
        let _ = caught(|| {
            drop(old);
            Ok(())
        });
    }

    fn free_bytes(&self) -> Result<u64, Fault> {
        let mut free = lock(&self.free);
        if let Some((at, bytes)) = *free
            && at.elapsed() < FREE_SPACE_AGE
        {
            return Ok(bytes);
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let bytes =
            self.disk.free_bytes(folder).map_err(|e| Fault::broken("asking for free space", e))?;
        *free = Some((Instant::now(), bytes));
        Ok(bytes)
    }

    /// Refuses a write that would eat the reserve.
    fn room(&self) -> Result<(), Fault> {
        if self.free_bytes()? >= self.options.reserve_mib.saturating_mul(1 << 20) {
            return Ok(());
        }
        Err(Fault::new(
            Kind::Full,
            "disk_full",
            "The disk is nearly full; delete something first. Reading goes on.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{HeldClock, Moment};
    use crate::base::disk::MemoryDisk;

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
                assert_eq!(journal::verify(view, store.journal_head())?, Ok(1));
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
    fn every_way_of_tampering_with_the_journal_shows() {
        let (store, _) = store();
        for n in 1..=4 {
            store.write(named(n, "x")).unwrap();
        }
        let head = store.journal_head();
        let check = |store: &Store| store.read(|view| journal::verify(view, head)).unwrap();
        assert_eq!(check(&store), Ok(4));
        let link = |n: u64| store.read(|view| view.get(&journal::JOURNAL, &n)).unwrap().unwrap();
        let (second, third) = (link(2), link(3));
        let put = |n: u64, link: Option<journal::Link>| {
            store
                .write(move |tx| match link {
                    Some(link) => tx.put(&journal::JOURNAL, &n, &link),
                    None => tx.remove(&journal::JOURNAL, &n),
                })
                .unwrap();
        };
        put(2, Some(journal::Link { who: "somebody else".into(), ..second.clone() }));
        assert_eq!(check(&store).unwrap_err().wrong, "altered");
        put(2, None);
        assert_eq!(check(&store).unwrap_err().wrong, "missing");
        put(2, Some(third));
        assert_eq!(check(&store).unwrap_err().wrong, "reordered");
        put(2, Some(second));
        assert_eq!(check(&store), Ok(4));
        put(4, None);
        assert_eq!(check(&store).unwrap_err().wrong, "tail_cut");
    }
}
