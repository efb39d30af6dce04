//! Kiosks: their list, who may punch at them, their keys, and what they say of themselves.

use utoipa_axum::router::OpenApiRouter;

use crate::domains::attendance::Attendance;

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
}
