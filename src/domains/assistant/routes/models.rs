//! The models' door.

use utoipa_axum::router::OpenApiRouter;

use super::super::models::Models;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Models> {
    OpenApiRouter::new()
}
