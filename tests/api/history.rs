//! The history: whose it is, what narrows it, what is masked, how it ends, and how fast it is looked through.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use ilot::base::caller::{Caller, Right, Rights, Who};
use ilot::base::clock::HeldClock;
use ilot::base::disk::MemoryDisk;
use ilot::base::fault::Fault;
use ilot::base::health::Health;
use ilot::base::id::Id;
use ilot::base::tasks::Tasks;
use ilot::domains::assistant::conversations::Conversations;
use ilot::domains::assistant::history::{
    Again, Anew, Filter, History, HistorySettings, Part, Replayer, Which,
};
use ilot::domains::assistant::records::talk::{
    EVENTS, EVENTS_HELD, EVENTS_OF, Held, Origin, Outcome,
};
use ilot::domains::assistant::thinking::Ground;
use ilot::engines::secrets::RootKey;
use ilot::store::{Ground as StoreGround, Reader, Record, Store, StoreOptions, all, journal};
use serde_json::{Value, json};

use super::ask::{House, NOW, PASSWORD, ask, get, post};
use super::conversations::said;

const DAY: Duration = Duration::from_hours(24);
const ALL: Part = Part { offset: 0, limit: 200 };

/// A store without a box around it, which can be closed and opened again.
struct Shelf {
    disk: Arc<MemoryDisk>,
    clock: Arc<HeldClock>,
    folder: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Self {
        let clock = Arc::new(HeldClock::at(NOW));
        Self { disk: Arc::default(), clock, folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self, settings: HistorySettings) -> (Store, History, Conversations) {
        let health = Health::new(self.clock.clone());
        let ground = StoreGround {
            clock: self.clock.clone(),
            disk: self.disk.clone(),
            health: health.clone(),
        };
        let tasks = Tasks::new(health.clone());
        let path = Path::new("/test.redb");
        let store = Store::open(path, &ground, StoreOptions::default(), &[], &tasks).unwrap();
        let nowhere = self.folder.path().to_owned();
        let ground = Ground {
            store: store.clone(),
            clock: self.clock.clone(),
            health,
            root: RootKey::open(&nowhere).unwrap(),
            program: nowhere.clone(),
            models: nowhere.clone(),
            spool: nowhere,
            embedding: String::new(),
            still_here: Arc::new(|_, _| Ok(true)),
        };
        let history = History::open(&ground, settings);
        let conversations = Conversations::open(&ground, history.clone());
        (store, history, conversations)
    }
}

fn somebody(name: &str, number: u8, rights: &[Right]) -> Caller {
    let who = Who::User { id: Id([number; 16]), name: name.into() };
    let rights: Rights = rights.iter().copied().collect();
    Caller { who, rights, ..Caller::nobody(None, "test") }
}

fn user(name: &str, number: u8) -> Caller {
    somebody(name, number, &[Right::UseAssistant])
}

fn note(store: &Store, caller: &Caller, kind: &'static str, payloads: Vec<Value>) {
    let who = caller.clone();
    let write = move |tx: &mut ilot::store::Tx<'_>| {
        payloads.iter().try_for_each(|payload| History::note(tx, &who, kind, payload))
    };
    store.write(write).unwrap();
}

/// What is counted beside the rows is what the rows are.
#[track_caller]
fn balanced(store: &Store) -> Held {
    store
        .read(|view| {
            let held = view.get(&EVENTS_HELD, &())?.unwrap_or_default();
            let rows = view.list(&EVENTS, &all(), usize::MAX)?;
            let bytes: usize = rows.iter().map(|(_, row)| 8 + row.encode().unwrap().len()).sum();
            assert_eq!((held.count, held.bytes), (rows.len() as u64, bytes as u64));
            let of_users = rows.iter().filter(|(_, row)| row.user.is_some()).count() as u64;
            assert_eq!(view.count(EVENTS_OF.name)?, of_users);
            Ok(held)
        })
        .unwrap()
}

#[test]
fn everybody_sees_their_own_and_a_manager_everybodys_which_is_journaled() {
    let (house, admin) = House::ready();
    house.person(&admin, "anna", "viewer");
    house.person(&admin, "paul", "viewer");
    house.exchange("anna", None, "Le quai d'été ?", said("Ouvert.", vec![]));
    house.clock.pass(DAY);
    let [anna, paul, admin] = ["anna", "paul", "chef"].map(|name| house.sign_in(name));
    house.exchange("paul", None, "password=Soleil24 marche ?", said("Non.", vec![]));
    let total = |query: &str, token: &str| {
        let listed = house.check(get(&format!("/history{query}")).by(token), 200, &json!({}));
        listed["total"].as_u64().unwrap()
    };
    let mine = house.check(get("/history").by(&anna), 200, &json!({"total": 1}));
    let event = &mine["items"][0];
    assert_eq!((&event["type"], &event["user"]), (&json!("chat.answer"), &json!("anna")));
    assert_eq!(event["payload"]["question"], "Le quai d'été ?");
    let theirs = house.check(get("/history").by(&paul), 200, &json!({"total": 1}));
    assert_eq!(theirs["items"][0]["payload"]["question"], "password=*** marche ?");
    let (_, key) = house.key(&anna, "sonde", &["history"]);
    assert_eq!(total("", &key), 1);
    house.refuses(ask("DELETE", "/history").by(&key), 403, "session_required");
    house.refuses(get("/history?user=paul").by(&anna), 403, "right_missing");
    assert_eq!(total("?user=ANNA", &anna), 1);
    for (query, wanted) in [
        ("", 2),
        ("?user=paul", 1),
        ("?user=Anna", 1),
        (&format!("?user={}", house.user_id("anna")), 1),
        ("?q=QUAI%20D'ETE", 1),
        ("?q=Soleil24", 0),
        ("?type=chat.answer", 2),
        ("?type=chat.", 2),
        ("?type=chat", 0),
        ("?plugin=meteo", 0),
        ("?session_id=x", 0),
        ("?start=2026-01-16", 1),
        ("?end=2026-01-15", 1),
        ("?start=2026-01-15&end=2026-01-16", 2),
        ("?offset=1", 2),
        ("?limit=1", 2),
    ] {
        assert_eq!(total(query, &admin), wanted, "{query}");
    }
    let page = house.check(get("/history?offset=1&limit=1").by(&admin), 200, &json!({}));
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["user"], "anna", "newest first");
    total("", &admin);
    let store = &house.app().desks().system.store;
    let links = store.read(|view| view.list(&journal::JOURNAL, &all(), usize::MAX)).unwrap();
    let looks = |object: &str| {
        let of = |link: &&journal::Link| link.deed == "history.read" && link.object == object;
        links.iter().map(|(_, link)| link).filter(of).count()
    };
    assert_eq!((looks("history"), looks("history user=paul")), (1, 1), "a look is journaled once");
    assert!(links.iter().all(|(_, link)| link.deed != "history.read" || link.who != "anna"));
}

#[test]
fn ones_own_history_ends_when_one_wishes_and_everybodys_by_a_fresh_password() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    for name in ["anna", "chef", "anna"] {
        house.exchange(name, None, "Oui ?", said("Oui.", vec![]));
    }
    let clear = |query: &str| ask("DELETE", &format!("/history{query}"));
    house.refuses(clear("?all=true").by(&anna), 403, "right_missing");
    house.check(clear("").by(&anna), 200, &json!({"status": "cleared", "deleted": 2}));
    house.check(get("/history").by(&admin), 200, &json!({"total": 1}));
    house.clock.pass(Duration::from_hours(2));
    house.refuses(clear("?all=true").by(&admin), 403, "step_up_required");
    house.check(post("/auth/step-up", &json!({"password": PASSWORD})).by(&admin), 200, &json!({}));
    house.check(clear("?all=true").by(&admin), 200, &json!({"deleted": 1}));
    // Conversations are no history: they stay.
    let list = house.check(get("/chat/conversations").by(&anna), 200, &json!({}));
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let held = balanced(&house.app().desks().system.store);
    assert_eq!((held.last, held.count, held.bytes), (3, 0, 0), "a number is given once");
}

#[test]
fn what_is_too_old_goes_unless_the_clock_is_in_doubt() {
    let shelf = Shelf::new();
    let (store, history, _) = shelf.open(HistorySettings { days: 30, max_mib: 1 });
    let anna = user("anna", 1);
    note(&store, &anna, "a.b", vec![json!({"n": 1})]);
    shelf.clock.pass(20 * DAY);
    note(&store, &Caller::task("test"), "a.b", vec![json!({"n": 2})]);
    assert_eq!(history.purge(|| false).unwrap(), 0);
    shelf.clock.pass(10 * DAY + Duration::from_secs(1));
    assert_eq!(history.purge(|| false).unwrap(), 1);
    assert_eq!(history.list(&anna, &Filter::default(), ALL).unwrap().total, 0);
    balanced(&store);
    // Somebody sets the wall a year ahead: nothing goes until a person has looked at the clock.
    shelf.clock.set_wall(ilot::base::clock::Moment(NOW.0).plus(400 * DAY));
    note(&store, &anna, "a.b", vec![json!({"n": 3})]);
    assert_eq!(history.purge(|| false).unwrap(), 0);
    store
        .write(|tx| {
            tx.settle_clock();
            tx.journal(&Caller::task("test"), ilot::store::Deed::new("clock.settle", ""))
        })
        .unwrap();
    assert_eq!(history.purge(|| false).unwrap(), 1);
    assert_eq!(balanced(&store).last, 3);
}

#[test]
fn what_is_too_much_goes_a_tenth_at_a_time_the_oldest_first() {
    let shelf = Shelf::new();
    let (store, history, _) = shelf.open(HistorySettings { days: 30, max_mib: 1 });
    let anna = user("anna", 1);
    let long = "bla ".repeat(200);
    let payloads = |from: u32| (from..from + 1000).map(|n| json!({"n": n, "text": long})).collect();
    note(&store, &anna, "a.b", payloads(0));
    assert_eq!(history.purge(|| false).unwrap(), 0, "it is not too much yet");
    note(&store, &anna, "a.b", payloads(1000));
    let before = balanced(&store);
    assert!(before.bytes > 3 << 19, "{before:?}");
    let gone = history.purge(|| false).unwrap();
    let held = balanced(&store);
    assert!(held.bytes <= 1 << 20 && held.count + gone == 2000 && held.last == 2000, "{held:?}");
    // Not more went than tenths that were needed.
    assert!(held.bytes * 10 > (1 << 20) * 8, "{held:?}");
    let rows = store.read(|view| view.list(&EVENTS, &all(), 1)).unwrap();
    assert_eq!(rows[0].0, gone + 1, "the oldest go first");
}

#[test]
fn a_restart_keeps_everything() {
    let shelf = Shelf::new();
    let settings = HistorySettings::default();
    let (store, _, talks) = shelf.open(settings.clone());
    let anna = user("anna", 1);
    let opened = talks.begin(&anna, None, "Une question ?", None, false).unwrap();
    talks.finish(&anna, &opened, said("Une réponse.", vec![])).unwrap();
    let id = opened.conversation.id;
    drop(opened);
    let unanswered = talks.begin(&anna, Some(id), "Et encore ?", None, false).unwrap();
    store.close();
    drop((unanswered, talks, store));
    let (store, history, talks) = shelf.open(settings);
    let (turns, more) = talks.turns(&anna, id, 10, None).unwrap();
    let texts: Vec<_> = turns.iter().map(|shown| shown.turn.text.as_str()).collect();
    assert_eq!((texts, more), (vec!["Une question ?", "Une réponse.", "Et encore ?"], false));
    assert_eq!(history.list(&anna, &Filter::default(), ALL).unwrap().total, 1);
    let again = talks.begin(&anna, Some(id), "Et encore ?", None, true).unwrap();
    assert_eq!(again.earlier.len(), 2);
    talks.finish(&anna, &again, said("Aussi.", vec![])).unwrap();
    assert_eq!(balanced(&store).last, 2);
}

/// Answers what it is told to, or nothing.
struct Parrot(&'static str);

impl Replayer for Parrot {
    fn replay(&self, caller: Caller, again: Again) -> BoxFuture<'static, Result<Anew, Fault>> {
        let answer = format!("{} {} pour {}", self.0, again.question, caller.name());
        Box::pin(async move {
            if answer.contains("rien") {
                return Err(Fault::unavailable("model_missing", "x"));
            }
            let (origin, outcome) = (Origin::Grounded, Outcome::Whole);
            Ok(Anew { answer, origin, outcome, citations: vec![], model: None })
        })
    }
}

#[test]
fn what_was_asked_is_asked_again_and_both_answers_stand_side_by_side() {
    let shelf = Shelf::new();
    let (_, history, talks) = shelf.open(HistorySettings::default());
    let (anna, paul) = (user("anna", 1), user("paul", 2));
    let chief = somebody("chef", 3, &[Right::UseAssistant, Right::ManageAssistant]);
    for (caller, question, answer) in [
        (&anna, "un", "je dis un pour anna"),
        (&paul, "deux", "je dis deux pour paul"),
        (&anna, "rien", "…"),
    ] {
        let opened = talks.begin(caller, None, question, None, false).unwrap();
        talks.finish(caller, &opened, said(answer, vec![])).unwrap();
    }
    let replay = |caller: &Caller, which: Which| {
        let mut going = history.replay(caller, &which, Arc::new(Parrot("je dis")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut pairs = Vec::new();
        while let Some(pair) = runtime.block_on(going.next()) {
            pairs.push((pair.then.question.clone(), pair.new.is_ok(), pair.same));
        }
        Ok::<_, Fault>(pairs)
    };
    let own = replay(&anna, Which::default()).unwrap();
    assert_eq!(own, [("rien".into(), false, false), ("un".into(), true, true)]);
    // The chief's own rights and name, not those of whoever asked then.
    let ids = Some(vec![2, 1]);
    let others = replay(&chief, Which { ids: ids.clone(), limit: None }).unwrap();
    assert_eq!(others, [("deux".into(), true, false), ("un".into(), true, false)]);
    let refused = |which| replay(&anna, which).unwrap_err().code;
    assert_eq!(refused(Which { ids, limit: None }), "not_found");
    assert_eq!(refused(Which { ids: Some(vec![9]), limit: None }), "not_found");
    assert_eq!(refused(Which { ids: None, limit: Some(101) }), "validation");
    assert_eq!(replay(&anna, Which { ids: None, limit: Some(1) }).unwrap().len(), 1);
}

/// The door: lines as they come, or one answer; the box has no model, so it answers with extracts.
#[test]
fn a_replay_comes_line_by_line_or_as_a_whole() {
    let (house, admin) = House::ready();
    let guide = "# Le repos\n\nLe repos journalier du conducteur dure onze heures.".as_bytes();
    house.send(&admin, "", &[("repos.md", guide)]);
    house.settle(&admin);
    for question in ["repos journalier", "repos du conducteur"] {
        house.exchange("chef", None, question, said("Neuf heures.", vec![]));
    }
    let replay = || post("/history/replay", &json!({"limit": 2})).by(&admin);
    let whole = house.check(replay(), 200, &json!({}));
    let items = whole["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for item in items {
        assert_eq!(
            (&item["old"]["answer"], &item["same"]),
            (&json!("Neuf heures."), &json!(false))
        );
        assert_eq!(item["new"]["origin"], "extract", "{item}");
        assert_eq!(item["new"]["citations"][0]["path"], "repos.md", "{item}");
    }
    let lines = house.ask(replay().header("accept", "application/x-ndjson"));
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let text = String::from_utf8(lines.bytes).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["new"]["answer"], items[0]["new"]["answer"]);
    // Nothing of it was noted as a new answer.
    house.check(get("/history").by(&admin), 200, &json!({"total": 2}));
    house.check(ask("POST", "/history/replay").by(&admin), 200, &json!({}));
    house.refuses(post("/history/replay", &json!({"ids": [99]})).by(&admin), 404, "not_found");
}

/// What this thread has used of the processor.
fn burnt() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// 100,000 events, of which each of ten users has a tenth.
#[test]
fn a_long_history_is_looked_through_quickly() {
    let shelf = Shelf::new();
    let (store, history, _) = shelf.open(HistorySettings::default());
    let words =
        "Le conducteur prend une pause de 45 minutes après 4 heures 30 de conduite. ".repeat(4);
    for batch in 0..20_u32 {
        let caller = user(&format!("u{}", batch % 10), u8::try_from(batch % 10 + 1).unwrap());
        let payloads =
            (0..5_000).map(|n| json!({"question": format!("Question {n} ?"), "answer": words}));
        note(&store, &caller, "chat.answer", payloads.collect());
    }
    let chief = somebody("chef", 99, &[Right::ManageAssistant]);
    let one = user("u3", 4);
    let all_of = Filter::default();
    let kind = Filter { kind: Some("chat.answer".into()), ..Filter::default() };
    let text = Filter { text: Some("question 4321".into()), ..Filter::default() };
    let nothing = Filter { text: Some("introuvable".into()), ..Filter::default() };
    let part = Part { offset: 0, limit: 20 };
    for (what, caller, filter, total) in [
        ("everybody's", &chief, &all_of, 100_000),
        ("everybody's of a kind", &chief, &kind, 100_000),
        ("everybody's with words", &chief, &text, 20),
        ("everybody's with no such words", &chief, &nothing, 0),
        ("one's own", &one, &all_of, 10_000),
        ("one's own with words", &one, &text, 2),
    ] {
        // The first look is journaled.
        assert_eq!(history.list(caller, filter, part).unwrap().total, total, "{what}");
        let (began, burnt) = (Instant::now(), burnt());
        history.list(caller, filter, part).unwrap();
        // The machine may be busy with others: what this thread burnt itself is the figure.
        let (took, burnt) = (began.elapsed(), self::burnt().saturating_sub(burnt));
        println!("100,000 events, {what}: {burnt:?} of processor time, {took:?}");
        assert!(burnt < Duration::from_secs(2), "{what} took {burnt:?}");
    }
}
