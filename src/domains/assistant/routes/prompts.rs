//! The prompts' door.

use utoipa_axum::router::OpenApiRouter;

use super::super::prompts::Prompts;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Prompts> {
    OpenApiRouter::new()
}
