//! Collections and their readers: who is let through every door to a document, and how soon.

use std::collections::BTreeSet;
use std::path::Path;

use ilot::base::caller::{Caller, Right, Rights, Who};
use ilot::base::id::Id;
use ilot::domains::assistant::search::Question;
use ilot::domains::identity::records::{USERS, USERS_BY_LOGIN};
use ilot::store::{Reader, journal};
use serde_json::{Value, json};

use super::ask::{Ask, House, ask, get, post, put, upload};

/// In every document, so that every question about it could find all of them.
const OPEN: &str = "Le barème des péages est affiché au quai. Le mot est tournesol.";
const CLOSED: &str = "Le plan de licenciement est secret. Le mot est tournesol.";
/// Words that stand in the closed document alone.
const SECRET: &str = "licenciement";

/// A box with an open collection `quai` and a closed one `direction`, with a document each, and a
/// person of each kind.
struct Site {
    house: House,
    admin: String,
    /// The closed document, and the open one.
    closed: String,
    open: String,
}

fn only(roles: &[&str], users: &[Id]) -> Value {
    // As they are answered: in the order of their names.
    let users: BTreeSet<&Id> = users.iter().collect();
    json!({"readers": {"everyone": false, "roles": roles, "users": users}})
}

fn id(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}

impl Site {
    /// The closed collection is for `finance` and for the user `nina`.
    fn open() -> Self {
        let (house, admin) = House::ready();
        for (name, role) in [
            ("vera", "viewer"),
            ("paul", "planner"),
            ("fred", "finance"),
            ("nina", "planner"),
            ("alix", "analyse"),
        ] {
            house.person(&admin, name, role);
        }
        let new = json!({"name": "direction", "readers": {"everyone": false}});
        house.check(post("/rag/collections", &new).by(&admin), 201, &json!({"documents": 0}));
        let closed = id(&house.send(&admin, "direction", &[("plan.txt", CLOSED.as_bytes())])[0]);
        let open = id(&house.send(&admin, "quai", &[("peages.txt", OPEN.as_bytes())])[0]);
        house.settle(&admin);
        let site = Self { house, admin, closed, open };
        site.give(&only(&["finance"], &[site.user("nina")]));
        site
    }

    fn give(&self, readers: &Value) {
        let ask = put("/rag/collections/direction", readers).by(&self.admin);
        self.house.check(ask, 200, readers);
    }

    fn user(&self, name: &str) -> Id {
        let name = name.to_owned();
        let store = &self.house.app().desks().system.store;
        store.read(|view| view.get(&USERS_BY_LOGIN, &name)).unwrap().unwrap()
    }

    /// Makes a user another role's.
    fn move_to(&self, name: &str, role: &str) {
        let id = self.user(name);
        let store = &self.house.app().desks().system.store;
        let number = store.read(|view| view.get(&USERS, &id)).unwrap().unwrap().number;
        let ask = put(&format!("/admin/users/{number}"), &json!({"role": role})).by(&self.admin);
        self.house.check(ask, 200, &json!({"role": role}));
    }

    /// The documents that a question finds.
    fn finds(&self, token: &str, question: &Value) -> Vec<String> {
        let found = self.house.check(post("/rag/query", question).by(token), 200, &json!({}));
        let results = found["results"].as_array().unwrap();
        results.iter().map(|one| one["document_id"].as_str().unwrap().to_owned()).collect()
    }

    /// A caller as the door would make it, for the verbs themselves.
    fn caller(&self, name: &str, role: &str, rights: &[Right]) -> Caller {
        let who = Who::User { id: self.user(name), name: name.into() };
        let rights: Rights = rights.iter().copied().collect();
        Caller { who, role: role.into(), rights, ..Caller::nobody(None, "test") }
    }
}

/// What somebody who may not read the closed collection sees at every door: nothing of it.
#[track_caller]
fn sees_nothing(site: &Site, token: &str, edits: bool) {
    let house = &site.house;
    let doc = format!("/rag/documents/{}", site.closed);
    for path in [doc.clone(), format!("{doc}/text"), format!("{doc}/file")] {
        house.refuses(get(&path).by(token), 404, "not_found");
    }
    if edits {
        house.refuses(ask("DELETE", &doc).by(token), 404, "not_found");
        house.refuses(ask("POST", &format!("{doc}/reindex")).by(token), 404, "not_found");
        // The same bytes, the same name, other bytes: one answer, and nothing of what is there.
        for (name, text) in [("plan.txt", CLOSED), ("copie.txt", CLOSED), ("plan.txt", "autre")] {
            let item = house.send(token, "direction", &[(name, text.as_bytes())]).remove(0);
            let wanted = json!(["refused", "collection_closed", null, null]);
            let got = [&item["outcome"], &item["fault"]["code"], &item["id"], &item["document"]];
            assert_eq!(json!(got), wanted, "{item}");
        }
        // Bytes that only the closed collection holds are new to every other one.
        let item = house.send(token, "quai", &[("copie.txt", CLOSED.as_bytes())]).remove(0);
        assert_eq!(item["outcome"], "added", "{item}");
        let copy = format!("/rag/documents/{}", id(&item));
        house.settle(&site.admin);
        house.check(ask("DELETE", &copy).by(token), 200, &json!({}));
        house.settle(&site.admin);
    }
    house.check(
        get("/rag/documents").by(token),
        200,
        &json!({"total": 1, "items": [{"id": site.open}], "counts": {"ready": 1, "failed": 0}}),
    );
    let status = json!({"documents": {"ready": 1, "queued": 0, "failed": 0}, "passages": 1,
                        "vectors": 0, "rebuild": null});
    house.check(get("/rag/status").by(token), 200, &status);
    let none = json!({"total": 0, "items": []});
    house.check(get("/rag/documents?collection=direction").by(token), 200, &none);
    house.check(get("/rag/documents?q=plan").by(token), 200, &none);
    let listed = house.check(
        get("/rag/collections").by(token),
        200,
        &json!({"items": [{"name": "quai", "documents": 1}]}),
    );
    assert_eq!(listed["items"][0].get("readers"), None, "readers are told to who decides them");
    assert_eq!(site.finds(token, &json!({"query": "tournesol"})), [site.open.as_str()]);
    for query in [SECRET, "\"plan de licenciement\"", "title:plan", "path:plan"] {
        let question = json!({"query": query});
        assert_eq!(site.finds(token, &question), [] as [&str; 0], "{query}");
    }
    // One that is closed and one that is not there are answered alike.
    let alike = |name: &str| {
        let ask = post("/rag/query", &json!({"query": "tournesol", "collection": name})).by(token);
        let reply = house.ask(ask);
        (reply.status, reply.json()["code"].clone(), reply.json()["detail"].clone())
    };
    assert_eq!(alike("direction"), alike("nulle part"));
    assert_eq!(alike("direction").0, 404);
}

#[track_caller]
fn sees_all(site: &Site, token: &str) {
    let house = &site.house;
    let doc = format!("/rag/documents/{}", site.closed);
    for path in [doc.clone(), format!("{doc}/text"), format!("{doc}/file")] {
        assert_eq!(house.ask(get(&path).by(token)).status, 200, "{path}");
    }
    house.check(get("/rag/documents").by(token), 200, &json!({"total": 2, "counts": {"ready": 2}}));
    let status = json!({"documents": {"ready": 2}, "passages": 2});
    house.check(get("/rag/status").by(token), 200, &status);
    house.check(
        get("/rag/collections").by(token),
        200,
        &json!({"items": [{"name": "direction", "documents": 1}, {"name": "quai"}]}),
    );
    assert_eq!(site.finds(token, &json!({"query": SECRET})), [site.closed.as_str()]);
    assert_eq!(site.finds(token, &json!({"query": "tournesol"})).len(), 2);
    let inside = json!({"query": "tournesol", "collection": "direction"});
    assert_eq!(site.finds(token, &inside), [site.closed.as_str()]);
}

#[test]
fn every_door_to_a_document_asks_who_reads_its_collection() {
    let site = Site::open();
    for (name, edits) in [("vera", false), ("paul", true), ("alix", false)] {
        sees_nothing(&site, &site.house.sign_in(name), edits);
    }
    for name in ["fred", "nina"] {
        sees_all(&site, &site.house.sign_in(name));
    }
    sees_all(&site, &site.admin);
    // Who reads it and edits documents edits these too.
    let nina = site.house.sign_in("nina");
    let item = site.house.send(&nina, "direction", &[("copie.txt", CLOSED.as_bytes())]).remove(0);
    assert_eq!((&item["outcome"], &item["id"]), (&json!("duplicate"), &json!(site.closed)));
    let doc = format!("/rag/documents/{}", site.closed);
    let again = ask("POST", &format!("{doc}/reindex"));
    site.house.check(again.by(&nina), 200, &json!({"state": "queued"}));
    site.house.settle(&site.admin);
    site.house.check(ask("DELETE", &doc).by(&nina), 200, &json!({}));
    // Nobody is told of documents before anybody asks who they are.
    for path in ["/rag/collections", &doc] {
        site.house.refuses(get(path), 401, "unauthenticated");
    }
    let everyone = json!({"readers": {"everyone": true}});
    for (ask, token) in [
        (put("/rag/collections/direction", &everyone), &nina),
        (put("/rag/collections/quai", &everyone), &nina),
        (ask("DELETE", "/rag/collections/direction"), &nina),
        (post("/rag/collections", &json!({"name": "x"})), &nina),
    ] {
        site.house.refuses(ask.by(token), 403, "right_missing");
    }
}

#[test]
fn readers_that_change_count_from_the_next_question_on() {
    let site = Site::open();
    let [vera, fred, nina] = ["vera", "fred", "nina"].map(|name| site.house.sign_in(name));
    let (question, doc) = (json!({"query": SECRET}), format!("/rag/documents/{}", site.closed));
    let reads = |token: &str| {
        let found = site.finds(token, &question).len();
        let status = site.house.ask(get(&doc).by(token)).status;
        assert_eq!(found == 1, status == 200, "search and door differ");
        found == 1
    };
    for (readers, wanted) in [
        (only(&["viewer"], &[]), [true, false, false]),
        (only(&[], &[site.user("vera"), site.user("fred")]), [true, true, false]),
        (only(&[], &[]), [false, false, false]),
        (json!({"readers": {"everyone": true, "roles": [], "users": []}}), [true, true, true]),
        (only(&["finance", "planner"], &[]), [false, true, true]),
    ] {
        site.give(&readers);
        assert_eq!([reads(&vera), reads(&fred), reads(&nina)], wanted, "{readers}");
        assert!(reads(&site.admin));
    }
    // Another role is another reader, with the session that was open already.
    site.move_to("fred", "viewer");
    assert_eq!([reads(&fred), reads(&nina)], [false, true]);
    site.move_to("vera", "finance");
    assert!(reads(&vera));
}

#[test]
fn what_is_closed_never_takes_a_place_among_the_proposed() {
    let (house, admin) = House::ready();
    house.person(&admin, "vera", "viewer");
    let new = json!({"name": "direction", "readers": {"everyone": false, "roles": ["finance"]}});
    house.check(post("/rag/collections", &new).by(&admin), 201, &json!({}));
    // More than a retriever proposes, and all of them better than the one open document.
    let better: Vec<(String, String)> = (0..120)
        .map(|n| {
            (
                format!("note-{n}.txt"),
                format!(
                    "Le tournesol de la cour, le tournesol du quai et le tournesol {n} sont jaunes."
                ),
            )
        })
        .collect();
    let files: Vec<(&str, &[u8])> =
        better.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    house.send(&admin, "direction", &files);
    let long = format!("{} Un tournesol. {}", "Le quai est long. ".repeat(20), "Oui. ".repeat(20));
    let open = id(&house.send(&admin, "quai", &[("long.txt", long.as_bytes())])[0]);
    house.settle(&admin);
    let vera = house.sign_in("vera");
    let found = house.check(
        post("/rag/query", &json!({"query": "tournesol"})).by(&vera),
        200,
        &json!({"results": [{"document_id": open}]}),
    );
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    let all = json!({"query": "tournesol", "top_k": 100});
    let found = house.check(post("/rag/query", &all).by(&admin), 200, &json!({}));
    assert_eq!(found["results"].as_array().unwrap().len(), 100);
    assert!(!found.to_string().contains(&open), "the test's closed documents are not better");
}

/// Each of the two checks is met alone: what the first lets through, the second stops when readers
/// change in between; and the first proposes nothing that the second would have to stop.
#[test]
fn a_change_between_retrieval_and_answer_counts_at_once() {
    let site = Site::open();
    let assistant = &site.house.app().desks().assistant;
    let vera = site.caller("vera", "viewer", &[Right::ReadDocuments]);
    let fred = site.caller("fred", "finance", &[Right::ReadDocuments]);
    let question = Question { query: "tournesol".into(), top: 10, ..Question::default() };
    let propose = |who: &Caller| assistant.propose(who, &question).unwrap();
    assert_eq!(propose(&fred).numbers().count(), 2);
    assert_eq!(propose(&vera).numbers().count(), 1, "the first check is gone");
    let before = propose(&fred);
    site.give(&only(&["analyse"], &[]));
    let found = assistant.answer(&fred, &question, before).unwrap();
    let collections: Vec<&str> =
        found.answers.iter().map(|one| one.edition.collection.as_str()).collect();
    assert_eq!(collections, ["quai"], "the second check is gone");
    // Proposals are not a ticket: those of one are answered to another as that other may read.
    let of_console = propose(&Caller::console("test"));
    assert_eq!(of_console.numbers().count(), 2);
    assert_eq!(assistant.answer(&vera, &question, of_console).unwrap().answers.len(), 1);
    let nobody = Caller::nobody(None, "test");
    let shown = assistant.answer(&nobody, &question, propose(&fred));
    assert_eq!(shown.unwrap_err().code, "unauthenticated");
}

/// The same by meaning, where the model is there: few are proposed, and the closed ones are nearer.
#[test]
fn nothing_closed_is_proposed_for_its_meaning() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    if !models.join("all-minilm-l6-v2/model.safetensors").exists() {
        println!("skipped: there is no model in {}", models.display());
        return;
    }
    let models = models.display().to_string();
    let settings = [("models.folder", models.as_str()), ("search.depth", "3")];
    let (house, admin) = House::ready_with(&settings);
    house.person(&admin, "vera", "viewer");
    let new = json!({"name": "direction", "readers": {"everyone": false}});
    house.check(post("/rag/collections", &new).by(&admin), 201, &json!({}));
    let nearer: Vec<(String, String)> = (0..6)
        .map(|n| (format!("{n}.txt"), format!("The driver rests for {n} hours after driving.")))
        .collect();
    let files: Vec<(&str, &[u8])> =
        nearer.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    house.send(&admin, "direction", &files);
    let text = "A lorry at the quay waits until somebody has signed the papers.";
    let open = id(&house.send(&admin, "quai", &[("quay.txt", text.as_bytes())])[0]);
    house.settle(&admin);
    let assistant = &house.app().desks().assistant;
    let began = std::time::Instant::now();
    while assistant.status(&Caller::console("test")).unwrap().vectors < 7 {
        assert!(began.elapsed().as_secs() < 30, "the passages get no vectors");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let vera = house.sign_in("vera");
    // None of its words stands in any document.
    let body = json!({"query": "tired chauffeurs pausing"});
    let found = house.check(post("/rag/query", &body).by(&vera), 200, &json!({}));
    let found = found["results"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["document_id"], &found[0]["retrievers"]),
        (&json!(open), &json!(["meaning"]))
    );
    let found = house.check(post("/rag/query", &body).by(&admin), 200, &json!({}));
    assert_eq!(found["results"].as_array().unwrap().len(), 3);
    assert!(!found.to_string().contains(&open), "the test's closed documents are not nearer");
}

/// A spelling that only a closed document holds is neither offered nor taken for known.
#[test]
fn no_word_of_a_closed_document_is_told_as_a_spelling() {
    let site = Site::open();
    let vera = site.house.sign_in("vera");
    let fred = site.house.sign_in("fred");
    let ask = |token: &str, word: &str| {
        let ask = post("/rag/query", &json!({"query": word})).by(token);
        site.house.check(ask, 200, &json!({}))["corrected"].clone()
    };
    assert_eq!(ask(&fred, "lixenciement")[0]["instead"], json!([SECRET]));
    assert_eq!(ask(&vera, "lixenciement"), json!([]));
    // `peages` is open; one letter away stands a word of the closed document alone.
    let item = site.house.send(&site.admin, "direction", &[("p.txt", b"Les pesages.")]);
    assert_eq!(item[0]["outcome"], "added");
    site.house.settle(&site.admin);
    assert_eq!(ask(&fred, "pesages"), json!([]), "it is known to who reads it");
    let told = ask(&vera, "pesages");
    assert_eq!(told[0]["word"], "pesages", "it is known to nobody else: {told}");
    assert_eq!(told, ask_with_nothing_closed("pesages"));
}

/// What the same question is told in a box that never had a closed document.
fn ask_with_nothing_closed(word: &str) -> Value {
    let (house, admin) = House::ready();
    house.send(&admin, "quai", &[("peages.txt", OPEN.as_bytes())]);
    house.settle(&admin);
    let ask = post("/rag/query", &json!({"query": word})).by(&admin);
    house.check(ask, 200, &json!({}))["corrected"].clone()
}

#[test]
fn a_collection_is_made_closed_and_deleted_when_empty() {
    let (house, admin) = House::ready();
    let new = |body: Value| post("/rag/collections", &body).by(&admin);
    house.check(
        new(json!({"name": " Comité & direction "})),
        201,
        &json!({
        "name": "Comité & direction", "documents": 0, "readers": {"everyone": true}}),
    );
    let path = "/rag/collections/Comit%C3%A9%20%26%20direction";
    house.refuses(new(json!({"name": "Comité & direction"})), 409, "collection_exists");
    for name in ["a/b", "..", ".", "a\u{1}b", &"c".repeat(65)] {
        house.refuses(new(json!({"name": name})), 400, "collection_invalid");
    }
    let many: Vec<String> = (0..101).map(|n| format!("r{n}")).collect();
    let crowd = json!({"readers": {"everyone": false, "roles": many}});
    let refused = house.check(put(path, &crowd).by(&admin), 422, &json!({"code": "validation"}));
    assert!(refused.to_string().contains("at most 100"), "{refused}");
    let wrong = json!({"readers": {"everyone": false, "roles": ["roi", "admin"], "users": ["x"]}});
    let detail = json!({"code": "validation"});
    house.check(put(path, &wrong).by(&admin), 422, &detail);
    house.send(&admin, "Comité & direction", &[("a.txt", b"un texte")]);
    house.settle(&admin);
    house.refuses(ask("DELETE", path).by(&admin), 409, "collection_not_empty");
    let listed = house.ask(get("/rag/documents").by(&admin)).json();
    let doc = format!("/rag/documents/{}", id(&listed["items"][0]));
    house.check(ask("DELETE", &doc).by(&admin), 200, &json!({}));
    house.check(ask("DELETE", path).by(&admin), 200, &json!({"status": "deleted"}));
    house.refuses(ask("DELETE", path).by(&admin), 404, "not_found");
    house.refuses(put(path, &only(&[], &[])).by(&admin), 404, "not_found");
    house.check(get("/rag/collections").by(&admin), 200, &json!({"items": []}));
}

#[test]
fn the_journal_tells_who_read_before_and_who_reads_now() {
    let site = Site::open();
    // The same readers again are no deed.
    site.give(&only(&["finance"], &[site.user("nina")]));
    let store = &site.house.app().desks().system.store;
    let head = store.journal_head().number;
    let links = store.read(|view| journal::links(view, 0, usize::try_from(head).unwrap())).unwrap();
    let deeds: Vec<_> = links.iter().filter(|link| link.deed == "collection.readers").collect();
    assert_eq!(deeds.len(), 1, "{deeds:?}");
    let state = |text: &Option<String>| -> Value {
        serde_json::from_str(text.as_deref().unwrap()).unwrap()
    };
    assert_eq!((deeds[0].who.as_str(), deeds[0].object.as_str()), ("Chef", "direction"));
    assert_eq!(state(&deeds[0].before), json!({"everyone": false, "roles": [], "users": []}));
    let nina = site.user("nina").to_string();
    let after = json!({"everyone": false, "roles": ["finance"], "users": [nina]});
    assert_eq!(state(&deeds[0].after), after);
}

/// A download that began while a collection was open ends when it is closed.
#[test]
fn a_part_of_a_file_is_asked_for_by_somebody() {
    let site = Site::open();
    let assistant = &site.house.app().desks().assistant;
    let fred = site.caller("fred", "finance", &[Right::ReadDocuments]);
    let doc: Id = site.closed.parse().unwrap();
    let (document, file) = assistant.file(&fred, doc).unwrap();
    assert_eq!(file.parts, 1);
    let part = || assistant.file_part(&fred, doc, &document.sha256, 0);
    assert_eq!(part().unwrap().unwrap(), CLOSED.as_bytes());
    site.give(&only(&[], &[]));
    assert_eq!(part().unwrap_err().code, "not_found");
}

/// An upload that is retried is answered from what was kept, but not to who lost the collection.
#[test]
fn a_retried_upload_tells_nothing_of_a_collection_closed_meanwhile() {
    let site = Site::open();
    let nina = site.house.sign_in("nina");
    let send = || -> Ask {
        upload("direction", &[("neuf.txt", b"un texte neuf")])
            .header("idempotency-key", "k-1")
            .by(&nina)
    };
    let outcome = |wanted: &str| {
        let body = site.house.check(send(), 201, &json!({}));
        assert_eq!(body["items"][0]["outcome"], wanted, "{body}");
    };
    outcome("added");
    outcome("added");
    site.give(&only(&["finance"], &[]));
    outcome("refused");
}

/// The closed collection of the sample depot, with the readers that `ilot demo` gives it.
#[test]
fn a_visitor_of_the_sample_depot_does_not_find_what_is_for_the_direction() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo");
    let (house, admin) = House::ready();
    let closed = std::fs::read_to_string(demo.join("readers.json")).unwrap();
    let closed: Value = serde_json::from_str(&closed).unwrap();
    for (name, readers) in closed.as_object().unwrap() {
        let new = json!({"name": name, "readers": readers});
        house.check(post("/rag/collections", &new).by(&admin), 201, &json!({}));
    }
    for folder in ["direction", "exploitation"] {
        for file in std::fs::read_dir(demo.join("documents").join(folder)).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            house.send(&admin, folder, &[(&name, &std::fs::read(file.path()).unwrap())]);
        }
    }
    house.settle(&admin);
    let (_, vera) = house.person(&admin, "vera", "viewer");
    let (_, fred) = house.person(&admin, "fred", "finance");
    let finds = |token: &str, query: &str| {
        let body = json!({"query": query, "top_k": 20});
        let found = house.check(post("/rag/query", &body).by(token), 200, &json!({}));
        found["results"].as_array().unwrap().iter().any(|one| one["collection"] == "direction")
    };
    for query in ["rachat Transports Vernay", "Glycine", "enveloppe des augmentations pour 2027"] {
        let found = [&vera, &fred, &admin].map(|token| finds(token, query));
        assert_eq!(found, [false, true, true], "{query}");
    }
}
