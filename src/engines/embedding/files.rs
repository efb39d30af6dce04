//! A model's files, looked at with suspicion before any library sees them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::card::{Card, CardFile, damaged, missing};
use crate::base::fault::Fault;

/// The network's shape.
pub(super) const CONFIG: &str = "config.json";
/// How text becomes tokens.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// The numbers.
pub(super) const WEIGHTS: &str = "model.safetensors";

/// Remembers which files were hashed, so that a cold start need not read 90 MB twice.
const STAMP: &str = ".verified.json";
/// Bytes hashed at a time.
const HASH_BLOCK: usize = 256 * 1024;
/// The longest header safetensors itself allows.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// What a file looked like when its hash was last computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    bytes: u64,
    modified_ns: u64,
    sha256: String,
}

/// Checks that every file of `card` is in `folder` with the right length and hash.
///
/// A file whose length and time are as they were when it was last hashed is not hashed again; the
/// note of that is a convenience against bit rot and half copies, not a defence against an owner
/// of the folder, who could replace the card as well.
///
/// # Errors
/// `model_missing`, `model_damaged`.
pub(super) fn verify(folder: &Path, card: &Card) -> Result<(), Fault> {
    let stamp = folder.join(STAMP);
    let before: BTreeMap<String, Seen> = fs::read(&stamp)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut now = BTreeMap::new();
    for file in &card.files {
        now.insert(file.name.clone(), look(folder, file, before.get(&file.name))?);
    }
    if now != before
        && let Ok(bytes) = serde_json::to_vec(&now)
        && let Err(e) = fs::write(&stamp, bytes)
    {
        // A model on read-only media is hashed at each start, nothing worse.
        tracing::debug!("the note of verified model files was not written: {e}");
    }
    Ok(())
}

fn look(folder: &Path, file: &CardFile, before: Option<&Seen>) -> Result<Seen, Fault> {
    let path = folder.join(&file.name);
    let facts = fs::metadata(&path).map_err(|e| missing(&file.name).because(e))?;
    if facts.len() != file.bytes {
        return Err(damaged(format!(
            "{} has {} bytes instead of {}.",
            file.name,
            facts.len(),
            file.bytes
        )));
    }
    let modified_ns = facts
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or_default();
    let known = before.filter(|s| s.bytes == facts.len() && s.modified_ns == modified_ns);
    let sha256 = match known {
        Some(seen) => seen.sha256.clone(),
        None => hash(&path).map_err(|e| damaged("A model file cannot be read.").because(e))?,
    };
    if !sha256.eq_ignore_ascii_case(&file.sha256) {
        return Err(damaged(format!("{} is not the file its card describes.", file.name)));
    }
    Ok(Seen { bytes: facts.len(), modified_ns, sha256 })
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; HASH_BLOCK];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        hasher.update(block.get(..read).unwrap_or_default());
    }
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Checks the arithmetic of a safetensors file: header length, shapes, sizes and offsets.
///
/// The library trusts more of it than is good for a file from a customer's stick.
///
/// # Errors
/// `model_damaged`.
pub(super) fn check_safetensors(bytes: &[u8]) -> Result<(), Fault> {
    let bad = |why: &str| damaged(format!("{WEIGHTS}: {why}."));
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| bad("too short"))?;
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return Err(bad("its header is too long"));
    }
    let length = usize::try_from(length).map_err(|_| bad("its header is too long"))?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(|| bad("its header is cut"))?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| bad("its header is no JSON").because(e))?;
    let data_bytes = data.len() as u64;
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let entry: Entry = serde_json::from_value(value)
            .map_err(|e| bad("an entry of its header makes no sense").because(e))?;
        let width = match entry.dtype.as_str() {
            "F64" | "I64" | "U64" => 8,
            "F32" | "I32" | "U32" => 4,
            "F16" | "BF16" | "I16" | "U16" => 2,
            "I8" | "U8" | "BOOL" => 1,
            _ => return Err(bad("it holds numbers of an unknown kind")),
        };
        let bytes =
            entry.shape.iter().try_fold(width, |product: u64, side| product.checked_mul(*side));
        let (from, to) = entry.data_offsets;
        if to > data_bytes || to.checked_sub(from) != bytes || bytes.is_none() {
            return Err(bad("a tensor's size does not fit its place"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let good = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        assert!(check_safetensors(&file(good, 24)).is_ok());
        for (header, data) in [
            (good, 23),
            (r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}}"#, 24),
            (r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[24,0]}}"#, 24),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 24),
            (r#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,1]}}"#, 24),
            (r#"{"a":3}"#, 24),
            ("nonsense", 24),
        ] {
            let fault = check_safetensors(&file(header, data)).expect_err(header);
            assert_eq!(fault.code, "model_damaged", "{header}");
        }
        assert!(check_safetensors(&[1, 2, 3]).is_err());
        assert!(check_safetensors(&u64::MAX.to_le_bytes()).is_err());
    }
}
