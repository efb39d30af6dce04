//! The reading side of the outbox: whole lines only, each proved by its hash, and what is wrong named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::{BEFORE_HASH, DONE, ENDING, ENTRY_MAX, Entry, Head, hash};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::continuity::place::{Place, make_folder};

/// How long a try again may come after its entry was taken into the store.
const OF_LATE: Duration = Duration::from_hours(24);
/// Digits of a hash.
const DIGITS: usize = 64;
/// The bits of a version-7 UUID that tell the milliseconds since 1970 (RFC 9562 §5.7).
const STAMP_BYTES: usize = 6;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
    /// How many lines cannot be read at all.
    pub lines_lost: u64,
}

/// One file of the outbox, as far as it is whole.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxFile {
    /// Its name.
    pub id: Id,
    /// Its first line; made up from the name when that cannot be read.
    pub head: Head,
    /// Its entries, in order. Those behind a damaged line are among them when their own hashes hold.
    pub entries: Arc<Vec<Entry>>,
    /// The first thing that is wrong with it.
    pub damage: Option<Damage>,
    /// Whether its writer lives.
    pub live: bool,
    /// Bytes of a last line that was never finished, and so never answered.
    pub torn_bytes: u64,
    /// Whether it lies among those that were taken.
    pub archived: bool,
    /// Changes whenever the follower had to read the file anew: what came before counts for nothing.
    pub epoch: u64,
}

/// Reads the outbox again and again, and each line of it once.
#[derive(Debug, Default)]
pub struct Follower {
    files: BTreeMap<Id, Progress>,
    /// How often a file was read from its beginning.
    epochs: u64,
}

/// How far a file was read.
#[derive(Debug)]
struct Progress {
    epoch: u64,
    inode: u64,
    /// Whether the disk failed to keep what a living writer wrote: nothing more is believed till it is gone.
    doubtful: bool,
    seen: u64,
    offset: u64,
    line: u64,
    previous: String,
    next: u64,
    head: Option<Head>,
    entries: Arc<Vec<Entry>>,
    damage: Option<Damage>,
}

impl Follower {
    /// Every file that is not archived, oldest first. Files that have not grown are not read again.
    ///
    /// # Errors
    /// What the file system says.
    pub fn waiting(&mut self, place: &Place) -> Result<Vec<OutboxFile>, Fault> {
        let mut found = Vec::new();
        let names = names(&place.outbox()).map_err(|e| Fault::broken("listing the outbox", e))?;
        self.files.retain(|id, _| names.contains(id));
        for id in names {
            match self.read(id, &path(&place.outbox(), id)) {
                Ok(file) => found.push(file),
                // It was archived between the list and the look.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Fault::broken("reading the outbox", e)),
            }
        }
        Ok(found)
    }

    fn read(&mut self, id: Id, path: &Path) -> io::Result<OutboxFile> {
        let mut file = File::open(path)?;
        let live = is_held(&file);
        let seen = file.metadata()?;
        let (inode, len) = (seen.ino(), seen.len());
        let same = |known: &Progress| known.inode == inode && len >= known.offset;
        if !self.files.get(&id).is_some_and(same) {
            self.epochs += 1;
            self.files.insert(id, Progress::new(self.epochs, inode));
        }
        let epoch = self.epochs;
        let progress = self.files.entry(id).or_insert_with(|| Progress::new(epoch, inode));
        if len > progress.seen && !(live && progress.doubtful) {
            // What is taken from here must not be gone after a power cut that its writer never saw.
            match file.sync_data() {
                Ok(()) => {
                    progress.follow(&mut file, len)?;
                    progress.seen = len;
                }
                // Its writer is about to hear of it and to cut it off, and a second sync would lie.
                Err(cause) if live => {
                    tracing::warn!(file = %id, "the disk did not keep it: {cause}");
                    progress.doubtful = true;
                }
                Err(cause) => return Err(cause),
            }
        }
        progress.seen = progress.seen.min(len);
        Ok(OutboxFile {
            id,
            head: progress.head.clone().unwrap_or_else(|| head_by_name(id)),
            entries: progress.entries.clone(),
            damage: progress.damage.clone(),
            live,
            torn_bytes: len.saturating_sub(progress.offset),
            archived: false,
            epoch: progress.epoch,
        })
    }
}

impl Progress {
    fn new(epoch: u64, inode: u64) -> Self {
        Self {
            epoch,
            inode,
            doubtful: false,
            seen: 0,
            offset: 0,
            line: 0,
            previous: String::new(),
            next: 0,
            head: None,
            entries: Arc::default(),
            damage: None,
        }
    }

    fn follow(&mut self, file: &mut File, len: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(len - self.offset).read_to_end(&mut bytes)?;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else { break };
            self.line += 1;
            self.offset += line.len() as u64 + 1;
            if self.line == 1 { self.take_head(line) } else { self.take(line) }
        }
        Ok(())
    }

    fn take_head(&mut self, line: &[u8]) {
        self.previous = hash(line);
        match serde_json::from_slice(line) {
            Ok(head) => self.head = Some(head),
            Err(e) => self.damaged(&format!("the head cannot be read: {e}"), 0),
        }
    }

    fn take(&mut self, line: &[u8]) {
        match read_entry(line) {
            Ok(entry) => {
                if entry.seq != self.next || entry.previous != self.previous {
                    self.damaged("it does not follow the line before", 0);
                }
                self.next = entry.seq + 1;
                self.previous.clone_from(&entry.hash);
                Arc::make_mut(&mut self.entries).push(entry);
            }
            Err(what) => self.damaged(&what, 1),
        }
    }

    /// The first damage stays; what comes after it follows from it more often than not.
    fn damaged(&mut self, what: &str, lost: u64) {
        let line = self.line;
        let damage = self.damage.get_or_insert_with(|| Damage {
            line,
            what: what.to_owned(),
            lines_lost: 0,
        });
        damage.lines_lost += lost;
    }
}

/// Every file of the outbox that is not archived, oldest first, read from its beginning.
///
/// # Errors
/// What the file system says.
pub fn waiting(place: &Place) -> Result<Vec<OutboxFile>, Fault> {
    Follower::default().waiting(place)
}

/// Moves a file among those that were taken whole.
///
/// # Errors
/// `outbox_file_live` (409) while its writer lives, `not_found`, or what the file system says.
pub fn archive(place: &Place, id: Id) -> Result<(), Fault> {
    let from = path(&place.outbox(), id);
    let done = place.outbox().join(DONE);
    let moved = || -> io::Result<bool> {
        if is_held(&File::open(&from)?) {
            return Ok(false);
        }
        make_folder(&done)?;
        fs::rename(&from, path(&done, id))?;
        File::open(&done)?.sync_all()?;
        File::open(place.outbox())?.sync_all()?;
        Ok(true)
    };
    match moved() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::conflict("outbox_file_live", "Plan B still writes this file.")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Fault::not_found("outbox file")),
        Err(e) => Err(Fault::broken("archiving an outbox file", e)),
    }
}

/// The files that were taken whole, oldest first.
///
/// # Errors
/// What the file system says.
pub fn archived(place: &Place) -> Result<Vec<OutboxFile>, Fault> {
    let done = place.outbox().join(DONE);
    let names = names(&done).map_err(|e| Fault::broken("listing the taken files", e))?;
    let mut follower = Follower::default();
    let files = names.into_iter().filter_map(|id| follower.read(id, &path(&done, id)).ok());
    Ok(files.map(|file| OutboxFile { archived: true, ..file }).collect())
}

/// Those of them that were written within the last day.
pub(super) fn archived_of_late(place: &Place, now: Moment) -> Vec<OutboxFile> {
    let done = place.outbox().join(DONE);
    let recent = |id: &Id| {
        let seen = fs::metadata(path(&done, *id));
        seen.is_ok_and(|seen| now.since(Moment(seen.mtime().saturating_mul(1000))) < OF_LATE)
    };
    let names = names(&done).unwrap_or_default();
    let mut follower = Follower::default();
    let files = names.into_iter().filter(recent);
    let files = files.filter_map(|id| follower.read(id, &path(&done, id)).ok());
    files.map(|file| OutboxFile { archived: true, ..file }).collect()
}

/// Deletes archived files that were begun before `before`; the answer is how many.
///
/// # Errors
/// What the file system says.
pub fn forget_archived(place: &Place, before: Moment) -> Result<usize, Fault> {
    let done = place.outbox().join(DONE);
    let names = names(&done).map_err(|e| Fault::broken("listing the taken files", e))?;
    let mut gone = 0;
    for id in names.into_iter().filter(|id| begun_at(*id) < before) {
        fs::remove_file(path(&done, id)).map_err(|e| Fault::broken("deleting a taken file", e))?;
        gone += 1;
    }
    Ok(gone)
}

/// An entry that is what its hash says, or why it is not.
fn read_entry(line: &[u8]) -> Result<Entry, String> {
    if line.len() > ENTRY_MAX {
        return Err("it is longer than an entry may be".to_owned());
    }
    let tail = BEFORE_HASH.len() + DIGITS + 2;
    let (front, back) = line
        .split_at_checked(line.len().saturating_sub(tail))
        .filter(|(_, back)| back.starts_with(BEFORE_HASH) && back.ends_with(b"\"}"))
        .ok_or("it does not end in a hash")?;
    let entry: Entry =
        serde_json::from_slice(line).map_err(|e| format!("it cannot be read: {e}"))?;
    let told = back.get(BEFORE_HASH.len()..BEFORE_HASH.len() + DIGITS).unwrap_or_default();
    if hash(front).as_bytes() != told {
        return Err("it is not what its hash says".to_owned());
    }
    Ok(entry)
}

/// The names of the files in a folder, oldest first; none when there is no such folder.
fn names(folder: &Path) -> io::Result<BTreeSet<Id>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(e),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            names.extend(
                path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<Id>().ok()),
            );
        }
    }
    Ok(names)
}

fn path(folder: &Path, id: Id) -> PathBuf {
    folder.join(format!("{id}.{ENDING}"))
}

/// Whether somebody holds the file to write it.
fn is_held(file: &File) -> bool {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(file, FlockOperation::Unlock);
            false
        }
        Err(refused) => refused == rustix::io::Errno::WOULDBLOCK,
    }
}

fn head_by_name(id: Id) -> Head {
    Head { file: id, node_id: String::new(), begun_at: begun_at(id), pack_generation: 0 }
}

/// A file is named at the moment it is begun.
fn begun_at(id: Id) -> Moment {
    let stamp = id.0.iter().take(STAMP_BYTES).fold(0, |sum, byte| sum << 8 | i64::from(*byte));
    Moment(stamp)
}
