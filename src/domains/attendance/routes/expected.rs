//! Schedules, who follows them, and the rules of working time.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sheets::read_day;
use crate::base::day::Day;
use crate::domains::attendance::Attendance;
use crate::domains::attendance::records::{Schedule, Shift};
use crate::domains::attendance::rules::RulesDraft;
use crate::domains::attendance::schedules::Following;
use crate::web::{Answer, Asker, Json, Path, WebFault, run};

pub(super) fn routes() -> OpenApiRouter<Attendance> {
    OpenApiRouter::new()
        .routes(routes!(schedules_list, schedule_add))
        .routes(routes!(schedule_change))
        .routes(routes!(schedule_followed, schedule_follow))
        .routes(routes!(rules_list, rules_put))
        .routes(routes!(rules_drop))
}

/// A week as it is expected of people.
#[derive(Debug, Serialize, ToSchema)]
struct ScheduleRead {
    id: u64,
    name: String,
    /// From Monday to Sunday; none on a free day.
    days: Vec<Option<Shift>>,
    /// Minutes of work in a week.
    week_minutes: u32,
    /// Whether it is no longer offered.
    retired: bool,
}

impl From<Schedule> for ScheduleRead {
    fn from(schedule: Schedule) -> Self {
        let Schedule { number, name, days, retired, .. } = schedule;
        let week_minutes = days.iter().flatten().map(|shift| shift.work()).sum();
        Self { id: number, name, days, week_minutes, retired }
    }
}

/// The schedules.
#[utoipa::path(get, path = "/attendance/schedules", tag = "attendance",
    responses((status = 200, body = Vec<ScheduleRead>), (status = 403, description = "`right_missing`")))]
async fn schedules_list(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<Vec<ScheduleRead>> {
    let schedules = run(move || desk.schedules(&caller)).await?;
    Ok(Json(schedules.into_iter().map(Into::into).collect()))
}

/// A schedule to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct ScheduleDraft {
    /// At most 100 characters.
    name: String,
    /// From Monday to Sunday; none on a free day.
    days: Vec<Option<Shift>>,
}

/// Makes a schedule.
#[utoipa::path(post, path = "/attendance/schedules", tag = "attendance", request_body = ScheduleDraft,
    responses((status = 201, body = ScheduleRead), (status = 403, description = "`right_missing`"),
        (status = 409, description = "`schedules_full`")))]
async fn schedule_add(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<ScheduleDraft>,
) -> Result<(StatusCode, Json<ScheduleRead>), WebFault> {
    let made = run(move || desk.add_schedule(&caller, &draft.name, draft.days)).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// What changes of a schedule.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct ScheduleChange {
    name: Option<String>,
    days: Option<Vec<Option<Shift>>>,
    retired: Option<bool>,
}

/// Renames a schedule, takes it off the list, or changes its days while nobody follows it.
#[utoipa::path(patch, path = "/attendance/schedules/{id}", tag = "attendance",
    params(("id" = u64, Path)), request_body = ScheduleChange,
    responses((status = 200, body = ScheduleRead), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`schedule_followed`")))]
async fn schedule_change(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(change): Json<ScheduleChange>,
) -> Answer<ScheduleRead> {
    let ScheduleChange { name, days, retired } = change;
    let made =
        run(move || desk.change_schedule(&caller, id, name.as_deref(), days, retired)).await?;
    Ok(Json(made.into()))
}

/// What a person follows, from when on.
#[utoipa::path(get, path = "/attendance/people/{id}/schedule", tag = "attendance",
    params(("id" = u64, Path)),
    responses((status = 200, body = Vec<Following>), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn schedule_followed(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
) -> Answer<Vec<Following>> {
    Ok(Json(run(move || desk.followed(&caller, id)).await?))
}

/// What a person is to follow.
#[derive(Debug, Deserialize, ToSchema)]
struct FollowDraft {
    /// The schedule; none for nothing.
    schedule_id: Option<u64>,
    /// From when on.
    #[schema(value_type = String, format = Date)]
    from: Day,
}

/// Has a person follow a schedule from a day on, or none.
#[utoipa::path(put, path = "/attendance/people/{id}/schedule", tag = "attendance",
    params(("id" = u64, Path)), request_body = FollowDraft,
    responses((status = 200, body = Vec<Following>), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`month_closed`")))]
async fn schedule_follow(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(id): Path<u64>,
    Json(draft): Json<FollowDraft>,
) -> Answer<Vec<Following>> {
    let followed = run(move || desk.follow(&caller, id, draft.schedule_id, draft.from)).await?;
    Ok(Json(followed))
}

/// The rules of working time, the newest first; those that came with the program are the last.
#[utoipa::path(get, path = "/attendance/rules", tag = "attendance",
    responses((status = 200, body = Vec<RulesDraft>), (status = 403, description = "`right_missing`")))]
async fn rules_list(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
) -> Answer<Vec<RulesDraft>> {
    Ok(Json(run(move || desk.rules(&caller)).await?))
}

/// Writes rules down from a day on, or in the place of those that begin on it.
#[utoipa::path(put, path = "/attendance/rules", tag = "attendance", request_body = RulesDraft,
    responses((status = 200, body = RulesDraft), (status = 403, description = "`right_missing`"),
        (status = 409, description = "`month_closed`")))]
async fn rules_put(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Json(draft): Json<RulesDraft>,
) -> Answer<RulesDraft> {
    Ok(Json(run(move || desk.put_rules(&caller, draft)).await?))
}

/// Takes rules away: those before them hold on.
#[utoipa::path(delete, path = "/attendance/rules/{from}", tag = "attendance",
    params(("from" = String, Path)),
    responses((status = 204), (status = 400, description = "`invalid_date`"),
        (status = 403, description = "`right_missing`"), (status = 404, description = "`not_found`"),
        (status = 409, description = "`month_closed`")))]
async fn rules_drop(
    State(desk): State<Attendance>,
    Asker(caller): Asker,
    Path(from): Path<String>,
) -> Result<StatusCode, WebFault> {
    run(move || desk.drop_rules(&caller, read_day(&from)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
