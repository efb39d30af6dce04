//! Plan B's folder: one type knows every path below it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Only the owner may enter (plan-b.md §1.3).
const FOLDER_MODE: u32 = 0o700;
/// The folder's name below a base directory of the original (`--base-dir`).
const RUNTIME: &str = ".runtime";

/// Where Plan B keeps its keys, its pack, its journal and what the watchdog knows.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// The folder at `root`: `planb/` of a data folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The original's layout: `.runtime/` below a base directory (plan-b.md §1.5).
    pub fn of_base_dir(base: &Path) -> Self {
        Self::at(base.join(RUNTIME))
    }

    /// Creates the folders that are missing, for their owner only.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self) -> io::Result<()> {
        let root = self.root.clone();
        for folder in [
            root,
            self.backups(),
            self.pack(),
            self.outbox(),
            self.drills(),
            self.run(),
            self.logs(),
        ] {
            make_folder(&folder)?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The key of its clients: 64 hexadecimal digits and a newline.
    pub fn api_key(&self) -> PathBuf {
        self.root.join("api_key.txt")
    }

    /// The key before, as long as it is still taken.
    pub fn previous_key(&self) -> PathBuf {
        self.root.join("api_key.previous.json")
    }

    /// Further keys with scopes of their own: names and hashes.
    pub fn scoped_keys(&self) -> PathBuf {
        self.root.join("keys.json")
    }

    /// The sealing key: 32 raw bytes.
    pub fn enc_key(&self) -> PathBuf {
        self.root.join("enc_key.bin")
    }

    /// Sealing keys that were in force before and still open what they sealed.
    pub fn earlier_enc_keys(&self) -> PathBuf {
        self.root.join("enc_keys")
    }

    /// How many messages the sealing key may have sealed.
    pub fn enc_count(&self) -> PathBuf {
        self.root.join("enc_count.json")
    }

    /// The key of packets' HMACs: 32 raw bytes.
    pub fn hmac_key(&self) -> PathBuf {
        self.root.join("hmac_key.bin")
    }

    /// The node's Ed25519 key, PKCS#8.
    pub fn node_key(&self) -> PathBuf {
        self.root.join("node.key")
    }

    /// The role: one word and a newline.
    pub fn role(&self) -> PathBuf {
        self.root.join("role")
    }

    /// Dated copies of keys that were replaced.
    pub fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    /// The continuity pack.
    pub fn pack(&self) -> PathBuf {
        self.root.join("pack")
    }

    /// What was written down while the main program was away.
    pub fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// What lives as long as Plan B's process: its addresses.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Log files of Plan B's process; the main program's own are not its to turn over.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Proofs of drills.
    pub fn drills(&self) -> PathBuf {
        self.root.join("drills")
    }

    /// A drill that is asked for, until the watchdog takes it up.
    pub fn drill_wish(&self) -> PathBuf {
        self.root.join("drill.wish.json")
    }

    /// What the watchdog is doing.
    pub fn watchdog_state(&self) -> PathBuf {
        self.root.join("watchdog.json")
    }

    /// What the watchdog has seen, a JSON line each.
    pub fn watchdog_history(&self) -> PathBuf {
        self.root.join("watchdog.jsonl")
    }

    /// Held by a watchdog as long as it lives.
    pub fn watchdog_lock(&self) -> PathBuf {
        self.root.join("watchdog.lock")
    }
}

/// Creates a folder for its owner only, with those above it that are missing.
///
/// # Errors
/// What the file system says.
pub(in crate::domains::continuity) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}
