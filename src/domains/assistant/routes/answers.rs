//! The door of grounded answers: whole, or as they come (`Accept: text/event-stream`).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::answers::packing::Source;
use super::super::answers::telling::{Listener, State as Progress, Step};
use super::super::answers::{Answers, Asked, Told};
use super::super::records::talk::{Origin, Outcome, Turn};
use super::super::thinking::Thinking;
use super::Lines;
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::engines::generation::Usage;
use crate::web::ends::{Ends, Over, Watch};
use crate::web::{Asker, Json, WebFault, run};

/// How often a silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the routes work with.
#[derive(Clone)]
struct Desk {
    answers: Answers,
    watch: Watch,
}

/// The routes; `lines` ends an answer with its caller's session.
pub(super) fn routes(thinking: &Thinking, lines: Lines) -> OpenApiRouter {
    let desk = Desk { answers: thinking.answers.clone(), watch: lines.watch };
    OpenApiRouter::new().routes(routes!(answer)).routes(routes!(chat_query)).with_state(desk)
}

/// A question to be answered from the documents.
#[derive(Debug, Deserialize, ToSchema)]
struct AnswerBody {
    /// The question.
    question: String,
    /// Only this collection; else the conversation's, else all that are open.
    collection: Option<String>,
    /// The conversation it belongs to. Without one nothing is kept but the history's line.
    #[schema(value_type = Option<String>, format = Uuid)]
    conversation_id: Option<Id>,
    /// Whether the conversation's last question is answered anew; the new answer takes the old one's place.
    #[serde(default)]
    regenerate: bool,
    /// The language to answer in (ISO 639-1); else the question's own.
    language: Option<String>,
    /// How many passages to look at, 1 to 100; 8 when absent.
    top_k: Option<usize>,
}

/// A passage, or several that follow one another, that an answer is made of.
#[derive(Debug, Serialize, ToSchema)]
struct CitedView {
    /// The number that cites it.
    number: u32,
    /// Its document.
    #[schema(value_type = String, format = Uuid)]
    document_id: Id,
    /// Its document's collection.
    collection: String,
    /// Its document's title.
    title: String,
    /// Its document's path.
    path: String,
    /// The headings above it, outermost first.
    heading: Vec<String>,
    /// Its words.
    text: String,
    /// From 0 to 1.
    score: f32,
    /// The place of its best passage in the document, from 0.
    chunk_id: u32,
    /// Its first character in the document's text.
    start: u64,
    /// The character after its last.
    end: u64,
}

impl CitedView {
    fn of(source: &Source) -> Self {
        Self {
            number: source.number,
            document_id: source.edition.document,
            collection: source.edition.collection.clone(),
            title: source.edition.title.clone(),
            path: source.edition.path.clone(),
            heading: source.heading.clone(),
            text: source.text.clone(),
            score: source.score,
            chunk_id: source.place.1,
            start: source.start,
            end: source.end,
        }
    }

    fn all(sources: &[Source]) -> Vec<Self> {
        sources.iter().map(Self::of).collect()
    }
}

/// What an answer cost; noughts where no model wrote it.
#[derive(Debug, Serialize, ToSchema)]
struct UsageView {
    /// Tokens of the prompt.
    prompt_tokens: usize,
    /// Tokens of the prompt that were in memory from the turn before.
    reused_tokens: usize,
    /// Tokens written.
    completion_tokens: usize,
    /// Milliseconds until the first token.
    prefill_ms: u64,
    /// Milliseconds from the first token to the last.
    decode_ms: u64,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        let Usage { prompt_tokens, reused_tokens, completion_tokens, prefill_ms, decode_ms } =
            usage;
        Self { prompt_tokens, reused_tokens, completion_tokens, prefill_ms, decode_ms }
    }
}

/// The end of an answer.
#[derive(Debug, Serialize, ToSchema)]
struct EndView {
    /// The whole text; citations are numbers in square brackets.
    answer: String,
    /// `grounded`: a model wrote it from passages; `extract`: the passages' own sentences; `not_found`: the
    /// documents do not tell, and the sources are only what is nearest.
    #[schema(value_type = String)]
    origin: Origin,
    /// `whole`, `stopped` or `failed`; what was written until then is there.
    #[schema(value_type = String)]
    outcome: Outcome,
    /// Why it broke off: a fault's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// The numbers of the sources that it cites.
    citations: Vec<u32>,
    /// Sentences that no source bears out; they carry no number.
    unsupported: usize,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    conversation_id: Option<Id>,
    /// The answer's turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    turn_id: Option<Id>,
    /// The question's turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    question_id: Option<Id>,
    /// The model that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// What it cost.
    usage: UsageView,
    /// Milliseconds from the question to here.
    took_ms: u64,
}

impl EndView {
    fn of(told: &Told) -> Self {
        Self {
            answer: told.answer.clone(),
            origin: told.origin,
            outcome: told.outcome,
            failure: told.failure.clone(),
            citations: told.citations.clone(),
            unsupported: told.unsupported,
            conversation_id: told.conversation,
            turn_id: told.turn.as_ref().map(|turn| turn.id),
            question_id: told.question_turn.as_ref().map(|turn| turn.id),
            model: told.model.clone(),
            usage: told.usage.into(),
            took_ms: told.took_ms,
        }
    }
}

/// An answer with what it is made of.
#[derive(Debug, Serialize, ToSchema)]
struct AnswerView {
    /// The answer.
    #[serde(flatten)]
    end: EndView,
    /// What it is made of, or what is nearest when the documents do not tell.
    sources: Vec<CitedView>,
    /// What was looked for, when the question leans on what was said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched_for: Option<String>,
}

/// Answers a question from the documents that the caller may read, every sentence with the numbers of its
/// sources. With `Accept: text/event-stream` it comes as events: `status` (`state`: `searching`, `waiting`
/// with `position`, `reading`, `writing`), `sources`, `token` (`text`), then `end` (as the JSON answer
/// without its sources), or `error` (`code`, `message`). Whoever closes the stream stops the answer; what
/// was written until then is kept as `stopped`.
#[utoipa::path(post, path = "/rag/answer", tag = "assistant", request_body = AnswerBody,
    responses((status = 200, body = AnswerView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`: no such collection or conversation"),
        (status = 409, description = "`conversation_busy`, `conversation_full`, `nothing_to_regenerate`"),
        (status = 422, description = "Fields at fault"),
        (status = 429, description = "`queue_full`")))]
async fn answer(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    headers: HeaderMap,
    Json(body): Json<AnswerBody>,
) -> Result<Response, WebFault> {
    let asked = Asked {
        question: body.question,
        collection: some(body.collection),
        conversation: body.conversation_id,
        converse: false,
        regenerate: body.regenerate,
        language: some(body.language),
        top: body.top_k,
    };
    respond(desk, caller, asked, &headers, |told| {
        Json(AnswerView {
            end: EndView::of(told),
            sources: CitedView::all(&told.sources),
            searched_for: told.searched_for.clone(),
        })
        .into_response()
    })
    .await
}

/// A question as the assistant's older clients ask it (assistant.md §3.9).
#[derive(Debug, Deserialize, ToSchema)]
struct ChatBody {
    /// The question.
    question: String,
    /// The conversation; a new one is made when there is none.
    #[schema(value_type = Option<String>, format = Uuid)]
    conversation_id: Option<Id>,
    /// Taken and not looked at: whoever has signed in asks.
    #[serde(default, rename = "user")]
    _user: Option<Value>,
    /// Taken and not looked at: there is one way to answer.
    #[serde(default, rename = "response_mode")]
    _response_mode: Option<Value>,
    /// Taken and not looked at: nothing is guessed ahead here.
    #[serde(default, rename = "use_speculative")]
    _use_speculative: Option<Value>,
    /// Only this collection.
    collection: Option<String>,
    /// The language to answer in (ISO 639-1).
    language: Option<String>,
    /// How many passages to look at, 1 to 100; 8 when absent.
    top_k: Option<usize>,
}

/// A turn of a conversation, as older clients read it.
#[derive(Debug, Serialize, ToSchema)]
struct ChatMessageView {
    /// Its name.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// The conversation.
    #[schema(value_type = String, format = Uuid)]
    conversation_id: Option<Id>,
    /// `user` or `assistant`.
    role: &'static str,
    /// What was said.
    content: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
}

impl ChatMessageView {
    fn of(told: &Told, role: &'static str, turn: &Turn) -> Self {
        Self {
            id: turn.id,
            conversation_id: told.conversation,
            role,
            content: turn.text.clone(),
            created_at: turn.at,
        }
    }
}

/// An answer as the assistant's older clients read it (assistant.md §3.9), and what is new.
#[derive(Debug, Serialize, ToSchema)]
struct QueryView {
    /// The answer, as `/rag/answer` gives it; `conversation_id`, `origin` and `answer` are among it.
    #[serde(flatten)]
    end: EndView,
    /// The answer's turn; null for a caller that has no conversations (the command line).
    answer_message: Option<ChatMessageView>,
    /// The question's turn.
    question_message: Option<ChatMessageView>,
    /// The answer's turn again, under its older name.
    #[schema(value_type = Option<String>, format = Uuid)]
    qa_id: Option<Id>,
    /// Always `documents`: every question is asked of the documents.
    classification: &'static str,
    /// What the answer is made of, or what is nearest.
    search_results: Vec<CitedView>,
    /// What was looked for, when the question leans on what was said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched_for: Option<String>,
    /// Always false: no answer is remembered and given again.
    is_variable: bool,
    /// Milliseconds it took.
    latency_ms: u64,
    /// Always false: nothing is guessed ahead.
    speculative: bool,
    /// Always null: no answer is remembered and matched.
    #[schema(value_type = Option<String>)]
    r#match: (),
}

impl QueryView {
    fn of(told: &Told) -> Self {
        let message =
            |role, turn: &Option<Turn>| turn.as_ref().map(|t| ChatMessageView::of(told, role, t));
        Self {
            end: EndView::of(told),
            answer_message: message("assistant", &told.turn),
            question_message: message("user", &told.question_turn),
            qa_id: told.turn.as_ref().map(|turn| turn.id),
            classification: "documents",
            search_results: CitedView::all(&told.sources),
            searched_for: told.searched_for.clone(),
            is_variable: false,
            latency_ms: told.took_ms,
            speculative: false,
            r#match: (),
        }
    }
}

/// Answers a question in a conversation, which is made when none is named. It is `/rag/answer` for the
/// assistant's older clients, with the same events for `Accept: text/event-stream`.
#[utoipa::path(post, path = "/chat/query", tag = "assistant", request_body = ChatBody,
    responses((status = 200, body = QueryView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`: no such collection or conversation"),
        (status = 409, description = "`conversation_busy`, `conversation_full`, `too_many_conversations`"),
        (status = 422, description = "Fields at fault"),
        (status = 429, description = "`queue_full`")))]
async fn chat_query(
    State(desk): State<Desk>,
    Asker(caller): Asker,
    headers: HeaderMap,
    Json(body): Json<ChatBody>,
) -> Result<Response, WebFault> {
    let asked = Asked {
        question: body.question,
        collection: some(body.collection),
        conversation: body.conversation_id,
        converse: true,
        regenerate: false,
        language: some(body.language),
        top: body.top_k,
    };
    respond(desk, caller, asked, &headers, |told| Json(QueryView::of(told)).into_response()).await
}

fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Takes a question up and answers it, whole or as it comes, until its caller's session is over.
async fn respond(
    desk: Desk,
    caller: Caller,
    asked: Asked,
    headers: &HeaderMap,
    whole: impl FnOnce(&Told) -> Response,
) -> Result<Response, WebFault> {
    let ends = (desk.watch)(&caller)?;
    let place = desk.answers.place(&caller)?;
    let (now, answers) = (ends.caller(), desk.answers);
    let (steps, heard) = unbounded_channel();
    let (up, mut taken_up) = oneshot::channel();
    // One verb: a question that is written down gets its answer's turn, wherever its client goes.
    let mut telling: Telling = Box::pin(run(move || {
        let _place = place;
        let taken = answers.take(&caller, asked)?;
        // Whoever waited for it may be gone; the listener tells that too.
        let _ = up.send(());
        answers.tell(&caller, &now, taken, &Listener::new(steps))
    }));
    if wants_events(headers) {
        // What is refused is refused with its status, not with an event.
        let early = tokio::select! {
            biased;
            () = ends.over().cancelled() => return Err(Over.fault().into()),
            told = &mut telling => Some(told?),
            Ok(()) = &mut taken_up => None,
        };
        let stream = events(heard, telling, early, ends);
        let alive = KeepAlive::new().interval(KEEP_ALIVE);
        return Ok(Sse::new(stream).keep_alive(alive).into_response());
    }
    // `heard` is held until the answer is there: dropped with this future, it stops the answer.
    let told = tokio::select! {
        biased;
        () = ends.over().cancelled() => return Err(Over.fault().into()),
        told = telling => told?,
    };
    drop(heard);
    Ok(whole(&told))
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepted
        .split(',')
        .any(|kind| kind.split(';').next().unwrap_or(kind).trim() == "text/event-stream")
}

/// An answer that is being made.
type Telling = BoxFuture<'static, Result<Told, WebFault>>;

/// An answer under way, and what comes after its last step.
struct Underway {
    heard: UnboundedReceiver<Step>,
    telling: Option<Telling>,
    last: Option<Event>,
    ends: Ends,
}

/// The events of an answer, which may be there already. Dropped, they take the listener with them, and the
/// answer ends.
fn events(
    heard: UnboundedReceiver<Step>,
    telling: Telling,
    early: Option<Told>,
    ends: Ends,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let last = early.map(|told| last_event(&Ok(told)));
    let telling = last.is_none().then_some(telling);
    unfold(Underway { heard, telling, last, ends }, |mut underway| async move {
        loop {
            if let Some(telling) = &mut underway.telling {
                tokio::select! {
                    biased;
                    () = underway.ends.over().cancelled() => {
                        underway.telling = None;
                        underway.last = Some(last_event(&Err(Over.fault().into())));
                        // Closed and empty: nothing of it is told any more, and the answer stops.
                        underway.heard = unbounded_channel().1;
                    }
                    Some(step) = underway.heard.recv() => return Some((Ok(event_of(step)), underway)),
                    told = telling => {
                        underway.telling = None;
                        underway.last = Some(last_event(&told));
                    }
                }
            } else if let Ok(step) = underway.heard.try_recv() {
                return Some((Ok(event_of(step)), underway));
            } else {
                return underway.last.take().map(|event| (Ok(event), underway));
            }
        }
    })
}

fn event_of(step: Step) -> Event {
    match step {
        Step::Status(state) => {
            let body = match state {
                Progress::Searching => json!({"state": "searching"}),
                Progress::Waiting(before) => json!({"state": "waiting", "position": before}),
                Progress::Reading => json!({"state": "reading"}),
                Progress::Writing => json!({"state": "writing"}),
            };
            event("status", &body)
        }
        Step::Sources { sources, searched_for } => {
            let mut body = json!({"sources": CitedView::all(&sources)});
            if let (Some(words), Some(body)) = (searched_for, body.as_object_mut()) {
                body.insert("searched_for".into(), words.into());
            }
            event("sources", &body)
        }
        Step::Token(text) => event("token", &json!({"text": text})),
    }
}

fn last_event(told: &Result<Told, WebFault>) -> Event {
    match told {
        Ok(told) => event("end", &EndView::of(told)),
        Err(refused) => {
            let fault = refused.fault();
            event("error", &json!({"code": fault.code, "message": fault.message}))
        }
    }
}

fn event(name: &'static str, body: &impl Serialize) -> Event {
    let body = serde_json::to_string(body).unwrap_or_else(|_| "{}".into());
    Event::default().event(name).data(body)
}
