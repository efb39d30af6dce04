//! The office: who is here, corrections, what waits for a hand.

use utoipa_axum::router::OpenApiRouter;

use crate::domains::attendance::Attendance;

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
}
