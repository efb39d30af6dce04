//! Plan B's page: how it stands, keys and drills, what came back, and the documents that stay readable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ilot::app::replay::PART;
use ilot::base::caller::Caller;
use ilot::base::clock::Moment;
use ilot::base::disk::MachineDisk;
use ilot::base::health::Level;
use ilot::base::id::Id;
use ilot::base::tasks::Tasks;
use ilot::domains::continuity::outbox::{self, Author, Draft, Outbox};
use ilot::domains::continuity::pack::part::Cell;
use ilot::domains::continuity::pack::{Pack, look};
use ilot::domains::continuity::place::Place;
use ilot::domains::handover::records::Outcome;
use ilot::store::Deed;
use serde_json::{Value, json};

use super::ask::{House, ask, get, post, put};

impl House {
    fn place(&self) -> Place {
        self.app().desks().continuity.place().clone()
    }

    /// The pack as Plan B would read it.
    fn read_pack(&self) -> Pack {
        let public = self.app().desks().continuity.node().unwrap().public();
        look(&self.place().pack(), Some(&public)).pack.unwrap()
    }

    /// What Plan B would write with.
    fn outbox(&self) -> Outbox {
        let disk = Arc::new(MachineDisk);
        Outbox::open(&self.place(), disk, self.clock.clone(), "node", 1).unwrap()
    }

    fn replay(&self) {
        self.app().desks().board.replay.turn().unwrap();
    }

    fn level(&self, part: &str) -> Option<Level> {
        self.app().desks().system.health.level(part)
    }

    /// The newest deeds of the journal, newest first, but for those of reading it.
    fn deeds(&self, admin: &str, many: usize) -> Vec<String> {
        let links = self.ask(get("/admin/journal?limit=200").by(admin)).json();
        let items = links["items"].as_array().unwrap().iter();
        let deeds = items.map(|link| link["deed"].as_str().unwrap().to_owned());
        deeds.filter(|deed| deed != "activity.read").take(many).collect()
    }
}

fn draft(kind: &str, body: Value) -> Draft {
    let by = Author { name: "Anna".into(), user: None, door: None };
    Draft { kind: kind.into(), by, body, retry_key: None }
}

fn note(text: &str) -> Draft {
    draft("note", json!({ "text": text }))
}

#[test]
fn the_board_tells_how_everything_stands() {
    let (house, admin) = House::ready();
    let board = house.check(
        get("/continuity").by(&admin),
        200,
        &json!({
            "role": "client", "address": "127.0.0.1:5055", "keys": [], "pack": null,
            "watchdog": null, "drill": null,
            "key": {"previous_until": null, "backups": [], "wrong": null},
            "sealing": {"messages": 0, "warn_at": 536_870_912, "limit": 1_073_741_824, "earlier_keys": 0},
            "outbox": {"files": 0, "entries": 0, "waiting": 0, "open": 0},
        }),
    );
    assert_eq!(board["node_id"].as_str().map(str::len), Some(64));
    // What Plan B's own key sees is the same.
    let key = std::fs::read_to_string(house.place().api_key()).unwrap();
    let mut own = get("/continuity").header("x-api-key", key.trim());
    own = own.from("127.0.0.1");
    assert_eq!(house.ask(own).json(), board);
    let (off, admin) = House::ready_with(&[("listen.planb", "off")]);
    off.check(get("/continuity").by(&admin), 200, &json!({"address": null}));
}

#[test]
fn keys_and_role_change_with_a_fresh_password_and_are_journaled() {
    let (house, admin) = House::ready();
    let body = json!({"name": "sonde", "scopes": ["tcp", "status"], "days": 30});
    let made = house.check(
        post("/continuity/keys", &body).by(&admin),
        201,
        &json!({"name": "sonde", "scopes": ["status", "tcp"]}),
    );
    let text = made["api_key"].as_str().unwrap();
    let with = |key: &str| get("/continuity").header("x-api-key", key).from("127.0.0.1");
    let board = house.check(with(text), 200, &json!({"keys": [{"name": "sonde"}]}));
    assert!(!board.to_string().contains(text));
    house.check(
        post("/continuity/keys", &body).by(&admin),
        409,
        &json!({"code": "planb_key_name_taken"}),
    );
    // A further key changes nothing, whatever it may do.
    let role = post("/continuity/role", &json!({"role": "server"}));
    house.refuses(role.clone().header("x-api-key", text).from("127.0.0.1"), 403, "right_missing");
    house.check(role.by(&admin), 200, &json!({"role": "server"}));
    let rotate = |body: &Value| post("/continuity/key/rotate", body);
    let new = house.check(rotate(&json!({"grace_seconds": 60})).by(&admin), 200, &json!({}));
    let kept = std::fs::read_to_string(house.place().api_key()).unwrap();
    assert_eq!(new["api_key"], kept.trim());
    house.check(
        ask("POST", "/continuity/sealing/rotate").by(&admin),
        200,
        &json!({"earlier_keys": 1}),
    );
    let board = house.check(get("/continuity").by(&admin), 200, &json!({"role": "server"}));
    assert!(board["key"]["previous_until"].is_string());
    assert_eq!(board["key"]["backups"].as_array().map(Vec::len), Some(1));
    house.check(ask("DELETE", "/continuity/keys/sonde").by(&admin), 200, &json!({}));
    house.refuses(with(text), 401, "key_unknown");
    let deeds = [
        "planb_key.remove",
        "planb_sealing.rotate",
        "planb_key.rotate",
        "planb_role.set",
        "planb_key.add",
    ];
    assert_eq!(house.deeds(&admin, 5), deeds);
    house.clock.pass(Duration::from_mins(6));
    for stale in [
        rotate(&json!({})),
        post("/continuity/keys", &json!({"name": "autre", "scopes": ["status"]})),
        ask("POST", "/continuity/sealing/rotate"),
        post("/continuity/drill", &json!({"seconds": 60})),
    ] {
        house.refuses(stale.by(&admin), 403, "step_up_required");
    }
}

#[test]
fn what_plan_b_wrote_is_taken_once_and_its_file_put_away() {
    let (house, admin) = House::ready();
    let outbox = house.outbox();
    outbox.append(note("le quai 3 est fermé")).unwrap();
    outbox.append(draft("drill", json!({"id": "x"}))).unwrap();
    let waiting = json!({"outbox": {"files": 1, "entries": 2, "waiting": 2, "open": 0}});
    house.check(get("/continuity").by(&admin), 200, &waiting);
    house.replay();
    house.replay();
    let taken = json!({"outbox": {"files": 1, "entries": 2, "waiting": 0, "open": 1}});
    house.check(get("/continuity").by(&admin), 200, &taken);
    assert_eq!(house.deeds(&admin, 2), ["handover.take", "continuity.drill_entry"]);
    // Its writer still writes.
    outbox.append(note("et le quai 4 aussi")).unwrap();
    let file = outbox.file().unwrap();
    house.replay();
    drop(outbox);
    house.replay();
    let done = json!({"outbox": {"files": 0, "entries": 0, "waiting": 0, "open": 2}});
    house.check(get("/continuity").by(&admin), 200, &done);
    assert_eq!(outbox::archived(&house.place()).unwrap()[0].id, file);
    assert_eq!(house.level(PART), Some(Level::Ok));
    let report = json!({"items": [{"file": file, "entries": 3, "taken": 1, "notes": 2,
        "conflicts": 0, "waiting": 0, "open": 2, "damage": null}]});
    house.check(get("/continuity/reports").by(&admin), 200, &report);
    let list = house.check(
        get("/continuity/arrivals?limit=1").by(&admin),
        200,
        &json!({"total_open": 2, "items": [{"seq": 2, "kind": "note", "by": "Anna",
            "body": {"text": "et le quai 4 aussi"}, "outcome": {"state": "note"}}]}),
    );
    let newest = list["items"][0]["id"].as_str().unwrap();
    let next = get(&format!("/continuity/arrivals?limit=5&before={newest}&file={file}"));
    let rest = json!({"items": [
        {"seq": 1, "outcome": {"state": "taken", "record": "drill"}}, {"seq": 0}]});
    house.check(next.by(&admin), 200, &rest);
}

#[test]
fn a_damaged_file_is_told_taken_as_far_as_it_is_whole_and_left_where_it_lies() {
    let (house, admin) = House::ready();
    let outbox = house.outbox();
    for text in ["un", "deux", "trois"] {
        outbox.append(note(text)).unwrap();
    }
    let file = outbox.file().unwrap();
    drop(outbox);
    let path = house.place().outbox().join(format!("{file}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("deux", "deuX")).unwrap();
    house.replay();
    assert_eq!(house.level(PART), Some(Level::Reduced));
    let reports = house.ask(get("/continuity/reports").by(&admin)).json();
    let report = &reports["items"][0];
    assert_eq!(report["entries"], 2);
    assert!(report["damage"].as_str().unwrap().starts_with("line 3:"), "{report}");
    let deeds = house.deeds(&admin, 2);
    assert_eq!(deeds, ["handover.take", "handover.damage"]);
    house.replay();
    assert_eq!(house.deeds(&admin, 2), deeds, "told once");
    assert!(path.exists());
    std::fs::remove_file(&path).unwrap();
    house.replay();
    assert_eq!(house.level(PART), Some(Level::Ok));
}

#[test]
fn a_file_that_stops_is_told_and_goes_on_when_it_can() {
    let (house, _) = House::ready();
    let handover = &house.app().desks().handover;
    handover.on("punch", Arc::new(|_, _| panic!("a slip")));
    let outbox = house.outbox();
    outbox.append(note("avant")).unwrap();
    outbox.append(draft("punch", json!({}))).unwrap();
    outbox.append(note("après")).unwrap();
    drop(outbox);
    house.replay();
    assert_eq!(house.level(PART), Some(Level::Failed));
    assert_eq!(handover.total_open(&Caller::console("t")).unwrap(), 1);
    handover.on(
        "punch",
        Arc::new(|tx, arrival| {
            tx.journal(&Caller::task("test"), Deed::new("punch.take", arrival.id))?;
            Ok(Outcome::Taken { record: "punch 1".into() })
        }),
    );
    house.replay();
    assert_eq!(house.level(PART), Some(Level::Ok));
    assert_eq!(handover.total_open(&Caller::console("t")).unwrap(), 2);
    assert_eq!(outbox::waiting(&house.place()).unwrap(), []);
}

#[test]
fn a_note_is_dealt_with_by_who_writes_the_planning_and_the_rest_by_who_manages_plan_b() {
    let (house, admin) = House::ready();
    let (_, planner) = house.person(&admin, "paul", "planner");
    let (_, viewer) = house.person(&admin, "vera", "viewer");
    let (note, unknown) =
        (house.arrive("note", json!({"text": "x"})), house.arrive("lot", json!({})));
    let done = |id: Id| ask("POST", &format!("/continuity/arrivals/{id}/done"));
    house.refuses(done(note).by(&viewer), 403, "right_missing");
    house.refuses(done(unknown).by(&planner), 403, "right_missing");
    house.refuses(get("/continuity/arrivals").by(&planner), 403, "right_missing");
    let told = json!({"outcome": {"state": "done", "by": "paul", "remark": ""}});
    house.check(done(note).by(&planner), 200, &told);
    house.refuses(done(note).by(&admin), 409, "arrival_not_open");
    house.check(done(unknown).by(&admin), 200, &json!({"kind": "lot"}));
    house.check(
        get("/continuity/arrivals?open=true").by(&admin),
        200,
        &json!({"items": [], "total_open": 0}),
    );
}

#[test]
fn the_pack_knows_the_site_its_people_its_kiosks_and_the_documents_that_were_chosen() {
    let (house, admin) = House::ready();
    house.person(&admin, "paul", "planner");
    let (closed, _) = house.person(&admin, "renvoye", "viewer");
    let away = json!({"is_active": false});
    house.check(put(&format!("/admin/users/{closed}"), &away).by(&admin), 200, &json!({}));
    let held = json!({"username": "neuve", "password": super::ask::PASSWORD,
        "must_change_password": true, "email": "neuve@depot.lan"});
    house.check(post("/admin/users", &held).by(&admin), 201, &json!({}));
    let kiosk = json!({"name": "quai 3", "kind": "kiosk"});
    house.check(post("/apikeys", &kiosk).by(&admin), 201, &json!({}));
    let items = house.send(&admin, "", &[("procédures/secours.md", "# Secours\n".as_bytes())]);
    let id = items[0]["id"].as_str().unwrap();
    let packed = format!("/rag/documents/{id}/pack");
    // Its reading is a deed too, and is not to come between those that are looked at.
    house.settle(&admin);
    house.check(put(&packed, &json!({})).by(&admin), 200, &json!({"in_pack": true}));
    house.check(put(&packed, &json!({})).by(&admin), 200, &json!({"in_pack": true}));
    assert_eq!(house.deeds(&admin, 50).iter().filter(|deed| *deed == "document.pack").count(), 1);
    for shown in ["/rag/documents", &format!("/rag/documents/{id}")] {
        let text = house.ask(get(shown).by(&admin)).json().to_string();
        assert!(text.contains("\"in_pack\":true"), "{text}");
    }
    let state = house.check(
        ask("POST", "/continuity/pack").by(&admin),
        200,
        &json!({"verified": true, "people": 2, "doors": 1, "left_out": [],
            "papers": [{"name": "secours.md", "bytes": 10}],
            "sections": [{"id": "contacts", "rows": 3, "stale_since": null},
                {"id": "presence", "title": {"fr": "Présents"}, "rows": 0},
                {"id": "documents", "title": {"fr": "Documents"}, "rows": 1}]}),
    );
    assert_eq!(house.ask(get("/continuity").by(&admin)).json()["pack"], state);
    assert_eq!(house.deeds(&admin, 1), ["planb_pack.write"]);
    let pack = house.read_pack();
    assert_eq!((pack.site(), pack.time_zone()), ("Dépôt de Saint-Fons", "Europe/Paris"));
    let people: Vec<_> = pack.people().collect();
    let names: Vec<_> = people.iter().map(|person| person.username.as_str()).collect();
    assert_eq!(names, ["Chef", "paul"]);
    assert!(people[0].rights.iter().any(|right| right == "manage_continuity"));
    assert!(people[1].password.starts_with("$argon2id$") && !people[1].second_factor);
    let door = pack.doors().next().unwrap();
    assert_eq!((door.kind.as_str(), door.name.as_str(), door.proof.len()), ("kiosk", "quai 3", 64));
    let (documents, _) = pack.section("documents").unwrap();
    assert_eq!(documents.right, "read_documents");
    let Cell::File { sha256, .. } = &documents.rows[0].cells[1] else { panic!("no file") };
    let (_, mut file) = pack.paper(sha256).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    assert_eq!(text, "# Secours\n");
    let papers = |house: &House, admin: &str| {
        let state = house.ask(ask("POST", "/continuity/pack").by(admin)).json();
        state["papers"].as_array().unwrap().len()
    };
    // What is closed to some is not for whoever reads the pack.
    let close = json!({"readers": {"everyone": false, "roles": ["admin"], "users": []}});
    let general = "/rag/collections/general";
    house.check(put(general, &close).by(&admin), 200, &json!({}));
    assert_eq!(papers(&house, &admin), 0);
    let other = house.send(&admin, "", &[("autre.md", "# Autre\n".as_bytes())]);
    let other = format!("/rag/documents/{}/pack", other[0]["id"].as_str().unwrap());
    house.refuses(ask("PUT", &other).by(&admin), 409, "document_closed");
    let open = json!({"readers": {"everyone": true}});
    house.check(put(general, &open).by(&admin), 200, &json!({}));
    assert_eq!(papers(&house, &admin), 1);
    house.check(ask("DELETE", &packed).by(&admin), 200, &json!({"in_pack": false}));
    assert_eq!(papers(&house, &admin), 0);
    house.check(ask("PUT", &packed).by(&admin), 200, &json!({"in_pack": true}));
    house.check(ask("DELETE", &format!("/rag/documents/{id}")).by(&admin), 200, &json!({}));
    assert_eq!(papers(&house, &admin), 0);
    let again = house.send(&admin, "", &[("procédures/secours.md", "# Secours\n".as_bytes())]);
    assert_eq!(again[0]["document"]["in_pack"], false);
}

#[test]
fn who_was_let_go_is_out_of_the_pack_at_once_and_does_not_come_back_with_the_one_before() {
    let (house, admin) = House::ready();
    let (paul, _) = house.person(&admin, "paul", "planner");
    let kiosk = json!({"name": "quai 3", "kind": "kiosk"});
    let made = house.check(post("/apikeys", &kiosk).by(&admin), 201, &json!({}));
    let key = made["id"].to_string().trim_matches('"').to_owned();
    let board = &house.app().desks().board;
    let (packer, prompt) = (board.packer.clone().unwrap(), board.prompt.clone().unwrap());
    let before = packer.refresh().unwrap().generation;
    let known = || {
        let pack = house.read_pack();
        let people: Vec<_> = pack.people().map(|person| person.username.clone()).collect();
        (people, pack.doors().count())
    };
    assert_eq!(known(), (vec!["Chef".to_owned(), "paul".to_owned()], 1));
    prompt.turn().unwrap();
    // What says nothing about who may do what waits for its minute.
    house.arrive("note", json!({"text": "x"}));
    prompt.turn().unwrap();
    assert_eq!(house.read_pack().generation(), before);
    let tasks = Tasks::new(house.app().desks().system.health.clone());
    prompt.start(&tasks).unwrap();
    let until = |wanted: (Vec<String>, usize)| {
        let end = Instant::now() + Duration::from_secs(10);
        while known() != wanted {
            assert!(Instant::now() < end, "{:?}", known());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let away = json!({"is_active": false});
    house.check(put(&format!("/admin/users/{paul}"), &away).by(&admin), 200, &json!({}));
    until((vec!["Chef".to_owned()], 1));
    let newest = house.place().pack().join("manifest.json");
    std::fs::write(&newest, "damaged").unwrap();
    assert!(house.read_pack().previous());
    assert_eq!(known().0, ["Chef"]);
    assert_eq!(house.ask(ask("DELETE", &format!("/apikeys/{key}")).by(&admin)).status / 100, 2);
    until((vec!["Chef".to_owned()], 0));
    tasks.stop(Duration::from_secs(5));
}

#[test]
fn an_arrival_says_who_wrote_it_and_whom_it_is_about_and_to_whom_it_is_told() {
    let (house, admin) = House::ready();
    let (number, _) = house.person(&admin, "paul", "planner");
    let named = json!({"display_name": "Paul Durand"});
    house.check(put(&format!("/admin/users/{number}"), &named).by(&admin), 200, &json!({}));
    let paul = house.app().desks().identity.id_of(number).unwrap().unwrap();
    let gone = Id::new(Moment(7));
    house.arrive("punch", json!({"person": gone, "direction": "in"}));
    // What was written later is listed first.
    house.clock.pass(Duration::from_secs(1));
    let outbox = house.outbox();
    let by = Author { name: "paul".into(), user: Some(paul), door: None };
    let body = json!({"person": paul, "direction": "in"});
    outbox.append(Draft { kind: "punch".into(), by, body, retry_key: None }).unwrap();
    outbox.append(note("x")).unwrap();
    drop(outbox);
    house.replay();
    let told = json!({"items": [
        {"kind": "note", "subject": null},
        {"by": "paul", "by_name": "Paul Durand", "subject": "Paul Durand"},
        {"by": "Anna", "by_name": "Anna", "subject": gone},
    ]});
    house.check(get("/continuity/arrivals").by(&admin), 200, &told);
    let key = json!({"name": "sonde", "scopes": ["status", "crypto", "tcp"]});
    let made = house.check(post("/continuity/keys", &key).by(&admin), 201, &json!({}));
    let text = made["api_key"].as_str().unwrap();
    for path in ["/continuity/arrivals", "/continuity/reports"] {
        let asked = get(path).header("x-api-key", text).from("127.0.0.1");
        house.refuses(asked, 403, "right_missing");
    }
}
