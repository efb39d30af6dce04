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

/// Queries that look at a page side by side, so that what is fetched of it serves all of them.
const SIDE: usize = 4;

/// Queries side by side: the first number of each, then the second of each, and so on.
fn cross(queries: &[Query<'_>]) -> Vec<[f32; SIDE]> {
    let size = queries.first().map_or(0, |query| query.head.len());
    let mut crossed = vec![[0.0; SIDE]; size];
    for (n, query) in queries.iter().enumerate() {
        for (four, number) in crossed.iter_mut().zip(query.head.iter()) {
            if let Some(slot) = four.get_mut(n) {
                *slot = *number;
            }
        }
    }
    crossed
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
        let crossed: Vec<Vec<[f32; SIDE]>> = queries.chunks(SIDE).map(cross).collect();
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
            let groups = queries.chunks(SIDE).zip(seen.chunks_mut(SIDE)).zip(&crossed);
            for ((queries, seen), crossed) in groups {
                self.look(page * PAGE, queries, crossed, &keys, &values, seen);
            }
        }
        for (query, seen) in queries.iter_mut().zip(&seen) {
            let inverse = 1.0 / seen.sum;
            for (out, number) in query.head.iter_mut().zip(&seen.taken) {
                *out = *number * inverse;
            }
        }
    }

    /// What up to [`SIDE`] queries take from one page.
    fn look(
        &self,
        start: usize,
        queries: &[Query<'_>],
        crossed: &[[f32; SIDE]],
        keys: &[f32],
        values: &[f32],
        seen: &mut [Seen],
    ) {
        let mut scores = [[0.0; PAGE]; SIDE];
        match queries {
            [query] => {
                if let Some(scores) = scores.first_mut() {
                    meet(query.head, keys, scores);
                }
            }
            _ => meet_side(crossed, keys, &mut scores),
        }
        let mut fades = [1.0; SIDE];
        let mut count = 0;
        for ((query, seen), (scores, fade)) in
            queries.iter().zip(seen.iter_mut()).zip(scores.iter_mut().zip(&mut fades))
        {
            let from = self.first(query.position).saturating_sub(start).min(PAGE);
            let to = (query.position + 1).saturating_sub(start).min(PAGE);
            if from >= to {
                *scores = [0.0; PAGE];
                continue;
            }
            count = count.max(to);
            if let Some(cap) = self.cap {
                capped(scores, cap);
            }
            // What is not to be seen weighs nothing.
            for score in scores.iter_mut().take(from) {
                *score = f32::NEG_INFINITY;
            }
            for score in scores.iter_mut().skip(to) {
                *score = f32::NEG_INFINITY;
            }
            soften(scores, seen, fade);
        }
        match (seen, &scores, &fades) {
            ([seen], [scores, ..], [fade, ..]) => {
                take(scores, values, count, self.head_size, *fade, seen);
            }
            (seen, _, _) => take_side(&scores, values, count, self.head_size, &fades, seen),
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

for_this_processor! {
    /// The products of [`SIDE`] queries with every key of a page: each key is fetched once for all.
    fn meet_side(queries: &[[f32; SIDE]], keys: &[f32], scores: &mut [[f32; PAGE]; SIDE]) = plain_meet_side
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_meet_side<const FUSED: bool>(
    queries: &[[f32; SIDE]],
    keys: &[f32],
    scores: &mut [[f32; PAGE]; SIDE],
) {
    let mut sums = [[0.0; PAGE]; SIDE];
    for (four, key) in queries.iter().zip(keys.as_chunks::<PAGE>().0) {
        for (q, sums) in four.iter().zip(&mut sums) {
            for (sum, k) in sums.iter_mut().zip(key) {
                *sum = fma::<FUSED>(*q, *k, *sum);
            }
        }
    }
    *scores = sums;
}

for_this_processor! {
    /// Makes weights of a page's scores, beside what was seen before, which fades by `fade`.
    fn soften(scores: &mut [f32; PAGE], seen: &mut Seen, fade: &mut f32) = plain_soften
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_soften<const FUSED: bool>(scores: &mut [f32; PAGE], seen: &mut Seen, fade: &mut f32) {
    let top = scores.iter().fold(seen.top, |a, b| if *b > a { *b } else { a });
    *fade = if seen.top == f32::NEG_INFINITY { 0.0 } else { exp::<FUSED>(seen.top - top) };
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = if *score == f32::NEG_INFINITY { 0.0 } else { exp::<FUSED>(*score - top) };
        sum += *score;
    }
    seen.top = top;
    seen.sum = fma::<FUSED>(seen.sum, *fade, sum);
}

/// Numbers of a value that stay in registers while a page is gone through.
const BLOCK: usize = 4 * LANES;

for_this_processor! {
    /// Adds the first `count` values of a page to what was seen, each as much as its weight says.
    fn take(weights: &[f32; PAGE], values: &[f32], count: usize, size: usize, fade: f32, seen: &mut Seen) = plain_take
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_take<const FUSED: bool>(
    weights: &[f32; PAGE],
    values: &[f32],
    count: usize,
    size: usize,
    fade: f32,
    seen: &mut Seen,
) {
    let taken = seen.taken.get_mut(..size).unwrap_or_default();
    for (at, taken) in taken.chunks_mut(BLOCK).enumerate() {
        let rows = values.chunks_exact(size).zip(weights).take(count);
        if let Ok(taken) = <&mut [f32; BLOCK]>::try_from(&mut *taken) {
            let mut sums = *taken;
            for sum in &mut sums {
                *sum *= fade;
            }
            for (row, weight) in rows {
                if let Some(Some(row)) = row.get(at * BLOCK..).map(<[f32]>::first_chunk::<BLOCK>) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum = fma::<FUSED>(*weight, *value, *sum);
                    }
                }
            }
            *taken = sums;
        } else {
            add_rest::<FUSED>(taken, at * BLOCK, values, weights, count, size, fade);
        }
    }
}

/// The numbers of a value that fill no block.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn add_rest<const FUSED: bool>(
    taken: &mut [f32],
    from: usize,
    values: &[f32],
    weights: &[f32; PAGE],
    count: usize,
    size: usize,
    fade: f32,
) {
    for sum in taken.iter_mut() {
        *sum *= fade;
    }
    for (row, weight) in values.chunks_exact(size).zip(weights).take(count) {
        for (sum, value) in taken.iter_mut().zip(row.iter().skip(from)) {
            *sum = fma::<FUSED>(*weight, *value, *sum);
        }
    }
}

for_this_processor! {
    /// The same for up to [`SIDE`] queries: each value is fetched once for all.
    fn take_side(weights: &[[f32; PAGE]; SIDE], values: &[f32], count: usize, size: usize, fades: &[f32; SIDE], seen: &mut [Seen]) = plain_take_side
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_take_side<const FUSED: bool>(
    weights: &[[f32; PAGE]; SIDE],
    values: &[f32],
    count: usize,
    size: usize,
    fades: &[f32; SIDE],
    seen: &mut [Seen],
) {
    let mut crossed = [[0.0; SIDE]; PAGE];
    for (n, weights) in weights.iter().enumerate() {
        for (four, weight) in crossed.iter_mut().zip(weights) {
            if let Some(slot) = four.get_mut(n) {
                *slot = *weight;
            }
        }
    }
    for from in (0..size).step_by(BLOCK) {
        if from + BLOCK > size {
            for ((seen, weights), fade) in seen.iter_mut().zip(weights).zip(fades) {
                let taken = seen.taken.get_mut(from..size).unwrap_or_default();
                add_rest::<FUSED>(taken, from, values, weights, count, size, *fade);
            }
            break;
        }
        let mut sums = [[0.0; BLOCK]; SIDE];
        for ((sums, seen), fade) in sums.iter_mut().zip(seen.iter()).zip(fades) {
            for (sum, taken) in sums.iter_mut().zip(seen.taken.iter().skip(from)) {
                *sum = *taken * *fade;
            }
        }
        for (row, four) in values.chunks_exact(size).zip(&crossed).take(count) {
            if let Some(Some(row)) = row.get(from..).map(<[f32]>::first_chunk::<BLOCK>) {
                for (sums, weight) in sums.iter_mut().zip(four) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum = fma::<FUSED>(*weight, *value, *sum);
                    }
                }
            }
        }
        for (sums, seen) in sums.iter().zip(seen.iter_mut()) {
            for (taken, sum) in seen.taken.iter_mut().skip(from).zip(sums) {
                *taken = *sum;
            }
        }
    }
}
