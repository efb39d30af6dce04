//! The watched folder: what is dropped into `data/inbox` is learned once it lies still.
//!
//! It is looked at rather than listened to: that works the same on every file system and stick.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, UNIX_EPOCH};

use super::Assistant;
use super::adding::Incoming;
use super::files::Spooled;
use super::records::{COLLECTIONS, Readers, SEEN, Seen};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::base::health::Level;
use crate::base::tasks::Handle;
use crate::store::Reader;

/// Folders inside folders that are looked into.
const DEPTH_MAX: usize = 16;
/// Files looked at in one turn.
const FILES_MAX: usize = 100_000;
/// Endings of files that are still being written by somebody.
const UNFINISHED: [&str; 5] = [".part", ".tmp", ".crdownload", ".partial", ".swp"];
/// The part of the box that the health page knows the watched folder by.
const PART: &str = "inbox";

impl Assistant {
    /// Looks at the watched folder once: a file that has not changed since the last look and was not
    /// learned as it is now is learned. A file that cannot be taken is told in health and left.
    ///
    /// # Errors
    /// What the store says.
    pub fn look_into_inbox(&self, handle: &Handle) -> Result<(), Fault> {
        let mut files = BTreeMap::new();
        walk(&self.places.inbox, "", DEPTH_MAX, &mut files);
        let before = {
            let mut last = self.desk.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, files.clone())
        };
        let mut refused = Vec::new();
        for (path, now) in files {
            if handle.stopped() {
                return Ok(());
            }
            let still = before.get(&path) == Some(&now);
            if !still || self.store.read(|view| view.get(&SEEN, &path))?.as_ref() == Some(&now) {
                continue;
            }
            match self.learn_from_inbox(&path, now.modified) {
                Ok(()) => {}
                Err(fault)
                    if matches!(fault.kind, Kind::Full | Kind::Unavailable | Kind::Broken) =>
                {
                    return Err(fault);
                }
                Err(fault) => refused.push(self.told(&path, &fault)?),
            }
            self.store.write(move |tx| tx.put(&SEEN, &path, &now))?;
        }
        match refused.as_slice() {
            [] => {}
            [one] => self.health.report(PART, Level::Reduced, one.clone(), ADVICE),
            [one, rest @ ..] => {
                self.health.report(
                    PART,
                    Level::Reduced,
                    format!("{one} (and {} more)", rest.len()),
                    ADVICE,
                );
            }
        }
        Ok(())
    }

    /// What health tells of a file that was refused. Whoever is signed in reads it, so the name of a
    /// file on its way into a closed collection stays untold.
    fn told(&self, path: &str, fault: &Fault) -> Result<String, Fault> {
        let (collection, _) = path.split_once('/').unwrap_or(("", path));
        let usual = self.settings.documents.collection.clone();
        let name = if collection.is_empty() { usual } else { collection.to_owned() };
        let found = self.store.read(|view| view.get(&COLLECTIONS, &name))?;
        if found.is_some_and(|found| found.readers != Readers::Everyone) {
            return Ok(format!("A file for a closed collection: {}", fault.message));
        }
        Ok(format!("{path}: {}", fault.message))
    }

    /// The first folder names the collection; files beside it go into the usual one.
    fn learn_from_inbox(&self, path: &str, modified: Moment) -> Result<(), Fault> {
        let (collection, inner) = path.split_once('/').unwrap_or(("", path));
        let file = Spooled::at(&self.places.inbox.join(path))?;
        self.check_size(file.size)?;
        let incoming = Incoming {
            collection: collection.to_owned(),
            path: inner.to_owned(),
            file,
            modified: Some(modified),
        };
        self.add(&Caller::task("inbox"), &incoming).map(drop)
    }
}

/// What to do about a file that was refused.
const ADVICE: &str = "Take the file out of data/inbox, or save it in a format the box reads.";

fn walk(folder: &Path, front: &str, depth: usize, files: &mut BTreeMap<String, Seen>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let hidden = name.starts_with('.') || name.starts_with('~') || name.ends_with('~');
        if hidden || UNFINISHED.iter().any(|end| name.ends_with(end)) || files.len() >= FILES_MAX {
            continue;
        }
        let path = if front.is_empty() { name.to_owned() } else { format!("{front}/{name}") };
        // Links are not followed: the folder is writable by people, the box reads as its owner.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() && depth > 0 {
            walk(&entry.path(), &path, depth - 1, files);
        } else if meta.is_file() {
            let modified = meta
                .modified()
                .ok()
                .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
                .map_or(Moment(0), |d: Duration| Moment(i64::try_from(d.as_millis()).unwrap_or(0)));
            files.insert(path, Seen { size: meta.len(), modified });
        }
    }
}
