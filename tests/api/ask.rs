//! A box in memory, requests to it, and the one check that reads its answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use ilot::app::listen::{Bound, Doors, ListenSettings};
use ilot::app::settings::Config;
use ilot::app::{App, World, router};
use ilot::base::caller::Caller;
use ilot::base::clock::{HeldClock, Moment};
use ilot::base::health::Health;
use ilot::base::id::Id;
use ilot::base::paths::DataFolder;
use ilot::base::tasks::Tasks;
use ilot::domains::handover::Arrival;
use ilot::domains::identity::records::{USERS, USERS_BY_LOGIN};
use ilot::store::{Deed, Reader};
use ilot::web::Peer;
use ilot::web::layers::Door;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// 15 January 2026, 08:00 UTC.
pub const NOW: Moment = Moment(1_768_464_000_000);
pub const PASSWORD: &str = "un mot de passe assez long";
/// No step takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A box whose store is forgotten, whose clock is held, and whose tasks run.
pub struct House {
    app: Option<App>,
    door: Door,
    runtime: tokio::runtime::Runtime,
    pub clock: Arc<HeldClock>,
    pub word: String,
    folder: tempfile::TempDir,
}

/// A request.
#[derive(Clone)]
pub struct Ask {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    peer: Peer,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

pub fn ask(method: &str, path: &str) -> Ask {
    let headers = vec![("host".to_owned(), "localhost".to_owned())];
    Ask {
        method: method.into(),
        path: path.into(),
        headers,
        body: Vec::new(),
        peer: Peer::default(),
    }
}

pub fn get(path: &str) -> Ask {
    ask("GET", path)
}

pub fn post(path: &str, body: &Value) -> Ask {
    ask("POST", path).json(body)
}

pub fn put(path: &str, body: &Value) -> Ask {
    ask("PUT", path).json(body)
}

impl Ask {
    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub fn raw(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// The same request with another body.
    pub fn raw_again(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Signs as `token`; an empty one signs nothing.
    pub fn by(self, token: &str) -> Self {
        if token.is_empty() {
            self
        } else {
            self.header("authorization", &format!("Bearer {token}"))
        }
    }

    pub fn cookie(self, token: &str) -> Self {
        self.header("cookie", &format!("theme=dark; access_token={token}"))
    }

    pub fn from(mut self, address: &str) -> Self {
        self.peer.address = Some(address.parse().unwrap());
        self
    }

    pub fn replace_host(mut self, host: &str) -> Self {
        self.headers[0].1 = host.into();
        self
    }

    /// Whether the body holds `words`.
    pub fn says(&self, words: &str) -> bool {
        self.body.windows(words.len()).any(|window| window == words.as_bytes())
    }

    /// The same request with `with` in the place of `words`, in path and body.
    pub fn filled(mut self, words: &str, with: &str) -> Self {
        self.path = self.path.replace(words, with);
        if let Ok(text) = String::from_utf8(self.body.clone()) {
            self.body = text.replace(words, with).into_bytes();
        }
        self
    }

    fn built(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.extension(self.peer).body(Body::from(self.body)).unwrap()
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl House {
    /// A box that waits for its set-up.
    pub fn fresh() -> Self {
        Self::with(&[])
    }

    /// A box with settings, that waits for its set-up.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("no-models").display().to_string();
        let mut flags = vec![
            ("models.folder".to_owned(), nowhere),
            ("listen.https".to_owned(), "off".to_owned()),
            ("documents.inbox".to_owned(), "false".to_owned()),
        ];
        flags.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = Config::layered(DataFolder::at(folder.path()), None, [], &flags).unwrap();
        let clock = Arc::new(HeldClock::at(NOW));
        // The program that reads documents is the real one, not this test.
        let program = env!("CARGO_BIN_EXE_ilot").into();
        let ground = World { clock: clock.clone(), program, ..World::in_memory().unwrap() };
        let health = Health::new(clock.clone());
        let tasks = Tasks::new(health.clone());
        let hosts = config.settings.hosts.clone();
        let app = App::open(config, &ground, tasks.clone(), health).unwrap();
        app.desks().assistant.start(&tasks).unwrap();
        app.desks().thinking.start(&tasks).unwrap();
        app.desks().live.start(&tasks).unwrap();
        let door = router::door(app.desks(), hosts, None).unwrap();
        let setup_word = app.desks().identity.setup_word().unwrap().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { app: Some(app), door, runtime, clock, word: setup_word, folder }
    }

    /// A box that is set up, and the token of its administrator `chef`.
    pub fn ready() -> (Self, String) {
        Self::ready_with(&[])
    }

    pub fn ready_with(settings: &[(&str, &str)]) -> (Self, String) {
        let house = Self::with(settings);
        let reply = house.ask(house.set_up());
        assert_eq!(reply.status, 200, "{}", reply.json());
        let token = reply.json()["access_token"].as_str().unwrap().to_owned();
        (house, token)
    }

    pub fn set_up(&self) -> Ask {
        let body = json!({"token": self.word, "site": "Dépôt de Saint-Fons", "username": "Chef", "password": PASSWORD});
        post("/setup", &body)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    /// Serves `door` (none: the box's own) on a free port until the house is gone.
    pub fn listen(&self, door: Option<Door>) -> SocketAddr {
        let settings = ListenSettings {
            http: "127.0.0.1:0".into(),
            https: "off".into(),
            planb: "off".into(),
            console: false,
            ..ListenSettings::default()
        };
        let door = door.unwrap_or_else(|| self.door.clone());
        let _inside = self.runtime.enter();
        let bound = Bound::bind(settings, &DataFolder::at(self.folder.path())).unwrap();
        let address = bound.addresses().http.unwrap();
        let doors = Doors { main: door, planb: None };
        self.runtime.spawn(bound.serve(doors, None, CancellationToken::new()));
        address
    }

    /// Waits for a future of the other end of a socket.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it hangs") })
    }

    /// Asks; whatever is not a success must wear the one fault body.
    pub fn ask(&self, ask: Ask) -> Reply {
        let what = format!("{} {}", ask.method, ask.path);
        let head = ask.method == "HEAD";
        let reply = self.runtime.block_on(async {
            let response = self.door.clone().oneshot(ask.built()).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            Reply { status: parts.status.as_u16(), headers: parts.headers, bytes: bytes.to_vec() }
        });
        let id = reply.header("x-request-id");
        assert!(!id.is_empty(), "{what}: no request id");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
        if reply.status >= 400 && !head {
            let body = reply.json();
            let code = body["code"].as_str().unwrap_or_default();
            let well = !code.is_empty()
                && code.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                && (body["error"].is_string()
                    // The clients of that door show a person this sentence alone.
                    || what.contains("/v1/") && body["error"]["message"].is_string())
                && (body["detail"].is_string() || body["detail"].is_array() && reply.status == 422)
                && body["request_id"] == id;
            let text = String::from_utf8_lossy(&reply.bytes);
            assert!(well, "{what}: {} without the one fault body: {text}", reply.status);
        }
        reply
    }

    /// Asks, and compares the answer with a status and the part of a body that matters.
    #[track_caller]
    pub fn check(&self, ask: Ask, status: u16, wanted: &Value) -> Value {
        let what = format!("{} {}", ask.method, ask.path);
        self.check_saying(&what, ask, status, wanted)
    }

    /// As [`House::check`], with words of one's own for what was asked.
    #[track_caller]
    pub fn check_saying(&self, what: &str, ask: Ask, status: u16, wanted: &Value) -> Value {
        let reply = self.ask(ask);
        let body = reply.json();
        assert!(reply.status == status, "{what}: {} instead of {status}: {body}", reply.status);
        if let Err(why) = fits(wanted, &body) {
            panic!("{what}: {why} in {body}");
        }
        body
    }

    /// As [`House::check`] for a fault's code.
    #[track_caller]
    pub fn refuses(&self, ask: Ask, status: u16, code: &str) {
        self.check(ask, status, &json!({"code": code}));
    }

    /// As [`House::refuses`], with words of one's own for what was asked.
    #[track_caller]
    pub fn refuses_saying(&self, what: &str, ask: Ask, status: u16, code: &str) {
        self.check_saying(what, ask, status, &json!({"code": code}));
    }

    /// A second session of whoever that token is.
    pub fn again(&self, token: &str) -> String {
        let me = self.ask(get("/auth/me").by(token)).json();
        self.sign_in(me["username"].as_str().unwrap())
    }

    /// Adds a user, and answers its number and a token.
    pub fn person(&self, admin: &str, name: &str, role: &str) -> (u64, String) {
        let body = json!({"username": name, "role": role, "password": PASSWORD});
        let user =
            self.check(post("/admin/users", &body).by(admin), 201, &json!({"username": name}));
        (user["id"].as_u64().unwrap(), self.sign_in(name))
    }

    pub fn sign_in(&self, name: &str) -> String {
        let body = json!({"username": name, "password": PASSWORD});
        let answer = self.check(post("/auth/login", &body), 200, &json!({"token_type": "bearer"}));
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Somebody who is signed in and may nothing: no role on offer is so poor, but a role may be
    /// gone from a newer program while its user is still there.
    pub fn beggar(&self, admin: &str) -> String {
        let (_, token) = self.person(admin, "mendiant", "viewer");
        self.app()
            .desks()
            .system
            .store
            .write(|tx| {
                let id = tx.get(&USERS_BY_LOGIN, &"mendiant".to_owned())?.unwrap();
                let mut user = tx.get(&USERS, &id)?.unwrap();
                user.role = "gone".into();
                tx.put(&USERS, &id, &user)?;
                tx.journal(&Caller::task("test"), Deed::new("user.edit", "mendiant"))
            })
            .unwrap();
        token
    }

    /// Has something arrive that was written down while the box was away, each in a file of its own.
    pub fn arrive(&self, kind: &str, body: Value) -> Id {
        let id = Id::new(NOW);
        let (kind, by) = (kind.to_owned(), "Anna".to_owned());
        let arrival = Arrival { id, seq: 0, kind, at: NOW, by, user: None, door: None, body };
        self.app().desks().handover.take(Id::new(NOW), vec![arrival], None).unwrap();
        id
    }

    /// Waits until every document is read and the index of words has followed.
    pub fn settle(&self, token: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.ask(get("/rag/status").by(token)).json();
            let open = status["documents"]["queued"].as_u64().unwrap()
                + status["documents"]["reading"].as_u64().unwrap()
                + status["index_lag"].as_u64().unwrap();
            if open == 0 {
                return;
            }
            assert!(Instant::now() < end, "it does not settle: {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends files in one form, each with its name, and answers the items.
    pub fn send(&self, token: &str, collection: &str, files: &[(&str, &[u8])]) -> Vec<Value> {
        let body = self.check(upload(collection, files).by(token), 201, &json!({}));
        body["items"].as_array().unwrap().clone()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            app.close();
        }
    }
}

/// An upload as a browser's form sends it.
pub fn upload(collection: &str, files: &[(&str, &[u8])]) -> Ask {
    upload_with(&[("collection", collection)], files)
}

pub fn upload_with(fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Ask {
    const BOUNDARY: &str = "----b0undary";
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        body.extend_from_slice(head.as_bytes());
    }
    for (name, bytes) in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    ask("POST", "/rag/documents").raw(&format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/documents").join(name))
        .unwrap()
}

/// Whether everything in `wanted` is so in `got`, which may hold more.
fn fits(wanted: &Value, got: &Value) -> Result<(), String> {
    match (wanted, got) {
        (Value::Object(wanted), _) if wanted.is_empty() => Ok(()),
        (Value::Object(wanted), Value::Object(got)) => {
            wanted.iter().try_for_each(|(key, value)| {
                let inside = got.get(key).ok_or_else(|| format!("'{key}' is not there"))?;
                fits(value, inside).map_err(|why| format!("{key}: {why}"))
            })
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            wanted.iter().zip(got).try_for_each(|(wanted, got)| fits(wanted, got))
        }
        (wanted, got) if wanted == got => Ok(()),
        (wanted, got) => Err(format!("{got} is not {wanted}")),
    }
}
