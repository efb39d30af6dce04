//! The doors of making an account for oneself, and of the invitations that open them.

use axum::extract::State;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::signing_in::nobody_yet;
use super::users::{DoneAnswer, UserAnswer, UserInfo, plain};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::invitations::{InvitationDraft, Invited};
use crate::domains::identity::records::Invitation;
use crate::domains::identity::registration::Registering;
use crate::domains::identity::users::Listed;
use crate::web::{Answer, Asker, Json, Path, Peer, WebFault, run};

/// The page where an invitation is taken up.
const PAGE: &str = "/ui/invitation?token=";

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(register_for_krown))
        .routes(routes!(list_invitations, invite))
        .routes(routes!(take_invitation_back))
        .routes(routes!(show_invitation))
}

/// A field that nobody may say of itself: whether it was sent, whatever was in it.
#[derive(Debug, Default)]
pub(super) struct Unheard(bool);

impl<'de> Deserialize<'de> for Unheard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// The names of those that were sent.
pub(super) fn sent<const N: usize>(fields: [(&Unheard, &'static str); N]) -> Vec<&'static str> {
    fields.into_iter().filter(|(field, _)| field.0).map(|(_, name)| name).collect()
}

/// An account to be. What it says of a role or an owner is not heard, and written down.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct RegisterBody {
    /// The name to sign in with; the address when left out.
    username: Option<String>,
    /// An e-mail address; an invitation's own wins.
    email: Option<String>,
    /// How it is shown.
    display_name: Option<String>,
    /// The password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
    /// The word of an invitation.
    #[schema(value_type = Option<String>)]
    invitation: Option<Zeroizing<String>>,
    /// Not heard: nobody gives a role to itself.
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

async fn registered(
    desk: Identity,
    caller: Caller,
    body: RegisterBody,
) -> Result<Listed, WebFault> {
    let ignored = sent([
        (&body.role, "role"),
        (&body.owner, "owner"),
        (&body.is_system_admin, "is_system_admin"),
        (&body.permissions, "permissions"),
    ]);
    let asked = Registering {
        username: body.username.unwrap_or_default(),
        email: body.email.unwrap_or_default(),
        display_name: body.display_name.unwrap_or_default(),
        password: body.password,
        invitation: body.invitation.unwrap_or_default(),
        ignored,
    };
    let caller = nobody_yet(caller);
    run(move || desk.register(&caller, asked)).await
}

/// Makes an account for whoever asks: with an invitation, or where the box is open.
#[utoipa::path(post, path = "/auth/register", tag = "identity", request_body = RegisterBody,
    responses((status = 201, body = UserAnswer),
        (status = 403, description = "`registration_closed`, `invitation_invalid`"),
        (status = 409, description = "`user_exists`"), (status = 422, description = "Fields at fault"),
        (status = 429, description = "`too_many_attempts`"),
        (status = 503, description = "`registration_role_unusable`")))]
async fn register(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<RegisterBody>,
) -> Result<(StatusCode, Json<UserAnswer>), WebFault> {
    let listed = registered(desk, caller, body).await?;
    Ok((StatusCode::CREATED, Json(listed.into())))
}

/// The same for Krown's clients; the role they send is not heard.
#[utoipa::path(post, path = "/api/auth/register", tag = "identity", request_body = RegisterBody,
    responses((status = 200, body = UserInfo),
        (status = 403, description = "`registration_closed`, `invitation_invalid`"),
        (status = 409, description = "`user_exists`"), (status = 422, description = "Fields at fault"),
        (status = 429, description = "`too_many_attempts`"),
        (status = 503, description = "`registration_role_unusable`")))]
async fn register_for_krown(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<RegisterBody>,
) -> Answer<UserInfo> {
    Ok(Json(registered(desk, caller, body).await?.into()))
}

/// An invitation to be.
#[derive(Debug, Deserialize, ToSchema)]
struct InviteBody {
    /// The role that the account gets.
    role: String,
    /// The address that the account gets; one's own choice when empty.
    #[serde(default)]
    #[schema(required = false)]
    email: String,
    /// How the account is shown; one's own choice when empty.
    #[serde(default)]
    #[schema(required = false)]
    display_name: String,
    /// How long it is good, 1 to 30 days; the setting's when left out.
    expires_in_days: Option<u64>,
}

/// A new invitation; its word is told this once.
#[derive(Debug, Serialize, ToSchema)]
struct InvitedAnswer {
    /// The invitation.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// Its word.
    #[schema(value_type = String)]
    token: Zeroizing<String>,
    /// The page where it is taken up, from this box's root.
    #[schema(value_type = String)]
    link: Zeroizing<String>,
    /// The same in full, under the name that this request was sent to.
    #[schema(value_type = String)]
    url: Zeroizing<String>,
    /// The role that the account gets.
    role: String,
    /// The address that the account gets, or nothing.
    email: String,
    /// How the account is shown, or nothing.
    display_name: String,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

impl InvitedAnswer {
    fn of(invited: Invited, host: Option<&str>, peer: Peer) -> Self {
        let Invited { invitation, word } = invited;
        let link = Zeroizing::new(format!("{PAGE}{}", word.as_str()));
        let scheme = if peer.secure { "https" } else { "http" };
        // At the local socket there is no name that another machine could use.
        let root = host.map_or_else(String::new, |host| format!("{scheme}://{host}"));
        Self {
            url: Zeroizing::new(format!("{root}{}", link.as_str())),
            link,
            id: invitation.id,
            token: word,
            role: invitation.role,
            email: invitation.email,
            display_name: invitation.display_name,
            expires_at: invitation.expires_at,
        }
    }
}

/// Invites somebody to make an account of their own.
#[utoipa::path(post, path = "/admin/invitations", tag = "users", request_body = InviteBody,
    responses((status = 201, body = InvitedAnswer),
        (status = 403, description = "`right_missing`, `right_not_held`, `step_up_required`, `registration_closed`"),
        (status = 409, description = "`invitations_too_many`"), (status = 422, description = "Fields at fault")))]
async fn invite(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    peer: Peer,
    headers: HeaderMap,
    Json(body): Json<InviteBody>,
) -> Result<(StatusCode, Json<InvitedAnswer>), WebFault> {
    let draft = InvitationDraft {
        role: plain(&body.role),
        email: body.email,
        display_name: body.display_name,
        days: body.expires_in_days,
    };
    let invited = run(move || desk.invite(&caller, draft)).await?;
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    Ok((StatusCode::CREATED, Json(InvitedAnswer::of(invited, host, peer))))
}

/// An invitation as administrators see one; its word is not kept.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationAnswer {
    /// The invitation.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// The role that the account gets.
    role: String,
    /// The address that the account gets, or nothing.
    email: String,
    /// How the account is shown, or nothing.
    display_name: String,
    /// Who invites.
    created_by: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// When it was used.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Moment>,
    /// The name of the account that was made with it.
    used_by: Option<String>,
}

impl From<Invitation> for InvitationAnswer {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            role: invitation.role,
            email: invitation.email,
            display_name: invitation.display_name,
            created_by: invitation.created_by,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            used_at: invitation.used_at,
            used_by: invitation.used_by,
        }
    }
}

/// Invitations.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationsAnswer {
    /// The latest first; those that are over stay for 90 days.
    items: Vec<InvitationAnswer>,
}

/// Lists the invitations.
#[utoipa::path(get, path = "/admin/invitations", tag = "users",
    responses((status = 200, body = InvitationsAnswer), (status = 403, description = "`right_missing`")))]
async fn list_invitations(
    State(desk): State<Identity>,
    Asker(caller): Asker,
) -> Answer<InvitationsAnswer> {
    let invitations = run(move || desk.list_invitations(&caller)).await?;
    let items = invitations.into_iter().map(InvitationAnswer::from).collect();
    Ok(Json(InvitationsAnswer { items }))
}

/// Takes an invitation back; an account that was made with it stays.
#[utoipa::path(delete, path = "/admin/invitations/{id}", tag = "users",
    params(("id" = String, Path, description = "The invitation")),
    responses((status = 200, body = DoneAnswer), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn take_invitation_back(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DoneAnswer> {
    run(move || desk.take_invitation_back(&caller, id)).await?;
    Ok(DoneAnswer::saying("Invitation retirée"))
}

/// What somebody who was invited sees before making the account.
#[derive(Debug, Serialize, ToSchema)]
struct WelcomeAnswer {
    /// The site's name.
    site: String,
    /// The role that the account gets.
    role: String,
    /// The address that the account gets, or nothing.
    email: String,
    /// How the account is shown, or nothing.
    display_name: String,
    /// Until when the invitation is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

/// Shows an invitation to whoever holds its word.
#[utoipa::path(get, path = "/auth/invitations/{token}", tag = "identity",
    params(("token" = String, Path, description = "The invitation's word")),
    responses((status = 200, body = WelcomeAnswer), (status = 404, description = "`invitation_invalid`")))]
async fn show_invitation(
    State(desk): State<Identity>,
    Path(word): Path<Zeroizing<String>>,
) -> Answer<WelcomeAnswer> {
    let answer = run(move || {
        // Here it is the thing that is asked for and not there; at the door it is the key that fails.
        let invitation = desk.invitation(&word).map_err(|fault| match fault.kind {
            Kind::Forbidden => Fault { kind: Kind::NotFound, ..fault },
            _ => fault,
        })?;
        Ok(WelcomeAnswer {
            site: desk.site()?.map(|site| site.name).unwrap_or_default(),
            role: invitation.role,
            email: invitation.email,
            display_name: invitation.display_name,
            expires_at: invitation.expires_at,
        })
    })
    .await?;
    Ok(Json(answer))
}
