//! Plan B's page: the continuity desk, its pack, its watchdog and what came back, on one board.

mod views;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::packing::Prompt;
use super::replay::{Lying, Replay};
use crate::base::caller::{Caller, Door, Right};
use crate::base::clock::Clock;
use crate::base::fault::{Fault, Field};
use crate::base::id::Id;
use crate::domains::continuity::keys::{KeyDraft, ScopedKey};
use crate::domains::continuity::pack::{PackState, Packer};
use crate::domains::continuity::sealing::SealingState;
use crate::domains::continuity::watchdog::state::{Drill, DrillWish, Seen, WatchdogState};
use crate::domains::continuity::watchdog::{drill, history, lock};
use crate::domains::continuity::{Continuity, ContinuityState};
use crate::domains::handover::Handover;
use crate::domains::handover::lists::{Asked, LIST_MAX};
use crate::store::{Deed, Store};
use crate::web::{Answer, Asker, Json, Path, Query, WebFault, run};
use views::{
    ArrivalPage, ArrivalView, BoardAnswer, DrillList, NewKey, ReportList, WatchdogHistory,
};

/// Lines of the watchdog's history when the request does not say how many.
const HISTORY_USUAL: usize = 200;
/// The most lines of history that one call lists.
const HISTORY_MAX: usize = 2_000;
/// Arrivals of a list when the request does not say how many.
const ARRIVALS_USUAL: usize = 50;
/// The longest grace of a key before, seconds: a week.
const GRACE_MAX: u64 = 7 * 24 * 3600;

/// How the directory calls a person; none for whoever is not in it.
pub type Called = Arc<dyn Fn(Id) -> Result<Option<String>, Fault> + Send + Sync>;

/// Everything that Plan B's page shows and does.
#[derive(Clone)]
pub struct Board {
    /// Role, keys, sealing.
    pub continuity: Continuity,
    /// What keeps the pack fresh; none when the node's key is damaged.
    pub packer: Option<Packer>,
    /// What has it written at once when who may do what changes; none without it.
    pub prompt: Option<Prompt>,
    /// What came back.
    pub handover: Handover,
    /// How it comes back.
    pub replay: Replay,
    /// Who wrote it and whom it is about.
    pub names: Called,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The store, for the journal of what is done to files.
    pub store: Store,
    /// Where Plan B's own door is set to listen.
    pub address: String,
}

/// How everything stands.
pub(crate) struct Standing {
    state: ContinuityState,
    pack: Option<PackState>,
    watchdog: Option<(bool, WatchdogState)>,
    wish: Option<DrillWish>,
    lying: Lying,
    open: u64,
}

impl Board {
    /// How everything stands.
    ///
    /// # Errors
    /// `right_missing`, or what the file system or the store says.
    fn standing(&self, caller: &Caller) -> Result<Standing, Fault> {
        let state = self.continuity.state(caller)?;
        let place = self.continuity.place();
        let now = self.clock.now();
        Ok(Standing {
            state,
            pack: self.packer.as_ref().and_then(Packer::state),
            watchdog: history::state(place).map(|state| (lock::is_held(place), state)),
            wish: drill::waiting(place, now),
            lying: self.replay.lying()?,
            open: self.handover.total_open(caller)?,
        })
    }

    /// The watchdog's history, newest first.
    ///
    /// # Errors
    /// `right_missing`.
    fn history(&self, caller: &Caller, limit: usize) -> Result<Vec<Seen>, Fault> {
        caller.require(Right::UseContinuity)?;
        Ok(history::latest(self.continuity.place(), limit.min(HISTORY_MAX)))
    }

    /// The proofs of drills, newest first, each with whether this node signed it.
    ///
    /// # Errors
    /// `right_missing`.
    fn drills(&self, caller: &Caller) -> Result<Vec<(Drill, bool)>, Fault> {
        caller.require(Right::UseContinuity)?;
        Ok(drill::held(self.continuity.place()))
    }

    /// Asks the watchdog for a drill: the main program is stopped in a moment, and comes back.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, `validation`, `watchdog_absent`, `drill_under_way`,
    /// `drill_not_now`.
    fn drill(&self, caller: &Caller, seconds: u64) -> Result<DrillWish, Fault> {
        caller.require(Right::ManageContinuity)?;
        // Whoever holds Plan B's own key has no password to give.
        if caller.door != Door::PlanB {
            caller.fresh(self.clock.now())?;
        }
        if !(drill::SECONDS_MIN..=drill::SECONDS_MAX).contains(&seconds) {
            let (least, most) = (drill::SECONDS_MIN, drill::SECONDS_MAX);
            let message = format!("A drill takes {least} to {most} seconds.");
            return Err(Fault::field("seconds", "value_error", message));
        }
        let place = self.continuity.place();
        let wish = drill::wish(place, self.clock.as_ref(), seconds, caller.name())?;
        let deed = Deed::new("planb_drill.ask", wish.id).after(&seconds);
        self.journal(caller, deed)?;
        Ok(wish)
    }

    /// Writes the pack now.
    ///
    /// # Errors
    /// `right_missing`, `node_key_damaged`, `pack_full`, `pack_too_large`, or what the file system says.
    fn pack(&self, caller: &Caller) -> Result<PackState, Fault> {
        caller.require(Right::ManageContinuity)?;
        let Some(packer) = &self.packer else {
            // The desk says why; when it is well by now, the next start makes the packer.
            self.continuity.node()?;
            return Err(Fault::unavailable(
                "node_key_damaged",
                "This node's key was damaged when the box started: restart it.",
            ));
        };
        let state = packer.write_now()?;
        self.journal(caller, Deed::new("planb_pack.write", state.generation))?;
        Ok(state)
    }

    fn journal(&self, caller: &Caller, deed: Deed) -> Result<(), Fault> {
        let who = caller.clone();
        self.store.write(move |tx| tx.journal(&who, deed))
    }
}

/// The routes.
pub fn routes(board: Board) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(continuity))
        .routes(routes!(continuity_history))
        .routes(routes!(continuity_drills))
        .routes(routes!(continuity_drill))
        .routes(routes!(continuity_role))
        .routes(routes!(continuity_rotate))
        .routes(routes!(continuity_add_key))
        .routes(routes!(continuity_remove_key))
        .routes(routes!(continuity_rotate_sealing))
        .routes(routes!(continuity_pack))
        .routes(routes!(continuity_reports))
        .routes(routes!(continuity_arrivals))
        .routes(routes!(continuity_arrival_done))
        .with_state(board)
}

/// How Plan B stands: role, keys, sealing, pack, watchdog, outbox.
#[utoipa::path(get, path = "/continuity", tag = "continuity",
    responses((status = 200, body = BoardAnswer), (status = 403, description = "`right_missing`")))]
async fn continuity(State(board): State<Board>, Asker(caller): Asker) -> Answer<BoardAnswer> {
    let address = board.address.clone();
    let standing = run(move || board.standing(&caller)).await?;
    Ok(Json(BoardAnswer::of(standing, address)))
}

/// How much of the watchdog's history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct HistoryAsked {
    /// Lines, at most 2,000; 200 unless told.
    limit: Option<usize>,
}

/// What the watchdog saw, newest first.
#[utoipa::path(get, path = "/continuity/history", tag = "continuity", params(HistoryAsked),
    responses((status = 200, body = WatchdogHistory), (status = 403, description = "`right_missing`")))]
async fn continuity_history(
    State(board): State<Board>,
    Asker(caller): Asker,
    Query(asked): Query<HistoryAsked>,
) -> Answer<WatchdogHistory> {
    let limit = asked.limit.unwrap_or(HISTORY_USUAL);
    Ok(Json(run(move || board.history(&caller, limit)).await?.into()))
}

/// What drills have proved, newest first.
#[utoipa::path(get, path = "/continuity/drills", tag = "continuity",
    responses((status = 200, body = DrillList), (status = 403, description = "`right_missing`")))]
async fn continuity_drills(State(board): State<Board>, Asker(caller): Asker) -> Answer<DrillList> {
    Ok(Json(run(move || board.drills(&caller)).await?.into()))
}

/// For how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DrillBody {
    /// Seconds that Plan B answers, 10 to 600; 120 unless told.
    #[serde(default = "usual_drill")]
    #[schema(default = 120, minimum = 10, maximum = 600)]
    seconds: u64,
}

fn usual_drill() -> u64 {
    drill::SECONDS
}

/// A drill that was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct DrillAsked {
    /// Its name, which its proof will have.
    #[schema(value_type = String, format = Uuid)]
    id: Id,
    /// For how long, seconds.
    seconds: u64,
}

/// Asks for a drill: Plan B answers for a while in the place of the main program, which comes back then.
/// The password must be fresh.
#[utoipa::path(post, path = "/continuity/drill", tag = "continuity", request_body = DrillBody,
    responses((status = 202, body = DrillAsked),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 409, description = "`watchdog_absent`, `drill_under_way`, `drill_not_now`")))]
async fn continuity_drill(
    State(board): State<Board>,
    Asker(caller): Asker,
    Json(body): Json<DrillBody>,
) -> Result<(StatusCode, Json<DrillAsked>), WebFault> {
    let wish = run(move || board.drill(&caller, body.seconds)).await?;
    Ok((StatusCode::ACCEPTED, Json(DrillAsked { id: wish.id, seconds: wish.seconds })))
}

/// A role.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NodeRole {
    /// `server` or `client`.
    role: String,
}

/// Sets what this node is to the others.
#[utoipa::path(post, path = "/continuity/role", tag = "continuity", request_body = NodeRole,
    responses((status = 200, body = NodeRole), (status = 400, description = "`invalid_role`"),
        (status = 403, description = "`right_missing`")))]
async fn continuity_role(
    State(board): State<Board>,
    Asker(caller): Asker,
    Json(body): Json<NodeRole>,
) -> Answer<NodeRole> {
    let role = run(move || board.continuity.set_role(&caller, &body.role)).await?;
    Ok(Json(NodeRole { role: role.name().to_owned() }))
}

/// How long the key before is still taken.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct KeyRotateBody {
    /// Seconds, at most a week; 0 ends it at once, and without it the settings count.
    grace_seconds: Option<u64>,
}

/// A key that is told this once.
#[derive(Serialize, ToSchema)]
struct KeyRotated {
    /// The new key.
    api_key: String,
}

/// Puts a new key in the place of the file's. The password must be fresh.
#[utoipa::path(post, path = "/continuity/key/rotate", tag = "continuity",
    request_body = Option<KeyRotateBody>,
    responses((status = 200, body = KeyRotated),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 503, description = "`planb_key_damaged`")))]
async fn continuity_rotate(
    State(board): State<Board>,
    Asker(caller): Asker,
    body: Option<Json<KeyRotateBody>>,
) -> Answer<KeyRotated> {
    let grace = body.and_then(|Json(body)| body.grace_seconds);
    let key = run(move || {
        if grace.is_some_and(|seconds| seconds > GRACE_MAX) {
            caller.require(Right::ManageContinuity)?;
            let message = format!("'grace_seconds' is at most {GRACE_MAX}.");
            return Err(Fault::field("grace_seconds", "value_error", message));
        }
        board.continuity.rotate_key(&caller, grace.map(Duration::from_secs))
    });
    Ok(Json(KeyRotated { api_key: key.await?.to_string() }))
}

/// A further key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKeyBody {
    /// What to call it: 1 to 64 letters, digits, `-`, `_`, `.`.
    name: String,
    /// `status`, `crypto`, `tcp`; at least one.
    scopes: Vec<String>,
    /// How long it lives, 1 to 3,650 days; for ever unless told.
    #[serde(default)]
    days: Option<u32>,
}

/// Adds a further key, whose text is told this once. The password must be fresh.
#[utoipa::path(post, path = "/continuity/keys", tag = "continuity", request_body = NewKeyBody,
    responses((status = 201, body = NewKey),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 409, description = "`planb_key_name_taken`, `planb_keys_full`")))]
async fn continuity_add_key(
    State(board): State<Board>,
    Asker(caller): Asker,
    Json(body): Json<NewKeyBody>,
) -> Result<(StatusCode, Json<NewKey>), WebFault> {
    let draft = KeyDraft { name: body.name, scopes: body.scopes, days: body.days };
    let (text, key): (_, ScopedKey) = run(move || board.continuity.add_key(&caller, draft)).await?;
    Ok((StatusCode::CREATED, Json(NewKey::of(text.to_string(), key))))
}

/// A word for a deed done.
#[derive(Debug, Serialize, ToSchema)]
struct ContinuityDone {
    /// What was done.
    status: &'static str,
}

/// Takes a further key away; it ends at once.
#[utoipa::path(delete, path = "/continuity/keys/{name}", tag = "continuity",
    params(("name" = String, Path, description = "The key")),
    responses((status = 200, body = ContinuityDone), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`")))]
async fn continuity_remove_key(
    State(board): State<Board>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Answer<ContinuityDone> {
    run(move || board.continuity.remove_key(&caller, &name)).await?;
    Ok(Json(ContinuityDone { status: "deleted" }))
}

/// Puts a new sealing key in force; those before still open what they sealed. The password must be fresh.
#[utoipa::path(post, path = "/continuity/sealing/rotate", tag = "continuity",
    responses((status = 200, body = SealingState),
        (status = 403, description = "`right_missing`, `step_up_required`"),
        (status = 503, description = "`sealing_key_damaged`")))]
async fn continuity_rotate_sealing(
    State(board): State<Board>,
    Asker(caller): Asker,
) -> Answer<SealingState> {
    Ok(Json(run(move || board.continuity.rotate_sealing(&caller)).await?))
}

/// Writes the continuity pack now.
#[utoipa::path(post, path = "/continuity/pack", tag = "continuity",
    responses((status = 200, body = PackState), (status = 403, description = "`right_missing`"),
        (status = 503, description = "`node_key_damaged`"), (status = 507, description = "`pack_full`")))]
async fn continuity_pack(State(board): State<Board>, Asker(caller): Asker) -> Answer<PackState> {
    Ok(Json(run(move || board.pack(&caller)).await?))
}

/// What came of each file that Plan B wrote, newest first.
#[utoipa::path(get, path = "/continuity/reports", tag = "continuity",
    responses((status = 200, body = ReportList), (status = 403, description = "`right_missing`")))]
async fn continuity_reports(
    State(board): State<Board>,
    Asker(caller): Asker,
) -> Answer<ReportList> {
    Ok(Json(run(move || board.handover.reports(&caller)).await?.into()))
}

/// Which arrivals.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ArrivalsAsked {
    /// Only those that wait for a person or a taker, or only those that do not.
    open: Option<bool>,
    /// Only those of this file.
    #[serde(deserialize_with = "id_or_none")]
    #[param(value_type = Option<String>)]
    file: Option<Id>,
    /// How many, at most 500; 50 unless told.
    limit: Option<usize>,
    /// Only those before this one: the last of the page before.
    #[serde(deserialize_with = "id_or_none")]
    #[param(value_type = Option<String>)]
    before: Option<Id>,
}

/// An id of a query; an empty one is none.
fn id_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// What Plan B wrote down and what became of it, newest first.
#[utoipa::path(get, path = "/continuity/arrivals", tag = "continuity", params(ArrivalsAsked),
    responses((status = 200, body = ArrivalPage), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`: the page before")))]
async fn continuity_arrivals(
    State(board): State<Board>,
    Asker(caller): Asker,
    Query(asked): Query<ArrivalsAsked>,
) -> Answer<ArrivalPage> {
    let page = run(move || {
        let limit = asked.limit.unwrap_or(ARRIVALS_USUAL);
        if limit > LIST_MAX {
            caller.require(Right::UseContinuity)?;
            return Err(Fault::fields(vec![Field {
                place: vec!["query".into(), "limit".into()],
                wrong: "value_error",
                message: format!("At most {LIST_MAX} at once."),
            }]));
        }
        let asked = Asked { open: asked.open, file: asked.file, before: asked.before, limit };
        ArrivalPage::of(board.handover.arrivals(&caller, &asked)?, &board.names)
    });
    Ok(Json(page.await?))
}

/// What was done about it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct ArrivalDoneBody {
    /// In the person's words, at most 500 characters.
    remark: String,
}

/// Marks an arrival as dealt with.
#[utoipa::path(post, path = "/continuity/arrivals/{id}/done", tag = "continuity",
    params(("id" = String, Path, description = "The arrival")), request_body = Option<ArrivalDoneBody>,
    responses((status = 200, body = ArrivalView), (status = 403, description = "`right_missing`"),
        (status = 404, description = "`not_found`"), (status = 409, description = "`arrival_not_open`")))]
async fn continuity_arrival_done(
    State(board): State<Board>,
    Asker(caller): Asker,
    Path(id): Path<Id>,
    body: Option<Json<ArrivalDoneBody>>,
) -> Answer<ArrivalView> {
    let remark = body.map(|Json(body)| body.remark).unwrap_or_default();
    let arrived =
        run(move || ArrivalView::of(board.handover.done(&caller, id, &remark)?, &board.names));
    Ok(Json(arrived.await?))
}
