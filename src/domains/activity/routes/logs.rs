//! The lists that TomatoPlan's and Chrona's clients know.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::reading::{Filter, Found, Part, member};
use super::super::{Activity, deeds};
use super::stats::LogView;
use super::{End, Format, as_file, given, limit, moment, reading};
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::journal::Link;
use crate::web::sheet::sheet;
use crate::web::{Asker, Json, Query, WebFault, run};

/// Entries of a list when the request does not say how many.
const USUAL: usize = 50;
/// Entries of TomatoPlan's list at most.
const LOGS_MAX: usize = 500;
/// Entries of Chrona's list at most.
const AUDIT_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Activity> {
    OpenApiRouter::new().routes(routes!(logs)).routes(routes!(audit))
}

/// Action types of a query, separated by commas.
pub(super) fn actions(text: Option<String>) -> Vec<String> {
    let text = given(text).unwrap_or_default();
    let words = text.split(',').map(|word| word.trim().to_uppercase());
    words.filter(|word| !word.is_empty()).collect()
}

/// Which deeds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// How many, 50 unless told, 500 at most.
    limit: Option<usize>,
    /// How many to skip.
    offset: usize,
    /// Only of persons whose name contains this.
    username: Option<String>,
    /// Only this action type, or these, separated by commas.
    action_type: Option<String>,
    /// From this date (in the site's time zone) or moment on.
    date_start: Option<String>,
    /// Until this date or moment, itself included.
    date_end: Option<String>,
    /// `json`, or `csv` for a spreadsheet.
    #[param(value_type = Option<String>)]
    format: Format,
}

/// A page of deeds.
#[derive(Debug, Serialize, ToSchema)]
struct LogsView {
    /// How many there are in all.
    total: u64,
    /// Those of this page, newest first.
    logs: Vec<LogView>,
}

/// Lists deeds, newest first, in TomatoPlan's shape. `total` counts everything that fits, of the newest
/// five million links.
#[utoipa::path(get, path = "/admin/logs", tag = "activity", params(LogsQuery),
    responses((status = 200, body = LogsView), (status = 403, description = "`right_missing`"),
        (status = 422, description = "Parameters at fault")))]
async fn logs(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Query(asked): Query<LogsQuery>,
) -> Result<Response, WebFault> {
    let (limit, format) = (limit(asked.limit, USUAL, LOGS_MAX)?, asked.format);
    let found = run(move || {
        let words = reading(
            "logs",
            &[
                ("username", &asked.username),
                ("action_type", &asked.action_type),
                ("date_start", &asked.date_start),
                ("date_end", &asked.date_end),
            ],
        );
        let filter = Filter {
            who: given(asked.username),
            actions: actions(asked.action_type),
            from: moment(&desk, "date_start", asked.date_start, End::From)?,
            until: moment(&desk, "date_end", asked.date_end, End::Until)?,
            ..Filter::default()
        };
        desk.list(&caller, &words, &filter, Part { offset: asked.offset, limit, count: true })
    })
    .await?;
    let Found { total, links } = found;
    let logs: Vec<LogView> = links.into_iter().map(LogView::from).collect();
    Ok(match format {
        Format::Json => Json(LogsView { total, logs }).into_response(),
        Format::Csv => as_file("journal", log_sheet(logs)),
    })
}

fn log_sheet(logs: Vec<LogView>) -> String {
    let names = [
        "id",
        "created_at",
        "username",
        "action_type",
        "entity_type",
        "entity_id",
        "client_ip",
        "details",
    ];
    sheet(
        names,
        logs.into_iter().map(|log| {
            [
                log.id.to_string(),
                log.created_at.to_rfc3339(),
                log.username,
                log.action_type,
                log.entity_type,
                log.entity_id.unwrap_or_default(),
                log.client_ip.unwrap_or_default(),
                log.details.unwrap_or_default(),
            ]
        }),
    )
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only this event type, for instance `punch_validated`, or this deed.
    event_type: Option<String>,
    /// Only of this user.
    user_id: Option<u64>,
    /// Only about this device.
    device_id: Option<i64>,
    /// Only about this kiosk.
    kiosk_id: Option<i64>,
    /// From this date (in the site's time zone) or moment on.
    from: Option<String>,
    /// Until this date or moment, itself included.
    to: Option<String>,
    /// How many to skip.
    offset: usize,
    /// How many, 50 unless told, 100 at most.
    limit: Option<usize>,
    /// `json`, or `csv` for a spreadsheet.
    #[param(value_type = Option<String>)]
    format: Format,
}

/// A deed as Chrona's clients see one.
#[derive(Debug, Serialize, ToSchema)]
struct AuditLogRead {
    /// Its number in the journal.
    id: u64,
    /// What, in Chrona's words, for instance `device_revoked`.
    event_type: String,
    /// Who, by the integer that clients know; none for those who are no users.
    user_id: Option<u64>,
    /// The device it is about.
    device_id: Option<i64>,
    /// The kiosk it is about.
    kiosk_id: Option<i64>,
    /// Everything else, as JSON text.
    event_data: Option<String>,
    /// From which address.
    ip_address: Option<String>,
    /// With which program, as far as it says.
    user_agent: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
}

/// Lists deeds, newest first, in Chrona's shape.
#[utoipa::path(get, path = "/admin/audit-logs", tag = "activity", params(AuditQuery),
    responses((status = 200, body = Vec<AuditLogRead>), (status = 403, description = "`right_missing`"),
        (status = 422, description = "Parameters at fault")))]
async fn audit(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Query(asked): Query<AuditQuery>,
) -> Result<Response, WebFault> {
    let format = asked.format;
    let events = run(move || audited(&desk, &caller, asked)).await?;
    Ok(match format {
        Format::Json => Json(events).into_response(),
        Format::Csv => as_file("audit", audit_sheet(events)),
    })
}

fn audited(
    desk: &Activity,
    caller: &Caller,
    asked: AuditQuery,
) -> Result<Vec<AuditLogRead>, Fault> {
    let limit = limit(asked.limit, USUAL, AUDIT_MAX)?;
    let number = |number: Option<i64>| number.map(|n| n.to_string());
    let words = reading(
        "audit-logs",
        &[
            ("event_type", &asked.event_type),
            ("user_id", &asked.user_id.map(|n| n.to_string())),
            ("device_id", &number(asked.device_id)),
            ("kiosk_id", &number(asked.kiosk_id)),
            ("from", &asked.from),
            ("to", &asked.to),
        ],
    );
    let members = [("device_id", asked.device_id), ("kiosk_id", asked.kiosk_id)];
    let user = match asked.user_id {
        // A number that nobody has fits no link.
        Some(number) => Some(desk.directory().user_of(number)?.unwrap_or(Id::ZERO)),
        None => None,
    };
    let filter = Filter {
        event: given(asked.event_type),
        user,
        members: members.into_iter().filter_map(|(name, n)| Some((name, n?))).collect(),
        from: moment(desk, "from", asked.from, End::From)?,
        until: moment(desk, "to", asked.to, End::Until)?,
        ..Filter::default()
    };
    let part = Part { offset: asked.offset, limit, count: false };
    let found = desk.list(caller, &words, &filter, part)?;
    let mut numbers = BTreeMap::<Id, Option<u64>>::new();
    for user in found.links.iter().filter_map(|link| link.user) {
        if let Entry::Vacant(place) = numbers.entry(user) {
            place.insert(desk.directory().number_of(user)?);
        }
    }
    let number = |user: Option<Id>| user.and_then(|user| numbers.get(&user).copied().flatten());
    Ok(found.links.into_iter().map(|link| event(number(link.user), link)).collect())
}

fn event(user_id: Option<u64>, link: Link) -> AuditLogRead {
    let state = |text: &Option<String>| {
        text.as_ref().map_or(Value::Null, |text| {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        })
    };
    let data = json!({
        "deed": link.deed, "who": link.who, "object": link.object,
        "before": state(&link.before), "after": state(&link.after),
    });
    AuditLogRead {
        id: link.number,
        event_type: deeds::event(&link.deed).into_owned(),
        user_id,
        device_id: member(&link, "device_id"),
        kiosk_id: member(&link, "kiosk_id"),
        event_data: Some(data.to_string()),
        ip_address: link.address,
        user_agent: link.agent,
        created_at: link.at,
    }
}

fn audit_sheet(events: Vec<AuditLogRead>) -> String {
    let names = [
        "id",
        "created_at",
        "event_type",
        "user_id",
        "device_id",
        "kiosk_id",
        "ip_address",
        "user_agent",
        "event_data",
    ];
    let shown = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
    sheet(
        names,
        events.into_iter().map(|event| {
            [
                event.id.to_string(),
                event.created_at.to_rfc3339(),
                event.event_type,
                event.user_id.map(|n| n.to_string()).unwrap_or_default(),
                shown(event.device_id),
                shown(event.kiosk_id),
                event.ip_address.unwrap_or_default(),
                event.user_agent.unwrap_or_default(),
                event.event_data.unwrap_or_default(),
            ]
        }),
    )
}
