//! The search's door: questions, reindexing, and how the indexes are.

use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Assistant;
use super::super::documents::Counts;
use super::super::following::Progress;
use super::super::records::{hex, place_of};
use super::super::search::{Answer as Found, Question};
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::web::{Answer, Asker, Json, run};

/// Passages of an answer when the request does not say how many (assistant.md §3.5).
const TOP_USUAL: usize = 5;

/// The search's routes.
pub(super) fn routes() -> OpenApiRouter<Assistant> {
    OpenApiRouter::new().routes(routes!(query)).routes(routes!(reindex)).routes(routes!(status))
}

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
struct QueryBody {
    /// What is asked. `"exact words"`, `title:word` and `-word` are understood.
    query: String,
    /// How many passages to answer, 1 to 100.
    #[serde(default = "top")]
    top_k: usize,
    /// Only this collection.
    collection: Option<String>,
    /// Only this language (ISO 639-1).
    language: Option<String>,
    /// Only paths that begin so.
    path: Option<String>,
    /// Only documents of this date or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    date_from: Option<Moment>,
    /// Only documents of this date or earlier.
    #[schema(value_type = Option<String>, format = DateTime)]
    date_to: Option<Moment>,
}

const fn top() -> usize {
    TOP_USUAL
}

/// Where a passage is from.
#[derive(Debug, Serialize, ToSchema)]
struct SourceView {
    /// The document's path.
    path: String,
    /// The SHA-256 of the bytes that were read, hexadecimal.
    sha256: String,
    /// The passage's place in its document, from 0.
    chunk_id: u32,
    /// Its first character in the document's text.
    start: u64,
    /// The character after its last.
    end: u64,
}

/// A passage that answers.
#[derive(Debug, Serialize, ToSchema)]
struct ResultView {
    /// From 1.
    rank: usize,
    /// From 0 to 1.
    score: f32,
    /// The passage.
    text: String,
    /// Its document's title.
    title: String,
    /// The headings above it, outermost first.
    heading: Vec<String>,
    /// The words that match, as pairs of characters (first, after the last) in `text`.
    highlights: Vec<(usize, usize)>,
    /// What found it: `words`, `meaning`.
    retrievers: Vec<&'static str>,
    /// Its document.
    #[schema(value_type = String, format = Uuid)]
    document_id: Id,
    /// Its document's collection.
    collection: String,
    /// Its document's language.
    language: String,
    /// Its document's date.
    #[schema(value_type = String, format = DateTime)]
    date: Moment,
    /// Where it is from.
    source: SourceView,
}

impl ResultView {
    fn of(rank: usize, found: Found) -> Self {
        let (_, ordinal) = place_of(found.number);
        let retrievers = [(found.by_words, "words"), (found.by_meaning, "meaning")];
        Self {
            rank,
            score: found.score,
            text: found.passage.text,
            title: found.edition.title,
            heading: found.passage.heading,
            highlights: found.highlights,
            retrievers: retrievers
                .into_iter()
                .filter(|(did, _)| *did)
                .map(|(_, name)| name)
                .collect(),
            document_id: found.edition.document,
            collection: found.edition.collection,
            language: found.edition.language,
            date: found.edition.date,
            source: SourceView {
                path: found.edition.path,
                sha256: hex(&found.edition.sha256),
                chunk_id: ordinal,
                start: found.passage.start,
                end: found.passage.end,
            },
        }
    }
}

/// Words looked for instead of one that no document holds.
#[derive(Debug, Serialize, ToSchema)]
struct Corrected {
    /// The word as it was typed.
    word: String,
    /// The words looked for.
    instead: Vec<String>,
}

/// What a question found.
#[derive(Debug, Serialize, ToSchema)]
struct QueryAnswer {
    /// The passages, best first.
    results: Vec<ResultView>,
    /// Whether only words were looked at, for want of a model or by the question's own conditions.
    lexical_only: bool,
    /// Words that no document holds.
    corrected: Vec<Corrected>,
    /// Milliseconds it took.
    took_ms: u64,
}

/// Answers a question with passages and their sources.
#[utoipa::path(post, path = "/rag/query", tag = "search", request_body = QueryBody,
    responses((status = 200, body = QueryAnswer), (status = 400, description = "`empty_query`"),
        (status = 404, description = "`not_found`: no such collection"), (status = 422, description = "Fields at fault")))]
async fn query(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Json(body): Json<QueryBody>,
) -> Answer<QueryAnswer> {
    let began = std::time::Instant::now();
    let none = |text: Option<String>| text.filter(|t| !t.is_empty());
    let question = Question {
        query: body.query,
        top: body.top_k,
        collection: none(body.collection),
        language: none(body.language),
        path: none(body.path),
        from: body.date_from,
        until: body.date_to,
    };
    let found = run(move || desk.search(&caller, &question)).await?;
    Ok(Json(QueryAnswer {
        results: (1..)
            .zip(found.answers)
            .map(|(rank, answer)| ResultView::of(rank, answer))
            .collect(),
        lexical_only: found.by_words_alone,
        corrected: found
            .corrected
            .into_iter()
            .map(|(word, instead)| Corrected { word, instead })
            .collect(),
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// What to make anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default)]
struct ReindexBody {
    /// Whether the indexes are made anew; else only what is new is taken in.
    full: bool,
}

impl Default for ReindexBody {
    fn default() -> Self {
        Self { full: true }
    }
}

/// How many passages can be found.
#[derive(Debug, Serialize, ToSchema)]
struct ReindexAnswer {
    /// Passages.
    indexed: u64,
}

/// Makes the indexes anew beside those in use and swaps them in; `/rag/status` tells how far it is.
#[utoipa::path(post, path = "/rag/reindex", tag = "search", request_body = Option<ReindexBody>,
    responses((status = 200, body = ReindexAnswer), (status = 403, description = "`right_missing`")))]
async fn reindex(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    body: Bytes,
) -> Answer<ReindexAnswer> {
    let body = if body.is_empty() {
        ReindexBody::default()
    } else {
        crate::web::extract::from_json(&body)?
    };
    let indexed = run(move || desk.reindex(&caller, body.full)).await?;
    Ok(Json(ReindexAnswer { indexed }))
}

/// The model that embeds.
#[derive(Debug, Serialize, ToSchema)]
struct ModelView {
    /// Its name.
    name: String,
    /// Whether it is there.
    present: bool,
}

/// How the documents and their indexes are.
#[derive(Debug, Serialize, ToSchema)]
struct StatusView {
    /// Documents by state.
    documents: Counts,
    /// Passages that can be found by words.
    passages: u64,
    /// Passages that can be found by meaning.
    vectors: u64,
    /// Passages that wait for a vector.
    vectors_waiting: u64,
    /// Changes that the index of words has not followed yet.
    index_lag: u64,
    /// The model that embeds.
    model: ModelView,
    /// The rebuild under way, for those who read every collection.
    rebuild: Option<Progress>,
}

/// Tells how the documents that the caller may read and their indexes are.
#[utoipa::path(get, path = "/rag/status", tag = "search",
    responses((status = 200, body = StatusView), (status = 403, description = "`right_missing`")))]
async fn status(State(desk): State<Assistant>, Asker(caller): Asker) -> Answer<StatusView> {
    let status = run(move || desk.status(&caller)).await?;
    Ok(Json(StatusView {
        documents: status.documents,
        passages: status.passages,
        vectors: status.vectors,
        vectors_waiting: status.waiting,
        index_lag: status.lag,
        model: ModelView { name: status.model, present: status.model_present },
        rebuild: status.rebuild,
    }))
}
