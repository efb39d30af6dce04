//! Every door of signing in, in the shapes that the old clients send, and with what attackers try.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ilot::domains::identity::records::{KEYS, SESSIONS, USERS, USERS_BY_LOGIN};
use ilot::engines::secrets::RootKey;
use ilot::engines::tokens::{AUDIENCE, Algorithm, Claims, TokenKey};
use ilot::store::journal::{Link, links};
use ilot::store::{Blob, Reader};
use serde_json::{Value, json};

use super::ask::{Ask, House, PASSWORD, ask, get, post, put};

const OTHER: &str = "encore un autre secret";

pub fn login(fields: &Value) -> Ask {
    post("/auth/login", fields)
}

fn form(fields: &str) -> Ask {
    ask("POST", "/auth/token").raw("application/x-www-form-urlencoded", fields)
}

fn me(token: &str) -> Ask {
    get("/auth/me").by(token)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn token(reply: &Value) -> String {
    text(&reply["access_token"])
}

/// The journal's links of one deed.
pub fn deeds(house: &House, deed: &str) -> Vec<Link> {
    let all = house.app().desks().system.store.read(|view| links(view, 1, 100_000)).unwrap();
    all.into_iter().filter(|link| link.deed == deed).collect()
}

/// What the store keeps of a user's password.
fn kept(house: &House, login: &str) -> String {
    let store = &house.app().desks().system.store;
    store
        .read(|view| {
            let id = view.get(&USERS_BY_LOGIN, &login.to_owned())?.unwrap();
            Ok(view.get(&USERS, &id)?.unwrap().password)
        })
        .unwrap()
}

/// The box's own key, as only its owner can read it.
fn key_of(house: &House, algorithm: Algorithm, place: &str) -> TokenKey {
    let store = &house.app().desks().system.store;
    let Blob(sealed) = store.read(|view| view.get(&KEYS, &place.to_owned())).unwrap().unwrap();
    let root = RootKey::open(&house.folder().join("keys")).unwrap();
    TokenKey::read(algorithm, &root.unseal(place, &sealed).unwrap()).unwrap()
}

/// The claims of a good token.
fn claims(token: &str) -> Claims {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn part(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

#[test]
fn the_windows_client_of_the_planning_signs_in_refreshes_and_leaves() {
    let (house, admin) = House::ready();
    house.person(&admin, "Anna", "planner");
    let body = json!({"username": "SITE\\ANNA", "password": PASSWORD, "hostname": "PC-7"});
    let answer = house.check(
        login(&body),
        200,
        &json!({"token_type": "bearer", "must_change_password": false, "second_factor": false,
                "hold": null, "user": {"id": 2, "username": "Anna", "role": "planner",
                "is_system_admin": false, "permissions": {"edit_planning": true, "admin_access": false}}}),
    );
    let first = token(&answer);
    assert!(text(&answer["expires_at"]).ends_with('Z'));
    house.check(me(&first), 200, &json!({"role": "planner", "second_factor": false}));
    house.clock.pass(Duration::from_mins(4));
    let again =
        house.check(ask("POST", "/auth/refresh").by(&first), 200, &json!({"token_type": "bearer"}));
    let second = token(&again);
    house.refuses(me(&first), 401, "session_ended");
    // The new session is of the same workstation, and the password is no fresher than it was.
    let sessions = house.ask(get("/sessions").by(&second)).json();
    let current = sessions["sessions"].as_array().unwrap().iter().find(|s| s["current"] == true);
    assert_eq!(current.unwrap()["hostname"], "PC-7");
    let fresh = house.ask(me(&second)).json()["fresh_until"].clone();
    assert_eq!(fresh, "2026-01-15T08:05:00.000Z");
    assert_eq!(deeds(&house, "session.refresh").len(), 1);
    let out = ask("POST", "/auth/logout").by(&second);
    house.check(out, 200, &json!({"success": true, "message": "Déconnexion réussie"}));
    house.refuses(me(&second), 401, "session_ended");
    house.refuses(ask("POST", "/auth/refresh").by(&second), 401, "session_ended");
    // The oldest client leaves null where newer ones send text.
    let oldest = json!({"username": "anna", "password": PASSWORD, "hostname": null});
    house.check(login(&oldest), 200, &json!({}));
}

#[test]
fn the_phones_of_the_time_clock_register_and_fetch_a_token_by_form() {
    let (house, _) = House::ready_with(&[("identity.registration", "open")]);
    let body = json!({"email": "zoe@depot.lan", "password": PASSWORD});
    house.check(
        post("/auth/register", &body),
        201,
        &json!({"id": 2, "email": "zoe@depot.lan", "username": "zoe@depot.lan", "role": "user"}),
    );
    house.refuses(post("/auth/register", &body), 409, "user_exists");
    let good = "grant_type=password&username=zoe%40depot.lan&password=un+mot+de+passe+assez+long&scope=&client_id=";
    let reply = house.ask(form(good));
    assert_eq!(reply.header("set-cookie"), "", "a phone keeps its token itself");
    let answer = reply.json();
    assert_eq!((reply.status, &answer["token_type"]), (200, &json!("bearer")));
    assert_eq!(answer["expires_in"], 12 * 3600);
    house.check(me(&token(&answer)), 200, &json!({"email": "zoe@depot.lan", "role": "user"}));
    house.refuses(form("username=zoe%40depot.lan&password=x"), 401, "bad_credentials");
    let missing =
        json!({"code": "validation", "detail": [{"loc": ["body", "password"], "type": "missing"}]});
    house.check(form("username=zoe"), 422, &missing);
    house.refuses(post("/auth/token", &json!({"username": "zoe"})), 415, "content_type");
}

#[test]
fn the_assistants_page_signs_in_with_a_cookie_and_its_word() {
    let (house, _) = House::ready();
    let reply = house.ask(login(&json!({"user": "chef", "password": PASSWORD})));
    assert!(reply.header("set-cookie").contains("HttpOnly"));
    let (cookie, word) = (token(&reply.json()), text(&reply.json()["csrf_token"]));
    let refreshed = ask("POST", "/auth/refresh").cookie(&cookie);
    house.refuses(refreshed.clone(), 403, "csrf_invalid");
    let reply = house.ask(refreshed.header("x-csrf-token", &word));
    let (cookie, new_word) = (token(&reply.json()), text(&reply.json()["csrf_token"]));
    assert!(reply.header("set-cookie").starts_with(&format!("access_token={cookie};")));
    assert_ne!(word, new_word);
    let step_up = post("/auth/step-up", &json!({"password": PASSWORD})).cookie(&cookie);
    house.refuses(step_up.clone().header("x-csrf-token", &word), 403, "csrf_invalid");
    house.check(step_up.header("x-csrf-token", &new_word), 200, &json!({"status": "ok"}));
}

#[test]
fn who_signs_in_again_needs_no_word_of_the_old_cookie() {
    let (house, _) = House::ready_with(&[("identity.registration", "open")]);
    let chef = json!({"user": "chef", "password": PASSWORD});
    let cookie = token(&house.ask(login(&chef)).json());
    // The assistant's page tells the word at the sign-in alone: after a reload it signs in anew.
    for path in ["/auth/login", "/api/auth/login/"] {
        house.check(post(path, &chef).cookie(&cookie), 200, &json!({"token_type": "bearer"}));
    }
    let account = json!({"username": "zoe", "password": PASSWORD});
    house.check(post("/auth/register", &account).cookie(&cookie), 201, &json!({}));
    // A page of another site is kept away all the same.
    let foreign = login(&chef).cookie(&cookie).header("origin", "http://evil.example");
    house.refuses(foreign, 403, "cross_site");
    house.refuses(ask("POST", "/auth/logout").cookie(&cookie), 403, "csrf_invalid");
}

#[test]
fn the_page_of_the_remote_hands_knows_users_by_their_uuid() {
    let (house, admin) = House::ready_with(&[("identity.registration", "open")]);
    let body =
        json!({"username": "bob", "password": PASSWORD, "email": "", "role": "admin", "owner": 1});
    let user = house.check(
        post("/api/auth/register", &body),
        200,
        &json!({"username": "bob", "email": null, "role": "user"}),
    );
    let uuid = text(&user["id"]);
    assert_eq!(uuid.len(), 36);
    for path in ["/api/auth/login", "/api/auth/login/"] {
        let answer = house.check(
            post(path, &json!({"username": "bob", "password": PASSWORD})),
            200,
            &json!({"token_type": "bearer", "user": {"id": uuid, "role": "user", "email": null}}),
        );
        assert_eq!(answer["token"], answer["access_token"]);
        house.check(me(&text(&answer["token"])), 200, &json!({"uuid": uuid, "id": 2}));
    }
    house.refuses(get("/admin/users").by(&house.sign_in("bob")), 403, "right_missing");
    // What was sent of roles and owners changed nothing and is written down.
    let ignored = deeds(&house, "register.field_ignored");
    assert_eq!(ignored.len(), 1);
    assert_eq!(ignored[0].after.as_deref(), Some(r#"{"fields":["role","owner"]}"#));
    let token = house.sign_in("bob");
    let edit =
        put("/auth/me", &json!({"display_name": "Bob", "role": "admin", "is_system_admin": true}));
    house.check(
        edit.by(&token),
        200,
        &json!({"display_name": "Bob", "role": "user", "is_system_admin": false}),
    );
    let ignored = deeds(&house, "user.field_ignored");
    assert_eq!(ignored[0].after.as_deref(), Some(r#"{"fields":["role","is_system_admin"]}"#));
    house.check(get("/admin/users/2").by(&admin), 200, &json!({"role": "user"}));
}

#[test]
fn every_failure_says_the_same_and_costs_a_check() {
    let (house, admin) = House::ready();
    for name in ["wrong", "closed", "gone"] {
        house.person(&admin, name, "viewer");
    }
    house.check(put("/admin/users/3", &json!({"is_active": false})).by(&admin), 200, &json!({}));
    house.check(ask("POST", "/admin/users/4/offboard").by(&admin), 200, &json!({}));
    let import = json!({"users": [{"username": "without"}], "dry_run": false});
    house.check(post("/admin/users/import", &import).by(&admin), 200, &json!({"done": true}));
    let mut said = Vec::new();
    for (name, password) in [
        ("nobody", PASSWORD),
        ("wrong", "x"),
        ("closed", PASSWORD),
        ("gone", PASSWORD),
        ("without", ""),
        ("without", PASSWORD),
    ] {
        let reply = house.ask(login(&json!({"username": name, "password": password})));
        let mut body = reply.json();
        body["request_id"] = Value::Null;
        said.push((reply.status, body));
    }
    assert_eq!(said[0].0, 401);
    assert_eq!(said[0].1["code"], "bad_credentials");
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
    let refused = deeds(&house, "login.refuse");
    assert_eq!(refused.len(), 6);
    // A name that nobody has may be a password in the wrong field.
    assert!(refused.iter().all(|link| link.object != "nobody"));
}

#[test]
fn each_forged_token_is_refused_by_name() {
    let (house, admin) = House::ready();
    let key = key_of(&house, Algorithm::Rs256, "token_key");
    let good = claims(&admin);
    house.check(me(&key.sign(&good).unwrap()), 200, &json!({"username": "Chef"}));
    let with = |change: &dyn Fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        key.sign(&claims).unwrap()
    };
    let body = admin.split('.').nth(1).unwrap();
    let headed =
        |header: Value| format!("{}.{body}.{}", part(&header), admin.split('.').nth(2).unwrap());
    let other =
        TokenKey::read(Algorithm::Rs256, &TokenKey::make(Algorithm::Rs256).unwrap()).unwrap();
    let pass = with(&|c| c.typ = "ephemeral_qr".into());
    for (forged, code) in [
        ("x".to_owned(), "token_malformed"),
        ("a.b".to_owned(), "token_malformed"),
        (format!("{admin}.x"), "token_malformed"),
        ("y".repeat(9_000), "token_malformed"),
        (format!("{}.{body}.", part(&json!({"alg": "none"}))), "token_algorithm"),
        (headed(json!({"alg": "None", "kid": key.name()})), "token_algorithm"),
        (headed(json!({"alg": "HS256", "kid": key.name()})), "token_algorithm"),
        (headed(json!({"alg": "ES256", "kid": key.name()})), "token_algorithm"),
        (headed(json!({"alg": "RS256"})), "token_key_unknown"),
        (headed(json!({"alg": "RS256", "kid": "../../keys/root.key"})), "token_key_unknown"),
        (headed(json!({"alg": "RS256", "kid": key.name(), "crit": ["exp"]})), "token_malformed"),
        (
            headed(json!({"alg": "RS256", "kid": key.name(), "jku": "https://evil.example"})),
            "token_signature",
        ),
        (other.sign(&good).unwrap(), "token_key_unknown"),
        (with(&|c| c.iss = "ilot:elsewhere".into()), "token_issuer"),
        (with(&|c| c.aud = "kiosk".into()), "token_audience"),
        (pass.clone(), "token_kind"),
        (with(&|c| c.nbf += 1), "token_not_yet"),
        (with(&|c| c.exp = c.iat), "token_expired"),
        (with(&|c| c.sid = "no-id".into()), "session_ended"),
        (with(&|c| c.sid = "01980000-0000-7000-8000-000000000000".into()), "session_ended"),
    ] {
        let reply = house.ask(me(&forged));
        assert_eq!((reply.status, reply.json()["code"].as_str().unwrap()), (401, code), "{forged}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        house.refuses(get("/auth/me").cookie(&forged), 401, code);
        // Where no proof is needed, a bad one does not stand in the way.
        house.check(get("/health").by(&forged), 200, &json!({"status": "ok"}));
    }
    // A photographed pass opens nothing at all.
    for path in ["/sessions", "/admin/users", "/rag/status", "/totp/recovery/status"] {
        house.refuses(get(path).by(&pass), 401, "token_kind");
    }
    assert_eq!(good.aud, AUDIENCE);
}

#[test]
fn a_box_signs_as_its_setting_says_and_refuses_the_others_by_name() {
    let (_rsa, rs256) = House::ready();
    for (name, algorithm, place) in [
        ("ES256", Algorithm::Es256, "token_key_es256"),
        ("HS256", Algorithm::Hs256, "token_key_hs256"),
    ] {
        let (house, admin) = House::ready_with(&[("identity.token_algorithm", name)]);
        let header = BASE64URL_NOPAD.decode(admin.split('.').next().unwrap().as_bytes()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["alg"], name);
        house.check(me(&admin), 200, &json!({"username": "Chef"}));
        house.refuses(me(&rs256), 401, "token_algorithm");
        assert_eq!(key_of(&house, algorithm, place).algorithm(), algorithm);
    }
}

#[test]
fn an_imported_hash_is_made_new_at_the_first_sign_in() {
    let (house, admin) = House::ready();
    let hashes = [
        ("bcrypt", "$2b$05$OEnRfvQIsThS46mUDIWBX./RblW4GcKxAOWqzBnIHnlpcNEKm6kG6"),
        (
            "passlib",
            "$bcrypt-sha256$v=2,t=2b,r=5$f9ZdLdLRyHAIU75urOMM4O$WvyiheHrBu1NOq0oSupiwLYCdj5DAhC",
        ),
        (
            "pbkdf",
            "$pbkdf2-sha256$1200$5fz/3xsjBCAkBCDEOGdsjQ$MVGNqsVqiRPs163TFUMdFgo9n7wSsCXvnTIdNfv/GMw",
        ),
        (
            "argon",
            "$argon2id$v=19$m=1024,t=2,p=2$+EYbudQV4w+rVq4WAMRlTw$w5xKUosv7InWZGoj5N43atMxoPGgpS0nD61Y3e87k3Q",
        ),
    ];
    let mut rows: Vec<Value> = hashes
        .iter()
        .map(|(name, hash)| json!({"username": name, "email": format!("{name}@depot.lan"), "role": "Planner ", "password_hash": hash}))
        .collect();
    rows.extend([
        json!({"username": "CHEF", "role": "viewer"}),
        json!({"username": "bcrypt", "email": "two@depot.lan"}),
        json!({"username": "md5", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}),
        json!({"username": "costly", "password_hash": "$2b$31$OEnRfvQIsThS46mUDIWBX./RblW4GcKxAOWqzBnIHnlpcNEKm6kG6"}),
        json!({"username": "roi", "role": "roi"}),
        json!({"username": "a\\b"}),
        json!({"email": "seule@depot.lan", "is_active": false}),
    ]);
    let plan = json!({"plan": [
        {"username": "bcrypt", "outcome": "created", "fault": null}, {"outcome": "created"},
        {"outcome": "created"}, {"outcome": "created"},
        {"username": "CHEF", "outcome": "exists", "fault": null},
        {"outcome": "refused", "fault": {"code": "user_twice"}},
        {"outcome": "refused", "fault": {"code": "password_hash_unknown"}},
        {"outcome": "refused", "fault": {"code": "password_hash_too_costly"}},
        {"outcome": "refused", "fault": {"code": "validation"}},
        {"outcome": "refused", "fault": {"code": "validation"}},
        {"username": "seule@depot.lan", "outcome": "created"}]});
    let import =
        |dry: bool| post("/admin/users/import", &json!({"users": rows, "dry_run": dry})).by(&admin);
    let default = post("/admin/users/import", &json!({"users": rows})).by(&admin);
    house.check(default, 200, &json!({"done": false, "plan": plan["plan"]}));
    assert_eq!(house.ask(get("/admin/users").by(&admin)).json().as_array().unwrap().len(), 1);
    house.check(import(false), 200, &json!({"done": true, "plan": plan["plan"]}));
    for (name, hash) in hashes {
        assert_eq!(kept(&house, name), format!("imported:{hash}"));
        house.refuses(
            login(&json!({"username": name, "password": "correct hors"})),
            401,
            "bad_credentials",
        );
        assert_eq!(kept(&house, name), format!("imported:{hash}"));
        let right = json!({"email": format!("{name}@depot.lan"), "password": "correct horse"});
        house.check(login(&right), 200, &json!({"user": {"role": "planner"}, "hold": null}));
        assert!(kept(&house, name).starts_with("$argon2id$v=19$m=47104,t=1,p=1$"));
        house.check(login(&right), 200, &json!({}));
    }
    assert_eq!(deeds(&house, "password.rehash").len(), hashes.len());
    // Done again, it changes nobody; and no hash is in the journal.
    let again = house.check(import(false), 200, &json!({"done": true}));
    let created =
        again["plan"].as_array().unwrap().iter().filter(|one| one["outcome"] == "created");
    assert_eq!(created.count(), 0);
    let all = house.app().desks().system.store.read(|view| links(view, 1, 100_000)).unwrap();
    let written: String =
        all.iter().flat_map(|link| [&link.before, &link.after]).flatten().cloned().collect();
    assert!(
        !written.contains("$2b$") && !written.contains("argon2") && !written.contains("pbkdf2")
    );
    let many = json!({"users": vec![json!({"username": "x"}); 10_001]});
    house.refuses(post("/admin/users/import", &many).by(&admin), 413, "import_too_large");
    house.clock.pass(Duration::from_mins(6));
    house.refuses(import(true), 403, "step_up_required");
}

#[test]
fn who_has_to_choose_a_password_may_do_that_and_little_else() {
    let (house, admin) = House::ready();
    let told = house.check(
        post("/admin/users", &json!({"username": "neuve", "role": "admin"})).by(&admin),
        201,
        &json!({"must_change_password": true}),
    );
    let temporary = text(&told["temp_password"]);
    let answer = house.check(
        login(&json!({"username": "neuve", "password": temporary})),
        200,
        &json!({"hold": "change_password", "must_change_password": true}),
    );
    let held = token(&answer);
    house.check(me(&held), 200, &json!({"hold": "change_password"}));
    house.check(get("/sessions").by(&held), 200, &json!({}));
    house.check(get("/totp/recovery/status").by(&held), 200, &json!({"enabled": false}));
    house.check(post("/auth/step-up", &json!({"password": temporary})).by(&held), 200, &json!({}));
    for refused in [
        get("/admin/users"),
        get("/rag/documents"),
        get("/health/detail"),
        put("/auth/me", &json!({"display_name": "Moi"})),
        ask("POST", "/auth/refresh"),
        post("/admin/invitations", &json!({"role": "viewer"})),
    ] {
        house.refuses(refused.by(&held), 403, "password_change_required");
    }
    let change = |current: &str, new: &str| {
        post("/auth/change-password", &json!({"current_password": current, "new_password": new}))
            .by(&held)
    };
    house.refuses(change("x", OTHER), 400, "password_wrong");
    for (plain, wrong) in [
        ("short", "string_too_short"),
        ("neuve et un secret", "password_has_name"),
        ("aaaaaaaaaaaaaa", "password_too_plain"),
        ("azertyuiopqsdf", "password_too_plain"),
        ("123456789012", "password_too_plain"),
    ] {
        let detail = json!({"detail": [{"loc": ["body", "new_password"], "type": wrong}]});
        house.check(change(&temporary, plain), 422, &detail);
    }
    house.refuses(change(&temporary, &temporary), 400, "password_unchanged");
    let second =
        token(&house.ask(login(&json!({"username": "neuve", "password": temporary}))).json());
    house.check(change(&temporary, OTHER), 200, &json!({"success": true}));
    // This session goes on, free; the others have ended.
    house.check(get("/admin/users").by(&held), 200, &json!({}));
    house.refuses(me(&second), 401, "session_ended");
    house.refuses(
        login(&json!({"username": "neuve", "password": temporary})),
        401,
        "bad_credentials",
    );
    house.check(
        login(&json!({"username": "neuve", "password": OTHER})),
        200,
        &json!({"hold": null}),
    );
    assert_eq!(deeds(&house, "password.change").len(), 1);
    assert_eq!(deeds(&house, "password.refuse").len(), 1);
}

#[test]
fn a_password_given_again_is_fresh_for_a_while() {
    let (house, admin) = House::ready();
    let (number, _) = house.person(&admin, "anna", "viewer");
    let flip = std::cell::Cell::new(false);
    let role = || {
        // Another one each time: a role that stays as it is needs no fresh password.
        let role = if flip.replace(!flip.get()) { "finance" } else { "planner" };
        put(&format!("/admin/users/{number}"), &json!({"role": role})).by(&admin)
    };
    house.clock.pass(Duration::from_mins(5));
    house.refuses(role(), 403, "step_up_required");
    let step_up = |password: &str| post("/auth/step-up", &json!({"password": password})).by(&admin);
    house.refuses(step_up("x"), 401, "bad_credentials");
    house.refuses(role(), 403, "step_up_required");
    house.check(step_up(PASSWORD), 200, &json!({"fresh_until": "2026-01-15T08:10:00.000Z"}));
    house.check(role(), 200, &json!({}));
    house.clock.pass(Duration::from_mins(5));
    house.refuses(role(), 403, "step_up_required");
    // Guessing here is slowed down as at the door.
    for _ in 0..4 {
        house.refuses(step_up("x"), 401, "bad_credentials");
    }
    house.refuses(step_up(PASSWORD), 429, "too_many_attempts");
    assert_eq!(deeds(&house, "session.step_up").len(), 1);
    assert_eq!(deeds(&house, "step_up.refuse").len(), 5);
    house.refuses(post("/auth/step-up", &json!({"password": PASSWORD})), 401, "unauthenticated");
}

#[test]
fn accounts_are_made_by_who_may() {
    let body = json!({"username": "zoe", "password": PASSWORD, "role": "admin"});
    for mode in ["closed", "invited"] {
        let (house, _) = House::ready_with(&[("identity.registration", mode)]);
        house.refuses(post("/auth/register", &body), 403, "registration_closed");
        let with = |word: &str| {
            let mut body = body.clone();
            body["invitation"] = json!(word);
            post("/auth/register", &body)
        };
        let code = if mode == "closed" { "registration_closed" } else { "invitation_invalid" };
        house.refuses(with("no such word"), 403, code);
        house.refuses(with(&"x".repeat(5_000)), 403, code);
        // Whoever is there is not told: a name that is taken hears what a free one does.
        let taken = json!({"username": "chef", "password": PASSWORD});
        house.refuses(post("/auth/register", &taken).from("10.0.0.9"), 403, "registration_closed");
        assert_eq!(deeds(&house, "register.field_ignored").len(), 3);
        assert_eq!(deeds(&house, "register.refuse").len(), 4);
        assert!(deeds(&house, "user.add").iter().all(|link| link.object == "Chef"));
    }
    let fresh = House::with(&[("identity.registration", "open")]);
    fresh.refuses(post("/auth/register", &body), 403, "registration_closed");
    for role in ["admin", "finance", "nothing"] {
        let (house, _) = House::ready_with(&[
            ("identity.registration", "open"),
            ("identity.registration_role", role),
        ]);
        house.refuses(post("/auth/register", &body), 503, "registration_role_unusable");
    }
    let (house, _) = House::ready_with(&[("identity.registration", "open")]);
    house.check(
        post("/auth/register", &json!({"username": "zoe", "password": "court"})),
        422,
        &json!({"detail": [{"loc": ["body", "password"]}]}),
    );
    house.check(
        post("/auth/register", &json!({"password": PASSWORD})),
        422,
        &json!({"detail": [{"loc": ["body", "username"]}]}),
    );
}

#[test]
fn an_invitation_is_good_once_for_what_it_says() {
    let (house, admin) = House::ready();
    let invite = |body: Value| post("/admin/invitations", &body).by(&admin);
    let invited = house.check(
        invite(json!({"role": "Planner", "email": "zoe@depot.lan", "display_name": "Zoé"})),
        201,
        &json!({"role": "planner", "email": "zoe@depot.lan", "expires_at": "2026-01-22T08:00:00.000Z"}),
    );
    let word = text(&invited["token"]);
    assert_eq!(invited["link"], format!("/ui/invitation?token={word}"));
    assert_eq!(invited["url"], format!("http://localhost/ui/invitation?token={word}"));
    let look = || get(&format!("/auth/invitations/{word}"));
    house.check(
        look(),
        200,
        &json!({"site": "Dépôt de Saint-Fons", "role": "planner", "email": "zoe@depot.lan", "display_name": "Zoé"}),
    );
    house.refuses(get("/auth/invitations/nothing"), 404, "invitation_invalid");
    let take = |name: &str| {
        let body = json!({"username": name, "email": "other@depot.lan", "password": PASSWORD,
                          "invitation": word, "role": "admin"});
        post("/auth/register", &body)
    };
    let (first, second) = std::thread::scope(|scope| {
        let one = scope.spawn(|| house.ask(take("zoe")));
        let two = scope.spawn(|| house.ask(take("zoe2")));
        (one.join().unwrap(), two.join().unwrap())
    });
    let mut outcomes = [first.status, second.status];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [201, 403], "{} {}", first.json(), second.json());
    let made = if first.status == 201 { first.json() } else { second.json() };
    assert_eq!((&made["role"], &made["email"]), (&json!("planner"), &json!("zoe@depot.lan")));
    assert_eq!(made["display_name"], "Zoé");
    house.refuses(look(), 404, "invitation_invalid");
    let listed = house.check(get("/admin/invitations").by(&admin), 200, &json!({}));
    assert_eq!(listed["items"][0]["used_by"], made["username"]);
    assert_eq!(listed["items"][0]["token"], Value::Null);
    // The word is nowhere: not in the store, not in the journal.
    let all = house.app().desks().system.store.read(|view| links(view, 1, 1_000)).unwrap();
    assert!(!format!("{all:?}").contains(&word));
    for (field, value) in [
        ("role", json!("roi")),
        ("email", json!("x")),
        ("expires_in_days", json!(0)),
        ("expires_in_days", json!(31)),
        ("email", json!("zoe@depot.lan")),
    ] {
        let mut body = json!({"role": "viewer"});
        body[field] = value;
        house.check(invite(body), 422, &json!({"detail": [{"loc": ["body", field]}]}));
    }
}

#[test]
fn an_invitation_ends_with_its_time_its_inviter_and_its_inviters_rights() {
    let (house, admin) = House::ready();
    let rights = json!({"name": "chef_d_equipe", "rights": ["manage_rights", "view_planning"]});
    let role = house.check(post("/admin/roles", &rights).by(&admin), 201, &json!({}))["id"].clone();
    let narrow = json!({"name": "quai", "rights": ["view_planning"]});
    house.check(post("/admin/roles", &narrow).by(&admin), 201, &json!({}));
    let (luc, chief) = house.person(&admin, "luc", "chef_d_equipe");
    let invite = |by: &str, role: &str| {
        let made =
            house.check(post("/admin/invitations", &json!({"role": role})).by(by), 201, &json!({}));
        (text(&made["token"]), text(&made["id"]))
    };
    let look = |word: &str| get(&format!("/auth/invitations/{word}"));
    house.refuses(
        post("/admin/invitations", &json!({"role": "finance"})).by(&chief),
        403,
        "right_not_held",
    );
    let (late, _) = invite(&admin, "viewer");
    house.clock.pass(Duration::from_hours(24 * 7 - 1));
    house.check(look(&late), 200, &json!({}));
    house.clock.pass(Duration::from_hours(1));
    house.refuses(look(&late), 404, "invitation_invalid");
    let (admin, chief) = (house.sign_in("chef"), house.sign_in("luc"));
    let (taken, id) = invite(&admin, "viewer");
    house.check(
        ask("DELETE", &format!("/admin/invitations/{id}")).by(&admin),
        200,
        &json!({"success": true}),
    );
    house.refuses(look(&taken), 404, "invitation_invalid");
    house.refuses(ask("DELETE", &format!("/admin/invitations/{id}")).by(&admin), 404, "not_found");
    // Who may no longer give a role has not given it yesterday either.
    let (word, _) = invite(&chief, "quai");
    house.check(look(&word), 200, &json!({"role": "quai"}));
    let edit =
        |rights: Value| put(&format!("/admin/roles/{role}"), &json!({"rights": rights})).by(&admin);
    house.check(edit(json!(["view_planning"])), 200, &json!({}));
    house.refuses(look(&word), 404, "invitation_invalid");
    house.check(edit(json!(["manage_rights", "view_planning"])), 200, &json!({}));
    house.check(look(&word), 200, &json!({}));
    let away = ask("POST", &format!("/admin/users/{luc}/offboard")).by(&admin);
    house.check(away, 200, &json!({"done": true, "taken": {"invitations": 1}}));
    house.refuses(look(&word), 404, "invitation_invalid");
    // A role that reigns is not given away by a session that was left open.
    house.clock.pass(Duration::from_mins(6));
    let body = |role: &str| post("/admin/invitations", &json!({"role": role})).by(&admin);
    house.refuses(body("admin"), 403, "step_up_required");
    house.check(body("viewer"), 201, &json!({}));
}

const NETWORKS: (&str, &str) = ("identity.workstation_login.networks", "10.0.0.0/24, fd00::/8");

fn without_password(name: &str, address: &str, hostname: &str) -> Ask {
    login(&json!({"username": name, "hostname": hostname})).from(address)
}

#[test]
fn nobody_signs_in_without_a_password_unless_the_settings_say_so() {
    let (house, admin) = House::ready();
    let body = json!({"username": "anna", "password": PASSWORD, "workstation": true});
    house.check(post("/admin/users", &body).by(&admin), 201, &json!({"workstation": true}));
    house.refuses(without_password("anna", "10.0.0.5", "PC-1"), 401, "bad_credentials");
}

#[test]
fn a_workstation_lets_in_who_is_marked_for_it_and_holds_nothing_that_needs_a_password() {
    let names = ("identity.workstation_login.hostnames", "PC-1,PC-2");
    let (house, admin) = House::ready_with(&[NETWORKS, names]);
    for (name, role, marked) in [
        ("anna", "planner", true),
        ("bert", "planner", false),
        ("fina", "finance", true),
        ("rita", "operator", true),
        ("adam", "admin", true),
    ] {
        let body =
            json!({"username": name, "password": PASSWORD, "role": role, "workstation": marked});
        house.check(post("/admin/users", &body).by(&admin), 201, &json!({}));
    }
    for (at, (name, address, hostname)) in [
        ("bert", "10.0.0.5", "PC-1"),
        ("fina", "10.0.0.6", "PC-1"),
        ("rita", "10.0.0.7", "PC-1"),
        ("adam", "10.0.0.8", "PC-1"),
        ("chef", "10.0.0.9", "PC-1"),
        ("nobody", "10.0.0.10", "PC-1"),
        ("anna", "10.0.1.5", "PC-1"),
        ("anna", "10.0.0.11", "PC-3"),
        ("anna", "10.0.0.12", ""),
    ]
    .into_iter()
    .enumerate()
    {
        house.refuses(without_password(name, address, hostname), 401, "bad_credentials");
        assert_eq!(deeds(&house, "login.refuse").len(), at + 1);
    }
    house.clock.pass(Duration::from_secs(10));
    let answer = house.check(
        without_password("SITE\\ANNA", "10.0.0.20", "pc-1"),
        200,
        &json!({"user": {"username": "anna"}, "hold": null}),
    );
    let token = token(&answer);
    let here = |ask: Ask| ask.by(&token).from("10.0.0.20");
    house.check(here(get("/auth/me")), 200, &json!({"fresh_until": null}));
    let deed = &deeds(&house, "login.workstation")[0];
    assert_eq!((deed.object.as_str(), deed.address.as_deref()), ("anna", Some("10.0.0.20")));
    assert_eq!(deed.after.as_deref(), Some(r#"{"hostname":"pc-1"}"#));
    // It never is fresh, and does not become so.
    house.refuses(
        here(post("/auth/step-up", &json!({"password": PASSWORD}))),
        403,
        "step_up_impossible",
    );
    house.refuses(here(ask("POST", "/totp/provision")), 403, "step_up_required");
    let again = house.check(here(ask("POST", "/auth/refresh")), 200, &json!({}));
    let token = self::token(&again);
    let here = |ask: Ask| ask.by(&token).from("10.0.0.20");
    house.check(here(get("/auth/me")), 200, &json!({"fresh_until": null}));
    // Carried out of the networks the token is worth nothing, nor after the user gains more.
    house.refuses(get("/auth/me").by(&token).from("10.9.0.20"), 401, "session_ended");
    house.check(here(get("/auth/me")), 200, &json!({}));
    let grant = post("/admin/users/2/grants", &json!({"right": "view_finance"})).by(&admin);
    house.check(grant, 201, &json!({}));
    house.refuses(here(get("/auth/me")), 401, "session_ended");
    house.refuses(without_password("anna", "10.0.0.21", "PC-1"), 401, "bad_credentials");
    // With the password anybody signs in from there as from everywhere.
    house.clock.pass(Duration::from_secs(10));
    let right = json!({"username": "anna", "password": PASSWORD, "hostname": "PC-1"});
    house.check(login(&right).from("10.0.0.22"), 200, &json!({}));
}

#[test]
fn a_mark_that_is_taken_away_ends_what_was_begun_with_it() {
    let (house, admin) = House::ready_with(&[NETWORKS]);
    let body = json!({"username": "anna", "workstation": true});
    house.check(
        post("/admin/users", &body).by(&admin),
        201,
        &json!({"must_change_password": true}),
    );
    let answer = house.check(without_password("anna", "fd00::5", ""), 200, &json!({"hold": null}));
    let here = || get("/auth/me").by(&token(&answer)).from("fd00::5");
    house.check(here(), 200, &json!({"hold": null}));
    house.check(put("/admin/users/2", &json!({"workstation": false})).by(&admin), 200, &json!({}));
    house.refuses(here(), 401, "session_ended");
}

#[test]
fn an_unknown_name_becomes_a_viewer_where_the_setting_says_so() {
    let create = ("identity.workstation_login.create_unknown", "true");
    let (house, admin) = House::ready_with(&[NETWORKS, create]);
    house.refuses(without_password("SITE\\zoe", "10.1.0.5", "PC-1"), 401, "bad_credentials");
    house.refuses(without_password("zoe@depot.lan", "10.0.0.5", "PC-1"), 401, "bad_credentials");
    let with = login(&json!({"username": "zoe", "password": PASSWORD})).from("10.0.0.6");
    house.refuses(with, 401, "bad_credentials");
    for _ in 0..2 {
        house.check(
            without_password("SITE\\Zoe", "10.0.0.7", "PC-1"),
            200,
            &json!({"user": {"id": 2, "username": "Zoe", "role": "viewer", "workstation": true}}),
        );
    }
    house.refuses(without_password("chef", "10.0.0.8", "PC-1"), 401, "bad_credentials");
    // No password opens such an account, the empty one least of all.
    house.refuses(
        login(&json!({"username": "zoe", "password": ""})).from("10.7.0.1"),
        401,
        "bad_credentials",
    );
    // A site that made its viewers mighty lets no stranger become one.
    let roles = house.ask(get("/admin/roles").by(&admin)).json();
    let viewer = roles.as_array().unwrap().iter().find(|role| role["name"] == "viewer").unwrap();
    let more = put(&format!("/admin/roles/{}", viewer["id"]), &json!({"rights": ["view_finance"]}));
    house.check(more.by(&admin), 200, &json!({}));
    house.refuses(without_password("yves", "10.0.0.9", "PC-1"), 401, "bad_credentials");
    assert_eq!(house.ask(get("/admin/users").by(&admin)).json().as_array().unwrap().len(), 2);
}

#[test]
fn a_session_that_ends_leaves_no_row() {
    let (house, admin) = House::ready();
    let refreshed = house.check(ask("POST", "/auth/refresh").by(&admin), 200, &json!({}));
    house.check(ask("POST", "/auth/logout").by(&token(&refreshed)), 200, &json!({}));
    let store = &house.app().desks().system.store;
    assert_eq!(store.read(|view| view.count(SESSIONS.name)).unwrap(), 0);
}
