//! Faults on their way out: one status per kind, one body for all.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Json;
use super::trace;
use crate::base::fault::{Fault, Field, Kind};

/// What Plan B's paths say to whoever shows no good key.
const UNAUTHORIZED: &str = "unauthorized";

/// What a handler answers: JSON, or a fault.
pub type Answer<T> = Result<Json<T>, WebFault>;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FaultBody {
    /// What went wrong, as a sentence in English; on Plan B's paths the code.
    pub error: String,
    /// The same sentence, or on 422 the list of fields at fault.
    pub detail: FaultDetail,
    /// A stable word in `snake_case`; pages translate it.
    #[schema(example = "not_found")]
    pub code: String,
    /// The request's id, as in the logs and in `X-Request-Id`.
    pub request_id: String,
}

/// A sentence, or the fields at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum FaultDetail {
    /// What went wrong.
    Message(String),
    /// Which fields of the request are not acceptable.
    Fields(Vec<FaultField>),
}

/// One field that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FaultField {
    /// A stable word for what is wrong.
    #[serde(rename = "type")]
    #[schema(example = "missing")]
    pub kind: String,
    /// Where it is, outermost first.
    #[schema(example = json!(["body", "password"]))]
    pub loc: Vec<String>,
    /// What is wrong, as a sentence in English.
    pub msg: String,
    /// Always null: what was sent may be a secret and is not sent back.
    #[schema(value_type = Option<String>)]
    pub input: (),
}

impl From<&Field> for FaultField {
    fn from(field: &Field) -> Self {
        Self {
            kind: field.wrong.to_owned(),
            loc: field.place.clone(),
            msg: field.message.clone(),
            input: (),
        }
    }
}

/// A fault in the clothes it wears on the wire.
#[derive(Debug)]
pub struct WebFault {
    fault: Fault,
    status: StatusCode,
}

impl WebFault {
    /// A fault under another status than its kind's, for what only HTTP knows (405, 415).
    pub fn with_status(status: StatusCode, fault: Fault) -> Self {
        Self { fault, status }
    }

    /// The fault inside.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The fault, for whoever carries it out by another way.
    pub fn into_fault(self) -> Fault {
        self.fault
    }

    /// The status it leaves with.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Fault> for WebFault {
    fn from(fault: Fault) -> Self {
        Self { status: status_of(fault.kind), fault }
    }
}

/// The status each kind leaves with.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Kind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Full => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for WebFault {
    fn into_response(self) -> Response {
        let Self { fault, status } = self;
        let request_id = trace::id();
        note(&fault, status, &request_id);
        let message = sentence(&fault).to_owned();
        let detail = if fault.fields.is_empty() {
            FaultDetail::Message(message.clone())
        } else {
            FaultDetail::Fields(fault.fields.iter().map(FaultField::from).collect())
        };
        let error = match (trace::is_terse(), status) {
            // The one word of plan-b.md §1.1, whatever was wrong with the key; `code` says that.
            (true, StatusCode::UNAUTHORIZED) => UNAUTHORIZED.to_owned(),
            (true, _) => fault.code.to_owned(),
            (false, _) => message,
        };
        let body = FaultBody { error, detail, code: fault.code.to_owned(), request_id };
        let mut response = (status, Json(body)).into_response();
        if let Some(name) = proof_wanted(status) {
            response.headers_mut().insert(name, HeaderValue::from_static("Bearer"));
        }
        if let Some(pause) = fault.retry_after {
            // Whole seconds, rounded up: one who comes back a moment early is refused again.
            let seconds = pause.as_millis().div_ceil(1000);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
        }
        response
    }
}

/// What of a fault is told to whoever asked; it is logged under the request's id. For what does not end
/// an answer but comes within one: an event of a stream, a message of a socket.
pub fn told<'a>(fault: &'a Fault, request: &str) -> &'a str {
    note(fault, status_of(fault.kind), request);
    sentence(fault)
}

/// The sentence that is told of a fault: a cause never leaves the box.
pub fn sentence(fault: &Fault) -> &str {
    match fault.kind {
        Kind::Broken => "The box is at fault; its log tells more under this request's id.",
        _ => &fault.message,
    }
}

fn note(fault: &Fault, status: StatusCode, request: &str) {
    if fault.kind == Kind::Broken {
        tracing::error!(%request, code = fault.code, "{fault}");
    } else if status.is_server_error() || fault.cause.is_some() {
        tracing::warn!(%request, code = fault.code, "{fault}");
    }
}

fn proof_wanted(status: StatusCode) -> Option<HeaderName> {
    (status == StatusCode::UNAUTHORIZED).then_some(WWW_AUTHENTICATE)
}

/// The answer to a path that is not there.
pub fn no_such_route() -> WebFault {
    Fault::not_found("address").into()
}

/// The answer to a verb that a path does not know.
pub fn no_such_verb() -> WebFault {
    WebFault::with_status(
        StatusCode::METHOD_NOT_ALLOWED,
        Fault::invalid("method_not_allowed", "This address does not know this method."),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn shown(fault: Fault) -> (StatusCode, axum::http::HeaderMap, serde_json::Value) {
        let response = WebFault::from(fault).into_response();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_cause_never_leaves_the_box() {
        let (status, _, body) = shown(Fault::broken("reading keys", "secret path")).await;
        assert_eq!(status, 500);
        assert_eq!(body["code"], "internal");
        assert!(!body.to_string().contains("secret") && !body.to_string().contains("keys"));
    }

    #[tokio::test]
    async fn fields_are_listed_and_waits_are_named() {
        let (status, _, body) = shown(Fault::field("name", "missing", "Field required")).await;
        assert_eq!(status, 422);
        assert_eq!(
            body["detail"],
            serde_json::json!([{"type": "missing", "loc": ["body", "name"],
                                "msg": "Field required", "input": null}])
        );
        let (status, headers, _) =
            shown(Fault::busy("slow_down", "Later.", Duration::from_millis(1500))).await;
        assert_eq!((status.as_u16(), headers[RETRY_AFTER].to_str().unwrap()), (429, "2"));
        let (status, headers, _) = shown(Fault::unauthenticated()).await;
        assert_eq!((status.as_u16(), headers[WWW_AUTHENTICATE].to_str().unwrap()), (401, "Bearer"));
    }
}
