//! Plan B's interface on the main server: the seed's shapes, codes and leniency, and what bad input gets.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ask::{Ask, House, Reply, ask, get, post};

/// Hexadecimal digits.
const DIGITS: &str = "0123456789abcdef";

/// A box, and what Plan B's client has of it: the key of the file.
struct Client {
    house: House,
    admin: String,
    key: String,
}

impl Client {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let (house, admin) = House::ready_with(settings);
        let key = key_of(&house);
        Self { house, admin, key }
    }

    fn signed(&self, ask: Ask) -> Ask {
        ask.header("X-API-Key", &self.key)
    }

    fn get(&self, path: &str) -> Value {
        self.house.check(self.signed(get(path)), 200, &json!({}))
    }

    /// What a body gets, as JSON text or not.
    fn raw(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.house.ask(self.signed(ask("POST", path).raw("application/json", body)))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.house.check(self.signed(post(path, body)), 200, &json!({}))
    }

    /// The fault a body gets: its status, its code, what it says. No word of a library may be in it.
    fn refused(&self, path: &str, body: &str) -> (u16, String, String) {
        let reply = self.raw(path, body);
        let json = reply.json();
        assert_eq!(json["error"], json["code"], "{path} {body}");
        let detail = json["detail"].as_str().unwrap().to_owned();
        for foreign in ["line ", "column", "expected", "invalid type", "os error", "Traceback"] {
            assert!(!detail.contains(foreign), "{path} {body}: {detail}");
        }
        (reply.status, json["error"].as_str().unwrap().to_owned(), detail)
    }

    #[track_caller]
    fn refuses(&self, path: &str, body: &str, code: &str) {
        let (status, found, detail) = self.refused(path, body);
        assert!(
            (status, found.as_str()) == (400, code),
            "{path} {body}: {status} {found} {detail}"
        );
    }

    fn says(&self, path: &str, body: &Value, detail: &str) {
        let (status, _, found) = self.refused(path, &body.to_string());
        assert!(status == 400 && found.starts_with(detail), "{body}: {status} {found}");
    }
}

fn key_of(house: &House) -> String {
    fs::read_to_string(house.folder().join("planb/api_key.txt")).unwrap().trim_end().to_owned()
}

fn b64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

fn bytes_of(text: &Value) -> Vec<u8> {
    data_encoding::BASE64.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_seed_is_walked_with_the_key_of_the_file() {
    let plan = Client::new();
    assert_eq!(plan.get("/ping"), json!({"status": "ok"}));
    let status = plan.get("/status");
    let node = status["node_id"].as_str().unwrap().to_owned();
    assert_eq!(status, json!({"role": "client", "node_id": node}));
    assert!(node.len() == 64 && node.chars().all(|c| DIGITS.contains(c)), "{node}");
    assert_eq!(plan.get("/role"), json!({"role": "client"}));
    assert_eq!(plan.post("/role", &json!({"role": "SERVER"})), json!({"role": "server"}));
    assert_eq!(plan.get("/status"), json!({"role": "server", "node_id": node}));
    assert_eq!(fs::read_to_string(plan.house.folder().join("planb/role")).unwrap(), "server\n");
    let types = json!({"HELLO": 1, "PEER_LIST": 2, "MSG": 3, "CHUNK_REQ": 4, "CHUNK_DATA": 5,
        "MANIFEST": 6, "ACK": 7});
    assert_eq!(plan.get("/packet/types"), types);
    let sealed = plan
        .post("/crypto/encrypt", &json!({"plaintext_b64": b64(b"secret"), "aad_b64": b64(b"a")}));
    assert_eq!(names(&sealed), ["ciphertext_b64"]);
    assert_eq!(bytes_of(&sealed["ciphertext_b64"]).len(), 12 + 6 + 16);
    let opened = plan.post(
        "/crypto/decrypt",
        &json!({"ciphertext_b64": sealed["ciphertext_b64"], "aad_b64": b64(b"a")}),
    );
    assert_eq!(opened, json!({"plaintext_b64": b64(b"secret")}));
    plan.says(
        "/crypto/decrypt",
        &json!({"ciphertext_b64": sealed["ciphertext_b64"]}),
        "The ciphertext does not open",
    );
    let empty = plan.post("/crypto/encrypt", &json!({}));
    assert_eq!(bytes_of(&empty["ciphertext_b64"]).len(), 28);
    assert_eq!(plan.post("/crypto/decrypt", &empty), json!({"plaintext_b64": ""}));
    // What was done is in the journal, and no key with it.
    let journal = plan.house.check(get("/admin/journal").by(&plan.admin), 200, &json!({}));
    assert!(journal.to_string().contains("planb_role.set"), "{journal}");
}

#[test]
fn packets_are_the_contracts_bytes() {
    let plan = Client::new();
    let (id, hmac) = ("11".repeat(32), b64(&[0x22; 32]));
    let asked =
        json!({"packet_type": "3", "node_id_hex": id, "payload_b64": "aGk=", "hmac_b64": hmac});
    let data = plan.post("/packet/serialize", &asked)["data_b64"].clone();
    let mut wanted = b"ARCH\x03".to_vec();
    wanted.extend([0x11; 32]);
    wanted.extend([0, 0, 0, 2, b'h', b'i']);
    wanted.extend([0x22; 32]);
    assert_eq!(bytes_of(&data), wanted);
    let read = plan.post("/packet/deserialize", &json!({"data_b64": data}));
    let expected = json!({"packet_type": 3, "node_id_hex": id, "payload_b64": "aGk=",
        "hmac_b64": hmac, "hmac_valid": false});
    assert_eq!(read, expected);
    wanted.extend(b"what follows is ignored");
    let read = plan.post("/packet/deserialize", &json!({"data_b64": b64(&wanted)}));
    assert_eq!(read, expected);
    // Without an HMAC and without an id they are this node's.
    let own = plan.post("/packet/serialize", &json!({"packet_type": 7}));
    let read = plan.post("/packet/deserialize", &own);
    assert_eq!(read["node_id_hex"], plan.get("/status")["node_id"]);
    assert_eq!((&read["hmac_valid"], &read["packet_type"]), (&json!(true), &json!(7)));
    let largest = json!({"packet_type": 5, "payload_b64": b64(&vec![9; 65_463])});
    let packet = plan.post("/packet/serialize", &largest);
    assert_eq!(bytes_of(&packet["data_b64"]).len(), 65_536);
    let spaced = json!({"packet_type": " 1 ", "node_id_hex": "AA ".repeat(32), "hmac_b64": null});
    let packet = plan.post("/packet/serialize", &spaced);
    let read = plan.post("/packet/deserialize", &packet);
    assert_eq!(
        (&read["node_id_hex"], &read["hmac_valid"]),
        (&json!("aa".repeat(32)), &json!(true))
    );
}

#[test]
fn malformed_packets_get_the_contracts_words() {
    let plan = Client::new();
    let packet = |kind: u8, length: u32, payload: &[u8]| {
        let mut bytes = b"ARCH".to_vec();
        bytes.push(kind);
        bytes.extend([1; 32]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(payload);
        bytes
    };
    let whole =
        |kind, length, payload: &[u8]| [packet(kind, length, payload), vec![2; 32]].concat();
    for (bytes, detail) in [
        (vec![], "Packet too short"),
        (vec![b'A'; 72], "Packet too short"),
        (b"ARCH".to_vec(), "Packet too short"),
        (vec![0; 73], "Invalid MAGIC"),
        (whole(1, 65_464, &[]), "Payload length exceeds maximum"),
        (whole(9, u32::MAX, &[]), "Payload length exceeds maximum"),
        (whole(9, 1, &[]), "Packet truncated"),
        (whole(1, 65_463, &[0; 65_462]), "Packet truncated"),
        (whole(0, 0, &[]), "Invalid packet type"),
        (whole(8, 2, b"hi"), "Invalid packet type"),
    ] {
        plan.says("/packet/deserialize", &json!({"data_b64": b64(&bytes)}), detail);
        plan.refuses(
            "/packet/deserialize",
            &json!({"data_b64": b64(&bytes)}).to_string(),
            "deserialize_failed",
        );
    }
    let good = |member: &str, value: Value| {
        let mut body = json!({"packet_type": 3, "payload_b64": "", "hmac_b64": b64(&[0; 32])});
        body[member] = value;
        body
    };
    for (body, detail) in [
        (good("packet_type", json!(0)), "Invalid packet type"),
        (good("packet_type", json!(8)), "Invalid packet type"),
        (good("packet_type", json!(-1)), "Invalid packet type"),
        (good("packet_type", json!(1e300)), "Invalid packet type"),
        (good("packet_type", json!("MSG")), "Invalid packet type"),
        (good("packet_type", json!("")), "Invalid packet type"),
        (good("packet_type", json!(true)), "Invalid packet type"),
        (good("packet_type", json!([3])), "Invalid packet type"),
        (good("packet_type", json!(null)), "Invalid packet type"),
        (good("node_id_hex", json!("")), "Node ID must be"),
        (good("node_id_hex", json!("11".repeat(31))), "Node ID must be"),
        (good("node_id_hex", json!("11".repeat(33))), "Node ID must be"),
        (good("node_id_hex", json!("1".repeat(63))), "Node ID must be"),
        (good("node_id_hex", json!("zz".repeat(32))), "Node ID must be"),
        (good("node_id_hex", json!("é".repeat(32))), "Node ID must be"),
        (good("node_id_hex", json!(11)), "Node ID must be"),
        (good("hmac_b64", json!("")), "HMAC must be"),
        (good("hmac_b64", json!(b64(&[0; 31]))), "HMAC must be"),
        (good("hmac_b64", json!(b64(&[0; 33]))), "HMAC must be"),
        (good("payload_b64", json!(b64(&[0; 65_464]))), "Payload too large"),
    ] {
        plan.says("/packet/serialize", &body, detail);
        plan.refuses("/packet/serialize", &body.to_string(), "serialize_failed");
    }
}

#[test]
fn bodies_are_read_leniently_and_wrong_types_get_the_routes_code() {
    let plan = Client::new();
    for body in ["", " ", "{", "nonsense", "[]", "[1]", "null", "7", "\"x\"", "{}}"] {
        assert_eq!(plan.raw("/crypto/encrypt", body).status, 200, "{body}");
        plan.refuses("/role", body, "invalid_role");
        plan.refuses("/crypto/decrypt", body, "decrypt_failed");
        plan.refuses("/packet/serialize", body, "serialize_failed");
        plan.refuses("/packet/deserialize", body, "deserialize_failed");
        plan.refuses("/tcp/send", body, "invalid_target");
    }
    let untyped = plan.signed(ask("POST", "/role").raw("text/plain", r#"{"role":"server"}"#));
    plan.house.check(untyped, 200, &json!({"role": "server"}));
    for wrong in ["7", "1.5", "true", "[]", "{}", "[\"aGk=\"]"] {
        for (path, member, code) in [
            ("/role", "role", "invalid_role"),
            ("/crypto/encrypt", "plaintext_b64", "encrypt_failed"),
            ("/crypto/encrypt", "aad_b64", "encrypt_failed"),
            ("/crypto/decrypt", "ciphertext_b64", "decrypt_failed"),
            ("/packet/deserialize", "data_b64", "deserialize_failed"),
            ("/tcp/send", "host", "invalid_target"),
            ("/tcp/start", "host", "tcp_start_failed"),
            ("/tcp/start", "framing", "tcp_start_failed"),
        ] {
            plan.refuses(path, &format!("{{\"{member}\":{wrong}}}"), code);
        }
        for member in ["payload_b64", "hmac_b64"] {
            let body = format!("{{\"packet_type\":3,\"{member}\":{wrong}}}");
            plan.refuses("/packet/serialize", &body, "serialize_failed");
        }
    }
    for role in ["", "king", "server ", "client\n"] {
        plan.refuses("/role", &json!({"role": role}).to_string(), "invalid_role");
    }
    assert_eq!(plan.get("/role"), json!({"role": "server"}), "nothing of it was taken");
}

#[test]
fn base64_is_read_as_python_reads_it() {
    let plan = Client::new();
    for wrong in ["a", "aGk", "aG", "a===", "é", "aGké"] {
        let body = json!({"plaintext_b64": wrong}).to_string();
        plan.refuses("/crypto/encrypt", &body, "encrypt_failed");
    }
    for (spelled, bytes) in [
        ("a G\nk=", b"hi".as_slice()),
        ("aG!k=", b"hi"),
        ("aG\\/p", b"ho\xe9"),
        ("", b""),
        ("=", b""),
        ("aGk=a", b"hi"),
    ] {
        let body = format!("{{\"plaintext_b64\":\"{}\"}}", spelled.replace('\n', "\\n"));
        let sealed = plan.raw("/crypto/encrypt", body);
        let opened = plan.raw("/crypto/decrypt", sealed.bytes.clone()).json();
        assert_eq!(opened["plaintext_b64"], b64(bytes), "{spelled}");
    }
    for blob in [&[0u8; 0][..], &[0; 27], &[0; 28], &[0; 100]] {
        plan.refuses(
            "/crypto/decrypt",
            &json!({"ciphertext_b64": b64(blob)}).to_string(),
            "decrypt_failed",
        );
    }
}

#[test]
fn a_body_is_as_long_as_the_settings_allow_and_no_longer() {
    let plan = Client::with(&[("continuity.message_max_mib", "1")]);
    let message = |bytes: usize| json!({"plaintext_b64": b64(&vec![7; bytes])}).to_string();
    let sealed = plan.raw("/crypto/encrypt", message(1 << 20));
    assert_eq!(sealed.status, 200);
    let opened = plan.raw("/crypto/decrypt", sealed.bytes.clone());
    assert!(opened.json()["plaintext_b64"] == b64(&vec![7; 1 << 20]));
    plan.refuses("/crypto/encrypt", &message((1 << 20) + 1), "encrypt_failed");
    for path in [
        "/crypto/encrypt",
        "/crypto/decrypt",
        "/packet/serialize",
        "/packet/deserialize",
        "/tcp/send",
        "/role",
        "/token/rotate",
        "/tcp/start",
    ] {
        let (status, code, _) = plan.refused(path, &message(2 << 20));
        assert_eq!((status, code.as_str()), (413, "body_too_large"), "{path}");
    }
}

#[test]
fn only_this_machine_comes_near_unless_the_settings_say_so() {
    let plan = Client::new();
    for near in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"] {
        plan.house.check(plan.signed(get("/status")).from(near), 200, &json!({}));
    }
    for far in ["10.0.0.7", "::ffff:10.0.0.8", "fd00::7"] {
        for asked in [get("/status"), get("/ping"), post("/role", &json!({"role": "server"}))] {
            plan.house.refuses(plan.signed(asked.clone()).from(far), 403, "loopback_only");
            plan.house.refuses(asked.clone().by(&plan.admin).from(far), 403, "loopback_only");
            plan.house.refuses(asked.from(far), 403, "loopback_only");
        }
        // Its keys are worth nothing from there at other paths either.
        plan.house.refuses(plan.signed(get("/health/detail")).from(far), 401, "key_unknown");
    }
    let open = Client::with(&[("continuity.lan", "true")]);
    open.house.check(open.signed(get("/status")).from("10.0.0.7"), 200, &json!({}));
}

#[test]
fn whoever_shows_no_good_key_is_unauthorized_and_one_who_tries_keys_late() {
    let plan = Client::new();
    let unauthorized = json!({"error": "unauthorized"});
    let paths = ["/status", "/role", "/ping", "/packet/types", "/tcp/status"];
    let began = Instant::now();
    for path in paths {
        plan.house.check(get(path), 401, &unauthorized);
    }
    for path in [
        "/role",
        "/token/rotate",
        "/crypto/encrypt",
        "/packet/serialize",
        "/tcp/start",
        "/tcp/stop",
        "/tcp/send",
    ] {
        plan.house.check(post(path, &json!({})), 401, &unauthorized);
    }
    let without = began.elapsed();
    let wrong = |n: u8| get("/status").header("X-API-Key", &format!("{n:064x}"));
    let began = Instant::now();
    plan.house.check(wrong(1), 401, &unauthorized);
    plan.house.check(wrong(2).from("127.0.0.1"), 401, &unauthorized);
    plan.house.check(wrong(3).from("127.0.0.1"), 401, &unauthorized);
    let late = began.elapsed();
    assert!(late >= Duration::from_secs(1), "{late:?}");
    assert!(without < late, "{without:?}");
    let began = Instant::now();
    plan.house.check(plan.signed(get("/status")).from("127.0.0.1"), 200, &json!({}));
    assert!(began.elapsed() < Duration::from_millis(250), "a right key does not wait");
    plan.house.check(get("/status").header("X-API-Key", ""), 401, &unauthorized);
}

#[test]
fn a_rotated_key_ends_when_its_grace_does() {
    let plan = Client::new();
    let by = |key: &str| get("/status").header("X-API-Key", key);
    let rotated = plan.post("/token/rotate", &json!({}));
    assert_eq!(names(&rotated), ["api_key"]);
    let second = rotated["api_key"].as_str().unwrap().to_owned();
    assert!(second.len() == 64 && second != plan.key && second == key_of(&plan.house));
    for key in [&plan.key, &second] {
        plan.house.check(by(key), 200, &json!({}));
    }
    plan.house.clock.pass(Duration::from_mins(10));
    plan.house.check(by(&plan.key), 401, &json!({"error": "unauthorized"}));
    let rotate = |key: &str, body: &Value| post("/token/rotate", body).header("X-API-Key", key);
    for grace in [json!(-1), json!("x"), json!(1.5), json!(604_801), json!([])] {
        let body = json!({"grace_seconds": grace});
        plan.house.refuses(rotate(&second, &body), 400, "invalid_grace");
    }
    let at_once =
        plan.house.check(rotate(&second, &json!({"grace_seconds": "0"})), 200, &json!({}));
    plan.house.check(by(&second), 401, &json!({"error": "unauthorized"}));
    let third = at_once["api_key"].as_str().unwrap().to_owned();
    // A key that somebody writes into the file is taken without a restart.
    let path = plan.house.folder().join("planb/api_key.txt");
    fs::write(&path, format!("{}\n", DIGITS.repeat(4))).unwrap();
    plan.house.check(by(&DIGITS.repeat(4)), 200, &json!({}));
    plan.house.check(by(&third), 401, &json!({"error": "unauthorized"}));
    // A damaged one is told by name, and left as it is.
    fs::write(&path, "damaged").unwrap();
    plan.house.refuses(by(&third), 503, "planb_key_damaged");
    let desk = &plan.house.app().desks().continuity;
    let refused = desk.rotate_key(&ilot::base::caller::Caller::console("test"), None);
    assert_eq!(refused.map_err(|fault| fault.code), Err("planb_key_damaged"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
    let parts = json!({"parts": {"planb": {"level": "reduced"}}});
    plan.house.check(get("/health/detail").by(&plan.admin), 200, &parts);
    let backups = fs::read_dir(plan.house.folder().join("planb/backups")).unwrap().count();
    assert_eq!(backups, 2);
    let journal = plan.house.check(get("/admin/journal").by(&plan.admin), 200, &json!({}));
    let journal = journal.to_string();
    assert!(journal.contains("planb_key.rotate") && !journal.contains(&third));
}

/// The owner's command line changes keys beside the box that runs; killed at any moment, it leaves a
/// whole key that the box takes.
#[test]
fn rotations_from_the_command_line_are_seen_and_may_be_killed() {
    let plan = Client::new();
    let by = |key: &str| get("/status").header("X-API-Key", key);
    let rotate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ilot"));
        command.arg("--data").arg(plan.house.folder());
        command.args(["planb", "key", "rotate", "--grace", "60"]).stdin(Stdio::null());
        command.stderr(Stdio::null()).stdout(Stdio::piped());
        command
    };
    let before = key_of(&plan.house);
    let began = Instant::now();
    let done = rotate().output().unwrap();
    let whole = began.elapsed();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && printed.trim_end() == key_of(&plan.house));
    // The machine's clock is not this box's, which is held: of the key before only its end can be seen.
    plan.house.check(by(printed.trim_end()), 200, &json!({}));
    assert_ne!(before, printed.trim_end());
    for step in 0..24 {
        let mut child = rotate().spawn().unwrap();
        std::thread::sleep(whole * step / 20);
        let _ = child.kill();
        child.wait().unwrap();
        let key = key_of(&plan.house);
        assert!(key.len() == 64 && key.chars().all(|c| DIGITS.contains(c)), "{key:?}");
        plan.house.check(by(&key), 200, &json!({}));
    }
    let last = rotate().output().unwrap();
    assert!(last.status.success(), "no lock is left behind");
}

#[test]
fn a_further_key_opens_what_its_scopes_say() {
    let plan = Client::new();
    let desk = plan.house.app().desks().continuity.clone();
    let console = ilot::base::caller::Caller::console("test");
    let add = |name: &str, scope: &str| {
        let scopes = vec![scope.to_owned()];
        let draft =
            ilot::domains::continuity::keys::KeyDraft { name: name.into(), scopes, days: Some(1) };
        desk.add_key(&console, draft).unwrap().0.to_string()
    };
    let keys = [
        ("status", add("voir", "status")),
        ("crypto", add("sceller", "crypto")),
        ("tcp", add("relais", "tcp")),
    ];
    for (scope, key) in &keys {
        for (asked, needed) in [
            (get("/status"), "status"),
            (get("/role"), "status"),
            (get("/ping"), "status"),
            (get("/tcp/status"), "status"),
            (get("/packet/types"), "status"),
            (post("/crypto/encrypt", &json!({})), "crypto"),
            (post("/packet/serialize", &json!({"packet_type": 1})), "crypto"),
            (post("/tcp/stop", &json!({})), "tcp"),
            (post("/role", &json!({"role": "server"})), "manage"),
            (post("/token/rotate", &json!({})), "manage"),
            (post("/token/rotate", &json!({"grace_seconds": "x"})), "manage"),
        ] {
            let asked = asked.header("X-API-Key", key);
            if needed == "status" || needed == *scope {
                plan.house.check(asked, 200, &json!({}));
            } else {
                plan.house.refuses(asked, 403, "right_missing");
            }
        }
    }
    plan.house.clock.pass(Duration::from_hours(25));
    let late = get("/status").header("X-API-Key", &keys[0].1);
    plan.house.check(late, 401, &json!({"error": "unauthorized"}));
}

#[test]
fn what_is_damaged_is_named_and_the_rest_goes_on() {
    let plan = Client::new();
    let folder = plan.house.folder().join("planb");
    let first = plan.post("/crypto/encrypt", &json!({"plaintext_b64": "aGk="}));
    let key = fs::read(folder.join("enc_key.bin")).unwrap();
    fs::write(folder.join("enc_key.bin"), b"too short").unwrap();
    plan.house.refuses(
        plan.signed(post("/crypto/encrypt", &json!({}))),
        503,
        "sealing_key_damaged",
    );
    assert_eq!(fs::read(folder.join("enc_key.bin")).unwrap(), b"too short");
    assert!(plan.get("/status")["node_id"].is_string());
    fs::write(folder.join("enc_key.bin"), key).unwrap();
    assert_eq!(plan.post("/crypto/decrypt", &first), json!({"plaintext_b64": "aGk="}));
    let desk = plan.house.app().desks().continuity.clone();
    let console = ilot::base::caller::Caller::console("test");
    desk.rotate_sealing(&console).unwrap();
    assert_eq!(
        plan.post("/crypto/decrypt", &first),
        json!({"plaintext_b64": "aGk="}),
        "an earlier key"
    );
    let state = desk.state(&console).unwrap();
    assert_eq!((state.sealing.unwrap().earlier_keys, state.relay), (1, None));
}

#[test]
fn the_relay_is_started_asked_and_stopped() {
    let plan = Client::new();
    assert_eq!(plan.get("/tcp/status"), json!({"running": false}));
    let started = plan.post("/tcp/start", &json!({}));
    let port = started["port"].as_u64().unwrap();
    assert_eq!(started, json!({"running": true, "host": "127.0.0.1", "port": port}));
    assert_eq!(plan.get("/tcp/status"), started);
    for again in [json!({"port": "nonsense"}), json!({"host": "0.0.0.0", "port": 1}), json!([])] {
        assert_eq!(plan.post("/tcp/start", &again), started, "what is asked is ignored");
    }
    // A peer that opens a line and says nothing holds nobody up.
    let half_open = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let body = json!({"host": host, "port": port.to_string(), "payload_b64": b64(b"hello")});
        assert_eq!(plan.post("/tcp/send", &body), json!({"response_b64": b64(b"hello")}));
    }
    for _ in 0..2 {
        assert_eq!(plan.post("/tcp/stop", &json!({})), json!({"running": false}));
    }
    drop(half_open);
    let closed = json!({"host": "127.0.0.1", "port": port, "payload_b64": ""}).to_string();
    plan.refuses("/tcp/send", &closed, "tcp_send_failed");
    let framed =
        plan.post("/tcp/start", &json!({"host": "localhost", "port": "0", "framing": "length"}));
    assert_eq!((&framed["host"], &framed["framing"]), (&json!("localhost"), &json!("length")));
    let port = framed["port"].as_u64().unwrap();
    let body = json!({"host": "::ffff:127.0.0.1", "port": port, "payload_b64": b64(b"a"), "framing": "length"});
    assert_eq!(plan.post("/tcp/send", &body), json!({"response_b64": b64(b"a")}));
    let mut line = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    for message in [b"\0\0\0\x02hi", b"\0\0\0\x02ho"] {
        line.write_all(message).unwrap();
        let mut echoed = [0; 6];
        line.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, message);
    }
    plan.post("/tcp/stop", &json!({}));
    assert_eq!(line.read(&mut [0; 1]).unwrap_or(0), 0, "cut with the relay");
}

#[test]
fn hosts_and_ports_that_make_no_sense_are_refused() {
    let plan = Client::with(&[("continuity.peers", "[\"10.255.255.1:7\"]")]);
    for (member, value) in [
        ("port", json!("x")),
        ("port", json!("")),
        ("port", json!(-1)),
        ("port", json!(65_536)),
        ("port", json!(1.5)),
        ("port", json!(true)),
        ("port", json!([0])),
        ("port", json!({"a": 1})),
        ("port", json!(1e100)),
        ("host", json!("")),
        ("host", json!("0.0.0.0")),
        ("host", json!("::")),
        ("host", json!("10.255.255.1")),
        ("host", json!("example.org")),
        ("host", json!("127.0.0.1; rm -rf /")),
        ("host", json!("x".repeat(10_000))),
        ("host", json!(2_130_706_433u32)),
        ("framing", json!("lines")),
    ] {
        plan.refuses("/tcp/start", &json!({member: value}).to_string(), "tcp_start_failed");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    plan.refuses("/tcp/start", &json!({"port": port}).to_string(), "tcp_start_failed");
    assert_eq!(plan.get("/tcp/status"), json!({"running": false}));
    for (host, port) in [
        (json!(null), json!(80)),
        (json!(""), json!(80)),
        (json!("  "), json!(80)),
        (json!(7), json!(80)),
        (json!("127.0.0.1"), json!(null)),
        (json!("127.0.0.1"), json!(0)),
        (json!("127.0.0.1"), json!(-80)),
        (json!("127.0.0.1"), json!(65_616)),
        (json!("127.0.0.1"), json!("eighty")),
        (json!("0.0.0.0"), json!(80)),
        (json!("0"), json!(80)),
        (json!("127.1"), json!(80)),
        (json!("10.255.255.1"), json!(8)),
        (json!("192.168.1.1"), json!(80)),
        (json!("169.254.169.254"), json!(80)),
        (json!("[::ffff:10.0.0.1]"), json!(80)),
        (json!("localhost.example.org"), json!(80)),
        (json!("example.org"), json!(80)),
    ] {
        let body = json!({"host": host, "port": port, "payload_b64": ""});
        plan.refuses("/tcp/send", &body.to_string(), "invalid_target");
    }
    let wrong = json!({"host": "127.0.0.1", "port": port, "payload_b64": "a"}).to_string();
    plan.refuses("/tcp/send", &wrong, "tcp_send_failed");
    let wrong = json!({"host": "127.0.0.1", "port": port, "framing": "x"}).to_string();
    plan.refuses("/tcp/send", &wrong, "tcp_send_failed");
    // It takes the line and says nothing: the answer comes within the five seconds there are.
    let began = Instant::now();
    let mute = json!({"host": "127.0.0.1", "port": port, "payload_b64": "aGk="}).to_string();
    plan.refuses("/tcp/send", &mute, "tcp_send_failed");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_person_with_the_right_gives_the_password_again_before_keys_change() {
    let plan = Client::new();
    let rotate = || post("/token/rotate", &json!({})).by(&plan.admin);
    plan.house.check(get("/status").by(&plan.admin), 200, &json!({}));
    plan.house.check(rotate(), 200, &json!({}));
    plan.house.clock.pass(Duration::from_mins(30));
    plan.house.refuses(rotate(), 403, "step_up_required");
    plan.house.check(post("/role", &json!({"role": "server"})).by(&plan.admin), 200, &json!({}));
    let (_, viewer) = plan.house.person(&plan.admin, "spectateur", "viewer");
    plan.house.refuses(get("/status").by(&viewer), 403, "right_missing");
}
