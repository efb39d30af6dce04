//! The one socket `/ws`: who may sit at it, what they are told, and how it ends.

mod talk;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::UPGRADE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::router::Desks;
use crate::base::caller::{Caller, Right, Who};
use crate::base::fault::{Fault, Kind};
use crate::domains::identity::Identity;
use crate::domains::identity::live::Live;
use crate::store::{Deed, Store};
use crate::web::hub::{Event, Hub, Presence, Seat, To};
use crate::web::{Answer, Asker, Json, Query, WebFault, run};

/// The largest message a client may send, in bytes.
const MESSAGE_MAX: usize = 256 * 1024;
/// The largest frame of one.
const FRAME_MAX: usize = 64 * 1024;
/// Bytes that may wait in a socket's own buffer; beyond, the socket waits for its peer.
const UNSENT_MAX: usize = 1024 * 1024;
/// The longest announcement, in characters.
const ANNOUNCEMENT_MAX: usize = 2000;
/// Sockets that may be open without having said whose they are.
const STRANGERS_MAX: usize = 64;
/// When one that found no place should come back.
const COME_BACK: Duration = Duration::from_secs(10);
/// The headers that are shown on purpose: a bad one is refused, where an old cookie is no proof.
const MEANT: [&str; 2] = ["authorization", "x-api-key"];

/// How patient a socket is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often the box pings. Default 30 s.
    pub ping: Duration,
    /// How long a peer may be silent, pongs included. Default 90 s.
    pub silence: Duration,
    /// How long a stranger may take to say who it is. Default 10 s.
    pub greeting: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(90),
            greeting: Duration::from_secs(10),
        }
    }
}

/// What the socket's routes work with.
#[derive(Clone)]
pub struct Sockets {
    identity: Identity,
    live: Live,
    hub: Hub,
    store: Store,
    strangers: Arc<Semaphore>,
    pace: Pace,
}

/// Who comes in: somebody with a place, or a stranger who has to say who it is.
enum Guest {
    Seated(Seat),
    Stranger { as_nobody: Box<Caller>, _place: OwnedSemaphorePermit },
}

impl Sockets {
    /// The routes' state, from the box's desks.
    pub fn of(desks: &Desks, pace: Pace) -> Self {
        Self {
            identity: desks.identity.clone(),
            live: desks.live.clone(),
            hub: desks.hub.clone(),
            store: desks.system.store.clone(),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            pace,
        }
    }

    /// Writes to everybody who is connected but the client that says it.
    ///
    /// # Errors
    /// `right_missing` without the right to, `validation` for an empty or too long message.
    fn announce(&self, caller: &Caller, client: u64, message: &str) -> Result<(), Fault> {
        caller.require(Right::SendAnnouncements)?;
        let message = message.trim();
        if message.is_empty() || message.chars().count() > ANNOUNCEMENT_MAX {
            let words = format!("A message has 1 to {ANNOUNCEMENT_MAX} characters.");
            return Err(Fault::field("message", "string_length", words));
        }
        let data = json!({"from": caller.name(), "message": message});
        let (who, said) = (caller.clone(), data.clone());
        self.store.write(move |tx| {
            tx.journal(&who, Deed::new("announcement.send", "everyone").after(&said))
        })?;
        self.hub.publish(&Event::new("user_message", data).to(To::Others(client)));
        Ok(())
    }

    fn seat(&self, caller: &Caller) -> Result<Seat, Fault> {
        caller.not_held()?;
        self.hub.join(self.live.enter(caller)?)
    }

    /// Who a token stands for.
    async fn recognised(&self, as_nobody: Caller, token: String) -> Result<Caller, WebFault> {
        let identity = self.identity.clone();
        run(move || identity.recognise_token_or_key(as_nobody, &token)).await
    }

    /// Lets a guest in by the token in the address, else by what the request's headers have proved.
    async fn admitted(
        &self,
        caller: Caller,
        token: Option<String>,
        headers: &HeaderMap,
    ) -> Result<Guest, WebFault> {
        let as_nobody = Caller {
            agent: caller.agent.clone(),
            ..Caller::nobody(caller.address, caller.request.clone())
        };
        let caller = match token.filter(|token| !token.is_empty()) {
            Some(token) => self.recognised(as_nobody.clone(), token).await?,
            None => caller,
        };
        if caller.who != Who::Nobody {
            return Ok(Guest::Seated(self.seat(&caller)?));
        }
        if MEANT.iter().any(|name| headers.contains_key(*name)) {
            return Err(caller.unauthenticated().into());
        }
        let place = self.strangers.clone().try_acquire_owned().map_err(|_| crowded())?;
        Ok(Guest::Stranger { as_nobody: Box::new(as_nobody), _place: place })
    }
}

fn crowded() -> Fault {
    Fault::new(Kind::Busy, "too_many_sockets", "Too many sockets wait to say whose they are.")
        .retry_after(COME_BACK)
}

/// The routes of the socket.
pub fn routes(sockets: Sockets) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(open)).routes(routes!(socket_status)).with_state(sockets)
}

/// How a socket may be opened.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// An access token, for clients that can send no header.
    token: Option<String>,
}

/// Opens the socket of live events: `data_changed`, `user_connected`, `user_message`, and the topics
/// that a client subscribes to. Without `token`, header or cookie the first message has to be
/// `{"type": "authenticate", "token": "…"}`.
#[utoipa::path(get, path = "/ws", tag = "socket", params(Asked),
    responses((status = 101, description = "The socket is open"),
        (status = 401, description = "The token is not good; the code says why"),
        (status = 403, description = "`cross_site`, or something has to be done first"),
        (status = 426, description = "`upgrade_required`: this address speaks WebSocket alone"),
        (status = 429, description = "`too_many_sockets`")))]
async fn open(
    State(sockets): State<Sockets>,
    Asker(caller): Asker,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, WebFault> {
    let Ok(upgrade) = upgrade else { return Ok(upgrade_required()) };
    let guest = sockets.admitted(caller, asked.token, &headers).await?;
    let upgrade = upgrade
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(FRAME_MAX)
        .max_write_buffer_size(UNSENT_MAX);
    Ok(upgrade.on_upgrade(move |socket| sockets.serve(socket, guest)))
}

fn upgrade_required() -> Response {
    let fault = Fault::invalid("upgrade_required", "This address speaks WebSocket alone.");
    let mut response = WebFault::with_status(StatusCode::UPGRADE_REQUIRED, fault).into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Who is connected.
#[derive(Debug, Serialize, ToSchema)]
struct StatusAnswer {
    /// Open sockets.
    connected_clients: usize,
    /// Users who have one.
    connected_users: usize,
    /// Each of them.
    users: Vec<Presence>,
}

/// Says who is connected to the socket of live events.
#[utoipa::path(get, path = "/ws/status", tag = "socket",
    responses((status = 200, body = StatusAnswer), (status = 401, description = "Nobody is signed in"),
        (status = 403, description = "`right_missing`")))]
async fn socket_status(
    State(sockets): State<Sockets>,
    Asker(caller): Asker,
) -> Answer<StatusAnswer> {
    caller.require(Right::ViewSauron)?;
    let users = sockets.hub.present(&caller);
    Ok(Json(StatusAnswer {
        connected_clients: sockets.hub.count(),
        connected_users: users.len(),
        users,
    }))
}
