//! An answer as it comes, in the events that such clients read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::llm::broken_off;
use super::{Made, OpenaiFaultBody, OpenaiUsage, finish_reason};
use crate::base::fault::Fault;
use crate::domains::assistant::generation::{Piece, Stream};
use crate::engines::generation::{Reason, Usage};
use crate::web::fault::told;

/// How long the head of an answer waits for the first word: what fails until then has its own status.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// How often a line is kept open by a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What ends a stream that is whole.
const DONE: &str = "[DONE]";

/// Which door the answer leaves by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// Turns pieces into events.
pub(super) struct Frames {
    /// The answer's name and second.
    pub made: Made,
    /// Which door.
    pub shape: Shape,
    /// Whether what it cost is told at the end.
    pub include_usage: bool,
    /// What the answer begins with: the prompt, when it is to be said back.
    pub echo: String,
    /// The request's id, for the log.
    pub request: String,
    /// The model that writes, as soon as it is known.
    pub model: String,
}

/// The answer as an event stream. What goes wrong before its first word is no stream yet.
///
/// # Errors
/// What the writer says.
pub(super) async fn answer(mut stream: Stream, frames: Frames) -> Result<Response, Fault> {
    let early = timeout(FIRST_WORD, first(&mut stream)).await;
    let mut flow = Flow { stream, frames, ready: VecDeque::new(), begun: false, ended: false };
    if let Ok(piece) = early {
        flow.take(Some(piece?));
    }
    let events = unfold(flow, |mut flow| async move {
        let data = flow.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(data)), flow))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// The first piece that is more than waiting.
async fn first(stream: &mut Stream) -> Result<Piece, Fault> {
    loop {
        match stream.next().await {
            Some(Piece::Waiting(_)) => {}
            Some(Piece::Failed(fault)) => return Err(fault),
            Some(piece) => return Ok(piece),
            None => return Err(broken_off()),
        }
    }
}

struct Flow {
    stream: Stream,
    frames: Frames,
    ready: VecDeque<String>,
    begun: bool,
    ended: bool,
}

impl Flow {
    /// The data of the next event; none after the last.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            if self.ended {
                return None;
            }
            let piece = self.stream.next().await;
            self.take(piece);
        }
    }

    fn take(&mut self, piece: Option<Piece>) {
        match piece {
            Some(Piece::Waiting(_)) => {}
            Some(Piece::Started { model, .. }) => {
                self.frames.model = model;
                self.begin();
            }
            Some(Piece::Text(text)) => {
                self.begin();
                self.ready.push_back(self.frames.text(&text));
            }
            Some(Piece::Ended { reason, usage }) => {
                self.begin();
                self.end(reason, usage);
            }
            Some(Piece::Failed(fault)) => self.fail(&fault),
            None => self.fail(&broken_off()),
        }
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.ready.extend(self.frames.head());
        }
    }

    fn end(&mut self, reason: Reason, usage: Usage) {
        match finish_reason(Some(reason)) {
            Ok(reason) => {
                self.ready.push_back(self.frames.last(reason));
                self.ready.extend(self.frames.usage(usage));
                self.ready.push_back(DONE.into());
                self.ended = true;
            }
            Err(fault) => self.fail(&fault),
        }
    }

    /// No `[DONE]` after it: what broke off must not look whole.
    fn fail(&mut self, fault: &Fault) {
        self.ready.push_back(self.frames.error(fault));
        self.ended = true;
    }
}

impl Frames {
    fn chunk(&self, choices: &Value, usage: Option<Usage>) -> String {
        let object = match self.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Text => "text_completion",
        };
        let mut chunk = json!({"id": self.made.id, "object": object, "created": self.made.created,
            "model": self.model, "choices": choices});
        if self.include_usage
            && let Some(fields) = chunk.as_object_mut()
        {
            fields.insert("usage".into(), json!(usage.map(OpenaiUsage::from)));
        }
        chunk.to_string()
    }

    fn choice(&self, delta: &Value, text: &str, reason: Option<&str>) -> String {
        let choice = match self.shape {
            Shape::Chat => {
                json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason})
            }
            Shape::Text => {
                json!({"index": 0, "text": text, "logprobs": null, "finish_reason": reason})
            }
        };
        self.chunk(&json!([choice]), None)
    }

    /// What comes before the first word: who speaks, or the prompt that is to be said back.
    fn head(&self) -> Option<String> {
        match self.shape {
            Shape::Chat => {
                Some(self.choice(&json!({"role": "assistant", "content": ""}), "", None))
            }
            Shape::Text if self.echo.is_empty() => None,
            Shape::Text => Some(self.choice(&Value::Null, &self.echo, None)),
        }
    }

    fn text(&self, text: &str) -> String {
        self.choice(&json!({"content": text}), text, None)
    }

    fn last(&self, reason: &str) -> String {
        self.choice(&json!({}), "", Some(reason))
    }

    fn usage(&self, usage: Usage) -> Option<String> {
        self.include_usage.then(|| self.chunk(&json!([]), Some(usage)))
    }

    fn error(&self, fault: &Fault) -> String {
        told(fault, &self.request);
        json!(OpenaiFaultBody::of(fault, &self.request)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn frames(shape: Shape, include_usage: bool) -> Frames {
        let made = Made { id: "x-1".into(), created: 5 };
        let (echo, request, model) = ("Il ".into(), "r".into(), String::new());
        Frames { made, shape, include_usage, echo, request, model }
    }

    fn started() -> Piece {
        Piece::Started { model: "petit".into(), prompt_tokens: 3, reused_tokens: 1 }
    }

    fn ended(reason: Reason) -> Piece {
        let usage =
            Usage { prompt_tokens: 3, reused_tokens: 1, completion_tokens: 2, ..Usage::default() };
        Piece::Ended { reason, usage }
    }

    async fn said(frames: Frames, pieces: Vec<Piece>) -> Result<Vec<String>, Fault> {
        let (sender, receiver) = unbounded_channel();
        for piece in pieces {
            sender.send(piece).unwrap();
        }
        drop(sender);
        let response = answer(Stream::new(receiver, ()), frames).await?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Ok(text
            .split_terminator("\n\n")
            .map(|e| e.strip_prefix("data: ").unwrap().into())
            .collect())
    }

    fn json_of(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn a_chat_is_said_in_chunks_and_ends_with_done() {
        let pieces = vec![
            Piece::Waiting(1),
            started(),
            Piece::Text("Il\n".into()),
            Piece::Text("é".into()),
            ended(Reason::Length),
        ];
        let said = said(frames(Shape::Chat, true), pieces).await.unwrap();
        assert_eq!((said.len(), said[5].as_str()), (6, "[DONE]"));
        let chunk = |delta: Value, reason: Value| {
            json!({"id": "x-1", "object": "chat.completion.chunk", "created": 5, "model": "petit", "usage": null,
                "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]})
        };
        let head = json!({"role": "assistant", "content": ""});
        assert_eq!(json_of(&said[0]), chunk(head, Value::Null));
        assert_eq!(json_of(&said[1]), chunk(json!({"content": "Il\n"}), Value::Null));
        assert_eq!(json_of(&said[2]), chunk(json!({"content": "é"}), Value::Null));
        assert_eq!(json_of(&said[3]), chunk(json!({}), json!("length")));
        let usage = json_of(&said[4]);
        assert_eq!(usage["choices"], json!([]));
        assert_eq!(
            usage["usage"],
            json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1}})
        );
    }

    #[tokio::test]
    async fn a_text_may_be_said_back_first() {
        let pieces = vec![started(), Piece::Text("dort".into()), ended(Reason::Stop)];
        let said = said(frames(Shape::Text, false), pieces).await.unwrap();
        let texts: Vec<Value> =
            said[..3].iter().map(|s| json_of(s)["choices"][0]["text"].clone()).collect();
        assert_eq!(texts, [json!("Il "), json!("dort"), json!("")]);
        assert!(json_of(&said[0]).get("usage").is_none());
        assert_eq!(
            (json_of(&said[2])["choices"][0]["finish_reason"].clone(), &*said[3]),
            (json!("stop"), DONE)
        );
    }

    #[tokio::test]
    async fn what_fails_at_once_has_a_status_and_what_fails_later_an_event() {
        let failed = || Piece::Failed(Fault::unavailable("generation_failed", "It broke."));
        let refused = said(frames(Shape::Chat, false), vec![failed()]).await.unwrap_err();
        assert_eq!(refused.code, "generation_failed");
        assert!(said(frames(Shape::Chat, false), vec![]).await.is_err());
        for (last, code) in [
            (vec![failed()], "generation_failed"),
            (vec![], "generation_failed"),
            (vec![ended(Reason::Cancelled)], "shutting_down"),
        ] {
            let pieces = [vec![started()], last].into_iter().flatten().collect();
            let said = said(frames(Shape::Chat, false), pieces).await.unwrap();
            let error = json_of(said.last().unwrap())["error"].clone();
            assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!("server_error")));
            assert!(error["message"].is_string(), "{error}");
        }
    }
}
