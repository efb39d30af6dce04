//! The single writer: everything that is waiting is committed in one durable transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use redb::{Database, Durability, WriteTransaction};

use super::clock_watch::ClockWatch;
use super::meta::{self, CHAIN, CLOCK, SEQ};
use super::tx::{Batch, Heads, Tx};
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
    let _ = inner.writing.set(std::thread::current().id());
    let mut writer = Writer { inner, orders, watch: None, gathered: 1, stopping: false };
    while !writer.stopping {
        let Ok(first) = orders.recv() else { return };
        let batch = writer.gather(first);
        // A caller's value may panic even while it is dropped; the writer outlives that.
        if let Err(fault) = caught(|| {
            writer.commit(batch);
            Ok(())
        }) {
            tracing::error!("a batch was given up: {fault}");
            writer.reopen();
        }
    }
}

struct Writer<'i> {
    inner: &'i Arc<Inner>,
    orders: &'i Receiver<Order>,
    watch: Option<ClockWatch>,
    /// How many writes the last batch had.
    gathered: usize,
    stopping: bool,
}

type Work = Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send>;

/// What a batch came to before its commit.
struct Outcome {
    heads: Heads,
    bytes: usize,
    /// Whether there is anything to commit.
    changed: bool,
}

impl Writer<'_> {
    /// Collects what is waiting.
    fn gather(&mut self, first: Order) -> Vec<Work> {
        let options = &self.inner.options;
        let mut batch = Vec::new();
        let wanted = self.gathered.min(options.batch_max);
        let deadline = Instant::now() + GATHER;
        let mut next = Some(first);
        loop {
            match next.take() {
                Some(Order::Write(work)) => batch.push(work),
                Some(Order::Stop) => self.stopping = true,
                None => break,
            }
            if self.stopping || batch.len() >= options.batch_max {
                break;
            }
            next = self.orders.try_recv().ok();
            if next.is_none() && batch.len() < wanted {
                let left = deadline.saturating_duration_since(Instant::now());
                next = self.orders.recv_timeout(left).ok();
            }
        }
        self.gathered = batch.len().max(1);
        batch
    }

    /// Commits a batch in as few transactions as its bytes allow.
    fn commit(&mut self, batch: Vec<Work>) {
        let mut works = batch.into_iter().peekable();
        while works.peek().is_some() {
            let mut finishes = Vec::new();
            let outcome = self
                .inner
                .database()
                .and_then(|db| caught(|| self.transact(&db, &mut works, &mut finishes)));
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
                for work in works.by_ref() {
                    drop(work);
                }
                self.reopen();
            }
        }
    }

    fn transact(
        &mut self,
        db: &Database,
        works: &mut impl Iterator<Item = Work>,
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
        let outcome = self.run_batch(&writing, works, finishes)?;
        if !outcome.changed {
            // Nothing but refusals and answers from what is durable already: nothing to wait for.
            return writing.abort().map_err(|e| super::view::broken("giving a write back", e));
        }
        writing.commit().map_err(|e| super::view::broken("committing", e))?;
        inner.moved(outcome.heads);
        Ok(())
    }

    /// Runs the works of one batch into `writing`, and the counters after them.
    fn run_batch(
        &mut self,
        writing: &WriteTransaction,
        works: &mut impl Iterator<Item = Work>,
        finishes: &mut Vec<Finish>,
    ) -> Result<Outcome, Fault> {
        let inner = self.inner;
        let clock = inner.clock.as_ref();
        let shared = Batch::new(writing);
        let mut watch = match self.watch.take() {
            Some(watch) => watch,
            None => ClockWatch::load(&shared, clock)?,
        };
        let when = watch.look(clock, &inner.health);
        let mut outcome = Outcome { heads: inner.heads(), bytes: 0, changed: false };
        while outcome.bytes < BATCH_BYTES_MAX
            && let Some(work) = works.next()
        {
            let mut tx = Tx::new(&shared, outcome.heads, when, inner.site);
            let (stands, finish) = work(&mut tx);
            // Every caller waits for the commit, one that was refused too: what it was told may rest
            // on a neighbour's write, and a failure from here on must reach it.
            if !stands {
                finishes.push(finish);
                continue;
            }
            match tx.finish() {
                Ok(done) => {
                    finishes.push(finish);
                    outcome.changed |= done.settles_clock || !done.changes.is_empty();
                    outcome.heads = done.heads;
                    outcome.bytes += done.bytes;
                    shared.take(done.changes)?;
                    if done.settles_clock {
                        watch.settle(clock, &inner.health);
                    }
                }
                Err(fault) => finish(Some(fault)),
            }
        }
        if outcome.changed {
            let mut tx = Tx::new(&shared, outcome.heads, when, inner.site);
            tx.put(&meta::NUMBERS, &SEQ.to_owned(), &outcome.heads.seq)?;
            tx.put(&meta::HEADS, &CHAIN.to_owned(), &outcome.heads.journal)?;
            tx.put(&meta::CLOCKS, &CLOCK.to_owned(), &watch.kept())?;
            shared.take(tx.finish()?.changes)?;
        }
        self.watch = Some(watch);
        Ok(outcome)
    }

    /// Opens the store anew, for as long as it takes; who asks meanwhile is told to come again.
    fn reopen(&mut self) {
        self.watch = None;
        while let Err(fault) = caught(|| self.inner.reopen()) {
            tracing::error!("the store does not open: {fault}");
            let until = Instant::now() + REOPEN_PAUSE;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                match self.orders.recv_timeout(left) {
                    // Dropping the work tells its caller.
                    Ok(Order::Write(work)) => drop(work),
                    Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => self.stopping = true,
                    Err(RecvTimeoutError::Timeout) => break,
                }
                if self.stopping {
                    return;
                }
            }
        }
        tracing::warn!("the store is open again");
        self.inner.health.well("store", "Open again after a failed write.");
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
