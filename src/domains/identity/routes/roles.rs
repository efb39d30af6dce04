//! The roles' door.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::users::DoneAnswer;
use crate::base::caller::Right;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::records::Role;
use crate::domains::identity::roles::{RoleDraft, RoleEdit, RoleHeld, rights_of_role};
use crate::web::{Answer, Asker, Json, Path, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(list_roles, add_role))
        .routes(routes!(edit_role, delete_role))
        .routes(routes!(list_rights))
        .routes(routes!(ping))
}

/// A role as clients see one.
#[derive(Debug, Serialize, ToSchema)]
struct RoleAnswer {
    /// The integer this site knows the role by.
    id: u64,
    /// The name of record.
    #[schema(value_type = String, format = Uuid)]
    uuid: Id,
    /// Its name.
    name: String,
    /// What it is for.
    description: String,
    /// The names of its rights, in the order of the permissions.
    rights: Vec<&'static str>,
    /// Whether its users need a second factor.
    second_factor: bool,
    /// Whether the box began with it; such a role cannot be deleted.
    built_in: bool,
    /// How many users have it.
    users: usize,
}

impl RoleAnswer {
    fn of(role: Role, users: usize) -> Self {
        let rights = rights_of_role(&role).list().map(Right::name).collect();
        Self {
            id: role.number,
            uuid: role.id,
            name: role.name,
            description: role.description,
            rights,
            second_factor: role.second_factor,
            built_in: role.built_in,
            users,
        }
    }
}

/// Lists the roles by name.
#[utoipa::path(get, path = "/admin/roles", tag = "users",
    responses((status = 200, body = Vec<RoleAnswer>), (status = 403, description = "`right_missing`")))]
async fn list_roles(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<Vec<RoleAnswer>> {
    let roles = run(move || desk.list_roles(&caller)).await?;
    let shown = roles.into_iter().map(|RoleHeld { role, users }| RoleAnswer::of(role, users));
    Ok(Json(shown.collect()))
}

/// A role to be.
#[derive(Debug, Deserialize, ToSchema)]
struct AddRoleBody {
    /// Its name: lower-case letters, digits and `_`.
    name: String,
    /// What it is for, in a line.
    #[serde(default)]
    description: String,
    /// The names of its rights.
    #[serde(default)]
    rights: Vec<String>,
    /// Whether its users need a second factor.
    #[serde(default)]
    second_factor: bool,
}

/// Adds a role.
#[utoipa::path(post, path = "/admin/roles", tag = "users", request_body = AddRoleBody,
    responses((status = 201, body = RoleAnswer),
        (status = 403, description = "`right_missing`, `right_not_held`, `step_up_required`"),
        (status = 409, description = "`role_exists`, `roles_too_many`"), (status = 422, description = "Fields at fault")))]
async fn add_role(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<AddRoleBody>,
) -> Result<(StatusCode, Json<RoleAnswer>), WebFault> {
    let draft = RoleDraft {
        name: body.name,
        description: body.description,
        rights: body.rights,
        second_factor: body.second_factor,
    };
    let role = run(move || desk.add_role(&caller, draft)).await?;
    Ok((StatusCode::CREATED, Json(RoleAnswer::of(role, 0))))
}

/// What to change of a role; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct EditRoleBody {
    /// What it is for.
    description: Option<String>,
    /// The names of its rights.
    rights: Option<Vec<String>>,
    /// Whether its users need a second factor.
    second_factor: Option<bool>,
}

/// Changes a role; it acts on its users' next request.
#[utoipa::path(put, path = "/admin/roles/{id}", tag = "users", request_body = EditRoleBody,
    params(("id" = u64, Path, description = "The integer this site knows the role by")),
    responses((status = 200, body = RoleAnswer),
        (status = 403, description = "`right_missing`, `right_not_held`, `step_up_required`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`role_fixed`"),
        (status = 422, description = "Fields at fault")))]
async fn edit_role(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
    Json(body): Json<EditRoleBody>,
) -> Answer<RoleAnswer> {
    let edit = RoleEdit {
        description: body.description,
        rights: body.rights,
        second_factor: body.second_factor,
    };
    let shown = run(move || {
        let role = desk.edit_role(&caller, number, edit)?;
        let held = desk.list_roles(&caller)?.into_iter().find(|held| held.role.id == role.id);
        held.ok_or_else(|| Fault::not_found("role"))
    })
    .await?;
    Ok(Json(RoleAnswer::of(shown.role, shown.users)))
}

/// Deletes a role that nobody has.
#[utoipa::path(delete, path = "/admin/roles/{id}", tag = "users",
    params(("id" = u64, Path, description = "The integer this site knows the role by")),
    responses((status = 200, body = DoneAnswer), (status = 403, description = "`step_up_required`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`role_built_in`, `role_in_use`")))]
async fn delete_role(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(number): Path<u64>,
) -> Answer<DoneAnswer> {
    run(move || desk.delete_role(&caller, number)).await?;
    Ok(DoneAnswer::saying("Rôle supprimé"))
}

/// The names of all permissions.
#[derive(Debug, Serialize, ToSchema)]
struct RightsAnswer {
    /// In the order answers list them.
    items: Vec<&'static str>,
}

/// Lists every permission there is, for the page that edits roles.
#[utoipa::path(get, path = "/admin/rights", tag = "users",
    responses((status = 200, body = RightsAnswer), (status = 403, description = "`right_missing`")))]
async fn list_rights(Asker(caller): Asker) -> Answer<RightsAnswer> {
    caller.require(Right::ManageRights)?;
    Ok(Json(RightsAnswer { items: Right::ALL.iter().map(|right| right.name()).collect() }))
}

/// Whether the caller administers.
#[derive(Debug, Serialize, ToSchema)]
struct Pong {
    /// Always true.
    pong: bool,
}

/// Answers administrators, so that a client can tell whether it is one.
#[utoipa::path(get, path = "/admin/ping", tag = "users",
    responses((status = 200, body = Pong), (status = 403, description = "`right_missing`")))]
async fn ping(Asker(caller): Asker) -> Answer<Pong> {
    caller.require(Right::AdminAccess)?;
    Ok(Json(Pong { pong: true }))
}
