//! Signed checkpoints: the journal's end under the box's own Ed25519 key, so that a chain made anew shows.
//!
//! What is signed is four lines of text in the manner of C2SP's signed notes: the format with its version,
//! the site, the number of the link, and its hash in base64. The end of an export is signed likewise, with
//! a first line of its own. Keys are sealed under the root key. What a checkpoint does not prove: that none was taken away, and that whoever holds the folder *and* its root
//! key did not sign another chain. So the fingerprint, and now and then a number with its hash, belong on
//! paper or at another site; an export kept elsewhere is both.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::time::Duration;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::Activity;
use super::records::{CHECKPOINTS, Checkpoint, KEYS};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::engines::secrets::RootKey;
use crate::engines::signing::{self, SigningKey};
use crate::store::journal::Head;
use crate::store::{Blob, Deed, Reader, Store, all, from};

/// The format of what is signed, and of exports.
pub const FORMAT: &str = "ilot-journal/1";
/// What the signed end of an export begins with.
const END_FORMAT: &str = "ilot-journal/1 export";
/// The head is signed when it moved and the last checkpoint is this old.
const SIGNED_EVERY: Duration = Duration::from_hours(1);
/// Or when so many links have been written since.
const SIGNED_AFTER_LINKS: u64 = 1_000;
/// What the key is sealed for.
const PLACE: &str = "activity/checkpoint_key";
/// Under which the sealed key lies.
const SEALED: &str = "checkpoint_key";
/// Under which its public half lies, for whoever verifies a copy without the root key.
const PUBLIC: &str = "checkpoint_public";

/// The key that signs, and the site it signs for.
pub(super) struct Signer {
    key: SigningKey,
    site: Id,
}

/// What an export says of itself at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// When it was made.
    pub(super) exported_at: Moment,
    /// The number of its first link.
    pub(super) first: u64,
    /// Its last link.
    pub(super) head: Head,
    /// How many links it has.
    pub(super) links: u64,
}

/// A public key as people compare it: the SHA-256 of its bytes, hexadecimal.
pub fn fingerprint(public: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(public))
}

/// The text that is signed.
fn note(site: &str, number: u64, hash: &[u8; 32]) -> String {
    format!("{FORMAT}\n{site}\n{number}\n{}\n", BASE64.encode(hash))
}

/// The text that is signed at the end of an export. Its first line is no checkpoint's, so that neither
/// signature passes for the other.
fn end_note(site: &str, end: &End) -> String {
    let End { exported_at, first, head, links } = end;
    let (number, hash) = (head.number, BASE64.encode(&head.hash));
    format!("{END_FORMAT}\n{site}\n{}\n{first}\n{number}\n{hash}\n{links}\n", exported_at.0)
}

/// Whether `signature` is that of `public` under the end of an export of `site`.
pub(super) fn is_end_signed(public: &[u8; 32], site: &str, end: &End, signature: &[u8]) -> bool {
    signing::verify(public, end_note(site, end).as_bytes(), signature)
}

/// Whether `checkpoint` is signed by `public` for `site`.
pub fn is_signed(public: &[u8; 32], site: &str, checkpoint: &Checkpoint) -> bool {
    let text = note(site, checkpoint.number, &checkpoint.hash);
    signing::verify(public, text.as_bytes(), &checkpoint.signature)
}

/// The public key that a store keeps, for one that is read without its root key.
///
/// # Errors
/// What the store says.
pub fn public_key(reader: &impl Reader) -> Result<Option<[u8; 32]>, Fault> {
    let kept = reader.get(&KEYS, &PUBLIC.to_owned())?;
    Ok(kept.and_then(|Blob(bytes)| bytes.try_into().ok()))
}

/// The checkpoints after link `after`: those whose signatures are good, and the numbers and moments of
/// the others.
///
/// # Errors
/// What the store says.
pub fn sorted(
    reader: &impl Reader,
    public: &[u8; 32],
    site: &str,
    after: u64,
) -> Result<Sorted, Fault> {
    let mut sorted = Sorted::default();
    reader.each(&CHECKPOINTS, &from(&(after + 1)), |number, checkpoint| {
        if checkpoint.number == number && is_signed(public, site, &checkpoint) {
            sorted.good.insert(number, checkpoint.hash);
            sorted.last = Some((number, checkpoint.at));
        } else {
            sorted.forged.push((number, checkpoint.at));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sorted)
}

/// Checkpoints by what their signatures are worth.
#[derive(Debug, Clone, Default)]
pub struct Sorted {
    /// The hashes that were signed, by number.
    pub good: BTreeMap<u64, [u8; 32]>,
    /// Those whose signatures are not good.
    pub forged: Vec<(u64, Moment)>,
    /// The last good one.
    pub last: Option<(u64, Moment)>,
}

impl Sorted {
    /// The same with a link that an earlier walk found in its place: who takes the tail away with its
    /// checkpoints and the head leaves nothing else that remembers it.
    #[must_use]
    pub(super) fn remembering(mut self, head: Head) -> Self {
        if head.number > 0 {
            self.good.entry(head.number).or_insert(head.hash);
        }
        self
    }
}

impl Signer {
    /// Reads the key, or makes it.
    pub(super) fn open(store: &Store, root: &RootKey) -> Result<Self, Fault> {
        let (name, site) = (SEALED.to_owned(), store.site());
        if let Some(Blob(sealed)) = store.read(|view| view.get(&KEYS, &name))? {
            return Ok(Self { key: SigningKey::read(&root.unseal(PLACE, &sealed)?)?, site });
        }
        let made = SigningKey::make()?;
        let key = SigningKey::read(&made)?;
        let (sealed, public) = (root.seal(PLACE, &made)?, key.public().to_vec());
        store.write(move |tx| {
            tx.put(&KEYS, &name, &Blob(sealed))?;
            tx.put(&KEYS, &PUBLIC.to_owned(), &Blob(public))?;
            tx.journal(&Caller::task("activity"), Deed::new("key.make", PLACE))
        })?;
        Ok(Self { key, site })
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    pub(super) fn name(&self) -> String {
        self.key.name()
    }

    /// Signs the end of an export.
    pub(super) fn sign_end(&self, end: &End) -> Result<Vec<u8>, Fault> {
        let text = end_note(&self.site.to_string(), end);
        Ok(self.key.sign(text.as_bytes())?.to_vec())
    }

    fn sign(&self, head: Head, at: Moment) -> Result<Checkpoint, Fault> {
        let text = note(&self.site.to_string(), head.number, &head.hash);
        Ok(Checkpoint {
            number: head.number,
            hash: head.hash,
            at,
            key: self.key.name(),
            signature: self.key.sign(text.as_bytes())?.to_vec(),
        })
    }
}

impl Activity {
    /// The last checkpoint.
    pub(super) fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        Ok(self.store.read(|view| view.last(&CHECKPOINTS, &all()))?.map(|(_, last)| last))
    }

    /// Signs the journal's end, unless it is signed already.
    ///
    /// # Errors
    /// What the store or the key says.
    pub fn sign_head(&self) -> Result<Option<Checkpoint>, Fault> {
        let last = self.last_checkpoint()?;
        let head = self.store.journal_head();
        if head.number == 0 || last.as_ref().is_some_and(|last| last.number >= head.number) {
            return Ok(last);
        }
        let checkpoint = self.desk.signer.sign(head, self.clock.now())?;
        let kept = checkpoint.clone();
        // The last words before a disk is full are worth their hundred bytes.
        self.store.write_freeing(move |tx| tx.put(&CHECKPOINTS, &kept.number, &kept))?;
        Ok(Some(checkpoint))
    }

    /// Signs the journal's end when a checkpoint is due: at the first look, each hour in which something
    /// happened, and after a thousand links.
    ///
    /// # Errors
    /// As [`Activity::sign_head`].
    pub fn sign_if_due(&self) -> Result<(), Fault> {
        let now = self.clock.since_boot();
        let signed = *self.desk.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.store.journal_head().number;
        let due = signed.is_none_or(|(number, at)| {
            head >= number + SIGNED_AFTER_LINKS
                || (head > number && now.saturating_sub(at) >= SIGNED_EVERY)
        });
        if due {
            self.sign_head()?;
            let mut signed = self.desk.signed.lock().unwrap_or_else(PoisonError::into_inner);
            *signed = Some((head, now));
        }
        Ok(())
    }
}
