//! The first run's door.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::signing_in::{LoginAnswer, login_answer};
use crate::base::caller::Who;
use crate::base::clock::Moment;
use crate::domains::identity::Identity;
use crate::domains::identity::records::Way;
use crate::domains::identity::setup::SetUp;
use crate::domains::identity::signing_in::Credentials;
use crate::web::{Answer, Asker, Json, Peer, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new().routes(routes!(setup_state)).routes(routes!(set_up))
}

/// What a box says before anybody has signed in.
#[derive(Debug, Serialize, ToSchema)]
struct SetupState {
    /// Whether the box still has to be set up.
    needed: bool,
    /// The site's name; empty before the set-up.
    site: String,
    /// The language of its pages, `fr` or `en`.
    language: String,
    /// The colour of its header, `#rrggbb`.
    colour: String,
    /// The shortest password that may be chosen, characters.
    password_min: usize,
    /// The server's clock, to compare the browser's with.
    #[schema(value_type = String, format = DateTime)]
    server_time: Moment,
}

/// The colour of a site that has not chosen one.
pub(super) const COLOUR: &str = "#0f5e6b";

/// Says whether the box still has to be set up.
#[utoipa::path(get, path = "/setup/state", tag = "set-up", responses((status = 200, body = SetupState)))]
async fn setup_state(State(desk): State<Identity>) -> Answer<SetupState> {
    let state = run(move || {
        let site = desk.site()?;
        Ok(SetupState {
            needed: site.is_none(),
            language: site.as_ref().map_or_else(|| "fr".into(), |s| s.language.clone()),
            colour: site.as_ref().map_or_else(|| COLOUR.into(), |s| s.colour.clone()),
            site: site.map(|s| s.name).unwrap_or_default(),
            password_min: desk.settings.password_min,
            server_time: desk.clock.now(),
        })
    })
    .await?;
    Ok(Json(state))
}

/// The first run's answers.
#[derive(Debug, Deserialize, ToSchema)]
struct SetUpBody {
    /// The word of the one-time link; the console needs none.
    #[serde(default)]
    token: String,
    /// The site's name.
    site: String,
    /// `fr` or `en`.
    #[serde(default = "french")]
    language: String,
    /// An IANA time zone.
    #[serde(default = "paris")]
    time_zone: String,
    /// `#rrggbb`.
    #[serde(default = "colour")]
    colour: String,
    /// The first administrator's name.
    username: String,
    /// How the administrator is shown.
    #[serde(default)]
    display_name: String,
    /// The administrator's password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
}

fn french() -> String {
    "fr".into()
}
fn paris() -> String {
    "Europe/Paris".into()
}
fn colour() -> String {
    COLOUR.into()
}

/// Sets the box up, once, and signs its first administrator in.
#[utoipa::path(post, path = "/setup", tag = "set-up", request_body = SetUpBody,
    responses((status = 200, body = LoginAnswer), (status = 403, description = "`setup_token`"),
        (status = 409, description = "`setup_done`"), (status = 422, description = "Fields at fault")))]
async fn set_up(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
    Json(body): Json<SetUpBody>,
) -> Result<Response, WebFault> {
    let client = caller.agent.clone().unwrap_or_default();
    let signed_in = run(move || {
        let answers = SetUp {
            site: body.site.trim().to_owned(),
            language: body.language,
            time_zone: body.time_zone,
            colour: body.colour,
            username: body.username,
            display_name: body.display_name,
            password: body.password,
        };
        let user = desk.set_up(&caller, &body.token, answers)?;
        let shown = Credentials { client, ..Credentials::default() };
        let signed_in = desk.begin(&caller, user, &shown, Way::Password)?;
        if caller.who == Who::Console {
            // The command line goes on as the box's owner and leaves no session behind.
            desk.terminate(&caller, signed_in.session)?;
        }
        Ok(signed_in)
    })
    .await?;
    Ok(login_answer(signed_in, peer))
}
