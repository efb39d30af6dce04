//! The rows on disk: one file, written beside and renamed, trusted only when its hash is right.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::codes::{Codes, Row};
use crate::base::fault::Fault;
use crate::base::mark::Mark;

/// What the file begins with; the last character is the format's version.
const MAGIC: &[u8; 8] = b"ILOTVEC1";
/// No header is longer.
const HEADER_BYTES_MAX: u32 = 4096;
const HASH_BYTES: usize = 32;

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) mark: Mark,
    pub(super) model: String,
    pub(super) dimension: usize,
    pub(super) count: usize,
}

/// Writes the rows; they are durable when it returns.
pub(super) fn write(path: &Path, header: &Header, codes: &Codes) -> Result<(), Fault> {
    let broken = |e| Fault::broken("writing the vectors", e);
    let beside = path.with_extension("new");
    let file = File::create(&beside).map_err(broken)?;
    let mut out = Hashing { inner: BufWriter::new(file), hasher: Sha256::new() };
    let head = serde_json::to_vec(header).map_err(|e| Fault::broken("writing a header", e))?;
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    let mut all = || -> std::io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&head)?;
        for id in codes.ids() {
            out.write_all(&id.to_le_bytes())?;
        }
        for inverse in codes.inverses() {
            out.write_all(&inverse.to_le_bytes())?;
        }
        let mut bytes = Vec::new();
        for block in codes.filled() {
            bytes.clear();
            bytes.extend(block.iter().map(|c| c.cast_unsigned()));
            out.write_all(&bytes)?;
        }
        let hash = out.hasher.clone().finalize();
        out.inner.write_all(&hash)?;
        out.inner.flush()?;
        out.inner.get_ref().sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    all().map_err(broken)
}

/// Reads the rows; none when there is no file.
///
/// # Errors
/// `index_damaged` for anything doubtful.
pub(super) fn read(path: &Path) -> Result<Option<(Header, Codes)>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(damaged("they cannot be read").because(e)),
    };
    let length = file.metadata().map_err(|e| damaged("they cannot be read").because(e))?.len();
    let mut input = Hashing { inner: BufReader::new(file), hasher: Sha256::new() };
    let read = rows(&mut input, length).map_err(|e| damaged("their file is cut").because(e))?;
    let (header, codes) = read.ok_or_else(|| damaged("their file makes no sense"))?;
    let hash = input.hasher.clone().finalize();
    let mut stored = [0; HASH_BYTES];
    input.inner.read_exact(&mut stored).map_err(|e| damaged("their file is cut").because(e))?;
    if hash.as_slice() != stored {
        return Err(damaged("their file is not what was written"));
    }
    Ok(Some((header, codes)))
}

fn rows(
    input: &mut Hashing<BufReader<File>>,
    length: u64,
) -> std::io::Result<Option<(Header, Codes)>> {
    let mut start = [0; 12];
    input.read_exact(&mut start)?;
    let Some((magic, head)) = start.split_first_chunk::<8>() else { return Ok(None) };
    let head = u32::from_le_bytes(head.try_into().unwrap_or_default());
    if magic != MAGIC || head > HEADER_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; head as usize];
    input.read_exact(&mut bytes)?;
    let Ok(header) = serde_json::from_slice::<Header>(&bytes) else { return Ok(None) };
    // The arithmetic comes before the memory: a damaged count must not ask for terabytes.
    let expected = (header.dimension as u64)
        .checked_add(12)
        .and_then(|row| row.checked_mul(header.count as u64))
        .and_then(|body| body.checked_add(12 + u64::from(head) + HASH_BYTES as u64));
    if expected != Some(length) {
        return Ok(None);
    }
    let Ok(mut codes) = Codes::new(header.dimension) else { return Ok(None) };
    let mut ids = vec![0; header.count * 8];
    input.read_exact(&mut ids)?;
    let mut inverses = vec![0; header.count * 4];
    input.read_exact(&mut inverses)?;
    let (ids, _) = ids.as_chunks::<8>();
    let (inverses, _) = inverses.as_chunks::<4>();
    let mut bytes = vec![0; header.dimension];
    let mut row = Row { codes: vec![0; header.dimension], inverse: 0.0 };
    for (id, inverse) in ids.iter().zip(inverses) {
        input.read_exact(&mut bytes)?;
        row.inverse = f32::from_le_bytes(*inverse);
        for (code, byte) in row.codes.iter_mut().zip(&bytes) {
            *code = byte.cast_signed();
        }
        if !row.inverse.is_finite() || codes.put(u64::from_le_bytes(*id), &row).unwrap_or(true) {
            return Ok(None);
        }
    }
    Ok(Some((header, codes)))
}

/// The SHA-256 of a file.
pub(super) fn hash(path: &Path) -> std::io::Result<[u8; HASH_BYTES]> {
    let mut hashing = Hashing { inner: std::io::sink(), hasher: Sha256::new() };
    std::io::copy(&mut BufReader::with_capacity(1 << 18, File::open(path)?), &mut hashing)?;
    Ok(hashing.hasher.finalize().into())
}

/// Hashes what goes by.
struct Hashing<T> {
    inner: T,
    hasher: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}

pub(super) fn damaged(why: &str) -> Fault {
    Fault::unavailable("index_damaged", format!("The stored vectors are not usable: {why}."))
}
