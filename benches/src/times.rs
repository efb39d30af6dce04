//! Many durations in one line.

use std::time::Duration;

/// The duration that this part of a thousand stays below; `times` is sorted.
pub fn at(times: &[Duration], part: usize) -> Duration {
    times.get(times.len() * part / 1000).copied().unwrap_or_default()
}

/// Sorts the durations and prints their middle and their tails.
pub fn show(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let [p50, p95, p99] = [500, 950, 990].map(|part| at(times, part));
    println!("{name}: p50 {p50:.2?}, p95 {p95:.2?}, p99 {p99:.2?}, {} times", times.len());
}
