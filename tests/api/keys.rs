//! API keys: what they may do, which doors take them, and every way in which they end.

use std::time::Duration;

use ilot::base::caller::Caller;
use ilot::base::id::Id;
use ilot::store::journal::JOURNAL;
use ilot::store::{Reader, all};
use serde_json::{Value, json};

use super::ask::{Ask, House, PASSWORD, ask, get, post, put};

fn make(body: &Value) -> Ask {
    post("/apikeys", body)
}

impl House {
    /// A key of whoever signs with `token`: its id and its text.
    pub fn key(&self, token: &str, name: &str, scopes: &[&str]) -> (String, String) {
        let body = json!({"name": name, "scopes": scopes});
        let made = self.check(make(&body).by(token), 201, &json!({"name": name}));
        let word = |name: &str| made[name].as_str().unwrap().to_owned();
        (word("id"), word("key"))
    }

    fn kiosk_key(&self, admin: &str, name: &str) -> (String, String) {
        let body = json!({"name": name, "kind": "kiosk"});
        let made = self.check(make(&body).by(admin), 201, &json!({"kind": "kiosk"}));
        let word = |name: &str| made[name].as_str().unwrap().to_owned();
        (word("id"), word("key"))
    }

    /// Every row of the journal as one text.
    fn journal(&self) -> String {
        let store = &self.app().desks().system.store;
        let links = store.read(|view| view.list(&JOURNAL, &all(), usize::MAX)).unwrap();
        links.into_iter().map(|(_, link)| format!("{link:?}\n")).collect()
    }
}

#[test]
fn a_key_acts_for_its_owner_within_its_scopes_through_either_header() {
    let (house, admin) = House::ready();
    let (_, planner) = house.person(&admin, "paul", "planner");
    let (_, key) = house.key(&planner, "relevés", &["rag", "view_jobs"]);
    for signed in [get("/rag/status").by(&key), get("/rag/status").header("X-API-Key", &key)] {
        house.check(signed, 200, &json!({}));
    }
    let me = house.check(
        get("/auth/me").by(&key),
        200,
        &json!({"username": "paul", "session_id": null}),
    );
    assert_eq!((&me["csrf_token"], &me["fresh_until"]), (&Value::Null, &Value::Null));
    // Its owner may do this, the key may not; and neither may do what only administrators do.
    house.check(post("/rag/reindex", &json!({})).by(&planner), 200, &json!({}));
    house.refuses(post("/rag/reindex", &json!({})).by(&key), 403, "right_missing");
    house.refuses(get("/admin/users").by(&key), 403, "right_missing");
    // What only a person may do, no key does: not even with its owner's every right.
    let (_, strong) = house.key(&admin, "tout", &["manage_rights", "admin_access"]);
    house.check(get("/admin/users").by(&strong), 200, &json!([{}, {}]));
    for asked in [
        make(&json!({"name": "deux", "scopes": ["rag"]})),
        put("/auth/me", &json!({"display_name": "x"})),
        ask("DELETE", "/apikeys/01980000-0000-7000-8000-000000000000"),
    ] {
        house.refuses(asked.by(&strong), 403, "session_required");
    }
    let reset = ask("POST", "/admin/users/2/reset-password").by(&strong);
    house.refuses(reset, 403, "step_up_required");
    let journal = house.journal();
    assert!(journal.contains("key.add") && !journal.contains(&key), "{journal}");
    assert!(!journal.contains(&key[5..20]));
}

#[test]
fn scopes_are_rights_or_the_assistants_words_and_never_beyond_the_maker() {
    let (house, admin) = House::ready();
    let (_, viewer) = house.person(&admin, "vera", "viewer");
    let offered = house.check(get("/apikeys/scopes").by(&viewer), 200, &json!({}));
    let names: Vec<_> =
        offered["items"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "chat",
            "history",
            "llm",
            "memory",
            "rag",
            "view_planning",
            "view_drivers",
            "read_documents",
            "use_assistant",
            "use_attendance"
        ]
    );
    for beyond in ["jobs", "manage_rights", "edit_documents"] {
        let body = json!({"name": "x", "scopes": ["rag", beyond]});
        house.refuses(make(&body).by(&viewer), 403, "right_not_held");
    }
    // A kiosk's key is made by who keeps the kiosks.
    house.refuses(make(&json!({"name": "x", "kind": "kiosk"})).by(&viewer), 403, "right_missing");
    // A key outlives its session: it wants a fresh password, whatever its scopes.
    house.clock.pass(Duration::from_mins(6));
    let body = json!({"name": "a", "scopes": ["rag"]});
    house.refuses(make(&body).by(&admin), 403, "step_up_required");
    house.key(&house.sign_in("chef"), "a", &["rag"]);
}

#[test]
fn who_signed_in_without_a_password_makes_no_key() {
    let network = ("identity.workstation_login.networks", "10.0.0.0/24");
    let (house, admin) = House::ready_with(&[network]);
    let user = json!({"username": "anna", "password": PASSWORD, "workstation": true});
    house.check(post("/admin/users", &user).by(&admin), 201, &json!({}));
    let here = |ask: Ask| ask.from("10.0.0.7");
    let login = json!({"username": "anna", "hostname": "PC-1"});
    let signed = house.check(here(post("/auth/login", &login)), 200, &json!({}));
    let token = signed["access_token"].as_str().unwrap();
    let made = || here(make(&json!({"name": "a", "scopes": ["rag"]})).by(token));
    house.refuses(made(), 403, "step_up_required");
    // Who gave no password has none to give again: it takes a sign-in with one.
    let again = here(post("/auth/step-up", &json!({"password": PASSWORD})).by(token));
    house.refuses(again, 403, "step_up_impossible");
    house.key(&house.sign_in("anna"), "a", &["rag"]);
}

#[test]
fn names_are_the_owners_own_and_keys_are_bounded() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    house.key(&anna, "un", &["rag"]);
    house.key(&admin, "un", &["rag"]);
    house.refuses(make(&json!({"name": " un ", "scopes": ["rag"]})).by(&anna), 409, "key_exists");
    for n in 2..=50 {
        house.key(&anna, &format!("{n}"), &["rag"]);
    }
    house.refuses(make(&json!({"name": "51", "scopes": ["rag"]})).by(&anna), 409, "keys_full");
    let made = make(&json!({"name": "x", "scopes": ["rag"], "expires_in_days": 3650})).by(&admin);
    house.check(made, 201, &json!({"expires_at": "2036-01-13T08:00:00.000Z"}));
    let made =
        house.check(make(&json!({"name": "y", "scopes": ["rag"]})).by(&admin), 201, &json!({}));
    assert_eq!(made["expires_at"], "2027-01-15T08:00:00.000Z");
}

#[test]
fn everybody_sees_and_deletes_their_own_and_an_administrator_all() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let (_, bert) = house.person(&admin, "bert", "viewer");
    let (of_anna, key) = house.key(&anna, "un", &["rag"]);
    let (of_bert, other) = house.key(&bert, "deux", &["rag"]);
    let (kiosk, _) = house.kiosk_key(&admin, "quai 3");
    let shown = json!({"keys": [{
        "id": of_anna, "name": "un", "hash": "***", "hint": &key[44..], "kind": "person",
        "owner": "anna", "last_used_at": null, "scopes": ["rag"]}]});
    let listed = house.check(get("/apikeys").by(&anna), 200, &shown);
    assert!(!listed.to_string().contains(&key[5..30]));
    house.check(get("/rag/status").by(&key), 200, &json!({}));
    let used = json!({"keys": [{"last_used_at": "2026-01-15T08:00:00.000Z"}]});
    house.check(get("/apikeys").by(&anna), 200, &used);
    house.refuses(get("/apikeys?all=true").by(&anna), 403, "right_missing");
    house.check(get("/apikeys").by(&admin), 200, &json!({"keys": [{"owner": "quai 3"}]}));
    let everybodys = json!({"keys": [{"owner": "bert"}, {"kind": "kiosk"}, {"owner": "anna"}]});
    house.check(get("/apikeys?all=true").by(&admin), 200, &everybodys);

    let delete = |id: &str| ask("DELETE", &format!("/apikeys/{id}"));
    house.refuses(delete(&of_bert).by(&anna), 404, "not_found");
    house.refuses(delete(&kiosk).by(&anna), 404, "not_found");
    house.check(delete(&of_anna).by(&anna), 200, &json!({"status": "deleted"}));
    house.refuses(get("/rag/status").by(&key), 401, "key_unknown");
    house.refuses(delete(&of_anna).by(&anna), 404, "not_found");
    house.check(delete(&of_bert).by(&admin), 200, &json!({}));
    house.refuses(get("/rag/status").by(&other), 401, "key_unknown");
    house.check(delete(&kiosk).by(&admin), 200, &json!({}));
    house.check(get("/apikeys?all=true").by(&admin), 200, &json!({"keys": []}));
}

#[test]
fn an_end_acts_on_the_next_request() {
    let (house, admin) = House::ready();
    let (number, anna) = house.person(&admin, "anna", "planner");
    let (_, key) = house.key(&anna, "un", &["rag", "edit_documents"]);
    let edit = |body: Value| put(&format!("/admin/users/{number}"), &body).by(&admin);
    let reindex = || post("/rag/reindex", &json!({})).by(&key);
    house.check(reindex(), 200, &json!({}));
    house.check(edit(json!({"role": "viewer"})), 200, &json!({}));
    house.refuses(reindex(), 403, "right_missing");
    house.check(get("/rag/status").by(&key), 200, &json!({}));
    // Whoever has to choose a password first has to with a key as well.
    house.check(edit(json!({"must_change_password": true})), 200, &json!({}));
    house.refuses(get("/rag/status").by(&key), 403, "password_change_required");
    house.check(edit(json!({"must_change_password": false, "is_active": false})), 200, &json!({}));
    house.refuses(get("/rag/status").by(&key), 401, "key_owner_closed");
    house.check(edit(json!({"is_active": true})), 200, &json!({}));
    house.check(get("/rag/status").by(&key), 200, &json!({}));
    house.check(
        ask("POST", &format!("/admin/users/{number}/offboard?dry_run=true")).by(&admin),
        200,
        &json!({"done": false, "taken": {"api_keys": 1}}),
    );
    house.check(get("/rag/status").by(&key), 200, &json!({}));
    house.check(
        ask("POST", &format!("/admin/users/{number}/offboard")).by(&admin),
        200,
        &json!({}),
    );
    house.refuses(get("/rag/status").by(&key), 401, "key_unknown");
    // Time ends one by itself.
    let body = json!({"name": "court", "scopes": ["rag"], "expires_in_days": 1});
    let short = house.check(make(&body).by(&admin), 201, &json!({}));
    let short = short["key"].as_str().unwrap();
    house.clock.pass(Duration::from_hours(24) - Duration::from_secs(1));
    house.check(get("/rag/status").by(short), 200, &json!({}));
    house.clock.pass(Duration::from_secs(1));
    house.refuses(get("/rag/status").by(short), 401, "key_expired");
}

#[test]
fn a_kiosks_key_opens_the_kiosks_door_alone_and_the_other_way_round() {
    let (house, admin) = House::ready();
    let (_, kiosk) = house.kiosk_key(&admin, "quai 3");
    let (_, key) = house.key(&admin, "un", &["rag"]);
    house.refuses(make(&json!({"name": "quai 3", "kind": "kiosk"})).by(&admin), 409, "key_exists");
    let at_kiosk = |key: &str| get("/health/detail").header("X-Kiosk-API-Key", key);
    // A key that is known here is refused for what it lacks; one that is not, for itself.
    house.refuses(at_kiosk(&kiosk), 403, "right_missing");
    // It may punch for others and nothing else, and it is no user.
    let rights = |ask: Ask| house.refuses(ask, 403, "right_missing");
    rights(get("/rag/status").header("X-Kiosk-API-Key", &kiosk));
    rights(get("/admin/users").header("X-Kiosk-API-Key", &kiosk));
    house.refuses(get("/auth/me").header("X-Kiosk-API-Key", &kiosk), 403, "no_account");
    house.refuses(
        make(&json!({"name": "x", "scopes": ["punch_for_others"]}))
            .header("X-Kiosk-API-Key", &kiosk),
        403,
        "session_required",
    );
    house.refuses(at_kiosk(&key), 401, "key_wrong_door");
    house.refuses(get("/health/detail").header("X-API-Key", &kiosk), 401, "key_wrong_door");
    house.refuses(get("/health/detail").by(&kiosk), 401, "key_wrong_door");

    // The attendance desk makes one for a kiosk of its own.
    let identity = &house.app().desks().identity;
    let (console, own) = (Caller::console("test"), Id([7; 16]));
    let issued = identity.issue_kiosk_key(&console, own, "quai 4").unwrap();
    house.refuses(at_kiosk(&issued.text), 403, "right_missing");
    assert_eq!((issued.key.owner, issued.key.expires_at), (own, None));
    let again = identity.issue_kiosk_key(&console, own, "quai 4").unwrap_err();
    assert_eq!(again.code, "key_exists");
    let nobody = Caller::nobody(None, "test");
    let refused = identity.issue_kiosk_key(&nobody, own, "quai 5").unwrap_err();
    assert_eq!(refused.code, "unauthenticated");
}

#[test]
fn the_first_good_proof_counts_and_the_first_bad_one_is_told() {
    let (house, admin) = House::ready();
    let login = json!({"username": "chef", "password": PASSWORD});
    let signed = house.ask(post("/auth/login", &login)).json();
    let (cookie, word) =
        (signed["access_token"].as_str().unwrap(), signed["csrf_token"].as_str().unwrap());
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let (_, key) = house.key(&anna, "un", &["rag"]);
    let me = |ask: Ask, name: &str| {
        house.check(ask, 200, &json!({"username": name}));
    };
    me(get("/auth/me").by(&key).cookie(cookie), "anna");
    me(get("/auth/me").header("x-api-key", &key).by(&admin), "anna");
    me(get("/auth/me").by(&admin).cookie(&anna), "Chef");
    // A bearer that is no key and no token is ignored, and the cookie is tried.
    for stranger in
        ["0123456789abcdef", "ilot_nothing", "a.b.c", &format!("ilot_{}", "A".repeat(43))]
    {
        me(get("/auth/me").by(stranger).cookie(cookie), "Chef");
        let query = || post("/rag/query", &json!({"query": "mot"})).by(stranger).cookie(cookie);
        house.refuses(query(), 403, "csrf_invalid");
        house.check(query().header("x-csrf-token", word), 200, &json!({}));
    }
    me(get("/auth/me").header("x-api-key", "wrong").by(&admin), "Chef");
    // With a key there is no word to show; none of them is good, so the first is named.
    house.check(post("/rag/query", &json!({"query": "mot"})).by(&key), 200, &json!({}));
    house.refuses(get("/auth/me").header("x-api-key", "wrong").cookie("x"), 401, "key_unknown");
    // Open routes answer whatever is shown.
    house.check(get("/health").by("a.b.c").header("x-api-key", "wrong"), 200, &json!({}));
}

#[test]
fn an_address_that_shows_wrong_keys_is_told_to_stop_and_good_ones_pass() {
    let (house, admin) = House::ready();
    let (_, key) = house.key(&admin, "un", &["rag"]);
    let wrong = |n: usize| format!("ilot_{n:A>43}");
    for n in 0..5 {
        house.refuses(get("/rag/status").by(&wrong(n)).from("10.0.0.8"), 401, "key_unknown");
    }
    let stop = house.ask(get("/rag/status").header("x-api-key", "x").from("10.0.0.8"));
    assert_eq!((stop.status, stop.json()["code"].as_str()), (429, Some("too_many_attempts")));
    assert_eq!(stop.header("retry-after"), "1800");
    house.check(get("/rag/status").by(&key).from("10.0.0.8"), 200, &json!({}));
    house.check(get("/rag/status").by(&wrong(1)).cookie(&admin).from("10.0.0.8"), 200, &json!({}));
    house.refuses(get("/rag/status").by(&wrong(1)).from("10.0.0.9"), 401, "key_unknown");
    // Nobody is kept from signing in by it.
    let login = json!({"username": "chef", "password": PASSWORD});
    house.check(post("/auth/login", &login).from("10.0.0.8"), 200, &json!({}));
}

#[test]
fn plan_bs_own_key_opens_its_door_and_no_other() {
    let (house, _) = House::ready();
    let path = house.folder().join("planb/api_key.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let key = text.trim_end();
    assert_eq!((text.len(), key.len()), (65, 64));
    let detail = || get("/health/detail");
    house.check(
        detail().header("X-API-Key", key),
        200,
        &json!({"parts": {"planb": {"level": "ok"}}}),
    );
    house.refuses(get("/rag/status").header("X-API-Key", key), 403, "right_missing");
    house.refuses(detail().by(key), 401, "token_malformed");
    house.refuses(detail().header("X-Kiosk-API-Key", key), 401, "key_unknown");
    house.refuses(detail().header("X-API-Key", &key.to_uppercase()), 401, "key_unknown");
    house.refuses(detail().header("X-API-Key", &key[1..]), 401, "key_unknown");
}
