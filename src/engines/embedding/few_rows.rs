//! The matrix product of a question: few rows with many weights.
//!
//! A general product first lays both sides out anew for its kernel. That pays for a batch; for the
//! twenty tokens of a question it costs more than the product. Here each weight is read once, where
//! it lies.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::kernels::{LANES, fma, for_this_processor, values};

/// With more rows than this the general product is quicker.
const ROWS_MAX: usize = 96;
/// Rows and weights of one tile: their sums fill the registers.
const TILE: usize = 4;

/// `x * weights^T`, the weights laid out as `[out, in]`.
pub(super) struct FewRows;

impl FewRows {
    /// Whether the product of these two is one for this way.
    pub(super) fn fits(x: &Tensor, weights: &Tensor) -> Result<bool> {
        let ((rows, _), (outputs, inputs)) = (x.dims2()?, weights.dims2()?);
        let even = outputs.is_multiple_of(TILE) && inputs.is_multiple_of(LANES) && inputs > 0;
        Ok(even && rows <= ROWS_MAX && x.is_contiguous() && weights.is_contiguous())
    }
}

impl CustomOp2 for FewRows {
    fn name(&self) -> &'static str {
        "few-rows"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (outputs, inputs) = weights_layout.shape().dims2()?;
        let (rows, _) = x_layout.shape().dims2()?;
        let packed = packed(values(x, x_layout)?, inputs);
        let mut out = vec![0.0; rows.next_multiple_of(TILE) * outputs];
        products(&packed, values(weights, weights_layout)?, inputs, &mut out);
        out.truncate(rows * outputs);
        Ok((CpuStorage::F32(out), Shape::from((rows, outputs))))
    }
}

/// A tile's share of the rows: for each place along the inputs, that place of every row of the tile.
type Slice = [[f32; LANES]; TILE];

/// The rows in the order in which tiles read them; rows of nothing fill the last tile.
fn packed(x: &[f32], inputs: usize) -> Vec<Slice> {
    let slices = inputs / LANES;
    let tiles = x.chunks(inputs * TILE);
    let mut packed = vec![[[0.0; LANES]; TILE]; tiles.len() * slices];
    for (tile, slices) in tiles.zip(packed.chunks_mut(slices)) {
        for (at, row) in tile.chunks(inputs).enumerate() {
            for (slice, part) in slices.iter_mut().zip(row.as_chunks().0) {
                if let Some(place) = slice.get_mut(at) {
                    *place = *part;
                }
            }
        }
    }
    packed
}

for_this_processor! {
    fn products(packed: &[Slice], weights: &[f32], inputs: usize, out: &mut [f32]) = plain_products
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn plain_products<const FUSED: bool>(
    packed: &[Slice],
    weights: &[f32],
    inputs: usize,
    out: &mut [f32],
) {
    let outputs = weights.len() / inputs.max(1);
    for (at, four) in weights.chunks_exact(inputs * TILE).enumerate() {
        let (ab, cd) = four.split_at(inputs * 2);
        let ((a, b), (c, d)) = (ab.split_at(inputs), cd.split_at(inputs));
        let four = [a, b, c, d].map(|row| row.as_chunks::<LANES>().0);
        let tiles = packed.chunks_exact(inputs / LANES);
        for (tile, out) in tiles.zip(out.chunks_exact_mut(outputs * TILE)) {
            let sums = tile_sums::<FUSED>(tile, four);
            for (row, sums) in out.chunks_exact_mut(outputs).zip(sums) {
                if let Some(place) = row.get_mut(at * TILE..(at + 1) * TILE) {
                    place.copy_from_slice(&sums);
                }
            }
        }
    }
}

/// The products of a tile's rows with four rows of weights.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled again for each processor feature")]
fn tile_sums<const FUSED: bool>(
    tile: &[Slice],
    [a, b, c, d]: [&[[f32; LANES]]; TILE],
) -> [[f32; TILE]; TILE] {
    let mut sums = [[[0.0; LANES]; TILE]; TILE];
    for ((((slice, a), b), c), d) in tile.iter().zip(a).zip(b).zip(c).zip(d) {
        for (row, x) in sums.iter_mut().zip(slice) {
            for (sum, w) in row.iter_mut().zip([a, b, c, d]) {
                for (sum, (x, w)) in sum.iter_mut().zip(x.iter().zip(w)) {
                    *sum = fma::<FUSED>(*x, *w, *sum);
                }
            }
        }
    }
    sums.map(|row| row.map(|sum| sum.iter().sum()))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_the_general_product_at_any_number_of_rows() {
        let weights = Tensor::randn(0f32, 1.0, (24, 48), &Device::Cpu).unwrap();
        for rows in [1, 2, 3, 4, 5, 17, ROWS_MAX] {
            let x = Tensor::randn(0f32, 1.0, (rows, 48), &Device::Cpu).unwrap();
            assert!(FewRows::fits(&x, &weights).unwrap());
            let ours = x.apply_op2_no_bwd(&weights, &FewRows).unwrap();
            assert_eq!(ours.dims(), [rows, 24]);
            let general = x.matmul(&weights.t().unwrap()).unwrap();
            let apart = (ours - general).unwrap().abs().unwrap().max_all().unwrap();
            assert!(apart.to_scalar::<f32>().unwrap() < 1e-4, "{rows} rows");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_general_product() {
        let zeros = |rows, columns| {
            Tensor::zeros((rows, columns), candle_core::DType::F32, &Device::Cpu).unwrap()
        };
        assert!(!FewRows::fits(&zeros(ROWS_MAX + 1, 48), &zeros(24, 48)).unwrap());
        assert!(!FewRows::fits(&zeros(3, 40), &zeros(24, 40)).unwrap());
        assert!(!FewRows::fits(&zeros(3, 48), &zeros(23, 48)).unwrap());
        assert!(!FewRows::fits(&zeros(48, 3).t().unwrap(), &zeros(24, 48)).unwrap());
    }
}
