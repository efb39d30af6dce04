//! Closing months, and handing them on.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sheets::{PersonTotals, read_month};
use crate::base::day::Month;
use crate::base::fault::Fault;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::closing::{Closing, Plan};
use crate::domains::attendance::payroll::Cell;
use crate::web::sheet::{self, rows};
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(closings_list))
        .routes(routes!(closing_plan, closing_close))
        .routes(routes!(closing_reopen))
        .routes(routes!(payroll_export))
}

/// The months that were ever closed, the newest first.
#[utoipa::path(get, path = "/attendance/closings", tag = "attendance",
    responses((status = 200, body = Vec<Closing>), (status = 403, description = "`right_missing`")))]
async fn closings_list(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<Vec<Closing>> {
    Ok(Json(run(move || desk.closings(&caller)).await?))
}

/// What closing a month would find.
#[derive(Debug, Serialize, ToSchema)]
struct ClosingPlan {
    #[schema(value_type = String)]
    month: Month,
    /// Whether the month is over: before, it cannot be closed.
    over: bool,
    /// How it stands, where it was ever closed.
    state: Option<Closing>,
    /// Corrections in it that nobody has decided.
    open_corrections: usize,
    /// Days with something that a person has to look at.
    open_days: u32,
    totals: Vec<PersonTotals>,
}

impl From<Plan> for ClosingPlan {
    fn from(plan: Plan) -> Self {
        Self {
            month: plan.month,
            over: plan.over,
            state: plan.state.as_ref().map(Into::into),
            open_corrections: plan.corrections,
            open_days: plan.open_days,
            totals: plan.totals.into_iter().map(Into::into).collect(),
        }
    }
}

/// What closing a month would find: a dry run.
#[utoipa::path(get, path = "/attendance/closings/{month}", tag = "attendance",
    params(("month" = String, Path)),
    responses((status = 200, body = ClosingPlan), (status = 400, description = "`invalid_month`"),
        (status = 403, description = "`right_missing`")))]
async fn closing_plan(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(month): Path<String>,
) -> Answer<ClosingPlan> {
    let plan = run(move || desk.plan_closing(&caller, read_month(&month)?)).await?;
    Ok(Json(plan.into()))
}

/// How a month is closed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct ClosingWord {
    /// Close it with days that somebody should still look at.
    anyway: bool,
}

/// Closes a month: nothing in it changes until it is opened again.
#[utoipa::path(post, path = "/attendance/closings/{month}", tag = "attendance",
    params(("month" = String, Path)), request_body = ClosingWord,
    responses((status = 200, body = Closing), (status = 400, description = "`invalid_month`"),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 409, description = "`month_not_over`, `month_closed`, `month_unsettled`")))]
async fn closing_close(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(month): Path<String>,
    Json(said): Json<ClosingWord>,
) -> Answer<Closing> {
    let closed = run(move || desk.close_month(&caller, read_month(&month)?, said.anyway)).await?;
    Ok(Json(closed))
}

/// Why a month is opened again.
#[derive(Debug, Deserialize, ToSchema)]
struct ReopenWord {
    /// At most 500 characters.
    reason: String,
}

/// Opens a closed month again.
#[utoipa::path(post, path = "/attendance/closings/{month}/reopen", tag = "attendance",
    params(("month" = String, Path)), request_body = ReopenWord,
    responses((status = 200, body = Closing), (status = 400, description = "`invalid_month`"),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 409, description = "`month_not_closed`")))]
async fn closing_reopen(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(month): Path<String>,
    Json(said): Json<ReopenWord>,
) -> Answer<Closing> {
    let opened = run(move || desk.reopen_month(&caller, read_month(&month)?, &said.reason)).await?;
    Ok(Json(opened))
}

/// Which month, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PayrollAsked {
    /// The month, `YYYY-MM`.
    month: String,
    /// `csv`, or nothing.
    format: Option<String>,
}

/// The payroll table of a month: a row per person, minutes throughout.
#[utoipa::path(get, path = "/attendance/payroll", tag = "attendance", params(PayrollAsked),
    responses((status = 200, description = "A CSV file", content_type = "text/csv", body = String),
        (status = 400, description = "`invalid_month`, `invalid_format`"),
        (status = 403, description = "`right_missing`")))]
async fn payroll_export(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<PayrollAsked>,
) -> Result<Response, WebFault> {
    if asked.format.as_deref().is_some_and(|format| format != "csv") {
        return Err(Fault::invalid("invalid_format", "invalid_format: 'csv'").into());
    }
    let name = format!("attachment; filename=\"payroll_{}.csv\"", read_month(&asked.month)?);
    let payroll = run(move || desk.payroll(&caller, read_month(&asked.month)?, "csv")).await?;
    let cells = |row: Vec<Cell>| row.iter().map(Cell::text).collect::<Vec<_>>();
    let text = rows(&payroll.columns, payroll.rows.into_iter().map(cells));
    let headers = [(CONTENT_TYPE, sheet::MEDIA_TYPE.to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, text).into_response())
}
