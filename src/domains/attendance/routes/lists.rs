//! What is asked of punches: lists, the dashboard's counts, reports.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::punch::PunchRead;
use crate::base::clock::Moment;
use crate::base::day::Day;
use crate::base::fault::Fault;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::lists::Wanted;
use crate::web::sheet::{self, sheet};
use crate::web::{Answer, Asker, Json, Query, WebFault, run};

/// The columns of the report, as Chrona's clients read them (attendance-chrona.md §2.2).
const COLUMNS: [&str; 8] =
    ["id", "user_id", "device_id", "kiosk_id", "punch_type", "punched_at", "jwt_jti", "created_at"];

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(admin_punches))
        .routes(routes!(dashboard_stats))
        .routes(routes!(attendance_report))
}

/// Which punches.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct PunchesAsked {
    /// Of whom.
    user_id: Option<u64>,
    /// From when on: a date, or a date and time.
    from_date: Option<String>,
    /// Until when; a bare date covers its whole day.
    to_date: Option<String>,
    /// How many to leave out.
    offset: usize,
    /// At most 100; 50 unless told.
    limit: Option<usize>,
}

/// Everybody's punches, newest first.
#[utoipa::path(get, path = "/admin/punches", tag = "attendance", params(PunchesAsked),
    responses((status = 200, body = Vec<PunchRead>), (status = 400, description = "`invalid_datetime`"),
        (status = 403, description = "`right_missing`")))]
async fn admin_punches(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<PunchesAsked>,
) -> Answer<Vec<PunchRead>> {
    let punches = run(move || {
        let from = desk.edge(asked.from_date.as_deref(), false)?;
        let until = desk.edge(asked.to_date.as_deref(), true)?;
        let wanted = Wanted { user: asked.user_id, from, until };
        desk.punches(&caller, wanted, asked.offset, asked.limit)
    })
    .await?;
    Ok(Json(punches.into_iter().map(Into::into).collect()))
}

/// The dashboard's counts.
#[derive(Debug, Serialize, ToSchema)]
struct DashboardStats {
    total_users: usize,
    total_devices: usize,
    total_kiosks: usize,
    active_kiosks: usize,
    today_punches: usize,
    today_users: usize,
    recent_punches: Vec<PunchRead>,
}

/// The dashboard's counts; today is the site's day.
#[utoipa::path(get, path = "/admin/dashboard/stats", tag = "attendance",
    responses((status = 200, body = DashboardStats), (status = 403, description = "`right_missing`")))]
async fn dashboard_stats(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<DashboardStats> {
    let stats = run(move || desk.stats(&caller)).await?;
    Ok(Json(DashboardStats {
        total_users: stats.users,
        total_devices: stats.devices,
        total_kiosks: stats.kiosks,
        active_kiosks: stats.active_kiosks,
        today_punches: stats.punches,
        today_users: stats.people,
        recent_punches: stats.recent.into_iter().map(Into::into).collect(),
    }))
}

/// Which report.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ReportAsked {
    /// From when on: a date, or a date and time.
    from: Option<String>,
    /// Until when, itself included; a bare date covers its whole day.
    to: Option<String>,
    /// Of whom.
    user_id: Option<u64>,
    /// `json` or `csv`; `json` unless told.
    format: Option<String>,
}

/// The punches of a span, oldest first.
#[utoipa::path(get, path = "/admin/reports/attendance", tag = "attendance", params(ReportAsked),
    responses((status = 200, body = Vec<PunchRead>, description = "or a file, by `format`"),
        (status = 400, description = "`invalid_datetime`, `invalid_range`, `invalid_format`, `report_too_large`"),
        (status = 403, description = "`right_missing`")))]
async fn attendance_report(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Query(asked): Query<ReportAsked>,
) -> Result<Response, WebFault> {
    let format = asked.format.as_deref().unwrap_or("json").to_owned();
    if !["json", "csv"].contains(&format.as_str()) {
        let message = "invalid_format: 'json' or 'csv'";
        return Err(Fault::invalid("invalid_format", message).into());
    }
    let name =
        format!("attendance_{}_{}.csv", word(asked.from.as_deref()), word(asked.to.as_deref()));
    let punches: Vec<PunchRead> = run(move || {
        let from = desk.edge(asked.from.as_deref(), false)?;
        let until = desk.edge(asked.to.as_deref(), true)?;
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            let message = "invalid_range: 'from' lies behind 'to'";
            return Err(Fault::invalid("invalid_range", message));
        }
        let wanted = Wanted { user: asked.user_id, from, until };
        let punches = desk.report(&caller, wanted)?;
        Ok(punches.into_iter().map(Into::into).collect())
    })
    .await?;
    if format == "json" {
        return Ok(Json(punches).into_response());
    }
    let rows = punches.into_iter().map(|punch| {
        let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        [
            punch.id.to_string(),
            number(punch.user_id),
            number(punch.device_id),
            number(punch.kiosk_id),
            punch.punch_type.name().to_owned(),
            punch.punched_at.to_rfc3339(),
            punch.jwt_jti,
            punch.created_at.to_rfc3339(),
        ]
    });
    let headers = [
        (CONTENT_TYPE, sheet::MEDIA_TYPE.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, sheet(COLUMNS, rows)).into_response())
}

/// An edge of a report in the name of its file: its date, or nothing that a file may not be called.
fn word(edge: Option<&str>) -> String {
    let edge = edge.unwrap_or("all");
    edge.chars().take(10).filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

impl Attendance {
    /// An edge of a span: a moment, or a day in the site's zone. The end of a span is included by its
    /// sender and left out here.
    fn edge(&self, text: Option<&str>, end: bool) -> Result<Option<Moment>, Fault> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if let Ok(day) = text.parse::<Day>() {
            let zone = self.zone()?;
            return Ok(Some(day.plus(i32::from(end)).begins(&zone)));
        }
        let moment = Moment::parse(text)
            // Without a zone it is UTC, as Chrona's clients send it.
            .or_else(|| Moment::parse(&format!("{text}Z")))
            .ok_or_else(|| Fault::invalid("invalid_datetime", "invalid_datetime: not a date"))?;
        Ok(Some(if end { Moment(moment.0.saturating_add(1)) } else { moment }))
    }
}
