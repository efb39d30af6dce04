//! The arithmetic of a safetensors file, checked before the library that trusts it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::card::damaged;
use super::files::WEIGHTS;
use crate::base::fault::Fault;

/// The longest header safetensors itself allows.
const HEADER_BYTES_MAX: u64 = 100_000_000;

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
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
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
        assert!(check(&file(good, 24)).is_ok());
        for (header, data) in [
            (good, 23),
            (r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}}"#, 24),
            (r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[24,0]}}"#, 24),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 24),
            (r#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,1]}}"#, 24),
            (r#"{"a":3}"#, 24),
            ("nonsense", 24),
        ] {
            let fault = check(&file(header, data)).expect_err(header);
            assert_eq!(fault.code, "model_damaged", "{header}");
        }
        assert!(check(&[1, 2, 3]).is_err());
        assert!(check(&u64::MAX.to_le_bytes()).is_err());
    }
}
