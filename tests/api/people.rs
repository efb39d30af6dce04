//! Signing in and out, set-up, users, and the word against foreign pages.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{Ask, House, PASSWORD, ask, get, post, put};

fn login(fields: &Value) -> Ask {
    post("/auth/login", fields)
}

#[test]
fn a_name_is_taken_in_every_field_and_spelling_that_clients_send() {
    let (house, admin) = House::ready();
    let user = json!({"username": "Anna", "email": "anna@depot.lan", "password": PASSWORD});
    house.check(post("/admin/users", &user).by(&admin), 201, &json!({"id": 2}));
    for name in [
        "Anna",
        "anna",
        "ANNA",
        "  anna ",
        "SITE\\anna",
        "site\\Anna",
        "anna@depot.lan",
        "Anna@Depot.LAN",
    ] {
        for field in ["username", "user", "email"] {
            let answer = json!({"user": {"id": 2, "username": "Anna", "role": "viewer"}, "must_change_password": false});
            house.check(
                login(&json!({field: name, "password": PASSWORD, "hostname": "PC-7"})),
                200,
                &answer,
            );
        }
    }
    let both = json!({"username": "", "user": "", "email": "anna", "password": PASSWORD});
    house.check(login(&both), 200, &json!({}));
    for (name, password) in [("anna", "wrong"), ("nobody", PASSWORD), ("anna", "")] {
        house.refuses(
            login(&json!({"username": name, "password": password})),
            401,
            "bad_credentials",
        );
    }
}

#[test]
fn what_a_client_may_not_say_is_not_heard() {
    let (house, admin) = House::ready();
    let body = json!({"username": "anna", "password": PASSWORD, "id": 77,
                      "role": "viewer", "permissions": {"admin_access": true}, "register": true});
    let user = house.check(
        post("/admin/users", &body).by(&admin),
        201,
        &json!({"id": 2, "is_system_admin": false}),
    );
    assert_eq!(user["permissions"]["admin_access"], false);
    let asked = json!({"username": "anna", "password": PASSWORD, "role": "admin", "register": true, "is_system_admin": true});
    let answer = house.check(
        login(&asked),
        200,
        &json!({"user": {"role": "viewer", "is_system_admin": false}}),
    );
    let token = answer["access_token"].as_str().unwrap();
    house.refuses(get("/admin/users").by(token), 403, "right_missing");
    // A name that nobody has is not made on the way.
    let stranger =
        json!({"username": "new", "password": PASSWORD, "register": true, "role": "admin"});
    house.refuses(login(&stranger), 401, "bad_credentials");
    let edit = put("/admin/users/2", &json!({"username": "chef"})).by(&admin);
    house.check(edit, 200, &json!({"is_system_admin": false, "username": "anna"}));
}

#[test]
fn a_cookie_shows_its_word_on_everything_unsafe_and_a_bearer_needs_none() {
    let (house, _) = House::ready();
    let reply = house.ask(login(&json!({"username": "chef", "password": PASSWORD})));
    let cookie = reply.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Strict")
            && cookie.contains("Path=/"),
        "{cookie}"
    );
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let word = reply.json()["csrf_token"].as_str().unwrap().to_owned();
    assert!(cookie.starts_with(&format!("access_token={token};")), "{cookie}");
    house.check(get("/auth/me").cookie(&token), 200, &json!({"csrf_token": word}));
    house.check(get("/auth/me").by(&token), 200, &json!({"csrf_token": null}));
    let other = house.ask(login(&json!({"username": "chef", "password": PASSWORD}))).json();
    let query = || post("/rag/query", &json!({"query": "mot"}));
    for unsafe_one in [
        query(),
        put("/admin/users/1", &json!({})),
        ask("POST", "/auth/logout"),
        ask("DELETE", "/rag/documents/x"),
    ] {
        let unsafe_one = unsafe_one.cookie(&token);
        house.refuses(unsafe_one.clone(), 403, "csrf_invalid");
        house.refuses(unsafe_one.clone().header("x-csrf-token", ""), 403, "csrf_invalid");
        let foreign = other["csrf_token"].as_str().unwrap();
        house.refuses(unsafe_one.header("x-csrf-token", foreign), 403, "csrf_invalid");
    }
    house.check(query().cookie(&token).header("X-CSRF-Token", &word), 200, &json!({}));
    house.check(query().by(&token), 200, &json!({}));
    // A page of another site never gets that far.
    house.refuses(query().by(&token).header("origin", "http://evil.example"), 403, "cross_site");
    // Signing out takes the cookie away.
    let out = house.ask(ask("POST", "/auth/logout").cookie(&token).header("x-csrf-token", &word));
    assert!(
        out.status == 200 && out.header("set-cookie").contains("Max-Age=0"),
        "{}",
        out.header("set-cookie")
    );
    house.refuses(get("/auth/me").cookie(&token), 401, "session_ended");
}

#[test]
fn an_end_acts_on_the_very_next_request() {
    let (house, admin) = House::ready();
    let (number, first) = house.person(&admin, "anna", "planner");
    let edit = |body: Value| put(&format!("/admin/users/{number}"), &body).by(&admin);
    let me = |token: &str| get("/auth/me").by(token);

    let second = house.sign_in("anna");
    house.check(ask("POST", "/auth/logout").by(&first), 200, &json!({}));
    house.refuses(me(&first), 401, "session_ended");
    house.check(me(&second), 200, &json!({"username": "anna"}));

    house.check(edit(json!({"role": "viewer"})), 200, &json!({"role": "viewer"}));
    house.refuses(post("/rag/reindex", &json!({})).by(&second), 403, "right_missing");

    house.check(edit(json!({"is_active": false})), 200, &json!({"is_active": false}));
    house.refuses(me(&second), 401, "session_ended");
    let right = json!({"username": "anna", "password": PASSWORD});
    // That an account is closed is told to nobody.
    house.refuses(login(&right), 401, "bad_credentials");
    house.refuses(login(&json!({"username": "anna", "password": "x"})), 401, "bad_credentials");
    house.check(edit(json!({"is_active": true})), 200, &json!({"is_active": true}));
    house.refuses(me(&second), 401, "session_ended");

    let third = house.sign_in("anna");
    house.check(edit(json!({"password": "encore un autre secret"})), 200, &json!({}));
    house.refuses(me(&third), 401, "session_ended");
    house.refuses(login(&right), 401, "bad_credentials");
    house.check(
        login(&json!({"username": "anna", "password": "encore un autre secret"})),
        200,
        &json!({}),
    );
}

#[test]
fn a_session_ends_by_itself_after_its_time() {
    let (house, admin) = House::ready();
    house.clock.pass(Duration::from_hours(11));
    house.check(get("/auth/me").by(&admin), 200, &json!({}));
    house.clock.pass(Duration::from_hours(1));
    house.refuses(get("/auth/me").by(&admin), 401, "token_expired");
    house.sign_in("chef");
}

#[test]
fn the_last_administrator_stays() {
    let (house, admin) = House::ready();
    let edit = |number: u64, body: Value| put(&format!("/admin/users/{number}"), &body).by(&admin);
    house.refuses(edit(1, json!({"is_active": false})), 409, "last_admin");
    house.refuses(edit(1, json!({"role": "viewer"})), 409, "last_admin");
    let (other, _) = house.person(&admin, "anna", "admin");
    house.check(edit(other, json!({"is_active": false})), 200, &json!({}));
    house.refuses(edit(1, json!({"is_active": false})), 409, "last_admin");
    house.check(edit(other, json!({"is_active": true})), 200, &json!({}));
    house.check(edit(1, json!({"role": "viewer"})), 200, &json!({"is_system_admin": false}));
    house.refuses(get("/admin/users").by(&admin), 403, "right_missing");
}

#[test]
fn guessing_is_slowed_down_and_said_how_long() {
    let (house, admin) = House::ready();
    house.person(&admin, "bert", "viewer");
    let guess = || login(&json!({"username": "chef", "password": "a guess"})).from("10.1.2.3");
    for _ in 0..4 {
        house.refuses(guess(), 401, "bad_credentials");
    }
    let right = || login(&json!({"username": "SITE\\CHEF", "password": PASSWORD})).from("10.1.2.4");
    let closed = house.ask(right());
    let wait: u64 = closed.header("retry-after").parse().unwrap();
    assert_eq!((closed.status, closed.json()["code"].as_str()), (429, Some("too_many_attempts")));
    assert!((1..=2).contains(&wait), "{wait}");
    // Others are not held up, and the one is not for longer than was said.
    house.sign_in("bert");
    house.clock.pass(Duration::from_secs(wait));
    house.check(right(), 200, &json!({}));
    // An address that tries many names is closed for all of them.
    for n in 0..30 {
        let fault = house
            .ask(login(&json!({"username": format!("name{n}"), "password": "x"})).from("10.9.9.9"));
        assert!([401, 429].contains(&fault.status));
    }
    let bert = json!({"username": "bert", "password": PASSWORD});
    house.refuses(login(&bert).from("10.9.9.9"), 429, "too_many_attempts");
    house.check(login(&bert).from("10.9.9.8"), 200, &json!({}));
}

#[test]
fn a_box_is_set_up_once_and_with_its_word() {
    let house = House::fresh();
    house.check(get("/setup/state"), 200, &json!({"needed": true, "site": ""}));
    let body = |word: &str| json!({"token": word, "site": " Dépôt ", "username": "chef", "password": PASSWORD, "language": "en", "colour": "#a1B2c3"});
    for word in ["", "x", &house.word[1..]] {
        house.refuses(post("/setup", &body(word)), 403, "setup_token");
    }
    for (field, value) in [
        ("site", ""),
        ("language", "de"),
        ("time_zone", "Europe/Atlantis"),
        ("colour", "red"),
        ("username", "\u{7}"),
        ("password", "chef-chef-chef"),
    ] {
        let mut wrong = body(&house.word);
        wrong[field] = json!(value);
        house.check(post("/setup", &wrong), 422, &json!({"detail": [{"loc": ["body", field]}]}));
    }
    let (first, second) = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| house.ask(post("/setup", &body(&house.word))));
        let (first, second) = (ask(), ask());
        (first.join().unwrap(), second.join().unwrap())
    });
    let mut outcomes = [first.status, second.status];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 409], "{} {}", first.json(), second.json());
    house.refuses(post("/setup", &body(&house.word)), 409, "setup_done");
    house.check(
        get("/setup/state"),
        200,
        &json!({"needed": false, "site": "Dépôt", "language": "en", "colour": "#a1B2c3"}),
    );
    let token = house.sign_in("chef");
    assert_eq!(house.ask(get("/admin/users").by(&token)).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_request_that_is_sent_again_is_done_once() {
    let (house, admin) = House::ready();
    let (_, planner) = house.person(&admin, "paul", "planner");
    let add = |name: &str, key: &str, by: &str| {
        post("/admin/users", &json!({"username": name, "password": PASSWORD}))
            .by(by)
            .header("Idempotency-Key", key)
    };
    let first = house.check(add("anna", "k-1", &admin), 201, &json!({"username": "anna"}));
    let again = house.check(add("anna", "k-1", &admin), 201, &json!({"username": "anna"}));
    assert_eq!((&first["id"], &first["uuid"]), (&again["id"], &again["uuid"]));
    house.refuses(add("anna", "k-2", &admin), 409, "user_exists");
    // The key of one is not the key of another, and rights come first.
    house.refuses(add("anna", "k-1", &planner), 403, "right_missing");
    for key in ["", "a b", &"k".repeat(129)] {
        house.refuses(add("bert", key, &admin), 400, "idempotency_key");
    }
    assert_eq!(house.ask(get("/admin/users").by(&admin)).json().as_array().unwrap().len(), 3);
}

#[test]
fn names_are_kept_as_they_are_written_whatever_they_hold() {
    let (house, admin) = House::ready();
    let names = [
        "<script>alert(1)</script>",
        "Zoë Müller-Łukasz",
        "李雷",
        "😀 équipe",
        "'; DROP TABLE users; --",
        "\" onload=\"x",
    ];
    for (number, shown) in (2u64..).zip(names) {
        house.clock.pass(Duration::from_millis(1));
        let body =
            json!({"username": format!("u{number}"), "display_name": shown, "password": PASSWORD});
        house.check(
            post("/admin/users", &body).by(&admin),
            201,
            &json!({"id": number, "display_name": shown}),
        );
    }
    for username in ["<b>gras</b>", "Ünïcode", "李雷"] {
        house.clock.pass(Duration::from_millis(1));
        let body = json!({"username": username, "password": PASSWORD});
        let wanted = if username.contains('/') { 422 } else { 201 };
        assert_eq!(house.ask(post("/admin/users", &body).by(&admin)).status, wanted, "{username}");
    }
    house.sign_in("ÜNÏCODE");
    // A twin in other letters is the same name.
    let twin = json!({"username": "ÜNÏcode", "password": PASSWORD});
    house.refuses(post("/admin/users", &twin).by(&admin), 409, "user_exists");
    let listed = house.ask(get("/admin/users").by(&admin));
    assert!(
        listed.header("content-type").starts_with("application/json"),
        "{}",
        listed.header("content-type")
    );
    let shown: Vec<String> = listed.json().as_array().unwrap()[1..7]
        .iter()
        .map(|user| user["display_name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(shown, names);
    for name in ["a\u{0}b", "a\nb", &"x".repeat(101)] {
        let body = json!({"username": "ok", "display_name": name, "password": PASSWORD});
        house.check(
            post("/admin/users", &body).by(&admin),
            422,
            &json!({"detail": [{"loc": ["body", "display_name"]}]}),
        );
    }
}
