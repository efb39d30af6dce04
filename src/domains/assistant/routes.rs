//! The assistant's door: documents in and out, questions, and how the indexes are.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::multipart::Field;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::Digest;
use tokio::io::AsyncWriteExt;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::{Counts, Incoming, Listing, Outcome};
use super::files::Spooled;
use super::following::Progress;
use super::records::{Document, File, State as DocumentState, hex};
use super::search::{Answer as Found, Question};
use super::Assistant;
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::web::{Answer, Asker, Form, Json, Path, Query, WebFault, limits, run};

/// Documents of a list when the request does not say how many.
const LIST_USUAL: usize = 50;
/// Passages of an answer when the request does not say how many (assistant.md §3.5).
const TOP_USUAL: usize = 5;
/// The longest text field beside the files of an upload, bytes.
const FIELD_MAX: usize = 4 << 10;

/// The code of a form that cannot be read.
const MALFORMED: &str = "upload_malformed";
/// The code of a sender that is slower than the door allows.
const TOO_SLOW: &str = "body_too_slow";

/// The routes of the assistant's desk.
pub fn routes(desk: Assistant) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .layer(limits::body_counted_by_handler())
        .routes(routes!(show, delete))
        .routes(routes!(text))
        .routes(routes!(file))
        .routes(routes!(read_again))
        .routes(routes!(collections))
        .routes(routes!(query))
        .routes(routes!(reindex))
        .routes(routes!(status))
        .with_state(desk)
}

/// Why a document cannot be read.
#[derive(Debug, Serialize, ToSchema)]
struct FailureView {
    /// A stable code, for instance `document_encrypted`.
    code: String,
    /// A sentence.
    detail: String,
}

/// A document as clients see one.
#[derive(Debug, Serialize, ToSchema)]
struct DocumentView {
    /// Its name of record.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// Its path within its collection.
    path: String,
    /// What it calls itself, else its file's name.
    title: String,
    /// Who it says wrote it.
    author: Option<String>,
    /// The media type of its bytes.
    media_type: String,
    /// Bytes.
    size: u64,
    /// The SHA-256 of its bytes, hexadecimal.
    sha256: String,
    /// Its language (ISO 639-1), `und` when unknown, empty until it was read.
    language: String,
    /// The collection it is in.
    collection: String,
    /// `queued`, `reading`, `ready` or `failed`.
    #[schema(value_type = String, example = "ready")]
    state: DocumentState,
    /// Why it failed.
    failure: Option<FailureView>,
    /// Passages it was cut into.
    passages: u32,
    /// Passages that have a vector.
    vectors: u32,
    /// Characters of its text.
    characters: u64,
    /// Pages, where the format knows pages.
    pages: Option<u32>,
    /// When it says it was written, else when its file was, else when it came.
    #[schema(value_type = String, format = DateTime)]
    date: Moment,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    added_at: Moment,
    /// Who brought it.
    added_by: String,
}

impl From<(Document, u32)> for DocumentView {
    fn from((document, vectors): (Document, u32)) -> Self {
        Self {
            id: document.id,
            sha256: hex(&document.sha256),
            path: document.path,
            title: document.title,
            author: document.author,
            media_type: document.media_type,
            size: document.size,
            language: document.language,
            collection: document.collection,
            state: document.state,
            failure: document.failure.map(|f| FailureView { code: f.code, detail: f.detail }),
            passages: document.passages,
            vectors,
            characters: document.characters,
            pages: document.pages,
            date: document.date,
            added_at: document.added_at,
            added_by: document.added_by,
        }
    }
}

/// Which documents to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those with this in their path or title.
    q: String,
    /// Only this collection.
    collection: Option<String>,
    /// Only this state.
    #[param(value_type = Option<String>)]
    state: Option<DocumentState>,
    /// How many to list, 50 unless told, 1000 at most.
    limit: Option<usize>,
    /// How many to skip.
    offset: usize,
}

/// A page of documents.
#[derive(Debug, Serialize, ToSchema)]
struct DocumentList {
    /// The documents, newest first.
    items: Vec<DocumentView>,
    /// How many there are in all.
    total: usize,
    /// How many of all documents are in which state.
    counts: Counts,
}

/// Lists documents, newest first.
#[utoipa::path(get, path = "/rag/documents", tag = "documents", params(ListQuery),
    responses((status = 200, body = DocumentList), (status = 403, description = "`right_missing`")))]
async fn list(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Query(asked): Query<ListQuery>,
) -> Answer<DocumentList> {
    let listing = Listing {
        containing: asked.q,
        collection: asked.collection.filter(|c| !c.is_empty()),
        state: asked.state,
        offset: asked.offset,
        limit: asked.limit.unwrap_or(LIST_USUAL),
    };
    let listed = run(move || desk.documents(&caller, &listing)).await?;
    Ok(Json(DocumentList {
        items: listed.items.into_iter().map(DocumentView::from).collect(),
        total: listed.total,
        counts: listed.counts,
    }))
}

/// What became of one file of an upload.
#[derive(Debug, Serialize, ToSchema)]
struct Uploaded {
    /// The file's name as it was sent.
    name: String,
    /// The document.
    #[schema(value_type = Option<String>, format = Uuid)]
    id: Option<Id>,
    /// `added`, `replaced`, `unchanged`, `duplicate` or `refused`.
    outcome: &'static str,
    /// The document, or the one that stood there.
    document: Option<DocumentView>,
    /// Why it was refused.
    fault: Option<FailureView>,
}

impl Uploaded {
    fn refused(name: String, fault: &Fault) -> Self {
        let fault = FailureView { code: fault.code.to_owned(), detail: fault.message.clone() };
        Self { name, id: None, outcome: "refused", document: None, fault: Some(fault) }
    }
}

/// What became of each file of an upload.
#[derive(Debug, Serialize, ToSchema)]
struct UploadAnswer {
    /// One line a file, in the order they were sent.
    items: Vec<Uploaded>,
}

/// The form of an upload: text fields before the files they speak of.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form; the fields are read from the stream")]
struct UploadForm {
    /// The collection of the files that follow.
    collection: Option<String>,
    /// When the next file was last written.
    #[schema(format = DateTime)]
    modified: Option<String>,
    /// A file; its name may hold folders. May come many times.
    #[schema(value_type = Vec<String>, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<Vec<u8>>,
}

/// Takes files in. Each one succeeds or is refused by itself; what was taken is read afterwards.
#[utoipa::path(post, path = "/rag/documents", tag = "documents",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, body = UploadAnswer), (status = 403, description = "`right_missing`"),
        (status = 507, description = "`disk_full`")))]
async fn upload(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Form(mut form): Form,
) -> Result<(StatusCode, Json<UploadAnswer>), WebFault> {
    caller.require(Right::EditDocuments)?;
    let mut items = Vec::new();
    let (mut collection, mut modified) = (String::new(), None);
    while let Some(mut field) = form.next_field().await.map_err(|e| malformed(&e))? {
        match field.name() {
            Some("collection") => collection = text_field(&mut field).await?,
            Some("modified") => modified = Moment::parse(&text_field(&mut field).await?),
            Some("file") => {
                let name = field.file_name().unwrap_or_default().to_owned();
                let taken = match spool(&desk, &mut field).await {
                    Ok(file) => {
                        let incoming = Incoming {
                            collection: collection.clone(),
                            path: name.clone(),
                            file,
                            modified: modified.take(),
                        };
                        let (desk, caller) = (desk.clone(), for_file(&caller, items.len()));
                        run(move || desk.add(&caller, &incoming)).await
                    }
                    Err(fault) => Err(fault),
                };
                items.push(uploaded(name, taken)?);
            }
            _ => {}
        }
    }
    if items.is_empty() {
        return Err(Fault::field("file", "missing", "There is no file in this upload.").into());
    }
    Ok((StatusCode::CREATED, Json(UploadAnswer { items })))
}

/// The caller as it brings one file of several: an `Idempotency-Key` stands for the whole upload, so
/// each file gets one of its own. No client's key holds a space.
fn for_file(caller: &Caller, number: usize) -> Caller {
    let retry_key = caller.retry_key.as_ref().map(|key| format!("{key} {number}"));
    Caller { retry_key, ..caller.clone() }
}

/// A file's line in the answer; a fault of the box itself ends the whole upload.
fn uploaded(name: String, taken: Result<super::documents::Added, WebFault>) -> Result<Uploaded, WebFault> {
    match taken {
        Ok(added) => Ok(Uploaded {
            name,
            id: Some(added.document.id),
            outcome: match added.outcome {
                Outcome::Added => "added",
                Outcome::Replaced => "replaced",
                Outcome::Unchanged => "unchanged",
                Outcome::Duplicate => "duplicate",
            },
            document: Some((added.document, 0).into()),
            fault: None,
        }),
        // Behind a form that breaks off there is no further file to go on with.
        Err(fault) if [MALFORMED, TOO_SLOW].contains(&fault.fault().code) => Err(fault),
        Err(fault) if fault.status().is_client_error() => Ok(Uploaded::refused(name, fault.fault())),
        Err(fault) => Err(fault),
    }
}

/// Why a form cannot be read on: its sender was too slow, or it is not a form.
fn malformed(error: &axum::extract::multipart::MultipartError) -> Fault {
    let fault = crate::web::extract::body_fault(error);
    if fault.code == TOO_SLOW {
        return fault;
    }
    Fault::invalid(MALFORMED, format!("The upload cannot be read: {}", error.body_text()))
}

async fn text_field(field: &mut Field<'_>) -> Result<String, Fault> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| malformed(&e))? {
        text.extend_from_slice(&chunk);
        if text.len() > FIELD_MAX {
            return Err(Fault::too_large("field_too_large", "A field beside the files is too long."));
        }
    }
    String::from_utf8(text).map_err(|_| Fault::invalid("upload_malformed", "A field is not UTF-8."))
}

/// Streams a file to disk, hashing it on the way.
async fn spool(desk: &Assistant, field: &mut Field<'_>) -> Result<Spooled, WebFault> {
    let path = desk.spool().join(format!("in-{}", uuid::Uuid::new_v4()));
    let failed = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::StorageFull {
            return Fault::new(crate::base::fault::Kind::Full, "disk_full", "The disk is full.").because(e);
        }
        Fault::broken("spooling an upload", e)
    };
    let mut spooled = Spooled { path: path.clone(), size: 0, sha256: [0; 32], ours: true };
    let mut out = tokio::fs::File::create(&path).await.map_err(failed)?;
    let mut hasher = sha2::Sha256::new();
    let mut too_large = None;
    while let Some(chunk) = field.chunk().await.map_err(|e| malformed(&e))? {
        spooled.size += chunk.len() as u64;
        if spooled.size > desk.file_bytes_max() {
            // The rest is read and dropped, so that the files after it still arrive.
            too_large = Some(());
            continue;
        }
        hasher.update(&chunk);
        out.write_all(&chunk).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)?;
    if too_large.is_some() {
        desk.check_size(spooled.size)?;
    }
    spooled.sha256 = hasher.finalize().into();
    Ok(spooled)
}

/// Shows a document.
#[utoipa::path(get, path = "/rag/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = DocumentView), (status = 404, description = "`not_found`")))]
async fn show(State(desk): State<Assistant>, Asker(caller): Asker, Path(id): Path<Id>) -> Answer<DocumentView> {
    Ok(Json(run(move || desk.document(&caller, id)).await?.into()))
}

/// A word for a deed done.
#[derive(Debug, Serialize, ToSchema)]
struct Done {
    /// What was done.
    status: &'static str,
}

/// Deletes a document: no search finds it from now on.
#[utoipa::path(delete, path = "/rag/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = Done), (status = 404, description = "`not_found`")))]
async fn delete(State(desk): State<Assistant>, Asker(caller): Asker, Path(id): Path<Id>) -> Answer<Done> {
    run(move || desk.delete(&caller, id)).await?;
    Ok(Json(Done { status: "deleted" }))
}

/// Which part of a text.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct TextQuery {
    /// The first character.
    start: usize,
    /// The character after the last; the end of the text unless told.
    end: Option<usize>,
}

/// A line that opens a section.
#[derive(Debug, Serialize, ToSchema)]
struct HeadingView {
    /// Its first character in the text.
    at: usize,
    /// 1 is the outermost.
    level: u8,
    /// Its words.
    text: String,
}

/// Part of a text, at most 200,000 characters.
#[derive(Debug, Serialize, ToSchema)]
struct TextView {
    /// Its first character.
    start: usize,
    /// The character after its last.
    end: usize,
    /// Characters of the whole text.
    length: usize,
    /// The characters.
    text: String,
    /// The headings of the whole text.
    headings: Vec<HeadingView>,
}

/// Shows a document's text, or part of it.
#[utoipa::path(get, path = "/rag/documents/{id}/text", tag = "documents",
    params(("id" = String, Path, description = "The document"), TextQuery),
    responses((status = 200, body = TextView), (status = 404, description = "`not_found`"),
        (status = 409, description = "`document_unread`")))]
async fn text(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
    Query(asked): Query<TextQuery>,
) -> Answer<TextView> {
    let window = run(move || desk.text(&caller, id, asked.start, asked.end)).await?;
    let headings = window.headings.0.into_iter();
    Ok(Json(TextView {
        start: window.start,
        end: window.end,
        length: window.length,
        text: window.text,
        headings: headings.map(|h| HeadingView { at: h.at, level: h.level, text: h.text }).collect(),
    }))
}

/// Sends a document's original bytes.
#[utoipa::path(get, path = "/rag/documents/{id}/file", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, description = "The bytes", content_type = "application/octet-stream"),
        (status = 404, description = "`not_found`")))]
async fn file(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Result<Response, WebFault> {
    let asked = desk.clone();
    let (document, file) = run(move || asked.file(&caller, id)).await?;
    let name = document.path.rsplit('/').next().unwrap_or("document").to_owned();
    let headers = [
        (CONTENT_TYPE, document.media_type.clone()),
        (CONTENT_LENGTH, file.size.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{}", percent(&name))),
        // Foreign bytes are never run as a page of this box.
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
    ];
    Ok((headers, stream(desk, document, file)).into_response())
}

/// A file's parts, one after another; memory stays flat.
fn stream(desk: Assistant, document: Document, file: File) -> Body {
    let parts = futures_util::stream::unfold(0u32, move |number| {
        let desk = desk.clone();
        async move {
            if number >= file.parts {
                return None;
            }
            let part = run(move || desk.file_part(&document.sha256, number)).await;
            let bytes = match part {
                Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
                Ok(None) => Err(std::io::Error::other("the document was deleted meanwhile")),
                Err(fault) => Err(std::io::Error::other(fault.fault().to_string())),
            };
            Some((bytes, number + 1))
        }
    });
    Body::from_stream(parts)
}

/// RFC 5987's coding of a name.
fn percent(name: &str) -> String {
    use std::fmt::Write;
    name.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Reads a document again from its bytes.
#[utoipa::path(post, path = "/rag/documents/{id}/reindex", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = DocumentView), (status = 404, description = "`not_found`")))]
async fn read_again(State(desk): State<Assistant>, Asker(caller): Asker, Path(id): Path<Id>) -> Answer<DocumentView> {
    let document = run(move || desk.read_again(&caller, id)).await?;
    Ok(Json((document, 0).into()))
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
struct CollectionView {
    /// Its name of record.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// Its name.
    name: String,
    /// How many documents it has.
    documents: u64,
}

/// The collections.
#[derive(Debug, Serialize, ToSchema)]
struct CollectionList {
    /// By name.
    items: Vec<CollectionView>,
}

/// Lists the collections.
#[utoipa::path(get, path = "/rag/collections", tag = "documents",
    responses((status = 200, body = CollectionList), (status = 403, description = "`right_missing`")))]
async fn collections(State(desk): State<Assistant>, Asker(caller): Asker) -> Answer<CollectionList> {
    let all = run(move || desk.collections(&caller)).await?;
    let items = all.into_iter().map(|(c, documents)| CollectionView { id: c.id, name: c.name, documents });
    Ok(Json(CollectionList { items: items.collect() }))
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
        let (_, ordinal) = super::records::place_of(found.number);
        let retrievers = [(found.by_words, "words"), (found.by_meaning, "meaning")];
        Self {
            rank,
            score: found.score,
            text: found.passage.text,
            title: found.edition.title,
            heading: found.passage.heading,
            highlights: found.highlights,
            retrievers: retrievers.into_iter().filter(|(did, _)| *did).map(|(_, name)| name).collect(),
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
        results: (1..).zip(found.answers).map(|(rank, answer)| ResultView::of(rank, answer)).collect(),
        lexical_only: found.by_words_alone,
        corrected: found.corrected.into_iter().map(|(word, instead)| Corrected { word, instead }).collect(),
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
async fn reindex(State(desk): State<Assistant>, Asker(caller): Asker, body: Bytes) -> Answer<ReindexAnswer> {
    let body = if body.is_empty() { ReindexBody::default() } else { crate::web::extract::from_json(&body)? };
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
    /// The rebuild under way.
    rebuild: Option<Progress>,
}

/// Tells how the documents and their indexes are.
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
