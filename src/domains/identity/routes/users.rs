//! The users' door: directory, roles of users, grants, temporary passwords, offboarding.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::grants::GrantDraft;
use crate::domains::identity::records::{Grant, State as UserState};
use crate::domains::identity::users::{Draft, Edit, Listed, Told};
use crate::web::extract::null_as_default;
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(list_users, add_user))
        .routes(routes!(show_user, edit_user, close_account))
        .routes(routes!(set_role, set_role_by_post))
        .routes(routes!(reset_password))
        .routes(routes!(offboard))
        .routes(routes!(list_grants, give))
        .routes(routes!(take_back))
        .routes(routes!(list_for_krown))
        .routes(routes!(show_for_krown))
}

/// A user as clients see one.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the clients' own fields")]
pub(super) struct UserAnswer {
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
    /// `active`, `disabled` or `offboarded`.
    #[schema(value_type = String)]
    state: UserState,
    /// Whether a new password has to be chosen.
    must_change_password: bool,
    /// Whether it may sign in without a password from workstations that the settings name.
    workstation: bool,
    /// Whether it has a second factor in force.
    second_factor: bool,
    /// Every permission by name.
    permissions: BTreeMap<&'static str, bool>,
    /// When it last signed in.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login: Option<Moment>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
}

impl From<Listed> for UserAnswer {
    fn from(Listed { user, rights, second_factor, last_login }: Listed) -> Self {
        Self {
            id: user.number,
            uuid: user.id,
            is_active: user.is_active(),
            username: user.username,
            display_name: user.display_name,
            email: user.email,
            role: user.role,
            is_system_admin: user.is_system_admin,
            state: user.state,
            must_change_password: user.must_change_password,
            workstation: user.workstation,
            second_factor,
            permissions: Right::ALL
                .iter()
                .map(|right| (right.name(), rights.holds(*right)))
                .collect(),
            last_login,
            created_at: user.created_at,
        }
    }
}

/// Which users to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ListUsers {
    /// Only those that may sign in.
    #[param(required = false)]
    active_only: bool,
    /// How many to leave out at the beginning.
    #[param(required = false)]
    offset: usize,
    /// How many at most; all of them without it.
    limit: Option<usize>,
}

/// Lists the users by name.
#[utoipa::path(get, path = "/admin/users", tag = "users", params(ListUsers),
    responses((status = 200, body = Vec<UserAnswer>), (status = 403, description = "`right_missing`")))]
async fn list_users(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Query(asked): Query<ListUsers>,
) -> Answer<Vec<UserAnswer>> {
    let mut users = run(move || desk.list_users(&caller)).await?;
    users.sort_by_cached_key(|listed| listed.user.username.to_lowercase());
    let shown = users
        .into_iter()
        .filter(|listed| !asked.active_only || listed.user.is_active())
        .skip(asked.offset)
        .take(asked.limit.unwrap_or(usize::MAX));
    Ok(Json(shown.map(UserAnswer::from).collect()))
}

/// A user to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct AddUserBody {
    /// The name to sign in with; the e-mail address when left out.
    #[schema(required = false)]
    #[serde(deserialize_with = "null_as_default")]
    username: String,
    /// How it is shown; the username when empty.
    #[schema(required = false)]
    #[serde(deserialize_with = "null_as_default")]
    display_name: String,
    /// An e-mail address, or nothing.
    #[schema(required = false)]
    #[serde(deserialize_with = "null_as_default")]
    email: String,
    /// The role's name; `viewer` when left out.
    role: Option<String>,
    /// The same, as TomatoPlan's clients call it.
    role_name: Option<String>,
    /// The first password; a temporary one is made, and told once, when left out.
    #[schema(value_type = String, format = Password, required = false)]
    #[serde(deserialize_with = "null_as_default")]
    password: Zeroizing<String>,
    /// Whether it must be changed at the first sign-in.
    #[schema(required = false)]
    must_change_password: bool,
    /// Whether it may sign in; true when left out.
    is_active: Option<bool>,
    /// Whether it may do everything.
    #[schema(required = false)]
    is_system_admin: bool,
    /// The language of its pages, `fr` or `en`; the site's when empty.
    #[schema(required = false)]
    language: String,
    /// Whether it may sign in without a password from workstations that the settings name.
    #[schema(required = false)]
    workstation: bool,
}

/// A user, and the temporary password that is told this once.
#[derive(Debug, Serialize, ToSchema)]
struct ToldAnswer {
    /// The user.
    #[serde(flatten)]
    user: UserAnswer,
    /// The temporary password, when one was made.
    #[schema(value_type = Option<String>)]
    temp_password: Option<Zeroizing<String>>,
}

impl From<Told> for ToldAnswer {
    fn from(told: Told) -> Self {
        Self { user: told.listed.into(), temp_password: told.temporary }
    }
}

/// Adds a user.
#[utoipa::path(post, path = "/admin/users", tag = "users", request_body = AddUserBody,
    responses((status = 201, body = ToldAnswer), (status = 403, description = "`right_missing`, `right_not_held`"),
        (status = 409, description = "`user_exists`"), (status = 422, description = "Fields at fault")))]
async fn add_user(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<AddUserBody>,
) -> Result<(StatusCode, Json<ToldAnswer>), WebFault> {
    let draft = Draft {
        username: body.username,
        email: body.email,
        display_name: body.display_name,
        role: body.role.or(body.role_name).map_or_else(|| "viewer".into(), |role| plain(&role)),
        is_system_admin: body.is_system_admin,
        language: body.language,
        password: body.password,
        must_change_password: body.must_change_password,
        disabled: body.is_active == Some(false),
        workstation: body.workstation,
    };
    let told = run(move || desk.add_user(&caller, draft)).await?;
    Ok((StatusCode::CREATED, Json(told.into())))
}

/// Roles are compared as Chrona's server does: trimmed, lower case.
pub(super) fn plain(role: &str) -> String {
    role.trim().to_lowercase()
}

/// Shows a user.
#[utoipa::path(get, path = "/admin/users/{id}", tag = "users",
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = UserAnswer), (status = 404, description = "`not_found`")))]
async fn show_user(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
) -> Answer<UserAnswer> {
    let user = run(move || desk.user(&caller, number)).await?;
    Ok(Json(user.into()))
}

/// What to change of a user; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct EditUserBody {
    /// How it is shown.
    display_name: Option<String>,
    /// The e-mail address; empty takes it away.
    email: Option<String>,
    /// The role's name.
    role: Option<String>,
    /// The same, as TomatoPlan's clients call it.
    role_name: Option<String>,
    /// Whether it may sign in; false ends its sessions.
    is_active: Option<bool>,
    /// Whether it may do everything; only a system administrator says so.
    is_system_admin: Option<bool>,
    /// A new password; it ends the user's sessions.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Zeroizing<String>>,
    /// Whether a new password has to be chosen at the next sign-in.
    must_change_password: Option<bool>,
    /// The language of its pages, `fr` or `en`; empty for the site's.
    language: Option<String>,
    /// Whether it may sign in without a password from workstations that the settings name.
    workstation: Option<bool>,
}

/// Changes a user.
#[utoipa::path(put, path = "/admin/users/{id}", tag = "users", request_body = EditUserBody,
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = UserAnswer),
        (status = 403, description = "`right_missing`, `right_not_held`, `step_up_required`, `system_admin_required`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`last_admin`, `user_exists`")))]
async fn edit_user(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Json(body): Json<EditUserBody>,
) -> Answer<UserAnswer> {
    let edit = Edit {
        display_name: body.display_name,
        email: body.email,
        language: body.language,
        role: body.role.or(body.role_name).map(|role| plain(&role)),
        active: body.is_active,
        is_system_admin: body.is_system_admin,
        password: body.password,
        must_change_password: body.must_change_password,
        workstation: body.workstation,
    };
    let user = run(move || desk.edit_user(&caller, number, edit)).await?;
    Ok(Json(user.into()))
}

/// That something was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DoneAnswer {
    /// Always true.
    pub(super) success: bool,
    /// A sentence.
    pub(super) message: String,
}

impl DoneAnswer {
    pub(super) fn saying(message: impl Into<String>) -> Json<Self> {
        Json(Self { success: true, message: message.into() })
    }
}

/// Closes an account and ends its sessions; its history stays.
#[utoipa::path(delete, path = "/admin/users/{id}", tag = "users",
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = DoneAnswer), (status = 400, description = "`own_account`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`last_admin`")))]
async fn close_account(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
) -> Answer<DoneAnswer> {
    let user = run(move || desk.close_account(&caller, number)).await?;
    Ok(DoneAnswer::saying(format!("Utilisateur {} désactivé", user.username)))
}

/// A role to give.
#[derive(Debug, Deserialize, ToSchema)]
struct RoleBody {
    /// The role's name.
    role: String,
}

/// Gives a user another role.
#[utoipa::path(patch, path = "/admin/users/{id}/role", tag = "users", request_body = RoleBody,
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = UserAnswer), (status = 403, description = "`step_up_required`, `right_not_held`"),
        (status = 404, description = "`not_found`"), (status = 422, description = "Fields at fault")))]
async fn set_role(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Json(body): Json<RoleBody>,
) -> Answer<UserAnswer> {
    give_role(desk, caller, number, body).await
}

/// Gives a user another role, for clients without PATCH.
#[utoipa::path(post, path = "/admin/users/{id}/role", tag = "users", request_body = RoleBody,
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = UserAnswer), (status = 403, description = "`step_up_required`, `right_not_held`"),
        (status = 404, description = "`not_found`"), (status = 422, description = "Fields at fault")))]
async fn set_role_by_post(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Json(body): Json<RoleBody>,
) -> Answer<UserAnswer> {
    give_role(desk, caller, number, body).await
}

async fn give_role(
    desk: Identity,
    caller: Caller,
    number: u64,
    body: RoleBody,
) -> Answer<UserAnswer> {
    let edit = Edit { role: Some(plain(&body.role)), ..Edit::default() };
    let user = run(move || desk.edit_user(&caller, number, edit)).await?;
    Ok(Json(user.into()))
}

/// A temporary password, told this once.
#[derive(Debug, Serialize, ToSchema)]
struct ResetAnswer {
    /// Always true.
    success: bool,
    /// The temporary password; it has to be changed at the next sign-in.
    #[schema(value_type = String)]
    temp_password: Zeroizing<String>,
    /// A sentence.
    message: String,
}

/// Gives a user a temporary password and ends its sessions.
#[utoipa::path(post, path = "/admin/users/{id}/reset-password", tag = "users",
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = ResetAnswer), (status = 403, description = "`step_up_required`, `right_not_held`"),
        (status = 404, description = "`not_found`")))]
async fn reset_password(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
) -> Answer<ResetAnswer> {
    let told = run(move || desk.reset_password(&caller, number)).await?;
    Ok(Json(ResetAnswer {
        success: true,
        temp_password: told.temporary.unwrap_or_default(),
        message: format!("Mot de passe de {} réinitialisé", told.listed.user.username),
    }))
}

/// Whether to do it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct DryRun {
    /// True: only say what would be taken back.
    #[param(required = false)]
    dry_run: bool,
}

/// What was, or would be, taken back.
#[derive(Debug, Serialize, ToSchema)]
struct OffboardAnswer {
    /// Whether it was done.
    done: bool,
    /// What, by sort.
    taken: BTreeMap<&'static str, usize>,
}

/// Takes back everything a person holds, in one act: sessions, keys, grants, devices, servers.
#[utoipa::path(post, path = "/admin/users/{id}/offboard", tag = "users", params(
        ("id" = u64, Path, description = "The integer this site knows the user by"), DryRun),
    responses((status = 200, body = OffboardAnswer), (status = 400, description = "`own_account`"),
        (status = 403, description = "`step_up_required`, `right_not_held`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`last_admin`")))]
async fn offboard(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Query(asked): Query<DryRun>,
) -> Answer<OffboardAnswer> {
    let done = !asked.dry_run;
    let taken = run(move || desk.offboard(&caller, number, done)).await?;
    let taken = taken.into_iter().map(|taken| (taken.what, taken.count)).collect();
    Ok(Json(OffboardAnswer { done, taken }))
}

/// A right given to one user.
#[derive(Debug, Serialize, ToSchema)]
struct GrantAnswer {
    /// The right's name.
    right: String,
    /// When it ends; none for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// Why.
    reason: String,
    /// Who gave it.
    given_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    given_at: Moment,
}

impl From<Grant> for GrantAnswer {
    fn from(grant: Grant) -> Self {
        Self {
            right: grant.right,
            until: grant.until,
            reason: grant.reason,
            given_by: grant.given_by,
            given_at: grant.given_at,
        }
    }
}

/// A user's grants.
#[derive(Debug, Serialize, ToSchema)]
struct GrantsAnswer {
    /// By right.
    items: Vec<GrantAnswer>,
}

/// Lists the rights a user was given beside its role.
#[utoipa::path(get, path = "/admin/users/{id}/grants", tag = "users",
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 200, body = GrantsAnswer), (status = 404, description = "`not_found`")))]
async fn list_grants(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
) -> Answer<GrantsAnswer> {
    let grants = run(move || desk.list_grants(&caller, number)).await?;
    Ok(Json(GrantsAnswer { items: grants.into_iter().map(GrantAnswer::from).collect() }))
}

/// A right to give.
#[derive(Debug, Deserialize, ToSchema)]
struct GrantBody {
    /// The right's name.
    right: String,
    /// When it ends; none for never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// Why.
    #[serde(default)]
    reason: String,
}

/// Gives a user a right beside its role, until a date.
#[utoipa::path(post, path = "/admin/users/{id}/grants", tag = "users", request_body = GrantBody,
    params(("id" = u64, Path, description = "The integer this site knows the user by")),
    responses((status = 201, body = GrantAnswer), (status = 403, description = "`step_up_required`, `right_not_held`"),
        (status = 404, description = "`not_found`"), (status = 422, description = "Fields at fault")))]
async fn give(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Json(body): Json<GrantBody>,
) -> Result<(StatusCode, Json<GrantAnswer>), WebFault> {
    let draft = GrantDraft { right: body.right, until: body.until, reason: body.reason };
    let grant = run(move || desk.give(&caller, number, draft)).await?;
    Ok((StatusCode::CREATED, Json(grant.into())))
}

/// Takes a given right back.
#[utoipa::path(delete, path = "/admin/users/{id}/grants/{right}", tag = "users",
    params(("id" = u64, Path, description = "The integer this site knows the user by"),
        ("right" = String, Path, description = "The right's name")),
    responses((status = 200, body = DoneAnswer), (status = 403, description = "`step_up_required`"),
        (status = 404, description = "`not_found`")))]
async fn take_back(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path((number, right)): Path<(u64, String)>,
) -> Answer<DoneAnswer> {
    run(move || desk.take_back(&caller, number, &right)).await?;
    Ok(DoneAnswer::saying("Droit retiré"))
}

/// A user as Krown's clients see one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserInfo {
    /// The name of record.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// The name to sign in with.
    username: String,
    /// The e-mail address.
    email: Option<String>,
    /// The role's name.
    role: String,
}

impl From<Listed> for UserInfo {
    fn from(Listed { user, .. }: Listed) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: Some(user.email).filter(|email| !email.is_empty()),
            role: user.role,
        }
    }
}

/// Lists the users as Krown's clients see them.
#[utoipa::path(get, path = "/api/users", tag = "users",
    responses((status = 200, body = Vec<UserInfo>), (status = 403, description = "`right_missing`")))]
async fn list_for_krown(
    State(desk): State<Identity>,
    Asker(caller): Asker,
) -> Answer<Vec<UserInfo>> {
    let users = run(move || desk.list_users(&caller)).await?;
    Ok(Json(users.into_iter().map(UserInfo::from).collect()))
}

/// Shows a user as Krown's clients see it.
#[utoipa::path(get, path = "/api/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's name of record")),
    responses((status = 200, body = UserInfo), (status = 404, description = "`not_found`")))]
async fn show_for_krown(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<UserInfo> {
    let user = run(move || desk.user_by_id(&caller, id)).await?;
    Ok(Json(user.into()))
}
