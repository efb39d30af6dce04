//! The documents' door: list, show, read, send, delete, read again.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Assistant;
use super::super::documents::{Counts, Listing, Standing};
use super::super::records::{Document, State as DocumentState, hex};
use super::uploads::{__path_upload, upload};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, limits, run};

/// Documents of a list when the request does not say how many.
const LIST_USUAL: usize = 50;

/// The documents' routes.
pub(super) fn routes() -> OpenApiRouter<Assistant> {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .layer(limits::body_counted_by_handler())
        .routes(routes!(show, delete))
        .routes(routes!(text))
        .routes(routes!(file))
        .routes(routes!(read_again))
        .routes(routes!(pack, unpack))
}

/// Why a document cannot be read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailureView {
    /// A stable code, for instance `document_encrypted`.
    pub(super) code: String,
    /// A sentence.
    pub(super) detail: String,
}

/// A document as clients see one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DocumentView {
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
    /// Whether it stays readable while the main program is away.
    in_pack: bool,
}

impl From<Standing> for DocumentView {
    fn from(standing: Standing) -> Self {
        let Standing { document, embedded: vectors, in_pack } = standing;
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
            in_pack,
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
    /// How many of all documents that the caller may read are in which state.
    counts: Counts,
}

/// Lists documents that the caller may read, newest first.
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

/// Shows a document.
#[utoipa::path(get, path = "/rag/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = DocumentView), (status = 404, description = "`not_found`")))]
async fn show(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DocumentView> {
    Ok(Json(run(move || desk.document(&caller, id)).await?.into()))
}

/// A word for a deed done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// What was done.
    pub(super) status: &'static str,
}

/// Deletes a document: no search finds it from now on.
#[utoipa::path(delete, path = "/rag/documents/{id}", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = Done), (status = 404, description = "`not_found`")))]
async fn delete(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<Done> {
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
        headings: headings
            .map(|h| HeadingView { at: h.at, level: h.level, text: h.text })
            .collect(),
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
    let who = caller.clone();
    let (document, file) = run(move || asked.file(&who, id)).await?;
    let name = document.path.rsplit('/').next().unwrap_or("document").to_owned();
    let headers = [
        (CONTENT_TYPE, document.media_type.clone()),
        (CONTENT_LENGTH, file.size.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{}", percent(&name))),
        // Foreign bytes are never run as a page of this box.
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
    ];
    Ok((headers, stream(desk, caller, &document, file.parts)).into_response())
}

/// A file's parts, one after another; memory stays flat.
fn stream(desk: Assistant, caller: Caller, document: &Document, parts: u32) -> Body {
    let (id, hash) = (document.id, document.sha256);
    let bytes = futures_util::stream::unfold(0u32, move |number| {
        let (desk, caller) = (desk.clone(), caller.clone());
        async move {
            if number >= parts {
                return None;
            }
            let part = run(move || desk.file_part(&caller, id, &hash, number)).await;
            let bytes = match part {
                Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
                Ok(None) => Err(std::io::Error::other("the document was deleted meanwhile")),
                Err(fault) => Err(std::io::Error::other(fault.fault().to_string())),
            };
            Some((bytes, number + 1))
        }
    });
    Body::from_stream(bytes)
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
async fn read_again(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DocumentView> {
    Ok(Json(run(move || desk.read_again(&caller, id)).await?.into()))
}

/// Chooses a document to be readable while the main program is away.
#[utoipa::path(put, path = "/rag/documents/{id}/pack", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = DocumentView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`document_closed`, `pack_full`")))]
async fn pack(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DocumentView> {
    Ok(Json(run(move || desk.pack(&caller, id)).await?.into()))
}

/// Chooses a document no longer.
#[utoipa::path(delete, path = "/rag/documents/{id}/pack", tag = "documents",
    params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = DocumentView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn unpack(
    State(desk): State<Assistant>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DocumentView> {
    Ok(Json(run(move || desk.unpack(&caller, id)).await?.into()))
}
