//! Keeps the pack fresh: asks every source, keeps the last good answer of one that fails, signs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::manifest::{
    self, FORMAT, FileEntry, Kept, MANIFEST, Manifest, PREVIOUS, TABLES_MAX, Tables, sha256,
};
use super::part::{Paper, Part, Source};
use super::reading::{Pack, check, look};
use super::{LeftOut, PackState, PaperEntry, Seal};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::{Fault, Kind};
use crate::base::health::{Health, Level};
use crate::base::paths::write_private;
use crate::base::tasks::{Handle, Tasks, caught};
use crate::domains::continuity::place::{Place, make_folder};
use crate::domains::continuity::settings::ContinuitySettings;

/// How often the sources are asked.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Rows of one table; further ones are left out, and that is said.
pub const ROWS_MAX: usize = 5_000;
/// Bytes that are copied in one go.
const CHUNK: usize = 256 * 1024;
const OWNER_ONLY: u32 = 0o600;
const MIB: u64 = 1024 * 1024;
/// The part of the box that the pack's health is told under.
const PART: &str = "continuity_pack";
const LOCK: &str = ".lock";

/// How large a pack may be, and how old before it is signed anew.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After so long an unchanged pack is signed anew.
    pub age: Duration,
    /// Bytes of all papers together.
    pub papers: u64,
}

impl Limits {
    /// Those of the settings.
    pub fn of(settings: &ContinuitySettings) -> Self {
        Self {
            age: Duration::from_secs(settings.pack_minutes.saturating_mul(60)),
            papers: settings.pack_documents_mib.saturating_mul(MIB),
        }
    }
}

/// What keeps the pack fresh. Clones are the same one.
#[derive(Clone)]
pub struct Packer(Arc<Inside>);

struct Inside {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    seal: Seal,
    limits: Limits,
    sources: Mutex<Vec<(&'static str, Source)>>,
    /// Files that this process has looked at and found whole. Held while a pack is written.
    whole: Mutex<BTreeSet<String>>,
}

/// What a turn has gathered so far.
#[derive(Default)]
struct Gathered {
    tables: Tables,
    papers: Vec<PaperEntry>,
    left_out: BTreeSet<LeftOut>,
    paper_bytes: u64,
    section_ids: BTreeSet<String>,
}

impl Packer {
    /// A packer for the pack in `place` that no source gives anything to yet.
    pub fn new(place: &Place, clock: Arc<dyn Clock>, seal: Seal, limits: Limits) -> Self {
        Self(Arc::new(Inside {
            folder: place.pack(),
            clock,
            seal,
            limits,
            sources: Mutex::default(),
            whole: Mutex::default(),
        }))
    }

    /// Registers a source. Tables are shown in the order of registration; a name registered again
    /// replaces its source.
    pub fn add(&self, name: &'static str, source: Source) {
        let mut sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match sources.iter_mut().find(|(known, _)| *known == name) {
            Some(slot) => slot.1 = source,
            None => sources.push((name, source)),
        }
    }

    /// Asks every source, and writes the pack when it changed or is as old as it may be.
    ///
    /// # Errors
    /// `pack_full` (507) when the disk is full, `pack_too_large`, or what the file system says; the pack
    /// before stays as it was.
    pub fn refresh(&self) -> Result<PackState, Fault> {
        self.0.write(false)
    }

    /// As [`Packer::refresh`], whether or not anything changed.
    ///
    /// # Errors
    /// As [`Packer::refresh`].
    pub fn write_now(&self) -> Result<PackState, Fault> {
        self.0.write(true)
    }

    /// The pack as it lies there; none when there is none that can be read.
    pub fn state(&self) -> Option<PackState> {
        look(&self.0.folder, Some(&self.0.seal.public)).pack.map(|pack| pack.state())
    }

    /// Starts the task that refreshes the pack every minute and tells of it in the box's health.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks, health: &Health) -> Result<Handle, Fault> {
        let (packer, health) = (self.clone(), health.clone());
        tasks.every("continuity-pack", LOOK_EVERY, move |_| {
            packer.refresh().map(|state| Inside::tell(&state, &health))
        })
    }
}

impl Inside {
    fn write(&self, always: bool) -> Result<PackState, Fault> {
        make_folder(&manifest::files(&self.folder)).map_err(unwritable)?;
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock().map_err(|e| Fault::broken("locking the pack", e))?;
        let before = look(&self.folder, Some(&self.seal.public)).pack;
        let gathered = self.gather(before.as_ref(), &mut whole)?;
        let bytes = serde_json::to_vec(&gathered.tables)
            .map_err(|e| Fault::broken("writing the pack's tables", e))?;
        if bytes.len() as u64 > TABLES_MAX {
            return Err(Fault::too_large(
                "pack_too_large",
                format!("The pack's tables are larger than {} MiB.", TABLES_MAX / MIB),
            ));
        }
        let manifest = self.manifest(&gathered, &bytes, before.as_ref());
        let others =
            before.as_ref().is_none_or(|pack| lets_in_others(pack.tables(), &gathered.tables));
        if let Some(pack) = before.filter(|pack| !always && self.is_good_still(pack, &manifest)) {
            return Ok(pack.state());
        }
        self.lay(&manifest, &bytes, others).map_err(unwritable)?;
        whole.insert(manifest.tables.sha256.clone());
        self.clean(&manifest);
        let pack = look(&self.folder, Some(&self.seal.public)).pack;
        let pack = pack.filter(|pack| pack.generation() == manifest.generation);
        pack.map(|pack| pack.state())
            .ok_or_else(|| Fault::broken("reading the pack again", "it is not what was written"))
    }

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(OWNER_ONLY)
            .open(self.folder.join(LOCK))?;
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => Ok(file),
            Err(e) => Err(e.into()),
        }
    }

    fn gather(
        &self,
        before: Option<&Pack>,
        whole: &mut MutexGuard<'_, BTreeSet<String>>,
    ) -> Result<Gathered, Fault> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut gathered = Gathered::default();
        for (name, source) in sources {
            match caught(|| source()) {
                Ok(part) => self.take(&mut gathered, name, part, whole)?,
                Err(fault) => {
                    tracing::warn!(source = name, "a source of the pack fails: {fault}");
                    if let Some(pack) = before {
                        keep(&mut gathered, name, pack);
                    }
                }
            }
        }
        Ok(gathered)
    }

    fn take(
        &self,
        gathered: &mut Gathered,
        name: &str,
        part: Part,
        whole: &mut BTreeSet<String>,
    ) -> Result<(), Fault> {
        let mut sections = Vec::with_capacity(part.sections.len());
        for mut section in part.sections {
            if !gathered.section_ids.insert(section.id.clone()) {
                leave(gathered, &section.id, "name_taken");
                continue;
            }
            if section.rows.len() > ROWS_MAX {
                let over = section.rows.len() - ROWS_MAX;
                leave(gathered, &format!("{} (+{over})", section.id), "too_many_rows");
                section.rows.truncate(ROWS_MAX);
            }
            sections.push(section);
        }
        for paper in part.papers {
            self.take_paper(gathered, name, &paper, whole)?;
        }
        gathered.tables.parts.push(Kept {
            source: name.to_owned(),
            stale_since: None,
            site: part.site,
            time_zone: part.time_zone,
            sections,
            people: part.people,
            doors: part.doors,
            further: part.further,
        });
        Ok(())
    }

    fn take_paper(
        &self,
        gathered: &mut Gathered,
        source: &str,
        paper: &Paper,
        whole: &mut BTreeSet<String>,
    ) -> Result<(), Fault> {
        let Some(path) = manifest::file(&self.folder, &paper.sha256) else {
            leave(gathered, &paper.name, "unreadable");
            return Ok(());
        };
        if gathered.papers.iter().any(|known| known.sha256 == paper.sha256) {
            return Ok(());
        }
        if gathered.paper_bytes.saturating_add(paper.bytes) > self.limits.papers {
            leave(gathered, &paper.name, "no_room");
            return Ok(());
        }
        let there = whole.contains(&paper.sha256)
            && fs::metadata(&path).is_ok_and(|seen| seen.len() == paper.bytes);
        if !there && !matches!(check(&path, &paper.sha256, paper.bytes), Ok(None)) {
            match copy(paper, &path) {
                Ok(()) => {}
                Err(Copying::Source(fault)) => {
                    tracing::warn!(paper = paper.name, "a paper cannot be packed: {fault}");
                    leave(gathered, &paper.name, "unreadable");
                    return Ok(());
                }
                Err(Copying::Changed) => {
                    leave(gathered, &paper.name, "changed");
                    return Ok(());
                }
                Err(Copying::Disk(e)) if is_full(&e) => {
                    leave(gathered, &paper.name, "no_room");
                    return Ok(());
                }
                Err(Copying::Disk(e)) => return Err(unwritable(e)),
            }
        }
        whole.insert(paper.sha256.clone());
        gathered.paper_bytes += paper.bytes;
        gathered.papers.push(PaperEntry {
            name: paper.name.clone(),
            media_type: paper.media_type.clone(),
            sha256: paper.sha256.clone(),
            bytes: paper.bytes,
            source: source.to_owned(),
        });
        Ok(())
    }

    fn manifest(&self, gathered: &Gathered, tables: &[u8], before: Option<&Pack>) -> Manifest {
        let parts = &gathered.tables.parts;
        let first = |of: fn(&Kept) -> &String| {
            parts.iter().map(of).find(|text| !text.is_empty()).cloned().unwrap_or_default()
        };
        Manifest {
            format: FORMAT,
            site: first(|part| &part.site),
            time_zone: first(|part| &part.time_zone),
            made_at: self.clock.now(),
            node_id: self.seal.node_id.clone(),
            public_key: HEXLOWER.encode(&self.seal.public),
            generation: before.map_or(0, Pack::generation) + 1,
            tables: FileEntry { sha256: sha256(tables), bytes: tables.len() as u64 },
            papers: gathered.papers.clone(),
            left_out: gathered.left_out.iter().cloned().collect(),
        }
    }

    /// Whether the pack that is there says the same as `fresh` and is young enough.
    fn is_good_still(&self, pack: &Pack, fresh: &Manifest) -> bool {
        let there = pack.manifest();
        let now = self.clock.now();
        // A clock that was set back must not keep a pack of the future for ever.
        let young = there.made_at <= now && now.since(there.made_at) < self.limits.age;
        let same =
            Manifest { made_at: there.made_at, generation: there.generation, ..fresh.clone() }
                == *there;
        young && same && pack.verified() && !pack.previous()
    }

    /// New files first, then the manifest: a power cut at any moment leaves a whole pack. One that lets
    /// in `others` than the one before stands in that one's place too: whoever was let go must not come
    /// back with it when the newest manifest is damaged.
    fn lay(&self, manifest: &Manifest, tables: &[u8], others: bool) -> io::Result<()> {
        let path = manifest::file(&self.folder, &manifest.tables.sha256)
            .ok_or(io::ErrorKind::InvalidInput)?;
        if !matches!(check(&path, &manifest.tables.sha256, manifest.tables.bytes), Ok(None)) {
            write_private(&path, tables)?;
        }
        File::open(manifest::files(&self.folder))?.sync_all()?;
        let newest = self.folder.join(MANIFEST);
        let signed = manifest.signed(|bytes| (self.seal.sign)(bytes)).map_err(io::Error::other)?;
        let before = if others {
            Some(signed.clone())
        } else {
            // What does not verify must not push out the last one that does.
            fs::read(&newest).ok().filter(|bytes| Manifest::read(bytes).is_ok())
        };
        if let Some(before) = before {
            write_private(&self.folder.join(PREVIOUS), &before)?;
        }
        write_private(&newest, &signed)
    }

    /// Deletes the files that neither manifest needs.
    fn clean(&self, manifest: &Manifest) {
        let mut needed: BTreeSet<String> = manifest.files().map(str::to_owned).collect();
        let previous = fs::read(self.folder.join(PREVIOUS)).unwrap_or_default();
        if let Ok(previous) = Manifest::read(&previous) {
            needed.extend(previous.files().map(str::to_owned));
        }
        let Ok(entries) = fs::read_dir(manifest::files(&self.folder)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !name.to_str().is_some_and(|name| needed.contains(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn tell(state: &PackState, health: &Health) {
        let aged: BTreeMap<&str, Moment> = state
            .sections
            .iter()
            .filter_map(|section| Some((section.id.as_str(), section.stale_since?)))
            .collect();
        let advice = "See the log for what its source says; Plan B shows its age meanwhile.";
        if let Some((section, since)) = aged.iter().next() {
            let detail = format!("'{section}' is as of {}.", since.to_rfc3339());
            health.report(PART, Level::Reduced, detail, advice);
        } else if let Some(out) = state.left_out.first() {
            let detail = format!("'{}' is not in the pack ({}).", out.name, out.why);
            health.report(
                PART,
                Level::Reduced,
                detail,
                "Choose fewer papers, or raise continuity.pack_documents_mib.",
            );
        } else {
            health.well(PART, format!("Written {}.", state.made_at.to_rfc3339()));
        }
    }
}

/// Whether other people or doors are let in, or others than before may do something else.
fn lets_in_others(before: &Tables, now: &Tables) -> bool {
    let (before, now) = (before.parts.iter(), now.parts.iter());
    before.clone().flat_map(|part| &part.people).ne(now.clone().flat_map(|part| &part.people))
        || before.clone().flat_map(|part| &part.doors).ne(now.clone().flat_map(|part| &part.doors))
        || before.flat_map(|part| &part.further).ne(now.flat_map(|part| &part.further))
}

/// Keeps what a source gave before it failed.
fn keep(gathered: &mut Gathered, name: &str, pack: &Pack) {
    let Some(kept) = pack.tables().parts.iter().find(|part| part.source == name) else { return };
    let mut kept = kept.clone();
    kept.stale_since.get_or_insert(pack.made_at());
    kept.sections.retain(|section| gathered.section_ids.insert(section.id.clone()));
    gathered.tables.parts.push(kept);
    for paper in pack.papers().iter().filter(|paper| paper.source == name) {
        gathered.paper_bytes += paper.bytes;
        gathered.papers.push(paper.clone());
    }
}

fn leave(gathered: &mut Gathered, name: &str, why: &str) {
    gathered.left_out.insert(LeftOut { name: name.to_owned(), why: why.to_owned() });
}

/// Why a paper was not copied.
enum Copying {
    Source(Fault),
    Changed,
    Disk(io::Error),
}

/// Copies a paper beside its place, looks at what came, and moves it in.
fn copy(paper: &Paper, path: &Path) -> Result<(), Copying> {
    let mut from = (paper.open)().map_err(Copying::Source)?;
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    let to = options.write(true).create_new(true).mode(OWNER_ONLY).open(&beside);
    let copied = to.map_err(Copying::Disk).and_then(|mut to| {
        let mut hasher = Sha256::new();
        let (mut chunk, mut bytes) = (vec![0; CHUNK], 0u64);
        loop {
            let read = from
                .read(&mut chunk)
                .map_err(|e| Copying::Source(Fault::broken("reading a paper", e)))?;
            bytes += read as u64;
            if bytes > paper.bytes {
                return Err(Copying::Changed);
            }
            if read == 0 {
                break;
            }
            let part = chunk.get(..read).unwrap_or_default();
            hasher.update(part);
            to.write_all(part).map_err(Copying::Disk)?;
        }
        if bytes != paper.bytes || HEXLOWER.encode(&hasher.finalize()) != paper.sha256 {
            return Err(Copying::Changed);
        }
        to.sync_all().map_err(Copying::Disk)?;
        fs::rename(&beside, path).map_err(Copying::Disk)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&beside);
    }
    copied
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn unwritable(cause: io::Error) -> Fault {
    if is_full(&cause) {
        return Fault::new(
            Kind::Full,
            "pack_full",
            "The disk is full: the continuity pack stays as it was.",
        )
        .because(cause);
    }
    Fault::broken("writing the continuity pack", cause)
}

#[cfg(test)]
mod tests;
