//! The identity door: set-up, signing in and out, users; and the layer that recognises a caller.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::records::User;
use super::users::{Draft, Edit};
use super::{Credentials, Identity, SetUp, SignedIn};
use crate::base::caller::{Caller, Door, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::web::recognition::Recognised;
use crate::web::{Answer, Asker, Json, Path, Peer, WebFault, run};

/// The cookie a browser signs requests with.
const COOKIE_NAME: &str = "access_token";
/// The header that proves an unsafe cookie request was meant.
const CSRF_HEADER: &str = "x-csrf-token";

/// The routes of the identity desk.
pub fn routes(desk: Identity) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(setup_state))
        .routes(routes!(set_up))
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(me))
        .routes(routes!(list_users, add_user))
        .routes(routes!(edit_user))
        .with_state(desk)
}

/// Recognises the caller of a request: bearer first, then the cookie; an unsafe cookie request must
/// show its session's word. A proof that is not good makes the caller nobody, so that open routes
/// still answer. None when no proof is shown.
pub fn recognise(desk: &Identity, request: &Request) -> Option<Recognised> {
    let headers = request.headers();
    let (token, door) = bearer(headers)
        .map(|token| (token, Door::Bearer))
        .or_else(|| cookie(headers, COOKIE_NAME).map(|token| (token, Door::Cookie)))?;
    let word = headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let safe = request.method().is_safe();
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let desk = desk.clone();
    Some(Box::pin(run(move || {
        let nobody = Caller::nobody(peer.address, "");
        match desk.recognise(nobody.clone(), &token, door) {
            Ok(caller) if safe => Ok(caller),
            Ok(caller) => desk.check_csrf(&caller, word.as_deref()).map(|()| caller),
            Err(fault) if fault.kind == crate::base::fault::Kind::Unauthenticated => Ok(nobody),
            Err(fault) => Err(fault),
        }
    })))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| {
            pair.trim().split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v.to_owned())
        })
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
    /// The server's clock, to compare the browser's with.
    #[schema(value_type = String, format = DateTime)]
    server_time: Moment,
}

/// The colour of a site that has not chosen one.
const COLOUR: &str = "#0f5e6b";

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
    headers: HeaderMap,
    Json(body): Json<SetUpBody>,
) -> Result<Response, WebFault> {
    let client = client_of(&headers);
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
        desk.begin(&caller, user, &Credentials { client, ..Credentials::default() })
    })
    .await?;
    Ok(login_answer(&signed_in, peer))
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
struct LoginAnswer {
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

/// A user as clients see one.
#[derive(Debug, Serialize, ToSchema)]
struct UserAnswer {
    /// The integer this site knows the user by.
    id: u64,
    /// The name of record.
    #[schema(value_type = String, format = Uuid)]
    uuid: Id,
    /// The name to sign in with.
    username: String,
    /// How it is shown.
    display_name: String,
    /// The e-mail address, or nothing.
    email: String,
    /// The role's name.
    role: String,
    /// Whether it may do everything.
    is_system_admin: bool,
    /// Whether it may sign in.
    is_active: bool,
    /// Every permission by name.
    permissions: BTreeMap<&'static str, bool>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
}

impl From<User> for UserAnswer {
    fn from(user: User) -> Self {
        let rights = Identity::permissions(&user);
        Self {
            id: user.number,
            uuid: user.id,
            username: user.username,
            display_name: user.display_name,
            email: user.email,
            role: user.role,
            is_system_admin: user.is_system_admin,
            is_active: user.active,
            permissions: Right::ALL
                .iter()
                .map(|right| (right.name(), rights.holds(*right)))
                .collect(),
            created_at: user.created_at,
        }
    }
}

fn client_of(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

fn login_answer(signed_in: &SignedIn, peer: Peer) -> Response {
    let body = LoginAnswer {
        access_token: signed_in.token.clone(),
        token_type: "bearer",
        token: signed_in.token.clone(),
        expires_at: signed_in.expires_at,
        csrf_token: signed_in.csrf.clone(),
        session_id: signed_in.session,
        must_change_password: signed_in.user.must_change_password,
        user: signed_in.user.clone().into(),
    };
    let mut response = Json(body).into_response();
    set_cookie(&mut response, &signed_in.token, peer, None);
    response
}

fn set_cookie(response: &mut Response, token: &str, peer: Peer, age: Option<u32>) {
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
        (status = 403, description = "`account_disabled`"), (status = 429, description = "`too_many_attempts`")))]
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
    let caller =
        Caller { who: crate::base::caller::Who::Nobody, session: None, door: Door::Open, ..caller };
    let shown = Credentials { name, password: body.password, hostname: body.hostname, client };
    let signed_in = run(move || desk.login(&caller, &shown)).await?;
    Ok(login_answer(&signed_in, peer))
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
    /// The site's name.
    site: String,
    /// The language of the user's pages.
    language: String,
    /// The colour of the site's header.
    colour: String,
}

/// Says who is signed in.
#[utoipa::path(get, path = "/auth/me", tag = "identity",
    responses((status = 200, body = MeAnswer), (status = 401, description = "Nobody is signed in")))]
async fn me(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<MeAnswer> {
    let answer = run(move || {
        let user = desk.me(&caller)?;
        let site = desk.site()?;
        let csrf_token = match caller.session.filter(|_| caller.door == Door::Cookie) {
            Some(session) => Some(desk.csrf(session)?),
            None => None,
        };
        let of_site = site.as_ref().map_or_else(|| "fr".to_owned(), |s| s.language.clone());
        Ok(MeAnswer {
            csrf_token,
            language: if user.language.is_empty() { of_site } else { user.language.clone() },
            colour: site.as_ref().map_or_else(|| COLOUR.into(), |s| s.colour.clone()),
            site: site.map(|s| s.name).unwrap_or_default(),
            user: user.into(),
        })
    })
    .await?;
    Ok(Json(answer))
}

/// Lists the users.
#[utoipa::path(get, path = "/admin/users", tag = "identity",
    responses((status = 200, body = Vec<UserAnswer>), (status = 403, description = "`right_missing`")))]
async fn list_users(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<Vec<UserAnswer>> {
    let users = run(move || desk.list_users(&caller)).await?;
    Ok(Json(users.into_iter().map(UserAnswer::from).collect()))
}

/// A user to be.
#[derive(Debug, Deserialize, ToSchema)]
struct AddUserBody {
    /// The name to sign in with.
    username: String,
    /// How it is shown; the username when empty.
    #[serde(default)]
    display_name: String,
    /// An e-mail address, or nothing.
    #[serde(default)]
    email: String,
    /// The role's name.
    #[serde(default = "viewer")]
    role: String,
    /// The first password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
    /// Whether it must be changed at the first sign-in.
    #[serde(default)]
    must_change_password: bool,
}

fn viewer() -> String {
    "viewer".into()
}

/// Adds a user.
#[utoipa::path(post, path = "/admin/users", tag = "identity", request_body = AddUserBody,
    responses((status = 201, body = UserAnswer), (status = 409, description = "`user_exists`"),
        (status = 422, description = "Fields at fault")))]
async fn add_user(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<AddUserBody>,
) -> Result<(StatusCode, Json<UserAnswer>), WebFault> {
    let draft = Draft {
        username: body.username,
        email: body.email,
        display_name: body.display_name,
        role: body.role,
        is_system_admin: false,
        language: String::new(),
        password: body.password,
        must_change_password: body.must_change_password,
    };
    let user = run(move || desk.add_user(&caller, draft)).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// What to change of a user; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct EditUserBody {
    /// How it is shown.
    display_name: Option<String>,
    /// The role's name.
    role: Option<String>,
    /// Whether it may sign in; false ends its sessions.
    is_active: Option<bool>,
    /// A new password; it ends the user's sessions.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Zeroizing<String>>,
}

/// Changes a user.
#[utoipa::path(put, path = "/admin/users/{id}", tag = "identity", request_body = EditUserBody,
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = UserAnswer), (status = 404, description = "`not_found`"),
        (status = 409, description = "`last_admin`")))]
async fn edit_user(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Json(body): Json<EditUserBody>,
) -> Answer<UserAnswer> {
    let edit = Edit {
        display_name: body.display_name,
        role: body.role,
        active: body.is_active,
        password: body.password,
    };
    let user = run(move || desk.edit_user(&caller, number, edit)).await?;
    Ok(Json(user.into()))
}
