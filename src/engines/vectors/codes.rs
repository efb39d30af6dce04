//! Vectors as one signed byte per number, compared exactly as stored.
//!
//! A unit vector is kept as its direction in whole numbers from -127 to 127 and the inverse of that
//! row's length: a quarter of the memory of floats, and sums of whole numbers, which come out the
//! same on every processor.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::base::fault::Fault;

/// The largest code.
const CODE_MAX: f32 = 127.0;
/// The largest number of a question, which is kept finer than the rows it is compared with.
const QUERY_MAX: f32 = 32_767.0;
/// Rows in a block: memory grows by a block at a time and never moves.
const BLOCK_ROWS: usize = 4096;
/// More numbers than this in a vector are no embedding.
const DIMENSION_MAX: usize = 8192;

/// A row: codes and the inverse of their length.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) codes: Vec<i8>,
    pub(super) inverse: f32,
}

/// A question: finer codes and the inverse of their length.
pub(super) struct Question {
    numbers: Vec<i16>,
    inverse: f32,
    /// As a row, for the graph.
    pub(super) row: Row,
}

fn bad_vector(why: &str) -> Fault {
    Fault::invalid("bad_vector", format!("The vector is not usable: {why}."))
}

/// The greatest magnitude of a usable vector.
fn largest(vector: &[f32], dimension: usize) -> Result<f32, Fault> {
    if vector.len() != dimension {
        return Err(bad_vector("it has another dimension than the index"));
    }
    if vector.iter().any(|v| !v.is_finite()) {
        return Err(bad_vector("it holds something that is not a number"));
    }
    let largest = vector.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
    if largest < f32::MIN_POSITIVE {
        return Err(bad_vector("it has no direction"));
    }
    Ok(largest)
}

/// A vector as a row.
#[expect(clippy::cast_possible_truncation, reason = "the scale keeps every number within a code")]
pub(super) fn row(vector: &[f32], dimension: usize) -> Result<Row, Fault> {
    let largest = largest(vector, dimension)?;
    let codes: Vec<i8> = vector.iter().map(|v| (v / largest * CODE_MAX).round() as i8).collect();
    let square: i64 = codes.iter().map(|c| i64::from(*c) * i64::from(*c)).sum();
    Ok(Row { codes, inverse: 1.0 / (square as f32).sqrt() })
}

/// A vector as a question.
#[expect(clippy::cast_possible_truncation, reason = "the scale keeps every number within i16")]
pub(super) fn question(vector: &[f32], dimension: usize) -> Result<Question, Fault> {
    let row = row(vector, dimension)?;
    let largest = largest(vector, dimension)?;
    // No sum over a row may leave 32 bits, whatever the row holds.
    let room = i32::MAX as f32 / (CODE_MAX * dimension as f32) - 1.0;
    let scale = QUERY_MAX.min(room) / largest;
    let numbers: Vec<i16> = vector.iter().map(|v| (v * scale).round() as i16).collect();
    let square: i64 = numbers.iter().map(|c| i64::from(*c) * i64::from(*c)).sum();
    Ok(Question { numbers, inverse: 1.0 / (square as f32).sqrt(), row })
}

/// Every row, with ids both ways.
pub(super) struct Codes {
    dimension: usize,
    blocks: Vec<Box<[i8]>>,
    inverses: Vec<f32>,
    ids: Vec<u64>,
    places: HashMap<u64, u32>,
}

impl Codes {
    /// None yet.
    pub(super) fn new(dimension: usize) -> Result<Self, Fault> {
        if dimension == 0 || dimension > DIMENSION_MAX {
            return Err(bad_vector("no index has such a dimension"));
        }
        Ok(Self {
            dimension,
            blocks: Vec::new(),
            inverses: Vec::new(),
            ids: Vec::new(),
            places: HashMap::new(),
        })
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    pub(super) fn inverses(&self) -> &[f32] {
        &self.inverses
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.blocks.len() * BLOCK_ROWS * self.dimension
            + self.inverses.capacity() * size_of::<f32>()
            + self.ids.capacity() * size_of::<u64>()
            + self.places.capacity() * (size_of::<(u64, u32)>() + 1)
    }

    /// The filled part of each block, in order.
    pub(super) fn filled(&self) -> impl Iterator<Item = &[i8]> {
        let dimension = self.dimension;
        self.blocks.iter().enumerate().map(move |(n, block)| {
            let rows = self.ids.len().saturating_sub(n * BLOCK_ROWS).min(BLOCK_ROWS);
            block.get(..rows * dimension).unwrap_or_default()
        })
    }

    fn codes_at(&self, place: usize) -> Option<&[i8]> {
        let from = (place % BLOCK_ROWS) * self.dimension;
        self.blocks.get(place / BLOCK_ROWS)?.get(from..from + self.dimension)
    }

    fn codes_at_mut(&mut self, place: usize) -> Option<&mut [i8]> {
        let from = (place % BLOCK_ROWS) * self.dimension;
        self.blocks.get_mut(place / BLOCK_ROWS)?.get_mut(from..from + self.dimension)
    }

    /// The row of an id.
    pub(super) fn get(&self, id: u64) -> Option<(&[i8], f32)> {
        let place = *self.places.get(&id)? as usize;
        Some((self.codes_at(place)?, *self.inverses.get(place)?))
    }

    /// Puts a row in, or another in the place of the old one; true when the id was there.
    pub(super) fn put(&mut self, id: u64, row: &Row) -> Result<bool, Fault> {
        let known = self.places.get(&id).map(|p| *p as usize);
        let place = known.unwrap_or(self.ids.len());
        if known.is_none() {
            let at = u32::try_from(place)
                .map_err(|_| Fault::too_large("too_many_vectors", "The index is full."))?;
            if place == self.blocks.len() * BLOCK_ROWS {
                self.blocks.push(vec![0; BLOCK_ROWS * self.dimension].into_boxed_slice());
            }
            self.ids.push(id);
            self.inverses.push(row.inverse);
            self.places.insert(id, at);
        }
        if let Some(inverse) = self.inverses.get_mut(place) {
            *inverse = row.inverse;
        }
        if let Some(codes) = self.codes_at_mut(place)
            && codes.len() == row.codes.len()
        {
            codes.copy_from_slice(&row.codes);
        }
        Ok(known.is_some())
    }

    /// Takes a row out, putting the last one in its place; true when it was there.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        let at = place as usize;
        let last = self.ids.len() - 1;
        if at != last {
            let moved = self.codes_at(last).map(<[i8]>::to_vec).unwrap_or_default();
            if let Some(codes) = self.codes_at_mut(at)
                && codes.len() == moved.len()
            {
                codes.copy_from_slice(&moved);
            }
            if let Some(id) = self.ids.get(last) {
                self.places.insert(*id, place);
            }
        }
        self.ids.swap_remove(at);
        self.inverses.swap_remove(at);
        self.blocks.truncate(self.ids.len().div_ceil(BLOCK_ROWS));
        true
    }

    /// The cosine between a question and a row.
    pub(super) fn cosine(&self, question: &Question, id: u64) -> Option<f32> {
        let (codes, inverse) = self.get(id)?;
        let mut sums = [0];
        sums_of(&question.numbers, codes, &mut sums);
        Some(sums.first().copied().unwrap_or_default() as f32 * question.inverse * inverse)
    }

    /// The `k` nearest rows that `allow` lets through, nearest first, by comparing every one.
    pub(super) fn nearest(
        &self,
        question: &Question,
        k: usize,
        allow: Option<&dyn Fn(u64) -> bool>,
    ) -> Vec<(u64, f32)> {
        let mut best = Best::new(k);
        let mut sums = vec![0; BLOCK_ROWS];
        let mut places = self.ids.iter().zip(&self.inverses);
        for codes in self.filled() {
            let rows = codes.len() / self.dimension;
            let sums = sums.get_mut(..rows).unwrap_or_default();
            sums_of(&question.numbers, codes, sums);
            for (sum, (id, inverse)) in sums.iter().zip(places.by_ref()) {
                let cosine = *sum as f32 * question.inverse * inverse;
                if cosine > best.threshold() && allow.is_none_or(|allow| allow(*id)) {
                    best.push(*id, cosine);
                }
            }
        }
        best.sorted()
    }
}

/// The best few of many, in a heap whose top is the worst of them.
pub(super) struct Best {
    k: usize,
    heap: BinaryHeap<Reverse<(Score, Reverse<u64>)>>,
}

/// A cosine that can be sorted; it is never a NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Best {
    pub(super) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// What a candidate must be above to get in.
    fn threshold(&self) -> f32 {
        if self.heap.len() < self.k {
            f32::NEG_INFINITY
        } else {
            self.heap.peek().map_or(f32::INFINITY, |Reverse((score, _))| score.0)
        }
    }

    pub(super) fn push(&mut self, id: u64, cosine: f32) {
        self.heap.push(Reverse((Score(cosine), Reverse(id))));
        if self.heap.len() > self.k {
            self.heap.pop();
        }
    }

    pub(super) fn sorted(self) -> Vec<(u64, f32)> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse((score, Reverse(id)))| (id, score.0))
            .collect()
    }
}

/// The sum of products of a question with each of several rows that lie end to end.
#[cfg(target_arch = "x86_64")]
pub(super) fn sums_of(question: &[i16], rows: &[i8], sums: &mut [i32]) {
    #[target_feature(enable = "avx512f,avx512bw")]
    fn with_avx512(question: &[i16], rows: &[i8], sums: &mut [i32]) {
        plain_sums_of(question, rows, sums);
    }
    #[target_feature(enable = "avx2")]
    fn with_avx2(question: &[i16], rows: &[i8], sums: &mut [i32]) {
        plain_sums_of(question, rows, sums);
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
        #[expect(unsafe_code, reason = "the features were found in this processor")]
        unsafe {
            with_avx512(question, rows, sums);
        }
    } else if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the feature was found in this processor")]
        unsafe {
            with_avx2(question, rows, sums);
        }
    } else {
        plain_sums_of(question, rows, sums);
    }
}

/// The sum of products of a question with each of several rows that lie end to end.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn sums_of(question: &[i16], rows: &[i8], sums: &mut [i32]) {
    plain_sums_of(question, rows, sums);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_sums_of(question: &[i16], rows: &[i8], sums: &mut [i32]) {
    for (row, sum) in rows.chunks_exact(question.len().max(1)).zip(sums) {
        *sum = row.iter().zip(question).map(|(c, q)| i32::from(*c) * i32::from(*q)).sum();
    }
}

/// The sum of products of two rows.
#[cfg(target_arch = "x86_64")]
pub(super) fn product(a: &[i8], b: &[i8]) -> i32 {
    #[target_feature(enable = "avx512f,avx512bw")]
    fn with_avx512(a: &[i8], b: &[i8]) -> i32 {
        plain_product(a, b)
    }
    #[target_feature(enable = "avx2")]
    fn with_avx2(a: &[i8], b: &[i8]) -> i32 {
        plain_product(a, b)
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
        #[expect(unsafe_code, reason = "the features were found in this processor")]
        unsafe {
            with_avx512(a, b)
        }
    } else if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the feature was found in this processor")]
        unsafe {
            with_avx2(a, b)
        }
    } else {
        plain_product(a, b)
    }
}

/// The sum of products of two rows.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn product(a: &[i8], b: &[i8]) -> i32 {
    plain_product(a, b)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_processor_gets_the_same_sums(
            (question, rows) in (1_usize..500).prop_flat_map(|n| (
                prop::collection::vec(any::<i16>(), n),
                prop::collection::vec(-127_i8..=127, n * 3),
            ))
        ) {
            let n = question.len();
            let question: Vec<i16> = question.iter().map(|q| q / 4).collect();
            let (mut fast, mut plain) = (vec![0; 3], vec![0; 3]);
            sums_of(&question, &rows, &mut fast);
            plain_sums_of(&question, &rows, &mut plain);
            prop_assert_eq!(fast, plain);
            prop_assert_eq!(product(&rows[..n], &rows[n..2 * n]), plain_product(&rows[..n], &rows[n..2 * n]));
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        for dimension in [1, 384, 1024, DIMENSION_MAX] {
            let vector = vec![-1.0; dimension];
            let mut codes = Codes::new(dimension).expect("codes");
            codes.put(1, &row(&vector, dimension).expect("a row")).expect("room");
            let question = question(&vector, dimension).expect("a question");
            let cosine = codes.cosine(&question, 1).expect("there");
            assert!((cosine - 1.0).abs() < 1e-3, "{dimension}: {cosine}");
        }
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        for bad in
            [vec![0.0; 3], vec![f32::NAN, 1.0, 0.0], vec![1.0, f32::INFINITY, 0.0], vec![1.0]]
        {
            assert_eq!(row(&bad, 3).err().map(|f| f.code), Some("bad_vector"), "{bad:?}");
            assert_eq!(question(&bad, 3).err().map(|f| f.code), Some("bad_vector"), "{bad:?}");
        }
    }
}
