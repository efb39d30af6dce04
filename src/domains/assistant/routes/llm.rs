//! The writer's door: whole answers, and a socket (assistant.md §3.4).

mod line;
mod said;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::UPGRADE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Assistant;
use super::super::generation::{Ask, Generation, Piece, Stream, Written};
use super::super::thinking::Thinking;
use super::super::wishes::{Wishes, own_scope};
use crate::base::caller::{Caller, Right, Who};
use crate::base::clock::Clock;
use crate::base::fault::{Fault, Kind};
use crate::engines::generation::{Message, Options, Prompt, Reason, Role, Usage};
use crate::web::ends::{Ends, Over, Watch};
use crate::web::{Answer, Asker, Json, Query, WebFault, run};

/// The largest message a client may send over the socket, in bytes: a prompt of a whole context.
const MESSAGE_MAX: usize = 1024 * 1024;
/// The largest frame of one.
const FRAME_MAX: usize = 1024 * 1024;
/// Bytes that may wait in a socket's own buffer; beyond, the socket waits for its peer.
const UNSENT_MAX: usize = 1024 * 1024;
/// Sockets that may be open at once.
const LINES_MAX: usize = 512;
/// Sockets that may be open without having said whose they are.
const STRANGERS_MAX: usize = 64;
/// When one that found no place should come back.
const COME_BACK: Duration = Duration::from_secs(10);
/// The headers that are shown on purpose: a bad one is refused, where an old cookie is no proof.
const MEANT: [&str; 2] = ["authorization", "x-api-key"];

/// Who a token or a key stands for. It may read the store.
pub type Recognise = Arc<dyn Fn(Caller, &str) -> Result<Caller, Fault> + Send + Sync>;

/// How patient the socket is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often the box pings. Default 15 s (assistant.md §3.10, `ws_heartbeat_sec`).
    pub ping: Duration,
    /// How long a peer may be silent, pongs included. Default 60 s.
    pub silence: Duration,
    /// How long a peer may take to say what it wants. Default 30 s.
    pub greeting: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            silence: Duration::from_mins(1),
            greeting: Duration::from_secs(30),
        }
    }
}

/// What is needed to keep something open for a caller. Cheap to clone.
#[derive(Clone)]
pub struct Lines {
    /// Ends what is open with the caller's session.
    pub watch: Watch,
    /// Who a token in an address or a message stands for.
    pub recognise: Recognise,
    /// Cancelled when the box stops.
    pub closing: CancellationToken,
    /// How patient sockets are.
    pub pace: Pace,
}

/// What the routes work with.
#[derive(Clone)]
struct Desk {
    generation: Generation,
    clock: Arc<dyn Clock>,
    lines: Lines,
    places: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// The routes.
pub(super) fn routes(thinking: &Thinking, search: &Assistant, lines: Lines) -> OpenApiRouter {
    let desk = Desk {
        generation: thinking.generation.clone(),
        clock: search.clock.clone(),
        lines,
        places: Arc::new(Semaphore::new(LINES_MAX)),
        strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
    };
    OpenApiRouter::new().routes(routes!(llm_infer)).routes(routes!(llm_stream)).with_state(desk)
}

/// Something to be written.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct InferBody {
    /// What the model is to go on from: what a person would say to it.
    #[schema(required = true, value_type = String)]
    prompt: Option<String>,
    /// How.
    options: Option<Wishes>,
    /// What the model is to keep to.
    system: Option<String>,
}

impl InferBody {
    /// What the writer is asked; `place` leads to the options in the request.
    fn ask(self, caller: &Caller, usual: Options, place: &[&str]) -> Result<Ask, Fault> {
        let prompt = self.prompt.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            Fault::invalid("prompt_missing", "Say in 'prompt' what is to be written upon.")
        })?;
        let options = self.options.unwrap_or_default().over(usual, place)?;
        let system = self.system.filter(|text| !text.trim().is_empty());
        let messages = system
            .map(|text| Message::new(Role::System, text))
            .into_iter()
            .chain([Message::new(Role::User, prompt)])
            .collect();
        Ok(Ask { prompt: Prompt::Chat(messages), options, scope: own_scope(caller) })
    }
}

/// What an answer cost.
#[derive(Debug, Serialize, ToSchema)]
struct InferUsage {
    /// Tokens of the prompt.
    prompt_tokens: usize,
    /// Of these, what was still in memory.
    reused_tokens: usize,
    /// Tokens written.
    completion_tokens: usize,
    /// Milliseconds until the first token, from when the model took the prompt up.
    prefill_ms: u64,
    /// Milliseconds from the first token to the last.
    decode_ms: u64,
}

impl From<Usage> for InferUsage {
    fn from(usage: Usage) -> Self {
        let Usage { prompt_tokens, reused_tokens, completion_tokens, prefill_ms, decode_ms } =
            usage;
        Self { prompt_tokens, reused_tokens, completion_tokens, prefill_ms, decode_ms }
    }
}

/// What was written.
#[derive(Debug, Serialize, ToSchema)]
struct InferAnswer {
    /// The text.
    text: String,
    /// The model that wrote it.
    model: String,
    /// What it cost.
    usage: InferUsage,
    /// Why it ended: `stop`, `length`, or `cancelled` when the box stops.
    #[schema(value_type = String)]
    reason: Reason,
}

/// Has a language model write upon a prompt, and answers the whole text. Whoever goes away meanwhile
/// wants no more of it.
#[utoipa::path(post, path = "/llm/infer", tag = "llm", request_body = InferBody,
    responses((status = 200, body = InferAnswer),
        (status = 400, description = "`prompt_missing`; `prompt_too_large`; `schema_unsupported`"),
        (status = 401, description = "Nobody is signed in"), (status = 403, description = "`right_missing`"),
        (status = 422, description = "Fields at fault"), (status = 429, description = "`queue_full`"),
        (status = 503, description = "`model_missing`; `generation_failed`")))]
async fn llm_infer(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    Json(body): Json<InferBody>,
) -> Answer<InferAnswer> {
    caller.require(Right::UseAssistant)?;
    let ask = body.ask(&caller, desk.generation.usual(), &["body", "options"])?;
    let ends = (desk.lines.watch)(&caller)?;
    let stream = run(move || desk.generation.write(&caller, ask)).await?;
    let Written { text, model, reason, usage } = whole(stream, &ends).await?;
    let reason = reason.unwrap_or(Reason::Stop);
    Ok(Json(InferAnswer { text, model, usage: usage.into(), reason }))
}

/// The whole of an answer; it ends with the caller's session, and with whoever awaits it.
pub(super) async fn whole(stream: Stream, ends: &Ends) -> Result<Written, Fault> {
    tokio::select! {
        biased;
        () = ends.over().cancelled() => Err(Over.fault()),
        written = gathered(stream) => written,
    }
}

async fn gathered(mut stream: Stream) -> Result<Written, Fault> {
    let mut written = Written::default();
    while let Some(piece) = stream.next().await {
        match piece {
            Piece::Waiting(_) => {}
            Piece::Started { model, .. } => written.model = model,
            Piece::Text(text) => written.text.push_str(&text),
            Piece::Ended { reason, usage } => {
                (written.reason, written.usage) = (Some(reason), usage);
                return Ok(written);
            }
            Piece::Failed(fault) => return Err(fault),
        }
    }
    Err(broken_off())
}

/// The writer went away without a word.
pub(super) fn broken_off() -> Fault {
    Fault::unavailable("generation_failed", "The writer stopped in the middle; ask again.")
}

/// How the socket may be opened.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// An access token or an API key, for clients that can send no header.
    token: Option<String>,
}

/// Who comes in.
enum Guest {
    /// Somebody.
    Known(Box<Caller>),
    /// Somebody whose proof is not good.
    Refused(Box<Fault>),
    /// Nobody yet: the first message may say who it is.
    Stranger { as_nobody: Box<Caller>, _place: OwnedSemaphorePermit },
}

/// Opens a socket on which one prompt is written upon, token by token. The first message is
/// `{"type": "request", "req_id": "1", "source": "…", "event": "start", "payload": {"prompt": "…", "options": {}}, "ts": 0}`,
/// with a `token` unless cookie, header or address has one; the box answers with the events `status`, `token`,
/// `error` and `end`, and closes. `{"event": "cancel"}` ends it before.
#[utoipa::path(get, path = "/llm/stream", tag = "llm", params(Asked),
    responses((status = 101, description = "The socket is open; who may not use it is told so on it"),
        (status = 403, description = "`cross_site`"),
        (status = 426, description = "`upgrade_required`: this address speaks WebSocket alone"),
        (status = 429, description = "`too_many_sockets`")))]
async fn llm_stream(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, WebFault> {
    let Ok(upgrade) = upgrade else { return Ok(upgrade_required()) };
    let place = desk.places.clone().try_acquire_owned().map_err(|_| crowded())?;
    let trace = caller.request.clone();
    let guest = desk.admitted(caller, asked.token, &headers).await?;
    let upgrade = upgrade
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(FRAME_MAX)
        .max_write_buffer_size(UNSENT_MAX);
    Ok(upgrade.on_upgrade(move |socket| desk.serve(socket, guest, trace, place)))
}

fn upgrade_required() -> Response {
    let fault = Fault::invalid("upgrade_required", "This address speaks WebSocket alone.");
    let mut response = WebFault::with_status(StatusCode::UPGRADE_REQUIRED, fault).into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

fn crowded() -> Fault {
    Fault::new(Kind::Busy, "too_many_sockets", "As many sockets are open as the box keeps.")
        .retry_after(COME_BACK)
}

impl Desk {
    /// Lets a guest in by the token in the address, else by what the request's headers have proved.
    async fn admitted(
        &self,
        caller: Caller,
        token: Option<String>,
        headers: &HeaderMap,
    ) -> Result<Guest, WebFault> {
        let as_nobody = Caller {
            agent: caller.agent.clone(),
            ..Caller::nobody(caller.address, caller.request.clone())
        };
        let shown = token.filter(|token| !token.is_empty());
        let meant = shown.is_some() || MEANT.iter().any(|name| headers.contains_key(*name));
        let known = match shown {
            Some(token) => self.recognised(as_nobody.clone(), token).await,
            None => Ok(caller),
        };
        match known {
            Err(fault) => Ok(Guest::Refused(Box::new(fault))),
            Ok(caller) if caller.who != Who::Nobody => Ok(Guest::Known(Box::new(caller))),
            Ok(nobody) if meant => Ok(Guest::Refused(Box::new(nobody.unauthenticated()))),
            Ok(_) => {
                let place = self.strangers.clone().try_acquire_owned().map_err(|_| crowded())?;
                Ok(Guest::Stranger { as_nobody: Box::new(as_nobody), _place: place })
            }
        }
    }

    /// Who a token stands for.
    async fn recognised(&self, as_nobody: Caller, token: String) -> Result<Caller, Fault> {
        let recognise = self.lines.recognise.clone();
        run(move || recognise(as_nobody, &token)).await.map_err(WebFault::into_fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &serde_json::Value) -> Result<Ask, &'static str> {
        let body: InferBody = crate::web::extract::from_json(body.to_string().as_bytes())
            .map_err(|fault| fault.code)?;
        body.ask(&Caller::task("t"), Options::default(), &["body", "options"])
            .map_err(|fault| fault.code)
    }

    #[test]
    fn a_prompt_is_a_conversation_of_one_question() {
        let ask = asked(&serde_json::json!({"prompt": "Bonjour", "system": "Réponds.",
            "options": {"max_tokens": 3}}))
        .unwrap();
        let wanted =
            vec![Message::new(Role::System, "Réponds."), Message::new(Role::User, "Bonjour")];
        assert_eq!((ask.prompt, ask.options.max_tokens), (Prompt::Chat(wanted), 3));
        for (body, code) in [
            (serde_json::json!({}), "prompt_missing"),
            (serde_json::json!({"prompt": null}), "prompt_missing"),
            (serde_json::json!({"prompt": " \n"}), "prompt_missing"),
            (serde_json::json!({"prompt": 7}), "validation"),
            (serde_json::json!({"prompt": "x", "options": {"top_p": 2}}), "validation"),
        ] {
            assert_eq!(asked(&body).err(), Some(code), "{body}");
        }
    }

    #[tokio::test]
    async fn a_writer_that_goes_away_is_told() {
        let (pieces, stream) = tokio::sync::mpsc::unbounded_channel();
        pieces.send(Piece::Text("Il".into())).unwrap();
        drop(pieces);
        let refused = gathered(Stream::new(stream, ())).await.unwrap_err();
        assert_eq!(refused.code, "generation_failed");
    }
}
