//! The door through which the users of another system come in.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::users::plain;
use crate::domains::identity::Identity;
use crate::domains::identity::imports::{Becomes, ImportRow, Planned};
use crate::web::{Answer, Asker, Json, limits, run};

/// The longest list, bytes: as many rows as are taken at once, 800 bytes each.
const BODY_MAX: usize = 8 << 20;

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new().routes(routes!(import)).layer(limits::body(BODY_MAX))
}

/// A user of another system.
#[derive(Debug, Deserialize, ToSchema)]
struct RowBody {
    /// The name to sign in with; the address when left out.
    #[serde(default)]
    #[schema(required = false)]
    username: String,
    /// An e-mail address, or nothing.
    email: Option<String>,
    /// How it is shown; the username when left out.
    display_name: Option<String>,
    /// The role's name; `viewer` when left out.
    role: Option<String>,
    /// The password's hash: bcrypt, passlib's `bcrypt_sha256` or `pbkdf2_sha256`, or Argon2id. Left out
    /// for a user who gets a password later.
    password_hash: Option<String>,
    /// Whether it may sign in; true when left out.
    is_active: Option<bool>,
}

/// Users to take in.
#[derive(Debug, Deserialize, ToSchema)]
struct ImportBody {
    /// At most 10,000.
    users: Vec<RowBody>,
    /// Whether to only say what would become of each; true when left out.
    #[serde(default = "yes")]
    #[schema(required = false)]
    dry_run: bool,
    /// Whether each has to choose a new password at the first sign-in.
    #[serde(default)]
    #[schema(required = false)]
    must_change_password: bool,
}

const fn yes() -> bool {
    true
}

/// What becomes of one row.
#[derive(Debug, Serialize, ToSchema)]
struct PlannedAnswer {
    /// The name as it was sent.
    username: String,
    /// `created`, `exists` or `refused`.
    #[schema(value_type = String)]
    outcome: Becomes,
    /// Why it is refused.
    fault: Option<RowFault>,
}

/// Why a row is refused.
#[derive(Debug, Serialize, ToSchema)]
struct RowFault {
    /// A stable word.
    code: String,
    /// A sentence.
    detail: String,
}

impl From<Planned> for PlannedAnswer {
    fn from(planned: Planned) -> Self {
        Self {
            username: planned.username,
            outcome: planned.outcome,
            fault: planned
                .fault
                .map(|fault| RowFault { code: fault.code.to_owned(), detail: fault.message }),
        }
    }
}

/// What becomes, or became, of each row.
#[derive(Debug, Serialize, ToSchema)]
struct ImportAnswer {
    /// One line a row, in the order they were sent.
    plan: Vec<PlannedAnswer>,
    /// Whether it was done.
    done: bool,
}

/// Takes users of another system in with their password hashes, in one act.
#[utoipa::path(post, path = "/admin/users/import", tag = "users", request_body = ImportBody,
    responses((status = 200, body = ImportAnswer),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 413, description = "`import_too_large`, `body_too_large`"),
        (status = 422, description = "Fields at fault")))]
async fn import(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Json(body): Json<ImportBody>,
) -> Answer<ImportAnswer> {
    let (done, must_change_password) = (!body.dry_run, body.must_change_password);
    let rows = body
        .users
        .into_iter()
        .map(|row| ImportRow {
            username: row.username,
            email: row.email.unwrap_or_default(),
            display_name: row.display_name.unwrap_or_default(),
            role: row.role.map_or_else(|| "viewer".to_owned(), |role| plain(&role)),
            password_hash: row.password_hash.unwrap_or_default(),
            active: row.is_active.unwrap_or(true),
            must_change_password,
        })
        .collect();
    let plan = run(move || desk.import_users(&caller, rows, done)).await?;
    Ok(Json(ImportAnswer { plan: plan.into_iter().map(PlannedAnswer::from).collect(), done }))
}
