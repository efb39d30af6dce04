//! Every route of the description, met by nobody, by somebody without the right, with nonsense, and in good order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ask::{Ask, House, PASSWORD, ask, get, post, put, upload};

/// Who is let in.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    /// Everybody.
    All,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever reads documents: every role there is, but not a user without one.
    Readers,
    /// Whoever edits documents: no viewer.
    Editors,
    /// Whoever administers: no planner.
    Admins,
}

/// A route and what it is asked. `{doc}` in a path is a document that is there and read.
struct Case {
    route: (&'static str, &'static str),
    open: Open,
    /// The request in good order.
    good: Ask,
    /// What it answers.
    answers: (u16, Value),
    /// Requests whose field is wrong, with the place of the field.
    wrong: Vec<(Ask, Value)>,
    /// Whether it takes a JSON body, so that nonsense is `json_malformed`.
    json: bool,
    /// A path to something that is not there.
    unknown: Option<&'static str>,
}

fn case(open: Open, good: Ask, answers: u16) -> Case {
    let route = ("", "");
    Case {
        route,
        open,
        good,
        answers: (answers, json!({})),
        wrong: Vec::new(),
        json: false,
        unknown: None,
    }
}

impl Case {
    fn of(mut self, method: &'static str, path: &'static str) -> Self {
        self.route = (method, path);
        self
    }
    fn with(mut self, body: Value) -> Self {
        self.answers.1 = body;
        self
    }
    fn takes_json(mut self) -> Self {
        self.json = true;
        self
    }
    fn wrong(mut self, ask: Ask, place: Value) -> Self {
        self.wrong.push((ask, place));
        self
    }
    fn unknown(mut self, path: &'static str) -> Self {
        self.unknown = Some(path);
        self
    }
}

const NOBODYS: &str = "01980000-0000-7000-8000-000000000000";

fn of_the_box() -> Vec<Case> {
    let word = json!({"token": "not the word", "site": "S", "username": "x", "password": PASSWORD});
    vec![
        case(Open::All, get("/health"), 200).of("get", "/health").with(
            json!({"status": "ok", "healthy": true, "db": "ok", "db_ok": true, "llm": "missing"}),
        ),
        case(Open::SignedIn, get("/health/detail"), 200)
            .of("get", "/health/detail")
            .with(json!({"parts": {"store": {"level": "ok"}}, "certificate": null})),
        case(Open::Admins, get("/metrics"), 200).of("get", "/metrics"),
        case(Open::All, get("/ca.crt"), 404)
            .of("get", "/ca.crt")
            .with(json!({"code": "not_found"})),
        case(Open::Admins, ask("POST", "/clock/settle"), 200)
            .of("post", "/clock/settle")
            .with(json!({"status": "ok"})),
        case(Open::All, get("/setup/state"), 200)
            .of("get", "/setup/state")
            .with(json!({"needed": false, "site": "Dépôt de Saint-Fons", "language": "fr"})),
        // The box is set up already; the first time has its own tests.
        case(Open::All, post("/setup", &word), 409)
            .of("post", "/setup")
            .with(json!({"code": "setup_done"}))
            .takes_json()
            .wrong(
                post("/setup", &json!({"site": "S", "username": "x"})),
                json!(["body", "password"]),
            )
            .wrong(post("/setup", &json!({"site": 7})), json!(["body", "site"])),
    ]
}

fn of_identity() -> Vec<Case> {
    let user = |name: &str| json!({"username": name, "password": PASSWORD});
    let users = |body: &Value| post("/admin/users", body);
    vec![
        case(Open::All, post("/auth/login", &user("chef")), 200)
            .of("post", "/auth/login")
            .with(json!({"token_type": "bearer", "user": {"username": "Chef", "role": "admin"}}))
            .takes_json()
            .wrong(post("/auth/login", &json!({"password": "x"})), json!(["body", "username"]))
            .wrong(post("/auth/login", &json!({"username": 7})), json!(["body", "username"])),
        case(Open::SignedIn, get("/auth/me"), 200)
            .of("get", "/auth/me")
            .with(json!({"csrf_token": null, "site": "Dépôt de Saint-Fons"})),
        case(Open::SignedIn, ask("POST", "/auth/logout"), 200)
            .of("post", "/auth/logout")
            .with(json!({"status": "ok", "success": true})),
        case(Open::Admins, get("/admin/users"), 200).of("get", "/admin/users"),
        case(Open::Admins, users(&user("nouveau")), 201)
            .of("post", "/admin/users")
            .with(json!({"username": "nouveau", "role": "viewer", "is_active": true}))
            .takes_json()
            .wrong(users(&json!({"username": "a"})), json!(["body", "password"]))
            .wrong(
                users(&json!({"username": "a", "password": "short"})),
                json!(["body", "password"]),
            )
            .wrong(
                users(&json!({"username": "", "password": PASSWORD})),
                json!(["body", "username"]),
            )
            .wrong(
                users(&json!({"username": "zoe", "password": PASSWORD, "role": "roi"})),
                json!(["body", "role"]),
            )
            .wrong(
                users(&json!({"username": "zoe\\b", "password": PASSWORD})),
                json!(["body", "username"]),
            )
            .wrong(
                users(&json!({"username": "zoe", "email": "nowhere", "password": PASSWORD})),
                json!(["body", "email"]),
            ),
        case(Open::Admins, put("/admin/users/1", &json!({"display_name": "Le chef"})), 200)
            .of("put", "/admin/users/{id}")
            .with(json!({"id": 1, "display_name": "Le chef"}))
            .takes_json()
            .wrong(put("/admin/users/1", &json!({"role": "roi"})), json!(["body", "role"]))
            .wrong(
                put("/admin/users/1", &json!({"is_active": "yes"})),
                json!(["body", "is_active"]),
            )
            .wrong(put("/admin/users/un", &json!({})), json!(["path", "id"]))
            .unknown("/admin/users/999"),
    ]
}

fn of_keys() -> Vec<Case> {
    let key = |body: &Value| post("/apikeys", body);
    let good = json!({"name": "relevés", "scopes": ["rag", "view_planning"]});
    vec![
        case(Open::SignedIn, get("/apikeys"), 200).of("get", "/apikeys").with(json!({"keys": []})),
        case(Open::Admins, key(&json!({"name": "quai", "kind": "kiosk"})), 201)
            .of("post", "/apikeys")
            .with(json!({"name": "quai", "kind": "kiosk", "scopes": ["punch_for_others"]}))
            .takes_json()
            .wrong(key(&json!({"scopes": []})), json!(["body", "name"]))
            .wrong(key(&json!({"name": "", "scopes": ["rag"]})), json!(["body", "name"]))
            .wrong(key(&json!({"name": "a"})), json!(["body", "scopes"]))
            .wrong(
                key(&json!({"name": "a", "scopes": ["rag", "tout"]})),
                json!(["body", "scopes", "1"]),
            )
            .wrong(
                key(&json!({"name": "a", "kind": "kiosk", "scopes": ["rag"]})),
                json!(["body", "scopes", "0"]),
            )
            .wrong(
                key(&json!({"name": "a", "scopes": ["rag"], "expires_in_days": 3651})),
                json!(["body", "expires_in_days"]),
            )
            .wrong(
                key(&json!({"name": "a", "scopes": ["rag"], "expires_in_days": 0})),
                json!(["body", "expires_in_days"]),
            )
            .wrong(key(&json!({"name": "a", "kind": "robot"})), json!(["body", "kind"])),
        case(Open::SignedIn, key(&good), 201)
            .of("post", "/apikeys")
            .with(json!({"name": "relevés", "kind": "person"})),
        case(Open::SignedIn, get("/apikeys/scopes"), 200).of("get", "/apikeys/scopes"),
        case(Open::SignedIn, ask("DELETE", "/apikeys/{none}"), 404)
            .of("delete", "/apikeys/{id}")
            .wrong(ask("DELETE", "/apikeys/un"), json!(["path", "id"]))
            .unknown("/apikeys/{none}"),
        case(Open::Admins, get("/admin/config"), 200).of("get", "/admin/config").with(
            json!({"app_name": "ilot", "auto_backup_enabled": false, "log_level": "info",
                   "settings": {"identity": {"address_failures": 5}},
                   "origins": {"listen.https": "flag", "identity.address_failures": "default"}}),
        ),
    ]
}

fn of_documents() -> Vec<Case> {
    let one = "/rag/documents/{id}";
    vec![
        case(Open::Readers, get("/rag/documents?q=guide&limit=1"), 200)
            .of("get", "/rag/documents")
            .with(json!({"total": 1, "items": [{"path": "guide.md", "state": "ready"}]}))
            .wrong(get("/rag/documents?state=asleep"), json!(["query", "state"]))
            .wrong(get("/rag/documents?limit=many"), json!(["query", "limit"])),
        case(Open::Editors, upload("", &[("neuf.txt", b"un texte neuf")]), 201)
            .of("post", "/rag/documents")
            .with(json!({"items": [{"name": "neuf.txt", "outcome": "added", "fault": null}]}))
            .wrong(upload("x", &[]), json!(["body", "file"])),
        case(Open::Readers, get("/rag/documents/{doc}"), 200)
            .of("get", one)
            .with(json!({"path": "guide.md", "collection": "general", "added_by": "Chef", "failure": null}))
            .wrong(get("/rag/documents/un"), json!(["path", "id"]))
            .unknown("/rag/documents/{none}"),
        case(Open::Readers, get("/rag/documents/{doc}/text?start=2&end=10"), 200)
            .of("get", "/rag/documents/{id}/text")
            .with(json!({"start": 2, "end": 10}))
            .wrong(get("/rag/documents/{doc}/text?start=-1"), json!(["query", "start"]))
            .unknown("/rag/documents/{none}/text"),
        case(Open::Readers, get("/rag/documents/{doc}/file"), 200)
            .of("get", "/rag/documents/{id}/file")
            .unknown("/rag/documents/{none}/file"),
        case(Open::Editors, ask("POST", "/rag/documents/{doc}/reindex"), 200)
            .of("post", "/rag/documents/{id}/reindex")
            .with(json!({"state": "queued"}))
            .unknown("/rag/documents/{none}/reindex"),
        case(Open::Readers, get("/rag/collections"), 200)
            .of("get", "/rag/collections")
            .with(json!({"items": [{"name": "general"}]})),
        case(Open::Editors, ask("DELETE", "/rag/documents/{doc}"), 200)
            .of("delete", one)
            .with(json!({"status": "deleted"}))
            .unknown("/rag/documents/{none}"),
    ]
}

fn of_search() -> Vec<Case> {
    let query = |body: &Value| post("/rag/query", body);
    vec![
        case(Open::Readers, query(&json!({"query": "guide"})), 200)
            .of("post", "/rag/query")
            .with(json!({"lexical_only": true}))
            .takes_json()
            .wrong(query(&json!({})), json!(["body", "query"]))
            .wrong(query(&json!({"query": " "})), json!(["body", "query"]))
            .wrong(query(&json!({"query": "x".repeat(1025)})), json!(["body", "query"]))
            .wrong(query(&json!({"query": "x", "top_k": 0})), json!(["body", "top_k"]))
            .wrong(query(&json!({"query": "x", "top_k": 101})), json!(["body", "top_k"]))
            .wrong(query(&json!({"query": "x", "top_k": -1})), json!(["body", "top_k"]))
            .wrong(
                query(&json!({"query": "x", "date_from": "hier"})),
                json!(["body", "date_from"]),
            ),
        case(Open::Editors, post("/rag/reindex", &json!({"full": true})), 200)
            .of("post", "/rag/reindex")
            .takes_json()
            .wrong(post("/rag/reindex", &json!({"full": "yes"})), json!(["body", "full"])),
        case(Open::Readers, get("/rag/status"), 200)
            .of("get", "/rag/status")
            .with(json!({"model": {"present": false}, "vectors": 0, "rebuild": null})),
    ]
}

fn cases() -> Vec<Case> {
    [of_the_box(), of_identity(), of_keys(), of_search(), of_documents()].into_iter().flatten().collect()
}

fn filled(mut ask: Ask, document: &str) -> Ask {
    ask.path = ask.path.replace("{doc}", document).replace("{none}", NOBODYS);
    ask
}

#[test]
fn no_route_is_without_a_case() {
    let document: Value =
        serde_json::from_str(&ilot::app::commands::openapi::document().unwrap()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(
            methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())),
        );
    }
    let cases: BTreeSet<_> =
        cases().iter().map(|c| (c.route.0.to_owned(), c.route.1.to_owned())).collect();
    let without: Vec<_> = described.difference(&cases).collect();
    assert!(without.is_empty(), "a new route without a case: {without:?}");
    let gone: Vec<_> = cases.difference(&described).collect();
    assert!(gone.is_empty(), "a case without its route: {gone:?}");
}

#[test]
fn every_route_answers_everybody_as_it_should() {
    let (house, admin) = House::ready();
    let (_, viewer) = house.person(&admin, "vera", "viewer");
    let (_, planner) = house.person(&admin, "paul", "planner");
    let beggar = house.beggar(&admin);
    let items =
        house.send(&admin, "", &[("guide.md", "# Le guide\n\nUn guide pour tous.".as_bytes())]);
    let document = items[0]["id"].as_str().unwrap().to_owned();
    house.settle(&admin);
    for case in cases() {
        let good = filled(case.good.clone(), &document);
        if case.open != Open::All {
            house.refuses(good.clone(), 401, "unauthenticated");
            house.refuses(good.clone().by("ab.cd.ef"), 401, "unauthenticated");
        }
        let refused: &[&String] = match case.open {
            Open::All | Open::SignedIn => &[],
            Open::Readers => &[&beggar],
            Open::Editors => &[&beggar, &viewer],
            Open::Admins => &[&beggar, &viewer, &planner],
        };
        for token in refused {
            house.refuses(good.clone().by(token), 403, "right_missing");
        }
        if case.json {
            house.refuses(good.clone().by(&admin).raw_again("{\"a\": "), 400, "json_malformed");
        }
        for (ask, place) in &case.wrong {
            let detail = json!({"code": "validation", "detail": [{"loc": place, "input": null}]});
            house.check(filled(ask.clone(), &document).by(&admin), 422, &detail);
        }
        if let Some(path) = case.unknown {
            let mut nowhere = good.clone();
            path.clone_into(&mut nowhere.path);
            house.refuses(filled(nowhere, &document).by(&admin), 404, "not_found");
        }
        // Signing out must not end the session that the cases after it use.
        let token = match case.route.1 {
            "/auth/logout" => house.sign_in("vera"),
            _ => admin.clone(),
        };
        let (status, body) = &case.answers;
        house.check(good.by(&token), *status, body);
    }
}

#[test]
fn what_settings_open_is_open() {
    let (house, _) =
        House::ready_with(&[("listen.https", "127.0.0.1:0"), ("metrics.open", "true")]);
    let certificate = house.ask(get("/ca.crt"));
    assert_eq!(certificate.header("content-type"), "application/x-x509-ca-cert");
    // DER begins with a sequence.
    assert_eq!((certificate.status, certificate.bytes.first()), (200, Some(&0x30)));
    let metrics = house.ask(get("/metrics"));
    let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
    assert!(metrics.status == 200 && text.contains("ilot_store_changes_total"), "{text}");
}
