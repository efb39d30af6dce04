//! The door of one's own account: signing in and out, and who one is.

use axum::extract::State;
use axum::http::header::{SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::COOKIE_NAME;
use super::setup::COLOUR;
use super::users::UserAnswer;
use crate::base::caller::{Caller, Door, Hold, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::signing_in::{Credentials, SignedIn};
use crate::domains::identity::users::{Edit, Listed};
use crate::web::{Answer, Asker, Json, Peer, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(logout)).routes(routes!(me, edit_me))
}

/// A name in any of the fields that the five systems' clients send, and a password.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct LoginBody {
    /// The username.
    #[schema(required = false)]
    username: String,
    /// The same, as the assistant's clients call it.
    #[schema(required = false)]
    user: String,
    /// The same, as Chrona's clients call it.
    #[schema(required = false)]
    email: String,
    /// The password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
    /// The workstation.
    #[schema(required = false)]
    hostname: String,
}

/// Everything that any client reads from a sign-in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoginAnswer {
    /// The signed token, for `Authorization: Bearer`.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// The same token, as some clients call it.
    token: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// The word for `X-CSRF-Token` on unsafe cookie requests.
    csrf_token: String,
    /// The session.
    #[schema(value_type = String, format = Uuid)]
    session_id: Id,
    /// Whether the user has to choose a new password.
    must_change_password: bool,
    /// The user.
    user: UserAnswer,
}

pub(super) fn client_of(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

pub(super) fn login_answer(signed_in: SignedIn, peer: Peer) -> Response {
    let body = LoginAnswer {
        access_token: signed_in.token.clone(),
        token_type: "bearer",
        token: signed_in.token.clone(),
        expires_at: signed_in.expires_at,
        csrf_token: signed_in.csrf.clone(),
        session_id: signed_in.session,
        must_change_password: signed_in.user.user.must_change_password,
        user: signed_in.user.into(),
    };
    let mut response = Json(body).into_response();
    set_cookie(&mut response, &signed_in.token, peer, None);
    response
}

pub(super) fn set_cookie(response: &mut Response, token: &str, peer: Peer, age: Option<u32>) {
    let secure = if peer.secure { "; Secure" } else { "" };
    let age = age.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let cookie = format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Signs in with a name and a password; answers every client's fields at once and sets the cookie.
#[utoipa::path(post, path = "/auth/login", tag = "identity", request_body = LoginBody,
    responses((status = 200, body = LoginAnswer), (status = 401, description = "`bad_credentials`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn login(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
    headers: HeaderMap,
    Json(body): Json<LoginBody>,
) -> Result<Response, WebFault> {
    let client = client_of(&headers);
    let name = [body.username, body.user, body.email].into_iter().find(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(Fault::field("username", "missing", "'username' is missing.").into());
    };
    // Whoever signs in is nobody yet, whatever an old cookie says.
    let caller = Caller { who: Who::Nobody, session: None, key: None, door: Door::Open, ..caller };
    let shown = Credentials { name, password: body.password, hostname: body.hostname, client };
    let signed_in = run(move || desk.login(&caller, &shown)).await?;
    Ok(login_answer(signed_in, peer))
}

/// What signing out answers.
#[derive(Debug, Serialize, ToSchema)]
struct LogoutAnswer {
    /// Always `ok`.
    status: &'static str,
    /// Always true.
    success: bool,
    /// A sentence.
    message: &'static str,
}

/// Ends the session that the request shows, at once and everywhere.
#[utoipa::path(post, path = "/auth/logout", tag = "identity",
    responses((status = 200, body = LogoutAnswer), (status = 401, description = "Nobody is signed in")))]
async fn logout(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
) -> Result<Response, WebFault> {
    run(move || desk.logout(&caller)).await?;
    let answer = LogoutAnswer { status: "ok", success: true, message: "Déconnexion réussie" };
    let mut response = Json(answer).into_response();
    set_cookie(&mut response, "", peer, Some(0));
    Ok(response)
}

/// The signed-in user, and what a page needs after a reload.
#[derive(Debug, Serialize, ToSchema)]
struct MeAnswer {
    /// The user.
    #[serde(flatten)]
    user: UserAnswer,
    /// The word for `X-CSRF-Token`; none for a bearer.
    csrf_token: Option<String>,
    /// The session; none for an API key.
    #[schema(value_type = Option<String>, format = Uuid)]
    session_id: Option<Id>,
    /// What has to be done before anything else: `change_password`, `enrol_second_factor`, or nothing.
    hold: Option<&'static str>,
    /// Until when the password counts as fresh (step-up).
    #[schema(value_type = Option<String>, format = DateTime)]
    fresh_until: Option<Moment>,
    /// The site's name.
    site: String,
    /// The language of the user's pages.
    language: String,
    /// The colour of the site's header.
    colour: String,
}

impl MeAnswer {
    fn of(desk: &Identity, caller: &Caller, listed: Listed) -> Result<Self, Fault> {
        let site = desk.site()?;
        let csrf_token = match caller.session.filter(|_| caller.door == Door::Cookie) {
            Some(session) => Some(desk.csrf(session)?),
            None => None,
        };
        let of_site = site.as_ref().map_or_else(|| "fr".to_owned(), |s| s.language.clone());
        let own = listed.user.language.clone();
        Ok(Self {
            csrf_token,
            session_id: caller.session,
            hold: caller.hold.map(|hold| match hold {
                Hold::ChangePassword => "change_password",
                Hold::EnrolSecondFactor => "enrol_second_factor",
            }),
            fresh_until: caller.fresh_until,
            language: if own.is_empty() { of_site } else { own },
            colour: site.as_ref().map_or_else(|| COLOUR.into(), |s| s.colour.clone()),
            site: site.map(|s| s.name).unwrap_or_default(),
            user: listed.into(),
        })
    }
}

/// Says who is signed in.
#[utoipa::path(get, path = "/auth/me", tag = "identity",
    responses((status = 200, body = MeAnswer), (status = 401, description = "Nobody is signed in")))]
async fn me(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<MeAnswer> {
    let answer = run(move || {
        let listed = desk.listed(desk.me(&caller)?)?;
        MeAnswer::of(&desk, &caller, listed)
    })
    .await?;
    Ok(Json(answer))
}

/// What to change of oneself; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct EditMeBody {
    /// How one is shown.
    display_name: Option<String>,
    /// The e-mail address; empty takes it away.
    email: Option<String>,
    /// The language of one's pages, `fr` or `en`; empty for the site's.
    language: Option<String>,
}

/// Changes what one may change of oneself.
#[utoipa::path(put, path = "/auth/me", tag = "identity", request_body = EditMeBody,
    responses((status = 200, body = MeAnswer), (status = 403, description = "`session_required`"),
        (status = 409, description = "`user_exists`"), (status = 422, description = "Fields at fault")))]
async fn edit_me(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<EditMeBody>,
) -> Answer<MeAnswer> {
    let edit = Edit {
        display_name: body.display_name,
        email: body.email,
        language: body.language,
        ..Edit::default()
    };
    let answer = run(move || {
        let listed = desk.edit_me(&caller, edit)?;
        MeAnswer::of(&desk, &caller, listed)
    })
    .await?;
    Ok(Json(answer))
}
