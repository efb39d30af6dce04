//! Every route of the description, met by nobody, by each role, by another owner, by who was revoked,
//! with nonsense, and in good order.

use std::cell::Cell;
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
    /// A person who is signed in with a session: no key, no machine.
    Person,
    /// Whoever holds that right.
    Holders(&'static str),
    /// Whoever reads documents: every role there is, but not a user without one.
    Readers,
    /// Whoever edits documents: no viewer.
    Editors,
    /// Whoever administers: no planner.
    Admins,
}

impl Open {
    /// Whether somebody with those permissions, as `/auth/me` lists them, is let in.
    fn lets_in(self, permissions: &Value) -> bool {
        let right = match self {
            Self::All | Self::SignedIn | Self::Person => return true,
            Self::Holders(right) => right,
            Self::Readers => "read_documents",
            Self::Editors => "edit_documents",
            Self::Admins => "admin_access",
        };
        permissions[right].as_bool().unwrap_or_else(|| panic!("there is no right '{right}'"))
    }
}

/// A route and what it is asked. In a path or a body, `{doc}` is a document that is there and read,
/// `{paper}` a new one, `{spare}` the number of a new user, `{uuid}` its name of record, `{session}` a
/// session of it, `{invite}` the word of a new invitation, `{invitation}` its name of record, `{role}` the number of a new role, `{conversation}` a conversation and `{prompt}` a prompt of whoever asks, `{own}` a right of whoever asks, `{planb_key}` a further key of Plan B, `{arrival}` something that Plan B wrote down and nobody takes, `{device}` a phone of whoever asks, `{kiosk}` a new kiosk, `{pairing}` a code that pairs one, `{hr_code}` a new code of the personnel office, `{joining}` somebody who joins with one, `{correction}` one that waits, `{wish}` one of whoever asks, `{schedule}` a new one, `{rules}` the day from which new ones hold, `{none}` nothing's name, and `{n}` a number that
/// no other request has.
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
    /// Whether the thing of the good request is somebody's own: to others it is not there.
    owned: bool,
    /// Whether whoever has to choose a password first is let in.
    on_hold: bool,
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
        owned: false,
        on_hold: matches!(open, Open::All | Open::SignedIn | Open::Person),
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
    fn owned(mut self) -> Self {
        self.owned = true;
        self
    }
    fn not_on_hold(mut self) -> Self {
        self.on_hold = false;
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
            .not_on_hold()
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
        case(Open::All, ask("POST", "/auth/logout"), 200)
            .of("post", "/auth/logout")
            .with(json!({"status": "ok", "success": true})),
        case(Open::All, post("/api/auth/login", &user("chef")), 200)
            .of("post", "/api/auth/login")
            .with(json!({"token_type": "bearer", "user": {"username": "Chef"}}))
            .takes_json()
            .wrong(post("/api/auth/login", &json!({"password": "x"})), json!(["body", "username"])),
        case(Open::All, form("username=chef&password=un+mot+de+passe+assez+long"), 200)
            .of("post", "/auth/token")
            .with(json!({"token_type": "bearer", "expires_in": 43200}))
            .wrong(form("username=chef"), json!(["body", "password"])),
        case(Open::Person, post("/auth/step-up", &json!({"password": PASSWORD})), 200)
            .of("post", "/auth/step-up")
            .with(json!({"status": "ok"}))
            .takes_json()
            .wrong(post("/auth/step-up", &json!({})), json!(["body", "password"])),
        case(Open::Person, ask("POST", "/auth/refresh"), 200)
            .of("post", "/auth/refresh")
            .with(json!({"token_type": "bearer"}))
            .not_on_hold(),
        // The right password would end the other sessions of whoever asks; it has its own tests.
        case(Open::Person, change("faux", "une autre phrase"), 400)
            .of("post", "/auth/change-password")
            .with(json!({"code": "password_wrong"}))
            .takes_json()
            .wrong(change(PASSWORD, "court"), json!(["body", "new_password"])),
    ]
}

fn form(fields: &str) -> Ask {
    ask("POST", "/auth/token").raw("application/x-www-form-urlencoded", fields)
}

fn change(current: &str, new: &str) -> Ask {
    let body = json!({"current_password": current, "new_password": new});
    post("/auth/change-password", &body)
}

fn of_registration() -> Vec<Case> {
    let rights = Open::Holders("manage_rights");
    let invite = |body: &Value| post("/admin/invitations", body);
    let guest = |password: &str| json!({"username": "guest{n}", "password": password, "invitation": "{invite}"});
    let import = |users: &Value| post("/admin/users/import", &json!({"users": users}));
    vec![
        case(Open::All, post("/auth/register", &guest(PASSWORD)), 201)
            .of("post", "/auth/register")
            .with(json!({"role": "viewer", "is_system_admin": false}))
            .takes_json()
            .wrong(post("/auth/register", &guest("court")), json!(["body", "password"]))
            .wrong(post("/auth/register", &json!({"username": 7})), json!(["body", "username"])),
        case(Open::All, post("/api/auth/register", &guest(PASSWORD)), 200)
            .of("post", "/api/auth/register")
            .with(json!({"role": "viewer", "email": null}))
            .takes_json()
            .wrong(post("/api/auth/register", &guest("court")), json!(["body", "password"])),
        case(Open::All, get("/auth/invitations/{invite}"), 200)
            .of("get", "/auth/invitations/{token}")
            .with(json!({"role": "viewer", "site": "Dépôt de Saint-Fons"})),
        case(rights, get("/admin/invitations"), 200).of("get", "/admin/invitations"),
        case(rights, invite(&json!({"role": "viewer"})), 201)
            .of("post", "/admin/invitations")
            .with(json!({"role": "viewer", "email": ""}))
            .takes_json()
            .wrong(invite(&json!({})), json!(["body", "role"]))
            .wrong(invite(&json!({"role": "roi"})), json!(["body", "role"]))
            .wrong(
                invite(&json!({"role": "viewer", "expires_in_days": 31})),
                json!(["body", "expires_in_days"]),
            ),
        case(rights, ask("DELETE", "/admin/invitations/{invitation}"), 200)
            .of("delete", "/admin/invitations/{id}")
            .with(json!({"success": true}))
            .wrong(ask("DELETE", "/admin/invitations/un"), json!(["path", "id"]))
            .unknown("/admin/invitations/{none}"),
        case(rights, import(&json!([{"username": "importe{n}"}])), 200)
            .of("post", "/admin/users/import")
            .with(json!({"done": false, "plan": [{"outcome": "created"}]}))
            .takes_json()
            .wrong(post("/admin/users/import", &json!({})), json!(["body", "users"]))
            .wrong(import(&json!([{"username": 7}])), json!(["body", "users", "0", "username"])),
    ]
}

fn of_second_factor() -> Vec<Case> {
    let code = |path: &str| post(path, &json!({"code": "000000"}));
    let none = json!({"code": "second_factor_not_enrolled"});
    let recovery = |body: &Value| post("/totp/recovery/use", body);
    vec![
        case(Open::Person, ask("POST", "/totp/provision"), 200).of("post", "/totp/provision"),
        // Nobody knows the code of what was just shown; the right one has its own tests.
        case(Open::Person, code("/totp/activate"), 400)
            .of("post", "/totp/activate")
            .with(json!({"code": "second_factor_wrong"}))
            .takes_json()
            .wrong(post("/totp/activate", &json!({})), json!(["body", "code"])),
        case(Open::Person, code("/totp/validate"), 404)
            .of("post", "/totp/validate")
            .with(none.clone())
            .takes_json()
            .wrong(post("/totp/validate", &json!({"code": 7})), json!(["body", "code"])),
        case(Open::Person, recovery(&json!({"recovery_code": "ABCD-EFGH"})), 404)
            .of("post", "/totp/recovery/use")
            .with(none.clone())
            .takes_json()
            .wrong(recovery(&json!({})), json!(["body", "recovery_code"])),
        case(Open::Person, ask("POST", "/totp/recovery/regenerate"), 404)
            .of("post", "/totp/recovery/regenerate")
            .with(none.clone()),
        case(Open::Person, get("/totp/recovery/status"), 200)
            .of("get", "/totp/recovery/status")
            .with(json!({"enabled": false, "remaining": 0, "required": false})),
        case(Open::Person, ask("POST", "/totp/disable"), 404)
            .of("post", "/totp/disable")
            .with(none.clone()),
        case(Open::Holders("manage_rights"), ask("POST", "/admin/users/{spare}/totp/reset"), 404)
            .of("post", "/admin/users/{id}/totp/reset")
            .with(none)
            .unknown("/admin/users/999/totp/reset"),
    ]
}

fn of_users() -> Vec<Case> {
    let user = |name: &str| json!({"username": name, "password": PASSWORD});
    let users = |body: &Value| post("/admin/users", body);
    let rights = Open::Holders("manage_rights");
    vec![
        case(Open::Person, put("/auth/me", &json!({"display_name": "Moi"})), 200)
            .of("put", "/auth/me")
            .not_on_hold()
            .with(json!({"display_name": "Moi", "site": "Dépôt de Saint-Fons"}))
            .takes_json()
            .wrong(put("/auth/me", &json!({"language": "de"})), json!(["body", "language"]))
            .wrong(put("/auth/me", &json!({"email": "x"})), json!(["body", "email"])),
        case(rights, get("/admin/users?active_only=true&limit=1"), 200)
            .of("get", "/admin/users")
            .wrong(get("/admin/users?limit=some"), json!(["query", "limit"])),
        case(rights, users(&user("nouveau{n}")), 201)
            .of("post", "/admin/users")
            .with(json!({"role": "viewer", "is_active": true, "temp_password": null}))
            .takes_json()
            .wrong(users(&json!({"password": PASSWORD})), json!(["body", "username"]))
            .wrong(
                users(&json!({"username": "a", "password": "short"})),
                json!(["body", "password"]),
            )
            .wrong(
                users(&json!({"username": "zoe", "password": PASSWORD, "role": "roi"})),
                json!(["body", "role"]),
            )
            .wrong(users(&json!({"username": "zoe\\b"})), json!(["body", "username"]))
            .wrong(users(&json!({"username": "zoe@b"})), json!(["body", "username"]))
            .wrong(
                users(&json!({"username": "zoe", "email": "nowhere", "password": PASSWORD})),
                json!(["body", "email"]),
            ),
        case(rights, get("/admin/users/{spare}"), 200)
            .of("get", "/admin/users/{id}")
            .with(json!({"role": "viewer", "state": "active", "last_login": null}))
            .unknown("/admin/users/999"),
        case(rights, put("/admin/users/{spare}", &json!({"role": "planner"})), 200)
            .of("put", "/admin/users/{id}")
            .with(json!({"role": "planner"}))
            .takes_json()
            .wrong(put("/admin/users/{spare}", &json!({"role": "roi"})), json!(["body", "role"]))
            .wrong(
                put("/admin/users/{spare}", &json!({"is_active": "yes"})),
                json!(["body", "is_active"]),
            )
            .wrong(put("/admin/users/un", &json!({})), json!(["path", "id"]))
            .unknown("/admin/users/999"),
    ]
}

fn of_what_users_hold() -> Vec<Case> {
    let rights = Open::Holders("manage_rights");
    vec![
        case(rights, ask("DELETE", "/admin/users/{spare}"), 200)
            .of("delete", "/admin/users/{id}")
            .with(json!({"success": true}))
            .unknown("/admin/users/999"),
        case(
            rights,
            ask("PATCH", "/admin/users/{spare}/role").json(&json!({"role": " Manager"})),
            200,
        )
        .of("patch", "/admin/users/{id}/role")
        .with(json!({"role": "manager"}))
        .takes_json()
        .unknown("/admin/users/999/role"),
        case(rights, post("/admin/users/{spare}/role", &json!({"role": "user"})), 200)
            .of("post", "/admin/users/{id}/role")
            .with(json!({"role": "user"}))
            .takes_json()
            .wrong(
                post("/admin/users/{spare}/role", &json!({"role": "roi"})),
                json!(["body", "role"]),
            )
            .unknown("/admin/users/999/role"),
        case(rights, ask("POST", "/admin/users/{spare}/reset-password"), 200)
            .of("post", "/admin/users/{id}/reset-password")
            .with(json!({"success": true}))
            .unknown("/admin/users/999/reset-password"),
        case(rights, ask("POST", "/admin/users/{spare}/offboard?dry_run=true"), 200)
            .of("post", "/admin/users/{id}/offboard")
            .with(json!({"done": false, "taken": {"sessions": 0}}))
            .wrong(
                ask("POST", "/admin/users/{spare}/offboard?dry_run=maybe"),
                json!(["query", "dry_run"]),
            )
            .unknown("/admin/users/999/offboard"),
        case(rights, get("/admin/users/{spare}/grants"), 200)
            .of("get", "/admin/users/{id}/grants")
            .with(json!({"items": [{"right": "view_analyse", "until": null}]}))
            .unknown("/admin/users/999/grants"),
        case(
            rights,
            post("/admin/users/{spare}/grants", &json!({"right": "view_finance", "reason": "x"})),
            201,
        )
        .of("post", "/admin/users/{id}/grants")
        .with(json!({"right": "view_finance", "until": null, "reason": "x"}))
        .takes_json()
        .wrong(
            post("/admin/users/{spare}/grants", &json!({"right": "all"})),
            json!(["body", "right"]),
        )
        .wrong(
            post(
                "/admin/users/{spare}/grants",
                &json!({"right": "view_finance", "until": "2020-01-01T00:00:00Z"}),
            ),
            json!(["body", "until"]),
        )
        .unknown("/admin/users/999/grants"),
        case(rights, ask("DELETE", "/admin/users/{spare}/grants/view_analyse"), 200)
            .of("delete", "/admin/users/{id}/grants/{right}")
            .with(json!({"success": true}))
            .unknown("/admin/users/1/grants/view_analyse"),
        case(rights, get("/api/users"), 200).of("get", "/api/users"),
        case(rights, get("/api/users/{uuid}"), 200)
            .of("get", "/api/users/{id}")
            .with(json!({"role": "viewer", "email": null}))
            .wrong(get("/api/users/un"), json!(["path", "id"]))
            .unknown("/api/users/{none}"),
    ]
}

fn of_roles_and_sessions() -> Vec<Case> {
    let rights = Open::Holders("manage_rights");
    let sauron = Open::Holders("view_sauron");
    vec![
        case(rights, get("/admin/roles"), 200).of("get", "/admin/roles"),
        case(
            rights,
            post("/admin/roles", &json!({"name": "quai_{n}", "rights": ["view_planning"]})),
            201,
        )
        .of("post", "/admin/roles")
        .with(json!({"rights": ["view_planning"], "built_in": false, "users": 0}))
        .takes_json()
        .wrong(post("/admin/roles", &json!({"name": "Le quai"})), json!(["body", "name"]))
        .wrong(
            post("/admin/roles", &json!({"name": "quai", "rights": ["view_planning", "fly"]})),
            json!(["body", "rights", "1"]),
        ),
        case(rights, put("/admin/roles/{role}", &json!({"second_factor": true})), 200)
            .of("put", "/admin/roles/{id}")
            .with(json!({"second_factor": true}))
            .takes_json()
            .wrong(
                put("/admin/roles/{role}", &json!({"description": "x".repeat(301)})),
                json!(["body", "description"]),
            )
            .unknown("/admin/roles/999"),
        case(rights, ask("DELETE", "/admin/roles/{role}"), 200)
            .of("delete", "/admin/roles/{id}")
            .with(json!({"success": true}))
            .unknown("/admin/roles/999"),
        case(rights, get("/admin/rights"), 200).of("get", "/admin/rights"),
        case(Open::Admins, get("/admin/ping"), 200)
            .of("get", "/admin/ping")
            .with(json!({"pong": true})),
        case(Open::SignedIn, get("/sessions"), 200).of("get", "/sessions"),
        case(Open::SignedIn, ask("POST", "/sessions/{session}/terminate"), 200)
            .of("post", "/sessions/{id}/terminate")
            .with(json!({"status": "terminated"}))
            .wrong(ask("POST", "/sessions/un/terminate"), json!(["path", "id"]))
            .unknown("/sessions/{none}/terminate")
            .owned(),
        case(sauron, get("/admin/sessions"), 200).of("get", "/admin/sessions"),
        case(rights, ask("POST", "/admin/sessions/disconnect/personne"), 200)
            .of("post", "/admin/sessions/disconnect/{username}")
            .with(json!({"success": true})),
        case(rights, ask("POST", "/admin/sessions/{session}/kick"), 200)
            .of("post", "/admin/sessions/{id}/kick")
            .with(json!({"success": true}))
            .unknown("/admin/sessions/{none}/kick"),
        // Its own test lets it succeed: here it would end everybody's session.
        case(Open::Admins, ask("POST", "/admin/sessions/kick-all"), 403)
            .of("post", "/admin/sessions/kick-all")
            .with(json!({"code": "system_admin_required"})),
    ]
}

fn of_keys() -> Vec<Case> {
    let key = |body: &Value| post("/apikeys", body);
    let good = json!({"name": "relevés {n}", "scopes": ["{own}"]});
    vec![
        case(Open::SignedIn, get("/apikeys"), 200).of("get", "/apikeys").with(json!({"keys": []})),
        // Who may make a person's key depends on its scopes, which have their own tests.
        case(
            Open::Holders("manage_attendance"),
            key(&json!({"name": "quai {n}", "kind": "kiosk"})),
            201,
        )
        .of("post", "/apikeys")
        .with(json!({"kind": "kiosk", "scopes": ["punch_for_others"]}))
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
            .with(json!({"kind": "person"})),
        case(Open::SignedIn, get("/apikeys/scopes"), 200).of("get", "/apikeys/scopes"),
        case(Open::Person, ask("DELETE", "/apikeys/{none}"), 404)
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
        case(Open::Editors, upload("", &[("neuf{n}.txt", b"un texte neuf, le {n}")]), 201)
            .of("post", "/rag/documents")
            .with(json!({"items": [{"outcome": "added", "fault": null}]}))
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
        case(Open::Editors, ask("DELETE", "/rag/documents/{paper}"), 200)
            .of("delete", one)
            .with(json!({"status": "deleted"}))
            .unknown("/rag/documents/{none}"),
    ]
}

fn of_collections() -> Vec<Case> {
    let one = "/rag/collections/{name}";
    let general = "/rag/collections/general";
    let new = |body: &Value| post("/rag/collections", body);
    let readers = |body: &Value| put(general, &json!({"readers": body}));
    let closed = json!({"everyone": false, "roles": ["finance", "admin", "finance"]});
    vec![
        case(Open::Admins, new(&json!({"name": "direction{n}", "readers": closed})), 201)
            .of("post", "/rag/collections")
            .with(json!({"documents": 0,
                "readers": {"everyone": false, "roles": ["admin", "finance"], "users": []}}))
            .takes_json()
            .wrong(new(&json!({})), json!(["body", "name"]))
            .wrong(new(&json!({"name": " "})), json!(["body", "name"]))
            .wrong(
                new(&json!({"name": "x", "readers": {"everyone": false, "roles": ["roi"]}})),
                json!(["body", "readers", "roles"]),
            ),
        case(Open::Admins, readers(&json!({"everyone": true})), 200)
            .of("put", one)
            .with(
                json!({"name": "general", "readers": {"everyone": true, "roles": [], "users": []}}),
            )
            .takes_json()
            .wrong(readers(&json!({"roles": []})), json!(["body", "readers", "everyone"]))
            .wrong(
                readers(&json!({"everyone": true, "roles": ["admin"]})),
                json!(["body", "readers", "everyone"]),
            )
            .wrong(
                readers(&json!({"everyone": false, "users": [NOBODYS]})),
                json!(["body", "readers", "users"]),
            )
            .unknown("/rag/collections/nowhere"),
        case(Open::Admins, ask("DELETE", general), 409)
            .of("delete", one)
            .with(json!({"code": "collection_not_empty"}))
            .unknown("/rag/collections/nowhere"),
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

/// No model is installed: who may ask is told so, and nobody else.
fn asks_the_writer(good: Ask) -> Case {
    case(Open::Holders("use_assistant"), good, 503)
        .with(json!({"code": "model_missing"}))
        .takes_json()
}

fn of_the_writer() -> Vec<Case> {
    let infer = |body: &Value| post("/llm/infer", body);
    let options = |options: Value| infer(&json!({"prompt": "Il", "options": options}));
    vec![
        asks_the_writer(infer(&json!({"prompt": "Bonjour", "options": {"max_tokens": 8}})))
            .of("post", "/llm/infer")
            .wrong(infer(&json!({"prompt": 7})), json!(["body", "prompt"]))
            .wrong(options(json!({"temperature": 9})), json!(["body", "options", "temperature"]))
            .wrong(options(json!({"top_p": "x"})), json!(["body", "options", "top_p"]))
            .wrong(options(json!({"max_tokens": 0})), json!(["body", "options", "max_tokens"])),
        // The socket has its own chapter; a plain request is told what this address is.
        case(Open::All, get("/llm/stream"), 426)
            .of("get", "/llm/stream")
            .with(json!({"code": "upgrade_required"})),
    ]
}

fn of_openai() -> Vec<Case> {
    let asks = |body: Value| post("/v1/chat/completions", &body);
    let goes_on = |body: Value| post("/v1/completions", &body);
    let embeds = |body: Value| post("/v1/embeddings", &body);
    let said = json!([{"role": "user", "content": "Bonjour"}]);
    vec![
        case(Open::Holders("use_assistant"), get("/v1/models"), 200)
            .of("get", "/v1/models")
            .with(json!({"object": "list", "data": []})),
        case(Open::Holders("use_assistant"), get("/v1/models/nobody"), 404)
            .of("get", "/v1/models/{id}")
            .with(json!({"code": "model_unknown"})),
        asks_the_writer(asks(json!({"model": "default", "messages": said, "stream": true})))
            .of("post", "/v1/chat/completions")
            .wrong(asks(json!({"model": "default"})), json!(["body", "messages"]))
            .wrong(asks(json!({"messages": []})), json!(["body", "messages"]))
            .wrong(
                asks(json!({"messages": [{"role": "chef", "content": "x"}]})),
                json!(["body", "messages", "0", "role"]),
            )
            .wrong(asks(json!({"messages": said, "top_p": 2})), json!(["body", "top_p"])),
        asks_the_writer(goes_on(json!({"model": "default", "prompt": "Il était"})))
            .of("post", "/v1/completions")
            .wrong(goes_on(json!({"model": "default"})), json!(["body", "prompt"]))
            .wrong(goes_on(json!({"prompt": "x", "max_tokens": 0})), json!(["body", "max_tokens"])),
        asks_the_writer(embeds(json!({"model": "default", "input": ["un", "deux"]})))
            .of("post", "/v1/embeddings")
            .wrong(embeds(json!({"model": "default"})), json!(["body", "input"]))
            .wrong(embeds(json!({"input": []})), json!(["body", "input"]))
            .wrong(embeds(json!({"input": ["un", ""]})), json!(["body", "input", "1"]))
            .wrong(
                embeds(json!({"input": "x", "encoding_format": "hex"})),
                json!(["body", "encoding_format"]),
            ),
    ]
}

fn of_activity() -> Vec<Case> {
    let admins = |path: &str| case(Open::Holders("view_sauron"), get(path), 200);
    vec![
        admins("/stats/activity/recent?limit=1&username=chef&action_type=LOGIN")
            .of("get", "/stats/activity/recent")
            .wrong(get("/stats/activity/recent?limit=501"), json!(["query", "limit"]))
            .wrong(get("/stats/activity/recent?limit=x"), json!(["query", "limit"])),
        admins("/stats/activity/users?days=7")
            .of("get", "/stats/activity/users")
            .wrong(get("/stats/activity/users?days=0"), json!(["query", "days"])),
        admins("/stats/users/chef")
            .of("get", "/stats/users/{username}")
            .with(json!({"username": "Chef", "role": "admin", "is_active": true})),
        case(Open::Admins, get("/stats/api"), 200)
            .of("get", "/stats/api")
            .wrong(get("/stats/api?days=-1"), json!(["query", "days"])),
        admins("/admin/logs?limit=1&offset=1")
            .of("get", "/admin/logs")
            .wrong(get("/admin/logs?limit=0"), json!(["query", "limit"]))
            .wrong(get("/admin/logs?date_start=hier"), json!(["query", "date_start"]))
            .wrong(get("/admin/logs?date_end=2026-13-01"), json!(["query", "date_end"]))
            .wrong(get("/admin/logs?format=xml"), json!(["query", "format"])),
        admins("/admin/audit-logs?limit=1")
            .of("get", "/admin/audit-logs")
            .wrong(get("/admin/audit-logs?limit=101"), json!(["query", "limit"]))
            .wrong(get("/admin/audit-logs?user_id=un"), json!(["query", "user_id"]))
            .wrong(get("/admin/audit-logs?from=x"), json!(["query", "from"])),
        admins("/admin/journal?limit=1")
            .of("get", "/admin/journal")
            .wrong(get("/admin/journal?limit=201"), json!(["query", "limit"]))
            .wrong(get("/admin/journal?to=x"), json!(["query", "to"]))
            .wrong(get("/admin/journal?before_number=-1"), json!(["query", "before_number"])),
        admins("/admin/audit-logs/verify")
            .of("get", "/admin/audit-logs/verify")
            .with(json!({"ok": true, "count": 0, "offences": []})),
        case(Open::Holders("export_activity"), get("/admin/audit-logs/export"), 200)
            .of("get", "/admin/audit-logs/export"),
    ]
}

fn of_models() -> Vec<Case> {
    let asks = Open::Holders("use_assistant");
    let manages = Open::Holders("manage_assistant");
    let unknown = json!({"code": "model_unknown"});
    // A real model is brought in the chapter of models; here it is who may, and what is refused.
    let mut letter = upload("", &[("lettre.txt", b"Cher voisin")]);
    "/models".clone_into(&mut letter.path);
    let mut nothing = upload("", &[]);
    "/models".clone_into(&mut nothing.path);
    let none = json!({"purpose": "language"});
    vec![
        case(asks, get("/models"), 200)
            .of("get", "/models")
            .with(json!({"items": [], "adding": [], "engine": {"engine": "local", "model": null}})),
        case(manages, letter, 400)
            .of("post", "/models")
            .with(json!({"code": "model_file_unknown"}))
            .wrong(nothing, json!(["body", "file"])),
        case(manages, ask("POST", "/models/rescan"), 200)
            .of("post", "/models/rescan")
            .with(json!({"items": []})),
        case(asks, get("/models/nobody"), 404).of("get", "/models/{name}").with(unknown.clone()),
        case(manages, ask("DELETE", "/models/nobody"), 404)
            .of("delete", "/models/{name}")
            .with(unknown),
        case(manages, post("/models/none/use", &none), 200)
            .of("post", "/models/{name}/use")
            .with(json!({"model": null}))
            .takes_json()
            .wrong(post("/models/none/use", &json!({"purpose": 1})), json!(["body", "purpose"])),
        case(manages, put("/models/upstream/key", &json!({"key": "k"})), 409)
            .of("put", "/models/upstream/key")
            .with(json!({"code": "upstream_missing"}))
            .takes_json()
            .wrong(put("/models/upstream/key", &json!({"key": 1})), json!(["body", "key"])),
        case(manages, ask("DELETE", "/models/upstream/key"), 409)
            .of("delete", "/models/upstream/key")
            .with(json!({"code": "upstream_missing"})),
    ]
}

fn of_conversations() -> Vec<Case> {
    let users = Open::Holders("use_assistant");
    let start = |body: &Value| post("/chat/conversations", body);
    let one = "/chat/conversations/{conversation}";
    let edit = |body: &Value| ask("PATCH", one).json(body);
    vec![
        case(users, get("/chat/conversations?q=introuvable&limit=5"), 200)
            .of("get", "/chat/conversations")
            .with(json!({"items": [], "more": false, "searched_all": true}))
            .wrong(get("/chat/conversations?limit=0"), json!(["query", "limit"]))
            .wrong(get("/chat/conversations?limit=201"), json!(["query", "limit"]))
            .wrong(get("/chat/conversations?before=un"), json!(["query", "before"]))
            .unknown("/chat/conversations?before={none}"),
        case(users, start(&json!({"title": "Le titre", "collection": "general"})), 201)
            .of("post", "/chat/conversations")
            .with(json!({"title": "Le titre", "collection": "general", "turns": 0}))
            .takes_json()
            .wrong(start(&json!({"title": "x".repeat(201)})), json!(["body", "title"]))
            .wrong(start(&json!({"title": 7})), json!(["body", "title"])),
        case(users, edit(&json!({"title": "Un autre"})), 200)
            .of("patch", "/chat/conversations/{id}")
            .with(json!({"title": "Un autre"}))
            .takes_json()
            .owned()
            .wrong(edit(&json!({"title": " "})), json!(["body", "title"]))
            .wrong(ask("PATCH", "/chat/conversations/un").json(&json!({})), json!(["path", "id"]))
            .unknown("/chat/conversations/{none}"),
        case(users, ask("DELETE", one), 200)
            .of("delete", "/chat/conversations/{id}")
            .with(json!({"status": "deleted"}))
            .owned()
            .wrong(ask("DELETE", "/chat/conversations/un"), json!(["path", "id"]))
            .unknown("/chat/conversations/{none}"),
        case(users, get("/chat/conversations/{conversation}/messages"), 200)
            .of("get", "/chat/conversations/{id}/messages")
            .with(json!({"items": [], "more": false}))
            .owned()
            .wrong(
                get("/chat/conversations/{conversation}/messages?limit=501"),
                json!(["query", "limit"]),
            )
            .unknown("/chat/conversations/{none}/messages"),
    ]
}

fn of_answers() -> Vec<Case> {
    let users = Open::Holders("use_assistant");
    let asks = |path: &'static str| move |body: Value| post(path, &body);
    let (answer, query) = (asks("/rag/answer"), asks("/chat/query"));
    let long = json!({"question": "x".repeat(8_001)});
    vec![
        case(users, answer(json!({"question": "De quoi parle le guide ?"})), 200)
            .of("post", "/rag/answer")
            .with(json!({"outcome": "whole"}))
            .takes_json()
            .wrong(answer(json!({})), json!(["body", "question"]))
            .wrong(answer(json!({"question": " "})), json!(["body", "question"]))
            .wrong(answer(long.clone()), json!(["body", "question"]))
            .wrong(answer(json!({"question": "x", "top_k": 0})), json!(["body", "top_k"]))
            .wrong(answer(json!({"question": "x", "top_k": 101})), json!(["body", "top_k"])),
        case(users, query(json!({"question": "De quoi parle le guide ?"})), 200)
            .of("post", "/chat/query")
            .with(json!({"outcome": "whole", "speculative": false, "match": null}))
            .takes_json()
            .wrong(query(json!({})), json!(["body", "question"]))
            .wrong(query(json!({"question": " "})), json!(["body", "question"]))
            .wrong(query(long), json!(["body", "question"]))
            .wrong(query(json!({"question": "x", "top_k": 101})), json!(["body", "top_k"])),
    ]
}

fn of_history_and_prompts() -> Vec<Case> {
    let users = Open::Holders("use_assistant");
    let save = |body: &Value| post("/jobs/prompts/save", body);
    let replay = |body: &Value| post("/history/replay", body);
    let gone = |body: &Value| ask("DELETE", "/jobs/prompts").json(body);
    vec![
        case(users, get("/history?type=chat.&limit=1&start=2026-01-01"), 200)
            .of("get", "/history")
            .wrong(get("/history?limit=201"), json!(["query", "limit"]))
            .wrong(get("/history?offset=-1"), json!(["query", "offset"]))
            .wrong(get("/history?start=hier"), json!(["query", "start"]))
            .wrong(get("/history?end=hier"), json!(["query", "end"])),
        case(users, ask("DELETE", "/history"), 200)
            .of("delete", "/history")
            .with(json!({"status": "cleared"}))
            .wrong(ask("DELETE", "/history?all=peut-etre"), json!(["query", "all"])),
        // Whoever replays answers with their own rights, those to read documents included.
        case(users, replay(&json!({"limit": 1})), 200)
            .of("post", "/history/replay")
            .takes_json()
            .wrong(replay(&json!({"limit": 0})), json!(["body", "limit"]))
            .wrong(replay(&json!({"ids": []})), json!(["body", "ids"]))
            .wrong(replay(&json!({"ids": ["un"]})), json!(["body", "ids", "0"])),
        case(users, get("/jobs/prompts/recent?limit=1"), 200)
            .of("get", "/jobs/prompts/recent")
            .wrong(get("/jobs/prompts/recent?limit=51"), json!(["query", "limit"])),
        case(users, get("/jobs/prompts/favorites"), 200)
            .of("get", "/jobs/prompts/favorites")
            .with(json!({"items": []}))
            .wrong(get("/jobs/prompts/favorites?limit=0"), json!(["query", "limit"])),
        case(users, save(&json!({"prompt": "Résume la note {n}"})), 200)
            .of("post", "/jobs/prompts/save")
            .with(json!({"item": {"usage_count": 0, "favorite": false}}))
            .takes_json()
            .wrong(save(&json!({})), json!(["body", "prompt"]))
            .wrong(save(&json!({"prompt": " "})), json!(["body", "prompt"])),
        case(users, gone(&json!({"prompt": "{prompt}"})), 200)
            .of("delete", "/jobs/prompts")
            .with(json!({"status": "deleted"}))
            .takes_json()
            .owned()
            .wrong(gone(&json!({})), json!(["body", "prompt"])),
    ]
}

fn of_the_socket() -> Vec<Case> {
    vec![
        // A socket has its own chapter; a plain request is told what this address is.
        case(Open::All, get("/ws"), 426).of("get", "/ws").with(json!({"code": "upgrade_required"})),
        case(Open::Holders("view_sauron"), get("/ws/status"), 200)
            .of("get", "/ws/status")
            .with(json!({"connected_clients": 0, "connected_users": 0, "users": []})),
    ]
}

fn of_continuity() -> Vec<Case> {
    let (sees, manages) = (Open::Holders("use_continuity"), Open::Holders("manage_continuity"));
    let key = |body: &Value| post("/continuity/keys", body);
    let arrivals = |query: &str| get(&format!("/continuity/arrivals?{query}"));
    let done = |body: &Value| post("/continuity/arrivals/{arrival}/done", body);
    vec![
        case(sees, get("/continuity"), 200)
            .of("get", "/continuity")
            .with(json!({"watchdog": null, "drill": null})),
        case(sees, get("/continuity/history?limit=5"), 200)
            .of("get", "/continuity/history")
            .with(json!({"items": []}))
            .wrong(get("/continuity/history?limit=-1"), json!(["query", "limit"])),
        case(sees, get("/continuity/drills"), 200)
            .of("get", "/continuity/drills")
            .with(json!({"items": []})),
        case(manages, post("/continuity/drill", &json!({})), 409)
            .of("post", "/continuity/drill")
            .with(json!({"code": "watchdog_absent"}))
            .takes_json()
            .wrong(post("/continuity/drill", &json!({"seconds": 9})), json!(["body", "seconds"]))
            .wrong(post("/continuity/drill", &json!({"seconds": 601})), json!(["body", "seconds"])),
        case(manages, post("/continuity/role", &json!({"role": "SERVER"})), 200)
            .of("post", "/continuity/role")
            .with(json!({"role": "server"}))
            .takes_json()
            .wrong(post("/continuity/role", &json!({})), json!(["body", "role"])),
        case(manages, ask("POST", "/continuity/key/rotate"), 200)
            .of("post", "/continuity/key/rotate")
            .wrong(
                post("/continuity/key/rotate", &json!({"grace_seconds": 604_801})),
                json!(["body", "grace_seconds"]),
            ),
        case(manages, key(&json!({"name": "sonde-{n}", "scopes": ["crypto"]})), 201)
            .of("post", "/continuity/keys")
            .with(json!({"expires_at": null}))
            .takes_json()
            .wrong(key(&json!({"scopes": ["crypto"]})), json!(["body", "name"]))
            .wrong(key(&json!({"name": "x", "scopes": ["all"]})), json!(["body", "scopes"])),
        case(manages, ask("DELETE", "/continuity/keys/{planb_key}"), 200)
            .of("delete", "/continuity/keys/{name}")
            .with(json!({"status": "deleted"}))
            .unknown("/continuity/keys/none"),
        case(manages, ask("POST", "/continuity/sealing/rotate"), 200)
            .of("post", "/continuity/sealing/rotate")
            .with(json!({"messages": 0})),
        case(manages, ask("POST", "/continuity/pack"), 200)
            .of("post", "/continuity/pack")
            .with(json!({"verified": true})),
        case(sees, get("/continuity/reports"), 200).of("get", "/continuity/reports"),
        case(sees, arrivals("open=true&limit=1"), 200)
            .of("get", "/continuity/arrivals")
            .wrong(arrivals("limit=501"), json!(["query", "limit"]))
            .wrong(arrivals("open=peut-etre"), json!(["query", "open"]))
            .wrong(arrivals("file=un"), json!(["query", "file"]))
            .wrong(arrivals("before=un"), json!(["query", "before"]))
            .unknown("/continuity/arrivals?before={none}"),
        case(manages, done(&json!({"remark": "vu"})), 200)
            .of("post", "/continuity/arrivals/{id}/done")
            .with(json!({"outcome": {"state": "done", "remark": "vu"}}))
            .wrong(done(&json!({"remark": "x".repeat(501)})), json!(["body", "remark"]))
            .unknown("/continuity/arrivals/{none}/done"),
        case(manages, ask("PUT", "/rag/documents/{doc}/pack"), 200)
            .of("put", "/rag/documents/{id}/pack")
            .with(json!({"in_pack": true}))
            .wrong(ask("PUT", "/rag/documents/un/pack"), json!(["path", "id"]))
            .unknown("/rag/documents/{none}/pack"),
        case(manages, ask("DELETE", "/rag/documents/{doc}/pack"), 200)
            .of("delete", "/rag/documents/{id}/pack")
            .with(json!({"in_pack": false}))
            .unknown("/rag/documents/{none}/pack"),
    ]
}

fn of_plan_b() -> Vec<Case> {
    let sees = |path: &str| case(Open::Holders("use_continuity"), get(path), 200);
    let seals =
        |path: &str, body: Value| case(Open::Holders("seal_continuity"), post(path, &body), 200);
    let relays = |path: &str, body: Value, status: u16| {
        case(Open::Holders("relay_continuity"), post(path, &body), status)
    };
    let manages =
        |path: &str, body: Value| case(Open::Holders("manage_continuity"), post(path, &body), 200);
    // What these take that makes no sense has its own chapter: their bodies are read as leniently as the
    // original reads them.
    vec![
        sees("/ping").of("get", "/ping").with(json!({"status": "ok"})),
        sees("/status").of("get", "/status"),
        sees("/role").of("get", "/role"),
        manages("/role", json!({"role": "server"}))
            .of("post", "/role")
            .with(json!({"role": "server"})),
        manages("/token/rotate", json!({})).of("post", "/token/rotate"),
        seals("/crypto/encrypt", json!({"plaintext_b64": "aGk="})).of("post", "/crypto/encrypt"),
        case(Open::Holders("seal_continuity"), post("/crypto/decrypt", &json!({})), 400)
            .of("post", "/crypto/decrypt")
            .with(json!({"error": "decrypt_failed"})),
        seals("/packet/serialize", json!({"packet_type": 7})).of("post", "/packet/serialize"),
        case(Open::Holders("seal_continuity"), post("/packet/deserialize", &json!({})), 400)
            .of("post", "/packet/deserialize")
            .with(json!({"error": "deserialize_failed"})),
        sees("/packet/types").of("get", "/packet/types").with(json!({"ACK": 7})),
        sees("/tcp/status").of("get", "/tcp/status").with(json!({"running": false})),
        relays("/tcp/send", json!({}), 400)
            .of("post", "/tcp/send")
            .with(json!({"error": "invalid_target"})),
        relays("/tcp/start", json!({}), 200)
            .of("post", "/tcp/start")
            .with(json!({"running": true, "host": "127.0.0.1"})),
        relays("/tcp/stop", json!({}), 200).of("post", "/tcp/stop").with(json!({"running": false})),
    ]
}

/// A request whose JSON names numbers that are filled in.
fn sends(method: &str, path: &str, body: &str) -> Ask {
    ask(method, path).raw("application/json", body)
}

fn of_phones_and_punches() -> Vec<Case> {
    let (own, keeps) = (Open::Holders("use_attendance"), Open::Holders("manage_attendance"));
    let register = |body: &Value| post("/devices/register", body);
    let no_key = json!({"code": "kiosk_unknown"});
    vec![
        case(own, register(&json!({"device_fingerprint": "t{n}", "device_name": "T"})), 201)
            .of("post", "/devices/register")
            .with(json!({"is_revoked": false, "attestation_data": null, "last_seen_at": null}))
            .takes_json()
            .wrong(register(&json!({"device_name": "T"})), json!(["body", "device_fingerprint"]))
            .wrong(
                register(&json!({"device_fingerprint": "", "device_name": "T"})),
                json!(["body", "device_fingerprint"]),
            )
            .wrong(
                register(&json!({"device_fingerprint": "x", "device_name": "T".repeat(101)})),
                json!(["body", "device_name"]),
            ),
        case(own, get("/devices/me?include_revoked=true"), 200)
            .of("get", "/devices/me")
            .wrong(get("/devices/me?include_revoked=7"), json!(["query", "include_revoked"])),
        case(own, ask("POST", "/devices/{device}/revoke"), 200)
            .of("post", "/devices/{id}/revoke")
            .with(json!({"is_revoked": true}))
            .owned()
            .unknown("/devices/999999/revoke"),
        case(keeps, get("/admin/devices?limit=1&is_revoked=false"), 200)
            .of("get", "/admin/devices")
            .wrong(get("/admin/devices?user_id=x"), json!(["query", "user_id"])),
        case(keeps, ask("POST", "/admin/devices/{device}/revoke"), 200)
            .of("post", "/admin/devices/{id}/revoke")
            .with(json!({"is_revoked": true}))
            .unknown("/admin/devices/999999/revoke"),
        case(own, sends("POST", "/punch/request-token", "{\"device_id\": {device}}"), 200)
            .of("post", "/punch/request-token")
            .with(json!({"expires_in": 30}))
            .takes_json()
            .owned()
            .wrong(post("/punch/request-token", &json!({})), json!(["body", "device_id"])),
        case(Open::All, post("/punch/validate", &json!({"qr_token": "x"})), 404)
            .of("post", "/punch/validate")
            .with(no_key.clone())
            .takes_json()
            .wrong(post("/punch/validate", &json!({})), json!(["body", "qr_token"]))
            .wrong(
                post("/punch/validate", &json!({"qr_token": "x", "punch_type": "lunch"})),
                json!(["body", "punch_type"]),
            ),
        case(Open::All, post("/punch/pin", &json!({"user_id": 1, "pin": "2580"})), 404)
            .of("post", "/punch/pin")
            .with(no_key)
            .takes_json()
            .wrong(post("/punch/pin", &json!({"pin": "2580"})), json!(["body", "user_id"])),
        case(own, get("/attendance/me/pin"), 200).of("get", "/attendance/me/pin"),
        case(own, put("/attendance/me/pin", &json!({"pin": "2580"})), 200)
            .of("put", "/attendance/me/pin")
            .takes_json()
            .wrong(put("/attendance/me/pin", &json!({"pin": "1234"})), json!(["body", "pin"]))
            .wrong(put("/attendance/me/pin", &json!({"pin": "25a0"})), json!(["body", "pin"]))
            .wrong(put("/attendance/me/pin", &json!({"pin": "258"})), json!(["body", "pin"])),
        case(own, ask("DELETE", "/attendance/me/pin"), 200)
            .of("delete", "/attendance/me/pin")
            .with(json!({"set_at": null})),
        case(own, get("/punch/history?limit=5"), 200)
            .of("get", "/punch/history")
            .wrong(get("/punch/history?limit=-1"), json!(["query", "limit"])),
    ]
}

fn of_kiosks() -> Vec<Case> {
    let (keeps, sees) = (Open::Holders("manage_attendance"), Open::Holders("view_attendance"));
    let door = Open::Holders("punch_for_others");
    let kiosk = |body: &Value| post("/admin/kiosks", body);
    let one = "/admin/kiosks/{kiosk}";
    let none = "/admin/kiosks/999999";
    let no_key = json!({"code": "kiosk_unknown"});
    vec![
        case(sees, get("/admin/kiosks?limit=1"), 200)
            .of("get", "/admin/kiosks")
            .wrong(get("/admin/kiosks?is_active=oui"), json!(["query", "is_active"])),
        case(keeps, kiosk(&json!({"kiosk_name": "Quai {n}", "location": "Nord"})), 201)
            .of("post", "/admin/kiosks")
            .with(json!({"access_mode": "public", "direction": "automatic", "trust": "key",
                         "is_active": true, "pins": false, "last_heartbeat_at": null}))
            .takes_json()
            .wrong(kiosk(&json!({"location": "x"})), json!(["body", "kiosk_name"]))
            .wrong(kiosk(&json!({"kiosk_name": " "})), json!(["body", "kiosk_name"])),
        case(Open::All, get("/admin/kiosks/by-ip/192.0.2.1"), 404)
            .of("get", "/admin/kiosks/by-ip/{ip}")
            .with(no_key.clone()),
        case(keeps, ask("PATCH", one).json(&json!({"pins": true})), 200)
            .of("patch", "/admin/kiosks/{id}")
            .with(json!({"pins": true}))
            .takes_json()
            .wrong(ask("PATCH", one).json(&json!({"trust": "all"})), json!(["body", "trust"]))
            .wrong(
                ask("PATCH", one).json(&json!({"kiosk_name": ""})),
                json!(["body", "kiosk_name"]),
            )
            .unknown(none),
        case(keeps, ask("DELETE", one), 204).of("delete", "/admin/kiosks/{id}").unknown(none),
        case(keeps, ask("POST", "/admin/kiosks/{kiosk}/generate-api-key"), 200)
            .of("post", "/admin/kiosks/{id}/generate-api-key")
            .with(json!({"api_url": "http://localhost", "location": "Quai"}))
            .unknown("/admin/kiosks/999999/generate-api-key"),
        case(keeps, ask("POST", "/admin/kiosks/{kiosk}/pairing"), 200)
            .of("post", "/admin/kiosks/{id}/pairing")
            .unknown("/admin/kiosks/999999/pairing"),
        case(keeps, get("/admin/kiosks/{kiosk}/access"), 200)
            .of("get", "/admin/kiosks/{id}/access")
            .with(json!({"authorized_users": [], "access_mode": "public"}))
            .unknown("/admin/kiosks/999999/access"),
        case(
            keeps,
            ask("PATCH", "/admin/kiosks/{kiosk}/access-mode")
                .json(&json!({"access_mode": "whitelist"})),
            200,
        )
        .of("patch", "/admin/kiosks/{id}/access-mode")
        .with(json!({"success": true, "kiosk": {"access_mode": "whitelist"}}))
        .takes_json()
        .wrong(
            ask("PATCH", "/admin/kiosks/{kiosk}/access-mode").json(&json!({"access_mode": "x"})),
            json!(["body", "access_mode"]),
        ),
        case(
            keeps,
            sends("POST", "/admin/kiosks/{kiosk}/grant-access", "{\"user_id\": {spare}}"),
            200,
        )
        .of("post", "/admin/kiosks/{id}/grant-access")
        .with(json!({"success": true, "access": {"granted": true, "expires_at": null}}))
        .takes_json()
        .wrong(
            post("/admin/kiosks/{kiosk}/grant-access", &json!({"user_id": "x"})),
            json!(["body", "user_id"]),
        ),
        case(keeps, ask("DELETE", "/admin/kiosks/{kiosk}/revoke-access/{spare}"), 200)
            .of("delete", "/admin/kiosks/{id}/revoke-access/{user_id}")
            .with(json!({"success": true}))
            .unknown("/admin/kiosks/{kiosk}/revoke-access/999999"),
        case(
            keeps,
            sends("POST", "/admin/kiosks/{kiosk}/block-access", "{\"user_id\": {spare}}"),
            200,
        )
        .of("post", "/admin/kiosks/{id}/block-access")
        .with(json!({"success": true, "access": {"granted": false}}))
        .takes_json(),
        case(Open::All, post("/kiosk/pair", &json!({"code": "{pairing}"})), 200)
            .of("post", "/kiosk/pair")
            .with(json!({"location": "Quai"}))
            .takes_json()
            .wrong(post("/kiosk/pair", &json!({})), json!(["body", "code"])),
        case(door, post("/kiosk/heartbeat", &json!({"app_version": "1.0"})), 404)
            .of("post", "/kiosk/heartbeat")
            .with(no_key.clone())
            .takes_json()
            .wrong(post("/kiosk/heartbeat", &json!({})), json!(["body", "app_version"])),
        case(door, get("/kiosk/status"), 404).of("get", "/kiosk/status").with(no_key),
        case(sees, get("/kiosk/all-status"), 200).of("get", "/kiosk/all-status"),
        case(Open::All, get("/info/ip"), 200).of("get", "/info/ip").with(json!({"ip": null})),
    ]
}

fn of_sheets() -> Vec<Case> {
    let sees = Open::Holders("view_attendance");
    let own = Open::Holders("use_attendance");
    let bad = |path: &str| get(path);
    vec![
        case(sees, get("/attendance/board"), 200)
            .of("get", "/attendance/board")
            .with(json!({"inside": 0})),
        case(sees, get("/attendance/day?date=2026-01-15"), 200)
            .of("get", "/attendance/day")
            .with(json!([])),
        case(sees, get("/attendance/totals?month=2026-01"), 200)
            .of("get", "/attendance/totals")
            .with(json!([])),
        case(sees, get("/attendance/month?month=2026-01&user_id={spare}"), 200)
            .of("get", "/attendance/month")
            .with(json!({"month": "2026-01", "closed": false, "totals": {"worked": 0}}))
            .wrong(bad("/attendance/month?user_id=x"), json!(["query", "user_id"]))
            .unknown("/attendance/month?user_id=999999"),
        case(own, get("/attendance/me/month"), 200).of("get", "/attendance/me/month"),
        case(sees, get("/attendance/closings"), 200).of("get", "/attendance/closings"),
        case(sees, get("/attendance/closings/2025-12"), 200)
            .of("get", "/attendance/closings/{month}")
            .with(json!({"over": true, "open_corrections": 0})),
    ]
}

fn of_corrections_and_months() -> Vec<Case> {
    let (keeps, sees) = (Open::Holders("manage_attendance"), Open::Holders("view_attendance"));
    let own = Open::Holders("use_attendance");
    let wish = json!({"add": {"kind": "clock_in", "at": "2026-01-05T08:00:00Z"}});
    let wants = |body: &Value| post("/attendance/corrections", body);
    let shift = json!({"from": 480, "until": 960, "pause": 60});
    let days = json!([shift, shift, shift, shift, shift, null, null]);
    let week = |body: &Value| post("/attendance/schedules", body);
    let mut rules = json!({
        "from": "2026-02-01", "name": "Accord", "week_minutes": 2100,
        "bands": [{"minutes": null, "percent": 10}], "night_from": 1260, "night_until": 360,
        "day_max": 600, "week_max": 2880, "rest_min": 660, "pause_after": 360, "pause_min": 20,
    });
    let good = rules.clone();
    rules["bands"] = json!([]);
    let decides = |what: &'static str, path: &'static str, word: &str| {
        let ask = post(&format!("/attendance/corrections/{{correction}}/{what}"), &json!({}));
        case(keeps, ask, 200).of("post", path).with(json!({"decision": word})).takes_json().wrong(
            post(path_of(what), &json!({"remark": "x".repeat(501)})),
            json!(["body", "remark"]),
        )
    };
    vec![
        case(own, get("/attendance/corrections?open=true"), 200)
            .of("get", "/attendance/corrections")
            .wrong(get("/attendance/corrections?user_id=x"), json!(["query", "user_id"])),
        case(own, wants(&json!({"change": wish, "reason": "oublié"})), 201)
            .of("post", "/attendance/corrections")
            .with(json!({"decision": "open", "was": null}))
            .takes_json()
            .wrong(wants(&json!({"change": wish, "reason": "x"})), json!(["body", "reason"])),
        decides("approve", "/attendance/corrections/{id}/approve", "approved"),
        decides("refuse", "/attendance/corrections/{id}/refuse", "refused"),
        case(own, post("/attendance/corrections/{wish}/withdraw", &json!({})), 200)
            .of("post", "/attendance/corrections/{id}/withdraw")
            .with(json!({"decision": "withdrawn"}))
            .takes_json()
            .unknown("/attendance/corrections/999999/withdraw"),
        case(keeps, post("/attendance/closings/2026-03", &json!({})), 409)
            .of("post", "/attendance/closings/{month}")
            .with(json!({"code": "month_not_over"}))
            .takes_json(),
        case(keeps, post("/attendance/closings/2026-03/reopen", &json!({"reason": "x"})), 409)
            .of("post", "/attendance/closings/{month}/reopen")
            .with(json!({"code": "month_not_closed"}))
            .takes_json()
            .wrong(
                post("/attendance/closings/2026-03/reopen", &json!({"reason": " "})),
                json!(["body", "reason"]),
            ),
        case(keeps, get("/attendance/payroll?month=2026-01"), 200).of("get", "/attendance/payroll"),
        case(sees, get("/attendance/schedules"), 200).of("get", "/attendance/schedules"),
        case(keeps, week(&json!({"name": "Jour {n}", "days": days})), 201)
            .of("post", "/attendance/schedules")
            .with(json!({"week_minutes": 2100, "retired": false}))
            .takes_json()
            .wrong(week(&json!({"name": "x", "days": [null]})), json!(["body", "days"]))
            .wrong(week(&json!({"name": "", "days": days})), json!(["body", "name"])),
        case(keeps, sends("PATCH", "/attendance/schedules/{schedule}", "{\"retired\": true}"), 200)
            .of("patch", "/attendance/schedules/{id}")
            .with(json!({"retired": true}))
            .takes_json()
            .unknown("/attendance/schedules/999999"),
        case(sees, get("/attendance/people/{spare}/schedule"), 200)
            .of("get", "/attendance/people/{id}/schedule")
            .with(json!([]))
            .unknown("/attendance/people/999999/schedule"),
        case(
            keeps,
            sends(
                "PUT",
                "/attendance/people/{spare}/schedule",
                "{\"schedule_id\": {schedule}, \"from\": \"2026-02-01\"}",
            ),
            200,
        )
        .of("put", "/attendance/people/{id}/schedule")
        .with(json!([{"from": "2026-02-01"}]))
        .takes_json()
        .unknown("/attendance/people/999999/schedule"),
        case(own, get("/attendance/rules"), 200).of("get", "/attendance/rules"),
        case(keeps, put("/attendance/rules", &good), 200)
            .of("put", "/attendance/rules")
            .with(json!({"from": "2026-02-01"}))
            .takes_json()
            .wrong(put("/attendance/rules", &rules), json!(["body", "bands"])),
        case(keeps, ask("DELETE", "/attendance/rules/{rules}"), 204)
            .of("delete", "/attendance/rules/{from}")
            .unknown("/attendance/rules/1999-01-01"),
    ]
}

/// A decision about a correction.
fn path_of(what: &str) -> &'static str {
    match what {
        "approve" => "/attendance/corrections/{correction}/approve",
        _ => "/attendance/corrections/{correction}/refuse",
    }
}

fn of_lists_and_joining() -> Vec<Case> {
    let (keeps, sees) = (Open::Holders("manage_attendance"), Open::Holders("view_attendance"));
    let code = |body: &Value| post("/admin/hr-codes", body);
    let begin = |body: &Value| post("/onboarding/initiate", body);
    let say = |body: &Value| post("/onboarding/verify-otp", body);
    let end = json!({"session_token": "x", "password": PASSWORD, "device_fingerprint": "f",
                     "device_name": "T"});
    vec![
        case(sees, get("/admin/punches?from_date=2026-01-01&to_date=2026-01-31"), 200)
            .of("get", "/admin/punches")
            .wrong(get("/admin/punches?user_id=x"), json!(["query", "user_id"])),
        case(sees, get("/admin/dashboard/stats"), 200)
            .of("get", "/admin/dashboard/stats")
            .with(json!({"today_punches": 0, "recent_punches": []})),
        case(sees, get("/admin/reports/attendance?from=2026-01-01&to=2026-01-31"), 200)
            .of("get", "/admin/reports/attendance")
            .wrong(get("/admin/reports/attendance?user_id=x"), json!(["query", "user_id"])),
        case(keeps, code(&json!({"employee_email": "n{n}@example.com"})), 201)
            .of("post", "/admin/hr-codes")
            .with(json!({"is_used": false, "employee_name": null}))
            .takes_json()
            .wrong(code(&json!({"employee_email": "x"})), json!(["body", "employee_email"]))
            .wrong(
                code(&json!({"employee_email": "a@b.fr", "expires_in_days": 31})),
                json!(["body", "expires_in_days"]),
            ),
        case(keeps, get("/admin/hr-codes?include_used=true&limit=2"), 200)
            .of("get", "/admin/hr-codes")
            .wrong(get("/admin/hr-codes?include_used=2"), json!(["query", "include_used"])),
        case(keeps, ask("DELETE", "/admin/hr-codes/{hr_code}"), 204)
            .of("delete", "/admin/hr-codes/{id}")
            .unknown("/admin/hr-codes/999999"),
        case(keeps, get("/admin/hr-codes/{hr_code}/qr-data"), 200)
            .of("get", "/admin/hr-codes/{id}/qr-data")
            .with(json!({"api_url": "http://localhost"}))
            .unknown("/admin/hr-codes/999999/qr-data"),
        case(keeps, get("/admin/onboarding"), 200).of("get", "/admin/onboarding"),
        case(keeps, ask("POST", "/admin/onboarding/{joining}/code"), 200)
            .of("post", "/admin/onboarding/{id}/code")
            .unknown("/admin/onboarding/{none}/code"),
        case(Open::All, begin(&json!({"hr_code": "EMPL-2026-{n}", "email": "a@b.fr"})), 400)
            .of("post", "/onboarding/initiate")
            .with(json!({"code": "hr_code_invalid"}))
            .takes_json()
            .wrong(begin(&json!({"hr_code": "x"})), json!(["body", "email"]))
            .wrong(begin(&json!({"email": "x"})), json!(["body", "hr_code"])),
        case(Open::All, say(&json!({"session_token": "x", "otp_code": "123456"})), 400)
            .of("post", "/onboarding/verify-otp")
            .with(json!({"code": "onboarding_invalid"}))
            .takes_json()
            .wrong(
                say(&json!({"session_token": "x", "otp_code": "12"})),
                json!(["body", "otp_code"]),
            ),
        case(Open::All, post("/onboarding/complete", &end), 400)
            .of("post", "/onboarding/complete")
            .with(json!({"code": "onboarding_invalid"}))
            .takes_json()
            .wrong(
                post("/onboarding/complete", &json!({"session_token": "x"})),
                json!(["body", "password"]),
            ),
    ]
}

fn cases() -> Vec<Case> {
    [
        of_the_box(),
        of_identity(),
        of_registration(),
        of_second_factor(),
        of_keys(),
        of_users(),
        of_what_users_hold(),
        of_roles_and_sessions(),
        of_the_socket(),
        of_search(),
        of_the_writer(),
        of_openai(),
        of_documents(),
        of_collections(),
        of_models(),
        of_activity(),
        of_conversations(),
        of_answers(),
        of_history_and_prompts(),
        of_continuity(),
        of_plan_b(),
        of_phones_and_punches(),
        of_kiosks(),
        of_lists_and_joining(),
        of_sheets(),
        of_corrections_and_months(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A box with somebody of every sort, and new things for requests to act on.
struct Stage {
    house: House,
    admin: String,
    /// Name, token and permissions of somebody of each role, the poorest first.
    people: Vec<(String, String, Value)>,
    document: String,
    count: Cell<u64>,
}

impl Stage {
    fn set() -> Self {
        let (house, admin) = House::ready();
        let roles = house.ask(get("/admin/roles").by(&admin)).json();
        let names = roles.as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap());
        let mut people = vec![("beggar".to_owned(), house.beggar(&admin))];
        people.extend(
            names.map(|name| (name.to_owned(), house.person(&admin, &format!("p-{name}"), name).1)),
        );
        let permitted =
            |token: &str| house.ask(get("/auth/me").by(token)).json()["permissions"].clone();
        let people = people
            .into_iter()
            .map(|(name, token)| {
                let permissions = permitted(&token);
                (name, token, permissions)
            })
            .collect();
        let guide = "# Le guide\n\nUn guide pour tous.".as_bytes();
        let items = house.send(&admin, "", &[("guide.md", guide)]);
        let document = items[0]["id"].as_str().unwrap().to_owned();
        house.settle(&admin);
        Self { house, admin, people, document, count: Cell::new(0) }
    }

    fn next(&self) -> u64 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    /// A new user with a session and a grant: its number, its name of record, its session.
    fn spare(&self) -> (String, String, String) {
        let name = format!("spare{}", self.next());
        let body = json!({"username": name, "password": PASSWORD});
        let user = self.house.check(post("/admin/users", &body).by(&self.admin), 201, &json!({}));
        let number = user["id"].to_string();
        let grant =
            post(&format!("/admin/users/{number}/grants"), &json!({"right": "view_analyse"}));
        self.house.check(grant.by(&self.admin), 201, &json!({}));
        (number, user["uuid"].as_str().unwrap().to_owned(), name)
    }

    /// A new kiosk's number.
    fn kiosk(&self) -> String {
        let body = json!({"kiosk_name": format!("Borne {}", self.next()), "location": "Quai"});
        let add = post("/admin/kiosks", &body).by(&self.admin);
        self.house.check(add, 201, &json!({}))["id"].to_string()
    }

    /// A new code of the personnel office.
    fn hr_code(&self) -> Value {
        let email = format!("nouveau{}@example.com", self.next());
        let add = post("/admin/hr-codes", &json!({"employee_email": email})).by(&self.admin);
        self.house.check(add, 201, &json!({"employee_email": email}))
    }

    /// The request with new things in the places of the names in braces. `by` is who will ask: what
    /// is owned is theirs.
    fn filled(&self, mut asked: Ask, by: Option<&str>) -> Ask {
        if asked.path.starts_with("/onboarding/") {
            // Wrong words are counted by address, and these cases say many.
            asked = asked.from(&format!("192.0.2.{}", self.next() % 250 + 1));
        }
        let house = &self.house;
        let mut put = |name: &str, make: &dyn Fn() -> String| fill(&mut asked, name, make);
        put("doc", &|| self.document.clone());
        put("none", &|| NOBODYS.to_owned());
        put("n", &|| self.next().to_string());
        put("paper", &|| {
            let text = format!("Un papier, le {}.", self.next());
            let name = format!("papier{}.txt", self.next());
            house.send(&self.admin, "", &[(&name, text.as_bytes())])[0]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        let invite = || {
            let body = json!({"role": "viewer"});
            house.check(post("/admin/invitations", &body).by(&self.admin), 201, &json!({}))
        };
        put("invite", &|| invite()["token"].as_str().unwrap().to_owned());
        put("invitation", &|| invite()["id"].as_str().unwrap().to_owned());
        put("spare", &|| self.spare().0);
        put("uuid", &|| self.spare().1);
        put("own", &|| {
            let me = house.ask(get("/auth/me").by(by.unwrap_or(&self.admin))).json();
            let held =
                me["permissions"].as_object().unwrap().iter().find(|(_, holds)| **holds == true);
            held.unwrap().0.clone()
        });
        put("session", &|| {
            let token = match by {
                // A second session of the same person.
                Some(token) => house.again(token),
                None => house.sign_in(&self.spare().2),
            };
            let me = house.ask(get("/auth/me").by(&token)).json();
            me["session_id"].as_str().unwrap().to_owned()
        });
        put("conversation", &|| {
            let title = json!({"title": "À nommer"});
            let start = post("/chat/conversations", &title).by(by.unwrap_or(&self.admin));
            let made = house.check(start, 201, &json!({"title": "À nommer"}));
            made["id"].as_str().unwrap().to_owned()
        });
        put("prompt", &|| {
            let prompt = format!("Un prompt, le {}.", self.next());
            let save = post("/jobs/prompts/save", &json!({"prompt": prompt}));
            house.check(save.by(by.unwrap_or(&self.admin)), 200, &json!({}));
            prompt
        });
        put("planb_key", &|| {
            let name = format!("cle-{}", self.next());
            let body = json!({"name": name, "scopes": ["status"]});
            house.check(post("/continuity/keys", &body).by(&self.admin), 201, &json!({}));
            name
        });
        put("arrival", &|| house.arrive("inconnu", json!({})).to_string());
        put("role", &|| {
            let body =
                json!({"name": format!("role_{}", self.next()), "rights": ["view_planning"]});
            house.check(post("/admin/roles", &body).by(&self.admin), 201, &json!({}))["id"]
                .to_string()
        });
        self.filled_at_work(asked, by)
    }

    /// The same for what attendance knows.
    fn filled_at_work(&self, mut asked: Ask, by: Option<&str>) -> Ask {
        let house = &self.house;
        let mut put = |name: &str, make: &dyn Fn() -> String| fill(&mut asked, name, make);
        put("device", &|| {
            let owner = by.unwrap_or(&self.admin);
            // A person may have only a few: those of earlier cases make room.
            for old in house.ask(get("/devices/me").by(owner)).json().as_array().unwrap() {
                if old["is_revoked"] == false {
                    let away = ask("POST", &format!("/devices/{}/revoke", old["id"]));
                    house.check(away.by(owner), 200, &json!({}));
                }
            }
            let print = format!("téléphone-{}", self.next());
            let body = json!({"device_fingerprint": print, "device_name": "Téléphone"});
            let register = post("/devices/register", &body).by(owner);
            house.check(register, 201, &json!({}))["id"].to_string()
        });
        put("kiosk", &|| self.kiosk());
        put("pairing", &|| {
            let pair = ask("POST", &format!("/admin/kiosks/{}/pairing", self.kiosk()));
            let made = house.check(pair.by(&self.admin), 200, &json!({}));
            made["code"].as_str().unwrap().to_owned()
        });
        put("correction", &|| {
            let at = format!("2026-01-0{}T08:{:02}:00Z", self.next() % 9 + 1, self.next() % 60);
            let body = json!({
                "user_id": self.spare().0.parse::<u64>().unwrap(),
                "change": {"add": {"kind": "clock_in", "at": at}},
                "reason": "oublié",
            });
            let asks = post("/attendance/corrections", &body).by(&self.admin);
            house.check(asks, 201, &json!({}))["id"].to_string()
        });
        put("wish", &|| {
            let body = json!({
                "change": {"add": {"kind": "clock_in", "at": "2026-01-05T08:00:00Z"}},
                "reason": "oublié",
            });
            let asks = post("/attendance/corrections", &body).by(by.unwrap_or(&self.admin));
            house.check(asks, 201, &json!({}))["id"].to_string()
        });
        put("schedule", &|| {
            let days = [Value::Null, json!({"from": 480, "until": 960, "pause": 60})];
            let days: Vec<_> = (0..7).map(|day| &days[usize::from(day < 5)]).collect();
            let body = json!({"name": format!("Semaine {}", self.next()), "days": days});
            let add = post("/attendance/schedules", &body).by(&self.admin);
            house.check(add, 201, &json!({}))["id"].to_string()
        });
        put("rules", &|| {
            let from = format!("2031-{:02}-{:02}", self.next() % 12 + 1, self.next() % 28 + 1);
            let known = house.ask(get("/attendance/rules").by(&self.admin)).json();
            let mut rules = known.as_array().unwrap().last().unwrap().clone();
            rules["from"] = json!(from);
            house.check(
                super::ask::put("/attendance/rules", &rules).by(&self.admin),
                200,
                &json!({}),
            );
            from
        });
        put("hr_code", &|| self.hr_code()["id"].to_string());
        put("joining", &|| {
            let code = self.hr_code();
            let body = json!({"hr_code": code["code"], "email": code["employee_email"]});
            house.check(post("/onboarding/initiate", &body), 200, &json!({}));
            let waiting = house.ask(get("/admin/onboarding").by(&self.admin)).json();
            let waits = |joining: &&Value| joining["email"] == code["employee_email"];
            let waiting = waiting.as_array().unwrap().iter().find(waits).unwrap().clone();
            waiting["id"].as_str().unwrap().to_owned()
        });
        asked
    }
}

/// Puts a new thing in the places of a name in braces.
fn fill(asked: &mut Ask, name: &str, make: &dyn Fn() -> String) {
    let braced = format!("{{{name}}}");
    if asked.path.contains(&braced) || asked.says(&braced) {
        *asked = asked.clone().filled(&braced, &make());
    }
}

/// Clients are made from the document by these names: of two that are the same, one would get the types of
/// the other.
#[test]
fn no_two_operations_have_the_same_name() {
    let document: Value =
        serde_json::from_str(&ilot::app::commands::openapi::document().unwrap()).unwrap();
    let mut named = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(named.insert(name), "{method} {path} is called '{name}', as another is");
        }
    }
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
fn every_route_refuses_nobody_and_nonsense_as_it_should() {
    let stage = Stage::set();
    let (house, admin) = (&stage.house, &stage.admin);
    let (number, revoked) = house.person(admin, "renvoye", "admin");
    let away = put(&format!("/admin/users/{number}"), &json!({"is_active": false}));
    house.check(away.by(admin), 200, &json!({"state": "disabled"}));
    let (_, gone) = house.person(admin, "parti", "admin");
    house.check(ask("POST", "/auth/logout").by(&gone), 200, &json!({}));
    let held = json!({"username": "neuve", "role": "admin", "password": PASSWORD, "must_change_password": true});
    house.check(post("/admin/users", &held).by(admin), 201, &json!({}));
    let held = house.sign_in("neuve");
    for case in cases() {
        // Refused before anything is looked at, so that one thing serves all of them.
        let good = stage.filled(case.good.clone(), None);
        if case.open != Open::All {
            house.refuses(good.clone(), 401, "unauthenticated");
            house.refuses(good.clone().by("ab.cd.ef"), 401, "token_malformed");
            house.refuses(good.clone().by(&revoked), 401, "session_ended");
            house.refuses(good.clone().by(&gone), 401, "session_ended");
        }
        if !case.on_hold {
            house.refuses(good.clone().by(&held), 403, "password_change_required");
        }
        if case.json {
            house.refuses(good.clone().by(admin).raw_again("{\"a\": "), 400, "json_malformed");
        }
        for (ask, place) in &case.wrong {
            let detail = json!({"code": "validation", "detail": [{"loc": place, "input": null}]});
            house.check(stage.filled(ask.clone(), None).by(admin), 422, &detail);
        }
        if let Some(path) = case.unknown {
            let mut nowhere = good.clone();
            path.clone_into(&mut nowhere.path);
            house.refuses(stage.filled(nowhere, None).by(admin), 404, "not_found");
        }
    }
}

#[test]
fn every_route_answers_every_role_as_it_should() {
    let stage = Stage::set();
    let house = &stage.house;
    for case in cases() {
        let (status, body) = &case.answers;
        for (name, token, permissions) in &stage.people {
            let what = format!("{name}: {:?}", case.route);
            if !case.open.lets_in(permissions) {
                let good = stage.filled(case.good.clone(), None);
                house.refuses_saying(&what, good.by(token), 403, "right_missing");
                continue;
            }
            if case.owned && !Open::Holders("manage_rights").lets_in(permissions) {
                let others = stage.filled(case.good.clone(), None);
                house.refuses_saying(&what, others.by(token), 404, "not_found");
            }
            // Signing out must not end the session that the cases after it use.
            let own = match case.route.1 {
                "/auth/logout" | "/auth/refresh" => house.again(token),
                _ => token.clone(),
            };
            let good = stage.filled(case.good.clone(), Some(token));
            house.check_saying(&what, good.by(&own), *status, body);
        }
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
