//! Presence as phones, kiosks and the office meet it: Chrona's examples, and a day at the door.

use std::collections::BTreeSet;
use std::time::Duration;

use ilot::base::id::Id;
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
        // Days may lie between two punches: her session would be over.
        pass(&self.house, &self.house.sign_in("anna"), self.device)
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
    let place = format!("/admin/kiosks/{}", depot.kiosk);
    let patch = |body: &Value| ask("PATCH", &place).json(body).by(&depot.admin);
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
    let paper = code["code"].as_str().unwrap();
    house.refuses(begin("EMPL-2026-XXXXX", "paul@example.com"), 400, "hr_code_invalid");
    house.refuses(begin(paper, "anna@example.com"), 400, "hr_code_email");
    let under_way = house.check(
        begin(paper, "paul@example.com"),
        200,
        &json!({"success": true, "step": "otp_sent"}),
    );
    let token = under_way["session_token"].as_str().unwrap();
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
    house.refuses(begin(paper, "paul@example.com"), 400, "hr_code_used");
    let used = get("/admin/hr-codes?include_used=true").by(&admin);
    house.check(used, 200, &json!([{"is_used": true}]));
}

#[test]
fn a_correction_keeps_what_was_punched() {
    let depot = Depot::open();
    let house = &depot.house;
    depot.punches("clock_in");
    house.clock.pass(Duration::from_hours(8));
    let at = NOW.plus(Duration::from_hours(7));
    let change = json!({"change": {"add": {"kind": "clock_out", "at": at}}, "reason": "oublié"});
    let asked = house.check(
        post("/attendance/corrections", &change).by(&depot.anna),
        201,
        &json!({"decision": "open"}),
    );
    let path = format!("/attendance/corrections/{}/approve", asked["id"]);
    house.refuses(post(&path, &json!({})).by(&depot.anna), 403, "right_missing");
    house.check(post(&path, &json!({})).by(&depot.admin), 200, &json!({"decision": "approved"}));
    let day = house.check(get("/attendance/day?date=2026-01-15").by(&depot.admin), 200, &json!({}));
    assert!(day.to_string().contains("\"worked\":420"), "{day}");
    house.check(get("/punch/history").by(&depot.anna), 200, &json!([{"punch_type": "clock_in"}]));
}

#[test]
fn the_office_sees_who_is_here() {
    let depot = Depot::open();
    let house = &depot.house;
    let board = |wanted: &str| {
        let board = house.check(get("/attendance/board").by(&depot.admin), 200, &json!({}));
        assert!(board.to_string().contains(wanted), "{wanted}: {board}");
    };
    depot.punches("clock_in");
    board("\"state\":\"present\"");
    depot.punches("break_start");
    board("\"state\":\"on_break\"");
    depot.punches("clock_out");
    house.refuses(get("/attendance/board").by(&depot.anna), 403, "right_missing");
}

#[test]
fn a_schedule_tells_who_is_late() {
    let depot = Depot::open();
    let house = &depot.house;
    let shift = json!({"from": 480, "until": 960, "pause": 60});
    let days = json!([shift, shift, shift, shift, shift, null, null]);
    let made = post("/attendance/schedules", &json!({"name": "Jour", "days": days}));
    let made = house.check(made.by(&depot.admin), 201, &json!({"name": "Jour"}));
    let follow = super::ask::put(
        &format!("/attendance/people/{}/schedule", depot.anna_number),
        &json!({"schedule_id": made["id"], "from": "2026-01-01"}),
    );
    house.check(follow.by(&depot.admin), 200, &json!({}));
    // 09:00 in Paris, an hour after the shift begins.
    depot.punches("clock_in");
    let day = house.check(get("/attendance/day?date=2026-01-15").by(&depot.admin), 200, &json!({}));
    assert!(day.to_string().contains("\"late\":60"), "{day}");
}

#[test]
fn a_month_is_closed_once_it_is_over_and_settled() {
    let depot = Depot::open();
    let house = &depot.house;
    depot.punches("clock_in");
    house.clock.pass(Duration::from_hours(8));
    depot.punches("clock_out");
    let admin = house.sign_in("chef");
    let close = || post("/attendance/closings/2026-01", &json!({})).by(&admin);
    house.refuses(close(), 409, "month_not_over");
    house.clock.pass(Duration::from_hours(24 * 20));
    let admin = house.sign_in("chef");
    let close = || post("/attendance/closings/2026-01", &json!({})).by(&admin);
    let wish = json!({"change": {"add": {"kind": "clock_in", "at": NOW}}, "reason": "essai"});
    let wish = post("/attendance/corrections", &wish).by(&admin);
    let asked = house.check(wish.clone(), 201, &json!({}));
    house.refuses(close(), 409, "month_unsettled");
    let path = format!("/attendance/corrections/{}/approve", asked["id"]);
    house.refuses(post(&path, &json!({})).by(&admin), 403, "own_correction");
    let path = format!("/attendance/corrections/{}/withdraw", asked["id"]);
    house.check(post(&path, &json!({})).by(&admin), 200, &json!({"decision": "withdrawn"}));
    house.refuses(post(&path, &json!({})).by(&admin), 409, "correction_decided");
    let plan = get("/attendance/closings/2026-01").by(&admin);
    house.check(plan, 200, &json!({"over": true, "open_corrections": 0, "open_days": 0}));
    let closed = house.check(close(), 200, &json!({"closed": true, "times": 1}));
    house.refuses(close(), 409, "month_closed");
    house.refuses(wish, 409, "month_closed");
    let anna = format!("/attendance/month?month=2026-01&user_id={}", depot.anna_number);
    house.check(get(&anna).by(&admin), 200, &json!({"closed": true, "totals": {"worked": 480}}));
    let payroll = house.ask(get("/attendance/payroll?month=2026-01").by(&admin));
    let text = String::from_utf8(payroll.bytes).unwrap();
    assert!(text.contains(&format!("2026-01,{},anna,anna,1,480,0,", depot.anna_number)), "{text}");
    let rules = house.check(get("/attendance/rules").by(&admin), 200, &json!([{}]))[0].clone();
    let mut rules = rules;
    rules["from"] = json!("2026-01-12");
    house.refuses(super::ask::put("/attendance/rules", &rules).by(&admin), 409, "month_closed");
    let open = post("/attendance/closings/2026-01/reopen", &json!({"reason": "oubli"}));
    let wanted = json!({"closed": false, "reason": "oubli", "sha256": closed["sha256"]});
    house.check(open.by(&admin), 200, &wanted);
    house.check(close(), 200, &json!({"times": 2, "sha256": closed["sha256"]}));
}

#[test]
fn a_going_that_nobody_punched_is_proposed_once() {
    let depot = Depot::open();
    let house = &depot.house;
    depot.punches("clock_in");
    house.clock.pass(Duration::from_hours(7));
    depot.punches("clock_out");
    house.clock.pass(Duration::from_hours(17));
    depot.punches("clock_in");
    let desk = &house.app().desks().attendance;
    assert_eq!(desk.propose_goings().unwrap(), 0, "the person may still be here");
    house.clock.pass(Duration::from_hours(17));
    assert_eq!((desk.propose_goings().unwrap(), desk.propose_goings().unwrap()), (1, 0));
    // At the hour of the last going.
    let at = NOW.plus(Duration::from_hours(31));
    let wanted = json!([{"proposed": true, "change": {"add": {"kind": "clock_out", "at": at}}}]);
    let admin = house.sign_in("chef");
    let open = get("/attendance/corrections?open=true").by(&admin);
    let open = house.check(open, 200, &wanted);
    let path = format!("/attendance/corrections/{}/refuse", open[0]["id"]);
    house.check(post(&path, &json!({"remark": "non"})).by(&admin), 200, &json!({}));
    assert_eq!(desk.propose_goings().unwrap(), 0, "what was refused is not proposed again");
}

#[test]
fn of_two_corrections_about_a_punch_the_later_one_counts() {
    let depot = Depot::open();
    let house = &depot.house;
    let came = depot.punches("clock_in");
    house.clock.pass(Duration::from_hours(8));
    depot.punches("clock_out");
    house.clock.pass(Duration::from_hours(40));
    let (admin, anna) = (house.sign_in("chef"), house.sign_in("anna"));
    let moves = |hours: u64| {
        let at = NOW.plus(Duration::from_hours(hours));
        let change = json!({"move": {"punch_id": came["punch_id"], "at": at}});
        let wish = json!({"change": change, "reason": "décalé"});
        let wish = post("/attendance/corrections", &wish).by(&anna);
        let asked = house.check(wish, 201, &json!({"was": "clock_in"}));
        let path = format!("/attendance/corrections/{}/approve", asked["id"]);
        house.check(post(&path, &json!({})).by(&admin), 200, &json!({}));
        asked["id"].clone()
    };
    let worked = |date: &str| {
        let day = house.ask(get(&format!("/attendance/day?date={date}")).by(&admin)).json();
        day[0]["worked"].as_u64()
    };
    moves(26);
    assert_eq!((worked("2026-01-15"), worked("2026-01-16")), (Some(0), Some(0)));
    // Back to its own day: the sheet of the day after does not know of it any more.
    let last = moves(1);
    assert_eq!((worked("2026-01-15"), worked("2026-01-16")), (Some(420), None));
    let path = format!("/attendance/corrections/{last}/withdraw");
    house.check(post(&path, &json!({})).by(&admin), 200, &json!({"decision": "withdrawn"}));
    assert_eq!((worked("2026-01-15"), worked("2026-01-16")), (Some(0), Some(0)));
}

#[test]
fn what_plan_b_kept_becomes_a_punch() {
    let depot = Depot::open();
    let house = &depot.house;
    let me = house.ask(get("/auth/me").by(&depot.anna)).json();
    let body = |direction: &str| json!({"person": me["uuid"], "direction": direction});
    house.arrive("punch", body("in"));
    let wanted = json!([{"way": "plan_b", "punch_type": "clock_in", "flags": []}]);
    house.check(get("/punch/history").by(&depot.anna), 200, &wanted);
    let board = json!({"inside": 1, "people": [{"state": "present"}, {"state": "away"}]});
    house.check(get("/attendance/board").by(&depot.admin), 200, &board);
    // Twice the same way is odd, and taken all the same.
    house.arrive("punch", body("in"));
    // Of one millisecond: which of them is listed first says nothing.
    let history = house.ask(get("/punch/history").by(&depot.anna)).json();
    let odd = |punch: &&Value| punch["flags"] == json!(["out_of_order"]);
    assert_eq!(history.as_array().unwrap().iter().filter(odd).count(), 1, "{history}");
    // Nobody's punch waits for a person; so does what is no punch.
    house.arrive("punch", json!({"person": Id::new(NOW), "direction": "in"}));
    house.arrive("punch", json!({"person": me["uuid"], "direction": "sideways"}));
    let open = house.ask(get("/continuity/arrivals?open=true").by(&depot.admin)).json();
    let codes = open["items"].as_array().unwrap().iter().map(|item| &item["outcome"]["code"]);
    // They arrived in one millisecond: their order says nothing.
    let codes: BTreeSet<_> = codes.map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes, BTreeSet::from(["punch_unreadable", "user_unknown"]), "{open}");
}

#[test]
fn a_personal_code_is_for_who_has_no_phone() {
    let depot = Depot::open();
    let house = &depot.house;
    let pin = |pin: &str| {
        let body = json!({"user_id": depot.anna_number, "pin": pin});
        post("/punch/pin", &body).header("x-kiosk-api-key", &depot.key)
    };
    house.refuses(pin("2580"), 403, "pins_off");
    let open = ask("PATCH", &format!("/admin/kiosks/{}", depot.kiosk)).json(&json!({"pins": true}));
    house.check(open.by(&depot.admin), 200, &json!({"pins": true}));
    house.refuses(pin("2580"), 400, "pin_wrong");
    let own = |pin: &str| super::ask::put("/attendance/me/pin", &json!({"pin": pin}));
    house.refuses(own("1111").by(&depot.anna), 422, "validation");
    house.check(own("2580").by(&depot.anna), 200, &json!({"set_at": NOW}));
    let wanted = json!({"punch_type": "clock_in", "user_name": "anna", "device_id": null});
    house.check(pin("2580"), 200, &wanted);
    house.clock.pass(Duration::from_hours(4));
    house.check(pin("2580"), 200, &json!({"punch_type": "clock_out"}));
    // The tenth wrong one is the last for a while, and the right one waits too.
    for _ in 0..10 {
        house.refuses(pin("2581"), 400, "pin_wrong");
    }
    house.refuses(pin("2580"), 429, "too_many_attempts");
    house.clock.pass(Duration::from_mins(16));
    house.check(pin("2580"), 200, &json!({"punch_type": "clock_in"}));
    house.check(ask("DELETE", "/attendance/me/pin").by(&depot.anna), 200, &json!({}));
    house.refuses(pin("2580"), 400, "pin_wrong");
}

#[test]
fn a_site_may_want_two_people_for_every_correction() {
    let approved = |house: &House, admin: &str| {
        let (anna, _) = house.person(admin, "anna", "user");
        let change = json!({"add": {"kind": "clock_in", "at": NOW}});
        let wish = json!({"user_id": anna, "change": change, "reason": "oublié"});
        let asked = house.check(post("/attendance/corrections", &wish).by(admin), 201, &json!({}));
        let path = format!("/attendance/corrections/{}/approve", asked["id"]);
        house.ask(post(&path, &json!({})).by(admin)).json()
    };
    let (house, admin) = House::ready();
    assert_eq!(approved(&house, &admin)["decision"], "approved");
    let (house, admin) = House::ready_with(&[("attendance.self_approval", "false")]);
    assert_eq!(approved(&house, &admin)["code"], "own_correction");
}

/// Every pass is shown at two of eight kiosks at the same time, as a photograph of it would be: one of them
/// takes it, and there are as many punches as passes.
#[test]
fn eight_kiosks_at_once_take_every_pass_once() {
    const PASSES: usize = 10_000;
    const KIOSKS: usize = 8;
    let depot = Depot::open();
    let house = &depot.house;
    let keys: Vec<_> =
        (0..KIOSKS).map(|n| kiosk(house, &depot.admin, &format!("Porte {n}")).1).collect();
    // A pass lives by the clock that this test holds: none of them ends.
    let one = |_: usize| pass(house, &depot.anna, depot.device);
    let issue = || (0..PASSES / KIOSKS).map(one).collect::<Vec<_>>();
    let passes: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..KIOSKS).map(|_| scope.spawn(issue)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let taken = std::thread::scope(|scope| {
        let take = |n: usize| {
            let (passes, key) = (&passes, &keys[n]);
            scope.spawn(move || {
                let mut taken = 0;
                for (at, pass) in passes.iter().enumerate() {
                    if at % KIOSKS != n && (at + 1) % KIOSKS != n {
                        continue;
                    }
                    let ask = post("/punch/validate", &json!({"qr_token": pass}));
                    let reply = house.ask(ask.header("x-kiosk-api-key", key));
                    match reply.status {
                        200 => taken += 1,
                        _ => assert_eq!(reply.json()["code"], "pass_used"),
                    }
                }
                taken
            })
        };
        let threads: Vec<_> = (0..KIOSKS).map(take).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(taken, PASSES);
    let stats = house.ask(get("/admin/dashboard/stats").by(&depot.admin)).json();
    assert_eq!(stats["today_punches"], PASSES);
}

#[test]
fn whoever_holds_two_phones_in_turn_is_remarked() {
    let depot = Depot::open();
    let house = &depot.house;
    let (_, paul) = house.person(&depot.admin, "paul", "user");
    let other = register(house, &paul, "téléphone-paul");
    depot.punches("clock_in");
    house.clock.pass(Duration::from_secs(1));
    let body = json!({"qr_token": pass(house, &paul, other), "punch_type": "clock_in"});
    house.check(depot.validate(&body), 200, &json!({}));
    house.clock.pass(Duration::from_secs(1));
    depot.punches("clock_out");
    let wanted = json!([{"flags": ["too_quick"]}, {"flags": []}]);
    house.check(get("/punch/history").by(&depot.anna), 200, &wanted);
    // Later it is a queue, as there is one every morning.
    house.clock.pass(Duration::from_mins(1));
    depot.punches("clock_in");
    let wanted = json!([{"flags": []}, {}, {}]);
    house.check(get("/punch/history").by(&depot.anna), 200, &wanted);
}
