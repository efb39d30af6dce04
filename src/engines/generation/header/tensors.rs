//! Where a model's weights lie in its file, and how they are written down.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::super::faults::unsupported;
use super::source::Source;
use super::{DIMENSIONS_MAX, damaged};
use crate::base::fault::Fault;

/// The least bytes that tell of one tensor: a name's length, dimensions' count, one of them, kind, place.
pub(super) const TENSOR_BYTES_MIN: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// How weights are written down: as floats, or in blocks with shared scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, non_camel_case_types, reason = "these are the format's own names")]
pub enum TensorKind {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
}

impl TensorKind {
    /// The kind the file names by a number; the numbers are those of ggml's `ggml_type`.
    pub fn of(code: u32, tensor: &str) -> Result<Self, Fault> {
        Ok(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            9 => Self::Q8_1,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            15 => Self::Q8_K,
            30 => Self::BF16,
            _ => return Err(unknown(code, tensor)),
        })
    }

    /// The format's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q8_1 => "Q8_1",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::Q8_K => "Q8_K",
        }
    }

    /// Weights in one block; 1 for floats.
    pub const fn block(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::Q8_1 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::Q8_K => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> u64 {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q8_1 => 36,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::Q8_K => 292,
        }
    }

    /// Whether the weights stand in blocks.
    pub const fn is_quantised(self) -> bool {
        self.block() > 1
    }
}

/// The refusal of a kind that nothing here computes with, by its name where it has one.
fn unknown(code: u32, tensor: &str) -> Fault {
    let name = match code {
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => {
            return unsupported(format!(
                "The weights {tensor} are of an unknown kind, number {code}."
            ));
        }
    };
    unsupported(format!(
        "The weights {tensor} are {name}, which this box does not compute with. Files in Q4_K_M, \
         Q8_0 or F16 are."
    ))
}

/// One tensor: what it is called, its shape, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, for instance `blk.0.attn_q.weight`.
    pub name: String,
    /// Its dimensions as the file has them: the first is the length of a row (its columns), so they
    /// stand in the opposite order to that of a matrix in Rust or Python.
    pub dims: Vec<u64>,
    /// How its weights are written down.
    pub kind: TensorKind,
    /// Where it begins, in bytes after [`super::Header::data_offset`].
    pub offset: u64,
    /// How many bytes it takes.
    pub bytes: u64,
}

impl TensorInfo {
    /// Weights in one row.
    pub fn columns(&self) -> u64 {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Rows of all its matrices together; 1 for a vector.
    pub fn rows(&self) -> u64 {
        self.dims.iter().skip(1).product()
    }

    /// All its weights.
    pub fn weights(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Reads what the header says of one tensor.
    pub(super) fn read(source: &mut Source<impl Read + Seek>) -> Result<Self, Fault> {
        let name = source.name("A tensor's name")?;
        let count = source.u32(&name)?;
        if count == 0 || count > DIMENSIONS_MAX {
            return Err(damaged(format!(
                "The weights {name} have {count} dimensions; 1 to {DIMENSIONS_MAX} are allowed."
            )));
        }
        let dims = (0..count).map(|_| source.u64(&name)).collect::<Result<Vec<_>, _>>()?;
        let code = source.u32(&name)?;
        let offset = source.u64(&name)?;
        let kind = TensorKind::of(code, &name)?;
        let bytes = size(&dims, kind).ok_or_else(|| {
            damaged(format!("The weights {name} have the impossible shape {dims:?}."))
        })?;
        if dims.first().is_some_and(|columns| columns % kind.block() != 0) {
            return Err(damaged(format!(
                "The weights {name} are {}, whose rows are multiples of {}; theirs have {}.",
                kind.name(),
                kind.block(),
                dims.first().copied().unwrap_or_default()
            )));
        }
        Ok(Self { name, dims, kind, offset, bytes })
    }
}

/// Bytes of a tensor; none when it is empty or too large for a number.
fn size(dims: &[u64], kind: TensorKind) -> Option<u64> {
    let weights = dims.iter().try_fold(1u64, |all, one| all.checked_mul(*one))?;
    let bytes = (weights / kind.block()).checked_mul(kind.block_bytes())?;
    (weights > 0).then_some(bytes)
}

/// Fails unless every tensor lies inside the file, where it may begin, and on no other's bytes.
pub(super) fn check_places(
    tensors: &[TensorInfo],
    alignment: u64,
    data_offset: u64,
    file_bytes: u64,
) -> Result<(), Fault> {
    let mut places = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let TensorInfo { name, offset, bytes, .. } = tensor;
        if offset % alignment != 0 {
            return Err(damaged(format!(
                "The weights {name} begin at byte {offset}, which is no multiple of {alignment}."
            )));
        }
        let end = offset.checked_add(*bytes).and_then(|end| end.checked_add(data_offset));
        if end.is_none_or(|end| end > file_bytes) {
            return Err(damaged(format!(
                "The file is cut off or damaged: the weights {name} would take {bytes} bytes from \
                 byte {} on, and the file has {file_bytes}.",
                data_offset.saturating_add(*offset)
            )));
        }
        places.push((*offset, bytes, name));
    }
    places.sort_unstable();
    for (one, next) in places.iter().zip(places.iter().skip(1)) {
        if one.0.saturating_add(*one.1) > next.0 {
            return Err(damaged(format!("The weights {} and {} share bytes.", one.2, next.2)));
        }
    }
    Ok(())
}

/// The places of tensors by their names; a name must not come twice.
pub(super) fn by_name(tensors: &[TensorInfo]) -> Result<BTreeMap<String, usize>, Fault> {
    let mut names = BTreeMap::new();
    for (place, tensor) in tensors.iter().enumerate() {
        if names.insert(tensor.name.clone(), place).is_some() {
            return Err(damaged(format!("The weights {} are there twice.", tensor.name)));
        }
    }
    Ok(names)
}
