//! The journal's lists, counts, chain and export, over a box's own door.

use std::io::Cursor;
use std::time::Duration;

use ilot::base::caller::Caller;
use ilot::domains::activity::SAME_READING;
use ilot::domains::activity::auditing::verify_file;
use ilot::domains::activity::records::{CHECKPOINTS, REQUESTS, VERIFIED};
use ilot::domains::activity::verification::Verdict;
use ilot::store::chain::Wrong;
use ilot::store::journal::{JOURNAL, Link, links};
use ilot::store::{Deed, Reader, all};
use serde_json::{Value, json};

use super::ask::{House, PASSWORD, get, post};

const DAY: Duration = Duration::from_hours(24);

fn journal(house: &House) -> Vec<Link> {
    house.app().desks().system.store.read(|view| links(view, 1, usize::MAX)).unwrap()
}

fn readings(house: &House) -> usize {
    journal(house).iter().filter(|link| link.deed == "activity.read").count()
}

fn act(house: &House, deed: &'static str, object: &str, after: &Value) {
    let deed = Deed::new(deed, object).after(after);
    house
        .app()
        .desks()
        .system
        .store
        .write(move |tx| tx.journal(&Caller::console("r"), deed))
        .unwrap();
}

#[test]
fn a_deed_is_told_in_the_words_of_every_client() {
    let (house, admin) = House::ready();
    let user = json!({"username": "anna", "password": PASSWORD, "role": "viewer"});
    let add =
        post("/admin/users", &user).by(&admin).header("user-agent", "Tomato/3").from("10.1.2.3");
    house.check(add, 201, &json!({}));
    let wrong = json!({"username": "=cmd", "password": "wrong password"});
    house.refuses(post("/auth/login", &wrong).from("10.9.9.9"), 401, "bad_credentials");
    let recent = house.check(get("/stats/activity/recent?limit=2").by(&admin), 200, &json!([{
        "username": "nobody", "action_type": "LOGIN_FAILED", "entity_type": "login",
        "entity_id": "?", "client_ip": "10.9.9.9",
    }, {
        "username": "Chef", "action_type": "CREATE", "entity_type": "user", "client_ip": "10.1.2.3",
    }]));
    let number = recent[1]["id"].as_u64().unwrap();
    let read = get("/admin/audit-logs?event_type=user.add&user_id=1&limit=1").by(&admin);
    let events = house.check(read, 200, &json!([{
        "id": number, "event_type": "user_add", "user_id": 1, "device_id": null, "kiosk_id": null,
        "ip_address": "10.1.2.3", "user_agent": "Tomato/3",
    }]));
    let data: Value = serde_json::from_str(events[0]["event_data"].as_str().unwrap()).unwrap();
    assert_eq!((&data["deed"], &data["after"]["username"]), (&json!("user.add"), &json!("anna")));
    let page = house.check(
        get(&format!("/admin/journal?limit=1&before_number={}", number + 1)).by(&admin),
        200,
        &json!({"items": [{
            "number": number, "who": "Chef", "door": "bearer", "address": "10.1.2.3",
            "agent": "Tomato/3", "deed": "user.add", "before": null, "action_type": "CREATE",
            "entity_type": "user", "doubtful": false, "after": {"username": "anna"},
        }]}),
    );
    assert!(page["items"][0]["session"].is_string() && page["items"][0]["user"].is_string());
    let all = serde_json::to_string(&page).unwrap();
    assert!(!all.contains("argon2"), "no secret is in the journal: {all}");
    let asked = get("/admin/audit-logs?user_id=999").by(&admin);
    assert_eq!(house.check(asked, 200, &json!([])), json!([]));
}

#[test]
fn lists_narrow_count_and_page() {
    let (house, _) = House::ready();
    for day in 0..4 {
        for n in 0..5 {
            act(&house, "mission.edit", &format!("{day}-{n}"), &json!({"kiosk_id": day}));
        }
        act(&house, "punch.validate", "p", &json!({"kiosk_id": day, "device_id": 7}));
        house.clock.pass(DAY);
    }
    let admin = house.sign_in("chef");
    // Whether the index of hours knows the links or not, the lists are the same.
    for indexed in [false, true] {
        if indexed {
            while house.app().desks().activity.index_hours().unwrap() {}
        }
        let total = |query: &str| {
            let page =
                house.check(get(&format!("/admin/logs?{query}")).by(&admin), 200, &json!({}));
            page["total"].as_u64().unwrap()
        };
        assert_eq!(total("action_type=UPDATE"), 20);
        assert_eq!(total("action_type=update,PUNCH_VALIDATE&username=SOLE"), 24);
        assert_eq!(total("action_type=UPDATE&date_start=2026-01-16&date_end=2026-01-17"), 10);
        assert_eq!(total("action_type=UPDATE&date_start=2026-01-18"), 5);
        assert_eq!(total("action_type=UPDATE&date_end=2026-01-15"), 5);
        assert_eq!(total("action_type=UPDATE&date_start=2026-01-16T08:00:00Z"), 15);
        assert_eq!(total("action_type=UPDATE&date_start=2026-01-16T08:00:00.001Z"), 10);
        assert_eq!(total("date_start=2030-01-01"), 0);
        // The day of the site's clock, not of Greenwich: these were done at nine in Paris.
        assert_eq!(total("action_type=UPDATE&date_start=2026-01-16T09:00:00"), 15);
        assert_eq!(total("action_type=UPDATE&date_end=2026-01-16T08:59:59"), 5);
        let page =
            get("/admin/logs?action_type=UPDATE&limit=3&offset=18&date_end=2026-01-30").by(&admin);
        house.check(
            page,
            200,
            &json!({"total": 20, "logs": [{"entity_id": "0-1"}, {"entity_id": "0-0"}]}),
        );
        let about = get("/admin/audit-logs?kiosk_id=2&device_id=7").by(&admin);
        house.check(
            about,
            200,
            &json!([{"event_type": "punch_validated", "kiosk_id": 2, "device_id": 7}]),
        );
        let named =
            get("/admin/audit-logs?event_type=punch_validated&from=2026-01-17&to=2026-01-17");
        house.check(named.by(&admin), 200, &json!([{"kiosk_id": 2}]));
    }
    // Pages by number meet every link once.
    let (mut before, mut seen) = (String::new(), Vec::new());
    loop {
        let path = format!("/admin/journal?limit=7&deed=mission.{before}");
        let page = house.check(get(&path).by(&admin), 200, &json!({}));
        let numbers: Vec<u64> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["number"].as_u64().unwrap())
            .collect();
        let Some(last) = numbers.last() else { break };
        before = format!("&before_number={last}");
        seen.extend(numbers);
    }
    assert!(seen.len() == 20 && seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    for (query, count) in [
        ("door=console", 24),
        ("who=conso&object=1-", 5),
        ("address=10.0.0.1", 0),
        ("deed=punch", 4),
        ("from=2026-01-18&deed=mission", 5),
        ("to=2026-01-15&deed=mission", 5),
    ] {
        let page = get(&format!("/admin/journal?{query}")).by(&admin);
        house.check(page, 200, &json!({"total": count}));
    }
}

#[test]
fn a_clock_that_went_back_hides_nothing_from_its_hour() {
    let (house, _) = House::ready();
    act(&house, "mission.edit", "early", &json!({}));
    house.clock.pass(DAY);
    act(&house, "mission.edit", "late", &json!({}));
    let now = super::ask::NOW;
    house.clock.set_wall(now);
    act(&house, "mission.edit", "back", &json!({}));
    while house.app().desks().activity.index_hours().unwrap() {}
    let admin = house.sign_in("chef");
    let day = get("/admin/logs?action_type=UPDATE&date_end=2026-01-15").by(&admin);
    house.check(
        day,
        200,
        &json!({"total": 2, "logs": [{"entity_id": "back"}, {"entity_id": "early"}]}),
    );
}

#[test]
fn people_are_counted_and_one_is_shown() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "Anna", "admin");
    house.person(&anna, "bob", "viewer");
    let rows = house.check(get("/stats/activity/users?days=1").by(&admin), 200, &json!({}));
    let rows = rows.as_array().unwrap();
    let of = |name: &str| rows.iter().find(|r| r["username"] == name).map(|r| &r["action_count"]);
    assert_eq!(of("Anna"), Some(&json!(2)), "{rows:?}");
    assert!(of("store-migration").is_none() && of("identity").is_none(), "{rows:?}");
    house.clock.pass(DAY * 3);
    let admin = house.sign_in("chef");
    house.check(
        get("/stats/activity/users?days=1").by(&admin),
        200,
        &json!([{"username": "Chef"}]),
    );
    house.check(
        get("/stats/users/ANNA").by(&admin),
        200,
        &json!({"username": "Anna", "total_actions": 2, "is_active": true, "role": "admin",
                "actions_by_type": {"LOGIN": 1, "CREATE": 1},
                "last_login": "2026-01-15T08:00:00.000Z", "last_activity": "2026-01-15T08:00:00.000Z"}),
    );
    let nobody = house.ask(get("/stats/users/personne").by(&admin));
    assert_eq!(nobody.status, 200);
    assert!(nobody.json()["error"].is_string());
}

#[test]
fn a_sheet_opens_in_a_spreadsheet_and_runs_nothing() {
    let (house, admin) = House::ready();
    let formula = json!({"username": "=HYPERLINK(\"x\")", "password": PASSWORD});
    house.check(post("/admin/users", &formula).by(&admin), 201, &json!({}));
    for (path, name) in [("/admin/logs", "journal"), ("/admin/audit-logs", "audit")] {
        let reply = house.ask(get(&format!("{path}?format=csv&limit=5")).by(&admin));
        assert!(reply.header("content-type").starts_with("text/csv"), "{path}");
        let file = format!("attachment; filename=\"{name}.csv\"");
        assert_eq!((reply.status, reply.header("content-disposition")), (200, file.as_str()));
        let text = String::from_utf8(reply.bytes).unwrap();
        assert!(text.starts_with("\u{feff}id,created_at,") && text.ends_with("\r\n"), "{text}");
        if path == "/admin/logs" {
            assert!(text.contains(",\"'=HYPERLINK(\"\"x\"\")\","), "{text}");
        }
    }
}

#[test]
fn reading_the_journal_is_journaled_once_in_a_while() {
    let (house, admin) = House::ready();
    let poll = || house.check(get("/admin/journal?deed=user.&limit=5").by(&admin), 200, &json!({}));
    for _ in 0..3 {
        poll();
    }
    assert_eq!(readings(&house), 1);
    let link = journal(&house).pop().unwrap();
    assert_eq!((link.who.as_str(), link.object.as_str()), ("Chef", "journal deed=user."));
    // The next page is the same reading; other filters and other lists are others.
    house.check(get("/admin/journal?deed=user.&before_number=3").by(&admin), 200, &json!({}));
    assert_eq!(readings(&house), 1);
    house.check(get("/admin/journal?deed=login.").by(&admin), 200, &json!({}));
    house.check(get("/stats/activity/recent").by(&admin), 200, &json!({}));
    let other = house.sign_in("chef");
    house.check(get("/stats/activity/recent").by(&other), 200, &json!({}));
    assert_eq!(readings(&house), 4);
    house.clock.pass(SAME_READING);
    poll();
    assert_eq!(readings(&house), 5);
}

#[test]
fn requests_are_counted_by_route_and_status_and_kept_for_a_while() {
    let (house, admin) = House::ready_with(&[("activity.request_days", "2")]);
    let desk = &house.app().desks().activity;
    for _ in 0..3 {
        house.ask(get("/auth/me").by(&admin));
        house.ask(get("/health"));
    }
    house.ask(get("/auth/me"));
    let counts = |days: u32| {
        let token = house.sign_in("chef");
        house.check(get(&format!("/stats/api?days={days}")).by(&token), 200, &json!({}))
    };
    let of = |answer: &Value, list: &str, key: &str, wanted: &Value| {
        let rows = answer[list].as_array().unwrap().clone();
        rows.into_iter().find(|r| &r[key] == wanted).map_or(0, |r| r["count"].as_u64().unwrap())
    };
    let me = json!("/auth/me");
    let before = counts(1);
    assert_eq!(of(&before, "by_endpoint", "path", &me), 4, "{before}");
    assert_eq!(of(&before, "by_endpoint", "path", &json!("/health")), 0, "{before}");
    assert_eq!(of(&before, "by_status", "status", &json!(401)), 1, "{before}");
    assert!(before["avg_response_time_ms"].as_f64().unwrap() >= 0.0);
    desk.flush_requests().unwrap();
    assert_eq!(of(&counts(1), "by_endpoint", "path", &me), 4);
    house.clock.pass(DAY * 3 / 2);
    assert_eq!(of(&counts(1), "by_endpoint", "path", &me), 0);
    assert_eq!(of(&counts(3), "by_endpoint", "path", &me), 4);
    desk.flush_requests().unwrap();
    house.clock.pass(DAY);
    desk.flush_requests().unwrap();
    assert_eq!(of(&counts(30), "by_endpoint", "path", &me), 0);
    assert!(
        !house
            .app()
            .desks()
            .system
            .store
            .read(|view| view.list(&REQUESTS, &all(), 99))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_broken_chain_is_named_wherever_one_looks() {
    let (house, admin) = House::ready();
    for n in 0..20 {
        act(&house, "mission.edit", &n.to_string(), &json!({}));
    }
    let desk = &house.app().desks().activity;
    let signed = desk.sign_head().unwrap().unwrap();
    let verify = || house.check(get("/admin/audit-logs/verify").by(&admin), 200, &json!({}));
    let whole = verify();
    assert!(whole["ok"] == true && whole["last_checkpoint"]["number"] == signed.number, "{whole}");
    let store = &house.app().desks().system.store;
    let third = store.read(|view| view.get(&JOURNAL, &3)).unwrap().unwrap();
    let edited = Link { who: "nobody".into(), ..third.clone() };
    store.write(move |tx| tx.put(&JOURNAL, &3, &edited)).unwrap();
    let broken = verify();
    let offence = json!([{"number": 3, "wrong": "edited", "deed": third.deed}]);
    assert!(broken["ok"] == false && broken["count"] == 1, "{broken}");
    assert_eq!(broken["offences"][0]["wrong"], offence[0]["wrong"]);
    let chain = json!({"chain": {"ok": false, "offence": {"number": 3, "wrong": "edited"},
                                 "last_checkpoint": {"number": signed.number}}});
    house.check(get("/admin/journal").by(&admin), 200, &chain);
    let health = json!({"parts": {"journal": {"level": "failed"}}});
    house.check(get("/health/detail").by(&admin), 200, &health);
    store.write(move |tx| tx.put(&JOURNAL, &3, &third)).unwrap();
    assert_eq!(verify()["ok"], true);
    let health = json!({"parts": {"journal": {"level": "ok"}}});
    house.check(get("/health/detail").by(&admin), 200, &health);
    // A row that cannot be read hides no other one from the lists.
    let fourth =
        store.read(|view| view.raw_get(JOURNAL.name, &4u64.to_be_bytes())).unwrap().unwrap();
    for torn in [fourth[..fourth.len() - 40].to_vec(), vec![2, 0xff]] {
        store
            .write(move |tx| tx.set_raw(JOURNAL.name, 4u64.to_be_bytes().to_vec(), Some(torn)))
            .unwrap();
        for path in ["/admin/journal?limit=200", "/admin/logs?limit=500", "/stats/activity/users"] {
            house.check(get(path).by(&admin), 200, &json!({}));
        }
        let broken = verify();
        assert!(broken["count"] == 1 && broken["offences"][0]["number"] == 4, "{broken}");
        assert_eq!(first(&exported(&house)), (Wrong::Deleted, 4), "a broken journal leaves too");
    }
    store
        .write(move |tx| tx.set_raw(JOURNAL.name, 4u64.to_be_bytes().to_vec(), Some(fourth)))
        .unwrap();
    // A checkpoint that somebody else signed, and one that remembers another chain.
    store
        .write(move |tx| {
            let mut forged = tx.get(&CHECKPOINTS, &signed.number)?.unwrap();
            forged.number = 5;
            tx.put(&CHECKPOINTS, &5, &forged)
        })
        .unwrap();
    assert_eq!(verify()["offences"][0]["wrong"], "checkpoint_forged");
}

fn exported(house: &House) -> Vec<String> {
    let mut export = house.app().desks().activity.export(&Caller::console("x")).unwrap();
    let mut bytes = Vec::new();
    while let Some(part) = export.part().unwrap() {
        assert!(part.ends_with(b"\n") || part.is_empty());
        bytes.extend(part);
    }
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn verdict(lines: &[String]) -> Result<Verdict, ilot::base::fault::Fault> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    verify_file(Cursor::new(text.into_bytes()))
}

fn first(lines: &[String]) -> (Wrong, u64) {
    let verdict = verdict(lines).unwrap();
    verdict.findings.first().map(|o| (o.wrong, o.number)).expect("something is wrong")
}

#[test]
fn an_export_is_verified_away_from_the_box() {
    let (house, _) = House::ready();
    for n in 0..30 {
        act(&house, "mission.edit", &n.to_string(), &json!({"é": n}));
        if n % 10 == 0 {
            house.app().desks().activity.sign_head().unwrap();
        }
    }
    let lines = exported(&house);
    let good = verdict(&lines).unwrap();
    let last_number = good.findings.links;
    assert!(good.findings.whole() && last_number > 30, "{good:?}");
    assert_eq!(good.last_checkpoint.map(|c| c.0), Some(last_number));
    let whole = house.app().desks().activity.verify(&Caller::console("x")).unwrap();
    assert_eq!(good.fingerprint, whole.fingerprint);
    let last = journal(&house).into_iter().rev().find(|l| l.deed == "activity.export").unwrap();
    assert_eq!(last.number, last_number, "the export is its own last link");
    for number in 1..=last_number {
        let at = usize::try_from(number).unwrap();
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            lines
        };
        let edited = |from: &str, to: &str| {
            with(&|lines| {
                assert!(lines[at].contains(from), "{} {from}", lines[at]);
                lines[at] = lines[at].replacen(from, to, 1);
            })
        };
        assert_eq!(first(&edited("\"deed\":\"", "\"deed\":\"x")), (Wrong::Edited, number));
        assert_eq!(first(&edited("\"at\":\"2026", "\"at\":\"2025")), (Wrong::Edited, number));
        assert_eq!(first(&edited("\"agent\":null", "\"agent\":\"x\"")), (Wrong::Edited, number));
        assert_eq!(
            first(&with(&|lines| drop(lines.remove(at)))),
            if number == last_number { (Wrong::Cut, number) } else { (Wrong::Deleted, number) }
        );
        let copy = with(&|lines| lines.insert(at, lines[at].clone()));
        assert_eq!(first(&copy), (Wrong::Inserted, number));
        if number < last_number {
            assert_eq!(
                first(&with(&|lines| lines.swap(at, at + 1))),
                (Wrong::Reordered, number + 1)
            );
        }
        // Cut there, mid-line or not, the rest of the file with it.
        let cut = with(&|lines| lines.truncate(at));
        assert_eq!(first(&cut), (Wrong::Cut, number));
        let mut torn: String = cut.iter().map(|line| format!("{line}\n")).collect();
        torn.push_str(&lines[at][..lines[at].len() / 2]);
        let found = verify_file(Cursor::new(torn.into_bytes())).unwrap().findings;
        assert_eq!(found.first().map(|o| (o.wrong, o.number)), Some((Wrong::Cut, number)));
    }
    let checkpoint = lines.iter().position(|l| l.starts_with("{\"checkpoint\"")).unwrap();
    let mut forged = lines.clone();
    forged[checkpoint] = forged[checkpoint].replacen("\"number\":", "\"number\":1", 1);
    assert_eq!(first(&forged).0, Wrong::CheckpointForged);
    let mut foreign = lines.clone();
    foreign[0] = foreign[0].replacen("\"site\":\"0", "\"site\":\"1", 1);
    assert_eq!(first(&foreign).0, Wrong::CheckpointForged);
}

/// Somebody without the key keeps the beginning, up to a checkpoint or not, and writes another end.
#[test]
fn an_export_that_was_cut_and_given_another_end_is_not_whole() {
    let (house, _) = House::ready();
    for n in 0..120 {
        act(&house, "mission.edit", &n.to_string(), &json!({}));
        if n == 7 || n == 13 {
            house.app().desks().activity.sign_head().unwrap();
        }
    }
    let file: Vec<Value> =
        exported(&house).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts = |lines: &[Value]| lines.iter().map(Value::to_string).collect::<Vec<_>>();
    let member = |name: &str| {
        let found = file.iter().filter(|line| line.get(name).is_some());
        found.cloned().collect::<Vec<Value>>()
    };
    let (links, checkpoints) = (member("link"), member("checkpoint"));
    assert!(checkpoints.len() >= 3 && verdict(&texts(&file)).unwrap().findings.whole());
    let signed = checkpoints[1]["checkpoint"]["number"].as_u64().unwrap();
    let own = &file.last().unwrap()["trailer"]["signature"];
    assert!(own.is_string());
    for kept in [signed, signed + 3, links.len() as u64 - 1] {
        let known: Vec<_> = checkpoints
            .iter()
            .filter(|line| line["checkpoint"]["number"].as_u64() <= Some(kept))
            .cloned()
            .collect();
        let at = usize::try_from(kept).unwrap();
        let end = |signature: &Value| {
            let mut header = file[0].clone();
            header["header"]["last"] = json!(kept);
            let trailer = json!({"trailer": {"links": kept, "checkpoints": known.len(), "number": kept,
                "hash": links[at - 1]["link"]["hash"], "signature": signature}});
            [&[header], &links[..at], &known, &[trailer]].concat()
        };
        for signature in
            [&Value::Null, own, &checkpoints[1]["checkpoint"]["signature"], &json!("=")]
        {
            assert_eq!(first(&texts(&end(signature))), (Wrong::ExportUnsigned, kept));
        }
        // As exports were once, without any.
        let mut old = end(&Value::Null);
        let trailer = old.last_mut().unwrap()["trailer"].as_object_mut().unwrap();
        trailer.remove("signature");
        assert_eq!(first(&texts(&old)), (Wrong::ExportUnsigned, kept));
    }
    // What the header says is signed with the end.
    for (name, value) in [
        ("last", json!(20)),
        ("first", json!(2)),
        ("exported_at", json!("2026-01-15T08:00:00.001Z")),
    ] {
        let mut changed = file.clone();
        assert_ne!(changed[0]["header"][name], value);
        changed[0]["header"][name] = value;
        assert_eq!(first(&texts(&changed)).0, Wrong::ExportUnsigned, "{name}");
    }
    let mut fewer = file.clone();
    fewer.last_mut().unwrap()["trailer"]["links"] = json!(1);
    assert_eq!(first(&texts(&fewer)).0, Wrong::ExportUnsigned);
}

#[test]
fn a_file_that_is_no_export_is_refused_with_its_line() {
    let (house, _) = House::ready();
    let lines = exported(&house);
    let refused = |lines: &[String]| {
        let fault = verdict(lines).unwrap_err();
        assert_eq!(fault.code, "journal_file_malformed");
        fault.message
    };
    assert!(refused(&[]).starts_with("Line 1 "));
    assert!(refused(&["{}".to_owned()]).starts_with("Line 1 "));
    assert!(refused(&lines[1..]).starts_with("Line 1 "));
    for (at, junk) in [(2, "junk".to_owned()), (1, "{\"link\":{}}".to_owned()), (2, String::new())]
    {
        let mut lines = lines.clone();
        lines.insert(at, junk);
        assert!(refused(&lines).starts_with(&format!("Line {} ", at + 1)));
    }
    let mut more = lines.clone();
    more.push(lines[1].clone());
    assert!(refused(&more).ends_with("stands behind the trailer."));
    let mut newer = lines.clone();
    newer[0] = newer[0].replace("ilot-journal/1", "ilot-journal/2");
    assert!(refused(&newer).contains("another format"));
    let mut long = lines;
    long.insert(1, "x".repeat(ilot::domains::activity::auditing::LINE_MAX + 1));
    assert!(refused(&long).contains("longer"));
}

#[test]
fn the_journal_leaves_the_box_only_for_somebody_with_the_right_and_a_fresh_password() {
    let (house, _) = House::ready();
    let desk = &house.app().desks().activity;
    let mut caller = Caller::console("x");
    caller.rights = ilot::base::caller::Rights::NONE;
    assert_eq!(desk.export(&caller).err().map(|f| f.code), Some("right_missing"));
    let lines = journal(&house);
    assert!(lines.iter().all(|link| link.deed != "activity.export"));
}

#[test]
fn the_end_is_signed_at_once_after_a_thousand_links_and_each_hour() {
    let (house, _) = House::ready();
    let desk = &house.app().desks().activity;
    let store = &house.app().desks().system.store;
    let signed = || store.read(|view| view.list(&CHECKPOINTS, &all(), 99)).unwrap();
    let many = |count: u32| {
        store
            .write(move |tx| {
                (0..count)
                    .try_for_each(|n| tx.journal(&Caller::task("test"), Deed::new("name.add", n)))
            })
            .unwrap();
    };
    let due = |wanted: usize| {
        desk.sign_if_due().unwrap();
        assert_eq!(signed().len(), wanted);
        assert!(wanted == 0 || signed().last().unwrap().0 <= store.journal_head().number);
    };
    due(1);
    due(1);
    many(999);
    due(1);
    many(1);
    due(2);
    house.clock.pass(Duration::from_mins(59));
    many(1);
    due(2);
    house.clock.pass(Duration::from_mins(1));
    due(3);
    house.clock.pass(DAY);
    due(3);
    let before = store.journal_head();
    desk.sign_head().unwrap();
    assert_eq!(store.journal_head(), before, "a checkpoint writes no link");
}

#[test]
fn the_background_walk_goes_on_where_it_ended_and_each_week_from_the_start() {
    let (house, _) = House::ready();
    let desk = &house.app().desks().activity;
    let store = &house.app().desks().system.store;
    let turn = || {
        desk.walk(&ilot::base::tasks::Handle::unattended()).unwrap();
        let state = desk.chain_state(&Caller::console("x")).unwrap();
        let verified = state.verified.unwrap();
        (verified.head.number, verified.count)
    };
    let length = || store.journal_head().number;
    let spoil = |number: u64, who: &str| {
        let who = who.to_owned();
        store
            .write(move |tx| {
                let mut link = tx.get(&JOURNAL, &number)?.unwrap();
                link.who = who;
                tx.put(&JOURNAL, &number, &link)
            })
            .unwrap();
    };
    assert_eq!(turn(), (length(), 0));
    act(&house, "name.add", "x", &json!({}));
    desk.sign_head().unwrap();
    assert_eq!(turn(), (length(), 0));
    // An old link is looked at again each week only; a new one at once.
    let first = journal(&house).remove(0);
    spoil(1, "nobody");
    assert_eq!(turn(), (length(), 0));
    house.clock.pass(DAY * 7);
    assert_eq!(turn(), (length(), 1));
    let health = || house.app().desks().system.health.of("journal").unwrap();
    assert!(health().detail.contains("link 1 was edited"), "{:?}", health());
    // Whoever puts it right is believed at the next turn.
    spoil(1, &first.who);
    assert_eq!(turn(), (length(), 0));
    assert_eq!(health().level, ilot::base::health::Level::Ok);
    act(&house, "name.add", "y", &json!({}));
    spoil(length(), "nobody");
    assert_eq!(turn().1, 1);
}

/// A box that was stopped, whose store was shortened to a link, head and checkpoints too, and begun again:
/// only the walk that went along the lost links still knows of them.
#[test]
fn a_tail_taken_away_with_all_that_names_it_is_missed_by_who_walked_along_it() {
    let (house, _) = House::ready();
    let desk = &house.app().desks().activity;
    let store = &house.app().desks().system.store;
    let console = Caller::console("x");
    let turn = || {
        desk.walk(&ilot::base::tasks::Handle::unattended()).unwrap();
        let verified = desk.chain_state(&console).unwrap().verified.unwrap();
        (verified.head, verified.first.map(|o| (o.wrong, o.number)))
    };
    let end = store.journal_head();
    assert_eq!(turn(), (end, None));
    let lost = ilot::store::journal::Head { number: end.number + 3, hash: [7; 32] };
    store
        .write(move |tx| {
            let mut verified = tx.get(&VERIFIED, &())?.unwrap();
            verified.head = lost;
            tx.put(&VERIFIED, &(), &verified)
        })
        .unwrap();
    // At every later turn too: what is gone stays known.
    for _ in 0..3 {
        assert_eq!(turn(), (lost, Some((Wrong::Cut, end.number + 1))));
    }
    let health = house.app().desks().system.health.of("journal").unwrap();
    assert!(health.detail.contains("was cut"), "{health:?}");
    let found = |verdict: Verdict| verdict.findings.first().map(|o| (o.wrong, o.number));
    // The verification is journaled itself, and takes the lost links' numbers one by one.
    for added in 1..=5 {
        let wanted = if added < 3 {
            (Wrong::Cut, end.number + added + 1)
        } else {
            (Wrong::Rewritten, lost.number)
        };
        assert_eq!(found(desk.verify(&console).unwrap()), Some(wanted), "after {added}");
        assert_eq!(turn(), (lost, Some(wanted)));
    }
}
