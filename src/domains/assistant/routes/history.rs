//! The history's door.

use utoipa_axum::router::OpenApiRouter;

use super::super::history::History;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<History> {
    OpenApiRouter::new()
}
