//! The door on real sockets: its limits, its one fault body, its certificate, its way of closing.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::stream;
use ilot::app::listen::{Bound, Doors, ListenSettings};
use ilot::base::clock::{Clock, HeldClock, MachineClock, Moment};
use ilot::base::paths::DataFolder;
use ilot::engines::tls::{Names, Sealer, Tls};
use ilot::web::guard::HostRules;
use ilot::web::layers::{Door, DoorOptions};
use ilot::web::meters::Meters;
use ilot::web::routes::Spelling;
use ilot::web::{Asker, Json, Path, Query, limits};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// No step of these tests takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(12);

#[derive(Serialize, Deserialize)]
struct Echo {
    name: String,
    #[serde(default)]
    ages: Vec<u8>,
}

#[derive(Deserialize)]
struct Page {
    top_k: u8,
}

async fn slip() {
    assert!(std::hint::black_box(false), "a slip");
}

fn routes() -> Router {
    let endless = || async {
        let ticks = stream::unfold((), |()| async {
            sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"tick\n")), ()))
        });
        Body::from_stream(ticks)
    };
    let huge = || async {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        Body::from_stream(stream::iter((0..4096).map(move |_| Ok::<_, io::Error>(piece.clone()))))
    };
    let socket = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while socket.recv().await.is_some_and(|m| m.is_ok()) {}
        })
    };
    Router::new()
        .route("/health", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/echo", post(|Json(echo): Json<Echo>| async { Json(echo) }))
        .route("/small", post(|body: Json<Echo>| async { body }).layer(limits::body(100)))
        .route("/page", get(|Query(page): Query<Page>| async move { page.top_k.to_string() }))
        .route("/things/{id}", get(|Path(id): Path<u32>| async move { id.to_string() }))
        .route("/api/servers/{id}", get(|Path(id): Path<u32>| async move { format!("server {id}") }))
        .route("/panic", get(slip))
        .route("/late", get(|| sleep(Duration::from_mins(1))).layer(limits::answer_within(Duration::from_millis(100))))
        .route("/text", get(|| async { "word ".repeat(1000).into_response() }))
        .route("/who", get(|Asker(caller): Asker| async move { format!("{} {}", caller.name(), caller.request) }))
        .route("/endless", get(endless))
        .route("/huge", get(huge))
        .route("/socket", get(socket))
        .route("/role/x", get(|| async { "x" }))
}

fn door() -> Door {
    let spelling = Spelling::with(["/api/servers/{id}"].into_iter());
    Door::new(
        routes(),
        DoorOptions {
            hosts: HostRules { names: vec!["depot.lan".into()], check_port: false },
            machine: None,
            meters: Meters::new().unwrap(),
            spelling,
            plain: Vec::new(),
            terse: vec!["role"],
        },
    )
}

/// A running door on free ports.
struct House {
    http: SocketAddr,
    https: Option<SocketAddr>,
    data: DataFolder,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl House {
    fn open(tweak: impl FnOnce(&mut ListenSettings)) -> Self {
        Self::open_with(tweak, None)
    }

    #[expect(clippy::disallowed_methods, reason = "a test has no box whose tasks it could use")]
    fn open_with(tweak: impl FnOnce(&mut ListenSettings), tls: Option<Tls>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::at(folder.path());
        data.create().unwrap();
        let mut settings = ListenSettings {
            http: "127.0.0.1:0".into(),
            https: if tls.is_some() { "127.0.0.1:0".into() } else { "off".into() },
            planb: "off".into(),
            ..ListenSettings::default()
        };
        tweak(&mut settings);
        let bound = Bound::bind(settings, &data).unwrap();
        let (http, https) = (bound.addresses().http.unwrap(), bound.addresses().https);
        let stop = CancellationToken::new();
        let doors = Doors { main: door(), planb: None };
        let served = tokio::spawn(bound.serve(doors, tls, stop.clone()));
        Self { http, https, data, stop, served, _folder: folder }
    }

    async fn close(self) -> Duration {
        let began = Instant::now();
        self.stop.cancel();
        timeout(PATIENCE, self.served).await.expect("the door did not close").unwrap();
        began.elapsed()
    }

    /// Sends bytes as they are and reads until the other side closes.
    async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    /// One request with `head` lines after the first; the status and the whole answer.
    async fn ask(&self, first: &str, head: &str, body: &str) -> (u16, String) {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let host = if head.contains("host:") { "" } else { "host: localhost\r\n" };
        let request =
            format!("{first} HTTP/1.1\r\n{host}{head}{length}connection: close\r\n\r\n{body}");
        let answer = self.raw(&request).await;
        (status(&answer), answer)
    }
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A peer that cuts us off may also reset the connection; what came before counts.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("nobody closed the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

fn fault(answer: &str) -> serde_json::Value {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|e| panic!("no fault body ({e}): {answer}"))
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn every_refusal_has_the_one_body() {
    let house = House::open(|_| {});
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(200));
    for (first, head, body, status, code) in [
        ("GET /gone", "", "", 404, "not_found"),
        ("DELETE /health", "", "", 405, "method_not_allowed"),
        ("POST /echo", JSON, "{", 400, "json_malformed"),
        ("POST /echo", JSON, "{}", 422, "validation"),
        ("POST /echo", "content-type: text/plain\r\n", "{}", 415, "content_type"),
        ("POST /echo", "", "{}", 415, "content_type"),
        ("POST /small", JSON, long.as_str(), 413, "body_too_large"),
        ("GET /page?top_k=many", "", "", 422, "validation"),
        ("GET /things/seven", "", "", 422, "validation"),
        ("GET /panic", "", "", 500, "internal"),
        ("GET /late", "", "", 503, "answer_too_slow"),
        ("GET /health", "host: evil.example\r\n", "", 421, "host_unknown"),
        ("POST /echo", "sec-fetch-site: cross-site\r\n", "{}", 403, "cross_site"),
        ("POST /echo", "origin: https://evil.example\r\n", "{}", 403, "cross_site"),
        ("GET /who", "idempotency-key: a b\r\n", "", 400, "idempotency_key"),
    ] {
        let head = format!("{head}x-request-id: mine-1\r\n");
        let (got, answer) = house.ask(first, &head, body).await;
        assert_eq!(got, status, "{first} {head} {answer}");
        let fault = fault(&answer);
        assert_eq!(fault["code"], code, "{first}");
        assert_eq!(fault["request_id"], "mine-1", "{first}");
        assert!(fault["error"].is_string() && !fault["detail"].is_null(), "{fault}");
        assert!(answer.contains("x-request-id: mine-1") && answer.contains("x-trace-id: mine-1"));
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
    let (_, answer) = house.ask("POST /echo", JSON, r#"{"name":"a","ages":[1,"b"]}"#).await;
    assert_eq!(fault(&answer)["detail"][0]["loc"], serde_json::json!(["body", "ages", "1"]));
    let (_, answer) = house.ask("GET /role/none", "", "").await;
    assert_eq!(fault(&answer)["error"], "not_found", "Plan B's paths say the code");
    house.close().await;
}

#[tokio::test]
async fn what_is_well_is_served_in_every_spelling() {
    let house = House::open(|_| {});
    for (first, head, body, end) in [
        ("GET /health", "", "", r#"{"status":"ok"}"#),
        ("GET /health/", "host: depot.lan\r\n", "", r#"{"status":"ok"}"#),
        ("GET /api/health", "", "", r#"{"status":"ok"}"#),
        ("GET /api/servers/7/", "", "", "server 7"),
        ("GET /who", "x-request-id: r.1\r\n", "", "nobody r.1"),
        ("POST /echo", JSON, r#"{"name":"a","ages":[1]}"#, r#"{"name":"a","ages":[1]}"#),
    ] {
        let (status, answer) = house.ask(first, head, body).await;
        assert_eq!((status, answer.ends_with(end)), (200, true), "{answer}");
    }
    let (_, packed) = house.ask("GET /text", "accept-encoding: gzip\r\n", "").await;
    assert!(packed.contains("content-encoding: gzip") && packed.len() < 2000, "{}", packed.len());
    house.close().await;
}

#[tokio::test]
async fn silence_and_endless_headers_are_cut() {
    let house = House::open(|s| {
        s.first_byte_seconds = 1;
        s.header_seconds = 1;
        s.keep_alive_seconds = 1;
    });
    for bytes in [
        "",
        "GET /health HTTP/1.1\r\nhost: local",
        "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let began = Instant::now();
        house.raw(bytes).await;
        let took = began.elapsed().as_secs_f64();
        assert!((0.9..4.0).contains(&took), "{bytes:?} was cut after {took} s");
    }
    let many = "x-filler: y\r\n".repeat(100);
    let (status, body) = house.ask("GET /health", &many, "").await;
    assert!(status == 431 && body.contains("headers_too_large"), "{status} {body}");
    let long = format!("x-filler: {}\r\n", "y".repeat(20_000));
    let (status, body) = house.ask("GET /health", &long, "").await;
    assert!(status == 431 && body.contains("headers_too_large"), "{status} {body}");
    // Far beyond, the connection is given up without words of ours.
    let long = format!("x-filler: {}\r\n", "y".repeat(40_000));
    let (status, _) = house.ask("GET /health", &long, "").await;
    assert_eq!(status, 431);
    house.close().await;
}

#[tokio::test]
async fn a_body_that_drips_is_refused_and_a_steady_one_is_not() {
    let house = House::open(|s| s.floor_grace_seconds = 2);
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 9000\r\n\r\n{{");
    let began = Instant::now();
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let drip = async {
        loop {
            sleep(Duration::from_millis(300)).await;
            if writing.write_all(b" ").await.is_err() {
                return;
            }
        }
    };
    let answer = tokio::select! {
        answer = read_all(&mut reading) => answer,
        () = drip => String::new(),
    };
    assert_eq!(fault(&answer)["code"], "body_too_slow");
    assert!((1.5..4.5).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());

    let text = format!(r#"{{"name":"{}"}}"#, "x".repeat(8000));
    let head = format!(
        "POST /echo HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in text.as_bytes().chunks(1000) {
        sleep(Duration::from_millis(350)).await;
        stream.write_all(piece).await.unwrap();
    }
    assert_eq!(status(&read_all(&mut stream).await), 200, "3 s at 2.8 KiB/s are fine");
    house.close().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_loses_its_connection() {
    let house = House::open(|s| s.floor_grace_seconds = 1);
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    stream.write_all(b"GET /huge HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(4)).await;
    let mut bytes = 0;
    let mut piece = vec![0; 1 << 20];
    while let Ok(Ok(n)) = timeout(PATIENCE, stream.read(&mut piece)).await {
        if n == 0 {
            break;
        }
        bytes += n;
    }
    assert!(bytes < 64 * 1024 * 4096, "all of the answer came: {bytes}");
    house.close().await;
}

#[tokio::test]
async fn one_door_takes_only_so_many() {
    let house = House::open(|s| {
        s.connections = 3;
        s.connections_reserved = 0;
    });
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(house.http).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    let refused =
        house.raw("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(refused, "");
    held.clear();
    let began = Instant::now();
    while house.ask("GET /health", "", "").await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "a place never came free");
        sleep(Duration::from_millis(50)).await;
    }
    house.close().await;
}

#[tokio::test]
async fn it_closes_in_time_with_streams_and_sockets_open() {
    let house = House::open(|s| s.drain_seconds = 1);
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut socket = TcpStream::connect(house.http).await.unwrap();
    let shake = "GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(shake.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let idle = TcpStream::connect(house.http).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let (files, http) = ((house.data.socket(), house.data.addresses()), house.http);
    let took = house.close().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(read_all(&mut stream).await.contains("tick"));
    read_all(&mut socket).await;
    drop(idle);
    assert!(!files.0.exists() && !files.1.exists(), "it left files behind");
    assert!(TcpStream::connect(http).await.is_err(), "it still listens");
}

#[tokio::test]
async fn an_idle_house_closes_at_once() {
    let house = House::open(|_| {});
    let kept = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    stream.write_all(kept.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let took = house.close().await;
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[tokio::test]
async fn an_address_in_use_is_named_and_the_console_has_its_own_door() {
    let house = House::open(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::at(folder.path());
    data.create().unwrap();
    let settings = ListenSettings {
        http: house.http.to_string(),
        https: "off".into(),
        planb: "off".into(),
        ..ListenSettings::default()
    };
    let refused = Bound::bind(settings, &data).unwrap_err();
    assert_eq!(refused.code, "address_in_use");
    assert!(refused.message.contains(&house.http.to_string()), "{}", refused.message);
    let settings = ListenSettings { http: "here".into(), ..ListenSettings::default() };
    assert_eq!(Bound::bind(settings, &data).unwrap_err().code, "address_malformed");
    let settings = ListenSettings {
        http: "off".into(),
        https: "off".into(),
        planb: "off".into(),
        ..ListenSettings::default()
    };
    assert_eq!(
        Bound::bind(settings, &house.data).unwrap_err().code,
        "address_in_use",
        "two boxes on one folder"
    );

    let mut console = UnixStream::connect(house.data.socket()).await.unwrap();
    console
        .write_all(b"GET /who HTTP/1.1\r\nhost: anything\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_all(&mut console).await.contains("console "));
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(house.data.addresses()).unwrap()).unwrap();
    assert_eq!(written["http"], house.http.to_string());
    assert!(written["https"].is_null() && written["planb"].is_null());
    house.close().await;
}

struct Shown(Moment);

impl rustls::time_provider::TimeProvider for Shown {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(self.0.0).ok()?)))
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.to_rfc3339())
    }
}

fn open_tls(keys: &std::path::Path, clock: Arc<HeldClock>) -> Tls {
    let sealer = Sealer { seal: Box::new(|b| Ok(b.to_vec())), open: Box::new(|b| Ok(b.to_vec())) };
    Tls::open(keys, "Lyon", &own_names(), clock, &sealer).unwrap()
}

fn own_names() -> Names {
    Names {
        hosts: vec!["localhost".into(), "ilot.local".into(), "box7".into()],
        addresses: vec!["127.0.0.1".parse().unwrap(), "192.168.1.5".parse().unwrap()],
    }
}

/// Shakes hands as a device that trusts `tls`'s root, at the box's own time.
async fn handshake(
    address: SocketAddr,
    tls: &Tls,
    name: &str,
    now: Moment,
) -> io::Result<(Vec<u8>, impl AsyncRead + AsyncWrite + Unpin + use<>)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(tls.root_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_details(provider, Arc::new(Shown(now)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let stream = connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    Ok((leaf, stream))
}

#[tokio::test]
async fn the_certificate_is_trusted_under_its_names_and_renewed_without_a_restart() {
    let keys = tempfile::tempdir().unwrap();
    let clock = Arc::new(HeldClock::at(MachineClock.now()));
    let tls = open_tls(keys.path(), clock.clone());
    let house = House::open_with(|_| {}, Some(tls.clone()));
    let https = house.https.unwrap();
    for good in ["localhost", "ilot.local", "box7", "127.0.0.1", "192.168.1.5"] {
        let (_, mut stream) = handshake(https, &tls, good, clock.now()).await.unwrap();
        let request = format!("GET /health HTTP/1.1\r\nhost: {good}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        // 192.168.1.5 is not where this test connects to, nor is box7 in the door's rules.
        assert!(matches!(status(&answer), 200 | 421), "{good}: {answer}");
        let promised = answer.contains("strict-transport-security");
        assert_eq!(promised, good == "ilot.local", "{good}");
    }
    for bad in ["evil.example", "10.0.0.9"] {
        assert!(handshake(https, &tls, bad, clock.now()).await.is_err(), "{bad} was accepted");
    }
    let (before, mut kept) = handshake(https, &tls, "localhost", clock.now()).await.unwrap();
    clock.pass(Duration::from_hours(61 * 24));
    assert!(tls.renew(&own_names()).unwrap());
    let (after, _) = handshake(https, &tls, "localhost", clock.now()).await.unwrap();
    assert_ne!(before, after);
    kept.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(status(&read_all(&mut kept).await), 200, "an old connection lives on");
    // A plain address understands TLS, for browsers that insist.
    assert!(handshake(house.http, &tls, "localhost", clock.now()).await.is_ok());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_accepts_the_exported_root_and_refuses_a_wrong_name() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    let tls = open_tls(keys.path(), Arc::new(HeldClock::at(MachineClock.now())));
    let house = House::open_with(|_| {}, Some(tls.clone()));
    let root = keys.path().join("root.pem");
    std::fs::write(&root, tls.root_pem()).unwrap();
    for (version, name, good) in [
        ("-tls1_3", "ilot.local", true),
        ("-tls1_2", "ilot.local", true),
        ("-tls1_3", "evil.example", false),
    ] {
        let address = house.https.unwrap().to_string();
        let told = Command::new("openssl")
            .args(["s_client", "-brief", version, "-verify_return_error", "-verify_hostname", name])
            .args(["-x509_strict", "-CAfile", root.to_str().unwrap(), "-connect", &address])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(words.contains("Verification: OK"), good, "{version} {name}: {words}");
    }
    house.close().await;
}

#[tokio::test]
async fn plain_http_from_elsewhere_is_sent_to_https() {
    let keys = tempfile::tempdir().unwrap();
    let tls = open_tls(keys.path(), Arc::new(HeldClock::at(MachineClock.now())));
    let Some(elsewhere) = ilot::app::listen::machine::addresses()
        .into_iter()
        .find(|a| !a.is_loopback() && a.is_ipv4())
    else {
        return;
    };
    let house = House::open_with(|s| s.http = "0.0.0.0:0".into(), Some(tls));
    let far = SocketAddr::new(elsewhere, house.http.port());
    let mut stream = TcpStream::connect(far).await.unwrap();
    let request = format!("GET /health?a=1 HTTP/1.1\r\nhost: {far}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert_eq!(status(&answer), 308);
    let wanted =
        format!("location: https://{elsewhere}:{}/health?a=1", house.https.unwrap().port());
    assert!(answer.contains(&wanted), "{answer}");
    house.close().await;
}
