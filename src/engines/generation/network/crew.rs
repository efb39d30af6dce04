//! Work shared out to a pool of threads of the network's own.
//!
//! Whoever asks works too and takes what no thread has begun, so that a machine whose cores are busy
//! with other things slows a text down by their share and no more: a pool that waits at barriers
//! until its last thread has had its turn all but stops there.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Fewer rows than this are worked on by one thread.
const ALONE: usize = 8;
/// Pieces of work for each thread, so that one that is held up leaves the others something to take.
const PIECES: usize = 8;
/// What says how many threads there are; without it there are as many as cores.
const THREADS: &str = "CANDLE_NUM_THREADS";

/// The pool; none where there is but one thread, or no second one is to be had.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let build = || {
        let said = std::env::var(THREADS).ok().and_then(|said| said.parse().ok());
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = said.filter(|threads| *threads > 0).unwrap_or_else(cores);
        let named = |at| format!("network-{at}");
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(named);
        (threads > 1).then(|| pool.build().ok()).flatten()
    };
    POOL.get_or_init(build).as_ref()
}

/// Lets what follows share its work out: inside, those who ask are threads of the pool themselves.
pub(super) fn within<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match pool() {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// How many threads work.
fn threads() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// Does each job once, side by side where there are threads for it.
pub(super) fn each<J: Send>(jobs: Vec<J>, work: impl Fn(J) + Send + Sync) {
    if jobs.len() < 2 || threads() < 2 {
        jobs.into_iter().for_each(work);
    } else {
        jobs.into_par_iter().for_each(work);
    }
}

/// Works on `rows` of `size` numbers in groups of whole rows; `work` is told a group's first row.
pub(super) fn rows(all: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let size = size.max(1);
    let count = all.len() / size;
    // A few rows are done sooner than a second thread wakes.
    let group = if count < ALONE { count.max(1) } else { count.div_ceil(threads() * 2) };
    let jobs = all.chunks_mut(group * size).enumerate();
    each(jobs.map(|(at, rows)| (at * group, rows)).collect(), |(first, rows)| work(first, rows));
}

/// Does a number of like pieces of work in ranges, side by side unless there is so little to do that
/// one thread does it sooner.
pub(super) fn range(count: usize, alone: bool, work: impl Fn(Range<usize>) + Sync) {
    let threads = threads();
    if alone || threads < 2 {
        work(0..count);
        return;
    }
    let size = count.div_ceil(threads * PIECES).max(1);
    let pieces = count.div_ceil(size);
    (0..pieces).into_par_iter().with_max_len(1).for_each(|piece| {
        work(piece * size..count.min((piece + 1) * size));
    });
}
