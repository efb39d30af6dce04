//! AES-256-GCM (NIST SP 800-38D) in the form that other languages open: nonce, ciphertext, tag.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};

use super::random;
use crate::base::fault::Fault;

/// Bytes of a key.
pub const KEY: usize = 32;
/// Bytes of a nonce; random ones are good for 2^32 messages of a key (SP 800-38D §8.3).
pub const NONCE: usize = 12;
/// Bytes of a tag.
pub const TAG: usize = 16;

/// A key, ready to seal and to open.
pub struct Gcm(Aes256Gcm);

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm")
    }
}

impl Gcm {
    /// Prepares a key.
    ///
    /// # Errors
    /// `Broken` never in practice: the key has the right length.
    pub fn new(key: &[u8; KEY]) -> Result<Self, Fault> {
        Aes256Gcm::new_from_slice(key)
            .map(Self)
            .map_err(|e| Fault::broken("preparing to seal", e.to_string()))
    }

    /// Seals what lies in `blob` behind [`NONCE`] bytes of room, where it lies, under a random nonce:
    /// `blob` is then nonce, ciphertext, tag. `aad` is bound in and not kept.
    ///
    /// # Errors
    /// `Broken` when the room is missing or the machine has no random bytes.
    pub fn seal_in_place(&self, blob: &mut Vec<u8>, aad: &[u8]) -> Result<(), Fault> {
        self.seal_under(random()?, blob, aad)
    }

    /// The same under a given nonce, which must never be used twice with a key.
    fn seal_under(&self, nonce: [u8; NONCE], blob: &mut Vec<u8>, aad: &[u8]) -> Result<(), Fault> {
        let doing = "sealing";
        let (room, text) = blob
            .split_first_chunk_mut()
            .ok_or_else(|| Fault::broken(doing, "no room for the nonce"))?;
        *room = nonce;
        let tag = self
            .0
            .encrypt_inout_detached(&Nonce::from(nonce), aad, text.into())
            .map_err(|e| Fault::broken(doing, e.to_string()))?;
        blob.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens; `None` when key, bytes or `aad` are others than those that were sealed. The tag is checked
    /// before anything is deciphered, and nothing of what failed is handed on (RUSTSEC-2023-0096).
    pub fn open(&self, blob: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = blob.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        let mut plain = text.to_vec();
        self.0
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                aad,
                plain.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .ok()?;
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn blobs_are_those_of_the_standard() {
        // McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 16.
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = hex("cafebabefacedbaddecaf888");
        let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let text = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
        let sealed = hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662");
        let tag = hex("76fc6ece0f4e1768cddf8853bb2d551b");
        let key = Gcm::new(&key.try_into().unwrap()).unwrap();
        let mut blob = [[0; NONCE].as_slice(), &text].concat();
        key.seal_under(nonce.clone().try_into().unwrap(), &mut blob, &aad).unwrap();
        assert_eq!(blob, [nonce, sealed, tag].concat());
        assert_eq!(key.open(&blob, &aad), Some(text));
    }

    #[test]
    fn a_blob_opens_as_it_was_sealed_or_not_at_all() {
        let key = Gcm::new(&[7; KEY]).unwrap();
        for length in [0, 1, 15, 16, 17, 1000] {
            let text = vec![3; length];
            let mut blob = [vec![0; NONCE], text.clone()].concat();
            key.seal_in_place(&mut blob, b"aad").unwrap();
            assert_eq!(blob.len(), NONCE + length + TAG);
            assert_eq!(key.open(&blob, b"aad"), Some(text));
            assert_eq!(key.open(&blob, b""), None);
            assert_eq!(Gcm::new(&[8; KEY]).unwrap().open(&blob, b"aad"), None);
            for at in [0, NONCE, blob.len() - TAG, blob.len() - 1] {
                let mut changed = blob.clone();
                changed[at] ^= 1;
                assert_eq!(key.open(&changed, b"aad"), None, "{length}, {at}");
                assert_eq!(key.open(&blob[..at], b"aad"), None, "{length}, {at}");
            }
        }
    }

    #[test]
    fn no_two_blobs_are_the_same_and_a_missing_room_is_said() {
        let key = Gcm::new(&[7; KEY]).unwrap();
        let (mut one, mut other) = (vec![0; NONCE], vec![0; NONCE]);
        key.seal_in_place(&mut one, b"").unwrap();
        key.seal_in_place(&mut other, b"").unwrap();
        assert_ne!(one, other);
        assert!(key.seal_in_place(&mut vec![0; NONCE - 1], b"").is_err());
    }
}
