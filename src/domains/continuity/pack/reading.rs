//! Opens a pack from its files alone; what is damaged is named, and the one before it is used instead.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::manifest::{self, MANIFEST, MANIFEST_MAX, Manifest, PREVIOUS, TABLES_MAX, Tables};
use super::part::{DoorKey, Person, Section};
use super::{LeftOut, PackState, PaperEntry, PaperState, SectionState};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::engines::signing::PUBLIC;

/// Bytes of a file that are looked at in one go.
const CHUNK: usize = 256 * 1024;

/// Something of a pack that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The file, below the pack's folder.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// What lies in a pack's folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest pack that can be used.
    pub pack: Option<Pack>,
    /// What cannot.
    pub troubles: Vec<Trouble>,
}

/// A pack that was read, whole.
#[derive(Debug)]
pub struct Pack {
    folder: PathBuf,
    manifest: Manifest,
    tables: Tables,
    verified: bool,
    previous: bool,
}

/// Reads the pack in `folder`: the newest manifest whose signature and tables hold and which this node
/// signed, else the one before it. `trusted` is the node's own public key; a pack signed by another, or
/// read without one, is shown as not verified, and only where there is no other. One that is passed over
/// is named among the troubles.
pub fn look(folder: &Path, trusted: Option<&[u8; PUBLIC]>) -> Found {
    let mut found = Found::default();
    for (name, previous) in [(MANIFEST, false), (PREVIOUS, true)] {
        let (manifest, tables, verified) = match open(folder, name, trusted) {
            Ok(Some(opened)) => opened,
            Ok(None) => continue,
            Err(trouble) => {
                found.troubles.push(trouble);
                continue;
            }
        };
        if !verified {
            let what = "this node did not sign it".to_owned();
            found.troubles.push(Trouble { file: name.to_owned(), what });
        }
        if verified || found.pack.is_none() {
            let folder = folder.to_path_buf();
            found.pack = Some(Pack { folder, manifest, tables, verified, previous });
        }
        if verified {
            break;
        }
    }
    found
}

fn open(
    folder: &Path,
    name: &str,
    trusted: Option<&[u8; PUBLIC]>,
) -> Result<Option<(Manifest, Tables, bool)>, Trouble> {
    let trouble = |file: &str, what: String| Trouble { file: file.to_owned(), what };
    let bytes = match read_at_most(&folder.join(name), MANIFEST_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(trouble(name, e.to_string())),
    };
    let manifest = Manifest::read(&bytes).map_err(|what| trouble(name, what))?;
    let wanted = &manifest.tables.sha256;
    let path = manifest::file(folder, wanted)
        .ok_or_else(|| trouble(name, "its tables' file has no name".to_owned()))?;
    let bytes = read_at_most(&path, TABLES_MAX).map_err(|e| trouble(wanted, e.to_string()))?;
    if manifest::sha256(&bytes) != *wanted {
        return Err(trouble(wanted, "it is not what its name says".to_owned()));
    }
    let tables: Tables = serde_json::from_slice(&bytes)
        .map_err(|e| trouble(wanted, format!("it cannot be read: {e}")))?;
    let verified = trusted.is_some_and(|public| HEXLOWER.encode(public) == manifest.public_key);
    Ok(Some((manifest, tables, verified)))
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other("it is longer than it may be"));
    }
    Ok(bytes)
}

/// Opens a file that is one: a pipe in its place would be waited for without end.
fn open_regular(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no file"))
}

impl Pack {
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Whether this node signed it.
    pub fn verified(&self) -> bool {
        self.verified
    }

    /// Whether it is the one before the newest, which cannot be used.
    pub fn previous(&self) -> bool {
        self.previous
    }

    /// The site's name; empty when nobody gave one.
    pub fn site(&self) -> &str {
        &self.manifest.site
    }

    /// The site's time zone (IANA); empty when nobody gave one.
    pub fn time_zone(&self) -> &str {
        &self.manifest.time_zone
    }

    /// When it was last signed.
    pub fn made_at(&self) -> Moment {
        self.manifest.made_at
    }

    /// How many were written before it, and it.
    pub fn generation(&self) -> u64 {
        self.manifest.generation
    }

    /// The node that signed it, hexadecimal.
    pub fn node_id(&self) -> &str {
        &self.manifest.node_id
    }

    /// Its tables, in the order their sources were registered, each with when its source last answered
    /// if it does not any more.
    pub fn sections(&self) -> impl Iterator<Item = (&Section, Option<Moment>)> {
        self.tables
            .parts
            .iter()
            .flat_map(|part| part.sections.iter().map(|section| (section, part.stale_since)))
    }

    /// The table of that name.
    pub fn section(&self, id: &str) -> Option<(&Section, Option<Moment>)> {
        self.sections().find(|(section, _)| section.id == id)
    }

    /// The people who may sign in.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.tables.parts.iter().flat_map(|part| part.people.iter())
    }

    /// The doors that may punch.
    pub fn doors(&self) -> impl Iterator<Item = &DoorKey> {
        self.tables.parts.iter().flat_map(|part| part.doors.iter())
    }

    /// What a domain's own Plan B door needs, by its name.
    pub fn further(&self, name: &str) -> Option<&serde_json::Value> {
        let all = self.tables.parts.iter().flat_map(|part| part.further.iter());
        all.filter(|(known, _)| known == name).map(|(_, value)| value).next()
    }

    /// Its papers.
    pub fn papers(&self) -> &[PaperEntry] {
        &self.manifest.papers
    }

    /// What is not in it.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.manifest.left_out
    }

    /// Opens a paper, after looking at every byte of it: what is shown is what was signed.
    ///
    /// # Errors
    /// `not_found`, `paper_damaged` (503), or what the file system says.
    pub fn paper(&self, sha256: &str) -> Result<(&PaperEntry, File), Fault> {
        let known = self.papers().iter().find(|paper| paper.sha256 == sha256);
        let (Some(entry), Some(path)) = (known, manifest::file(&self.folder, sha256)) else {
            return Err(Fault::not_found("paper"));
        };
        match check(&path, sha256, entry.bytes) {
            Ok(None) => open_regular(&path)
                .map(|f| (entry, f))
                .map_err(|e| Fault::broken("opening a paper", e)),
            Ok(Some(what)) => Err(damaged(&what)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(damaged("it is gone")),
            Err(e) => Err(Fault::broken("reading a paper", e)),
        }
    }

    /// Looks at every byte of every paper; the answer is what is wrong. The tables were looked at when
    /// the pack was opened.
    pub fn verify(&self) -> Vec<Trouble> {
        let mut troubles = BTreeMap::new();
        for paper in self.papers() {
            let file = paper.sha256.clone();
            let looked = manifest::file(&self.folder, &file)
                .ok_or_else(|| io::Error::other("it has no name"))
                .and_then(|path| check(&path, &file, paper.bytes));
            match looked {
                Ok(None) => {}
                Ok(Some(what)) => drop(troubles.insert(file, format!("{}: {what}", paper.name))),
                Err(e) => drop(troubles.insert(file, format!("{}: {e}", paper.name))),
            }
        }
        troubles.into_iter().map(|(file, what)| Trouble { file, what }).collect()
    }

    /// The pack in short.
    pub fn state(&self) -> PackState {
        let papers: u64 = self.papers().iter().map(|paper| paper.bytes).sum();
        let section = |(section, stale_since): (&Section, Option<Moment>)| SectionState {
            id: section.id.clone(),
            title: section.title.clone(),
            rows: section.rows.len(),
            stale_since,
        };
        let paper = |paper: &PaperEntry| PaperState {
            name: paper.name.clone(),
            bytes: paper.bytes,
            sha256: paper.sha256.clone(),
        };
        PackState {
            made_at: self.made_at(),
            generation: self.generation(),
            verified: self.verified,
            bytes: papers + self.manifest.tables.bytes,
            sections: self.sections().map(section).collect(),
            people: self.people().count(),
            doors: self.doors().count(),
            papers: self.papers().iter().map(paper).collect(),
            left_out: self.left_out().to_vec(),
        }
    }
}

fn damaged(what: &str) -> Fault {
    Fault::unavailable("paper_damaged", format!("This paper cannot be shown: {what}."))
}

/// What is wrong with a file of that hash and length; none when nothing is.
pub(super) fn check(path: &Path, sha256: &str, bytes: u64) -> io::Result<Option<String>> {
    let mut file = open_regular(path)?;
    if file.metadata()?.len() != bytes {
        return Ok(Some("it has another length".to_owned()));
    }
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(chunk.get(..read).unwrap_or_default());
    }
    let same = HEXLOWER.encode(&hasher.finalize()) == sha256;
    Ok((!same).then(|| "it is not what was signed".to_owned()))
}

/// What a folder's manifest was when it was looked at: another one tells of another pack.
pub(super) fn stamp(folder: &Path) -> Option<(u64, i64, i64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let seen = fs::metadata(folder.join(MANIFEST)).ok()?;
    Some((seen.ino(), seen.mtime(), seen.mtime_nsec(), seen.len()))
}
