//! Plan B's keys: the one of its file, the one before it for a while, and further ones with scopes.

mod file;
mod scoped;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::place::Place;
use crate::base::caller::{Right, Rights};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::engines::secrets;
use file::FileKeys;
pub use file::{Backup, FileKeyState, GRACE_MAX};
use scoped::ScopedKeys;
pub use scoped::{KeyDraft, ScopedKey};

/// Digits of a key: 256 bits.
const DIGITS: usize = 64;
/// The part of the box that the file key's health is told under.
const PART: &str = "planb";
/// The part of the further keys.
const SCOPED_PART: &str = "planb_keys";
/// What to do about a key that cannot be used.
const ADVICE: &str = "Put 64 lower-case hexadecimal digits into planb/api_key.txt \
    (`openssl rand -hex 32`), or delete the file and restart to have a new key made.";
/// What to do about further keys that cannot be read.
const SCOPED_ADVICE: &str =
    "Put planb/keys.json back from a copy, or delete it and add the keys anew.";

/// What a further key may be used for (plan-b.md's routes, by their first words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// See role, identity and state; every key may.
    Status,
    /// Seal, open and pack bytes.
    Crypto,
    /// Run the relay and send through it.
    Tcp,
}

impl Scope {
    /// Every scope, in order.
    pub const ALL: [Self; 3] = [Self::Status, Self::Crypto, Self::Tcp];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Crypto => "crypto",
            Self::Tcp => "tcp",
        }
    }

    /// The scope of that word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == word)
    }

    const fn right(self) -> Right {
        match self {
            Self::Status => Right::UseContinuity,
            Self::Crypto => Right::SealContinuity,
            Self::Tcp => Right::RelayContinuity,
        }
    }
}

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Whoever may read the key's file, or could before its rotation.
    File,
    /// A program with a key of its own.
    Scoped(ScopedKey),
}

impl Holder {
    /// What its key lets it do.
    pub fn rights(&self) -> Rights {
        match self {
            Self::File => Rights::NONE
                .with(Right::UseContinuity)
                .with(Right::SealContinuity)
                .with(Right::RelayContinuity)
                .with(Right::ManageContinuity),
            Self::Scoped(key) => {
                let rights: Rights = key.scopes.iter().map(|scope| scope.right()).collect();
                rights.with(Right::UseContinuity)
            }
        }
    }
}

/// The keys of one folder. What other processes change is seen at the next look.
pub(super) struct Keys {
    file: FileKeys,
    scoped: ScopedKeys,
    health: Health,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The keys of `place`; a file key is made when there is none. What is damaged is told in `health`
    /// and left as it is.
    pub(super) fn open(
        place: &Place,
        grace: Duration,
        clock: Arc<dyn Clock>,
        health: Health,
    ) -> Self {
        let file = FileKeys::of(place.clone(), grace, clock.clone());
        if let Err(fault) = file.make_if_missing() {
            tracing::warn!("Plan B's key: {fault}");
        }
        let keys = Self { file, scoped: ScopedKeys::of(place.clone(), clock), health };
        let _ = keys.look();
        let _ = keys.listed();
        keys
    }

    /// Whose key `shown` is; none for nobody's.
    pub(super) fn holder(&self, shown: &str) -> Option<Holder> {
        // The form is no secret; the rest takes the same time wherever keys differ.
        if !is_key(shown) {
            return None;
        }
        let by_file = self.look().is_ok_and(|()| self.file.is(shown).unwrap_or(false));
        if by_file {
            return Some(Holder::File);
        }
        let found = self.listed().ok()?;
        scoped::find(&found, shown, self.file.now()).map(Holder::Scoped)
    }

    /// Whether the file key can be read.
    ///
    /// # Errors
    /// `planb_key_damaged`, `planb_key_missing`.
    pub(super) fn look(&self) -> Result<(), Fault> {
        let looked = self.file.look();
        self.tell(PART, ADVICE, "The key is in its file.", looked.as_ref().err());
        looked
    }

    /// Puts a new key in the place of the file's; the one before is taken for `grace` more (none: as
    /// the settings say) and kept in a dated backup.
    ///
    /// # Errors
    /// `planb_key_damaged`: what is damaged is never overwritten.
    pub(super) fn rotate(&self, grace: Option<Duration>) -> Result<Zeroizing<String>, Fault> {
        let key = self.file.rotate(grace)?;
        let _ = self.look();
        Ok(key)
    }

    /// How the file key stands.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn file_state(&self) -> Result<FileKeyState, Fault> {
        self.file.state()
    }

    /// Adds a further key; the answer has its text, which is kept nowhere.
    ///
    /// # Errors
    /// `validation`, `planb_key_name_taken`, `planb_keys_full`, `planb_keys_damaged`.
    pub(super) fn add(&self, draft: KeyDraft) -> Result<(Zeroizing<String>, ScopedKey), Fault> {
        self.scoped.add(draft)
    }

    /// Takes a further key away.
    ///
    /// # Errors
    /// `not_found`, `planb_keys_damaged`.
    pub(super) fn remove(&self, name: &str) -> Result<ScopedKey, Fault> {
        self.scoped.remove(name)
    }

    /// Further keys, the oldest first, those that are over included.
    ///
    /// # Errors
    /// `planb_keys_damaged`.
    pub(super) fn listed(&self) -> Result<Arc<Vec<ScopedKey>>, Fault> {
        let listed = self.scoped.list();
        let many = listed.as_ref().map_or(0, |keys| keys.len());
        let well = format!("{many} further keys.");
        self.tell(SCOPED_PART, SCOPED_ADVICE, &well, listed.as_ref().err());
        listed
    }

    /// Reports a part when its level changes: most requests find it as it was.
    fn tell(&self, part: &str, advice: &str, well: &str, fault: Option<&Fault>) {
        let level = if fault.is_some() { Level::Reduced } else { Level::Ok };
        if self.health.level(part) == Some(level) {
            return;
        }
        match fault {
            None => self.health.well(part, well),
            Some(fault) => self.health.report(part, level, super::words_of(fault), advice),
        }
    }
}

/// Whether a text has the form of a key.
fn is_key(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A new key.
fn new_key() -> Result<Zeroizing<String>, Fault> {
    let bytes = Zeroizing::new(secrets::random::<{ DIGITS / 2 }>()?);
    Ok(Zeroizing::new(data_encoding::HEXLOWER.encode(bytes.as_slice())))
}

/// What is kept of a key that is not kept: a key has 256 bits, so a plain hash cannot be guessed back.
fn hash_of(key: &str) -> String {
    use sha2::{Digest, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes()))
}

/// The name of a backup made at `at`: `YYYYMMDD_HHMMSS` in UTC.
fn dated(at: Moment) -> String {
    let text: String = at.to_rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    text.get(..15).unwrap_or("00000000T000000").replace('T', "_")
}

#[cfg(test)]
mod tests;
