//! Files: bytes kept once by their hash, in parts, counted by the documents that have them.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::Digest;

use super::records::{FILE_PART, FILE_PARTS, FILES, File, Sha256, UNFINISHED};
use crate::base::fault::Fault;
use crate::store::{Blob, Reader, Store, Tx, View, all, under};

/// Parts written in one transaction.
const PARTS_AT_ONCE: usize = 16;

/// A file on its way in: spooled to disk and hashed.
#[derive(Debug)]
pub struct Spooled {
    /// Where it lies; removed when this is dropped.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The hash of its bytes.
    pub sha256: Sha256,
    /// Whether the file is ours to remove.
    pub ours: bool,
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Spooled {
    /// Takes a file that lies elsewhere as it is, reading it once for its hash.
    ///
    /// # Errors
    /// `file_unreadable` with what the file system says.
    pub fn at(path: &Path) -> Result<Self, Fault> {
        let unreadable = |e| {
            Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", path.display()))
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        let mut hasher = sha2::Sha256::new();
        let mut size = 0;
        let mut block = vec![0; FILE_PART];
        loop {
            let read = file.read(&mut block).map_err(unreadable)?;
            let Some(bytes) = block.get(..read).filter(|b| !b.is_empty()) else { break };
            hasher.update(bytes);
            size += read as u64;
        }
        Ok(Self { path: path.to_owned(), size, sha256: hasher.finalize().into(), ours: false })
    }
}

/// Brings a spooled file's bytes into the store, unless they are there. Until a document holds them
/// they count as unfinished, and [`forget_unheld`] takes them away at the next start.
///
/// # Errors
/// `file_changed` when the file is not what was hashed, or what the store says.
pub fn keep(store: &Store, spooled: &Spooled) -> Result<(), Fault> {
    let hash = spooled.sha256;
    if store.read(|view| view.has(&FILES, &hash))? {
        return Ok(());
    }
    let changed =
        || Fault::conflict("file_changed", "The file changed while it was read; try again.");
    let mut file = std::fs::File::open(&spooled.path).map_err(|e| changed().because(e))?;
    let mut hasher = sha2::Sha256::new();
    let mut number = 0u32;
    loop {
        let mut parts = Vec::with_capacity(PARTS_AT_ONCE);
        while parts.len() < PARTS_AT_ONCE {
            let mut part = Vec::with_capacity(FILE_PART);
            let limit = FILE_PART as u64;
            file.by_ref().take(limit).read_to_end(&mut part).map_err(|e| changed().because(e))?;
            if part.is_empty() {
                break;
            }
            hasher.update(&part);
            parts.push((number, part));
            number += 1;
        }
        let last = parts.len() < PARTS_AT_ONCE;
        store.write(move |tx| {
            tx.put(&UNFINISHED, &hash, &())?;
            parts.into_iter().try_for_each(|(n, part)| tx.put(&FILE_PARTS, &(hash, n), &Blob(part)))
        })?;
        if last {
            break;
        }
    }
    let found: Sha256 = hasher.finalize().into();
    if found != hash {
        return Err(changed());
    }
    let file = File { size: spooled.size, parts: number, holders: 0 };
    store.write(
        move |tx| {
            if tx.has(&FILES, &hash)? { Ok(()) } else { tx.put(&FILES, &hash, &file) }
        },
    )
}

/// Counts one more document that has these bytes.
///
/// # Errors
/// `file_gone` when another document's end took them away meanwhile: the caller brings them again.
pub fn hold(tx: &mut Tx<'_>, hash: &Sha256) -> Result<(), Fault> {
    let mut file = tx.get(&FILES, hash)?.ok_or_else(|| {
        Fault::conflict("file_gone", "The file's bytes were removed meanwhile; send it again.")
    })?;
    file.holders += 1;
    tx.remove(&UNFINISHED, hash)?;
    tx.put(&FILES, hash, &file)
}

/// Counts one document less; the last one takes the bytes away.
///
/// # Errors
/// What the store says.
pub fn let_go(tx: &mut Tx<'_>, hash: &Sha256) -> Result<(), Fault> {
    let Some(mut file) = tx.get(&FILES, hash)? else { return Ok(()) };
    file.holders = file.holders.saturating_sub(1);
    if file.holders > 0 {
        return tx.put(&FILES, hash, &file);
    }
    tx.remove(&FILES, hash)?;
    tx.remove_span(&FILE_PARTS, &under(hash))?;
    Ok(())
}

/// Takes away bytes that no document holds: what a crash left of an upload.
///
/// # Errors
/// What the store says.
pub fn forget_unheld(store: &Store) -> Result<(), Fault> {
    let unfinished = store.read(|view| view.list(&UNFINISHED, &all(), usize::MAX))?;
    for (hash, ()) in unfinished {
        store.write_freeing(move |tx| {
            tx.remove(&UNFINISHED, &hash)?;
            if tx.get(&FILES, &hash)?.is_some_and(|file| file.holders > 0) {
                return Ok(());
            }
            tx.remove(&FILES, &hash)?;
            tx.remove_span(&FILE_PARTS, &under(&hash)).map(drop)
        })?;
    }
    Ok(())
}

/// One part of a file.
///
/// # Errors
/// What the store says.
pub fn part(view: &View, hash: &Sha256, number: u32) -> Result<Option<Vec<u8>>, Fault> {
    Ok(view.get(&FILE_PARTS, &(*hash, number))?.map(|Blob(bytes)| bytes))
}
