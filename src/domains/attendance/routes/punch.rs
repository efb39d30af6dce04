//! Passes: handed to phones, taken at kiosks.

use utoipa_axum::router::OpenApiRouter;

use crate::domains::attendance::Attendance;

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
}
