//! Plan B's door: the recogniser of its client, who may come near, and the routes.

mod entries;
mod given;
mod pages;
pub mod seed;
pub mod shapes;
mod visit;

use std::future::ready;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Continuity;
use crate::base::caller::{Caller, Who};
use crate::base::fault::{Fault, Kind};
use crate::web::recognition::Recognised;
use crate::web::{Json, Peer, WebFault, limits};
pub use pages::{away, marked, returned, standing_routes, unknown};
use shapes::PlanbHealth;
pub use visit::recognise_all;

/// First parts of Plan B's paths, whose faults say their code in `error` (plan-b.md §1.1).
pub const TERSE: &[&str] = &["status", "role", "token", "crypto", "packet", "tcp", "ping"];
/// The header of the key (plan-b.md §1.1).
const KEY_HEADER: &str = "x-api-key";
/// What whoever shows no good key is told.
const NO_GOOD_KEY: &str = "The key in X-API-Key is missing or not valid.";
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;
/// What a body may have besides its message: names of members, other data.
const BESIDES: u64 = 64 * 1024;

/// Recognises Plan B's client by its key; none for everybody else, so that others may be asked. From other
/// machines its keys are taken only where the settings say so.
pub fn recognise(desk: &Continuity, request: &Request) -> Option<Recognised> {
    let shown = request.headers().get(KEY_HEADER)?.to_str().ok()?;
    let peer = peer_of(request);
    if !desk.lets_in(peer.address) {
        return None;
    }
    let caller = desk.recognise(Caller::nobody(peer.address, ""), shown.trim())?;
    Some(Box::pin(ready(Ok(caller))))
}

/// Every route of the seed's interface but `/health`: on the main server, whose recognisers lie around it,
/// and in Plan B's own process, where [`recognise`] alone does.
pub fn api(desk: Continuity) -> OpenApiRouter {
    // Four characters of base64 stand for three bytes.
    let message = desk.settings().message_max_mib.saturating_mul(MIB);
    let bytes = (message / 3 + 1).saturating_mul(4).saturating_add(BESIDES);
    OpenApiRouter::new()
        .merge(seed::routes())
        .layer(limits::body(usize::try_from(bytes).unwrap_or(usize::MAX)))
        .layer(middleware::from_fn_with_state(desk.clone(), let_in))
        .with_state(desk)
}

/// `/health` of Plan B's own process, which has no other.
pub fn health() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(planb_health))
}

/// Tells that Plan B answers. Everybody may ask.
#[utoipa::path(get, path = "/health", tag = "planb", responses((status = 200, body = PlanbHealth)))]
async fn planb_health() -> Json<PlanbHealth> {
    Json(PlanbHealth { status: "ok" })
}

/// Turns strangers away before anything of their body is read, and late those who try keys.
async fn let_in(State(desk): State<Continuity>, request: Request, next: Next) -> Response {
    let peer = peer_of(&request);
    if !desk.lets_in(peer.address) {
        return WebFault::from(loopback_only()).into_response();
    }
    let known = request.extensions().get::<Caller>();
    if known.is_some_and(|caller| caller.who != Who::Nobody) || (known.is_none() && peer.console) {
        return next.run(request).await;
    }
    let refused =
        known.and_then(|caller| caller.refusal.clone()).map_or_else(no_good_key, Fault::from);
    let guessed = request.headers().contains_key(KEY_HEADER);
    drop(request);
    let fault = if guessed { refuse_late(&desk, peer, refused).await } else { refused };
    WebFault::from(fault).into_response()
}

async fn refuse_late(desk: &Continuity, peer: Peer, refused: Fault) -> Fault {
    match desk.wrong_key(peer.address) {
        Ok(late) => late.wait().await,
        Err(busy) => return busy,
    }
    // Whoever shows the right key of a file that is damaged looks for the fault elsewhere for long.
    desk.look_at_key().err().unwrap_or(refused)
}

fn peer_of(request: &Request) -> Peer {
    request.extensions().get::<Peer>().copied().unwrap_or_default()
}

/// What is said of a key to whoever shows none, or none that is good.
fn no_good_key() -> Fault {
    Fault::new(Kind::Unauthenticated, "unauthenticated", NO_GOOD_KEY)
}

fn loopback_only() -> Fault {
    Fault::forbidden(
        "loopback_only",
        "Plan B's interface answers programs of this machine only (setting continuity.lan).",
    )
}
