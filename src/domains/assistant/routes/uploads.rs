//! Uploads: files streamed to disk and hashed on the way, each taken or refused by itself.

use axum::extract::State;
use axum::extract::multipart::Field;
use axum::http::StatusCode;
use serde::Serialize;
use sha2::Digest;
use tokio::io::AsyncWriteExt;
use utoipa::ToSchema;

use super::super::Assistant;
use super::super::adding::{Incoming, Outcome};
use super::super::documents::Standing;
use super::super::files::Spooled;
use super::documents::{DocumentView, FailureView};
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::web::extract::body_fault;
use crate::web::{Asker, Form, Json, WebFault, run};

/// The longest text field beside the files of an upload, bytes.
const FIELD_MAX: usize = 4 << 10;
/// The code of a form that cannot be read.
const MALFORMED: &str = "upload_malformed";
/// The code of a sender that is slower than the door allows.
const TOO_SLOW: &str = "body_too_slow";
/// The code of an upload whose sender's session ended meanwhile.
const OVER: &str = "session_ended";

/// What became of one file of an upload.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Uploaded {
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
pub(super) struct UploadAnswer {
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
pub(super) async fn upload(
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
                        run(move || {
                            let added = desk.add(&caller, &incoming)?;
                            Ok((added.outcome, desk.brought(added.document)?))
                        })
                        .await
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
fn uploaded(
    name: String,
    taken: Result<(Outcome, Standing), WebFault>,
) -> Result<Uploaded, WebFault> {
    match taken {
        Ok((outcome, standing)) => Ok(Uploaded {
            name,
            id: Some(standing.document.id),
            outcome: match outcome {
                Outcome::Added => "added",
                Outcome::Replaced => "replaced",
                Outcome::Unchanged => "unchanged",
                Outcome::Duplicate => "duplicate",
            },
            document: Some(standing.into()),
            fault: None,
        }),
        // Behind a form that breaks off there is no further file to go on with.
        Err(fault) if [MALFORMED, TOO_SLOW, OVER].contains(&fault.fault().code) => Err(fault),
        Err(fault) if fault.status().is_client_error() => {
            Ok(Uploaded::refused(name, fault.fault()))
        }
        Err(fault) => Err(fault),
    }
}

/// Why a form cannot be read on: its sender was too slow or is signed out, or it is not a form.
pub(super) fn malformed(error: &axum::extract::multipart::MultipartError) -> Fault {
    let fault = body_fault(error);
    if [TOO_SLOW, OVER].contains(&fault.code) {
        return fault;
    }
    Fault::invalid(MALFORMED, format!("The upload cannot be read: {}", error.body_text()))
}

pub(super) async fn text_field(field: &mut Field<'_>) -> Result<String, Fault> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| malformed(&e))? {
        text.extend_from_slice(&chunk);
        if text.len() > FIELD_MAX {
            return Err(Fault::too_large(
                "field_too_large",
                "A field beside the files is too long.",
            ));
        }
    }
    String::from_utf8(text).map_err(|_| Fault::invalid("upload_malformed", "A field is not UTF-8."))
}

/// Spools a document.
async fn spool(desk: &Assistant, field: &mut Field<'_>) -> Result<Spooled, WebFault> {
    let limit = desk.file_bytes_max();
    let spooled = spool_into(&desk.spool(), limit, field, |_| {}).await?;
    if spooled.size > limit {
        desk.check_size(spooled.size)?;
    }
    Ok(spooled)
}

/// Streams a file to disk, hashing it on the way; `more` hears of each piece's bytes.
///
/// Of a file longer than `limit` the rest is read and dropped, so that the files after it still
/// arrive; its size tells.
pub(super) async fn spool_into(
    folder: &std::path::Path,
    limit: u64,
    field: &mut Field<'_>,
    more: impl Fn(u64),
) -> Result<Spooled, WebFault> {
    let path = folder.join(format!("in-{}", uuid::Uuid::new_v4()));
    let failed = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::StorageFull {
            return Fault::new(crate::base::fault::Kind::Full, "disk_full", "The disk is full.")
                .because(e);
        }
        Fault::broken("spooling an upload", e)
    };
    let mut spooled = Spooled { path: path.clone(), size: 0, sha256: [0; 32], ours: true };
    let mut out = tokio::fs::File::create(&path).await.map_err(failed)?;
    let mut hasher = sha2::Sha256::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| malformed(&e))? {
        spooled.size += chunk.len() as u64;
        more(chunk.len() as u64);
        if spooled.size <= limit {
            hasher.update(&chunk);
            out.write_all(&chunk).await.map_err(failed)?;
        }
    }
    out.flush().await.map_err(failed)?;
    spooled.sha256 = hasher.finalize().into();
    Ok(spooled)
}
