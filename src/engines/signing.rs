//! Signatures (Ed25519, RFC 8032) for what has to be believed away from this box, by aws-lc-rs.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base::fault::Fault;

/// Bytes of a public half.
pub const PUBLIC: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE: usize = 64;
/// Bytes of a hash that name a key.
const NAME: usize = 9;

/// A key pair that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; PUBLIC],
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.name()).finish()
    }
}

impl SigningKey {
    /// Makes a new key; the answer is its PKCS#8 DER, to be sealed and kept.
    ///
    /// # Errors
    /// `Broken` when the machine cannot.
    pub fn make() -> Result<Zeroizing<Vec<u8>>, Fault> {
        let broken = |e| Fault::broken("making a signing key", e);
        let pair = Ed25519KeyPair::generate().map_err(broken)?;
        Ok(Zeroizing::new(pair.to_pkcs8().map_err(broken)?.as_ref().to_vec()))
    }

    /// The key of a PKCS#8 DER.
    ///
    /// # Errors
    /// `Broken` when it is no Ed25519 key with its public half.
    pub fn read(pkcs8: &[u8]) -> Result<Self, Fault> {
        let doing = "reading a signing key";
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|e| Fault::broken(doing, e))?;
        let public = pair.public_key().as_ref().try_into().map_err(|e| Fault::broken(doing, e))?;
        Ok(Self { pair, public })
    }

    /// Signs.
    ///
    /// # Errors
    /// `Broken` never in practice: Ed25519 signs bytes of any length.
    pub fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE], Fault> {
        let doing = "signing";
        let signature = self.pair.try_sign(bytes).map_err(|e| Fault::broken(doing, e))?;
        signature.as_ref().try_into().map_err(|e| Fault::broken(doing, e))
    }

    /// Its public half, which checks what it signed.
    pub fn public(&self) -> [u8; PUBLIC] {
        self.public
    }

    /// Its name: that of its public half.
    pub fn name(&self) -> String {
        name(&self.public)
    }
}

/// The name of a key, for people and files: a hash of its public half, 12 letters safe in URLs.
pub fn name(public: &[u8; PUBLIC]) -> String {
    BASE64URL_NOPAD.encode(Sha256::digest(public).get(..NAME).unwrap_or_default())
}

/// Whether the key with that public half signed these bytes. What is no key or no signature has signed
/// nothing.
pub fn verify(public: &[u8], bytes: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(bytes, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        // RFC 8032 §7.1, test 3, its secret in the form of RFC 8410 with its public half.
        let secret = hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
        let public = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        let signature = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
        let head = hex("3051020101300506032b657004220420");
        let pkcs8 = [head.as_slice(), &secret, &[0x81, 0x21, 0], &public].concat();
        let key = SigningKey::read(&pkcs8).unwrap();
        assert_eq!(key.public().as_slice(), public);
        assert_eq!(key.sign(&[0xaf, 0x82]).unwrap().as_slice(), signature);
        assert!(verify(&public, &[0xaf, 0x82], &signature));
    }

    #[test]
    fn a_signature_is_good_for_its_bytes_and_its_key_only() {
        let kept = SigningKey::make().unwrap();
        let key = SigningKey::read(&kept).unwrap();
        let (public, signature) = (key.public(), key.sign(b"the journal").unwrap());
        assert!(verify(&public, b"the journal", &signature));
        assert!(!verify(&public, b"the journaL", &signature));
        assert!(!verify(&public, b"", &signature));
        let other = SigningKey::read(&SigningKey::make().unwrap()).unwrap();
        assert!(!verify(&other.public(), b"the journal", &signature));
        for at in 0..SIGNATURE {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!verify(&public, b"the journal", &changed), "{at}");
        }
        assert!(!verify(&[], b"the journal", &signature));
        assert!(!verify(&public, b"the journal", &signature[1..]));
        assert!(!verify(&[0; PUBLIC], b"the journal", &[0; SIGNATURE]));
        assert!(!verify(&[1; 33], b"the journal", &[]));
    }

    #[test]
    fn a_key_keeps_its_name_and_says_nothing_else() {
        let kept = SigningKey::make().unwrap();
        let (key, again) = (SigningKey::read(&kept).unwrap(), SigningKey::read(&kept).unwrap());
        assert_eq!((key.name(), key.public()), (again.name(), again.public()));
        assert_eq!(key.name(), name(&key.public()));
        assert_eq!(key.name().len(), 12);
        assert_eq!(format!("{key:?}"), format!("SigningKey({:?})", key.name()));
        assert!(SigningKey::read(&kept[1..]).is_err());
        assert!(SigningKey::read(&[]).is_err());
    }
}
