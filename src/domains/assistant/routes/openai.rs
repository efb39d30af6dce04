//! The door for clients that speak `OpenAI`'s protocol.
//!
//! Faults wear the house's body with one difference: `error` is an object, since the official clients
//! show a person `error.message` and nothing else.

mod asked;
mod chat;
mod completions;
mod embeddings;
mod models;
mod stream;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use super::super::Assistant;
use super::super::generation::{Ask, Stream};
use super::super::records::talk::Purpose;
use super::super::thinking::Thinking;
use super::Lines;
use crate::base::caller::Caller;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::engines::generation::{Reason, Usage};
use crate::web::WebFault;
use crate::web::ends::Watch;
use crate::web::fault::{FaultDetail, FaultField, sentence};
use crate::web::trace;

/// The name under which every model may be asked for, for clients that have to name one.
const ANY_MODEL: &str = "default";
/// The clients ask again by themselves after a 503, unless this says that it is no use.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Faults that do not go away by waiting.
const HOPELESS: [&str; 1] = ["model_missing"];

/// What the routes work with.
#[derive(Clone)]
struct Desk {
    thinking: Thinking,
    search: Assistant,
    watch: Watch,
}

/// The routes; `search` embeds.
pub(super) fn routes(thinking: Thinking, search: Assistant, lines: Lines) -> OpenApiRouter {
    let desk = Desk { thinking, search, watch: lines.watch };
    OpenApiRouter::new()
        .merge(models::routes())
        .merge(chat::routes())
        .merge(completions::routes())
        .merge(embeddings::routes())
        .with_state(desk)
}

/// A fault as such clients read it.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct OpenaiError {
    /// What went wrong, as a sentence in English.
    message: String,
    /// The sort of fault, for instance `invalid_request_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The first field at fault.
    param: Option<String>,
    /// A stable word in `snake_case`.
    code: &'static str,
}

impl OpenaiError {
    fn of(fault: &Fault) -> Self {
        let kind = match fault.kind {
            Kind::Unauthenticated => "authentication_error",
            Kind::Forbidden => "permission_error",
            Kind::Busy => "rate_limit_error",
            Kind::Unavailable | Kind::Full | Kind::Broken => "server_error",
            _ => "invalid_request_error",
        };
        let param = fault.fields.first().map(|field| {
            let steps = field.place.iter().skip_while(|step| *step == "body");
            steps.map(String::as_str).collect::<Vec<_>>().join(".")
        });
        Self { message: sentence(fault).to_owned(), kind, param, code: fault.code }
    }
}

/// The body of a refusal, and of the event that breaks a stream off: what such clients read, beside
/// what the box says everywhere.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct OpenaiFaultBody {
    /// What went wrong, as such clients read it.
    error: OpenaiError,
    /// The same sentence, or on 422 the list of fields at fault.
    detail: FaultDetail,
    /// A stable word in `snake_case`.
    code: &'static str,
    /// The request's id, as in the logs.
    request_id: String,
}

impl OpenaiFaultBody {
    fn of(fault: &Fault, request: &str) -> Self {
        let error = OpenaiError::of(fault);
        let detail = FaultDetail::Message(error.message.clone());
        Self { error, detail, code: fault.code, request_id: request.to_owned() }
    }
}

/// A fault on its way to such a client.
struct Refused(WebFault);

impl<F: Into<WebFault>> From<F> for Refused {
    fn from(fault: F) -> Self {
        Self(fault.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let fault = self.0.fault();
        let hopeless = HOPELESS.contains(&fault.code);
        let mut body = OpenaiFaultBody::of(fault, &trace::id());
        if !fault.fields.is_empty() {
            body.detail = FaultDetail::Fields(fault.fields.iter().map(FaultField::from).collect());
        }
        let mut response = self.0.into_response();
        if let Ok(bytes) = serde_json::to_vec(&body) {
            *response.body_mut() = Body::from(bytes);
        }
        if hopeless {
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }
}

impl Desk {
    /// A name for an answer, and the second it is made in.
    fn made(&self, kind: &str) -> Made {
        let now = self.search.clock.now();
        let id: String = Id::new(now).to_string().split('-').collect();
        Made { id: format!("{kind}-{id}"), created: now.0.div_euclid(1000) }
    }

    /// Has the model that a request names write.
    fn write(&self, caller: &Caller, wished: Option<&str>, ask: Ask) -> Result<Stream, Fault> {
        self.knows(caller, wished)?;
        self.thinking.generation.write(caller, ask)
    }

    /// Whether what writes goes by that name. Without a writer every name is as good: what is wrong is
    /// that there is none.
    fn knows(&self, caller: &Caller, wished: Option<&str>) -> Result<(), Fault> {
        let Some(wished) = wished.filter(|name| !name.is_empty() && *name != ANY_MODEL) else {
            return Ok(());
        };
        let Some(writer) = self.thinking.generation.status(caller)?.model else { return Ok(()) };
        let chosen = self.thinking.models.chosen(Purpose::Language)?;
        if wished == writer || chosen.is_some_and(|model| model.name == wished) {
            return Ok(());
        }
        Err(model_unknown(wished, &format!("the box writes with '{writer}'")))
    }
}

/// An answer's name and its second.
#[derive(Debug, Clone)]
struct Made {
    id: String,
    /// Seconds since 1970.
    created: i64,
}

/// What an answer cost, as such clients count.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct OpenaiUsage {
    /// Tokens of the prompt.
    prompt_tokens: usize,
    /// Tokens written.
    completion_tokens: usize,
    /// Both.
    total_tokens: usize,
    /// More about the prompt.
    prompt_tokens_details: OpenaiPromptDetails,
}

/// More about a prompt's tokens.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct OpenaiPromptDetails {
    /// Those that were still in memory.
    cached_tokens: usize,
}

impl From<Usage> for OpenaiUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            prompt_tokens_details: OpenaiPromptDetails { cached_tokens: usage.reused_tokens },
        }
    }
}

/// Why an answer ended, in the two words that such clients know.
///
/// # Errors
/// `shutting_down` when it was cut short by the box: it must not look whole.
fn finish_reason(reason: Option<Reason>) -> Result<&'static str, Fault> {
    match reason {
        Some(Reason::Stop) => Ok("stop"),
        Some(Reason::Length) => Ok("length"),
        Some(Reason::Cancelled) | None => {
            Err(Fault::unavailable("shutting_down", "The box stopped writing; ask again later."))
        }
    }
}

fn model_unknown(wished: &str, instead: &str) -> Fault {
    let shown: String = wished.chars().take(100).collect();
    let words = format!("There is no model '{shown}' here: {instead}.");
    Fault::new(Kind::NotFound, "model_unknown", words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_cannot_mend_is_not_asked_for_again() {
        let refused = |fault: Fault| Refused::from(fault).into_response();
        let missing = refused(Fault::unavailable("model_missing", "x"));
        assert_eq!(missing.headers()[SHOULD_RETRY], "false");
        let failed = refused(Fault::unavailable("generation_failed", "x"));
        assert!(!failed.headers().contains_key(SHOULD_RETRY));
    }

    #[tokio::test]
    async fn a_refusal_says_its_sentence_where_the_clients_look() {
        let response = Refused::from(Fault::field("n", "value_error", "Too many.")).into_response();
        assert_eq!(response.headers()["content-type"], "application/json");
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let error = serde_json::json!({"message": "Too many.", "type": "invalid_request_error",
            "param": "n", "code": "validation"});
        assert_eq!((&body["error"], &body["code"]), (&error, &error["code"]));
        assert_eq!(body["detail"][0]["loc"], serde_json::json!(["body", "n"]));
    }

    #[test]
    fn counts_beyond_measure_are_added_all_the_same() {
        let usage = Usage { prompt_tokens: usize::MAX, completion_tokens: 2, ..Usage::default() };
        assert_eq!(OpenaiUsage::from(usage).total_tokens, usize::MAX);
    }

    #[test]
    fn what_was_cut_short_does_not_look_whole() {
        assert_eq!(finish_reason(Some(Reason::Stop)).ok(), Some("stop"));
        assert_eq!(finish_reason(Some(Reason::Length)).ok(), Some("length"));
        assert!(finish_reason(Some(Reason::Cancelled)).is_err() && finish_reason(None).is_err());
    }
}
