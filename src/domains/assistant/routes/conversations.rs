//! The conversations' door (assistant.md §3.9): list, begin, rename, delete, and what was said.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::citing::Cited;
use super::super::conversations::{Conversations, Shown};
use super::super::records::talk::{Conversation, Origin, Outcome};
use super::super::thinking::Thinking;
use super::documents::Done;
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::engines::generation::{Role, Usage};
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

/// Conversations of a page when the request does not say how many.
const LISTED_USUAL: usize = 30;
/// Conversations of a page at most.
const LISTED_MOST: usize = 200;
/// Messages of a page when the request does not say how many (assistant.md §3.9), and at most.
const MESSAGES_USUAL: usize = 100;
/// Messages of a page at most.
const MESSAGES_MOST: usize = 500;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Thinking> {
    OpenApiRouter::new()
        .routes(routes!(list_conversations, start_conversation))
        .routes(routes!(edit_conversation, delete_conversation))
        .routes(routes!(list_messages))
}

fn desk(thinking: Thinking) -> Conversations {
    thinking.conversations
}

/// A conversation.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationView {
    /// Its name of record.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// What it is called; empty until something was said.
    title: String,
    /// The collection it asks; all that are open when there is none.
    collection: Option<String>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// When something was last said.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Moment,
    /// How many turns it has.
    turns: u32,
}

impl From<Conversation> for ConversationView {
    fn from(it: Conversation) -> Self {
        Self {
            id: it.id,
            title: it.title,
            collection: it.collection,
            created_at: it.created_at,
            updated_at: it.updated_at,
            turns: it.turns,
        }
    }
}

/// Which conversations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ConversationQuery {
    /// Only those in whose title or messages this stands, whatever its case and accents.
    q: Option<String>,
    /// How many, 30 unless told, 200 at most.
    limit: Option<usize>,
    /// Only those older than this one: the next page.
    #[param(value_type = Option<String>, format = Uuid)]
    before: Option<Id>,
}

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationList {
    /// Newest first.
    items: Vec<ConversationView>,
    /// Whether there are more.
    more: bool,
    /// Whether every message was looked through for `q`; else the oldest by their titles alone.
    searched_all: bool,
}

/// Lists the caller's conversations.
#[utoipa::path(get, path = "/chat/conversations", tag = "assistant", params(ConversationQuery),
    responses((status = 200, body = ConversationList), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`: no conversation `before`"),
        (status = 422, description = "Parameters at fault")))]
async fn list_conversations(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Query(asked): Query<ConversationQuery>,
) -> Answer<ConversationList> {
    let limit = super::limit(asked.limit, LISTED_USUAL, LISTED_MOST)?;
    let desk = desk(thinking);
    let page = run(move || desk.list(&caller, asked.q.as_deref(), limit, asked.before)).await?;
    Ok(Json(ConversationList {
        items: page.items.into_iter().map(ConversationView::from).collect(),
        more: page.more,
        searched_all: page.whole,
    }))
}

/// A conversation to begin.
#[derive(Debug, Deserialize, ToSchema)]
struct ConversationBody {
    /// What it is called, at most 200 characters; the first question's first words unless told.
    title: Option<String>,
    /// The collection it asks; all that are open unless told.
    collection: Option<String>,
}

/// Begins a conversation.
#[utoipa::path(post, path = "/chat/conversations", tag = "assistant", request_body = ConversationBody,
    responses((status = 201, body = ConversationView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`: no such collection"),
        (status = 409, description = "`too_many_conversations`"),
        (status = 422, description = "Fields at fault")))]
async fn start_conversation(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Json(body): Json<ConversationBody>,
) -> Result<(StatusCode, Json<ConversationView>), WebFault> {
    let desk = desk(thinking);
    let started =
        run(move || desk.start(&caller, body.title.as_deref(), body.collection.as_deref()));
    Ok((StatusCode::CREATED, Json(started.await?.into())))
}

/// What is to change of a conversation; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
struct ConversationEdit {
    /// Its title from now on.
    title: Option<String>,
    /// The collection it asks from now on; an empty name asks all that are open.
    collection: Option<String>,
}

/// Renames a conversation, or lets it ask another collection.
#[utoipa::path(patch, path = "/chat/conversations/{id}", tag = "assistant",
    params(("id" = String, Path, format = Uuid)), request_body = ConversationEdit,
    responses((status = 200, body = ConversationView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 422, description = "Fields at fault")))]
async fn edit_conversation(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
    Json(body): Json<ConversationEdit>,
) -> Answer<ConversationView> {
    let desk = desk(thinking);
    let edited =
        run(move || desk.edit(&caller, id, body.title.as_deref(), body.collection.as_deref()));
    Ok(Json(edited.await?.into()))
}

/// Deletes a conversation with everything that was said in it.
#[utoipa::path(delete, path = "/chat/conversations/{id}", tag = "assistant",
    params(("id" = String, Path, format = Uuid)),
    responses((status = 200, body = Done), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn delete_conversation(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<Done> {
    let desk = desk(thinking);
    run(move || desk.delete(&caller, id)).await?;
    Ok(Json(Done { status: "deleted" }))
}

/// A passage that an answer cites, as the caller may see it now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CitationView {
    /// The number in the answer's text.
    number: u32,
    /// The document; none when it is gone or closed.
    #[schema(value_type = Option<String>, format = Uuid)]
    document_id: Option<Id>,
    /// Its title.
    title: Option<String>,
    /// Its path.
    path: Option<String>,
    /// Its collection.
    collection: Option<String>,
    /// The passage's place in its document, from 0.
    chunk_id: u32,
    /// Its first character in the document's text.
    start: Option<u64>,
    /// The character after its last.
    end: Option<u64>,
    /// Its words.
    text: Option<String>,
    /// The headings above it, outermost first.
    heading: Vec<String>,
    /// Whether its words cannot be shown any more: replaced, deleted, or closed to the caller.
    gone: bool,
}

impl From<Cited> for CitationView {
    fn from(cited: Cited) -> Self {
        let (source, words) = (cited.source, cited.words);
        let of = |pick: fn(&super::super::citing::Source) -> &String| {
            source.as_ref().map(|source| pick(source).clone())
        };
        Self {
            number: cited.number,
            document_id: source.as_ref().map(|source| source.document),
            title: of(|source| &source.title),
            path: of(|source| &source.path),
            collection: of(|source| &source.collection),
            chunk_id: cited.passage,
            start: words.as_ref().map(|words| words.start),
            end: words.as_ref().map(|words| words.end),
            gone: words.is_none(),
            heading: words.as_ref().map(|words| words.heading.clone()).unwrap_or_default(),
            text: words.map(|words| words.text),
        }
    }
}

/// What an answer cost.
#[derive(Debug, Serialize, ToSchema)]
struct MessageUsage {
    /// Tokens of the prompt.
    prompt_tokens: usize,
    /// Tokens of the prompt that were still in memory.
    reused_tokens: usize,
    /// Tokens written.
    completion_tokens: usize,
    /// Milliseconds until the first token.
    prefill_ms: u64,
    /// Milliseconds from the first token to the last.
    decode_ms: u64,
}

impl From<Usage> for MessageUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            reused_tokens: usage.reused_tokens,
            completion_tokens: usage.completion_tokens,
            prefill_ms: usage.prefill_ms,
            decode_ms: usage.decode_ms,
        }
    }
}

/// Something that was said.
#[derive(Debug, Serialize, ToSchema)]
struct MessageView {
    /// Its name of record.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// Its place in the conversation, from 1.
    ordinal: u32,
    /// Who said it: `user` or `assistant`.
    #[schema(value_type = String)]
    role: Role,
    /// What was said; empty where `closed`.
    text: String,
    /// Whether it was made of documents that are closed to the caller by now.
    closed: bool,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    /// How it came about: `person`, `grounded`, `extract`, `model`, `not_found`.
    #[schema(value_type = String)]
    origin: Origin,
    /// How far it came: `whole`, `stopped`, `failed`.
    #[schema(value_type = String)]
    outcome: Outcome,
    /// Why it broke off: a fault's code.
    failure: Option<String>,
    /// The passages it cites.
    citations: Vec<CitationView>,
    /// The model that wrote it.
    model: Option<String>,
    /// What it cost.
    usage: MessageUsage,
    /// Milliseconds from the question to its end.
    took_ms: u64,
    /// What was looked for in place of a question that leans on what was said before.
    searched_for: Option<String>,
}

impl From<Shown> for MessageView {
    fn from(shown: Shown) -> Self {
        let turn = shown.turn;
        Self {
            id: turn.id,
            ordinal: turn.ordinal,
            role: turn.role,
            text: turn.text,
            closed: shown.closed,
            at: turn.at,
            origin: turn.origin,
            outcome: turn.outcome,
            failure: turn.failure,
            citations: shown.citations.into_iter().map(CitationView::from).collect(),
            model: turn.model,
            usage: turn.usage.into(),
            took_ms: turn.took_ms,
            searched_for: turn.searched_for,
        }
    }
}

/// Which messages.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct MessageQuery {
    /// How many, 100 unless told, 500 at most: the last ones.
    limit: Option<usize>,
    /// Only those before this one: the page before.
    #[param(value_type = Option<String>, format = Uuid)]
    before_id: Option<Id>,
}

/// What was said in a conversation.
#[derive(Debug, Serialize, ToSchema)]
struct MessageList {
    /// Oldest first. A question that has no answer behind it was never answered: the box stopped
    /// meanwhile; it can be asked again (`regenerate`).
    items: Vec<MessageView>,
    /// Whether there are more before them.
    more: bool,
}

/// Lists what was said in a conversation; the passages' words are those of now, for whoever may read them.
#[utoipa::path(get, path = "/chat/conversations/{id}/messages", tag = "assistant",
    params(("id" = String, Path, format = Uuid), MessageQuery),
    responses((status = 200, body = MessageList), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 422, description = "Parameters at fault")))]
async fn list_messages(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
    Query(asked): Query<MessageQuery>,
) -> Answer<MessageList> {
    let limit = super::limit(asked.limit, MESSAGES_USUAL, MESSAGES_MOST)?;
    let desk = desk(thinking);
    let (turns, more) = run(move || desk.turns(&caller, id, limit, asked.before_id)).await?;
    Ok(Json(MessageList { items: turns.into_iter().map(MessageView::from).collect(), more }))
}
