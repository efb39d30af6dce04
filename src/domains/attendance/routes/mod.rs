//! Attendance's door.

mod corrections;
mod devices;
mod expected;
mod joining;
mod kiosks;
mod lists;
mod months;
mod punch;
mod sheets;

use axum::http::HeaderMap;
use axum::http::header::HOST;
use utoipa_axum::router::OpenApiRouter;

use super::Attendance;
use crate::web::peer::Peer;

/// The routes of the attendance desk.
pub fn routes(desk: Attendance) -> OpenApiRouter {
    corrections::routes()
        .merge(devices::routes())
        .merge(expected::routes())
        .merge(joining::routes())
        .merge(kiosks::routes())
        .merge(lists::routes())
        .merge(months::routes())
        .merge(punch::routes())
        .merge(sheets::routes())
        .with_state(desk)
}

/// The address that set-up codes name: that of the settings, or the one that the request came to.
fn reached_at(
    desk: &Attendance,
    peer: Option<axum::Extension<Peer>>,
    headers: &HeaderMap,
) -> String {
    let told = desk.settings.api_url.trim_end_matches('/');
    if !told.is_empty() {
        return told.to_owned();
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if peer.is_some_and(|peer| peer.0.secure) { "https" } else { "http" };
    format!("{scheme}://{host}")
}
