//! The sessions' door: one's own, and everybody's for who administers.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::users::DoneAnswer;
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::domains::identity::Identity;
use crate::domains::identity::records::Way;
use crate::domains::identity::sessions::Open;
use crate::web::{Answer, Asker, Json, Path, Query, run};

pub(super) fn routes() -> OpenApiRouter<Identity> {
    OpenApiRouter::new()
        .routes(routes!(list_sessions))
        .routes(routes!(terminate))
        .routes(routes!(list_all))
        .routes(routes!(disconnect))
        .routes(routes!(kick))
        .routes(routes!(kick_all))
}

/// A session as the assistant's clients see one, and what the account page shows of it.
#[derive(Debug, Serialize, ToSchema)]
struct SessionAnswer {
    /// The session.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// With which program, as far as it says.
    client: String,
    /// From which address.
    address: Option<String>,
    /// Of which workstation, as far as the client says.
    hostname: String,
    /// How it was proved who it is: `password`, `second_factor` or `workstation`.
    #[schema(value_type = String)]
    way: Way,
    /// Whose it is.
    username: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    start_ts: Moment,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    last_activity: Moment,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// Always true: those that have ended are not listed.
    active: bool,
    /// Whether it is the one that asks.
    current: bool,
}

impl SessionAnswer {
    fn of(open: Open, current: Option<Id>) -> Self {
        let Open { session, user, last_used } = open;
        Self {
            current: current == Some(session.id),
            id: session.id,
            client: session.client,
            address: session.address,
            hostname: session.hostname,
            way: session.way,
            username: user.username,
            start_ts: session.created_at,
            last_activity: last_used,
            expires_at: session.expires_at,
            active: true,
        }
    }
}

/// Sessions.
#[derive(Debug, Serialize, ToSchema)]
struct SessionsAnswer {
    /// The latest used first.
    sessions: Vec<SessionAnswer>,
}

/// Which sessions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct WhichSessions {
    /// True: everybody's, for who may see activity.
    #[param(required = false)]
    all: bool,
}

/// Lists one's own sessions.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(WhichSessions),
    responses((status = 200, body = SessionsAnswer), (status = 401, description = "Nobody is signed in")))]
async fn list_sessions(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Query(asked): Query<WhichSessions>,
) -> Answer<SessionsAnswer> {
    let current = caller.session;
    let open = run(
        move || {
            if asked.all { desk.all_sessions(&caller) } else { desk.own_sessions(&caller) }
        },
    )
    .await?;
    let sessions = open.into_iter().map(|open| SessionAnswer::of(open, current)).collect();
    Ok(Json(SessionsAnswer { sessions }))
}

/// That a session has ended.
#[derive(Debug, Serialize, ToSchema)]
struct TerminatedAnswer {
    /// Always `terminated`.
    status: &'static str,
}

/// Ends a session: one's own, or anybody's for who administers users.
#[utoipa::path(post, path = "/sessions/{id}/terminate", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, body = TerminatedAnswer), (status = 404, description = "`not_found`")))]
async fn terminate(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<TerminatedAnswer> {
    run(move || desk.terminate(&caller, id)).await?;
    Ok(Json(TerminatedAnswer { status: "terminated" }))
}

/// A session as TomatoPlan's clients see one. Its id is whole: the id of a session is no secret here.
#[derive(Debug, Serialize, ToSchema)]
struct AdminSessionAnswer {
    /// The session.
    #[schema(value_type = String, format = Uuid)]
    session_id: Id,
    /// Whose it is.
    username: String,
    /// How the user is shown.
    display_name: String,
    /// The user's role.
    role: String,
    /// From which address.
    client_ip: Option<String>,
    /// Of which workstation, as far as the client says.
    client_hostname: String,
    /// The same, as some pages call it.
    hostname: String,
    /// With which program, as far as it says.
    client: String,
    /// How it was proved who it is.
    #[schema(value_type = String)]
    way: Way,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    connected_at: Moment,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    last_activity: Moment,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// Whether it is the one that asks.
    current: bool,
}

/// Lists everybody's sessions, the latest used first.
#[utoipa::path(get, path = "/admin/sessions", tag = "sessions",
    responses((status = 200, body = Vec<AdminSessionAnswer>), (status = 403, description = "`right_missing`")))]
async fn list_all(
    State(desk): State<Identity>,
    Asker(caller): Asker,
) -> Answer<Vec<AdminSessionAnswer>> {
    let current = caller.session;
    let open = run(move || desk.all_sessions(&caller)).await?;
    let shown = open.into_iter().map(|Open { session, user, last_used }| AdminSessionAnswer {
        current: current == Some(session.id),
        session_id: session.id,
        username: user.username,
        display_name: user.display_name,
        role: user.role,
        client_ip: session.address,
        client_hostname: session.hostname.clone(),
        hostname: session.hostname,
        client: session.client,
        way: session.way,
        connected_at: session.created_at,
        last_activity: last_used,
        expires_at: session.expires_at,
    });
    Ok(Json(shown.collect()))
}

/// Ends every session of a user.
#[utoipa::path(post, path = "/admin/sessions/disconnect/{username}", tag = "sessions",
    params(("username" = String, Path, description = "The name to sign in with")),
    responses((status = 200, body = DoneAnswer), (status = 403, description = "`right_missing`")))]
async fn disconnect(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(username): Path<String>,
) -> Answer<DoneAnswer> {
    let count = run(move || desk.disconnect(&caller, &username)).await?;
    Ok(DoneAnswer::saying(format!("{count} session(s) fermée(s)")))
}

/// Ends one session, whoever's it is.
#[utoipa::path(post, path = "/admin/sessions/{id}/kick", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, body = DoneAnswer), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn kick(
    State(desk): State<Identity>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
) -> Answer<DoneAnswer> {
    run(move || desk.kick(&caller, id)).await?;
    Ok(DoneAnswer::saying("Session fermée"))
}

/// Ends every session but the caller's own.
#[utoipa::path(post, path = "/admin/sessions/kick-all", tag = "sessions",
    responses((status = 200, body = DoneAnswer),
        (status = 403, description = "`right_missing`, `system_admin_required`")))]
async fn kick_all(State(desk): State<Identity>, Asker(caller): Asker) -> Answer<DoneAnswer> {
    let count = run(move || desk.kick_all(&caller)).await?;
    Ok(DoneAnswer::saying(format!("{count} session(s) fermée(s)")))
}
