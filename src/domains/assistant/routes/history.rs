//! The history's door (assistant.md §3.6): list, clear, replay.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::history::{Filter, Part, Seen};
use super::super::thinking::Thinking;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field};
use crate::base::id::Id;
use crate::web::{Answer, Asker, Json, Query, run};

/// Events of a page when the request does not say how many (assistant.md §3.6).
const USUAL: usize = 20;
/// Events of a page at most.
const MOST: usize = 200;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Thinking> {
    OpenApiRouter::new().routes(routes!(list_history, clear_history))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// How many, 20 unless told, 200 at most.
    limit: Option<usize>,
    /// How many to skip.
    offset: usize,
    /// Only those that hold this, whatever its case and accents.
    q: Option<String>,
    /// Only those about this plugin.
    plugin: Option<String>,
    /// From this moment, or this date (UTC), on.
    start: Option<String>,
    /// Until this moment, or this date (UTC), itself included.
    end: Option<String>,
    /// Only of this type, for instance `chat.answer`; all that begin so when it ends with a point, as
    /// `plugin.`.
    r#type: Option<String>,
    /// Only of this session.
    session_id: Option<String>,
    /// Only of this user, by name or by name of record. Others than oneself: `manage_assistant`.
    user: Option<String>,
}

impl HistoryQuery {
    fn filter(self) -> Result<Filter, Fault> {
        Ok(Filter {
            from: moment("start", self.start.as_deref(), false)?,
            until: moment("end", self.end.as_deref(), true)?,
            text: given(self.q),
            plugin: given(self.plugin),
            kind: given(self.r#type),
            session: given(self.session_id),
            user: given(self.user),
        })
    }
}

/// Text that narrows a list; clients send an empty one for none.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A moment of the query; as an end it is the first one that is not in the span any more.
fn moment(name: &str, text: Option<&str>, is_end: bool) -> Result<Option<Moment>, Fault> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let moment = Moment::parse(text).ok_or_else(|| {
        Fault::fields(vec![Field {
            place: ["query", name].map(str::to_owned).to_vec(),
            wrong: "value_error",
            message: "This must be a date, or a date and time (RFC 3339).".into(),
        }])
    })?;
    let is_date = !text.contains(['T', 't', ' ', ':']);
    let step = if is_date { DAY_MS } else { 1 };
    Ok(Some(if is_end { Moment(moment.0.saturating_add(step)) } else { moment }))
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventView {
    /// Its number; never given twice.
    id: u64,
    /// What happened, for instance `chat.answer`.
    r#type: String,
    /// What there is to know of it, secrets masked. An answer to somebody else that cites what is closed
    /// to the caller has `"answer": null, "closed": true`.
    #[schema(value_type = Object)]
    payload: Value,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// Whose it is, by name.
    user: String,
    /// Whose it is, by name of record.
    #[schema(value_type = Option<String>, format = Uuid)]
    user_id: Option<Id>,
    /// The session it was done in.
    session_id: Option<String>,
    /// The plugin it is about.
    plugin: Option<String>,
}

impl From<Seen> for EventView {
    fn from(seen: Seen) -> Self {
        Self {
            id: seen.number,
            r#type: seen.event.kind,
            payload: seen.payload,
            created_at: seen.event.at,
            user: seen.event.username,
            user_id: seen.event.user,
            session_id: seen.event.session,
            plugin: seen.event.plugin,
        }
    }
}

/// A page of the history.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryList {
    /// Newest first.
    items: Vec<EventView>,
    /// How many fit, of the newest million.
    total: u64,
}

/// Lists what was asked and answered: the caller's own, and everybody's for those who may see them
/// (`manage_assistant`, `export_activity`), whose look is journaled.
#[utoipa::path(get, path = "/history", tag = "assistant", params(HistoryQuery),
    responses((status = 200, body = HistoryList),
        (status = 403, description = "`right_missing`, also for another user's; `user_required`"),
        (status = 422, description = "Parameters at fault")))]
async fn list_history(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Query(asked): Query<HistoryQuery>,
) -> Answer<HistoryList> {
    let limit = super::limit(asked.limit, USUAL, MOST)?;
    let part = Part { offset: asked.offset, limit };
    let filter = asked.filter()?;
    let listed = run(move || thinking.history.list(&caller, &filter, part)).await?;
    let items = listed.items.into_iter().map(EventView::from).collect();
    Ok(Json(HistoryList { items, total: listed.total }))
}

/// Whose events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ClearQuery {
    /// Whether everybody's go; else the caller's own.
    all: bool,
}

/// What went.
#[derive(Debug, Serialize, ToSchema)]
struct Cleared {
    /// `cleared`.
    status: &'static str,
    /// How many events.
    deleted: u64,
}

/// Throws the caller's own history away; with `all` everybody's (`manage_assistant`, and a fresh password).
#[utoipa::path(delete, path = "/history", tag = "assistant", params(ClearQuery),
    responses((status = 200, body = Cleared),
        (status = 403, description = "`right_missing`, `session_required`, `step_up_required`")))]
async fn clear_history(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    Query(asked): Query<ClearQuery>,
) -> Answer<Cleared> {
    let deleted = run(move || thinking.history.clear(&caller, asked.all)).await?;
    Ok(Json(Cleared { status: "cleared", deleted }))
}
