//! The messages of the socket, as the assistant's clients speak them (assistant.md §3.4).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::InferBody;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::engines::generation::{Reason, Usage};
use crate::web::extract::from_json;
use crate::web::fault::told;

/// The longest name of a request that is said back, characters.
const REQ_ID_MAX: usize = 128;
/// Who speaks, in every message of the box.
const SOURCE: &str = "llm";

/// A message of a client, as it is sent.
#[derive(Debug, Deserialize)]
struct Raw {
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    req_id: Value,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    payload: Value,
}

/// What a client may say.
#[derive(Debug)]
pub(super) enum Said {
    /// Write upon this.
    Start(Box<Start>),
    /// No more.
    Cancel,
    /// Whatever else: it is there.
    Pong,
}

/// What is to be written upon.
#[derive(Debug)]
pub(super) struct Start {
    /// The client's name for the request.
    pub req_id: Value,
    /// Who it is, when nothing before has said so.
    pub token: Option<String>,
    /// The prompt and the options, not yet looked at: who asks comes first.
    pub payload: Value,
}

/// What a client says while it has not begun.
///
/// # Errors
/// `json_malformed`, `validation`.
pub(super) fn first(bytes: &[u8]) -> Result<Said, Fault> {
    let raw: Raw = from_json(bytes)?;
    Ok(match raw.event.as_deref() {
        Some("start") => Said::Start(Box::new(Start {
            req_id: repeatable(raw.req_id),
            token: raw.token.filter(|token| !token.is_empty()),
            payload: raw.payload,
        })),
        Some("cancel") => Said::Cancel,
        _ => Said::Pong,
    })
}

/// What a client says while it is written to: nothing of it can be wrong.
pub(super) fn later(bytes: &[u8]) -> Said {
    let raw = from_json::<Raw>(bytes).ok().and_then(|raw| raw.event);
    if raw.as_deref() == Some("cancel") { Said::Cancel } else { Said::Pong }
}

/// A name is said back as it came when it is a short text or a number.
fn repeatable(req_id: Value) -> Value {
    match req_id {
        Value::Number(_) => req_id,
        Value::String(ref text) if text.chars().count() <= REQ_ID_MAX => req_id,
        _ => Value::Null,
    }
}

impl Start {
    /// The prompt and the options.
    ///
    /// # Errors
    /// `validation` with the place of the field.
    pub(super) fn body(&self) -> Result<InferBody, Fault> {
        match &self.payload {
            Value::Null => Ok(InferBody::default()),
            payload => from_json(payload.to_string().as_bytes()),
        }
    }
}

/// The messages of the box about one request.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The client's name for it.
    pub req_id: Value,
    /// The box's name for it, as in the logs.
    pub trace: String,
}

impl Words {
    fn message(&self, kind: &str, event: &str, payload: Value, now: Moment) -> Map<String, Value> {
        let mut message = Map::new();
        message.insert("type".into(), kind.into());
        message.insert("req_id".into(), self.req_id.clone());
        message.insert("source".into(), SOURCE.into());
        message.insert("event".into(), event.into());
        message.insert("payload".into(), payload);
        message.insert("ts".into(), now.to_rfc3339().into());
        message
    }

    fn event(&self, event: &str, payload: Value, now: Moment) -> String {
        Value::Object(self.message("event", event, payload, now)).to_string()
    }

    /// More text.
    pub(super) fn token(&self, text: String, now: Moment) -> String {
        self.event("token", Value::String(text), now)
    }

    /// How it goes.
    pub(super) fn status(&self, payload: Value, now: Moment) -> String {
        self.event("status", payload, now)
    }

    /// The end, with what the answer cost beside the empty payload that clients know.
    pub(super) fn end(&self, reason: Reason, usage: Option<Usage>, now: Moment) -> String {
        let mut message = self.message("event", "end", Value::Null, now);
        message.insert("reason".into(), json!(reason));
        if let Some(usage) = usage {
            message.insert("usage".into(), json!(usage));
        }
        Value::Object(message).to_string()
    }

    /// What went wrong, in both shapes that clients know: a payload, and a code with its sentence.
    pub(super) fn error(&self, fault: &Fault, now: Moment) -> String {
        let sentence = told(fault, &self.trace);
        let mut message = self.message("error", "error", sentence.into(), now);
        message.insert("code".into(), fault.code.into());
        message.insert("message".into(), sentence.into());
        message.insert("trace_id".into(), self.trace.clone().into());
        if !fault.fields.is_empty() {
            let fields: Vec<Value> = fault
                .fields
                .iter()
                .map(|f| json!({"type": f.wrong, "loc": f.place, "msg": f.message}))
                .collect();
            message.insert("details".into(), fields.into());
        }
        Value::Object(message).to_string()
    }
}

/// The close code of a fault: 1008 where another request would have to be made, 1011 otherwise.
pub(super) fn close_code(fault: &Fault) -> u16 {
    match (fault.kind, fault.code) {
        // The original's clients know "no model" beside "no prompt".
        (_, "model_missing")
        | (
            Kind::Invalid
            | Kind::Unprocessable
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::TooLarge,
            _,
        ) => 1008,
        _ => 1011,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_starts_cancels_or_is_there() {
        let start = |text: &str| match first(text.as_bytes()) {
            Ok(Said::Start(start)) => *start,
            other => panic!("{text}: {other:?}"),
        };
        let seed = start(
            r#"{"type":"request","req_id":"1","source":"demo","event":"start","payload":{"prompt":"Bonjour"},"ts":1768464000000}"#,
        );
        assert_eq!((&seed.req_id, &seed.token), (&json!("1"), &None));
        assert_eq!(seed.body().unwrap().prompt.as_deref(), Some("Bonjour"));
        assert_eq!(start(r#"{"event":"start"}"#).body().unwrap().prompt, None);
        assert_eq!(start(r#"{"event":"start","req_id":7,"token":""}"#).req_id, 7);
        let long = format!(r#"{{"event":"start","req_id":"{}"}}"#, "x".repeat(REQ_ID_MAX + 1));
        assert_eq!(start(&long).req_id, Value::Null);
        assert_eq!(
            start(r#"{"event":"start","payload":{"prompt":1}}"#).body().unwrap_err().code,
            "validation"
        );
        for pong in [r#"{"event":"pong"}"#, "{}", r#"{"type":"ping"}"#] {
            assert!(matches!(first(pong.as_bytes()), Ok(Said::Pong)), "{pong}");
        }
        assert_eq!(first(b"{").err().map(|f| f.code), Some("json_malformed"));
        assert!(matches!(first(br#"{"event":"cancel"}"#), Ok(Said::Cancel)));
        assert!(matches!(later(br#"{"event":"cancel"}"#), Said::Cancel));
        for pong in ["{", "pong", r#"{"event":"start"}"#, "[]"] {
            assert!(matches!(later(pong.as_bytes()), Said::Pong), "{pong}");
        }
    }

    #[test]
    fn every_message_has_the_shape_that_clients_know() {
        let words = Words { req_id: json!("7"), trace: "t".into() };
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let at = "1970-01-01T00:00:00.000Z";
        assert_eq!(
            read(words.token("Il".into(), Moment(0))),
            json!({"type": "event", "req_id": "7", "source": "llm", "event": "token", "payload": "Il", "ts": at})
        );
        let end = read(words.end(Reason::Length, Some(Usage::default()), Moment(0)));
        assert_eq!((&end["event"], &end["payload"]), (&json!("end"), &Value::Null));
        assert_eq!((&end["reason"], &end["usage"]["prompt_tokens"]), (&json!("length"), &json!(0)));
        let error = read(words.error(&Fault::unauthenticated(), Moment(0)));
        assert_eq!(
            error,
            json!({"type": "error", "req_id": "7", "source": "llm", "event": "error", "ts": at, "trace_id": "t",
                "payload": "Sign in first.", "message": "Sign in first.", "code": "unauthenticated"})
        );
        let broken = words.error(&Fault::broken("reading a secret", "cause"), Moment(0));
        assert!(!broken.contains("secret"), "{broken}");
    }

    #[test]
    fn a_fault_of_the_request_closes_otherwise_than_one_of_the_box() {
        for (fault, code) in [
            (Fault::unauthenticated(), 1008),
            (Fault::invalid("prompt_missing", ""), 1008),
            (Fault::invalid("prompt_too_large", ""), 1008),
            (Fault::unavailable("model_missing", ""), 1008),
            (Fault::unavailable("generation_failed", ""), 1011),
            (Fault::broken("x", "y"), 1011),
        ] {
            assert_eq!(close_code(&fault), code, "{fault}");
        }
    }
}
