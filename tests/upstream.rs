//! A server on the LAN that generates: the client on real sockets, and the box that falls back from it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Json, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use ilot::base::caller::Caller;
use ilot::base::fault::Fault;
use ilot::domains::assistant::generation::{Ask, Piece, Written};
use ilot::engines::generation::{Message, Options, Prompt, Reason, Role};
use ilot::engines::upstream::{Answer, End, Trouble, Upstream, UpstreamOptions, Way};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::api::ask::{House, get as asked_get, post as asked_post, put, upload_with};

/// The key that the other server lets in with.
const KEY: &str = "sk-essai-1234";

/// What the other server saw, and how it is.
#[derive(Default)]
struct Seen {
    questions: Mutex<Vec<Value>>,
    keys: Mutex<Vec<String>>,
    open: AtomicUsize,
    down: AtomicBool,
}

/// Another server, until it is dropped.
pub struct Other {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    _runtime: tokio::runtime::Runtime,
}

/// Counts a stream as open until its peer has had enough of it.
struct Open(Arc<Seen>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Other {
    pub fn start() -> Self {
        Self::with(None)
    }

    /// With TLS when there is a certificate.
    fn with(tls: Option<TlsAcceptor>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::<Seen>::default();
        let routes = Router::new()
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(complete))
            .route("/v1/completions", post(complete))
            .with_state(seen.clone());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let inside = runtime.handle().clone();
        runtime.spawn(async move {
            loop {
                let (plain, _) = listener.accept().await.unwrap();
                let (routes, tls) = (TowerToHyperService::new(routes.clone()), tls.clone());
                inside.spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    // A client that goes away is no fault of the server's.
                    let _ = match tls {
                        None => server.serve_connection(TokioIo::new(plain), routes).await,
                        Some(tls) => match tls.accept(plain).await {
                            Ok(wire) => server.serve_connection(TokioIo::new(wire), routes).await,
                            Err(_) => return,
                        },
                    };
                });
            }
        });
        Self { address, seen, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn last_question(&self) -> Value {
        self.seen.questions.lock().unwrap().last().unwrap().clone()
    }

    fn break_down(&self, down: bool) {
        self.seen.down.store(down, Ordering::SeqCst);
    }
}

async fn models(State(seen): State<Arc<Seen>>, headers: HeaderMap) -> Response {
    if let Some(refused) = refusal(&seen, &headers) {
        return refused;
    }
    Json(json!({"object": "list", "data": [{"id": "good"}, {"id": "other"}]})).into_response()
}

fn refusal(seen: &Seen, headers: &HeaderMap) -> Option<Response> {
    let key = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
    let key = key.unwrap_or_default();
    seen.keys.lock().unwrap().push(key.clone());
    if seen.down.load(Ordering::SeqCst) {
        return Some((StatusCode::BAD_GATEWAY, "<html>no</html>").into_response());
    }
    if key != format!("Bearer {KEY}") {
        let body = json!({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}});
        return Some((StatusCode::UNAUTHORIZED, Json(body)).into_response());
    }
    None
}

/// Answers as the model's name says.
async fn complete(
    State(seen): State<Arc<Seen>>,
    headers: HeaderMap,
    Json(question): Json<Value>,
) -> Response {
    if let Some(refused) = refusal(&seen, &headers) {
        return refused;
    }
    let model = question["model"].as_str().unwrap().to_owned();
    seen.questions.lock().unwrap().push(question);
    let complaint = |words: &str| Json(json!({"error": {"message": words}}));
    match model.as_str() {
        "too-long" => {
            return (StatusCode::BAD_REQUEST, complaint("maximum context length is 8"))
                .into_response();
        }
        "moved" => return (StatusCode::FOUND, [("location", "http://elsewhere/")]).into_response(),
        "whole" => {
            return Json(json!({"model": "whole", "choices": [{"message": {"content": "tout"},
                "finish_reason": "stop"}], "usage": {"prompt_tokens": 4, "completion_tokens": 1}}))
            .into_response();
        }
        "never" => std::future::pending::<()>().await,
        _ => {}
    }
    seen.open.fetch_add(1, Ordering::SeqCst);
    let open = Open(seen);
    let pieces = stream::iter(chunks(&model)).then(|chunk| async move {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok::<_, Infallible>(Bytes::from(chunk))
    });
    let body = match model.as_str() {
        "silent" | "endless" => Body::from_stream(pieces.chain(stream::pending())),
        _ => Body::from_stream(pieces),
    };
    let body = Body::from_stream(body.into_data_stream().inspect(move |_| {
        let _ = &open;
    }));
    ([("content-type", "text/event-stream; charset=utf-8")], body).into_response()
}

/// The bytes of a stream, cut where they should not be.
fn chunks(model: &str) -> Vec<Vec<u8>> {
    let said = |text: &str| {
        let chunk = json!({"model": format!("{model}-7b"), "choices":
            [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
        format!("data: {chunk}\r\n\r\n")
    };
    let mut text = format!(
        ": hello\r\n\r\ndata: {{\"choices\":[{{\"delta\":{{\"role\":\"assistant\"}}}}]}}\r\n\r\n{}{}",
        said("Il était "),
        said("une été")
    );
    match model {
        "cut" | "silent" => {}
        "broken" => text.push_str("data: {\"error\":{\"message\":\"CUDA out of memory\"}}\n\n"),
        "nonsense" => text.push_str("data: <html>\n\n"),
        _ => text.push_str(
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
             data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\
             \"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\ndata: [DONE]\n\n",
        ),
    }
    text.into_bytes().chunks(11).map(<[u8]>::to_vec).collect()
}

fn client(url: String, model: &str) -> Upstream {
    Upstream::new(options(url, model)).unwrap()
}

fn options(url: String, model: &str) -> UpstreamOptions {
    UpstreamOptions {
        url,
        model: model.into(),
        ca_file: None,
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(5),
    }
}

fn here() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn said() -> Map<String, Value> {
    let question = json!({"messages": [{"role": "user", "content": "Bonjour"}], "max_tokens": 5});
    question.as_object().unwrap().clone()
}

/// Reads an answer to its end.
fn whole(server: &Upstream) -> Result<(String, Answer), Trouble> {
    here().block_on(async {
        let mut answer = server.ask(Some(KEY), Way::Chat, said()).await?;
        let mut text = String::new();
        loop {
            match answer.next().await {
                Ok(Some(more)) => text.push_str(&more),
                Ok(None) => return Ok((text, answer)),
                Err(fault) => return Err(Trouble { fault, down: true, status: None }),
            }
        }
    })
}

fn code(server: &Upstream) -> (&'static str, bool) {
    let trouble = whole(server).err().unwrap();
    (trouble.fault.code, trouble.down)
}

#[test]
fn an_answer_comes_whole_through_any_cut() {
    let other = Other::start();
    let (text, answer) = whole(&client(other.url(), "")).unwrap();
    assert_eq!((text.as_str(), answer.model()), ("Il était une été", "good-7b"));
    assert_eq!(answer.end(), Some(End::Length));
    let counted = answer.counted().unwrap();
    assert_eq!((counted.prompt_tokens, counted.completion_tokens), (7, 5));
    assert_eq!(counted.reused_tokens(), 3);
    let asked = other.last_question();
    assert_eq!((&asked["model"], &asked["stream"]), (&json!("good"), &json!(true)));
    assert_eq!(asked["stream_options"]["include_usage"], true);
    let (text, answer) = whole(&client(other.url(), "whole")).unwrap();
    assert_eq!((text.as_str(), answer.end()), ("tout", Some(End::Stop)));
}

#[test]
fn whatever_goes_wrong_has_a_name() {
    let other = Other::start();
    for (model, wanted) in [
        ("cut", ("upstream_failed", true)),
        ("broken", ("upstream_failed", true)),
        ("nonsense", ("upstream_failed", true)),
        ("moved", ("upstream_failed", true)),
        ("too-long", ("upstream_failed", false)),
    ] {
        assert_eq!(code(&client(other.url(), model)), wanted, "{model}");
    }
    let refused = here().block_on(client(other.url(), "").ask(Some("wrong"), Way::Chat, said()));
    let refused = refused.err().unwrap();
    assert_eq!((refused.fault.code, refused.status), ("upstream_refused", Some(401)));
    assert!(!refused.fault.to_string().contains("wrong"), "{}", refused.fault);
    let words = whole(&client(other.url(), "too-long")).err().unwrap().fault.message;
    assert!(words.contains("maximum context length is 8"), "{words}");
    let nobody = format!("http://{}/v1", free_address());
    assert_eq!(code(&client(nobody, "m")), ("upstream_unreachable", true));
}

/// An address that nobody listens at.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn silence_is_not_waited_out() {
    let other = Other::start();
    for (model, code) in [("silent", "upstream_failed"), ("never", "upstream_unreachable")] {
        let short =
            UpstreamOptions { silence: Duration::from_millis(300), ..options(other.url(), model) };
        let began = Instant::now();
        let trouble = whole(&Upstream::new(short).unwrap()).err().unwrap();
        assert_eq!(trouble.fault.code, code, "{model}: {}", trouble.fault);
        assert!(began.elapsed() < Duration::from_secs(4), "{model}");
    }
    // It takes the connection and never speaks TLS.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", mute.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let short = UpstreamOptions {
        connect: Duration::from_millis(300),
        ca_file: Some(authority.written(folder.path())),
        ..options(url, "m")
    };
    let began = Instant::now();
    assert_eq!(code(&Upstream::new(short).unwrap()), ("upstream_unreachable", true));
    assert!(began.elapsed() < Duration::from_secs(4));
}

/// An authority and what it vouches for.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn written(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.certificate.pem()).unwrap();
        path
    }
}

#[test]
fn a_certificate_is_always_checked() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let other = Other::with(Some(right.acceptor("127.0.0.1")));
    let url = format!("https://{}/v1", other.address);
    let with = |ca_file: PathBuf| {
        Upstream::new(UpstreamOptions { ca_file: Some(ca_file), ..options(url.clone(), "") })
            .unwrap()
    };
    let pem = right.written(folder.path());
    assert_eq!(whole(&with(pem.clone())).unwrap().0, "Il était une été");
    let der = folder.path().join("ca.der");
    std::fs::write(&der, right.certificate.der()).unwrap();
    assert_eq!(whole(&with(der)).unwrap().0, "Il était une été");
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(code(&with(wrong.written(elsewhere.path()))), ("upstream_unreachable", true));
    // The right authority, and the name of another server.
    let stranger = Other::with(Some(right.acceptor("gpu.lan")));
    let url = format!("https://{}/v1", stranger.address);
    let named = UpstreamOptions { ca_file: Some(pem), ..options(url.clone(), "") };
    assert_eq!(code(&Upstream::new(named).unwrap()), ("upstream_unreachable", true));
    for bad in ["none.pem", "bad.pem"] {
        std::fs::write(folder.path().join("bad.pem"), "nonsense").unwrap();
        assert_eq!(code(&with(folder.path().join(bad))), ("upstream_ca_unusable", true), "{bad}");
    }
}

#[test]
fn who_has_had_enough_closes_the_connection() {
    let other = Other::start();
    here().block_on(async {
        let server = client(other.url(), "endless");
        let mut answer = server.ask(Some(KEY), Way::Chat, said()).await.unwrap();
        assert_eq!(answer.next().await.unwrap().as_deref(), Some("Il était "));
        assert_eq!(other.seen.open.load(Ordering::SeqCst), 1);
    });
    until("the other server stops", || other.seen.open.load(Ordering::SeqCst) == 0);
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

// --- the box ------------------------------------------------------------------------------------

/// A box that another server generates for, with its key, and its administrator's token.
fn box_for(other: &Other, model: &str) -> (House, String) {
    let url = other.url();
    let (house, chef) = House::ready_with(&[
        ("assistant.engine", "openai"),
        ("assistant.openai.url", &url),
        ("assistant.openai.model", model),
        ("assistant.openai.rest_seconds", "30"),
        ("assistant.slots", "1"),
    ]);
    house.check(put("/models/upstream/key", &json!({"key": KEY})).by(&chef), 200, &json!({}));
    (house, chef)
}

fn prompt() -> Ask {
    Ask {
        prompt: Prompt::Chat(vec![Message::new(Role::User, "Bonjour")]),
        options: Options::default(),
        scope: "test".into(),
    }
}

fn written(house: &House) -> Result<Written, Fault> {
    house.app().desks().thinking.generation.write(&Caller::console("r"), prompt())?.whole()
}

#[test]
fn the_box_has_another_server_write_and_journals_without_the_words() {
    let other = Other::start();
    let (house, chef) = box_for(&other, "");
    let answer = written(&house).unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("Il était une été", "good-7b"));
    assert_eq!(answer.reason, Some(Reason::Length));
    let usage = answer.usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.reused_tokens), (7, 5, 3));
    assert_eq!(other.seen.keys.lock().unwrap().last().unwrap(), &format!("Bearer {KEY}"));
    let journal = house.ask(asked_get("/admin/audit-logs?limit=50").by(&chef));
    let text = String::from_utf8_lossy(&journal.bytes).into_owned();
    assert!(text.contains("llm.write") && text.contains("upstream.key"), "{text}");
    assert!(
        !text.contains("Il était") && !text.contains("Bonjour") && !text.contains(KEY),
        "{text}"
    );
    let detail = house.check(asked_get("/health/detail").by(&chef), 200, &json!({}));
    assert_eq!(detail["parts"]["assistant"]["level"], "ok", "{detail}");
}

#[test]
fn a_server_that_is_down_rests_and_is_found_again() {
    let other = Other::start();
    let (house, chef) = box_for(&other, "");
    other.break_down(true);
    assert_eq!(written(&house).unwrap_err().code, "upstream_failed");
    let level = |house: &House| {
        let detail = house.ask(asked_get("/health/detail").by(&chef)).json();
        detail["parts"]["assistant"]["level"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(level(&house), "reduced");
    other.break_down(false);
    // It rests: the next question finds nobody, without asking there.
    let before = other.seen.keys.lock().unwrap().len();
    assert_eq!(written(&house).unwrap_err().code, "upstream_unreachable");
    assert_eq!(other.seen.keys.lock().unwrap().len(), before);
    house.clock.pass(Duration::from_secs(31));
    until("the server is found again", || level(&house) == "ok");
    assert_eq!(written(&house).unwrap().text, "Il était une été");
}

#[test]
fn the_model_on_the_box_writes_while_the_server_is_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/stories260K-q8_0.gguf");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return;
    };
    let (other, folder) = (Other::start(), tempfile::tempdir().unwrap());
    let (url, models) = (other.url(), folder.path().join("models"));
    let (house, chef) = House::ready_with(&[
        ("assistant.engine", "openai"),
        ("assistant.openai.url", &url),
        ("models.folder", models.to_str().unwrap()),
    ]);
    let mut form = upload_with(&[("name", "conte")], &[("w.gguf", &bytes)]);
    "/models".clone_into(&mut form.path);
    house.check(form.by(&chef), 201, &json!({}));
    house.check(asked_post("/models/conte/use", &json!({})).by(&chef), 200, &json!({}));
    house.check(put("/models/upstream/key", &json!({"key": KEY})).by(&chef), 200, &json!({}));
    let story = || {
        let options = Options { max_tokens: 12, temperature: 0.0, ..Options::default() };
        let prompt = Prompt::Text("Once upon a time".into());
        let ask = Ask { prompt, options, scope: "s".into() };
        let generation = &house.app().desks().thinking.generation;
        generation.write(&Caller::console("r"), ask).unwrap().whole().unwrap()
    };
    assert_eq!(story().model, "good-7b");
    other.break_down(true);
    let told = story();
    assert_eq!((told.model.as_str(), told.reason), ("conte", Some(Reason::Length)));
    assert!(told.text.starts_with(", there was a"), "{}", told.text);
    let detail = house.ask(asked_get("/health/detail").by(&chef)).json();
    let part = &detail["parts"]["assistant"];
    assert_eq!(part["level"], "reduced");
    assert!(part["detail"].as_str().unwrap().starts_with("conte on this box writes"), "{part}");
    house.check(asked_get("/health"), 200, &json!({"llm": "conte"}));
}

#[test]
fn a_stream_that_is_dropped_frees_its_place_at_once() {
    let other = Other::start();
    let (house, _) = box_for(&other, "endless");
    let generation = &house.app().desks().thinking.generation;
    let caller = Caller::console("r");
    let mut first = generation.write(&caller, prompt()).unwrap();
    until("it writes", || matches!(first.wait(), Some(Piece::Text(_))));
    let mut second = generation.write(&Caller::task("other"), prompt()).unwrap();
    assert!(matches!(second.wait(), Some(Piece::Waiting(0))));
    let third = generation.write(&caller, prompt()).unwrap();
    until("one runs, two wait", || {
        let status = generation.status(&caller).unwrap();
        (status.running, status.waiting) == (1, 2)
    });
    drop(third);
    until("one waits", || generation.status(&caller).unwrap().waiting == 1);
    drop(first);
    assert!(matches!(second.wait(), Some(Piece::Started { .. })));
    until("the first connection is closed", || other.seen.open.load(Ordering::SeqCst) == 1);
    house.app().desks().thinking.wind_down();
    let last = std::iter::from_fn(|| second.wait()).last();
    assert!(matches!(last, Some(Piece::Failed(fault)) if fault.code == "writer_closed"));
    assert_eq!(generation.write(&caller, prompt()).err().unwrap().code, "writer_closed");
}

#[test]
fn a_key_is_the_administrators_business() {
    let other = Other::start();
    let (house, chef) = box_for(&other, "");
    let (_, viewer) = house.person(&chef, "zoe", "viewer");
    let key = put("/models/upstream/key", &json!({"key": KEY}));
    house.refuses(key.clone().by(&viewer), 403, "right_missing");
    house.clock.pass(Duration::from_hours(1));
    let late = house.sign_in("chef");
    house.clock.pass(Duration::from_mins(30));
    house.refuses(key.by(&late), 403, "step_up_required");
    let listed = house.ask(asked_get("/models").by(&late));
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(KEY));
    assert_eq!(listed.json()["upstream"]["has_key"], true);
}
