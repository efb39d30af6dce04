//! Weights that are floats in the file, kept as they are: tiles of sixteen rows, whose numbers of one
//! column lie side by side.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::super::header::TensorKind;
use super::source::Stored;
use super::steps::{fma, for_this_processor};
use super::tiles::ROWS;

/// Columns whose weights are made 32-bit floats at once, few enough to stay in the nearest memory.
const AT_ONCE: usize = 256;
/// Rows of numbers that are multiplied at once.
const TOGETHER: usize = 4;

/// A matrix of floats.
pub(super) struct Floats {
    columns: usize,
    weights: Weights,
}

enum Weights {
    Half(Vec<f16>),
    Brain(Vec<bf16>),
    Single(Vec<f32>),
}

impl Floats {
    /// Lays out a matrix; none when its numbers are no floats.
    pub(super) fn of(stored: &Stored) -> Option<Self> {
        let Stored { rows, columns, bytes, .. } = stored;
        let two = |bytes: &[u8]| <[u8; 2]>::try_from(bytes).unwrap_or_default();
        let four = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).unwrap_or_default();
        let weights = match stored.kind {
            TensorKind::F16 => {
                Weights::Half(lay(*rows, *columns, bytes, 2, |b| f16::from_le_bytes(two(b))))
            }
            TensorKind::BF16 => {
                Weights::Brain(lay(*rows, *columns, bytes, 2, |b| bf16::from_le_bytes(two(b))))
            }
            TensorKind::F32 => {
                Weights::Single(lay(*rows, *columns, bytes, 4, |b| f32::from_le_bytes(four(b))))
            }
            _ => return None,
        };
        Some(Self { columns: *columns, weights })
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Half(all) => size_of_val(all.as_slice()),
            Weights::Brain(all) => size_of_val(all.as_slice()),
            Weights::Single(all) => size_of_val(all.as_slice()),
        }
    }

    /// The numbers of one row.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let first = row / ROWS * self.columns * ROWS + row % ROWS;
        for (column, out) in out.iter_mut().take(self.columns).enumerate() {
            let at = first + column * ROWS;
            *out = match &self.weights {
                Weights::Half(all) => all.get(at).map_or(0.0, |number| number.to_f32()),
                Weights::Brain(all) => all.get(at).map_or(0.0, |number| number.to_f32()),
                Weights::Single(all) => all.get(at).copied().unwrap_or(0.0),
            };
        }
    }

    /// The products of one tile with rows of `columns` numbers; the sums of each row into `out`.
    pub(super) fn tile(&self, tile: usize, rows: &[f32], out: &mut [[f32; ROWS]]) {
        let mut room = [0.0; AT_ONCE * ROWS];
        let start = tile * self.columns * ROWS;
        let groups = rows.chunks(self.columns.max(1) * TOGETHER).zip(out.chunks_mut(TOGETHER));
        for (rows, out) in groups {
            out.fill([0.0; ROWS]);
            for from in (0..self.columns).step_by(AT_ONCE) {
                let count = AT_ONCE.min(self.columns - from);
                let at = start + from * ROWS;
                let Some(place) = room.get_mut(..count * ROWS) else { return };
                let weights: &[f32] = match &self.weights {
                    Weights::Half(all) => {
                        all.get(at..at + place.len())
                            .unwrap_or_default()
                            .convert_to_f32_slice(place);
                        place
                    }
                    Weights::Brain(all) => {
                        all.get(at..at + place.len())
                            .unwrap_or_default()
                            .convert_to_f32_slice(place);
                        place
                    }
                    Weights::Single(all) => all.get(at..at + place.len()).unwrap_or_default(),
                };
                let columns = Columns { all: self.columns, from };
                add_products(weights, rows, columns, out);
            }
        }
    }
}

/// Which columns of rows meet the weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// How many numbers a row has.
    all: usize,
    /// The first that is met.
    from: usize,
}

for_this_processor! {
    /// Adds the products of some columns' weights with up to [`TOGETHER`] rows.
    fn add_products(weights: &[f32], rows: &[f32], columns: Columns, out: &mut [[f32; ROWS]]) = plain_add_products
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_add_products<const FUSED: bool>(
    weights: &[f32],
    rows: &[f32],
    columns: Columns,
    out: &mut [[f32; ROWS]],
) {
    let weights = weights.as_chunks::<ROWS>().0;
    let row = |row: usize| {
        let from = row * columns.all + columns.from;
        rows.get(from..from + weights.len()).unwrap_or_default()
    };
    if let Ok(out) = <&mut [[f32; ROWS]; TOGETHER]>::try_from(&mut *out) {
        let mut sums = *out;
        let (first, second) = (row(0).iter().zip(row(1)), row(2).iter().zip(row(3)));
        for (weights, ((a, b), (c, d))) in weights.iter().zip(first.zip(second)) {
            for (number, sums) in [*a, *b, *c, *d].into_iter().zip(&mut sums) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = fma::<FUSED>(number, *weight, *sum);
                }
            }
        }
        *out = sums;
        return;
    }
    for (at, out) in out.iter_mut().enumerate() {
        // Four sums side by side, so that none waits for the one before.
        let mut sums = [[0.0; ROWS]; 4];
        let (fours, rest) = weights.as_chunks::<4>();
        let (numbers, last) = row(at).as_chunks::<4>();
        for (weights, numbers) in fours.iter().zip(numbers) {
            for ((weights, number), sums) in weights.iter().zip(numbers).zip(&mut sums) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = fma::<FUSED>(*number, *weight, *sum);
                }
            }
        }
        for ((weights, number), sums) in rest.iter().zip(last).zip(&mut sums) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = fma::<FUSED>(*number, *weight, *sum);
            }
        }
        for sums in sums {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out += sum;
            }
        }
    }
}

/// Brings a file's rows into tiles; rows of zeros fill the last.
fn lay<T: Copy + Default>(
    rows: usize,
    columns: usize,
    bytes: &[u8],
    size: usize,
    read: impl Fn(&[u8]) -> T,
) -> Vec<T> {
    let mut laid = vec![T::default(); rows.div_ceil(ROWS) * columns * ROWS];
    for (row, bytes) in bytes.chunks_exact((columns * size).max(1)).enumerate() {
        let first = row / ROWS * columns * ROWS + row % ROWS;
        let places = laid.iter_mut().skip(first).step_by(ROWS);
        for (place, bytes) in places.zip(bytes.chunks_exact(size)) {
            *place = read(bytes);
        }
    }
    laid
}
