//! The sealing desk on real folders: several desks at once, rotations, limits, damage.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::base::clock::HeldClock;

const NOW: Moment = Moment(1_764_000_000_000);
const MAX: usize = 1 << 20;

fn folder() -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path().join("planb"));
    (folder, place)
}

fn clock() -> Arc<HeldClock> {
    Arc::new(HeldClock::at(NOW))
}

fn open(place: &Place) -> Sealing {
    Sealing::open(place, clock(), MAX).unwrap()
}

/// What the file says of its only or its named key.
fn reserved(place: &Place, name: &str) -> u64 {
    read_counts(place).unwrap()[name].reserved
}

fn set_reserved(place: &Place, reserved: u64) {
    let mut counts = read_counts(place).unwrap();
    for count in counts.values_mut() {
        count.reserved = reserved;
    }
    write_counts(place, &counts).unwrap();
}

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_sealed_opens_with_the_file_alone() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"the message", b"aad").unwrap();
    assert_eq!(sealing.unseal(&blob, b"aad").unwrap(), b"the message");
    let key: [u8; 32] = fs::read(place.enc_key()).unwrap().try_into().unwrap();
    assert_eq!(Gcm::new(&key).unwrap().open(&blob, b"aad").unwrap(), b"the message");
    assert_eq!(open(&place).unseal(&blob, b"aad").unwrap(), b"the message");
    assert_eq!([mode(place.enc_key()), mode(place.enc_count())], [0o600; 2]);
    assert_eq!(mode(place.root()), 0o700);
}
