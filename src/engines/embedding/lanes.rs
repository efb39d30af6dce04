//! The threads that run the network: a few for searches, one of low priority for batches.
//!
//! The matrix kernels split their work over the rayon pool they run in. In a pool of one thread
//! they cannot wait for one another, so a busy box is never slower for having two cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::base::fault::Fault;

/// More searches than this at once wait for one another; each lane keeps scratch memory.
const QUERY_LANES_MAX: usize = 4;
/// The batch thread yields to everything else, as `nice` counts it.
const BATCH_NICENESS: i32 = 10;

/// Pools of one thread each.
pub(super) struct Lanes {
    queries: Vec<ThreadPool>,
    next: AtomicUsize,
    batch: ThreadPool,
}

impl Lanes {
    /// Starts the threads.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub(super) fn start() -> Result<Self, Fault> {
        let lanes = available_parallelism().map_or(1, usize::from).min(QUERY_LANES_MAX);
        Ok(Self {
            queries: (0..lanes)
                .map(|n| lane(format!("ilot-encode-{n}"), || {}))
                .collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            batch: lane("ilot-encode-batch".into(), yield_to_others)?,
        })
    }

    /// Runs `work` as a search's, on the next lane.
    pub(super) fn query<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.queries.len().max(1);
        self.queries.get(at).unwrap_or(&self.batch).install(work)
    }

    /// Runs `work` on the lane that yields to everything else.
    pub(super) fn batch<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        self.batch.install(work)
    }
}

fn lane(name: String, begin: impl Fn() + Send + Sync + 'static) -> Result<ThreadPool, Fault> {
    ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(move |_| name.clone())
        .start_handler(move |_| begin())
        .build()
        .map_err(|e| Fault::broken("starting the encoder's threads", e))
}

/// On Linux the priority of "process zero" is that of the calling thread alone.
fn yield_to_others() {
    if let Err(e) = rustix::process::setpriority_process(None, BATCH_NICENESS) {
        tracing::debug!("the encoder's batch thread keeps its priority: {e}");
    }
}
