//! The writer's door: whole answers, and a socket (assistant.md §3.4).

use utoipa_axum::router::OpenApiRouter;

use super::super::thinking::Thinking;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Thinking> {
    OpenApiRouter::new()
}
