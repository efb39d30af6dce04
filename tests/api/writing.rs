//! The writer's doors with a real, small model behind them: what is written, and how it ends early.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ask::{House, get, post, upload_with};
use super::sockets::{Line, shake_at};

const FILE: &str = "stories260K-f16.gguf";
const BEGINNING: &str = "Once upon a time";
/// How long a place of the writer's may take to be free again.
const SOON: Duration = Duration::from_secs(10);

/// A box that writes, and its administrator's token; none, with the reason said, without the model.
fn writer() -> Option<(House, String, tempfile::TempDir)> {
    let path = std::env::var_os("ILOT_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        std::path::PathBuf::from,
    );
    let path = path.join("data").join(FILE);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models").display().to_string();
    let (house, chef) = House::ready_with(&[("models.folder", &models), ("assistant.slots", "1")]);
    let mut form = upload_with(&[("name", "petit")], &[(FILE, &bytes)]);
    "/models".clone_into(&mut form.path);
    house.check(form.by(&chef), 201, &json!({}));
    house.check(post("/models/petit/use", &json!({})).by(&chef), 200, &json!({}));
    Some((house, chef, folder))
}

fn infer(max_tokens: usize) -> Value {
    json!({"prompt": BEGINNING, "options": {"temperature": 0, "max_tokens": max_tokens}})
}

fn open<'h>(house: &'h House, at: SocketAddr, token: &str, max_tokens: usize) -> Line<'h> {
    let mut line = shake_at(house, at, &format!("/llm/stream?token={token}"), &[])
        .unwrap_or_else(|e| panic!("{e:?}"));
    line.say(&json!({"type": "request", "req_id": "1", "source": "demo", "event": "start",
        "payload": infer(max_tokens), "ts": 0}));
    line
}

/// The text that comes until the end, what was told of the state, and the end itself.
fn read(line: &mut Line<'_>) -> (String, Vec<Value>, Value) {
    let (mut text, mut states) = (String::new(), Vec::new());
    loop {
        let message = line.hears("event");
        assert_eq!((&message["req_id"], &message["source"]), (&json!("1"), &json!("llm")));
        match message["event"].as_str().unwrap() {
            "token" => text.push_str(message["payload"].as_str().unwrap()),
            "status" => states.push(message["payload"].clone()),
            "end" => return (text, states, message),
            other => panic!("{other}: {message}"),
        }
    }
}

fn is_free(house: &House, token: &str) {
    let began = Instant::now();
    loop {
        let engine = house.check(get("/models").by(token), 200, &json!({}))["engine"].clone();
        if (&engine["running"], &engine["waiting"]) == (&json!(0), &json!(0)) {
            return;
        }
        assert!(began.elapsed() < SOON, "the writer goes on for nobody: {engine}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_prompt_is_written_upon_at_once_or_token_by_token() {
    let Some((house, chef, _folder)) = writer() else { return };
    let whole =
        house.check(post("/llm/infer", &infer(24)).by(&chef), 200, &json!({"model": "petit"}));
    let text = whole["text"].as_str().unwrap();
    assert!(
        text.len() > 20 && whole["usage"]["completion_tokens"].as_u64().unwrap() > 5,
        "{whole}"
    );
    assert!(matches!(whole["reason"].as_str(), Some("stop" | "length")), "{whole}");

    let at = house.listen(None);
    let mut line = open(&house, at, &chef, 24);
    let (streamed, states, end) = read(&mut line);
    assert_eq!(streamed, text, "a stream says the same");
    let writing = states.iter().find(|state| state["state"] == "writing").unwrap();
    assert_eq!(writing["model"], "petit");
    assert!(writing["prompt_tokens"].as_u64().unwrap() > 3, "{writing}");
    assert_eq!((&end["payload"], &end["reason"]), (&Value::Null, &whole["reason"]));
    assert_eq!(end["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    assert_eq!(line.closed(), (1000, "end".to_owned()));

    let long = json!({"prompt": "x ".repeat(40_000)});
    let refused =
        house.check(post("/llm/infer", &long).by(&chef), 400, &json!({"code": "prompt_too_large"}));
    let words = refused["error"].as_str().unwrap();
    assert!(words.contains("32000") && words.contains("80008"), "{words}");
}

#[test]
fn who_says_no_more_or_goes_away_is_not_written_to() {
    let Some((house, chef, _folder)) = writer() else { return };
    let at = house.listen(None);
    // The small model may be quicker than the word that calls it off: it has several tries.
    let called_off = (0..20).any(|_| {
        let mut line = open(&house, at, &chef, 400);
        line.say(&json!({"event": "cancel"}));
        let (_, _, end) = read(&mut line);
        assert_eq!(line.closed(), (1000, "end".to_owned()));
        end["reason"] == "cancelled"
    });
    assert!(called_off, "nothing was ever called off");
    is_free(&house, &chef);
    // Gone without a word: a socket, a stream, and whoever waits for a whole answer.
    drop(open(&house, at, &chef, 400));
    for (path, body) in [
        ("/llm/infer", infer(400)),
        (
            "/v1/completions",
            json!({"model": "petit", "prompt": BEGINNING, "max_tokens": 400, "stream": true}),
        ),
    ] {
        let body = body.to_string();
        let mut stream = TcpStream::connect(at).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {chef}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        if path.starts_with("/v1") {
            let mut some = [0; 64];
            assert!(stream.read(&mut some).unwrap() > 0);
        }
        drop(stream);
    }
    is_free(&house, &chef);
    house.check(post("/llm/infer", &infer(4)).by(&chef), 200, &json!({}));
}
