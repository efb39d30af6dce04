//! Statistics: deeds by person, the newest deeds, requests.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::reading::{Filter, Part};
use super::super::requests::DAYS_MAX;
use super::super::{Activity, PersonActivity, deeds};
use super::logs::actions;
use super::{given, limit, reading, refuse};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::store::journal::Link;
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};

/// Deeds of a list when the request does not say how many, and at most.
const RECENT_USUAL: usize = 50;
const RECENT_MAX: usize = 500;
/// Days of the people's activity when the request does not say how many.
const PEOPLE_DAYS: u64 = 7;

pub(super) fn routes() -> OpenApiRouter<Activity> {
    OpenApiRouter::new()
        .routes(routes!(recent))
        .routes(routes!(people))
        .routes(routes!(person))
        .routes(routes!(requests))
}

/// A deed as TomatoPlan's clients see one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogView {
    /// Its number in the journal.
    pub(super) id: u64,
    /// Who.
    pub(super) username: String,
    /// What, in TomatoPlan's words, for instance `LOGIN`.
    pub(super) action_type: String,
    /// To what kind of thing.
    pub(super) entity_type: String,
    /// To which.
    pub(super) entity_id: Option<String>,
    /// From which address.
    pub(super) client_ip: Option<String>,
    /// The state after, else before, as JSON text.
    pub(super) details: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Moment,
}

impl From<Link> for LogView {
    fn from(link: Link) -> Self {
        Self {
            id: link.number,
            action_type: deeds::action(&link).into_owned(),
            entity_type: deeds::entity(&link.deed).to_owned(),
            username: link.who,
            entity_id: Some(link.object).filter(|object| !object.is_empty()),
            client_ip: link.address,
            details: link.after.or(link.before),
            created_at: link.at,
        }
    }
}

/// Which of the newest deeds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct RecentQuery {
    /// How many, 50 unless told, 500 at most.
    limit: Option<usize>,
    /// Only those of this person.
    username: Option<String>,
    /// Only this action type, or these, separated by commas.
    action_type: Option<String>,
}

/// The newest deeds.
#[utoipa::path(get, path = "/stats/activity/recent", tag = "activity", params(RecentQuery),
    responses((status = 200, body = Vec<LogView>), (status = 403, description = "`right_missing`")))]
async fn recent(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Query(asked): Query<RecentQuery>,
) -> Answer<Vec<LogView>> {
    let limit = limit(asked.limit, RECENT_USUAL, RECENT_MAX)?;
    let words =
        reading("recent", &[("username", &asked.username), ("action_type", &asked.action_type)]);
    let filter = Filter {
        named: given(asked.username),
        actions: actions(asked.action_type),
        ..Filter::default()
    };
    let part = Part { offset: 0, limit, count: false };
    let found = run(move || desk.list(&caller, &words, &filter, part)).await?;
    Ok(Json(found.links.into_iter().map(LogView::from).collect()))
}

/// A span of days.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct DaysQuery {
    /// How many days back.
    days: Option<u64>,
}

impl DaysQuery {
    fn within(&self, usual: u64) -> Result<u64, Fault> {
        match self.days {
            None => Ok(usual),
            Some(days) if (1..=DAYS_MAX).contains(&days) => Ok(days),
            Some(_) => Err(refuse("days", format!("1 to {DAYS_MAX} days."))),
        }
    }
}

/// How much a person did.
#[derive(Debug, Serialize, ToSchema)]
struct PeopleRow {
    /// Who.
    username: String,
    /// How many deeds.
    action_count: u64,
}

/// How much each person did over the last days (7 unless told), most active first.
#[utoipa::path(get, path = "/stats/activity/users", tag = "activity", params(DaysQuery),
    responses((status = 200, body = Vec<PeopleRow>), (status = 403, description = "`right_missing`")))]
async fn people(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Query(asked): Query<DaysQuery>,
) -> Answer<Vec<PeopleRow>> {
    let days = asked.within(PEOPLE_DAYS)?;
    let counts = run(move || desk.by_person(&caller, days)).await?;
    let row = |(username, action_count)| PeopleRow { username, action_count };
    Ok(Json(counts.into_iter().map(row).collect()))
}

/// What one person did.
#[derive(Debug, Serialize, ToSchema)]
struct PersonView {
    /// The name to sign in with.
    username: String,
    /// How it is shown.
    display_name: String,
    /// The role's name.
    role: String,
    /// Whether it may sign in.
    is_active: bool,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// When it signed in last.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login: Option<Moment>,
    /// How many deeds.
    total_actions: u64,
    /// How many of each action type.
    actions_by_type: BTreeMap<String, u64>,
    /// When the last deed was.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_activity: Option<Moment>,
}

impl From<PersonActivity> for PersonView {
    fn from(activity: PersonActivity) -> Self {
        Self {
            username: activity.person.username,
            display_name: activity.person.display_name,
            role: activity.person.role,
            is_active: activity.person.active,
            created_at: activity.person.created_at,
            last_login: activity.last_login,
            total_actions: activity.total,
            actions_by_type: activity.by_type,
            last_activity: activity.last,
        }
    }
}

/// What TomatoPlan's clients read when there is no such person.
#[derive(Debug, Serialize, ToSchema)]
struct NoPerson {
    /// A sentence.
    error: &'static str,
}

/// What one person did. For an unknown name the answer is 200 with `error`, as its clients expect.
#[utoipa::path(get, path = "/stats/users/{username}", tag = "activity",
    params(("username" = String, Path, description = "The name to sign in with")),
    responses((status = 200, body = PersonView), (status = 403, description = "`right_missing`")))]
async fn person(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Path(username): Path<String>,
) -> Result<Response, WebFault> {
    let found = run(move || desk.of_person(&caller, &username)).await?;
    Ok(match found {
        Some(activity) => Json(PersonView::from(activity)).into_response(),
        None => Json(NoPerson { error: "Utilisateur non trouvé" }).into_response(),
    })
}

/// Requests to one route.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointCount {
    /// The route as declared.
    path: String,
    /// How many.
    count: u64,
}

/// Requests that were answered with one status.
#[derive(Debug, Serialize, ToSchema)]
struct StatusCount {
    /// The status.
    status: u16,
    /// How many.
    count: u64,
}

/// Requests added up.
#[derive(Debug, Serialize, ToSchema)]
struct RequestsView {
    /// By route, most asked first, twenty at most.
    by_endpoint: Vec<EndpointCount>,
    /// By status, most frequent first.
    by_status: Vec<StatusCount>,
    /// The mean time until an answer began, milliseconds.
    avg_response_time_ms: f64,
}

/// The requests of the last days (1 unless told), this minute's included. Watchdogs and the pages' own
/// files are not counted.
#[utoipa::path(get, path = "/stats/api", tag = "activity", params(DaysQuery),
    responses((status = 200, body = RequestsView), (status = 403, description = "`right_missing`")))]
async fn requests(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Query(asked): Query<DaysQuery>,
) -> Answer<RequestsView> {
    let days = asked.within(1)?;
    let traffic = run(move || desk.traffic(&caller, days)).await?;
    let endpoint = |(path, count)| EndpointCount { path, count };
    let status = |(status, count)| StatusCount { status, count };
    Ok(Json(RequestsView {
        by_endpoint: traffic.endpoints.into_iter().map(endpoint).collect(),
        by_status: traffic.statuses.into_iter().map(status).collect(),
        avg_response_time_ms: (traffic.mean_ms * 100.0).round() / 100.0,
    }))
}
