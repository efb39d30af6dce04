//! Roles, grants, step-up, sessions of others and offboarding: who may what, and from when to when.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{Ask, House, PASSWORD, ask, get, post, put};

fn named<'a>(roles: &'a Value, name: &str) -> &'a Value {
    roles.as_array().unwrap().iter().find(|role| role["name"] == name).unwrap()
}

fn made(house: &House, admin: &str, name: &str, rights: &[&str]) -> u64 {
    let body = json!({"name": name, "description": "Un rôle", "rights": rights});
    let role = house.check(post("/admin/roles", &body).by(admin), 201, &json!({"name": name}));
    role["id"].as_u64().unwrap()
}

#[test]
fn a_role_says_what_its_users_may_from_their_next_request_on() {
    let (house, admin) = House::ready();
    let role = made(&house, &admin, "quai", &["read_documents"]);
    let (_, token) = house.person(&admin, "anna", "quai");
    let edit = |body: Value| put(&format!("/admin/roles/{role}"), &body).by(&admin);
    let reindex = || post("/rag/reindex", &json!({})).by(&token);
    house.refuses(reindex(), 403, "right_missing");
    let more = json!({"rights": ["edit_documents", "read_documents", "read_documents"]});
    house.check(edit(more), 200, &json!({"rights": ["read_documents", "edit_documents"]}));
    house.check(reindex(), 200, &json!({}));
    house.check(edit(json!({"rights": []})), 200, &json!({"rights": [], "users": 1}));
    house.refuses(reindex(), 403, "right_missing");
    house.refuses(ask("DELETE", &format!("/admin/roles/{role}")).by(&admin), 409, "role_in_use");
    let roles = house.ask(get("/admin/roles").by(&admin)).json();
    let of = |name: &str| named(&roles, name)["id"].clone();
    house.refuses(
        ask("DELETE", &format!("/admin/roles/{}", of("viewer"))).by(&admin),
        409,
        "role_built_in",
    );
    let weaker = put(&format!("/admin/roles/{}", of("admin")), &json!({"rights": []}));
    house.refuses(weaker.by(&admin), 409, "role_fixed");
    let twin = post("/admin/roles", &json!({"name": "quai"}));
    house.refuses(twin.by(&admin), 409, "role_exists");
}

#[test]
fn nobody_gives_a_right_they_do_not_hold() {
    let (house, admin) = House::ready();
    made(&house, &admin, "chef_d_equipe", &["manage_rights", "view_planning"]);
    let (_, chief) = house.person(&admin, "luc", "chef_d_equipe");
    let (anna, _) = house.person(&admin, "anna", "chef_d_equipe");
    let refused: Vec<Ask> = vec![
        put("/admin/users/1", &json!({"password": "un autre mot de passe"})),
        put("/admin/users/1", &json!({"is_active": false})),
        ask("DELETE", "/admin/users/1"),
        ask("POST", "/admin/users/1/reset-password"),
        ask("POST", "/admin/users/1/offboard"),
        put(&format!("/admin/users/{anna}"), &json!({"role": "admin"})),
        post("/admin/users", &json!({"username": "x", "password": PASSWORD, "role": "finance"})),
        post(&format!("/admin/users/{anna}/grants"), &json!({"right": "manage_finance"})),
        post("/admin/roles", &json!({"name": "or", "rights": ["manage_finance"]})),
    ];
    for one in refused {
        house.refuses(one.by(&chief), 403, "right_not_held");
    }
    let system = put(&format!("/admin/users/{anna}"), &json!({"is_system_admin": true}));
    house.refuses(system.by(&chief), 403, "system_admin_required");
    let system = post("/admin/users", &json!({"username": "x", "is_system_admin": true}));
    house.refuses(system.by(&chief), 403, "system_admin_required");
    let own = json!({"right": "view_planning"});
    house.check(post(&format!("/admin/users/{anna}/grants"), &own).by(&chief), 201, &json!({}));
}

#[test]
fn the_name_of_a_deleted_role_opens_nothing_to_others() {
    let (house, admin) = House::ready();
    made(&house, &admin, "chef_d_equipe", &["manage_rights", "read_documents"]);
    let (_, chief) = house.person(&admin, "luc", "chef_d_equipe");
    let role = made(&house, &admin, "direction", &["read_documents"]);
    house.check(ask("DELETE", &format!("/admin/roles/{role}")).by(&admin), 200, &json!({}));
    let again = || post("/admin/roles", &json!({"name": "direction"}));
    house.refuses(again().by(&chief), 409, "role_exists");
    house.check(again().by(&admin), 201, &json!({"name": "direction"}));
}

#[test]
fn what_is_lent_is_neither_given_on_nor_taken_over() {
    let (house, admin) = House::ready();
    made(&house, &admin, "chef_d_equipe", &["manage_rights", "view_planning", "read_documents"]);
    let (luc, chief) = house.person(&admin, "luc", "chef_d_equipe");
    let (anna, _) = house.person(&admin, "anna", "user");
    let lend = |to: u64, right: &str, by: &str| {
        let until = json!({"right": right, "until": "2026-01-16T08:00:00Z"});
        post(&format!("/admin/users/{to}/grants"), &until).by(by)
    };
    house.check(lend(luc, "view_finance", &admin), 201, &json!({}));
    // Lent to him until tomorrow: not his to give to others, nor to himself for longer.
    house.refuses(lend(anna, "view_finance", &chief), 403, "right_not_held");
    house.refuses(lend(luc, "view_planning", &chief), 400, "own_account");
    let own = json!({"name": "or", "rights": ["view_finance"]});
    house.refuses(post("/admin/roles", &own).by(&chief), 403, "right_not_held");
    // What was lent to her counts when somebody would take her account over.
    house.check(lend(anna, "admin_access", &admin), 201, &json!({}));
    for one in [
        ask("POST", &format!("/admin/users/{anna}/reset-password")),
        put(&format!("/admin/users/{anna}"), &json!({"password": "un autre mot de passe"})),
        ask("POST", &format!("/admin/users/{anna}/offboard")),
        ask("POST", "/admin/sessions/disconnect/anna"),
    ] {
        house.refuses(one.by(&chief), 403, "right_not_held");
    }
}

#[test]
fn a_closed_collection_is_not_opened_by_a_role_or_by_somebodys_account() {
    let (house, admin) = House::ready();
    made(&house, &admin, "chef_d_equipe", &["manage_rights", "read_documents"]);
    made(&house, &admin, "direction", &["read_documents"]);
    let (_, chief) = house.person(&admin, "luc", "chef_d_equipe");
    let (anna, _) = house.person(&admin, "anna", "direction");
    let closed = json!({"name": "secret", "readers": {"everyone": false, "roles": ["direction"]}});
    house.check(post("/rag/collections", &closed).by(&admin), 201, &json!({}));
    let mole = json!({"username": "mole", "password": PASSWORD, "role": "direction"});
    house.refuses(post("/admin/users", &mole).by(&chief), 403, "right_not_held");
    let reset = || ask("POST", &format!("/admin/users/{anna}/reset-password"));
    house.refuses(reset().by(&chief), 403, "right_not_held");
    let invited = json!({"role": "direction"});
    house.refuses(post("/admin/invitations", &invited).by(&chief), 403, "right_not_held");
    house.check(reset().by(&admin), 200, &json!({}));
}

#[test]
fn a_new_password_from_above_ends_keys_too_and_who_left_stays_gone() {
    let (house, admin) = House::ready();
    let (anna, token) = house.person(&admin, "anna", "viewer");
    let key = house.key(&token, "releves", &["rag"]).1;
    house.check(get("/rag/status").header("x-api-key", &key), 200, &json!({}));
    let user = format!("/admin/users/{anna}");
    house.check(ask("POST", &format!("{user}/reset-password")).by(&admin), 200, &json!({}));
    house.refuses(get("/rag/status").header("x-api-key", &key), 401, "key_unknown");
    house.check(ask("POST", &format!("{user}/offboard")).by(&admin), 200, &json!({}));
    let close = put(&user, &json!({"is_active": false}));
    house.check(close.by(&admin), 200, &json!({"state": "offboarded"}));
    house.clock.pass(Duration::from_mins(6));
    let open = put(&user, &json!({"is_active": true}));
    house.refuses(open.by(&admin), 403, "step_up_required");
}

#[test]
fn names_that_only_look_alike_and_the_boxs_own_are_refused() {
    let (house, admin) = House::ready();
    for name in ["chef\u{200b}", "\u{202e}fehc", "Console", "?", "nobody"] {
        let body = json!({"username": name, "password": PASSWORD});
        let wrong = json!({"detail": [{"loc": ["body", "username"]}]});
        house.check(post("/admin/users", &body).by(&admin), 422, &wrong);
    }
    // As the first clients write what they leave open.
    let nulls = json!({"username": "anna", "display_name": null, "email": null, "password": null});
    house.check(post("/admin/users", &nulls).by(&admin), 201, &json!({"email": ""}));
}

#[test]
fn a_refresh_does_not_last_for_ever() {
    let (house, _) = House::ready();
    let mut token = house.sign_in("chef");
    for _ in 0..65 {
        house.clock.pass(Duration::from_hours(11));
        let fresh = house.check(ask("POST", "/auth/refresh").by(&token), 200, &json!({}));
        fresh["access_token"].as_str().unwrap().clone_into(&mut token);
    }
    house.clock.pass(Duration::from_hours(6));
    house.refuses(get("/auth/me").by(&token), 401, "token_expired");
}

#[test]
fn strangers_cannot_bury_the_journal() {
    let (house, admin) = House::ready();
    for n in 0..80 {
        let body = json!({"username": format!("u{n}"), "password": PASSWORD, "role": "admin"});
        house.refuses(
            post("/auth/register", &body).from(&format!("10.1.{n}.1")),
            403,
            "registration_closed",
        );
    }
    let log = house.ask(get("/admin/journal?deed=register.&limit=200").by(&admin)).json();
    assert_eq!(log["items"].as_array().unwrap().len(), 60, "{}", log["total"]);
    house.clock.pass(Duration::from_secs(2));
    let one = json!({"username": "v", "password": PASSWORD});
    house.refuses(post("/auth/register", &one).from("10.2.1.1"), 403, "registration_closed");
    let log = house.ask(get("/admin/journal?deed=register.&limit=1").by(&admin)).json();
    let after: Value = serde_json::from_str(log["items"][0]["after"].as_str().unwrap()).unwrap();
    assert_eq!(after["left_out"], 100, "{after}");
}

#[test]
fn a_grant_lasts_until_its_end() {
    let (house, admin) = House::ready();
    let (number, token) = house.person(&admin, "anna", "user");
    let metrics = || get("/metrics").by(&token);
    house.refuses(metrics(), 403, "right_missing");
    let path = format!("/admin/users/{number}/grants");
    let until =
        json!({"right": "admin_access", "until": "2026-01-15T10:00:00Z", "reason": "congés"});
    house.check(post(&path, &until).by(&admin), 201, &json!({"given_by": "Chef"}));
    assert_eq!(house.ask(metrics()).status, 200);
    house.clock.pass(Duration::from_hours(2));
    house.refuses(metrics(), 403, "right_missing");
    let admin = house.sign_in("chef");
    house.check(
        post(&path, &json!({"right": "admin_access"})).by(&admin),
        201,
        &json!({"until": null, "reason": ""}),
    );
    assert_eq!(house.ask(metrics()).status, 200);
    let back = ask("DELETE", &format!("{path}/admin_access"));
    house.check(back.clone().by(&admin), 200, &json!({}));
    house.refuses(back.by(&admin), 404, "not_found");
    house.refuses(metrics(), 403, "right_missing");
}

#[test]
fn a_stale_password_gives_nobody_a_role() {
    let (house, admin) = House::ready();
    let (anna, _) = house.person(&admin, "anna", "viewer");
    let user = format!("/admin/users/{anna}");
    house.clock.pass(Duration::from_mins(5));
    let stale: Vec<Ask> = vec![
        put(&user, &json!({"role": "planner"})),
        put(&user, &json!({"password": "un autre mot de passe"})),
        put(&user, &json!({"is_system_admin": true})),
        post(&format!("{user}/role"), &json!({"role": "planner"})),
        post(&format!("{user}/grants"), &json!({"right": "view_finance"})),
        ask("POST", &format!("{user}/reset-password")),
        ask("POST", &format!("{user}/offboard")),
        post("/admin/roles", &json!({"name": "quai"})),
        put("/admin/roles/1", &json!({"second_factor": true})),
        ask("DELETE", "/admin/roles/1"),
        post("/admin/users", &json!({"username": "x", "role": "admin"})),
    ];
    for one in stale {
        house.refuses(one.by(&admin), 403, "step_up_required");
    }
    // What gives nobody more than they had goes on.
    house.check(put(&user, &json!({"display_name": "Anna B."})).by(&admin), 200, &json!({}));
    house.check(put(&user, &json!({"role": "viewer"})).by(&admin), 200, &json!({}));
    house.check(
        post("/admin/users", &json!({"username": "x"})).by(&admin),
        201,
        &json!({"must_change_password": true}),
    );
    let dry = ask("POST", &format!("{user}/offboard?dry_run=true"));
    house.check(dry.by(&admin), 200, &json!({"done": false}));
}

#[test]
fn a_temporary_password_is_told_once_and_has_to_be_changed() {
    let (house, admin) = House::ready();
    let added = house.check(
        post("/admin/users", &json!({"username": "anna", "role_name": "admin"})).by(&admin),
        201,
        &json!({"role": "admin", "must_change_password": true}),
    );
    let word = added["temp_password"].as_str().unwrap();
    let login = |word: &str| post("/auth/login", &json!({"username": "anna", "password": word}));
    let answer = house.check(login(word), 200, &json!({"must_change_password": true}));
    let token = answer["access_token"].as_str().unwrap();
    house.check(get("/auth/me").by(token), 200, &json!({"hold": "change_password"}));
    house.refuses(get("/admin/users").by(token), 403, "password_change_required");
    let reset = format!("/admin/users/{}/reset-password", added["id"]);
    let again = house.check(ask("POST", &reset).by(&admin), 200, &json!({"success": true}));
    house.refuses(get("/auth/me").by(token), 401, "session_ended");
    house.refuses(login(word), 401, "bad_credentials");
    house.check(login(again["temp_password"].as_str().unwrap()), 200, &json!({}));
    for list in ["/admin/users", "/api/users"] {
        let text = String::from_utf8(house.ask(get(list).by(&admin)).bytes).unwrap();
        assert!(!text.contains(word) && !text.contains("argon2"), "{list}");
    }
}

#[test]
fn sessions_of_others_are_ended_by_who_may() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "planner");
    let bert = house.person(&admin, "bert", "viewer").1;
    let me = |token: &str| get("/auth/me").by(token);
    let id = |token: &str| house.ask(me(token)).json()["session_id"].as_str().unwrap().to_owned();
    let terminate = |id: &str| ask("POST", &format!("/sessions/{id}/terminate"));

    house.refuses(terminate(&id(&anna)).by(&bert), 404, "not_found");
    let second = house.sign_in("anna");
    let own = house.ask(get("/sessions").by(&anna)).json();
    assert_eq!(own["sessions"].as_array().unwrap().len(), 2, "{own}");
    assert_eq!(own["sessions"][0]["username"], "anna");
    house.refuses(get("/sessions?all=true").by(&anna), 403, "right_missing");
    house.check(terminate(&id(&second)).by(&anna), 200, &json!({"status": "terminated"}));
    house.refuses(me(&second), 401, "session_ended");
    house.check(me(&anna), 200, &json!({}));

    let listed = house.ask(get("/admin/sessions").by(&admin)).json();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    house.check(
        ask("POST", &format!("/admin/sessions/{}/kick", id(&anna))).by(&admin),
        200,
        &json!({"success": true}),
    );
    house.refuses(me(&anna), 401, "session_ended");
    house.check(
        ask("POST", "/admin/sessions/disconnect/BERT").by(&admin),
        200,
        &json!({"message": "1 session(s) fermée(s)"}),
    );
    house.refuses(me(&bert), 401, "session_ended");

    let bert = house.sign_in("bert");
    house.check(ask("POST", "/admin/sessions/kick-all").by(&admin), 200, &json!({}));
    house.refuses(me(&bert), 401, "session_ended");
    house.check(me(&admin), 200, &json!({}));
}

#[test]
fn who_leaves_keeps_nothing() {
    let (house, admin) = House::ready();
    let (number, token) = house.person(&admin, "anna", "planner");
    let path = format!("/admin/users/{number}");
    let grant = post(&format!("{path}/grants"), &json!({"right": "view_finance"}));
    house.check(grant.by(&admin), 201, &json!({}));
    let plan = json!({"done": false, "taken": {"sessions": 1, "grants": 1}});
    let off = |asked: &str| ask("POST", &format!("{path}/offboard{asked}"));
    house.check(off("?dry_run=true").by(&admin), 200, &plan);
    house.check(get("/auth/me").by(&token), 200, &json!({}));
    let done = json!({"done": true, "taken": {"sessions": 1, "grants": 1}});
    house.check(off("").by(&admin), 200, &done);
    house.refuses(get("/auth/me").by(&token), 401, "session_ended");
    let login = post("/auth/login", &json!({"username": "anna", "password": PASSWORD}));
    house.refuses(login, 401, "bad_credentials");
    house.check(
        get(&path).by(&admin),
        200,
        &json!({"state": "offboarded", "is_active": false, "username": "anna"}),
    );
    // The name is not given to somebody else, to whom old entries would then point.
    let twin = post("/admin/users", &json!({"username": "anna"}));
    house.refuses(twin.by(&admin), 409, "user_exists");
    house.refuses(ask("POST", "/admin/users/1/offboard").by(&admin), 400, "own_account");
    house.refuses(ask("DELETE", "/admin/users/1").by(&admin), 400, "own_account");
}

#[test]
fn an_address_is_a_name_to_sign_in_with_and_belongs_to_one() {
    let (house, admin) = House::ready();
    let chrona = json!({"email": "zoe@depot.lan", "password": PASSWORD, "role": "user"});
    let zoe = house.check(
        post("/admin/users", &chrona).by(&admin),
        201,
        &json!({"username": "zoe@depot.lan", "role": "user"}),
    );
    let login = |name: &str| post("/auth/login", &json!({"email": name, "password": PASSWORD}));
    let token = house.check(login("Zoe@depot.lan"), 200, &json!({}));
    let token = token["access_token"].as_str().unwrap();
    house.person(&admin, "anna", "user");
    let move_to = |email: &str| put("/auth/me", &json!({"email": email})).by(token);
    house.check(move_to("z@depot.lan"), 200, &json!({"email": "z@depot.lan"}));
    house.check(login("z@depot.lan"), 200, &json!({"user": {"id": zoe["id"]}}));
    house.check(login("zoe@depot.lan"), 200, &json!({}));
    let anna = put("/admin/users/3", &json!({"email": "Z@DEPOT.lan"}));
    house.refuses(anna.by(&admin), 409, "user_exists");
    house.check(move_to(""), 200, &json!({"email": ""}));
    house.refuses(login("z@depot.lan"), 401, "bad_credentials");
}
