//! Sealing with the key of `enc_key.bin`: every message counted before it is sealed, old keys kept to open.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::files::{Stamp, stamp_of, under_lock, unwritten};
use super::keeping;
use super::place::Place;
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::paths::write_private;
use crate::engines::secrets;
use crate::engines::secrets::gcm::{self, Gcm};

/// Bytes that a message is given before it (its nonce).
pub const ROOM: usize = gcm::NONCE;
/// Bytes that sealing adds: nonce and tag.
pub const OVERHEAD: usize = gcm::NONCE + gcm::TAG;
/// Messages of one key from which on a new one is advised. Random nonces are good for 2^32 (NIST SP
/// 800-38D §8.3); half of the half that is left unused here is time to act in.
pub const WARN_AT: u64 = 1 << 29;
/// Messages of one key after which it seals no more; two of them then share a nonce with a chance of
/// one in 2^37.
pub const LIMIT: u64 = 1 << 30;

/// Messages that are counted at once, on the disk, before the first of them is sealed.
const BLOCK: u64 = 4096;
/// Bytes of a key's hash that name it in the count's file.
const NAME: usize = 8;
/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// The code of a file of counts that cannot be read.
const COUNT_DAMAGED: &str = "sealing_count_damaged";

/// How the sealing key stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SealingState {
    /// Since when it is in force.
    #[schema(value_type = String, format = DateTime)]
    pub key_made_at: Moment,
    /// How many messages it has sealed at most: what a process had reserved when it was killed counts.
    pub messages: u64,
    /// From how many on it should be rotated.
    pub warn_at: u64,
    /// At how many it seals no more.
    pub limit: u64,
    /// Keys before it that still open what they sealed.
    pub earlier_keys: usize,
}

/// The sealing desk: several processes may have one each on the same folder.
pub struct Sealing {
    place: Place,
    clock: Arc<dyn Clock>,
    message_max: usize,
    keys: RwLock<Arc<Keys>>,
    block: Mutex<Block>,
}

/// The keys as they lay on the disk.
struct Keys {
    stamp: Stamp,
    current: Key,
    earlier: Vec<Key>,
}

struct Key {
    name: String,
    gcm: Gcm,
}

/// Messages that are counted already and not yet sealed.
#[derive(Default)]
struct Block {
    key: String,
    left: u64,
}

/// The file of counts: a key's name and how it stands.
type Counts = BTreeMap<String, Count>;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    made_at: Moment,
    reserved: u64,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealing").field(&self.place.root()).finish()
    }
}

impl Sealing {
    /// Reads the keys, making one at the first start. A message may have `message_max` bytes.
    ///
    /// # Errors
    /// `sealing_key_damaged` when the file is not 32 bytes (it is left as it lies),
    /// `sealing_count_damaged`, `planb_files_busy`, or what the file system says.
    pub fn open(place: &Place, clock: Arc<dyn Clock>, message_max: usize) -> Result<Self, Fault> {
        place.create().map_err(|e| unwritten("making Plan B's folder", e))?;
        let keys = locked(place, || {
            settle(place, clock.as_ref())?;
            Keys::read(place)
        })?;
        Ok(Self {
            place: place.clone(),
            clock,
            message_max,
            keys: RwLock::new(Arc::new(keys)),
            block: Mutex::default(),
        })
    }

    /// Seals a message: nonce, ciphertext, tag. `aad` is bound in and not kept.
    ///
    /// # Errors
    /// `encrypt_failed` when the message is too long or the key has sealed enough, the faults of
    /// [`Sealing::open`] when the files have changed for the worse.
    pub fn seal(&self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut blob = Vec::with_capacity(plaintext.len() + OVERHEAD);
        blob.extend_from_slice(&[0; ROOM]);
        blob.extend_from_slice(plaintext);
        self.seal_in_place(&mut blob, aad)?;
        Ok(blob)
    }

    /// The same of a message that lies in `blob` behind [`ROOM`] bytes, without a copy.
    ///
    /// # Errors
    /// As [`Sealing::seal`].
    pub fn seal_in_place(&self, blob: &mut Vec<u8>, aad: &[u8]) -> Result<(), Fault> {
        if blob.len().saturating_sub(ROOM) > self.message_max {
            return Err(encrypt_failed("The message is longer than this box seals at once."));
        }
        let keys = self.keys()?;
        self.count(&keys.current)?;
        keys.current.gcm.seal_in_place(blob, aad)
    }

    /// Opens what was sealed here, by this key or one before it.
    ///
    /// # Errors
    /// `decrypt_failed` when key, bytes or `aad` are others, or the message is too long.
    pub fn unseal(&self, blob: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
        if blob.len() > self.message_max.saturating_add(OVERHEAD) {
            return Err(decrypt_failed("The message is longer than this box opens at once."));
        }
        if blob.len() < OVERHEAD {
            return Err(decrypt_failed("The ciphertext is shorter than its nonce and its tag."));
        }
        // A key file that is damaged meanwhile is no reason not to open what was sealed before.
        let keys = self.keys().unwrap_or_else(|_| self.known());
        std::iter::once(&keys.current)
            .chain(&keys.earlier)
            .find_map(|key| key.gcm.open(blob, aad))
            .ok_or_else(|| {
                decrypt_failed("The ciphertext does not open: another key, other bytes, other AAD.")
            })
    }

    /// Puts a new key in force; the one before is kept to open what it sealed.
    ///
    /// # Errors
    /// `sealing_key_damaged`, or what the file system says; the key is then the one before.
    pub fn rotate(&self) -> Result<(), Fault> {
        locked(&self.place, || self.rotate_now())
    }

    fn rotate_now(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let mut counts = match read_counts(&self.place) {
            Ok(counts) => counts,
            // Nobody knows what the old key has sealed: it shall seal no more, should the disk fail
            // between the next two writes.
            Err(fault) if fault.code == COUNT_DAMAGED => Counts::new(),
            Err(fault) => return Err(fault),
        };
        if let Some(old) = read_key(&self.place)? {
            let name = name(&old);
            keep_earlier(&self.place, now, &name, &old)?;
            counts.entry(name).or_insert(Count { made_at: now, reserved: LIMIT });
        }
        make(&self.place, counts, now)?;
        self.put(Keys::read(&self.place)?);
        Ok(())
    }

    /// How the key stands.
    ///
    /// # Errors
    /// The faults of [`Sealing::open`].
    pub fn state(&self) -> Result<SealingState, Fault> {
        let keys = self.keys()?;
        let block = self.block();
        let count = locked(&self.place, || {
            counted(&read_counts(&self.place)?, &self.place, &keys.current.name)
        })?;
        let unspent = if block.key == keys.current.name { block.left } else { 0 };
        Ok(SealingState {
            key_made_at: count.made_at,
            messages: count.reserved.saturating_sub(unspent),
            warn_at: WARN_AT,
            limit: LIMIT,
            earlier_keys: keys.earlier.len(),
        })
    }

    /// Counts one message. The count on the disk is never below the messages that were sealed.
    fn count(&self, key: &Key) -> Result<(), Fault> {
        let mut block = self.block();
        if block.key != key.name || block.left == 0 {
            *block = locked(&self.place, || self.reserve(key))?;
        }
        block.left -= 1;
        Ok(())
    }

    /// Counts the next messages of a key.
    fn reserve(&self, key: &Key) -> Result<Block, Fault> {
        let mut counts = read_counts(&self.place)?;
        let mut count = counted(&counts, &self.place, &key.name)?;
        let more = BLOCK.min(LIMIT.saturating_sub(count.reserved));
        if more == 0 {
            return Err(encrypt_failed(
                "The sealing key has sealed as many messages as it safely can: rotate it.",
            ));
        }
        count.reserved += more;
        counts.insert(key.name.clone(), count);
        write_counts(&self.place, &counts)?;
        Ok(Block { key: key.name.clone(), left: more })
    }

    /// The keys, read again when another process has put others there.
    fn keys(&self) -> Result<Arc<Keys>, Fault> {
        let known = self.known();
        if stamp(&self.place)?.is_some_and(|stamp| stamp == known.stamp) {
            return Ok(known);
        }
        Ok(self.put(locked(&self.place, || Keys::read(&self.place))?))
    }

    fn known(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, keys: Keys) -> Arc<Keys> {
        let keys = Arc::new(keys);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        keys
    }

    fn block(&self) -> MutexGuard<'_, Block> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sealing {
    /// Gives back what was counted and not sealed.
    fn drop(&mut self) {
        let block = std::mem::take(&mut *self.block());
        if block.left == 0 {
            return;
        }
        // Whatever fails here leaves the count too high, which is the safe side.
        let given_back = locked(&self.place, || {
            let mut counts = read_counts(&self.place)?;
            let Some(count) = counts.get_mut(&block.key) else { return Ok(()) };
            // The count is a sum: whatever others have added meanwhile stays in it.
            count.reserved = count.reserved.saturating_sub(block.left);
            write_counts(&self.place, &counts)
        });
        drop(given_back);
    }
}

impl Keys {
    fn read(place: &Place) -> Result<Self, Fault> {
        let stamp = stamp(place)?.ok_or_else(missing)?;
        let current = Key::of(&*read_key(place)?.ok_or_else(missing)?)?;
        let mut earlier = Vec::new();
        for path in earlier_files(place)? {
            let bytes =
                keeping::read(&path).map_err(|e| Fault::broken("reading an earlier key", e))?;
            match bytes.as_deref().map(|bytes| bytes.as_slice().try_into()) {
                Some(Ok(key)) => earlier.push(Key::of(key)?),
                // What it sealed is lost; what the others sealed is not.
                _ => {
                    tracing::warn!(file = %path.display(), "an earlier sealing key is not 32 bytes");
                }
            }
        }
        earlier.retain(|key| key.name != current.name);
        Ok(Self { stamp, current, earlier })
    }
}

impl Key {
    fn of(bytes: &[u8; gcm::KEY]) -> Result<Self, Fault> {
        Ok(Self { name: name(bytes), gcm: Gcm::new(bytes)? })
    }
}

/// Does `body` while nobody else reads or writes keys and counts.
fn locked<T>(place: &Place, body: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    under_lock(&place.enc_count(), body)
}

/// Makes the first key, or gives one that somebody brought a count.
fn settle(place: &Place, clock: &dyn Clock) -> Result<(), Fault> {
    let mut counts = read_counts(place)?;
    match read_key(place)? {
        None => make(place, counts, clock.now()),
        Some(key) if counts.contains_key(&name(&key)) => Ok(()),
        Some(key) => {
            let name = name(&key);
            let count = counted(&counts, place, &name)?;
            counts.insert(name, count);
            write_counts(place, &counts)
        }
    }
}

/// Makes a key. Its count comes first: a crash in between leaves a count without a key, and not a key
/// of which nobody knows what it sealed.
fn make(place: &Place, mut counts: Counts, now: Moment) -> Result<(), Fault> {
    let key = Zeroizing::new(secrets::random::<{ gcm::KEY }>()?);
    counts.insert(name(&key), Count { made_at: now, reserved: 0 });
    write_counts(place, &counts)?;
    write_private(&place.enc_key(), key.as_slice())
        .map_err(|e| unwritten("writing the sealing key", e))
}

/// A key's count. One that was made elsewhere may have sealed any number of messages: it is good for
/// some more, and should be rotated.
fn counted(counts: &Counts, place: &Place, name: &str) -> Result<Count, Fault> {
    if let Some(count) = counts.get(name) {
        return Ok(*count);
    }
    let made_at = stamp(place)?.ok_or_else(missing)?.modified();
    Ok(Count { made_at, reserved: WARN_AT })
}

fn read_counts(place: &Place) -> Result<Counts, Fault> {
    match keeping::read(&place.enc_count()).map_err(|e| Fault::broken("reading the count", e))? {
        None => Ok(Counts::new()),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
            Fault::unavailable(
                COUNT_DAMAGED,
                "planb/enc_count.json does not tell how many messages the sealing key has sealed: \
                 rotate the sealing key.",
            )
            .because(e)
        }),
    }
}

fn write_counts(place: &Place, counts: &Counts) -> Result<(), Fault> {
    let text = serde_json::to_vec_pretty(counts).map_err(|e| Fault::broken("counting", e))?;
    write_private(&place.enc_count(), &text).map_err(|e| unwritten("writing the count", e))
}

fn read_key(place: &Place) -> Result<Option<Zeroizing<[u8; gcm::KEY]>>, Fault> {
    let Some(bytes) =
        keeping::read(&place.enc_key()).map_err(|e| Fault::broken("reading the sealing key", e))?
    else {
        return Ok(None);
    };
    let key = bytes.as_slice().try_into().map_err(|_| {
        Fault::unavailable(
            "sealing_key_damaged",
            "planb/enc_key.bin is not 32 bytes; put the right file back, or move it away and \
             restart to have a new key made.",
        )
    })?;
    Ok(Some(Zeroizing::new(key)))
}

/// Copies a key that is about to be replaced; the name tells when.
fn keep_earlier(place: &Place, now: Moment, name: &str, key: &[u8; gcm::KEY]) -> Result<(), Fault> {
    let digits: String = now.to_rfc3339().chars().filter(char::is_ascii_digit).collect();
    let folder = place.earlier_enc_keys();
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(&folder)
        .and_then(|()| write_private(&folder.join(format!("enc_key_{digits}_{name}.bin")), key))
        .map_err(|e| unwritten("keeping the sealing key", e))
}

/// Files of earlier keys, the newest first.
fn earlier_files(place: &Place) -> Result<Vec<PathBuf>, Fault> {
    let doing = "listing earlier sealing keys";
    let entries = match fs::read_dir(place.earlier_enc_keys()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Fault::broken(doing, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Fault::broken(doing, e))?.path();
        if path.extension().is_some_and(|ending| ending == "bin") {
            files.push(path);
        }
    }
    files.sort_unstable_by(|a, b| b.cmp(a));
    Ok(files)
}

fn stamp(place: &Place) -> Result<Option<Stamp>, Fault> {
    stamp_of(&place.enc_key()).map_err(|e| Fault::broken("looking at the sealing key", e))
}

fn name(key: &[u8; gcm::KEY]) -> String {
    HEXLOWER.encode(Sha256::digest(key).get(..NAME).unwrap_or_default())
}

fn missing() -> Fault {
    Fault::unavailable(
        "sealing_key_missing",
        "planb/enc_key.bin is gone; put it back, or restart to have a new key made.",
    )
}

fn encrypt_failed(message: &str) -> Fault {
    Fault::invalid("encrypt_failed", message)
}

fn decrypt_failed(message: &str) -> Fault {
    Fault::invalid("decrypt_failed", message)
}

#[cfg(test)]
mod tests;
