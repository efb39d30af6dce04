//! The keys of one folder as two processes see them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::base::clock::HeldClock;

const HOUR: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_mins(10);

/// A folder and what a process sees of it.
struct Desk {
    keys: Keys,
    place: Place,
    health: Health,
}

fn desk(folder: &Path, clock: &Arc<HeldClock>) -> Desk {
    let (place, health) = (Place::at(folder.join("planb")), Health::new(clock.clone()));
    let keys = Keys::open(&place, GRACE, clock.clone(), health.clone());
    Desk { keys, place, health }
}

fn clock() -> Arc<HeldClock> {
    Arc::new(HeldClock::at(Moment(1_768_464_000_000)))
}

impl Desk {
    fn text(&self) -> String {
        fs::read_to_string(self.place.api_key()).unwrap().trim_end().to_owned()
    }

    fn takes(&self, key: &str) -> bool {
        self.keys.holder(key) == Some(Holder::File)
    }

    fn add(&self, name: &str, scopes: &[&str], days: Option<u32>) -> Result<String, &'static str> {
        let scopes = scopes.iter().map(|s| (*s).to_owned()).collect();
        let draft = KeyDraft { name: name.to_owned(), scopes, days };
        self.keys.add(draft).map(|(text, _)| text.to_string()).map_err(|f| f.code)
    }
}

#[test]
fn a_key_is_made_once_kept_and_closed_to_others() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let made = desk(folder.path(), &clock);
    let text = fs::read_to_string(made.place.api_key()).unwrap();
    let key = text.trim_end();
    assert!(text.ends_with('\n') && is_key(key), "{text:?}");
    assert!(made.takes(key) && !made.takes(&text) && !made.takes(""));
    let path = made.place.api_key();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(desk(folder.path(), &clock).takes(key));
    assert_eq!(mode(), 0o600);
    assert_eq!(made.health.level(PART), Some(Level::Ok));
}

#[test]
fn what_is_no_key_is_named_and_left_alone_until_it_is_mended() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let desk = desk(folder.path(), &clock);
    let (path, good) = (desk.place.api_key(), "0123456789abcdef".repeat(4));
    for text in ["", "\n", &good[1..], &good.to_uppercase(), &format!("{good}\n\n"), "é"] {
        fs::write(&path, text).unwrap();
        assert!(!desk.takes(&good));
        assert_eq!(desk.keys.look().map_err(|f| f.code), Err("planb_key_damaged"));
        assert_eq!(desk.keys.rotate(None).map_err(|f| f.code), Err("planb_key_damaged"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(desk.health.level(PART), Some(Level::Reduced));
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(desk.keys.look().map_err(|f| f.code), Err("planb_key_damaged"));
    fs::write(&path, &good).unwrap();
    assert!(desk.takes(&good), "without a newline, and without a restart");
    assert_eq!(desk.health.level(PART), Some(Level::Ok));
    fs::remove_file(&path).unwrap();
    assert!(!desk.takes(&good));
    assert_eq!(desk.keys.look().map_err(|f| f.code), Err("planb_key_missing"));
    let new = desk.keys.rotate(None).unwrap();
    assert!(desk.takes(&new));
}

#[test]
fn the_key_before_is_taken_for_its_grace_by_every_process() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (one, other) = (desk(folder.path(), &clock), desk(folder.path(), &clock));
    let first = one.text();
    assert!(other.takes(&first));
    let second = one.keys.rotate(None).unwrap();
    assert_eq!(one.text(), *second);
    for desk in [&one, &other] {
        assert!(desk.takes(&first) && desk.takes(&second));
    }
    let state = other.keys.file_state().unwrap();
    assert_eq!(state.previous_until, Some(clock.now().plus(GRACE)));
    assert_eq!(state.backups[0].name, "api_key_backup_20260115_080000.txt");
    let backup = other.place.backups().join(&state.backups[0].name);
    assert_eq!(fs::read_to_string(&backup).unwrap(), format!("{first}\n"));
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(one.place.previous_key()).unwrap();
    assert!(!kept.contains(&first), "of the key before its hash is kept");
    clock.set_wall(clock.now().plus(GRACE));
    assert!(!one.takes(&first) && !other.takes(&first) && other.takes(&second));
    clock.set_wall(Moment(0));
    assert!(!one.takes(&first), "a wall that was set back gives no new grace");
    clock.set_wall(Moment(1_768_464_000_000));
    let third = one.keys.rotate(Some(Duration::ZERO)).unwrap();
    for desk in [&one, &other] {
        assert!(!desk.takes(&first) && !desk.takes(&second) && desk.takes(&third));
    }
    assert_eq!(one.keys.file_state().unwrap().previous_until, None);
}

#[test]
fn five_backups_are_kept_even_of_one_second() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let desk = desk(folder.path(), &clock);
    let mut before = Vec::new();
    for _ in 0..7 {
        before.push(desk.text());
        desk.keys.rotate(Some(Duration::ZERO)).unwrap();
        // The file system's clock tells them apart, as it does for people.
        std::thread::sleep(Duration::from_millis(15));
    }
    let backups = desk.keys.file_state().unwrap().backups;
    let kept: Vec<_> = backups
        .iter()
        .map(|b| fs::read_to_string(desk.place.backups().join(&b.name)).unwrap().trim().to_owned())
        .collect();
    let wanted: Vec<_> = before.iter().rev().take(5).cloned().collect();
    assert_eq!(kept, wanted);
}

#[test]
fn processes_that_rotate_and_read_at_once_never_meet_half_a_key() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let desks: Vec<_> = (0..3).map(|_| desk(folder.path(), &clock)).collect();
    std::thread::scope(|scope| {
        for desk in &desks {
            scope.spawn(|| {
                for _ in 0..20 {
                    let new = desk.keys.rotate(None).unwrap();
                    assert!(is_key(&new));
                    assert_eq!(desk.keys.look().map_err(|f| f.code), Ok(()));
                }
            });
        }
    });
    let last = desks[0].text();
    assert!(desks.iter().all(|desk| desk.takes(&last)));
}

/// A process that is killed while it rotates has done the first of these steps and not the next.
#[test]
fn whenever_a_rotation_is_cut_off_one_whole_key_is_in_force() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let cut = desk(folder.path(), &clock);
    let first = cut.text();
    // After the hash of the key before, before the new key.
    let previous = format!(
        r#"{{"sha256":"{}","rotated_at":"2026-01-15T08:00:00Z","until":"2026-01-15T08:10:00Z"}}"#,
        hash_of(&first)
    );
    fs::write(cut.place.previous_key(), previous).unwrap();
    let next = desk(folder.path(), &clock);
    assert!(next.takes(&first));
    clock.set_wall(clock.now().plus(HOUR));
    assert!(next.takes(&first), "it is the key in force, grace or not");
    // Within the writing of the new key.
    let beside = cut.place.api_key().with_extension("new");
    fs::write(&beside, "0123").unwrap();
    let next = desk(folder.path(), &clock);
    assert!(next.takes(&first));
    let second = next.keys.rotate(None).unwrap();
    assert!(next.takes(&first) && next.takes(&second) && !beside.exists());
    // A file of the key before that is damaged costs its grace alone.
    fs::write(cut.place.previous_key(), "{").unwrap();
    assert!(!next.takes(&first) && next.takes(&second));
}

#[test]
fn further_keys_open_what_their_scopes_say_until_they_end() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (one, other) = (desk(folder.path(), &clock), desk(folder.path(), &clock));
    let sees = one.add("regie", &["status"], None).unwrap();
    let seals = one.add("camion-3", &["crypto", "tcp"], Some(2)).unwrap();
    let rights = |key: &str| other.keys.holder(key).map(|holder| holder.rights());
    let see = Rights::NONE.with(Right::UseContinuity);
    assert_eq!(rights(&sees), Some(see));
    let relays = see.with(Right::SealContinuity).with(Right::RelayContinuity);
    assert_eq!(rights(&seals), Some(relays), "and status besides");
    assert!(rights(&one.text()).is_some_and(|r| r.holds(Right::ManageContinuity)));
    let kept = fs::read_to_string(one.place.scoped_keys()).unwrap();
    assert!(!kept.contains(&sees) && !kept.contains(&seals), "hashes alone are kept");
    clock.pass(HOUR * 48);
    assert_eq!((rights(&seals), rights(&sees)), (None, Some(see)));
    assert_eq!(other.keys.remove("regie").unwrap().name, "regie");
    assert_eq!(rights(&sees), None);
    assert_eq!(one.keys.remove("regie").map_err(|f| f.code), Err("not_found"));
    let names: Vec<_> = one.keys.listed().unwrap().iter().map(|key| key.name.clone()).collect();
    assert_eq!(names, ["camion-3"]);
}

#[test]
fn a_further_key_that_makes_no_sense_is_refused() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let desk = desk(folder.path(), &clock);
    for (name, scopes, days) in [
        ("", &["tcp"][..], None),
        ("a b", &["tcp"], None),
        ("../x", &["tcp"], None),
        (&"n".repeat(65), &["tcp"], None),
        ("x", &[], None),
        ("x", &["all"], None),
        ("x", &["tcp", "manage"], None),
        ("x", &["tcp"], Some(0)),
        ("x", &["tcp"], Some(3651)),
    ] {
        assert_eq!(desk.add(name, scopes, days), Err("validation"), "{name} {scopes:?}");
    }
    desk.add("x", &["tcp"], Some(3650)).unwrap();
    assert_eq!(desk.add("x", &["tcp"], None), Err("planb_key_name_taken"));
    for n in 1..64 {
        desk.add(&format!("k{n}"), &["status"], None).unwrap();
    }
    assert_eq!(desk.add("late", &["tcp"], None), Err("planb_keys_full"));
}

#[test]
fn further_keys_that_are_damaged_stay_as_they_are_and_the_file_key_goes_on() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let desk = desk(folder.path(), &clock);
    let mut known = desk.add("regie", &["status"], None).unwrap();
    let whole = fs::read_to_string(desk.place.scoped_keys()).unwrap();
    for text in
        [&whole[..whole.len() / 2], "[]", &whole.replace("\"version\": 1", "\"version\": 9")]
    {
        fs::write(desk.place.scoped_keys(), text).unwrap();
        assert_eq!(desk.keys.holder(&known), None);
        assert_eq!(desk.add("x", &["tcp"], None), Err("planb_keys_damaged"));
        assert_eq!(desk.keys.remove("regie").map_err(|f| f.code), Err("planb_keys_damaged"));
        assert_eq!(fs::read_to_string(desk.place.scoped_keys()).unwrap(), text);
        assert!(desk.takes(&desk.text()));
        assert_eq!(desk.health.level(SCOPED_PART), Some(Level::Reduced));
    }
    fs::write(desk.place.scoped_keys(), &whole).unwrap();
    assert!(desk.keys.holder(&known).is_some());
    assert_eq!(desk.health.level(SCOPED_PART), Some(Level::Ok));
    known.replace_range(0..1, if known.starts_with('0') { "1" } else { "0" });
    assert_eq!(desk.keys.holder(&known), None);
}
