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
