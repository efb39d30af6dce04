//! Attention: what each token takes from those before it, page by page, so that memory stays flat
//! however long the text is.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::cache::{Cache, PAGE};
use super::shape::HEAD_SIZE_MAX;
use super::steps::{LANES, capped, exp, fma, for_this_processor};

/// What is the same for all heads of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) cache: &'a Cache,
    pub(super) layer: usize,
    pub(super) head_size: usize,
    pub(super) scale: f32,
    pub(super) cap: Option<f32>,
    /// How many tokens a token sees, itself included, where that is limited.
    pub(super) window: Option<usize>,
}

/// One query and what becomes of it.
pub(super) struct Query<'a> {
    /// The query, and in the end what it has taken.
    pub(super) head: &'a mut [f32],
    /// Where in the text it stands.
    pub(super) position: usize,
}

/// What a query has seen so far.
pub(super) struct Seen {
    top: f32,
    sum: f32,
    taken: [f32; HEAD_SIZE_MAX],
}

impl Look<'_> {
    /// Answers queries that ask the same head, reading each page once for all of them.
    pub(super) fn answer(&self, head: usize, queries: &mut [Query<'_>]) {
        let size = self.head_size;
        let first = queries.iter().map(|query| self.first(query.position)).min().unwrap_or(0);
        let last = queries.iter().map(|query| query.position).max().unwrap_or(0);
        let blank = || Seen { top: f32::NEG_INFINITY, sum: 0.0, taken: [0.0; HEAD_SIZE_MAX] };
        let mut seen: Vec<Seen> = queries.iter().map(|_| blank()).collect();
        for query in queries.iter_mut() {
            for number in query.head.iter_mut() {
                *number *= self.scale;
            }
        }
        let mut keys = vec![0.0; size * PAGE];
        let mut values = vec![0.0; size * PAGE];
        for page in first / PAGE..=last / PAGE {
            let (stored_keys, stored_values): (&[f16], &[f16]) =
                self.cache.page(self.layer, head, page);
            if stored_keys.len() != keys.len() {
                return;
            }
            stored_keys.convert_to_f32_slice(&mut keys);
            stored_values.convert_to_f32_slice(&mut values);
            let start = page * PAGE;
            for (query, seen) in queries.iter().zip(&mut seen) {
                let from = self.first(query.position).saturating_sub(start).min(PAGE);
                let to = (query.position + 1).saturating_sub(start).min(PAGE);
                if from >= to {
                    continue;
                }
                let mut scores = [0.0; PAGE];
                meet(query.head, &keys, &mut scores);
                if let Some(cap) = self.cap {
                    capped(&mut scores, cap);
                }
                // What is not to be seen weighs nothing.
                for score in scores.iter_mut().take(from) {
                    *score = f32::NEG_INFINITY;
                }
                for score in scores.iter_mut().skip(to) {
                    *score = f32::NEG_INFINITY;
                }
                take(&mut scores, &values, to, size, seen);
            }
        }
        for (query, seen) in queries.iter_mut().zip(&seen) {
            let inverse = 1.0 / seen.sum;
            for (out, number) in query.head.iter_mut().zip(&seen.taken) {
                *out = *number * inverse;
            }
        }
    }

    /// The first token that one at `position` sees.
    fn first(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

for_this_processor! {
    /// The products of one query with every key of a page.
    fn meet(query: &[f32], keys: &[f32], scores: &mut [f32; PAGE]) = plain_meet
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_meet<const FUSED: bool>(query: &[f32], keys: &[f32], scores: &mut [f32; PAGE]) {
    let mut sums = [0.0; PAGE];
    for (q, key) in query.iter().zip(keys.as_chunks::<PAGE>().0) {
        for (sum, k) in sums.iter_mut().zip(key) {
            *sum = fma::<FUSED>(*q, *k, *sum);
        }
    }
    *scores = sums;
}

/// Numbers of a value that stay in registers while a page is gone through.
const BLOCK: usize = 4 * LANES;

for_this_processor! {
    /// Adds the first `count` values of a page to what was seen, each as much as its score says.
    fn take(scores: &mut [f32; PAGE], values: &[f32], count: usize, size: usize, seen: &mut Seen) = plain_take
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_take<const FUSED: bool>(
    scores: &mut [f32; PAGE],
    values: &[f32],
    count: usize,
    size: usize,
    seen: &mut Seen,
) {
    let top = scores.iter().fold(seen.top, |a, b| if *b > a { *b } else { a });
    let fade = if seen.top == f32::NEG_INFINITY { 0.0 } else { exp::<FUSED>(seen.top - top) };
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = if *score == f32::NEG_INFINITY { 0.0 } else { exp::<FUSED>(*score - top) };
        sum += *score;
    }
    seen.top = top;
    seen.sum = fma::<FUSED>(seen.sum, fade, sum);
    let taken = seen.taken.get_mut(..size).unwrap_or_default();
    for (at, taken) in taken.chunks_mut(BLOCK).enumerate() {
        let rows = values.chunks_exact(size).zip(scores.iter()).take(count);
        if let Ok(taken) = <&mut [f32; BLOCK]>::try_from(&mut *taken) {
            let mut sums = *taken;
            for sum in &mut sums {
                *sum *= fade;
            }
            for (row, score) in rows {
                if let Some(Some(row)) = row.get(at * BLOCK..).map(<[f32]>::first_chunk::<BLOCK>) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum = fma::<FUSED>(*score, *value, *sum);
                    }
                }
            }
            *taken = sums;
        } else {
            for sum in taken.iter_mut() {
                *sum *= fade;
            }
            for (row, score) in rows {
                for (sum, value) in taken.iter_mut().zip(row.iter().skip(at * BLOCK)) {
                    *sum = fma::<FUSED>(*score, *value, *sum);
                }
            }
        }
    }
}
