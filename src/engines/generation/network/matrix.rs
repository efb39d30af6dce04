//! Matrices of weights and their products with rows of numbers.

use std::ops::Range;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::crew;
use super::floats::Floats;
use super::products::{self, Eighths, Target, round_to_eighths};
use super::source::{Stored, blocks};
use super::tiles::{COLUMNS, ROWS, Tiles};
use crate::base::fault::Fault;

/// Products of fewer numbers than this are computed by one thread: a second one would wake too late.
const ALONE: usize = 1 << 17;

/// A matrix of weights, one row for each number that comes out.
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    weights: Weights,
}

enum Weights {
    Tiles(Tiles),
    Floats(Floats),
    /// On processors without this crate's own kernels: candle's, over the file's own blocks.
    Candle(QTensor),
}

/// Rows of numbers that go into products.
pub(super) struct Input<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) floats: &'a [f32],
}

impl Matrix {
    /// Lays a matrix out as this processor multiplies it best; the file's own layout goes.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "two copies of the weights would be too many"
    )]
    pub(super) fn of(stored: Stored) -> Result<Self, Fault> {
        Self::laid(&stored, products::run_here())
    }

    /// Lays a matrix out, in tiles where there are kernels for them.
    pub(super) fn laid(stored: &Stored, in_tiles: bool) -> Result<Self, Fault> {
        let Stored { rows, columns, .. } = *stored;
        let tiles = if in_tiles { Tiles::of(stored)? } else { None };
        let weights = if let Some(tiles) = tiles {
            Weights::Tiles(tiles)
        } else if let Some(floats) = Floats::of(stored) {
            Weights::Floats(floats)
        } else {
            let storage = QStorage::Cpu(blocks(&stored.name, stored.kind, &stored.bytes)?);
            Weights::Candle(QTensor::new(storage, (rows, columns)).map_err(broken)?)
        };
        Ok(Self { rows, columns, weights })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes in memory. candle keeps the kinds it has quick kernels for a second time, laid out for
    /// them, from their first product on.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match &self.weights {
            Weights::Tiles(tiles) => tiles.bytes(),
            Weights::Floats(floats) => floats.bytes(),
            Weights::Candle(tensor) => tensor.storage_size_in_bytes() * 5 / 2,
        };
        bytes as u64
    }

    /// The numbers of one row.
    pub(super) fn row(&self, row: u32, out: &mut [f32]) -> Result<(), Fault> {
        match &self.weights {
            Weights::Tiles(tiles) => tiles.row(row as usize, out),
            Weights::Floats(floats) => floats.row(row as usize, out),
            Weights::Candle(tensor) => {
                let id = Tensor::new(&[row], &Device::Cpu).map_err(broken)?;
                let numbers = tensor.embedding(&id).and_then(|row| row.flatten_all()?.to_vec1());
                let numbers: Vec<f32> = numbers.map_err(broken)?;
                for (out, number) in out.iter_mut().zip(numbers) {
                    *out = number;
                }
            }
        }
        Ok(())
    }

    fn tiles(&self) -> usize {
        match self.weights {
            Weights::Candle(_) => 0,
            _ => self.rows.div_ceil(ROWS),
        }
    }
}

/// The products of the same rows with several matrices, whose sums go to rows as long as each
/// matrix has rows.
pub(super) fn multiply(input: &Input<'_>, to: &mut [(&Matrix, &mut [f32])]) -> Result<(), Fault> {
    for (matrix, out) in to.iter_mut() {
        if let Weights::Candle(tensor) = &matrix.weights {
            by_candle(input, tensor, out)?;
        }
    }
    let rounded = if to.iter().any(|(matrix, _)| matches!(matrix.weights, Weights::Tiles(_))) {
        rounded(input)
    } else {
        Vec::new()
    };
    let mut places = Vec::with_capacity(to.len());
    let mut tiles = 0;
    for (matrix, out) in to.iter_mut() {
        // The kernels write by address.
        if out.len() < input.rows * matrix.rows || matrix.columns != input.columns {
            return Err(Fault::broken("computing a product of matrices", "rows of another size"));
        }
        let first = tiles;
        tiles += matrix.tiles();
        places.push(Place { matrix, out: Shared(out.as_mut_ptr()), tiles: first..tiles });
    }
    let work = |range: Range<usize>| {
        for place in &places {
            let from = range.start.max(place.tiles.start);
            let to = range.end.min(place.tiles.end);
            if from < to {
                place.multiply(input, &rounded, from - place.tiles.start..to - place.tiles.start);
            }
        }
    };
    crew::range(tiles, tiles * ROWS * input.columns * input.rows < ALONE, work);
    Ok(())
}

/// The input as 8-bit numbers.
fn rounded(input: &Input<'_>) -> Vec<Eighths> {
    let blocks = input.columns / COLUMNS;
    let mut rounded = vec![Eighths::BLANK; input.rows * blocks];
    let jobs = input.rows.div_ceil(products::TOGETHER);
    let rows = input.floats.chunks(input.columns.max(1) * products::TOGETHER);
    let places = rounded.chunks_mut(blocks.max(1) * products::TOGETHER);
    let mut pairs: Vec<_> = rows.zip(places).collect();
    if jobs < 2 {
        for (rows, places) in &mut pairs {
            round_to_eighths(rows, places);
        }
    } else {
        crew::each(pairs, |(rows, places)| round_to_eighths(rows, places));
    }
    rounded
}

/// A place that several threads write to, each its own numbers.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

#[expect(unsafe_code, reason = "threads write different tiles' columns of it")]
unsafe impl Send for Shared {}
#[expect(unsafe_code, reason = "threads write different tiles' columns of it")]
unsafe impl Sync for Shared {}

/// A matrix's share of a product.
struct Place<'a> {
    matrix: &'a Matrix,
    out: Shared,
    /// Its tiles' numbers among those of all matrices of the product.
    tiles: Range<usize>,
}

impl Place<'_> {
    fn multiply(&self, input: &Input<'_>, rounded: &[Eighths], tiles: Range<usize>) {
        match &self.matrix.weights {
            Weights::Tiles(own) => self.by_tiles(own, input, rounded, tiles),
            Weights::Floats(own) => self.by_floats(own, input, tiles),
            Weights::Candle(_) => {}
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn by_tiles(&self, own: &Tiles, input: &Input<'_>, rounded: &[Eighths], tiles: Range<usize>) {
        let blocks = own.blocks();
        let groups = rounded.chunks(blocks.max(1) * products::TOGETHER).enumerate();
        for (group, rows) in groups {
            let first = group * products::TOGETHER;
            let rows: Vec<*const Eighths> =
                rows.chunks_exact(blocks.max(1)).map(<[Eighths]>::as_ptr).collect();
            if first + rows.len() > input.rows {
                return;
            }
            for tile in tiles.clone() {
                let target = self.target(first, tile);
                let lines = own.tile(tile);
                #[expect(
                    unsafe_code,
                    reason = "tiles are made only where their kernels run; the tile has its lines, \
                              the rows their blocks, and the target was found to be long enough"
                )]
                unsafe {
                    products::tile(own.layout(), lines.as_ptr().cast(), blocks, &rows, target);
                }
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn by_tiles(&self, _: &Tiles, _: &Input<'_>, _: &[Eighths], _: Range<usize>) {}

    fn by_floats(&self, own: &Floats, input: &Input<'_>, tiles: Range<usize>) {
        let mut sums = vec![[0.0; ROWS]; input.rows];
        for tile in tiles {
            own.tile(tile, input.floats, &mut sums);
            for (row, sums) in sums.iter().enumerate() {
                let target = self.target(row, tile);
                for (column, sum) in sums.iter().take(target.columns).enumerate() {
                    #[expect(unsafe_code, reason = "the target was found to be long enough")]
                    unsafe {
                        target.start.add(column).write(*sum);
                    }
                }
            }
        }
    }

    fn target(&self, row: usize, tile: usize) -> Target {
        let stride = self.matrix.rows;
        let start = row * stride + tile * ROWS;
        let columns = ROWS.min(stride - (tile * ROWS).min(stride));
        Target { start: self.out.0.wrapping_add(start), stride, columns }
    }
}

fn by_candle(input: &Input<'_>, tensor: &QTensor, out: &mut [f32]) -> Result<(), Fault> {
    let x = Tensor::from_slice(input.floats, (input.rows, input.columns), &Device::Cpu);
    let product = x.and_then(|x| x.apply_op1_no_bwd(tensor)).map_err(broken)?;
    let numbers: Vec<f32> = product.flatten_all().and_then(|p| p.to_vec1()).map_err(broken)?;
    if let Some(out) = out.get_mut(..numbers.len()) {
        out.copy_from_slice(&numbers);
    }
    Ok(())
}

fn broken(cause: candle_core::Error) -> Fault {
    Fault::broken("computing a product of matrices", cause)
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::super::super::header::TensorKind;
    use super::*;

    const KINDS: [(TensorKind, GgmlDType); 13] = [
        (TensorKind::F32, GgmlDType::F32),
        (TensorKind::F16, GgmlDType::F16),
        (TensorKind::BF16, GgmlDType::BF16),
        (TensorKind::Q4_0, GgmlDType::Q4_0),
        (TensorKind::Q4_1, GgmlDType::Q4_1),
        (TensorKind::Q5_0, GgmlDType::Q5_0),
        (TensorKind::Q5_1, GgmlDType::Q5_1),
        (TensorKind::Q8_0, GgmlDType::Q8_0),
        (TensorKind::Q2_K, GgmlDType::Q2K),
        (TensorKind::Q3_K, GgmlDType::Q3K),
        (TensorKind::Q4_K, GgmlDType::Q4K),
        (TensorKind::Q5_K, GgmlDType::Q5K),
        (TensorKind::Q6_K, GgmlDType::Q6K),
    ];

    fn noise(count: usize, mut seed: u32) -> Vec<f32> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32
        };
        // Four even draws are about normal.
        (0..count).map(|_| (next() + next() + next() + next() - 2.0) * 1.7).collect()
    }

    /// A matrix in a file's kind, and the numbers it stands for.
    fn made(kind: (TensorKind, GgmlDType), rows: usize, columns: usize) -> (Stored, Vec<f32>) {
        let numbers = Tensor::from_vec(noise(rows * columns, 7), (rows, columns), &Device::Cpu);
        let tensor = QTensor::quantize(&numbers.unwrap(), kind.1).unwrap();
        let meant = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        let bytes = tensor.data().unwrap().into_owned();
        let stored = Stored { name: "made".into(), kind: kind.0, rows, columns, bytes };
        (stored, meant.to_vec1().unwrap())
    }

    fn distance(got: &[f32], wanted: &[f32]) -> f32 {
        assert_eq!(got.len(), wanted.len());
        let power = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
        let apart = power(&mut got.iter().zip(wanted).map(|(a, b)| a - b));
        (apart / power(&mut wanted.iter().copied())).sqrt()
    }

    #[test]
    fn a_product_is_that_of_the_numbers_the_file_stands_for() {
        for kind in KINDS {
            // 896 columns are no multiple of 256, and 43 rows are no whole tiles.
            let columns = if kind.1.block_size() > 32 { 1024 } else { 896 };
            for in_tiles in [products::run_here(), false] {
                let (stored, meant) = made(kind, 43, columns);
                let matrix = Matrix::laid(&stored, in_tiles).unwrap();
                let mut row = vec![0.0; columns];
                matrix.row(42, &mut row).unwrap();
                let apart = distance(&row, &meant[42 * columns..]);
                println!("{:?}, in tiles: {in_tiles}: a row is {apart} away", kind.0);
                assert!(apart < 0.01, "{:?}: a row is {apart} away", kind.0);
                for rows in [1, 3, 8, 13] {
                    let floats = noise(rows * columns, 11);
                    let wanted: Vec<f32> = floats
                        .chunks(columns)
                        .flat_map(|x| {
                            meant
                                .chunks(columns)
                                .map(move |w| x.iter().zip(w).map(|(a, b)| a * b).sum())
                        })
                        .collect();
                    let mut got = vec![f32::NAN; rows * 43];
                    let input = Input { rows, columns, floats: &floats };
                    multiply(&input, &mut [(&matrix, &mut got)]).unwrap();
                    let apart = distance(&got, &wanted);
                    println!("{:?} x {rows}, in tiles: {in_tiles}: {apart} away", kind.0);
                    assert!(apart < 0.012, "{:?} x {rows}: {apart} away", kind.0);
                }
            }
        }
    }

    #[test]
    fn a_row_among_others_comes_out_as_alone() {
        let (stored, _) = made((TensorKind::Q4_K, GgmlDType::Q4K), 64, 512);
        let matrix = Matrix::laid(&stored, products::run_here()).unwrap();
        let floats = noise(11 * 512, 3);
        let mut all = vec![0.0; 11 * 64];
        let input = Input { rows: 11, columns: 512, floats: &floats };
        multiply(&input, &mut [(&matrix, &mut all)]).unwrap();
        for (row, alone) in floats.chunks(512).enumerate() {
            let mut out = vec![0.0; 64];
            let input = Input { rows: 1, columns: 512, floats: alone };
            multiply(&input, &mut [(&matrix, &mut out)]).unwrap();
            let apart = distance(&out, &all[row * 64..(row + 1) * 64]);
            // candle takes another way for one row of some kinds, so only nearly the same there.
            assert!(apart < 1e-3, "row {row} is {apart} away");
        }
    }
}
