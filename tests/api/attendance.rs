//! Presence as phones, kiosks and the office meet it: Chrona's examples, and a day at the door.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{Ask, House, NOW, PASSWORD, ask, get, post};

/// A box with an office, a phone and a kiosk.
struct Depot {
    house: House,
    admin: String,
    anna: String,
    anna_number: u64,
    device: u64,
    kiosk: u64,
    key: String,
}

impl Depot {
    fn open() -> Self {
        let (house, admin) = House::ready();
        let (anna_number, anna) = house.person(&admin, "anna", "user");
        let device = register(&house, &anna, "téléphone-anna");
        let (kiosk, key) = kiosk(&house, &admin, "Quai 1");
        Self { house, admin, anna, anna_number, device, kiosk, key }
    }

    fn pass(&self) -> String {
        pass(&self.house, &self.anna, self.device)
    }

    fn validate(&self, body: &Value) -> Ask {
        post("/punch/validate", body).header("x-kiosk-api-key", &self.key)
    }

    /// Anna holds her phone before the kiosk.
    fn punches(&self, kind: &str) -> Value {
        let body = json!({"qr_token": self.pass(), "punch_type": kind});
        let wanted = json!({"success": true, "user_id": self.anna_number, "punch_type": kind});
        self.house.check(self.validate(&body), 200, &wanted)
    }
}

fn register(house: &House, token: &str, fingerprint: &str) -> u64 {
    let body = json!({"device_fingerprint": fingerprint, "device_name": "Téléphone"});
    let wanted =
        json!({"device_fingerprint": fingerprint, "is_revoked": false, "attestation_data": null});
    let device = house.check(post("/devices/register", &body).by(token), 201, &wanted);
    device["id"].as_u64().unwrap()
}

fn pass(house: &House, token: &str, device: u64) -> String {
    let ask = post("/punch/request-token", &json!({"device_id": device})).by(token);
    house.check(ask, 200, &json!({"expires_in": 30}))["qr_token"].as_str().unwrap().to_owned()
}

fn kiosk(house: &House, admin: &str, name: &str) -> (u64, String) {
    let body = json!({"kiosk_name": name, "location": "Portail"});
    let made =
        house.check(post("/admin/kiosks", &body).by(admin), 201, &json!({"is_active": true}));
    let id = made["id"].as_u64().unwrap();
    let told = house.check(
        ask("POST", &format!("/admin/kiosks/{id}/generate-api-key")).by(admin),
        200,
        &json!({"kiosk_id": id, "kiosk_name": name}),
    );
    (id, told["api_key"].as_str().unwrap().to_owned())
}

#[test]
fn the_examples_of_chrona_work_as_they_stand() {
    let (house, _) = House::ready_with(&[("identity.registration", "open")]);
    let account = json!({"email": "dev@example.com", "password": "Passw0rd!Passw0rd!"});
    house.check(post("/auth/register", &account), 201, &json!({"email": "dev@example.com"}));
    let form = "username=dev%40example.com&password=Passw0rd!Passw0rd!";
    let token = house.check(
        ask("POST", "/auth/token").raw("application/x-www-form-urlencoded", form),
        200,
        &json!({"token_type": "bearer"}),
    );
    let token = token["access_token"].as_str().unwrap();
    house.check(get("/auth/me").by(token), 200, &json!({"email": "dev@example.com"}));
    let device = register(&house, token, "dev-1");
    house.check(get("/devices/me").by(token), 200, &json!([{"id": device}]));
    pass(&house, token, device);
}

#[test]
fn a_day_at_the_door() {
    let depot = Depot::open();
    let house = &depot.house;
    let came = depot.punches("clock_in");
    house.clock.pass(Duration::from_hours(4));
    depot.punches("break_start");
    house.clock.pass(Duration::from_mins(45));
    depot.punches("break_end");
    house.clock.pass(Duration::from_hours(4));
    depot.punches("clock_out");
    let kinds = ["clock_out", "break_end", "break_start", "clock_in"];
    let wanted: Vec<_> = kinds.iter().map(|kind| json!({"punch_type": kind})).collect();
    let history = house.check(get("/punch/history").by(&depot.anna), 200, &json!(wanted));
    assert_eq!(history[3]["id"], came["punch_id"]);
    assert_eq!(history[3]["punched_at"], json!(NOW));
    house.check(get("/admin/punches?limit=2").by(&depot.admin), 200, &json!([{}, {}]));
}

#[test]
fn a_pass_is_taken_once_and_lives_as_long_as_it_says() {
    let depot = Depot::open();
    let house = &depot.house;
    let body = json!({"qr_token": depot.pass(), "punch_type": "clock_in", "kiosk_id": depot.kiosk});
    let first = house.check(depot.validate(&body).header("idempotency-key", "a"), 200, &json!({}));
    // The kiosk that heard no answer asks again; whoever photographed the pass does not get through.
    let again = house.check(depot.validate(&body).header("idempotency-key", "a"), 200, &json!({}));
    assert_eq!(first, again);
    house.refuses(depot.validate(&body), 400, "pass_used");
    let events = get("/admin/audit-logs?event_type=punch_replay_attempt").by(&depot.admin);
    house.check(events, 200, &json!([{"event_type": "punch_replay_attempt"}]));
    // The clock that is set back or forward neither revives nor kills.
    let pass = depot.pass();
    house.clock.set_wall(NOW.plus(Duration::from_hours(5)));
    house.check(depot.validate(&json!({"qr_token": pass})), 200, &json!({"success": true}));
    let pass = depot.pass();
    house.clock.pass(Duration::from_secs(31));
    house.clock.set_wall(NOW);
    house.refuses(depot.validate(&json!({"qr_token": pass})), 400, "pass_expired");
    let pass = depot.pass();
    house.clock.boot_anew();
    house.refuses(depot.validate(&json!({"qr_token": pass})), 400, "pass_expired");
}

#[test]
fn a_pass_is_no_sign_in_and_a_sign_in_is_no_pass() {
    let depot = Depot::open();
    let house = &depot.house;
    let reply = house.ask(get("/auth/me").by(&depot.pass()));
    assert_eq!(reply.status, 401);
    house.refuses(depot.validate(&json!({"qr_token": depot.anna})), 400, "pass_malformed");
    house.refuses(depot.validate(&json!({"qr_token": "x.y.z"})), 400, "pass_malformed");
}

#[test]
fn a_kiosk_proves_which_it_is() {
    let depot = Depot::open();
    let house = &depot.house;
    let (other, _) = kiosk(house, &depot.admin, "Quai 2");
    let of = |kiosk: u64| json!({"qr_token": depot.pass(), "kiosk_id": kiosk});
    house.refuses(post("/punch/validate", &of(depot.kiosk)), 404, "kiosk_unknown");
    house.refuses(post("/punch/validate", &of(depot.kiosk)).by(&depot.admin), 404, "kiosk_unknown");
    house.refuses(depot.validate(&of(other)), 403, "kiosk_mismatch");
    let path = format!("/admin/kiosks/{}", depot.kiosk);
    let patch = |body: &Value| ask("PATCH", &path).json(body).by(&depot.admin);
    house.check(patch(&json!({"is_active": false})), 200, &json!({"is_active": false}));
    house.refuses(depot.validate(&of(depot.kiosk)), 403, "kiosk_inactive");
    house.check(patch(&json!({"is_active": true})), 200, &json!({"is_active": true}));
    // Chrona's open door is there for who switches it on.
    house.check(patch(&json!({"trust": "anyone"})), 200, &json!({"trust": "anyone"}));
    house.check(post("/punch/validate", &of(depot.kiosk)), 200, &json!({"success": true}));
}

#[test]
fn a_kiosk_lets_in_whom_it_may() {
    let depot = Depot::open();
    let house = &depot.house;
    let path = |rest: &str| format!("/admin/kiosks/{}/{rest}", depot.kiosk);
    let mode = ask("PATCH", &path("access-mode")).json(&json!({"access_mode": "whitelist"}));
    house.check(mode.by(&depot.admin), 200, &json!({"kiosk": {"access_mode": "whitelist"}}));
    let scan = || depot.validate(&json!({"qr_token": depot.pass()}));
    house.refuses(scan(), 403, "kiosk_closed_to_you");
    let grant = post(&path("grant-access"), &json!({"user_id": depot.anna_number}));
    house.check(grant.by(&depot.admin), 200, &json!({"access": {"granted": true}}));
    house.check(scan(), 200, &json!({"success": true}));
    let block = post(&path("block-access"), &json!({"user_id": depot.anna_number}));
    house.check(block.by(&depot.admin), 200, &json!({"access": {"granted": false}}));
    house.refuses(scan(), 403, "kiosk_closed_to_you");
}

#[test]
fn a_revoked_phone_shows_no_pass() {
    let depot = Depot::open();
    let house = &depot.house;
    let pass = depot.pass();
    let revoke = ask("POST", &format!("/devices/{}/revoke", depot.device));
    house.check(revoke.clone().by(&depot.anna), 200, &json!({"is_revoked": true}));
    house.refuses(revoke.by(&depot.anna), 400, "device_revoked_already");
    house.refuses(depot.validate(&json!({"qr_token": pass})), 403, "device_revoked");
    let ask_pass = post("/punch/request-token", &json!({"device_id": depot.device}));
    house.refuses(ask_pass.by(&depot.anna), 403, "device_revoked");
    // A fingerprint is free again after that.
    register(house, &depot.anna, "téléphone-anna");
}

#[test]
fn somebody_joins_with_a_code_of_the_office() {
    let (house, admin) = House::ready();
    let draft = json!({"employee_email": "Paul@example.com", "employee_name": "Paul"});
    let code =
        house.check(post("/admin/hr-codes", &draft).by(&admin), 201, &json!({"is_used": false}));
    let same = house.check(post("/admin/hr-codes", &draft).by(&admin), 201, &json!({}));
    assert_eq!(code, same, "one code for one address");
    let begin = |code: &str, email: &str| {
        post("/onboarding/initiate", &json!({"hr_code": code, "email": email}))
    };
    let text = code["code"].as_str().unwrap();
    house.refuses(begin("EMPL-2026-XXXXX", "paul@example.com"), 400, "hr_code_invalid");
    house.refuses(begin(text, "anna@example.com"), 400, "hr_code_email");
    let begun = house.check(
        begin(text, "paul@example.com"),
        200,
        &json!({"success": true, "step": "otp_sent"}),
    );
    let token = begun["session_token"].as_str().unwrap();
    let verify = |word: &str| {
        post("/onboarding/verify-otp", &json!({"session_token": token, "otp_code": word}))
    };
    house.refuses(verify("000000"), 400, "otp_wrong");
    let waiting = house.check(get("/admin/onboarding").by(&admin), 200, &json!([{"attempts": 1}]));
    let path = format!("/admin/onboarding/{}/code", waiting[0]["id"].as_str().unwrap());
    let word = house.check(ask("POST", &path).by(&admin), 200, &json!({}));
    house.check(
        verify(word["otp_code"].as_str().unwrap()),
        200,
        &json!({"step": "device_attestation"}),
    );
    let end = |password: &str| {
        post(
            "/onboarding/complete",
            &json!({"session_token": token, "password": password,
                    "device_fingerprint": "p1", "device_name": "Téléphone de Paul"}),
        )
    };
    house.check(end("court"), 422, &json!({"code": "validation"}));
    let done = house.check(end(PASSWORD), 200, &json!({"success": true}));
    let paul = done["access_token"].as_str().unwrap();
    house.check(get("/devices/me").by(paul), 200, &json!([{"id": done["device_id"]}]));
    house.refuses(end(PASSWORD), 400, "onboarding_step");
    house.refuses(begin(text, "paul@example.com"), 400, "hr_code_used");
    let used = get("/admin/hr-codes?include_used=true").by(&admin);
    house.check(used, 200, &json!([{"is_used": true}]));
}
