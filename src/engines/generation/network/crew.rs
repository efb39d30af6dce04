//! Work shared out to candle's pool of threads, which every product of matrices runs on too: a second
//! pool would only fight it for the cores.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use candle_core::utils::barrier_pool;

/// Does each job once, side by side where there are threads for it.
pub(super) fn each<J: Send>(jobs: Vec<J>, work: impl Fn(J) + Sync) {
    if jobs.len() < 2 {
        jobs.into_iter().for_each(work);
        return;
    }
    let jobs: Vec<Mutex<Option<J>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    barrier_pool().execute_chunked(jobs.len(), |range| {
        for job in jobs.get(range).unwrap_or_default() {
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(job) = job {
                work(job);
            }
        }
    });
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

/// Fewer rows than this are worked on by one thread.
const ALONE: usize = 8;

/// How many threads work.
pub(super) fn threads() -> usize {
    barrier_pool().n_workers() + 1
}

/// Does a number of like pieces of work in ranges, side by side unless there is so little to do that
/// one thread does it sooner.
pub(super) fn range(count: usize, alone: bool, work: impl Fn(Range<usize>) + Sync) {
    if alone {
        work(0..count);
    } else {
        barrier_pool().execute_chunked(count, work);
    }
}
