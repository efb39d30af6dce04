//! Sealing, hashing and deriving: the root key outside the database and all that hangs from it.

pub mod gcm;
mod imported;
mod passwords;

use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::fault::Fault;
use crate::base::paths::write_private;
pub use passwords::{Passwords, Verdict};

/// The envelope's first byte.
const ENVELOPE: u8 = 1;
/// Bytes of an `XChaCha20` nonce: random ones never run out.
const NONCE: usize = 24;

/// 32 random bytes in a file beside the database; every other key is derived from it.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

/// Random bytes from the machine.
///
/// # Errors
/// `Broken` when it has none.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| Fault::broken("asking for random bytes", e.to_string()))?;
    Ok(bytes)
}

/// A random word of 256 bits for links and keys, safe in URLs.
///
/// # Errors
/// `Broken` when the machine has no random bytes.
pub fn random_word() -> Result<String, Fault> {
    Ok(data_encoding::BASE64URL_NOPAD.encode(&random::<32>()?))
}

/// Whether two words are the same, in a time that does not tell where they differ.
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

impl RootKey {
    /// Reads the root key of a data folder, making one at the first start.
    ///
    /// # Errors
    /// `root_key_damaged` when the file is not 32 bytes, or what the file system says.
    pub fn open(keys: &Path) -> Result<Self, Fault> {
        let path = keys.join("root.key");
        match std::fs::read(&path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
                    Fault::unavailable(
                        "root_key_damaged",
                        "The root key (keys/root.key) is not 32 bytes.",
                    )
                })?;
                Ok(Self(Zeroizing::new(key)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = Zeroizing::new(random::<32>()?);
                write_private(&path, key.as_slice())
                    .map_err(|e| Fault::broken("writing the root key", e))?;
                Ok(Self(key))
            }
            Err(e) => Err(Fault::broken("reading the root key", e)),
        }
    }

    /// The key for one purpose (HKDF-SHA256, reliability.md §3.1).
    ///
    /// # Errors
    /// `Broken` never in practice: 32 bytes are within HKDF's bounds.
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Fault> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand(format!("ilot/v1/{purpose}").as_bytes(), key.as_mut_slice())
            .map_err(|e| Fault::broken("deriving a key", e.to_string()))?;
        Ok(key)
    }

    /// Seals a secret for one place; `place` (table, row, field) is bound in, so that a sealed value
    /// moved to another row does not open.
    ///
    /// # Errors
    /// `Broken` when the machine has no random bytes.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, Fault> {
        let nonce = random::<NONCE>()?;
        let sealed = self
            .cipher()?
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: place.as_bytes() })
            .map_err(|e| Fault::broken("sealing", e.to_string()))?;
        let mut envelope = vec![ENVELOPE];
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens what [`RootKey::seal`] sealed for the same place.
    ///
    /// # Errors
    /// `secret_sealed_elsewhere` when the key, the place or the bytes are others.
    pub fn unseal(&self, place: &str, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let wrong = || {
            Fault::unavailable(
                "secret_sealed_elsewhere",
                "A secret does not open with this box's root key.",
            )
        };
        let rest = envelope.strip_prefix(&[ENVELOPE]).ok_or_else(wrong)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(wrong)?;
        self.cipher()?
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: place.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| wrong())
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, Fault> {
        let key = self.derive("seal")?;
        XChaCha20Poly1305::new_from_slice(key.as_slice())
            .map_err(|e| Fault::broken("preparing to seal", e.to_string()))
    }
}

/// HMAC-SHA256 as a word safe in URLs and headers.
///
/// # Errors
/// `Broken` never in practice: HMAC takes keys of any length.
pub fn mac(key: &[u8], message: &[u8]) -> Result<String, Fault> {
    Ok(data_encoding::BASE64URL_NOPAD.encode(&mac_bytes(key, message)?))
}

/// HMAC-SHA256 (RFC 2104), its 32 bytes.
///
/// # Errors
/// `Broken` never in practice: HMAC takes keys of any length.
pub fn mac_bytes(key: &[u8], message: &[u8]) -> Result<[u8; 32], Fault> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|e| Fault::broken("preparing a MAC", e.to_string()))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

/// Whether `shown` is the HMAC-SHA256 of the message, in a time that does not tell where they differ.
///
/// # Errors
/// `Broken` never in practice: HMAC takes keys of any length.
pub fn mac_is(key: &[u8], message: &[u8], shown: &[u8]) -> Result<bool, Fault> {
    Ok(mac_bytes(key, message)?.ct_eq(shown).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> RootKey {
        RootKey(Zeroizing::new([7; 32]))
    }

    #[test]
    fn a_sealed_secret_opens_in_its_place_only() {
        let sealed = root().seal("users/1/totp", b"secret").unwrap();
        assert_eq!(root().unseal("users/1/totp", &sealed).unwrap().as_slice(), b"secret");
        assert!(root().unseal("users/2/totp", &sealed).is_err());
        assert!(root().unseal("users/1/totp", &sealed[..10]).is_err());
        assert!(RootKey(Zeroizing::new([8; 32])).unseal("users/1/totp", &sealed).is_err());
    }

    #[test]
    fn macs_are_those_of_the_standard() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let made = mac_bytes(b"Jefe", b"what do ya want for nothing?").unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&made), expected);
        assert!(mac_is(b"Jefe", b"what do ya want for nothing?", &made).unwrap());
        assert!(!mac_is(b"Jefe", b"what do ya want for nothing!", &made).unwrap());
        assert!(!mac_is(b"jefe", b"what do ya want for nothing?", &made).unwrap());
        for shown in [&made[1..], &[], &[0; 33]] {
            assert!(!mac_is(b"Jefe", b"what do ya want for nothing?", shown).unwrap());
        }
    }
}
