//! The doors of signing in, each in the shape its own clients know; behind all of them is one verb.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::COOKIE_NAME;
use super::users::{UserAnswer, UserInfo};
use crate::base::caller::{Caller, Hold};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::signing_in::{Credentials, SignedIn};
use crate::web::{Answer, Asker, Json, Peer, Urlencoded, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(login_for_krown))
        .routes(routes!(token))
}

/// A name in any of the fields that the five systems' clients send, and a password.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct LoginBody {
    /// The username.
    username: Option<String>,
    /// The same, as the assistant's clients call it.
    user: Option<String>,
    /// The same, as Chrona's clients call it.
    email: Option<String>,
    /// The password; left out by a workstation that needs none.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Zeroizing<String>>,
    /// A code of the phone, or a recovery code, where the user has a second factor.
    #[schema(value_type = Option<String>)]
    code: Option<Zeroizing<String>>,
    /// The workstation.
    hostname: Option<String>,
}

impl LoginBody {
    fn credentials(self, caller: &Caller) -> Result<Credentials, Fault> {
        let names = [self.username, self.user, self.email].into_iter().flatten();
        let name = names.into_iter().find(|name| !name.trim().is_empty());
        let name =
            name.ok_or_else(|| Fault::field("username", "missing", "'username' is missing."))?;
        Ok(Credentials {
            name,
            password: self.password.unwrap_or_default(),
            code: self.code.unwrap_or_default(),
            hostname: self.hostname.unwrap_or_default(),
            client: caller.agent.clone().unwrap_or_default(),
        })
    }
}

/// What every client reads from a sign-in, but for the user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedAnswer {
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
    /// Whether the user has a second factor in force.
    second_factor: bool,
    /// What has to be done before anything else: `change_password`, `enrol_second_factor`, or nothing.
    hold: Option<&'static str>,
}

impl SignedAnswer {
    pub(super) fn of(signed_in: &SignedIn) -> Self {
        Self {
            access_token: signed_in.token.clone(),
            token_type: "bearer",
            token: signed_in.token.clone(),
            expires_at: signed_in.expires_at,
            csrf_token: signed_in.csrf.clone(),
            session_id: signed_in.session,
            must_change_password: signed_in.user.user.must_change_password,
            second_factor: signed_in.user.second_factor,
            hold: signed_in.hold.map(hold_name),
        }
    }
}

/// How clients read what has to be done first.
pub(super) const fn hold_name(hold: Hold) -> &'static str {
    match hold {
        Hold::ChangePassword => "change_password",
        Hold::EnrolSecondFactor => "enrol_second_factor",
    }
}

/// Everything that any client reads from a sign-in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoginAnswer {
    /// The session.
    #[serde(flatten)]
    signed: SignedAnswer,
    /// The user.
    user: UserAnswer,
}

/// The same for Krown's clients, who know users by their uuid.
#[derive(Debug, Serialize, ToSchema)]
struct KrownLoginAnswer {
    /// The session.
    #[serde(flatten)]
    signed: SignedAnswer,
    /// The user.
    user: UserInfo,
}

pub(super) fn login_answer(signed_in: SignedIn, peer: Peer) -> Response {
    let token = signed_in.token.clone();
    let body = LoginAnswer { signed: SignedAnswer::of(&signed_in), user: signed_in.user.into() };
    let mut response = Json(body).into_response();
    set_cookie(&mut response, &token, peer, None);
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

/// Whoever signs in is nobody yet, whatever an old cookie says.
pub(super) fn nobody_yet(caller: Caller) -> Caller {
    Caller { address: caller.address, agent: caller.agent, ..Caller::nobody(None, caller.request) }
}

async fn signed_in(desk: Identity, caller: Caller, body: LoginBody) -> Result<SignedIn, WebFault> {
    let shown = body.credentials(&caller)?;
    let caller = nobody_yet(caller);
    run(move || desk.login(&caller, &shown)).await
}

/// Signs in with a name and a password; answers every client's fields at once and sets the cookie.
#[utoipa::path(post, path = "/auth/login", tag = "identity", request_body = LoginBody,
    responses((status = 200, body = LoginAnswer),
        (status = 401, description = "`bad_credentials`, `second_factor_required`, `second_factor_wrong`"),
        (status = 403, description = "`second_factor_locked`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn login(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
    Json(body): Json<LoginBody>,
) -> Result<Response, WebFault> {
    Ok(login_answer(signed_in(desk, caller, body).await?, peer))
}

/// The same for Krown's clients: the user is known by its uuid.
#[utoipa::path(post, path = "/api/auth/login", tag = "identity", request_body = LoginBody,
    responses((status = 200, body = KrownLoginAnswer),
        (status = 401, description = "`bad_credentials`, `second_factor_required`, `second_factor_wrong`"),
        (status = 403, description = "`second_factor_locked`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn login_for_krown(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
    Json(body): Json<LoginBody>,
) -> Result<Response, WebFault> {
    let signed_in = signed_in(desk, caller, body).await?;
    let token = signed_in.token.clone();
    let signed = SignedAnswer::of(&signed_in);
    let body = KrownLoginAnswer { signed, user: signed_in.user.into() };
    let mut response = Json(body).into_response();
    set_cookie(&mut response, &token, peer, None);
    Ok(response)
}

/// A sign-in as OAuth's password grant and Chrona's clients send it; other fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
struct TokenForm {
    /// The username or e-mail address.
    username: String,
    /// The password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
    /// A code of the phone, or a recovery code, where the user has a second factor.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    otp: Zeroizing<String>,
}

/// A token as OAuth's clients read one.
#[derive(Debug, Serialize, ToSchema)]
struct TokenAnswer {
    /// The signed token, for `Authorization: Bearer`.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// In how many seconds it ends.
    expires_in: u64,
}

/// Signs in by a form, for clients that keep the token themselves: no cookie is set.
#[utoipa::path(post, path = "/auth/token", tag = "identity",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenAnswer),
        (status = 401, description = "`bad_credentials`, `second_factor_required`, `second_factor_wrong`"),
        (status = 403, description = "`second_factor_locked`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn token(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Urlencoded(form): Urlencoded<TokenForm>,
) -> Answer<TokenAnswer> {
    let shown = Credentials {
        name: form.username,
        password: form.password,
        code: form.otp,
        client: caller.agent.clone().unwrap_or_default(),
        ..Credentials::default()
    };
    let caller = nobody_yet(caller);
    let answer = run(move || {
        let signed_in = desk.login(&caller, &shown)?;
        Ok(TokenAnswer {
            access_token: signed_in.token,
            token_type: "bearer",
            expires_in: signed_in.expires_at.since(desk.clock.now()).as_secs(),
        })
    })
    .await?;
    Ok(Json(answer))
}
