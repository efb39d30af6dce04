//! What is asked of punches: lists, the dashboard's counts, reports.

use utoipa_axum::router::OpenApiRouter;

use crate::domains::attendance::Attendance;

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
}
