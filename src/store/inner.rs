//! What every clone of a store shares: the open file, the counters, and the way to the writer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use redb::Database;

use super::StoreOptions;
use super::backend::Traffic;
use super::file::{Open, open_file, read_meta};
use super::tx::Heads;
use super::writer::Order;
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::fault::{Fault, Kind};
use crate::base::health::Health;
use crate::base::id::Id;
use crate::base::tasks::{Handle, caught};

/// How long a reading of the free space is good for.
const FREE_SPACE_AGE: Duration = Duration::from_millis(500);

/// How long closing waits for the writer, and then for readers, before it goes on without them.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How often closing looks whether the last reader is gone.
const CLOSE_LOOK: Duration = Duration::from_millis(1);

/// Told the sequence number after each commit.
pub(super) type Follower = Arc<dyn Fn(u64) + Send + Sync>;

/// What the clones of a store, its writer and its snapshots share.
pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) options: StoreOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) health: Health,
    pub(super) traffic: Arc<Traffic>,
    pub(super) open: RwLock<Option<Open>>,
    pub(super) heads: Mutex<Heads>,
    pub(super) seq: AtomicU64,
    pub(super) epoch: [u8; 16],
    pub(super) site: Id,
    pub(super) closing: AtomicBool,
    pub(super) writing: OnceLock<ThreadId>,
    pub(super) free: Mutex<Option<(Instant, u64)>>,
    pub(super) moved: Mutex<Vec<Follower>>,
}

/// The way to the writer.
pub(super) struct Line {
    pub(super) inner: Arc<Inner>,
    pub(super) orders: SyncSender<Order>,
    /// The writer's task, and what says that it has ended; none once closed.
    pub(super) writer: Mutex<Option<(Handle, Receiver<()>)>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(super) fn database(&self) -> Result<Arc<Database>, Fault> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|o| o.db.clone()).ok_or_else(|| self.absent())
    }

    /// Why there is no database at this moment.
    pub(super) fn absent(&self) -> Fault {
        if self.closing() {
            return Fault::unavailable("store_closed", "The store is closed.");
        }
        Fault::unavailable("store_reopening", "The store is being reopened; try again.")
            .retry_after(Duration::from_secs(1))
    }

    /// Whether this is the writer's own thread, which must not wait for itself.
    pub(super) fn on_writer(&self) -> bool {
        self.writing.get() == Some(&std::thread::current().id())
    }

    pub(super) fn heads(&self) -> Heads {
        *lock(&self.heads)
    }

    pub(super) fn moved(&self, heads: Heads) {
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

    pub(super) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Gives the latched handle up and opens a new one on the same file.
    pub(super) fn reopen(&self) -> Result<(), Fault> {
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
    pub(super) fn give_up(&self) {
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

    pub(super) fn free_bytes(&self) -> Result<u64, Fault> {
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
    pub(super) fn room(&self) -> Result<(), Fault> {
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

impl Line {
    pub(super) fn close(&self) {
        self.inner.closing.store(true, Ordering::Release);
        let Some((handle, ended)) = lock(&self.writer).take() else { return };
        handle.stop();
        if self.inner.on_writer() {
            // A write or a follower holds the last clone: the writer ends by itself after it.
            return;
        }
        let deadline = Instant::now() + CLOSE_WAIT;
        // Not sent blindly: a full queue before a disk that hangs would hold the closing up too.
        while let Err(TrySendError::Full(_)) = self.orders.try_send(Order::Stop) {
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(CLOSE_LOOK);
        }
        if ended.recv_timeout(CLOSE_WAIT) == Err(RecvTimeoutError::Timeout) {
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
