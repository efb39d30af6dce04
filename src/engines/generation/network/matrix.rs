//! Matrices of weights and their products with rows of numbers.

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::source::{Stored, blocks};
use crate::base::fault::Fault;

/// A matrix of weights, one row for each number that comes out.
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    weights: QTensor,
}

/// Rows of numbers that go into products.
pub(super) struct Input<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) floats: &'a [f32],
}

impl Matrix {
    pub(super) fn of(stored: Stored) -> Result<Self, Fault> {
        let Stored { name, kind, rows, columns, bytes } = stored;
        let storage = QStorage::Cpu(blocks(&name, kind, &bytes)?);
        let weights = QTensor::new(storage, (rows, columns)).map_err(broken)?;
        Ok(Self { rows, columns, weights })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> u64 {
        self.weights.storage_size_in_bytes() as u64
    }

    /// The numbers of one row.
    pub(super) fn row(&self, row: u32, out: &mut [f32]) -> Result<(), Fault> {
        let id = Tensor::new(&[row], &Device::Cpu).map_err(broken)?;
        let numbers = self.weights.embedding(&id).and_then(|row| row.flatten_all()?.to_vec1());
        let numbers: Vec<f32> = numbers.map_err(broken)?;
        for (out, number) in out.iter_mut().zip(numbers) {
            *out = number;
        }
        Ok(())
    }
}

/// The products of the same rows with several matrices.
pub(super) fn multiply(
    input: &Input<'_>,
    to: &mut [(&Matrix, &mut [f32])],
) -> Result<(), Fault> {
    let x = Tensor::from_slice(input.floats, (input.rows, input.columns), &Device::Cpu)
        .map_err(broken)?;
    for (matrix, out) in to {
        let product = x.apply_op1_no_bwd(&matrix.weights).map_err(broken)?;
        let numbers: Vec<f32> =
            product.flatten_all().and_then(|p| p.to_vec1()).map_err(broken)?;
        if let Some(out) = out.get_mut(..numbers.len()) {
            out.copy_from_slice(&numbers);
        }
    }
    Ok(())
}

fn broken(cause: candle_core::Error) -> Fault {
    Fault::broken("computing a product of matrices", cause)
}
