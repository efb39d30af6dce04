//! What a GGUF file says of the model in it, read without believing a byte of it.
//!
//! The format: a magic word, a version, how many tensors and keys follow, the keys with typed values,
//! the tensors' names, shapes, kinds and places, and then the weights themselves, which are not read
//! here. Versions 2 and 3 differ in nothing that a little-endian file shows.

#[cfg(test)]
pub(super) mod forge;
mod source;
mod tensors;
#[cfg(test)]
pub(super) mod tests;
mod value;

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use source::Source;
pub use tensors::{TensorInfo, TensorKind};
pub use value::{List, Value};

use super::faults::{damaged, unsupported};
use crate::base::fault::Fault;

/// The most bytes of everything before the weights.
pub const HEADER_BYTES_MAX: u64 = 256 << 20;
/// The most bytes of one text.
pub const TEXT_BYTES_MAX: u64 = 16 << 20;
/// The most bytes of a key or of a tensor's name; the format's own limit for keys is 65,535.
pub const KEY_BYTES_MAX: u64 = 1 << 10;
/// The most elements of one list; the largest vocabularies have a quarter of a million tokens.
pub const ARRAY_ELEMENTS_MAX: u64 = 4 << 20;
/// The most elements of all lists together.
pub const ELEMENTS_MAX: u64 = 8 << 20;
/// How deep lists may lie in lists.
pub const ARRAY_DEPTH_MAX: usize = 3;
/// The most keys.
pub const KEYS_MAX: u64 = 4096;
/// The most tensors.
pub const TENSORS_MAX: u64 = 16_384;
/// The most dimensions of a tensor, as in ggml.
pub const DIMENSIONS_MAX: u32 = 4;
/// Where tensors may begin when the file does not say.
const ALIGNMENT_DEFAULT: u64 = 32;
/// The coarsest alignment that is believed.
const ALIGNMENT_MAX: u64 = 1 << 20;
/// The least bytes of a key with its value: a length, one letter, a type, one byte.
const KEY_BYTES_MIN: u64 = 8 + 1 + 4 + 1;
/// The first four bytes of every file.
const MAGIC: &[u8; 4] = b"GGUF";

/// What a GGUF file says of its model: everything but the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The format's version, 2 or 3.
    pub version: u32,
    /// What the file says of itself, by key.
    pub metadata: BTreeMap<String, Value>,
    /// Its tensors, in the file's order.
    pub tensors: Vec<TensorInfo>,
    /// Where the weights begin, in bytes from the file's start.
    pub data_offset: u64,
    /// How long the file is, in bytes.
    pub file_bytes: u64,
    names: BTreeMap<String, usize>,
}

impl Header {
    /// Reads a file from its start.
    ///
    /// `model_damaged` for a file that breaks the format or a limit above, `model_unsupported` for a
    /// version, a kind of weights or a split that this box does not take.
    pub fn read(file: &mut (impl Read + Seek)) -> Result<Self, Fault> {
        let mut source = Source::new(file)?;
        let version = version(&mut source)?;
        let tensor_count = count(&mut source, "tensors", TENSORS_MAX, tensors::TENSOR_BYTES_MIN)?;
        let key_count = count(&mut source, "keys", KEYS_MAX, KEY_BYTES_MIN)?;
        let metadata = metadata(&mut source, key_count)?;
        let mut header = Self {
            version,
            metadata,
            tensors: Vec::new(),
            data_offset: 0,
            file_bytes: source.file_bytes(),
            names: BTreeMap::new(),
        };
        header.refuse_parts()?;
        let alignment = header.alignment()?;
        header.tensors =
            (0..tensor_count).map(|_| TensorInfo::read(&mut source)).collect::<Result<_, _>>()?;
        header.names = tensors::by_name(&header.tensors)?;
        header.data_offset = source.position().next_multiple_of(alignment);
        tensors::check_places(&header.tensors, alignment, header.data_offset, header.file_bytes)?;
        Ok(header)
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.names.get(name).and_then(|place| self.tensors.get(*place))
    }

    /// Where a tensor begins, in bytes from the file's start.
    pub fn place(&self, tensor: &TensorInfo) -> u64 {
        self.data_offset.saturating_add(tensor.offset)
    }

    /// The family of networks the model belongs to, for instance `llama`.
    pub fn architecture(&self) -> Option<&str> {
        self.text("general.architecture")
    }

    /// A key of the model's own family: `own("block_count")` is `llama.block_count` in a llama.
    pub fn own(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture().unwrap_or_default())
    }

    /// The text under a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number under a key, whatever its width; none when it is negative.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key)? {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The number under a key, whole or not.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key)? {
            Value::Float(number) => Some(*number),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Signed(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth under a key.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The list of texts under a key.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.metadata.get(key)? {
            Value::List(List::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// The list of whole numbers under a key; none when one is negative.
    pub fn numbers(&self, key: &str) -> Option<Vec<u64>> {
        match self.metadata.get(key)? {
            Value::List(List::Unsigned(numbers)) => Some(numbers.clone()),
            Value::List(List::Signed(numbers)) => {
                numbers.iter().map(|number| u64::try_from(*number).ok()).collect()
            }
            _ => None,
        }
    }

    /// The list of numbers with fractions under a key.
    pub fn floats(&self, key: &str) -> Option<&[f64]> {
        match self.metadata.get(key)? {
            Value::List(List::Float(numbers)) => Some(numbers),
            _ => None,
        }
    }

    /// A model in several files would need them all at once.
    fn refuse_parts(&self) -> Result<(), Fault> {
        match self.number("split.count") {
            Some(parts) if parts > 1 => Err(unsupported(format!(
                "The file is one of {parts} parts of a model. Join them into one file first, with \
                 `gguf-split --merge`."
            ))),
            _ => Ok(()),
        }
    }

    fn alignment(&self) -> Result<u64, Fault> {
        let Some(value) = self.metadata.get("general.alignment") else {
            return Ok(ALIGNMENT_DEFAULT);
        };
        match self.number("general.alignment") {
            Some(bytes) if bytes.is_power_of_two() && bytes <= ALIGNMENT_MAX => Ok(bytes),
            _ => Err(damaged(format!(
                "The file's alignment is no power of two up to {ALIGNMENT_MAX}: {value:?}."
            ))),
        }
    }
}

fn version(source: &mut Source<impl Read + Seek>) -> Result<u32, Fault> {
    if source.file_bytes() == 0 {
        return Err(damaged("The file is empty."));
    }
    if source.array::<4>("The first word")? != *MAGIC {
        return Err(damaged("This is no GGUF file: it does not begin with GGUF."));
    }
    let version = source.u32("The version")?;
    match version {
        2 | 3 => Ok(version),
        1 => Err(unsupported("The file is GGUF version 1, which is no longer read. Convert it.")),
        _ if matches!(version.swap_bytes(), 1..=3) => {
            Err(unsupported("The file was written for big-endian machines."))
        }
        _ => Err(unsupported(format!("The file is GGUF version {version}; 2 and 3 are read."))),
    }
}

/// How many of something follow; refused before a single one is read when they cannot all be there.
fn count(
    source: &mut Source<impl Read + Seek>,
    what: &str,
    most: u64,
    least: u64,
) -> Result<u64, Fault> {
    let count = source.u64(what)?;
    if count > most {
        return Err(damaged(format!("The file announces {count} {what}; {most} are allowed.")));
    }
    source.ask_for(count, least, what)?;
    Ok(count)
}

fn metadata(
    source: &mut Source<impl Read + Seek>,
    count: u64,
) -> Result<BTreeMap<String, Value>, Fault> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = source.name("A key")?;
        let code = source.u32(&key)?;
        let value = source.value(code, &key)?;
        if metadata.contains_key(&key) {
            return Err(damaged(format!("The key {key} is there twice.")));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}
