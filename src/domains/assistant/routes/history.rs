//! The history's door.

use utoipa_axum::router::OpenApiRouter;

use super::super::thinking::Thinking;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Thinking> {
    OpenApiRouter::new()
}
