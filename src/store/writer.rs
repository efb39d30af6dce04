//! The single writer: everything that is waiting is committed in one durable transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use redb::{Database, Durability};

use super::clock_watch::ClockWatch;
use super::meta::{self, CHAIN, CLOCK, SEQ};
use super::tx::{Batch, Tx};
use super::{Inner, StoreOptions};
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// Writes that may wait before callers are held back.
const QUEUE_MAX: usize = 4_096;
/// Bytes of changes after which a batch is closed, so that memory stays bounded.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long the writer waits for as many companions as the last batch had.
const GATHER: Duration = Duration::from_micros(300);
/// The pause before a failed reopening is tried again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Tells a caller how it ended: none when its write is durable.
type Finish = Box<dyn FnOnce(Option<Fault>) + Send>;
/// A write that was run: whether its changes stand, and how to tell its caller.
type Ran = (bool, Finish);

pub(super) enum Order {
    Write(Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send>),
    Stop,
}

pub(super) fn channel() -> (SyncSender<Order>, Receiver<Order>) {
    sync_channel(QUEUE_MAX)
}

/// Wraps a closure so that its answer goes out only after the commit.
pub(super) fn order<T: Send + 'static>(
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    answer: SyncSender<Result<T, Fault>>,
) -> Order {
    Order::Write(Box::new(move |tx| {
        let outcome = caught(|| work(tx));
        let stands = outcome.is_ok();
        let finish: Finish = Box::new(move |failed| {
            let _ = answer.send(failed.map_or(outcome, Err));
        });
        (stands, finish)
    }))
}

/// The writer's thread: runs until told to stop or until every sender is gone.
pub(super) fn run(inner: &Arc<Inner>, orders: &Receiver<Order>) {
    let mut writer = Writer { inner, watch: None, gathered: 1 };
    while let Ok(first) = orders.recv() {
        let mut batch = Vec::new();
        let go_on = writer.gather(first, orders, &mut batch);
        writer.commit(batch);
        if !go_on {
            return;
        }
    }
}

struct Writer<'i> {
    inner: &'i Arc<Inner>,
    watch: Option<ClockWatch>,
    /// How many writes the last batch had.
    gathered: usize,
}

type Work = Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send>;

impl Writer<'_> {
    /// Collects what is waiting; false when told to stop.
    fn gather(&mut self, first: Order, orders: &Receiver<Order>, batch: &mut Vec<Work>) -> bool {
        let options = &self.inner.options;
        let wanted = self.gathered.min(options.batch_max);
        let deadline = Instant::now() + GATHER;
        let mut next = Some(first);
        let mut go_on = true;
        loop {
            match next.take() {
                Some(Order::Write(work)) => batch.push(work),
                Some(Order::Stop) => go_on = false,
                None => break,
            }
            if !go_on || batch.len() >= options.batch_max {
                break;
            }
            next = orders.try_recv().ok();
            if next.is_none() && batch.len() < wanted {
                let left = deadline.saturating_duration_since(Instant::now());
                next = match orders.recv_timeout(left) {
                    Ok(order) => Some(order),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
                };
            }
        }
        self.gathered = batch.len().max(1);
        go_on
    }

    /// Commits a batch in as few transactions as its bytes allow.
    fn commit(&mut self, batch: Vec<Work>) {
        let mut waiting = batch.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut finishes = Vec::new();
            let outcome = self
                .inner
                .database()
                .and_then(|db| caught(|| self.transact(&db, &mut waiting, &mut finishes)));
            let failed = outcome.is_err();
            if let Err(fault) = outcome {
                tracing::error!("a commit failed, the store is reopened: {fault}");
                self.inner.health.report(
                    "store",
                    crate::base::health::Level::Failed,
                    format!("A write failed: {fault}"),
                    "The store reopens itself; check the disk's free space and health.",
                );
            }
            for finish in finishes {
                finish(failed.then(lost));
            }
            if failed {
                // What was not run yet is told to come again rather than run on a doubtful handle.
                for work in waiting.by_ref() {
                    drop(work);
                }
                self.reopen();
            }
        }
    }

    fn transact(
        &mut self,
        db: &Database,
        waiting: &mut impl Iterator<Item = Work>,
        finishes: &mut Vec<Finish>,
    ) -> Result<(), Fault> {
        let inner = self.inner;
        let mut writing =
            db.begin_write().map_err(|e| super::view::broken("starting a write", e))?;
        writing
            .set_durability(if inner.options.durable {
                Durability::Immediate
            } else {
                Durability::None
            })
            .map_err(|e| Fault::broken("choosing durability", e))?;
        writing.set_quick_repair(inner.options.durable);
        let heads;
        {
            let shared = Batch::new(&writing);
            let mut watch = match self.watch.take() {
                Some(watch) => watch,
                None => ClockWatch::load(&shared, inner.clock.as_ref())?,
            };
            let when = watch.look(inner.clock.as_ref(), &inner.health);
            let mut now = inner.heads();
            let mut bytes = 0;
            for work in waiting.by_ref() {
                let mut tx = Tx::new(&shared, now, when, inner.site);
                let (stands, finish) = work(&mut tx);
                if !stands {
                    finish(None);
                    continue;
                }
                match tx.finish() {
                    Ok(done) => {
                        // From here on the caller waits for the commit; a failure below must reach it.
                        finishes.push(finish);
                        shared.take(done.changes)?;
                        now = done.heads;
                        bytes += done.bytes;
                        if done.settles_clock {
                            watch.settle(inner.clock.as_ref(), &inner.health);
                        }
                    }
                    Err(fault) => finish(Some(fault)),
                }
                if bytes >= BATCH_BYTES_MAX {
                    break;
                }
            }
            let mut tx = Tx::new(&shared, now, when, inner.site);
            tx.put(&meta::NUMBERS, &SEQ.to_owned(), &now.seq)?;
            tx.put(&meta::HEADS, &CHAIN.to_owned(), &now.journal)?;
            tx.put(&meta::CLOCKS, &CLOCK.to_owned(), &watch.kept())?;
            shared.take(tx.finish()?.changes)?;
            heads = now;
            self.watch = Some(watch);
        }
        writing.commit().map_err(|e| super::view::broken("committing", e))?;
        inner.moved(heads);
        Ok(())
    }

    fn reopen(&mut self) {
        self.watch = None;
        loop {
            match self.inner.reopen() {
                Ok(()) => {
                    tracing::warn!("the store is open again");
                    self.inner.health.well("store", "Open again after a failed write.");
                    return;
                }
                Err(fault) => {
                    tracing::error!("the store does not open: {fault}");
                    if self.inner.closing() {
                        return;
                    }
                    std::thread::sleep(REOPEN_PAUSE);
                }
            }
        }
    }
}

/// What a caller whose write was in a failed batch is told. It may or may not be on disk.
fn lost() -> Fault {
    Fault::unavailable(
        "store_write_failed",
        "The disk refused a write; nothing is known to be kept.",
    )
    .retry_after(Duration::from_secs(1))
}

impl StoreOptions {
    pub(super) fn checked(self) -> Self {
        Self { batch_max: self.batch_max.max(1), ..self }
    }
}
