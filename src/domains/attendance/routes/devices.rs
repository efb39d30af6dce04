//! Phones: registering them, seeing and revoking one's own, and everybody's.

use utoipa_axum::router::OpenApiRouter;

use crate::domains::attendance::Attendance;

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
}
