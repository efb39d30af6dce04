//! Who this node is: an Ed25519 key that stays, its id, and the key of its packets' HMACs.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::files::{under_lock, unwritten};
use super::keeping;
use super::place::Place;
use crate::base::fault::Fault;
use crate::engines::secrets;
use crate::engines::signing::{self, PUBLIC, SIGNATURE, SigningKey};

/// Bytes of an id: a SHA-256.
const ID: usize = 32;
/// Bytes of the HMAC key.
const HMAC_KEY: usize = 32;

/// The node's keys, read once: they do not change.
pub struct Node {
    key: SigningKey,
    id: [u8; ID],
    name: String,
    hmac: Zeroizing<[u8; HMAC_KEY]>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.name).finish()
    }
}

impl Node {
    /// Reads the node's keys (`node.key`, `hmac_key.bin`), making those that are missing.
    ///
    /// # Errors
    /// `node_key_damaged`, `hmac_key_damaged` (a damaged key is left as it lies), `planb_files_busy`, or
    /// what the file system says.
    pub fn open(place: &Place) -> Result<Self, Fault> {
        place.create().map_err(|e| unwritten("making Plan B's folder", e))?;
        under_lock(&place.node_key(), || Self::read_or_make(place))
    }

    fn read_or_make(place: &Place) -> Result<Self, Fault> {
        let pkcs8 = keeping::read_or_make(&place.node_key(), SigningKey::make)?;
        let key = SigningKey::read(&pkcs8).map_err(|fault| {
            damaged("node_key_damaged", &place.node_key(), "an Ed25519 key (PKCS#8)").because(fault)
        })?;
        let hmac = keeping::read_or_make(&place.hmac_key(), || {
            Ok(Zeroizing::new(secrets::random::<HMAC_KEY>()?.to_vec()))
        })?;
        let hmac = hmac
            .as_slice()
            .try_into()
            .map_err(|_| damaged("hmac_key_damaged", &place.hmac_key(), "32 bytes"))?;
        let id = id_of(&key.public());
        Ok(Self { key, id, name: HEXLOWER.encode(&id), hmac: Zeroizing::new(hmac) })
    }

    /// The node's id: SHA-256 of its raw public key (plan-b.md §1.3).
    pub fn id(&self) -> [u8; ID] {
        self.id
    }

    /// The id as 64 lower-case hexadecimal digits.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key, raw.
    pub fn public(&self) -> [u8; PUBLIC] {
        self.key.public()
    }

    /// Signs.
    ///
    /// # Errors
    /// `Broken` never in practice.
    pub fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE], Fault> {
        self.key.sign(bytes)
    }

    /// Whether this node signed these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        signing::verify(&self.key.public(), bytes, signature)
    }

    /// The HMAC of what a packet covers.
    ///
    /// # Errors
    /// `Broken` never in practice.
    pub fn mac(&self, covered: &[u8]) -> Result<[u8; 32], Fault> {
        secrets::mac_bytes(self.hmac.as_slice(), covered)
    }

    /// Whether `hmac` is that of what a packet covers under this node's key.
    ///
    /// # Errors
    /// `Broken` never in practice.
    pub fn mac_is(&self, covered: &[u8], hmac: &[u8]) -> Result<bool, Fault> {
        secrets::mac_is(self.hmac.as_slice(), covered, hmac)
    }
}

/// The id of a public key.
pub fn id_of(public: &[u8; PUBLIC]) -> [u8; ID] {
    Sha256::digest(public).into()
}

fn damaged(code: &'static str, path: &Path, wanted: &str) -> Fault {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    Fault::unavailable(
        code,
        format!(
            "planb/{file} is not {wanted}; put the right file back, or move it away and restart to \
             have a new key made."
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_node_stays_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of_base_dir(folder.path());
        let (node, again) = (Node::open(&place).unwrap(), Node::open(&place).unwrap());
        assert_eq!((node.id(), node.public()), (again.id(), again.public()));
        assert_eq!(node.id(), id_of(&node.public()));
        assert_eq!(node.name(), HEXLOWER.encode(&node.id()));
        assert_eq!(node.name().len(), 64);
        let signature = node.sign(b"the pack").unwrap();
        assert!(again.verify(b"the pack", &signature));
        assert!(!again.verify(b"the pacK", &signature));
        let mac = node.mac(b"covered").unwrap();
        assert!(again.mac_is(b"covered", &mac).unwrap());
        assert!(!again.mac_is(b"coverec", &mac).unwrap());
        assert!(!again.mac_is(b"covered", &mac[1..]).unwrap());
        for path in [place.node_key(), place.hmac_key()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let other = Node::open(&Place::at(folder.path().join("other"))).unwrap();
        assert_ne!(node.id(), other.id());
        assert!(!other.mac_is(b"covered", &mac).unwrap());
        assert!(!format!("{node:?}").contains(&HEXLOWER.encode(node.hmac.as_slice())));
    }

    #[test]
    fn a_damaged_key_is_named_and_left_alone() {
        for (code, path) in [
            ("node_key_damaged", Place::node_key as fn(&Place) -> _),
            ("hmac_key_damaged", Place::hmac_key),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::at(folder.path().join("planb"));
            Node::open(&place).unwrap();
            for damage in [vec![], vec![1; 31], vec![1; 33]] {
                fs::write(path(&place), &damage).unwrap();
                assert_eq!(Node::open(&place).unwrap_err().code, code);
                assert_eq!(fs::read(path(&place)).unwrap(), damage);
            }
        }
    }

    #[test]
    fn many_at_once_are_one_node() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        let ids: Vec<_> = std::thread::scope(|scope| {
            let opening: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Node::open(&place).unwrap().id())).collect();
            opening.into_iter().map(|id| id.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
}
