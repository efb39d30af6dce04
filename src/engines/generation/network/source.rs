//! Weights out of a model's file, one matrix at a time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use candle_core::quantized::{GgmlDType, QuantizedType};

use super::super::faults::{damaged, unsupported};
use super::super::header::{Header, TensorInfo, TensorKind};
use crate::base::fault::Fault;

/// A file and what its header says of it.
pub(super) struct Source<'a> {
    file: &'a mut File,
    header: &'a Header,
}

/// A matrix as the file has it.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) kind: TensorKind,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a mut File, header: &'a Header) -> Self {
        Self { file, header }
    }

    pub(super) fn header(&self) -> &'a Header {
        self.header
    }

    /// Whether the file has weights of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.header.tensor(name).is_some()
    }

    /// A vector that must be there.
    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, Fault> {
        self.vector_if(name, length)?.ok_or_else(|| missing(name))
    }

    /// A vector, where the file has it.
    pub(super) fn vector_if(
        &mut self,
        name: &str,
        length: usize,
    ) -> Result<Option<Vec<f32>>, Fault> {
        let Some(tensor) = self.header.tensor(name) else { return Ok(None) };
        if tensor.weights() != length as u64 {
            return Err(misshapen(tensor, &[length]));
        }
        let bytes = self.bytes(tensor)?;
        floats(name, tensor.kind, &bytes, length).map(Some)
    }

    /// A matrix that must be there, with this shape.
    pub(super) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Stored, Fault> {
        let tensor = self.header.tensor(name).ok_or_else(|| missing(name))?;
        let wanted = [columns as u64, rows as u64];
        if tensor.dims != wanted {
            return Err(misshapen(tensor, &[columns, rows]));
        }
        let bytes = self.bytes(tensor)?;
        Ok(Stored { name: name.to_owned(), kind: tensor.kind, rows, columns, bytes })
    }

    /// Matrices of one shape that lie one behind the other.
    pub(super) fn matrices(
        &mut self,
        name: &str,
        count: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Vec<Stored>, Fault> {
        let tensor = self.header.tensor(name).ok_or_else(|| missing(name))?;
        if tensor.dims != [columns as u64, rows as u64, count as u64] {
            return Err(misshapen(tensor, &[columns, rows, count]));
        }
        let bytes = self.bytes(tensor)?;
        let own = |bytes: &[u8]| Stored {
            name: name.to_owned(),
            kind: tensor.kind,
            rows,
            columns,
            bytes: bytes.to_vec(),
        };
        Ok(bytes.chunks_exact((bytes.len() / count.max(1)).max(1)).map(own).collect())
    }

    fn bytes(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, Fault> {
        if tensor.bytes > self.header.file_bytes {
            return Err(damaged(format!("{} is longer than its file.", tensor.name)));
        }
        let size = usize::try_from(tensor.bytes)
            .map_err(|_| unsupported("The model is larger than this machine can address."))?;
        let mut bytes = vec![0; size];
        self.file
            .seek(SeekFrom::Start(self.header.place(tensor)))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    damaged(format!("The file ends before {} does.", tensor.name))
                }
                _ => Fault::broken("reading a model's weights", e),
            })?;
        Ok(bytes)
    }
}

impl Stored {
    /// The first `rows` rows, and the others.
    pub(super) fn split(mut self, rows: usize) -> Result<(Self, Self), Fault> {
        let row = self.bytes.len() / self.rows.max(1);
        if rows > self.rows || row * self.rows != self.bytes.len() {
            return Err(damaged(format!("The weights {} cannot be taken apart.", self.name)));
        }
        let bytes = self.bytes.split_off(rows * row);
        let rest = Self {
            name: self.name.clone(),
            kind: self.kind,
            rows: self.rows - rows,
            columns: self.columns,
            bytes,
        };
        self.rows = rows;
        Ok((self, rest))
    }
}

fn missing(name: &str) -> Fault {
    damaged(format!("The file has no weights {name}."))
}

fn misshapen(tensor: &TensorInfo, wanted: &[usize]) -> Fault {
    damaged(format!("The weights {} are {:?}, not {wanted:?}.", tensor.name, tensor.dims))
}

/// candle's name of a kind.
pub(super) fn kind(kind: TensorKind) -> GgmlDType {
    match kind {
        TensorKind::F32 => GgmlDType::F32,
        TensorKind::F16 => GgmlDType::F16,
        TensorKind::BF16 => GgmlDType::BF16,
        TensorKind::Q4_0 => GgmlDType::Q4_0,
        TensorKind::Q4_1 => GgmlDType::Q4_1,
        TensorKind::Q5_0 => GgmlDType::Q5_0,
        TensorKind::Q5_1 => GgmlDType::Q5_1,
        TensorKind::Q8_0 => GgmlDType::Q8_0,
        TensorKind::Q8_1 => GgmlDType::Q8_1,
        TensorKind::Q2_K => GgmlDType::Q2K,
        TensorKind::Q3_K => GgmlDType::Q3K,
        TensorKind::Q4_K => GgmlDType::Q4K,
        TensorKind::Q5_K => GgmlDType::Q5K,
        TensorKind::Q6_K => GgmlDType::Q6K,
        TensorKind::Q8_K => GgmlDType::Q8K,
    }
}

/// candle's view of weights, which it copies.
pub(super) fn blocks(
    name: &str,
    of: TensorKind,
    bytes: &[u8],
) -> Result<Box<dyn QuantizedType>, Fault> {
    let block = usize::try_from(of.block_bytes()).unwrap_or(usize::MAX);
    if bytes.is_empty() || !bytes.len().is_multiple_of(block) {
        return Err(damaged(format!("The weights {name} end within a block.")));
    }
    Ok(kind(of).from_data(bytes.into()))
}

/// The numbers that weights stand for.
pub(super) fn floats(
    name: &str,
    of: TensorKind,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<f32>, Fault> {
    let unread = |e| Fault::broken("reading a model's weights", e);
    let storage = blocks(name, of, bytes)?.dequantize(count).map_err(unread)?;
    match storage {
        candle_core::CpuStorage::F32(values) if values.len() == count => Ok(values),
        _ => Err(damaged(format!("The weights {name} are not as many as they should be."))),
    }
}
