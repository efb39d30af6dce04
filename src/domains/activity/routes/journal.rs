//! The pages' own list with the state of the chain, the walk along it, and the way out of the box.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::ledger::Export;
use super::super::reading::{Filter, Part};
use super::super::verification::{ChainState, Verdict};
use super::super::{Activity, deeds};
use super::{End, given, limit, moment, reading};
use crate::base::clock::Moment;
use crate::base::id::Id;
use crate::store::chain::Offence;
use crate::store::journal::Link;
use crate::web::{Answer, Asker, Json, Query, WebFault, run};

/// Links of a page when the request does not say how many, and at most.
const USUAL: usize = 50;
const MOST: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Activity> {
    OpenApiRouter::new().routes(routes!(journal)).routes(routes!(verify)).routes(routes!(export))
}

/// Which links.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct JournalQuery {
    /// Only of those whose name contains this.
    who: Option<String>,
    /// Only deeds that start with this, for instance `user.`.
    deed: Option<String>,
    /// Only what was done to objects that contain this.
    object: Option<String>,
    /// Only through this door: `cookie`, `bearer`, `key`, `kiosk`, `planb`, `open`, `console`, `inside`.
    door: Option<String>,
    /// Only from this address.
    address: Option<String>,
    /// From this date (in the site's time zone) or moment on.
    from: Option<String>,
    /// Until this date or moment, itself included.
    to: Option<String>,
    /// Only links with numbers below this one: the next page.
    before_number: Option<u64>,
    /// How many, 50 unless told, 200 at most.
    limit: Option<usize>,
}

/// A link.
#[derive(Debug, Serialize, ToSchema)]
struct LinkView {
    /// Its number, from 1 without gaps.
    number: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
    /// Who.
    who: String,
    /// Who, as a user of the directory.
    #[schema(value_type = Option<String>, format = Uuid)]
    user: Option<Id>,
    /// Through which door.
    door: String,
    /// From which address.
    address: Option<String>,
    /// With which program, as far as it says.
    agent: Option<String>,
    /// In which session.
    #[schema(value_type = Option<String>, format = Uuid)]
    session: Option<Id>,
    /// In which request.
    request: String,
    /// What, for instance `user.add`.
    deed: String,
    /// To what.
    object: String,
    /// The state before.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The state after.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Whether the clock was in doubt when it was written.
    doubtful: bool,
    /// What, in TomatoPlan's words.
    action_type: String,
    /// To what kind of thing.
    entity_type: String,
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        let state = |text: Option<String>| {
            text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
        };
        Self {
            action_type: deeds::action(&link).into_owned(),
            entity_type: deeds::entity(&link.deed).to_owned(),
            number: link.number,
            at: link.at,
            who: link.who,
            user: link.user,
            door: link.door,
            address: link.address,
            agent: link.agent,
            session: link.session,
            request: link.request,
            deed: link.deed,
            object: link.object,
            before: state(link.before),
            after: state(link.after),
            doubtful: link.doubtful,
        }
    }
}

/// Something that was done to the chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct OffenceView {
    /// The number of the link it shows at.
    number: u64,
    /// `edited`, `deleted`, `inserted`, `reordered`, `cut`, `rewritten`, `checkpoint_forged`, or (of an
    /// exported file) `export_unsigned`.
    wrong: &'static str,
    /// The link's deed, where it can be read.
    deed: Option<String>,
    /// The link's moment, likewise.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Moment>,
}

impl From<Offence> for OffenceView {
    fn from(offence: Offence) -> Self {
        Self {
            number: offence.number,
            wrong: offence.wrong.name(),
            deed: offence.deed,
            at: offence.at,
        }
    }
}

/// A signed checkpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckpointView {
    /// The number of the link that was signed.
    number: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Moment,
}

impl From<(u64, Moment)> for CheckpointView {
    fn from((number, at): (u64, Moment)) -> Self {
        Self { number, at }
    }
}

/// How the chain is, as far as the last walk along it knows.
#[derive(Debug, Serialize, ToSchema)]
struct ChainView {
    /// How many links there are.
    links: u64,
    /// Whether the last walk found nothing; none before the first walk.
    ok: Option<bool>,
    /// The first thing that it found.
    offence: Option<OffenceView>,
    /// The last checkpoint.
    last_checkpoint: Option<CheckpointView>,
    /// When the last walk ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Moment>,
}

impl From<ChainState> for ChainView {
    fn from(state: ChainState) -> Self {
        Self {
            links: state.links,
            ok: state.verified.as_ref().map(|verified| verified.count == 0),
            verified_at: state.verified.as_ref().map(|verified| verified.at),
            offence: state.verified.and_then(|verified| verified.first).map(OffenceView::from),
            last_checkpoint: state.last_checkpoint.map(CheckpointView::from),
        }
    }
}

/// A page of the journal.
#[derive(Debug, Serialize, ToSchema)]
struct JournalView {
    /// How many links fit, of the newest five million; with `before_number`, how many of those before it.
    total: u64,
    /// Those of this page, newest first.
    items: Vec<LinkView>,
    /// How the chain is.
    chain: ChainView,
}

/// Lists links, newest first, with the state of the chain. The next page is the one before the last
/// number shown.
#[utoipa::path(get, path = "/admin/journal", tag = "activity", params(JournalQuery),
    responses((status = 200, body = JournalView), (status = 403, description = "`right_missing`"),
        (status = 422, description = "Parameters at fault")))]
async fn journal(
    State(desk): State<Activity>,
    Asker(caller): Asker,
    Query(asked): Query<JournalQuery>,
) -> Answer<JournalView> {
    let limit = limit(asked.limit, USUAL, MOST)?;
    let view = run(move || {
        let words = reading(
            "journal",
            &[
                ("who", &asked.who),
                ("deed", &asked.deed),
                ("object", &asked.object),
                ("door", &asked.door),
                ("address", &asked.address),
                ("from", &asked.from),
                ("to", &asked.to),
            ],
        );
        let filter = Filter {
            who: given(asked.who),
            deed: given(asked.deed),
            object: given(asked.object),
            door: given(asked.door),
            address: given(asked.address),
            from: moment(&desk, "from", asked.from, End::From)?,
            until: moment(&desk, "to", asked.to, End::Until)?,
            before_number: asked.before_number,
            ..Filter::default()
        };
        let part = Part { offset: 0, limit, count: true };
        let found = desk.list(&caller, &words, &filter, part)?;
        let chain = desk.chain_state(&caller)?.into();
        let items = found.links.into_iter().map(LinkView::from).collect();
        Ok(JournalView { total: found.total, items, chain })
    })
    .await?;
    Ok(Json(view))
}

/// What a walk along the chain says.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictView {
    /// Whether nothing was found.
    pub ok: bool,
    /// Links walked along.
    links: u64,
    /// How many offences there are.
    count: u64,
    /// The first hundred of them, by number.
    offences: Vec<OffenceView>,
    /// The site it is of.
    site: String,
    /// The last checkpoint whose signature is good.
    last_checkpoint: Option<CheckpointView>,
    /// The SHA-256 of the public key, to compare with the one on paper.
    fingerprint: Option<String>,
    /// When it was exported; none for a store.
    #[schema(value_type = Option<String>, format = DateTime)]
    exported_at: Option<Moment>,
}

impl From<Verdict> for VerdictView {
    fn from(verdict: Verdict) -> Self {
        Self {
            ok: verdict.findings.whole(),
            links: verdict.findings.links,
            count: verdict.findings.count,
            offences: verdict.findings.offences.into_iter().map(OffenceView::from).collect(),
            site: verdict.site,
            last_checkpoint: verdict.last_checkpoint.map(CheckpointView::from),
            fingerprint: verdict.fingerprint,
            exported_at: verdict.exported_at,
        }
    }
}

/// Walks along the whole chain now and names what was done to it.
#[utoipa::path(get, path = "/admin/audit-logs/verify", tag = "activity",
    responses((status = 200, body = VerdictView), (status = 403, description = "`right_missing`"),
        (status = 429, description = "`verification_running`")))]
async fn verify(State(desk): State<Activity>, Asker(caller): Asker) -> Answer<VerdictView> {
    Ok(Json(run(move || desk.verify(&caller)).await?.into()))
}

/// Takes the whole journal out of the box: one JSON line a link, with signed checkpoints
/// (`ilot-journal/1`). Asks for a fresh password.
#[utoipa::path(get, path = "/admin/audit-logs/export", tag = "activity",
    responses((status = 200, description = "NDJSON", content_type = "application/x-ndjson", body = String),
        (status = 403, description = "`right_missing`, `step_up_required`")))]
async fn export(State(desk): State<Activity>, Asker(caller): Asker) -> Result<Response, WebFault> {
    let export = run(move || desk.export(&caller)).await?;
    let day: String = export.began().to_rfc3339().chars().take(10).collect();
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"ilot-journal-{day}.ndjson\"")),
    ];
    Ok((headers, stream(export)).into_response())
}

/// The parts, one after another as they are taken; memory stays flat.
fn stream(export: Export) -> Body {
    let parts = futures_util::stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        let read = run(move || {
            let part = export.part()?;
            Ok((part, export))
        });
        match read.await {
            Ok((Some(part), export)) => Some((Ok(Bytes::from(part)), Some(export))),
            Ok((None, _)) => None,
            // What is sent so far lacks its trailer, so nobody takes it for whole.
            Err(fault) => Some((Err(std::io::Error::other(fault.fault().to_string())), None)),
        }
    });
    Body::from_stream(parts)
}
