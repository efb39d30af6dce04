//! The door of one's own account: who one is, a fresh password, a new one, and signing out.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::registration::{Unheard, sent};
use super::setup::COLOUR;
use super::signing_in::{hold_name, set_cookie};
use super::users::{DoneAnswer, UserAnswer};
use crate::base::caller::{Caller, Door};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::users::{Edit, Listed};
use crate::web::{Answer, Asker, Json, Peer, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(me, edit_me))
        .routes(routes!(step_up))
        .routes(routes!(refresh))
        .routes(routes!(change_password))
        .routes(routes!(logout))
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

/// Ends the session that the request shows, at once and everywhere; where there is none any more, the
/// cookie goes all the same.
#[utoipa::path(post, path = "/auth/logout", tag = "identity",
    responses((status = 200, body = LogoutAnswer)))]
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
            hold: caller.hold.map(hold_name),
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
    /// Not heard, and written down: nobody gives a role to itself.
    #[schema(ignore)]
    role: Unheard,
    /// Not heard.
    #[schema(ignore)]
    owner: Unheard,
    /// Not heard.
    #[schema(ignore)]
    is_system_admin: Unheard,
    /// Not heard.
    #[schema(ignore)]
    permissions: Unheard,
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
    let ignored = sent([
        (&body.role, "role"),
        (&body.owner, "owner"),
        (&body.is_system_admin, "is_system_admin"),
        (&body.permissions, "permissions"),
    ]);
    let answer = run(move || {
        caller.in_person()?;
        desk.note_ignored(&caller, "user.field_ignored", caller.name(), &ignored)?;
        let listed = desk.edit_me(&caller, edit)?;
        MeAnswer::of(&desk, &caller, listed)
    })
    .await?;
    Ok(Json(answer))
}

/// The password again.
#[derive(Debug, Deserialize, ToSchema)]
struct StepUpBody {
    /// The password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
    /// A code of the phone, or a recovery code, where one has a second factor.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    code: Zeroizing<String>,
}

/// Until when that counts.
#[derive(Debug, Serialize, ToSchema)]
struct StepUpAnswer {
    /// Always `ok`.
    status: &'static str,
    /// Until when the password counts as fresh.
    #[schema(value_type = String, format = DateTime)]
    fresh_until: Moment,
}

/// Takes the password again, so that what asks for a fresh one (`step_up_required`) goes through.
#[utoipa::path(post, path = "/auth/step-up", tag = "identity", request_body = StepUpBody,
    responses((status = 200, body = StepUpAnswer),
        (status = 401, description = "`bad_credentials`, `second_factor_required`, `second_factor_wrong`"),
        (status = 403, description = "`session_required`, `step_up_impossible`, `second_factor_locked`"),
        (status = 429, description = "`too_many_attempts`")))]
async fn step_up(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<StepUpBody>,
) -> Answer<StepUpAnswer> {
    let fresh_until = run(move || desk.step_up(&caller, &body.password, &body.code)).await?;
    Ok(Json(StepUpAnswer { status: "ok", fresh_until }))
}

/// A new session in the place of the old one.
#[derive(Debug, Serialize, ToSchema)]
struct RefreshAnswer {
    /// The signed token, for `Authorization: Bearer`.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// The word for `X-CSRF-Token` on unsafe cookie requests.
    csrf_token: String,
    /// The session.
    #[schema(value_type = String, format = Uuid)]
    session_id: Id,
}

/// Puts a new session in the place of the one that is shown, which ends; a cookie is renewed too.
#[utoipa::path(post, path = "/auth/refresh", tag = "identity",
    responses((status = 200, body = RefreshAnswer), (status = 401, description = "Nobody is signed in"),
        (status = 403, description = "`session_required`, what has to be done first")))]
async fn refresh(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
) -> Result<Response, WebFault> {
    let by_cookie = caller.door == Door::Cookie;
    let signed_in = run(move || desk.refresh(&caller)).await?;
    let answer = RefreshAnswer {
        access_token: signed_in.token.clone(),
        token_type: "bearer",
        expires_at: signed_in.expires_at,
        csrf_token: signed_in.csrf,
        session_id: signed_in.session,
    };
    let mut response = Json(answer).into_response();
    if by_cookie {
        set_cookie(&mut response, &signed_in.token, peer, None);
    }
    Ok(response)
}

/// The old password and the new.
#[derive(Debug, Deserialize, ToSchema)]
struct ChangePasswordBody {
    /// The password in force.
    #[schema(value_type = String, format = Password)]
    current_password: Zeroizing<String>,
    /// The one to come.
    #[schema(value_type = String, format = Password)]
    new_password: Zeroizing<String>,
}

/// Chooses a new password; one's other sessions end, this one goes on.
#[utoipa::path(post, path = "/auth/change-password", tag = "identity",
    request_body = ChangePasswordBody,
    responses((status = 200, body = DoneAnswer),
        (status = 400, description = "`password_wrong`, `password_unchanged`"),
        (status = 403, description = "`session_required`"),
        (status = 422, description = "Fields at fault"),
        (status = 429, description = "`too_many_attempts`")))]
async fn change_password(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<ChangePasswordBody>,
) -> Answer<DoneAnswer> {
    run(move || desk.change_password(&caller, &body.current_password, &body.new_password)).await?;
    Ok(DoneAnswer::saying("Mot de passe modifié"))
}
