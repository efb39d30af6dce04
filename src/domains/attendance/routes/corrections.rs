//! Corrections: asking, deciding, taking back, listing.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sheets::WorkPerson;
use crate::base::clock::Moment;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::corrections::{Asked, Listed, Wish};
use crate::domains::attendance::records::{Change, Decision, Kind};
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(corrections_list, correction_ask))
        .routes(routes!(correction_approve))
        .routes(routes!(correction_refuse))
        .routes(routes!(correction_withdraw))
}

/// What is to change; a punch by its integer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CorrectionChange {
    /// A punch that is missing.
    Add {
        kind: Kind,
        #[schema(value_type = String, format = DateTime)]
        at: Moment,
    },
    /// A punch was at another time, or said something else.
    Move {
        punch_id: u64,
        /// None leaves it.
        #[schema(value_type = Option<String>, format = DateTime)]
        at: Option<Moment>,
        /// None leaves it.
        kind: Option<Kind>,
    },
    /// A punch does not count.
    Drop { punch_id: u64 },
}

/// A correction that somebody asks for.
#[derive(Debug, Deserialize, ToSchema)]
struct CorrectionDraft {
    /// Whose punches; one's own unless told.
    user_id: Option<u64>,
    change: CorrectionChange,
    /// Why, 3 to 500 characters.
    reason: String,
}

/// What the decider says.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct CorrectionRemark {
    /// At most 500 characters.
    remark: String,
}

/// A correction.
#[derive(Debug, Serialize, ToSchema)]
struct CorrectionRead {
    id: u64,
    person: Option<WorkPerson>,
    change: CorrectionChange,
    /// The moment that it is about: that of the punch as it was made, or that of the added one.
    #[schema(value_type = String, format = DateTime)]
    about: Moment,
    /// What the punch says that it is about; none for an added one.
    was: Option<Kind>,
    reason: String,
    /// Who asks for it; `attendance` for the box itself.
    author: String,
    /// Whether the box proposes it.
    proposed: bool,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Moment,
    decision: Decision,
    decided_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    decided_at: Option<Moment>,
    remark: String,
}

impl From<Listed> for CorrectionRead {
    fn from(listed: Listed) -> Self {
        let Listed { correction, person, punch } = listed;
        let punch_id = punch.as_ref().map_or(0, |punch| punch.number);
        let change = match correction.change {
            Change::Add { kind, at } => CorrectionChange::Add { kind, at },
            Change::Move { at, kind, .. } => {
                CorrectionChange::Move { punch_id, at: Some(at), kind: Some(kind) }
            }
            Change::Drop { .. } => CorrectionChange::Drop { punch_id },
        };
        Self {
            id: correction.number,
            person: person.map(Into::into),
            change,
            about: correction.about,
            was: punch.map(|punch| punch.kind),
            reason: correction.reason,
            author: correction.author_name,
            proposed: correction.author.is_none(),
            asked_at: correction.asked_at,
            decision: correction.decision,
            decided_by: correction.decided_by,
            decided_at: correction.decided_at,
            remark: correction.remark,
        }
    }
}

/// Which corrections.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct CorrectionsAsked {
    /// Of whom; everybody for who sees attendance, oneself for the others.
    user_id: Option<u64>,
    /// Those that wait for a decision alone.
    open: bool,
}

/// Corrections, the newest first.
#[utoipa::path(get, path = "/attendance/corrections", tag = "attendance", params(CorrectionsAsked),
    responses((status = 200, body = Vec<CorrectionRead>), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn corrections_list(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<CorrectionsAsked>,
) -> Answer<Vec<CorrectionRead>> {
    let asked = Asked { user: asked.user_id, open: asked.open };
    let listed = run(move || desk.corrections(&caller, asked)).await?;
    Ok(Json(listed.into_iter().map(Into::into).collect()))
}

/// Asks for a correction.
#[utoipa::path(post, path = "/attendance/corrections", tag = "attendance", request_body = CorrectionDraft,
    responses((status = 201, body = CorrectionRead), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`month_closed`, `corrections_full`")))]
async fn correction_ask(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<CorrectionDraft>,
) -> Result<(StatusCode, Json<CorrectionRead>), WebFault> {
    let wish = match draft.change {
        CorrectionChange::Add { kind, at } => Wish::Add { kind, at },
        CorrectionChange::Move { punch_id, at, kind } => Wish::Move { punch: punch_id, at, kind },
        CorrectionChange::Drop { punch_id } => Wish::Drop { punch: punch_id },
    };
    let asked =
        run(move || desk.ask_correction(&caller, draft.user_id, wish, &draft.reason)).await?;
    Ok((StatusCode::CREATED, Json(asked.into())))
}

/// Approves a correction: it counts from now on.
#[utoipa::path(post, path = "/attendance/corrections/{id}/approve", tag = "attendance",
    params(("id" = u64, Path)), request_body = CorrectionRemark,
    responses((status = 200, body = CorrectionRead),
        (status = 403, description = "`right_missing`, `own_correction`"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`correction_decided`, `month_closed`")))]
async fn correction_approve(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(said): Json<CorrectionRemark>,
) -> Answer<CorrectionRead> {
    let made = run(move || desk.decide_correction(&caller, id, true, &said.remark)).await?;
    Ok(Json(made.into()))
}

/// Refuses a correction.
#[utoipa::path(post, path = "/attendance/corrections/{id}/refuse", tag = "attendance",
    params(("id" = u64, Path)), request_body = CorrectionRemark,
    responses((status = 200, body = CorrectionRead),
        (status = 403, description = "`right_missing`, `own_correction`"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`correction_decided`")))]
async fn correction_refuse(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(said): Json<CorrectionRemark>,
) -> Answer<CorrectionRead> {
    let made = run(move || desk.decide_correction(&caller, id, false, &said.remark)).await?;
    Ok(Json(made.into()))
}

/// Takes a correction back.
#[utoipa::path(post, path = "/attendance/corrections/{id}/withdraw", tag = "attendance",
    params(("id" = u64, Path)), request_body = CorrectionRemark,
    responses((status = 200, body = CorrectionRead),
        (status = 403, description = "`right_missing`, `own_correction`"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`correction_decided`, `month_closed`")))]
async fn correction_withdraw(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(said): Json<CorrectionRemark>,
) -> Answer<CorrectionRead> {
    let made = run(move || desk.withdraw_correction(&caller, id, &said.remark)).await?;
    Ok(Json(made.into()))
}
