//! The files of models: their names, their way into the folder, and whether they are still what they were.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::Digest;

use super::{Models, NONE, WEIGHTS, locked};
use crate::base::disk::{Disk, MachineDisk};
use crate::base::fault::{Fault, Kind};
use crate::base::health::Level;
use crate::base::tasks::Handle;
use crate::domains::assistant::records::Sha256;
use crate::domains::assistant::records::talk::{Model, ModelFile, Purpose};

/// How the folder of a model is called while it is on its way in.
pub(super) const UNFINISHED: &str = ".part";
/// How the folder of a model is called while it is on its way out.
pub(super) const LEAVING: &str = ".gone";
/// The longest name of a model, characters.
const NAME_MAX: usize = 64;
/// Names that mean something else where a model is named.
const RESERVED: &[&str] = &[NONE, "upstream", "rescan"];
/// Room that models leave on the disk, bytes.
const RESERVE: u64 = 256 << 20;
/// Bytes copied or hashed at once.
const BLOCK: usize = 1 << 20;
/// How often the files of the chosen model are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_mins(1);
/// The part of the box that the health page knows these files by.
const PART: &str = "language model";

/// What tells that a file was touched, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            inode: meta.ino(),
        })
    }
}

/// How a model's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Whole,
    Missing,
    Damaged,
}

/// A model's name as it is kept, from what a person or a file calls it.
///
/// # Errors
/// `model_name_invalid` when nothing is left of it, or it means something else.
pub(super) fn tidy(name: &str) -> Result<String, Fault> {
    let stem = name.trim().strip_suffix(WEIGHTS).unwrap_or(name.trim());
    let mut tidy = String::new();
    for c in stem.chars().flat_map(char::to_lowercase) {
        let kept = if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        // No run of dashes, and nothing in front that would hide the folder.
        if !(kept == '-' && tidy.ends_with('-') || tidy.is_empty() && ".-_".contains(kept)) {
            tidy.push(kept);
        }
    }
    let tidy: String = tidy.chars().take(NAME_MAX).collect();
    let tidy = tidy.trim_end_matches(['.', '-', '_']);
    let taken = tidy.ends_with(UNFINISHED) || tidy.ends_with(LEAVING) || RESERVED.contains(&tidy);
    if tidy.is_empty() || taken {
        return Err(Fault::invalid(
            "model_name_invalid",
            format!("'{name}' cannot be the name of a model: take letters, digits, '.', '-', '_'."),
        ));
    }
    Ok(tidy.to_owned())
}

/// Bytes that a model may take of a disk.
pub(super) fn room(folder: &Path) -> Result<u64, Fault> {
    let free = MachineDisk
        .free_bytes(folder)
        .map_err(|e| Fault::broken("looking at the room for models", e))?;
    Ok(free.saturating_sub(RESERVE))
}

/// Refuses bytes that would not leave the disk its reserve.
///
/// # Errors
/// `disk_full` with the numbers.
pub(super) fn check_room(bytes: u64, room: u64) -> Result<(), Fault> {
    if bytes <= room {
        return Ok(());
    }
    let (wanted, room, kept) = (bytes >> 20, room >> 20, RESERVE >> 20);
    Err(Fault::new(
        Kind::Full,
        "disk_full",
        format!(
            "The model has {wanted} MiB; there is room for {room} MiB, {kept} MiB are kept free."
        ),
    ))
}

/// Brings a file to its place: moved where that is possible, else copied, and durable either way.
///
/// # Errors
/// `disk_full`, or what the file system says.
pub(super) fn bring(from: &Path, to: &Path, mut moved: impl FnMut(u64)) -> Result<(), Fault> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::StorageFull => {
            Fault::new(Kind::Full, "disk_full", "The disk is full.").because(e)
        }
        _ => Fault::broken("bringing a model to its place", e),
    };
    if fs::rename(from, to).is_ok() {
        let file = File::open(to).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        moved(file.metadata().map_err(failed)?.len());
        return Ok(());
    }
    let (mut read, mut written) =
        (File::open(from).map_err(failed)?, File::create_new(to).map_err(failed)?);
    let mut block = vec![0; BLOCK];
    loop {
        let count = read.read(&mut block).map_err(failed)?;
        let Some(bytes) = block.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        written.write_all(bytes).map_err(failed)?;
        moved(count as u64);
    }
    written.sync_all().map_err(failed)
}

/// Makes what was done in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), Fault> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| Fault::broken("making a model's folder durable", e))
}

/// Takes away what a crash left of models on their way in and out.
pub(super) fn forget_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(UNFINISHED) || name.ends_with(LEAVING) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The names of folders below `folder` that could hold a model, sorted.
pub(super) fn folders(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            !name.starts_with('.') && !name.ends_with(UNFINISHED) && !name.ends_with(LEAVING)
        })
        .collect();
    names.sort();
    names
}

/// The weights in a folder and their bytes, largest first.
pub(super) fn weights(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found: Vec<(PathBuf, u64)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(WEIGHTS))
        .filter_map(|entry| Some((entry.path(), fs::metadata(entry.path()).ok()?.len())))
        .collect();
    found.sort_by_key(|(path, bytes)| (std::cmp::Reverse(*bytes), path.clone()));
    found
}

impl Models {
    /// How a model's files are, as far as that shows without reading them, or was found by reading.
    pub(super) fn condition(&self, model: &Model) -> Condition {
        let folder = self.folder_of(&model.name);
        let mut worst = Condition::Whole;
        for file in &model.files {
            let path = folder.join(&file.name);
            let Some(stamp) = Stamp::of(&path) else { return Condition::Missing };
            let known = locked(&self.0.compared).get(&path).copied();
            let differs = known.is_some_and(|(seen, good)| seen == stamp && !good);
            if stamp.bytes != file.bytes || differs {
                worst = Condition::Damaged;
            }
        }
        worst
    }

    /// Reads the files of a model that were touched since they were last read, and compares their
    /// hashes with those they had when the model was let in.
    pub(super) fn compare(&self, model: &Model, handle: &Handle) -> Result<Condition, Fault> {
        let folder = self.folder_of(&model.name);
        for file in &model.files {
            let path = folder.join(&file.name);
            let Some(stamp) = Stamp::of(&path).filter(|stamp| stamp.bytes == file.bytes) else {
                continue;
            };
            let known = locked(&self.0.compared).get(&path).copied();
            if known.is_none_or(|(seen, _)| seen != stamp) {
                let Some(good) = is_still(&path, file, handle)? else { break };
                locked(&self.0.compared).insert(path, (stamp, good));
            }
        }
        Ok(self.condition(model))
    }

    /// The chosen model, and what is wrong with it: its files are gone or others than they were, or
    /// the memory it needs is not there. None when no model is chosen.
    ///
    /// # Errors
    /// What the store or the file system says.
    pub fn judge(&self, handle: &Handle) -> Result<Option<(String, Option<Fault>)>, Fault> {
        let Some(model) = self.chosen(Purpose::Language)? else { return Ok(None) };
        let name = model.name.clone();
        let wrong = match self.compare(&model, handle)? {
            Condition::Whole => self.fits(&model).err(),
            Condition::Missing => Some(missing(&name)),
            Condition::Damaged => Some(damaged(&name)),
        };
        Ok(Some((name, wrong)))
    }

    /// One turn of looking after the chosen model: what is wrong is told before somebody asks it.
    pub(super) fn look_after(&self, handle: &Handle) -> Result<(), Fault> {
        let health = &self.0.health;
        match self.judge(handle)? {
            None => health.forget(PART),
            Some((name, None)) => health.well(PART, format!("The files of {name} are whole.")),
            Some((_, Some(fault))) if fault.code == "model_too_large" => health.report(
                PART,
                Level::Reduced,
                fault.message,
                "Choose a smaller model, or give the box more memory.",
            ),
            Some((_, Some(fault))) => health.report(
                PART,
                Level::Failed,
                fault.message,
                "Remove it with 'ilot model remove' and add it again from where it came.",
            ),
        }
        Ok(())
    }
}

/// Files of a model are gone.
pub(super) fn missing(name: &str) -> Fault {
    Fault::conflict("model_missing", format!("Files of the model '{name}' are gone."))
}

/// Files of a model are not what they were when it was let in.
pub(super) fn damaged(name: &str) -> Fault {
    let words = format!("Files of the model '{name}' are not what they were when it was let in.");
    Fault::conflict("model_damaged", words)
}

/// Whether a file still has the hash it was let in with; none when the box closes meanwhile.
fn is_still(path: &Path, file: &ModelFile, handle: &Handle) -> Result<Option<bool>, Fault> {
    let failed = |e: std::io::Error| Fault::broken("reading a model's file", e);
    let mut read = File::open(path).map_err(failed)?;
    let mut hasher = sha2::Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        if handle.stopped() {
            return Ok(None);
        }
        let count = read.read(&mut block).map_err(failed)?;
        let Some(bytes) = block.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
    }
    let found: Sha256 = hasher.finalize().into();
    Ok(Some(found == file.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_tidy_and_never_climb() {
        for (given, kept) in [
            ("Qwen3-0.6B-Q4_K_M.gguf", "qwen3-0.6b-q4_k_m"),
            ("  Mon modèle (à moi)  ", "mon-mod-le-moi"),
            ("../../etc/passwd", "etc-passwd"),
            ("a--b", "a-b"),
            ("trailing-.", "trailing"),
        ] {
            assert_eq!(tidy(given).unwrap(), kept, "{given}");
        }
        assert_eq!(tidy(&"x".repeat(500)).unwrap().len(), NAME_MAX);
        for bad in ["", "..", ".gguf", "none", "Upstream.gguf", "rescan", "a.part", "é"] {
            assert_eq!(tidy(bad).unwrap_err().code, "model_name_invalid", "{bad}");
        }
    }

    #[test]
    fn a_model_that_leaves_no_room_is_refused_with_numbers() {
        let fault = check_room(900 << 20, 100 << 20).unwrap_err();
        assert_eq!((fault.kind, fault.code), (Kind::Full, "disk_full"));
        assert!(fault.message.contains("room for 100 MiB"), "{}", fault.message);
        assert!(check_room(100 << 20, 100 << 20).is_ok());
    }
}
