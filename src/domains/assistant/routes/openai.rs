//! The door for clients that speak `OpenAI`'s protocol.

use utoipa_axum::router::OpenApiRouter;

use super::super::Assistant;
use super::super::thinking::Thinking;

/// The routes; `search` embeds.
pub(super) fn routes(_thinking: Thinking, _search: Assistant) -> OpenApiRouter {
    OpenApiRouter::new()
}
