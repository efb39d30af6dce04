//! The data folder: one type knows every path below it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read.
const FILE_MODE: u32 = 0o600;

/// The folder a box keeps everything in.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// The data folder at `root`; nothing is created yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates what is missing, readable by its owner only.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self) -> io::Result<()> {
        for folder in [
            self.root.clone(),
            self.keys(),
            self.index(),
            self.logs(),
            self.run(),
            self.spool(),
            self.inbox(),
            self.planb(),
        ] {
            fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder)?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.root.join("ilot.toml")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.root.join("ilot.redb")
    }

    /// Keys: the root key, the certificate authority, the token key.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Derived indexes; safe to delete while the box is stopped.
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// Log files.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What lives as long as the process: lock, socket, addresses, set-up link.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Uploads on their way in; emptied at start.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// The watched folder: what is dropped here is learned.
    pub fn inbox(&self) -> PathBuf {
        self.root.join("inbox")
    }

    /// Plan B's key and packets.
    pub fn planb(&self) -> PathBuf {
        self.root.join("planb")
    }

    /// The socket that only the process's owner can reach.
    pub fn socket(&self) -> PathBuf {
        self.run().join("ilot.sock")
    }

    /// Held by the one process that has this folder open.
    pub fn lock(&self) -> PathBuf {
        self.run().join("lock")
    }

    /// The addresses the box is bound to, as JSON.
    pub fn addresses(&self) -> PathBuf {
        self.run().join("addresses.json")
    }

    /// The one-time set-up link, until it is used.
    pub fn setup_link(&self) -> PathBuf {
        self.run().join("setup-link")
    }

    /// Lies there while a box is open; one that is found at a start tells of an unclean stop.
    pub fn open_mark(&self) -> PathBuf {
        self.run().join("open")
    }

    /// Which stage of starting is under way, for the next start to read after a crash.
    pub fn boot_stage(&self) -> PathBuf {
        self.run().join("boot.stage")
    }
}

/// Writes a whole file that only its owner may read: beside, synced, renamed. What lies beside may be a
/// part of a key: it goes again when that fails.
///
/// # Errors
/// What the file system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    write_synced(&beside, bytes).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_put_in_its_place_does_not_stay_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("key");
        fs::create_dir(&taken).unwrap();
        assert!(write_private(&taken, b"secret").is_err());
        assert!(!folder.path().join("key.new").exists());
        let path = folder.path().join("other");
        write_private(&path, b"secret").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }
}
