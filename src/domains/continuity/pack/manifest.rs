//! How a pack lies in its folder: a signed manifest, and files named after what is in them.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::part::{DoorKey, Person, Section};
use crate::base::clock::Moment;
use crate::engines::signing::{self, SIGNATURE};

/// The newest manifest.
pub(super) const MANIFEST: &str = "manifest.json";
/// The one before it.
pub(super) const PREVIOUS: &str = "manifest.previous.json";
/// Where the files lie.
const FILES: &str = "files";
/// The form of these files.
pub(super) const FORMAT: u32 = 1;
/// The longest manifest that is read, bytes.
pub(super) const MANIFEST_MAX: u64 = 8 * 1024 * 1024;
/// The longest tables' file that is written or read, bytes.
pub(super) const TABLES_MAX: u64 = 64 * 1024 * 1024;
/// What stands before the signature: it is over everything in front of this.
const BEFORE_SIGNATURE: &str = ",\"signature\":\"";
const AFTER_SIGNATURE: &str = "\"}\n";

/// What a manifest says; its signature follows it in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) site: String,
    pub(super) time_zone: String,
    pub(super) made_at: Moment,
    pub(super) node_id: String,
    /// The public half of the node's key, hexadecimal.
    pub(super) public_key: String,
    pub(super) generation: u64,
    pub(super) tables: FileEntry,
    pub(super) papers: Vec<PaperEntry>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A file of the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// A paper of the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperEntry {
    /// Its name, with an ending.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// The source it came from.
    pub source: String,
}

/// Something that is not in the pack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// What.
    pub name: String,
    /// Why, a stable word: `no_room`, `unreadable`, `changed`, `too_many_rows`, `name_taken`.
    pub why: String,
}

/// The structured file: what each source gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tables {
    pub(super) parts: Vec<Kept>,
}

/// What a source gave last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) source: String,
    /// When it gave this, once it gives nothing new any more.
    pub(super) stale_since: Option<Moment>,
    pub(super) site: String,
    pub(super) time_zone: String,
    pub(super) sections: Vec<Section>,
    pub(super) people: Vec<Person>,
    pub(super) doors: Vec<DoorKey>,
    pub(super) further: Vec<(String, serde_json::Value)>,
}

impl Manifest {
    /// The file of this manifest: its JSON with the signature as the last member.
    pub(super) fn signed(
        &self,
        sign: impl FnOnce(&[u8]) -> Result<[u8; SIGNATURE], crate::base::fault::Fault>,
    ) -> Result<Vec<u8>, crate::base::fault::Fault> {
        let text = serde_json::to_string(self)
            .map_err(|e| crate::base::fault::Fault::broken("writing a manifest", e))?;
        let open = text.strip_suffix('}').unwrap_or(&text);
        let signature = HEXLOWER.encode(&sign(open.as_bytes())?);
        Ok(format!("{open}{BEFORE_SIGNATURE}{signature}{AFTER_SIGNATURE}").into_bytes())
    }

    /// Reads a manifest whose signature holds under the key it names, or says what is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let tail = BEFORE_SIGNATURE.len() + 2 * SIGNATURE + AFTER_SIGNATURE.len();
        let (front, back) = bytes
            .split_at_checked(bytes.len().saturating_sub(tail))
            .filter(|(_, back)| {
                back.starts_with(BEFORE_SIGNATURE.as_bytes())
                    && back.ends_with(AFTER_SIGNATURE.as_bytes())
            })
            .ok_or("it does not end in a signature")?;
        let digits = back
            .get(BEFORE_SIGNATURE.len()..BEFORE_SIGNATURE.len() + 2 * SIGNATURE)
            .unwrap_or_default();
        let signature = HEXLOWER.decode(digits).map_err(|_| "its signature cannot be read")?;
        let whole = [front, b"}"].concat();
        let manifest: Self =
            serde_json::from_slice(&whole).map_err(|e| format!("it cannot be read: {e}"))?;
        if manifest.format != FORMAT {
            return Err(format!("its form is {}, not {FORMAT}", manifest.format));
        }
        let public = HEXLOWER.decode(manifest.public_key.as_bytes()).unwrap_or_default();
        if !signing::verify(&public, front, &signature) {
            return Err("its signature is not good".to_owned());
        }
        if manifest.node_id != sha256(&public) {
            return Err("its key is not that of the node it names".to_owned());
        }
        Ok(manifest)
    }

    /// Every file that this manifest needs.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let papers = self.papers.iter().map(|paper| paper.sha256.as_str());
        papers.chain([self.tables.sha256.as_str()])
    }
}

/// The folder of the files.
pub(super) fn files(pack: &Path) -> PathBuf {
    pack.join(FILES)
}

/// Where the file with that hash lies; none when it is no hash, and so perhaps a way out of the folder.
pub(super) fn file(pack: &Path, sha256: &str) -> Option<PathBuf> {
    let good = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    good.then(|| files(pack).join(sha256))
}

/// SHA-256, hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
