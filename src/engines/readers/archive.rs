//! The ZIP inside office documents, read in memory and never trusted: no bomb, no overlap, no twin.

use std::io::{self, Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::extract::Limits;
use super::faults;
use crate::base::fault::Fault;

/// The magic of the compound file in which Office hides an encrypted document.
const COMPOUND_FILE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// An opened archive; it counts what it unpacks, whatever the headers claim.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: u64,
}

impl<'a> Archive<'a> {
    /// Opens an archive and looks at its directory. Nothing is unpacked yet.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        if bytes.starts_with(COMPOUND_FILE) {
            return Err(if holds_encrypted_package(bytes) {
                faults::encrypted()
            } else {
                faults::damaged("The file is an old Office document under a new name.")
            });
        }
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(refusal)?;
        if zip.len() > limits.entries_max {
            return Err(faults::too_large("The document is an archive of too many files."));
        }
        if zip.has_duplicate_names() {
            return Err(faults::damaged("The document holds two parts of the same name."));
        }
        if zip.has_overlapping_files().map_err(refusal)? {
            return Err(faults::damaged("The document holds parts that overlap."));
        }
        let by_ratio = (bytes.len() as u64).saturating_mul(limits.ratio_max);
        let left = by_ratio.max(Limits::RATIO_FREE).min(limits.unpacked_max);
        Ok(Self { zip, left })
    }

    /// The bytes of one part, or nothing when there is no such part.
    pub fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let mut bytes = Vec::new();
        match self.zip.by_name(name) {
            Ok(file) => file.take(self.left + 1).read_to_end(&mut bytes).map_err(unpacking)?,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(refusal(e)),
        };
        self.spend(bytes.len() as u64)?;
        Ok(Some(bytes))
    }

    /// Unpacks every part into nothing, so that another reader may then open the archive.
    pub fn prove(&mut self) -> Result<(), Fault> {
        for at in 0..self.zip.len() {
            let file = self.zip.by_index(at).map_err(refusal)?;
            let unpacked = io::copy(&mut file.take(self.left + 1), &mut io::sink());
            let unpacked = unpacked.map_err(unpacking)?;
            self.spend(unpacked)?;
        }
        Ok(())
    }

    fn spend(&mut self, unpacked: u64) -> Result<(), Fault> {
        match self.left.checked_sub(unpacked) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(faults::too_large("The document unpacks to far more than its own size.")),
        }
    }
}

fn refusal(error: ZipError) -> Fault {
    match error {
        ZipError::UnsupportedArchive(why) if why == ZipError::PASSWORD_REQUIRED => {
            faults::encrypted()
        }
        error => faults::damaged("The document's archive cannot be read.").because(error),
    }
}

fn unpacking(error: io::Error) -> Fault {
    faults::of_io("A part of the document cannot be unpacked.", error)
}

/// The directory of a compound file names its streams in UTF-16.
fn holds_encrypted_package(bytes: &[u8]) -> bool {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.windows(name.len()).any(|w| w == name)
}
