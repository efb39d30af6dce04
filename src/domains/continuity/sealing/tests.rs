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

#[test]
fn what_does_not_open_is_named() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"the message", b"aad").unwrap();
    let mut changed = blob.clone();
    changed[ROOM] ^= 1;
    let short = &blob[..OVERHEAD - 1];
    let long = vec![0; MAX + OVERHEAD + 1];
    for (blob, aad) in [
        (changed.as_slice(), b"aad".as_slice()),
        (&blob, b""),
        (short, b"aad"),
        (&[], b"aad"),
        (&long, b""),
    ] {
        assert_eq!(sealing.unseal(blob, aad).unwrap_err().code, "decrypt_failed");
    }
}

#[test]
fn a_message_has_a_largest_length() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(&vec![7; MAX], b"").unwrap();
    assert_eq!(sealing.unseal(&blob, b"").unwrap().len(), MAX);
    assert_eq!(sealing.seal(&vec![7; MAX + 1], b"").unwrap_err().code, "encrypt_failed");
}

#[test]
fn an_earlier_key_opens_what_it_sealed_and_seals_no_more() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let mut blobs = vec![sealing.seal(b"0", b"").unwrap()];
    for round in 1..4_u8 {
        sealing.rotate().unwrap();
        assert_eq!(sealing.state().unwrap().earlier_keys, usize::from(round));
        assert_eq!(sealing.state().unwrap().messages, 0);
        blobs.push(sealing.seal(&[b'0' + round], b"").unwrap());
    }
    let files = earlier_files(&place).unwrap();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| mode(file) == 0o600));
    assert_eq!(mode(place.earlier_enc_keys()), 0o700);
    for sealing in [sealing, open(&place)] {
        for (round, blob) in (0..).zip(&blobs) {
            assert_eq!(sealing.unseal(blob, b"").unwrap(), [b'0' + round]);
        }
    }
    let key: [u8; 32] = fs::read(place.enc_key()).unwrap().try_into().unwrap();
    let newest = Gcm::new(&key).unwrap();
    assert_eq!(newest.open(&blobs[2], b""), None);
    assert!(newest.open(&blobs[3], b"").is_some());
}

#[test]
fn a_rotation_is_seen_by_the_other_desk() {
    let (_folder, place) = folder();
    let (one, other) = (open(&place), open(&place));
    let before = one.seal(b"before", b"").unwrap();
    other.rotate().unwrap();
    let after = one.seal(b"after", b"").unwrap();
    for sealing in [&one, &other] {
        assert_eq!(sealing.unseal(&before, b"").unwrap(), b"before");
        assert_eq!(sealing.unseal(&after, b"").unwrap(), b"after");
    }
    let key: [u8; 32] = fs::read(place.enc_key()).unwrap().try_into().unwrap();
    assert!(Gcm::new(&key).unwrap().open(&after, b"").is_some());
    assert_eq!(reserved(&place, &name(&key)), BLOCK);
}

#[test]
fn every_message_is_counted_once() {
    let (_folder, place) = folder();
    let (one, other) = (open(&place), open(&place));
    for _ in 0..3 {
        one.seal(b"", b"").unwrap();
    }
    // A block is counted before the first of its messages is sealed.
    let name = one.known().current.name.clone();
    assert_eq!(reserved(&place, &name), BLOCK);
    assert_eq!(one.state().unwrap().messages, 3);
    other.seal(b"", b"").unwrap();
    assert_eq!(reserved(&place, &name), 2 * BLOCK);
    // Each gives back what it has not used, and no more than that.
    drop(one);
    assert_eq!(reserved(&place, &name), BLOCK + 3);
    drop(other);
    assert_eq!(reserved(&place, &name), 4);
    let third = open(&place);
    assert_eq!(third.state().unwrap().messages, 4);
    assert_eq!(third.state().unwrap().key_made_at, NOW);
}

#[test]
fn a_key_that_has_sealed_enough_seals_no_more() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"early", b"").unwrap();
    drop(sealing);
    set_reserved(&place, LIMIT - 2);
    let sealing = open(&place);
    assert!(sealing.state().unwrap().messages >= WARN_AT);
    sealing.seal(b"", b"").unwrap();
    sealing.seal(b"", b"").unwrap();
    let fault = sealing.seal(b"", b"").unwrap_err();
    assert_eq!(fault.code, "encrypt_failed");
    assert!(fault.message.contains("rotate"), "{}", fault.message);
    assert_eq!(sealing.state().unwrap().messages, LIMIT);
    assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"early");
    sealing.rotate().unwrap();
    sealing.seal(b"", b"").unwrap();
    assert_eq!(sealing.state().unwrap().messages, 1);
}

#[test]
fn a_key_from_elsewhere_is_used_and_its_rotation_advised() {
    let (folder, _) = folder();
    // The original's own layout.
    let place = Place::of_base_dir(folder.path());
    place.create().unwrap();
    fs::write(place.enc_key(), [5; 32]).unwrap();
    let sealing = open(&place);
    assert_eq!(mode(folder.path().join(".runtime/enc_key.bin")), 0o600);
    let blob = sealing.seal(b"the message", b"").unwrap();
    assert_eq!(Gcm::new(&[5; 32]).unwrap().open(&blob, b"").unwrap(), b"the message");
    assert_eq!(sealing.state().unwrap().messages, WARN_AT + 1);
    sealing.rotate().unwrap();
    assert_eq!(sealing.state().unwrap().messages, 0);
    assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"the message");
    // And where somebody puts another key under a desk that is open.
    fs::write(place.enc_key(), [6; 32]).unwrap();
    let blob = sealing.seal(b"the message", b"").unwrap();
    assert!(Gcm::new(&[6; 32]).unwrap().open(&blob, b"").is_some());
}

#[test]
fn a_damaged_key_is_named_and_left_alone() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"before", b"").unwrap();
    for damage in [vec![], vec![1; 31], vec![1; 33], b"0123".to_vec()] {
        fs::write(place.enc_key(), &damage).unwrap();
        let opened = Sealing::open(&place, clock(), MAX);
        assert_eq!(opened.unwrap_err().code, "sealing_key_damaged");
        assert_eq!(sealing.seal(b"", b"").unwrap_err().code, "sealing_key_damaged");
        assert_eq!(sealing.rotate().unwrap_err().code, "sealing_key_damaged");
        assert_eq!(sealing.state().unwrap_err().code, "sealing_key_damaged");
        assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"before");
        assert_eq!(fs::read(place.enc_key()).unwrap(), damage);
    }
    fs::remove_file(place.enc_key()).unwrap();
    assert_eq!(sealing.seal(b"", b"").unwrap_err().code, "sealing_key_missing");
    assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"before");
    // Whoever asks for a new key gets one.
    sealing.rotate().unwrap();
    sealing.seal(b"", b"").unwrap();
}

#[test]
fn a_damaged_count_stops_sealing_until_a_rotation() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"before", b"").unwrap();
    let old = sealing.known().current.name.clone();
    for damage in ["", "{", "[]", r#"{"a":{"reserved":-1}}"#] {
        fs::write(place.enc_count(), damage).unwrap();
        let opened = Sealing::open(&place, clock(), MAX);
        assert_eq!(opened.unwrap_err().code, COUNT_DAMAGED, "{damage:?}");
        assert_eq!(sealing.state().unwrap_err().code, COUNT_DAMAGED);
        assert_eq!(fs::read_to_string(place.enc_count()).unwrap(), damage);
    }
    // What is reserved already is counted already.
    sealing.seal(b"", b"").unwrap();
    sealing.rotate().unwrap();
    sealing.seal(b"", b"").unwrap();
    assert_eq!(sealing.state().unwrap().messages, 1);
    assert_eq!(reserved(&place, &old), LIMIT);
    assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"before");
}

#[test]
fn a_crash_within_a_rotation_loses_neither_key_nor_count() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"before", b"").unwrap();
    drop(sealing);
    // Where it has kept the old key and counted a new one that it has not written.
    let old = read_key(&place).unwrap().unwrap();
    keep_earlier(&place, NOW, &name(&old), &old).unwrap();
    let mut counts = read_counts(&place).unwrap();
    counts.insert("0011223344556677".into(), Count { made_at: NOW, reserved: 0 });
    write_counts(&place, &counts).unwrap();
    let sealing = open(&place);
    assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"before");
    let state = sealing.state().unwrap();
    assert_eq!((state.messages, state.earlier_keys), (1, 0));
}

#[test]
fn an_earlier_key_that_is_damaged_hides_no_other() {
    let (_folder, place) = folder();
    let sealing = open(&place);
    let blob = sealing.seal(b"before", b"").unwrap();
    sealing.rotate().unwrap();
    fs::write(place.earlier_enc_keys().join("enc_key_9.bin"), b"short").unwrap();
    fs::write(place.earlier_enc_keys().join("notes.txt"), b"not a key").unwrap();
    let sealing = open(&place);
    assert_eq!(sealing.unseal(&blob, b"").unwrap(), b"before");
    assert_eq!(sealing.state().unwrap().earlier_keys, 1);
}

/// The folder that a child seals in, in its environment.
const CHILD: &str = "ILOT_TEST_SEALS_IN";

/// Not a test of its own: what the children of the next one do, until they are killed.
#[test]
fn a_child_that_seals() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let sealing = open(&Place::at(folder));
    let sealed = fs::File::options().append(true).open(std::env::var("SEALED").unwrap()).unwrap();
    loop {
        drop(sealing.seal(b"the message", b"").unwrap());
        std::io::Write::write_all(&mut &sealed, b".").unwrap();
    }
}

#[test]
fn two_processes_that_are_killed_have_counted_what_they_sealed() {
    let (folder, place) = folder();
    let name = open(&place).known().current.name.clone();
    let sealed = folder.path().join("sealed");
    fs::write(&sealed, b"").unwrap();
    let test = concat!(module_path!(), "::a_child_that_seals");
    let test = test.split_once("::").unwrap().1;
    for round in 1..=3_u64 {
        let begun = fs::metadata(&sealed).unwrap().len();
        let mut children: Vec<_> = (0..2)
            .map(|_| {
                std::process::Command::new(std::env::current_exe().unwrap())
                    .args([test, "--exact", "--nocapture"])
                    .envs([(CHILD, place.root()), ("SEALED", sealed.as_path())])
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let patience = std::time::Instant::now();
        while fs::metadata(&sealed).unwrap().len() < begun + 3 * BLOCK / 2 * round {
            assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
            assert!(patience.elapsed().as_secs() < 60, "the children do not seal");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let (sealed, counted) = (fs::metadata(&sealed).unwrap().len(), reserved(&place, &name));
        assert!(counted >= sealed, "{counted} counted, {sealed} sealed");
        // Each kill costs the rest of a block and no more.
        assert!(counted - sealed <= 2 * BLOCK * round, "{counted} counted, {sealed} sealed");
    }
    open(&place).seal(b"", b"").unwrap();
}

#[test]
fn two_processes_make_one_key() {
    for _ in 0..20 {
        let (_folder, place) = folder();
        let desks: Vec<Sealing> = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&place))).collect();
            opening.into_iter().map(|desk| desk.join().unwrap()).collect()
        });
        let blob = desks[0].seal(b"", b"").unwrap();
        assert!(desks.iter().all(|desk| desk.unseal(&blob, b"").is_ok()));
    }
}
