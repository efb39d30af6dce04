//! The history's door (assistant.md §3.6): list, clear, replay.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::history::{Filter, History, Pair, Part, Seen, Which};
use super::super::records::talk::{Citation, Origin};
use super::super::thinking::Thinking;
use super::conversations::CitationView;
use crate::base::caller::Caller;
use crate::base::clock::Moment;
use crate::base::fault::{Fault, Field};
use crate::base::id::Id;
use crate::web::{Answer, Asker, Json, Query, WebFault, run};

/// Events of a page when the request does not say how many (assistant.md §3.6).
const USUAL: usize = 20;
/// Events of a page at most.
const MOST: usize = 200;
/// The media type of answers that come one line after another.
const LINES: &str = "application/x-ndjson";
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Thinking> {
    OpenApiRouter::new()
        .routes(routes!(list_history, clear_history))
        .routes(routes!(replay_history))
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
    /// What there is to know of it, secrets masked. An answer that was made of what is closed to the
    /// caller has `"answer": null, "closed": true`.
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

/// Which answers are replayed; without a body the last 30.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct ReplayBody {
    /// These events, 100 at most.
    ids: Option<Vec<u64>>,
    /// How many of the last ones, 1 to 100; 30 unless told.
    limit: Option<usize>,
}

/// One of the two answers.
#[derive(Debug, Serialize, ToSchema)]
struct ReplayedView {
    /// Its text; none when it was made of what is closed to the caller now.
    answer: Option<String>,
    /// How it came about: `grounded`, `extract`, `model`, `not_found`.
    #[schema(value_type = Option<String>)]
    origin: Option<Origin>,
    /// The passages it cites.
    citations: Vec<CitationView>,
    /// The model that wrote it.
    model: Option<String>,
}

/// An answer of then beside the one of today.
#[derive(Debug, Serialize, ToSchema)]
struct PairView {
    /// The event of then.
    event: EventView,
    /// What was asked.
    question: String,
    /// The answer of then.
    old: ReplayedView,
    /// The answer of today; none when there is none.
    new: Option<ReplayedView>,
    /// Why there is none: a fault's code.
    failure: Option<&'static str>,
    /// Whether both say the same from the same passages.
    same: bool,
}

/// What was replayed.
#[derive(Debug, Serialize, ToSchema)]
struct ReplayList {
    /// In the order asked for, else newest first.
    items: Vec<PairView>,
}

/// Both answers with what they cite, as the caller may read it now.
async fn compared(history: History, caller: Caller, pair: Pair) -> Result<PairView, WebFault> {
    run(move || {
        let cited = |places: &[Citation]| {
            let cited = history.cited(&caller, places)?;
            Ok::<_, Fault>(cited.into_iter().map(CitationView::from).collect())
        };
        let Pair { then, new, same } = pair;
        let old = ReplayedView {
            citations: cited(&then.citations)?,
            answer: then.answer,
            origin: then.origin,
            model: then.model,
        };
        let failure = new.as_ref().err().map(|fault| fault.code);
        let new = match new {
            Ok(new) => Some(ReplayedView {
                citations: cited(&new.citations)?,
                answer: Some(new.answer),
                origin: Some(new.origin),
                model: new.model,
            }),
            Err(_) => None,
        };
        let (event, question) = (then.event.into(), then.question);
        Ok(PairView { event, question, old, new, failure, same })
    })
    .await
}

/// Asks again what was asked, against today's model and documents and with the caller's own rights, and
/// answers both side by side: the given events, else the last ones; one's own, and everybody's for those
/// who may see them. With `Accept: application/x-ndjson` each pair is a line that comes when it is there.
/// Whoever goes away stops it.
#[utoipa::path(post, path = "/history/replay", tag = "assistant", request_body = Option<ReplayBody>,
    responses((status = 200, body = ReplayList), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`: no such event, or no answer"),
        (status = 422, description = "Fields at fault")))]
async fn replay_history(
    State(thinking): State<Thinking>,
    Asker(caller): Asker,
    headers: HeaderMap,
    body: Option<Json<ReplayBody>>,
) -> Result<Response, WebFault> {
    let Json(body) = body.unwrap_or_default();
    let which = Which { ids: body.ids, limit: body.limit };
    let (history, who) = (thinking.history.clone(), caller.clone());
    let replayer = Arc::new(thinking.answers.clone());
    let mut going = run(move || history.replay(&who, &which, replayer)).await?;
    if headers.get(ACCEPT).is_some_and(|accepts| accepts.as_bytes() == LINES.as_bytes()) {
        let lines =
            unfold((going, thinking.history, caller), |(mut going, history, caller)| async move {
                let pair = going.next().await?;
                let line = compared(history.clone(), caller.clone(), pair).await;
                let line = line.map_err(|fault| std::io::Error::other(fault.fault().to_string()));
                let line = line
                    .and_then(|view| serde_json::to_string(&view).map_err(std::io::Error::other));
                Some((line.map(|line| Bytes::from(line + "\n")), (going, history, caller)))
            });
        return Ok(([(CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response());
    }
    let mut items = Vec::with_capacity(going.left());
    while let Some(pair) = going.next().await {
        items.push(compared(thinking.history.clone(), caller.clone(), pair).await?);
    }
    Ok(Json(ReplayList { items }).into_response())
}
