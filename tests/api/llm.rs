//! The writer's own doors, `/llm/infer` and `/llm/stream`, without a model: who is let in, and what is
//! said to whom.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::ask::{House, ask, post, put};
use super::sockets::{Line, shake_at};

const PATH: &str = "/llm/stream";

fn start(prompt: &str) -> Value {
    json!({"type": "request", "req_id": "r1", "source": "test", "event": "start",
        "payload": {"prompt": prompt}, "ts": 1_768_464_000_000_u64})
}

/// The error that a socket ends with, in both of the shapes that clients know.
#[track_caller]
fn refused(line: &mut Line<'_>, code: &str, close: u16) {
    let error = line.hears("error");
    assert_eq!((&error["code"], &error["event"]), (&json!(code), &json!("error")), "{error}");
    assert_eq!((&error["source"], &error["payload"]), (&json!("llm"), &error["message"]));
    assert!(error["message"].is_string() && error["ts"].as_str().unwrap().ends_with('Z'));
    assert!(!error["trace_id"].as_str().unwrap().is_empty(), "{error}");
    assert_eq!(line.closed(), (close, code.to_owned()));
}

#[test]
fn a_prompt_is_asked_for_and_a_model_is_missed() {
    let (house, admin) = House::ready();
    for body in
        [json!({}), json!({"prompt": ""}), json!({"prompt": " \n"}), json!({"prompt": null})]
    {
        house.refuses(post("/llm/infer", &body).by(&admin), 400, "prompt_missing");
        house.refuses(post("/llm/infer", &body), 401, "unauthenticated");
    }
    let reply = house.ask(post("/llm/infer", &json!({"prompt": "x"})).by(&admin));
    assert_eq!((reply.status, reply.header("retry-after")), (503, "60"));
    assert!(reply.json()["error"].as_str().unwrap().contains("ilot model add"));
    // A key with the assistant's own scope is let in, another one is not.
    let (_, llm) = house.key(&admin, "voix", &["llm"]);
    let (_, rag) = house.key(&admin, "relevés", &["rag"]);
    house.refuses(post("/llm/infer", &json!({"prompt": "x"})).by(&llm), 503, "model_missing");
    house.refuses(post("/llm/infer", &json!({"prompt": "x"})).by(&rag), 403, "right_missing");
}

#[test]
fn every_proof_opens_the_socket_and_nobody_else_is_written_to() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (_, key) = house.key(&admin, "voix", &["llm"]);
    let (_, other) = house.key(&admin, "relevés", &["rag"]);
    let (bearer, cookie) = (format!("Bearer {admin}"), format!("access_token={admin}"));
    let key_bearer = format!("Bearer {key}");
    let by = |path: &str, headers: &[(&'static str, &str)]| {
        shake_at(&house, at, path, headers).unwrap_or_else(|e| panic!("{path} {headers:?}: {e:?}"))
    };
    let token = format!("{PATH}?token={admin}");
    for (path, headers) in [
        (token.as_str(), vec![]),
        (PATH, vec![("authorization", bearer.as_str())]),
        (PATH, vec![("authorization", key_bearer.as_str())]),
        (PATH, vec![("x-api-key", key.as_str())]),
        (PATH, vec![("cookie", cookie.as_str())]),
    ] {
        let mut line = by(path, &headers);
        line.say(&start("Bonjour"));
        // It was let in as far as the missing model.
        refused(&mut line, "model_missing", 1008);
    }
    let mut said = start("Bonjour");
    said["token"] = json!(admin);
    let mut line = by(PATH, &[("cookie", "access_token=ab.cd.ef")]);
    line.say(&said);
    refused(&mut line, "model_missing", 1008);

    let mut line = by(PATH, &[]);
    line.say(&start("Bonjour"));
    refused(&mut line, "unauthenticated", 1008);
    said["token"] = json!("ab.cd.ef");
    let mut line = by(PATH, &[]);
    line.say(&said);
    refused(&mut line, "token_malformed", 1008);
    // A proof that was shown on purpose and is not good is told at once.
    refused(&mut by(&format!("{PATH}?token=ab.cd.ef"), &[]), "token_malformed", 1008);
    refused(&mut by(PATH, &[("authorization", "Bearer ab.cd.ef")]), "token_malformed", 1008);
    refused(&mut by(PATH, &[("x-api-key", &other)]), "right_missing", 1008);
    let foreign = [("cookie", cookie.as_str()), ("origin", "http://evil.example")];
    let refusal = shake_at(&house, at, PATH, &foreign).err().unwrap();
    assert_eq!(refusal, (403, "cross_site".to_owned()));
}

#[test]
fn what_a_client_says_wrongly_is_told_it_under_its_own_name() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let open = || {
        shake_at(&house, at, &format!("{PATH}?token={admin}"), &[])
            .unwrap_or_else(|e| panic!("{e:?}"))
    };
    let payload = |payload: Value| {
        let mut said = start("");
        said["payload"] = payload;
        Message::text(said.to_string())
    };
    for (said, code, close) in [
        (Message::text("{"), "json_malformed", 1008),
        (Message::binary(vec![0xff; 4]), "json_malformed", 1008),
        (payload(json!(null)), "prompt_missing", 1008),
        (payload(json!({"prompt": " "})), "prompt_missing", 1008),
        (payload(json!({"prompt": 7})), "validation", 1008),
        (payload(json!({"prompt": "x", "options": {"top_p": 9}})), "validation", 1008),
        (Message::text("x".repeat(1024 * 1024 + 1)), "message_too_large", 1009),
    ] {
        let mut line = open();
        line.send(said);
        refused(&mut line, code, close);
    }
    // Whatever else comes before the start counts as a pong.
    let mut line = open();
    for pong in [json!({"event": "pong"}), json!({"type": "hello"})] {
        line.say(&pong);
    }
    line.say(&start(" "));
    let error = line.hears("error");
    assert_eq!((&error["req_id"], &error["code"]), (&json!("r1"), &json!("prompt_missing")));
    let mut line = open();
    line.say(&json!({"event": "cancel"}));
    let end = line.hears("event");
    assert_eq!((&end["event"], &end["payload"]), (&json!("end"), &Value::Null), "{end}");
    assert_eq!(line.closed(), (1000, "end".to_owned()));
}

#[test]
fn a_socket_ends_with_its_session_and_with_the_box() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (number, vera) = house.person(&admin, "vera", "viewer");
    let open = |token: &str| {
        shake_at(&house, at, &format!("{PATH}?token={token}"), &[])
            .unwrap_or_else(|e| panic!("{e:?}"))
    };
    let mut line = open(&vera);
    let began = Instant::now();
    house.check(ask("POST", "/auth/logout").by(&vera), 200, &json!({}));
    refused(&mut line, "session_ended", 1008);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());

    let mut line = open(&house.sign_in("vera"));
    let began = Instant::now();
    let away = put(&format!("/admin/users/{number}"), &json!({"is_active": false}));
    house.check(away.by(&admin), 200, &json!({}));
    refused(&mut line, "session_ended", 1008);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());

    let mut line = open(&admin);
    house.app().desks().hub.close();
    assert_eq!(line.closed(), (1001, "shutdown".to_owned()));
}
