//! The door for clients that speak `OpenAI`'s protocol.
//!
//! Faults wear the house's one body: the clients read their class from the status, and their sentence
//! from the body whatever it is. What goes wrong within a stream is told in `OpenAI`'s own shape, since
//! there is no status any more.

mod asked;
mod chat;
mod completions;
mod embeddings;
mod models;
mod stream;

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

/// A fault on its way to such a client.
struct Refused(WebFault);

impl<F: Into<WebFault>> From<F> for Refused {
    fn from(fault: F) -> Self {
        Self(fault.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let hopeless = HOPELESS.contains(&self.0.fault().code);
        let mut response = self.0.into_response();
        if hopeless {
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }
}

impl Desk {
    /// A name for an answer, and the second it is made in.
    fn named(&self, kind: &str) -> Made {
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
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
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

    #[test]
    fn what_was_cut_short_does_not_look_whole() {
        assert_eq!(finish_reason(Some(Reason::Stop)).ok(), Some("stop"));
        assert_eq!(finish_reason(Some(Reason::Length)).ok(), Some("length"));
        assert!(finish_reason(Some(Reason::Cancelled)).is_err() && finish_reason(None).is_err());
    }
}
