//! The second factor: set up, asked for, taken once, lost, and never guessed.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use ilot::domains::identity::records::SECOND_FACTORS;
use ilot::store::journal::links;
use ilot::store::{Reader, all};
use serde_json::{Value, json};
use sha2::Sha256;

use super::ask::{Ask, House, NOW, PASSWORD, ask, get, post, put};
use super::doors::{deeds, login};

/// A phone: what RFC 6238 makes of a secret, written apart from the box.
struct Phone(Vec<u8>);

impl Phone {
    fn of(secret: &Value) -> Self {
        Self(BASE32_NOPAD.decode(secret.as_str().unwrap().as_bytes()).unwrap())
    }

    /// The code so many seconds after the box began.
    fn code(&self, after: u64) -> String {
        let step = (u64::try_from(NOW.0).unwrap() / 1000 + after) / 30;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap();
        mac.update(&step.to_be_bytes());
        let tag = mac.finalize().into_bytes();
        let at = usize::from(tag[31] & 0xf);
        let word = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", word % 1_000_000)
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Sets a second factor up with the code of so many seconds after the beginning.
fn enrolled(house: &House, token: &str, after: u64) -> (Phone, Vec<String>) {
    let shown = house.check(ask("POST", "/totp/provision").by(token), 200, &json!({}));
    let phone = Phone::of(&shown["secret"]);
    let code = json!({"code": phone.code(after)});
    let done = house.check(post("/totp/activate", &code).by(token), 200, &json!({"success": true}));
    (phone, texts(&done["recovery_codes"]))
}

fn sign_in(name: &str, code: &str) -> Ask {
    login(&json!({"username": name, "password": PASSWORD, "code": code}))
}

#[test]
fn a_code_is_asked_for_behind_the_right_password_and_taken_once() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "planner");
    let shown = house.check(
        ask("POST", "/totp/provision").by(&anna),
        200,
        &json!({"expires_at": "2026-01-15T08:05:00.000Z"}),
    );
    let uri = shown["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/") && uri.contains("algorithm=SHA256"), "{uri}");
    assert!(shown["qr_svg"].as_str().unwrap().starts_with("<svg"));
    let phone = Phone::of(&shown["secret"]);
    // Until its first code it is not asked for.
    house.check(sign_in("anna", ""), 200, &json!({"second_factor": false}));
    let activate = |code: &str| post("/totp/activate", &json!({"code": code})).by(&anna);
    house.refuses(activate("abc"), 400, "second_factor_wrong");
    let done = house.check(activate(&phone.code(0)), 200, &json!({"success": true}));
    let codes = texts(&done["recovery_codes"]);
    assert!(codes.len() == 5 && codes.iter().all(|c| c.len() == 9 && c.as_bytes()[4] == b'-'));
    house.refuses(activate(&phone.code(0)), 404, "second_factor_not_pending");
    house.check(get("/auth/me").by(&anna), 200, &json!({"second_factor": true}));
    house.check(get("/admin/users/2").by(&admin), 200, &json!({"second_factor": true}));
    let status = || get("/totp/recovery/status").by(&anna);
    house.check(
        status(),
        200,
        &json!({"enabled": true, "remaining": 5, "total": 5, "required": false, "enrolled_at": "2026-01-15T08:00:00.000Z"}),
    );

    // Who does not know the password is not told that there is more.
    house.refuses(login(&json!({"username": "anna", "password": "x"})), 401, "bad_credentials");
    house.refuses(sign_in("anna", ""), 401, "second_factor_required");
    // The code that set it up was used.
    house.refuses(sign_in("anna", &phone.code(0)), 401, "second_factor_wrong");
    house.clock.pass(Duration::from_secs(30));
    let spaced = format!(" {} {} ", &phone.code(30)[..3], &phone.code(30)[3..]);
    let answer = house.check(sign_in("anna", &spaced), 200, &json!({"second_factor": true}));
    let token = answer["access_token"].as_str().unwrap();
    let sessions = house.ask(get("/sessions").by(token)).json();
    let current = sessions["sessions"].as_array().unwrap().iter().find(|s| s["current"] == true);
    assert_eq!(current.unwrap()["way"], "second_factor");
    house.refuses(sign_in("anna", &phone.code(30)), 401, "second_factor_wrong");
    // Nor is an older one good after it, though its step is still in the window.
    house.refuses(sign_in("anna", &phone.code(0)), 401, "second_factor_wrong");
    // A phone may be half a minute ahead, not more.
    house.refuses(sign_in("anna", &phone.code(120)), 401, "second_factor_wrong");
    let other = format!("username=anna&password=un+mot+de+passe+assez+long&otp={}", phone.code(60));
    let form = ask("POST", "/auth/token").raw("application/x-www-form-urlencoded", other);
    house.check(form, 200, &json!({"token_type": "bearer"}));
    house.clock.pass(Duration::from_secs(60));
    let validate = |code: &str| post("/totp/validate", &json!({"code": code})).by(&anna);
    house.check(validate(&phone.code(90)), 200, &json!({"valid": true}));
    house.refuses(validate(&phone.code(90)), 400, "second_factor_wrong");

    // A recovery code is good in the place of a code, once, however it is typed.
    let typed = codes[0].to_lowercase().replace('-', " ");
    house.check(sign_in("anna", &typed), 200, &json!({}));
    house.refuses(sign_in("anna", &codes[0]), 401, "second_factor_wrong");
    let recover =
        |code: &str| post("/totp/recovery/use", &json!({"recovery_code": code})).by(&anna);
    house.check(recover(&codes[1]), 200, &json!({"valid": true, "remaining": 3}));
    house.refuses(recover(&codes[1]), 400, "second_factor_wrong");
    house.check(status(), 200, &json!({"remaining": 3}));

    let journaled = |deed: &str| deeds(&house, deed).len();
    assert_eq!((journaled("second_factor.enrol"), journaled("second_factor.recovery_use")), (1, 2));
    let all = house.app().desks().system.store.read(|view| links(view, 1, 10_000)).unwrap();
    let written = format!("{all:?}");
    let secret = shown["secret"].as_str().unwrap();
    assert!(!written.contains(secret) && codes.iter().all(|code| !written.contains(code)));
}

#[test]
fn what_is_kept_opens_nothing() {
    let (house, admin) = House::ready();
    let (phone, codes) = enrolled(&house, &admin, 0);
    let store = &house.app().desks().system.store;
    let rows = store.read(|view| view.list(&SECOND_FACTORS, &all(), 9)).unwrap();
    let (_, factor) = &rows[0];
    assert!(!factor.secret.windows(phone.0.len()).any(|part| part == phone.0));
    assert_eq!(factor.recovery.len(), codes.len());
    assert!(codes.iter().all(|code| !format!("{factor:?}").contains(&code.replace('-', ""))));
    // A row that is moved to another user does not open there.
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let (moved, me) = (factor.clone(), house.ask(get("/auth/me").by(&anna)).json());
    let id = me["uuid"].as_str().unwrap().parse().unwrap();
    store
        .write(move |tx| {
            tx.put(&SECOND_FACTORS, &id, &moved)?;
            tx.journal(
                &ilot::base::caller::Caller::task("test"),
                ilot::store::Deed::new("test", ""),
            )
        })
        .unwrap();
    house.clock.pass(Duration::from_secs(30));
    house.refuses(sign_in("anna", &phone.code(30)), 503, "secret_sealed_elsewhere");
}

#[test]
fn a_secret_waits_five_minutes_for_its_first_code() {
    let (house, admin) = House::ready();
    let shown = house.check(ask("POST", "/totp/provision").by(&admin), 200, &json!({}));
    let phone = Phone::of(&shown["secret"]);
    let activate =
        |after: u64| post("/totp/activate", &json!({"code": phone.code(after)})).by(&admin);
    house.clock.pass(Duration::from_secs(300));
    house.refuses(activate(300), 404, "second_factor_not_pending");
    // Whoever finds an open session cannot set a second factor up in it, nor take one away.
    for one in [
        "/totp/provision",
        "/totp/disable",
        "/totp/recovery/regenerate",
        "/admin/users/1/totp/reset",
    ] {
        house.refuses(ask("POST", one).by(&admin), 403, "step_up_required");
    }
    for (path, body) in [
        ("/totp/validate", json!({"code": "123456"})),
        ("/totp/recovery/use", json!({"recovery_code": "ABCD-EFGH"})),
    ] {
        house.refuses(post(path, &body).by(&admin), 404, "second_factor_not_enrolled");
    }
}

#[test]
fn five_wrong_codes_close_the_factor_for_a_quarter_of_an_hour() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let (phone, codes) = enrolled(&house, &anna, 0);
    for _ in 0..4 {
        house.refuses(sign_in("anna", "000000"), 401, "second_factor_wrong");
    }
    let last = house.ask(sign_in("anna", "000000"));
    assert_eq!((last.status, last.header("retry-after")), (403, "900"), "{}", last.json());
    assert_eq!(last.json()["code"], "second_factor_locked");
    house.clock.pass(Duration::from_secs(60));
    for further in [
        sign_in("anna", &phone.code(60)),
        sign_in("anna", &codes[0]),
        post("/totp/validate", &json!({"code": phone.code(60)})).by(&anna),
        post("/totp/recovery/use", &json!({"recovery_code": codes[0]})).by(&anna),
        post("/auth/step-up", &json!({"password": PASSWORD, "code": phone.code(60)})).by(&anna),
    ] {
        house.refuses(further, 429, "too_many_attempts");
    }
    let refused = deeds(&house, "second_factor.refuse");
    assert_eq!((refused.len(), refused[4].object.as_str()), (5, "anna"));
    assert_eq!(refused[4].after.as_deref(), Some(r#"{"code":"second_factor_locked"}"#));
    // Others are not held up, and this one is not for longer than was said.
    house.sign_in("chef");
    house.clock.pass(Duration::from_secs(841));
    house.check(sign_in("anna", &phone.code(901)), 200, &json!({}));
}

#[test]
fn a_fresh_password_wants_its_code_too() {
    let (house, admin) = House::ready();
    let (phone, codes) = enrolled(&house, &admin, 0);
    house.clock.pass(Duration::from_mins(6));
    let step_up = |body: Value| post("/auth/step-up", &body).by(&admin);
    house.refuses(step_up(json!({"password": PASSWORD})), 401, "second_factor_required");
    house.refuses(
        step_up(json!({"password": PASSWORD, "code": "000000"})),
        401,
        "second_factor_wrong",
    );
    house.refuses(
        step_up(json!({"password": "x", "code": phone.code(360)})),
        401,
        "bad_credentials",
    );
    house.refuses(ask("POST", "/totp/recovery/regenerate").by(&admin), 403, "step_up_required");
    house.check(step_up(json!({"password": PASSWORD, "code": phone.code(360)})), 200, &json!({}));
    let new = house.check(
        ask("POST", "/totp/recovery/regenerate").by(&admin),
        200,
        &json!({"success": true}),
    );
    let new = texts(&new["recovery_codes"]);
    let recover =
        |code: &str| post("/totp/recovery/use", &json!({"recovery_code": code})).by(&admin);
    house.refuses(recover(&codes[0]), 400, "second_factor_wrong");
    house.check(recover(&new[0]), 200, &json!({"remaining": 4}));
    house.check(ask("POST", "/totp/disable").by(&admin), 200, &json!({"success": true}));
    house.sign_in("chef");
    assert_eq!(deeds(&house, "second_factor.disable").len(), 1);
}

#[test]
fn a_role_may_ask_for_one_and_holds_its_people_until_then() {
    let (house, admin) = House::ready();
    let (number, anna) = house.person(&admin, "anna", "planner");
    let roles = house.ask(get("/admin/roles").by(&admin)).json();
    let role = roles.as_array().unwrap().iter().find(|role| role["name"] == "planner").unwrap();
    let wish = |needs: bool| {
        put(&format!("/admin/roles/{}", role["id"]), &json!({"second_factor": needs}))
    };
    house.check(wish(true).by(&admin), 200, &json!({"second_factor": true}));
    // At once, also in a session that was there before.
    house.check(get("/auth/me").by(&anna), 200, &json!({"hold": "enrol_second_factor"}));
    house.refuses(get("/rag/documents").by(&anna), 403, "second_factor_enrolment_required");
    house.check(sign_in("anna", ""), 200, &json!({"hold": "enrol_second_factor"}));
    house.check(
        get("/totp/recovery/status").by(&anna),
        200,
        &json!({"required": true, "enabled": false}),
    );
    let (phone, _) = enrolled(&house, &anna, 0);
    house.check(get("/auth/me").by(&anna), 200, &json!({"hold": null}));
    house.check(get("/rag/documents").by(&anna), 200, &json!({}));
    house.refuses(ask("POST", "/totp/disable").by(&anna), 409, "second_factor_needed_by_role");
    // Lost with the phone, an administrator takes it away; then it has to be set up again.
    let reset = || ask("POST", &format!("/admin/users/{number}/totp/reset"));
    house.refuses(reset().by(&anna), 403, "right_missing");
    house.check(reset().by(&admin), 200, &json!({"success": true}));
    house.refuses(reset().by(&admin), 404, "second_factor_not_enrolled");
    house.refuses(get("/rag/documents").by(&anna), 403, "second_factor_enrolment_required");
    house.check(wish(false).by(&admin), 200, &json!({}));
    house.check(get("/rag/documents").by(&anna), 200, &json!({}));
    assert_eq!(deeds(&house, "second_factor.reset")[0].object, "anna");
    // Who leaves leaves it behind, too.
    enrolled(&house, &anna, 0);
    let away = |dry: &str| ask("POST", &format!("/admin/users/{number}/offboard{dry}")).by(&admin);
    house.check(away("?dry_run=true"), 200, &json!({"taken": {"second_factors": 1}}));
    house.check(away(""), 200, &json!({"taken": {"second_factors": 1}}));
    let store = &house.app().desks().system.store;
    assert_eq!(store.read(|view| view.count(SECOND_FACTORS.name)).unwrap(), 0);
    drop(phone);
}

#[test]
fn a_workstation_is_no_way_around_a_second_factor() {
    let (house, admin) =
        House::ready_with(&[("identity.workstation_login.networks", "10.0.0.0/24")]);
    let body = json!({"username": "anna", "password": PASSWORD, "workstation": true});
    house.check(post("/admin/users", &body).by(&admin), 201, &json!({}));
    let without = || login(&json!({"username": "anna"})).from("10.0.0.5");
    house.check(without(), 200, &json!({}));
    let anna = house.sign_in("anna");
    enrolled(&house, &anna, 0);
    house.refuses(without(), 401, "bad_credentials");
}
