//! Sign-ins against a real pack, with proofs that are quick to check.

use std::net::IpAddr;

use super::*;
use crate::base::clock::{HeldClock, Moment};
use crate::base::health::Health;
use crate::domains::continuity::node::Node;
use crate::domains::continuity::pack::part::Part;
use crate::domains::continuity::pack::{Limits, Packer, Seal};
use crate::domains::continuity::place::Place;
use crate::domains::continuity::settings::ContinuitySettings;

struct Bench {
    _folder: tempfile::TempDir,
    people: People,
    clock: Arc<HeldClock>,
    packer: Packer,
    key: String,
}

fn person(n: u8, name: &str, second_factor: bool) -> Person {
    Person {
        id: Id([n; 16]),
        username: name.into(),
        display_name: name.to_uppercase(),
        email: format!("{name}@depot.fr"),
        password: format!("hash of {name}"),
        rights: vec!["edit_planning".into(), "no_such_right".into()],
        second_factor,
        language: "fr".into(),
    }
}

impl Bench {
    fn new(with_proofs: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        let clock = Arc::new(HeldClock::at(Moment(1_768_464_000_000)));
        let node = Arc::new(Node::open(&place).unwrap());
        let seal = Seal::of(&node);
        let settings = ContinuitySettings::default();
        let packer = Packer::new(&place, clock.clone(), seal, Limits::of(&settings));
        let health = Health::new(clock.clone());
        let desk = Continuity::open(&place, &settings, clock.clone(), health);
        let proofs = with_proofs.then(|| Proofs {
            password: Arc::new(|password, stored| Ok(stored == format!("hash of {password}"))),
            kiosk_key: Arc::new(|key| Ok(format!("mac of {key}"))),
        });
        let shelf = Shelf::of(place.pack(), Some(node.public()));
        let people = People::of(desk, shelf, clock.clone(), proofs);
        let key = std::fs::read_to_string(place.api_key()).unwrap();
        Self { _folder: folder, people, clock, packer, key }
    }

    fn packed(self, people: Vec<Person>) -> Self {
        let door = |name: &str, expires_at| DoorKey {
            kind: "kiosk".into(),
            id: Id([9; 16]),
            name: name.into(),
            proof: format!("mac of {name}"),
            expires_at,
        };
        let doors = vec![door("gate", None), door("old", Some(Moment(5)))];
        let part = Part { people, doors, ..Part::default() };
        self.packer.add("people", Arc::new(move || Ok(part.clone())));
        self.packer.write_now().unwrap();
        self
    }

    fn sign_in(&self, name: &str, password: &str, from: &str) -> Result<String, &'static str> {
        let address: Option<IpAddr> = from.parse().ok();
        self.people.sign_in(name, password, address).map_err(|fault| fault.code)
    }

    fn caller(&self, word: &str, from: &str) -> Option<Caller> {
        self.people.by_cookie(Caller::nobody(from.parse().ok(), "r"), word)
    }
}

const LAN: &str = "192.168.1.7";
const BOX: &str = "127.0.0.1";

#[test]
fn people_sign_in_by_name_or_mail_and_are_who_the_pack_says() {
    let bench = Bench::new(true).packed(vec![person(1, "anna", false)]);
    for name in ["anna", " Anna ", "ANNA@depot.fr"] {
        let word = bench.sign_in(name, "anna", LAN).unwrap();
        let caller = bench.caller(&word, LAN).unwrap();
        assert_eq!(caller.who, Who::User { id: Id([1; 16]), name: "anna".into() });
        assert!(caller.rights.holds(Right::EditPlanning) && caller.session.is_some());
        assert!(!caller.rights.holds(Right::ManageAttendance));
        bench.people.sign_out(&word);
        assert!(bench.caller(&word, LAN).is_none());
    }
    assert_eq!(bench.sign_in("anna", "bert", LAN), Err("bad_credentials"));
    assert_eq!(bench.sign_in("nobody", "", LAN), Err("bad_credentials"));
    assert_eq!(bench.sign_in(&"x".repeat(2000), "x", LAN), Err("bad_credentials"));
    assert!(bench.caller("", LAN).is_none() && bench.caller("x", LAN).is_none());
    let word = bench.sign_in("anna", "anna", LAN).unwrap();
    bench.clock.pass(SESSION);
    assert!(bench.caller(&word, LAN).is_none(), "it holds for so long and no longer");
    let word = bench.sign_in("anna", "anna", LAN).unwrap();
    let bench = bench.packed(vec![person(2, "bert", false)]);
    assert!(bench.caller(&word, LAN).is_none(), "whom the pack knows no more is nobody");
}

#[test]
fn who_has_a_second_factor_signs_in_at_the_box_and_stays_there() {
    let bench = Bench::new(true).packed(vec![person(1, "anna", true)]);
    assert_eq!(bench.sign_in("anna", "anna", LAN), Err("second_factor_at_the_box"));
    let word = bench.sign_in("anna", "anna", "::1").unwrap();
    assert!(bench.caller(&word, BOX).is_some());
    assert!(bench.caller(&word, LAN).is_none(), "the cookie is of no use elsewhere");
}

#[test]
fn guessing_is_slowed_by_name_and_by_address_and_forgotten_after_a_while() {
    let bench =
        Bench::new(true).packed((0..20).map(|n| person(n, &format!("p{n}"), false)).collect());
    for _ in 0..4 {
        assert_eq!(bench.sign_in("p1", "x", LAN), Err("bad_credentials"));
    }
    assert_eq!(bench.sign_in("p1", "p1", LAN), Err("too_many_attempts"));
    for from in ["10.0.0.1", BOX] {
        assert!(bench.sign_in("p1", "p1", from).is_ok(), "nobody locks others out");
    }
    assert!(bench.sign_in("p2", "p2", LAN).is_ok(), "others are let in");
    bench.clock.pass(Duration::from_secs(1));
    assert!(bench.sign_in("p1", "p1", LAN).is_ok());
    for n in 3..20 {
        let _ = bench.sign_in(&format!("p{n}"), "x", "10.0.0.2");
    }
    assert_eq!(bench.sign_in("p2", "p2", "10.0.0.2"), Err("too_many_attempts"));
    assert!(bench.sign_in("p2", "p2", LAN).is_ok());
    bench.clock.pass(FORGET + Duration::from_secs(1));
    assert!(bench.sign_in("p2", "p2", "10.0.0.2").is_ok());
}

#[test]
fn a_kiosk_is_known_by_its_key_until_that_ends() {
    let bench = Bench::new(true).packed(vec![]);
    let ask = |key: &str| bench.people.by_kiosk_key(Caller::nobody(None, "r"), key);
    let caller = ask("gate").unwrap();
    assert_eq!(caller.who, Who::Machine { id: Id([9; 16]), name: "gate".into() });
    assert_eq!((caller.rights, caller.door), (OF_KIOSKS, Door::Kiosk));
    assert_eq!(ask("old").unwrap_err().code, "key_expired");
    assert_eq!(ask("other").unwrap_err().code, "key_unknown");
    assert_eq!(ask("").unwrap_err().code, "key_unknown");
}

#[test]
fn without_a_root_key_or_a_pack_it_says_so_and_the_key_still_opens() {
    let bench = Bench::new(false).packed(vec![person(1, "anna", false)]);
    assert_eq!(bench.sign_in("anna", "anna", BOX), Err("sign_in_off"));
    let ask = bench.people.by_kiosk_key(Caller::nobody(None, "r"), "gate");
    assert_eq!(ask.unwrap_err().code, "sign_in_off");
    let empty = Bench::new(true);
    assert_eq!(empty.sign_in("anna", "anna", BOX), Err("pack_missing"));
    for bench in [bench, empty] {
        let word = bench.sign_in("planb", &bench.key, BOX).unwrap();
        assert!(bench.caller(&word, BOX).unwrap().rights.holds(Right::ManageContinuity));
        assert!(bench.caller(&word, LAN).is_none());
        assert!(bench.sign_in("planb", &bench.key, LAN).is_err(), "the key is for this machine");
        assert!(bench.sign_in("planb", &bench.key[1..], BOX).is_err());
    }
}

#[test]
fn a_name_that_is_tried_from_everywhere_is_closed_for_the_network_and_never_at_the_box() {
    let bench = Bench::new(true).packed(vec![person(1, "anna", false)]);
    let mut refused = 0;
    for n in 0..=EVERYWHERE_FREE {
        let from = format!("10.0.1.{n}");
        refused += u32::from(bench.sign_in("anna", "x", &from) == Err("too_many_attempts"));
    }
    assert_eq!(refused, 0);
    assert_eq!(bench.sign_in("anna", "anna", LAN), Err("too_many_attempts"));
    assert!(bench.sign_in("anna", "anna", BOX).is_ok());
    bench.clock.pass(EVERYWHERE_PAUSE);
    assert!(bench.sign_in("anna", "anna", LAN).is_ok());
}

#[test]
fn what_ends_a_proof_ends_the_sign_in_that_was_made_with_it() {
    let bench = Bench::new(true).packed(vec![person(1, "anna", false)]);
    let key = bench.sign_in("planb", &bench.key, BOX).unwrap();
    let anna = bench.sign_in("anna", "anna", LAN).unwrap();
    assert!(bench.caller(&key, BOX).is_some() && bench.caller(&anna, LAN).is_some());
    let desk = bench.people.0.desk.clone();
    desk.rotate_key(&Caller::console("r"), Some(Duration::ZERO)).unwrap();
    assert!(bench.caller(&key, BOX).is_none(), "the key has ended");
    let other = Person { password: "hash of another".into(), ..person(1, "anna", false) };
    let bench = bench.packed(vec![other]);
    assert!(bench.caller(&anna, LAN).is_none(), "the password is another");
    assert!(bench.sign_in("anna", "another", LAN).is_ok());
}
