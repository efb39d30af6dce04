//! Attendance's door.

mod devices;
mod joining;
mod kiosks;
mod lists;
mod office;
mod punch;
mod sheets;

use utoipa_axum::router::OpenApiRouter;

use super::Attendance;

/// The routes of the attendance desk.
pub fn routes(desk: Attendance) -> OpenApiRouter {
    devices::routes()
        .merge(joining::routes())
        .merge(kiosks::routes())
        .merge(lists::routes())
        .merge(office::routes())
        .merge(punch::routes())
        .merge(sheets::routes())
        .with_state(desk)
}
