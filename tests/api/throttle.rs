//! Signing in cannot be guessed, and cannot be used to lock others out.

use std::time::Duration;

use ilot::domains::identity::records::{KNOWN_ADDRESSES, KNOWN_PLACES};
use ilot::store::journal::JOURNAL;
use ilot::store::{Reader, all};
use serde_json::json;

use super::ask::{Ask, House, PASSWORD, Reply, ask, post};

fn right(name: &str) -> Ask {
    post("/auth/login", &json!({"username": name, "password": PASSWORD}))
}

fn wrong(name: &str) -> Ask {
    post("/auth/login", &json!({"username": name, "password": "a guess"}))
}

/// Seconds that a refusal asks to wait.
fn wait(reply: &Reply) -> u64 {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (429, Some("too_many_attempts")));
    reply.header("retry-after").parse().unwrap()
}

#[test]
fn strangers_cannot_close_the_door_to_the_user() {
    let (house, admin) = House::ready();
    house.person(&admin, "anna", "viewer");
    house.check(right("anna").from("192.168.1.7"), 200, &json!({}));
    // Guesses from all over close the account to places that do not know it, for longer and longer.
    for n in 0..8 {
        house.refuses(wrong("anna").from(&format!("10.0.0.{n}")), 401, "bad_credentials");
        house.clock.pass(Duration::from_secs(10));
    }
    house.refuses(wrong("anna").from("10.0.1.1"), 401, "bad_credentials");
    assert_eq!(wait(&house.ask(right("anna").from("10.0.1.2"))), 10);
    // The same address written as IPv6 does is the same place.
    for place in ["192.168.1.7", "::ffff:192.168.1.7"] {
        house.check(right("anna").from(place), 200, &json!({}));
    }
    assert_eq!(wait(&house.ask(right("anna").from("10.0.1.2"))), 10);
    // An administrator's new password opens it to all places, and forgets those it had.
    let reset =
        house.check(ask("POST", "/admin/users/2/reset-password").by(&admin), 200, &json!({}));
    let word = reset["temp_password"].as_str().unwrap();
    let body = json!({"username": "anna", "password": word});
    house.check(post("/auth/login", &body).from("10.0.1.2"), 200, &json!({}));
    let places =
        house.app().desks().system.store.read(|v| v.list(&KNOWN_PLACES, &all(), 99)).unwrap();
    let of_anna: Vec<_> = places.iter().map(|((_, place), _)| place.as_str()).collect();
    assert_eq!(of_anna, ["10.0.1.2"]);
}

#[test]
fn an_address_that_tries_names_is_blocked_but_not_for_those_known_there() {
    let (house, admin) = House::ready();
    for name in ["anna", "bert"] {
        house.person(&admin, name, "viewer");
    }
    for n in 0..5 {
        house.refuses(wrong(&format!("nom{n}")).from("10.9.9.9"), 401, "bad_credentials");
    }
    assert_eq!(wait(&house.ask(right("bert").from("10.9.9.9"))), 1800);
    house.check(right("bert").from("10.9.9.8"), 200, &json!({}));
    house.clock.pass(Duration::from_mins(30));
    house.check(right("bert").from("10.9.9.9"), 200, &json!({}));
    // Now somebody is known there: gentler, and not at all for him.
    house.clock.pass(Duration::from_hours(24));
    for n in 0..5 {
        house.refuses(wrong(&format!("nom{n}")).from("10.9.9.9"), 401, "bad_credentials");
    }
    assert_eq!(wait(&house.ask(right("anna").from("10.9.9.9"))), 60);
    house.check(right("bert").from("10.9.9.9"), 200, &json!({}));
    let links = house.app().desks().system.store.read(|v| v.list(&JOURNAL, &all(), 9999)).unwrap();
    let blocks: Vec<_> = links
        .iter()
        .filter(|(_, link)| link.deed == "address.block")
        .map(|(_, link)| (link.object.as_str(), link.after.as_deref().unwrap()))
        .collect();
    assert_eq!(blocks, [("10.9.9.9", r#"{"seconds":1800}"#), ("10.9.9.9", r#"{"seconds":60}"#)]);
    // People type their password where the name belongs: what nobody is called is not written down.
    assert!(links.iter().all(|(_, link)| !format!("{link:?}").contains("nom")));
}

#[test]
fn the_number_of_failures_is_a_setting_and_an_own_account_does_not_pay_for_others() {
    let (house, admin) = House::ready_with(&[("identity.address_failures", "3")]);
    house.person(&admin, "mallory", "viewer");
    let from = |ask: Ask| ask.from("10.3.3.3");
    house.check(from(right("mallory")), 200, &json!({}));
    house.refuses(from(wrong("un")), 401, "bad_credentials");
    house.refuses(from(wrong("deux")), 401, "bad_credentials");
    house.check(from(right("mallory")), 200, &json!({}));
    house.refuses(from(wrong("trois")), 401, "bad_credentials");
    wait(&house.ask(from(wrong("quatre"))));
    // Only this machine's own two addresses are free of it.
    for n in 0..9 {
        house.refuses(wrong(&format!("n{n}")).from("127.0.0.1"), 401, "bad_credentials");
    }
    for n in 0..3 {
        house.refuses(wrong(&format!("n{n}")).from("127.0.0.2"), 401, "bad_credentials");
    }
    wait(&house.ask(wrong("n9").from("127.0.0.2")));
}

#[test]
fn a_user_has_a_bounded_number_of_places() {
    let (house, admin) = House::ready();
    let (number, _) = house.person(&admin, "anna", "viewer");
    for n in 0..25 {
        house.clock.pass(Duration::from_secs(1));
        house.check(right("anna").from(&format!("10.0.0.{n}")), 200, &json!({}));
    }
    let store = &house.app().desks().system.store;
    let count = || {
        let places = store.read(|v| v.list(&KNOWN_PLACES, &all(), 99)).unwrap();
        let addresses = store.read(|v| v.list(&KNOWN_ADDRESSES, &all(), 99)).unwrap();
        assert!(places.iter().all(|((_, place), _)| place != "10.0.0.4"));
        (places.len(), addresses.len())
    };
    assert_eq!(count(), (20, 20));
    house.check(
        ask("POST", &format!("/admin/users/{number}/offboard")).by(&admin),
        200,
        &json!({}),
    );
    assert_eq!(count(), (0, 0));
}
