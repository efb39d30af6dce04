//! The box about itself: health, counters, the clock, the certificate authority.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::caller::{Door, Right, Who};
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level, Report};
use crate::domains::assistant::Assistant;
use crate::domains::assistant::generation::Generation;
use crate::engines::tls::Tls;
use crate::store::clock_watch::Doubt;
use crate::store::meta::CLOCKS;
use crate::store::{Deed, Reader, Store};
use crate::web::meters::{MEDIA_TYPE, Meters};
use crate::web::{Answer, Asker, Json, WebFault, run};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the box tells about itself from.
#[derive(Clone)]
pub struct System {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The board of the parts.
    pub health: Health,
    /// The store.
    pub store: Store,
    /// The assistant, for how its indexes are.
    pub assistant: Assistant,
    /// What writes, for its model's name.
    pub generation: Generation,
    /// The counters.
    pub meters: Meters,
    /// Whether they are open to everybody.
    pub meters_open: bool,
    /// The certificate authority, when there is https.
    pub tls: Option<Tls>,
    /// When the box began, on the boot clock.
    pub began: std::time::Duration,
}

impl System {
    /// The name of the model that writes. Three clients poll for this answer: a store that does not
    /// say shows in other fields.
    fn llm(&self) -> String {
        self.generation.model_name().ok().flatten().unwrap_or_else(|| "missing".into())
    }

    fn uptime(&self) -> u64 {
        self.clock.since_boot().saturating_sub(self.began).as_secs()
    }
}

/// The routes.
pub fn routes(system: System) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(detail))
        .routes(routes!(metrics))
        .routes(routes!(authority))
        .routes(routes!(settle_clock))
        .with_state(Arc::new(system))
}

/// The answer that watchdogs and the five systems' clients poll for (one-server.md).
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the clients' own fields")]
struct HealthAnswer {
    /// `ok` while the process serves.
    status: &'static str,
    /// Always true.
    healthy: bool,
    /// This program's version.
    version: &'static str,
    /// Now.
    #[schema(value_type = String, format = DateTime)]
    time: Moment,
    /// Now, as some clients call it.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Moment,
    /// Seconds since the box began.
    uptime_seconds: u64,
    /// The same for people.
    uptime_formatted: String,
    /// Whether models run on a GPU.
    gpu: bool,
    /// Plugins there are.
    plugins_count: u32,
    /// `ok` or `error`.
    db: &'static str,
    /// Whether the store is open.
    db_ok: bool,
    /// Whether the index of vectors is usable.
    faiss_ok: bool,
    /// The name of the language model in use; `missing` when there is none.
    llm: String,
    /// Changes that the index of words has not followed yet.
    index_lag: u64,
}

fn formatted(seconds: u64) -> String {
    format!(
        "{}d {:02}:{:02}:{:02}",
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Says that the box serves. Open to everybody and cheap; the truth in full is at `/health/detail`.
#[utoipa::path(get, path = "/health", tag = "box", responses((status = 200, body = HealthAnswer)))]
async fn health(State(system): State<Arc<System>>) -> Json<HealthAnswer> {
    let (now, uptime) = (system.clock.now(), system.uptime());
    let failed = |part: &str| system.health.level(part) == Some(Level::Failed);
    let db_ok = !failed("store");
    Json(HealthAnswer {
        status: "ok",
        healthy: true,
        version: VERSION,
        time: now,
        timestamp: now,
        uptime_seconds: uptime,
        uptime_formatted: formatted(uptime),
        gpu: false,
        plugins_count: 0,
        db: if db_ok { "ok" } else { "error" },
        db_ok,
        faiss_ok: system.health.level("model") == Some(Level::Ok),
        llm: system.llm(),
        index_lag: system.assistant.lag(),
    })
}

/// One part of the box.
#[derive(Debug, Serialize, ToSchema)]
struct PartView {
    /// `ok`, `reduced` or `failed`.
    #[schema(value_type = String, example = "ok")]
    level: Level,
    /// What is so.
    detail: String,
    /// What to do about it; empty when nothing is to be done.
    advice: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
}

impl From<Report> for PartView {
    fn from(report: Report) -> Self {
        Self {
            level: report.level,
            detail: report.detail,
            advice: report.advice,
            since: report.since,
        }
    }
}

/// What is known about the clock.
#[derive(Debug, Serialize, ToSchema)]
struct ClockView {
    /// Now.
    #[schema(value_type = String, format = DateTime)]
    server_time: Moment,
    /// The open interval of doubt.
    #[schema(value_type = Option<Object>)]
    doubt: Option<Doubt>,
}

/// What is known about the disk.
#[derive(Debug, Serialize, ToSchema)]
struct DiskView {
    /// Bytes free where the store lies.
    free_bytes: u64,
}

/// What is known about the certificate.
#[derive(Debug, Serialize, ToSchema)]
struct CertificateView {
    /// The SHA-256 of the authority's certificate, as devices show it.
    fingerprint: String,
    /// When the present certificate ends; a new one is made before.
    #[schema(value_type = String, format = DateTime)]
    ends: Moment,
}

/// The truth about every part.
#[derive(Debug, Serialize, ToSchema)]
struct DetailAnswer {
    /// The worst level of any part.
    #[schema(value_type = String, example = "ok")]
    level: Level,
    /// The parts by name.
    parts: BTreeMap<String, PartView>,
    /// This program's version.
    version: &'static str,
    /// Seconds since the box began.
    uptime_seconds: u64,
    /// The clock.
    clock: ClockView,
    /// The disk.
    disk: DiskView,
    /// The certificate, when there is https.
    certificate: Option<CertificateView>,
}

/// Tells how every part of the box is, and what to do about it.
#[utoipa::path(get, path = "/health/detail", tag = "box",
    responses((status = 200, body = DetailAnswer), (status = 401, description = "Nobody is signed in"),
        (status = 403, description = "`right_missing`: a kiosk asks")))]
async fn detail(State(system): State<Arc<System>>, Asker(caller): Asker) -> Answer<DetailAnswer> {
    caller.signed_in()?;
    caller.not_held()?;
    // Plan B's client watches over the box and has nothing else to go by. A kiosk stands at a door where
    // anybody may take its key, and how the disk and the certificate are is not its business.
    if matches!(caller.who, Who::Machine { .. }) && caller.door != Door::PlanB {
        return Err(Fault::forbidden(
            "right_missing",
            "How the box is, is told to people and to Plan B alone.",
        )
        .into());
    }
    let answer = run(move || {
        let kept = system.store.read(|view| view.get(&CLOCKS, &"wall".to_owned()))?;
        Ok(DetailAnswer {
            level: system.health.worst(),
            parts: system.health.all().into_iter().map(|(name, r)| (name, r.into())).collect(),
            version: VERSION,
            uptime_seconds: system.uptime(),
            clock: ClockView { server_time: system.clock.now(), doubt: kept.and_then(|k| k.doubt) },
            disk: DiskView { free_bytes: system.store.free_bytes()? },
            certificate: system
                .tls
                .as_ref()
                .map(|tls| CertificateView { fingerprint: tls.fingerprint(), ends: tls.ends() }),
        })
    })
    .await?;
    Ok(Json(answer))
}

/// The counters, as Prometheus reads them. Signed-in administrators only, unless `metrics.open`.
#[utoipa::path(get, path = "/metrics", tag = "box",
    responses((status = 200, description = "Prometheus text", content_type = "text/plain"),
        (status = 401, description = "Nobody is signed in")))]
async fn metrics(
    State(system): State<Arc<System>>,
    Asker(caller): Asker,
) -> Result<Response, WebFault> {
    if !system.meters_open {
        caller.require(Right::AdminAccess)?;
    }
    system.meters.tend();
    let mut text = system.meters.render();
    let traffic = system.store.traffic();
    let load = std::sync::atomic::Ordering::Relaxed;
    for (name, kind, help, value) in [
        ("ilot_store_changes_total", "counter", "Changes of the store.", system.store.seq()),
        (
            "ilot_store_written_bytes_total",
            "counter",
            "Bytes written by the store.",
            traffic.written.load(load),
        ),
        (
            "ilot_store_syncs_total",
            "counter",
            "Times the store waited for its disk.",
            traffic.syncs.load(load),
        ),
        (
            "ilot_index_lag",
            "gauge",
            "Changes the index of words has not followed.",
            system.assistant.lag(),
        ),
    ] {
        use std::fmt::Write;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// The certificate of the box's own authority, for devices to trust.
#[utoipa::path(get, path = "/ca.crt", tag = "box",
    responses((status = 200, description = "A certificate, DER", content_type = "application/x-x509-ca-cert"),
        (status = 404, description = "There is no https")))]
async fn authority(State(system): State<Arc<System>>) -> Result<Response, WebFault> {
    let tls = system.tls.as_ref().ok_or_else(|| Fault::not_found("certificate"))?;
    let headers = [
        (CONTENT_TYPE, "application/x-x509-ca-cert"),
        (CONTENT_DISPOSITION, "attachment; filename=\"ilot-ca.crt\""),
    ];
    Ok((headers, tls.root_der().to_vec()).into_response())
}

/// What confirming the clock answers.
#[derive(Debug, Serialize, ToSchema)]
struct ClockSettled {
    /// Always `ok`.
    status: &'static str,
}

/// Confirms that the clock is right now: ends the interval of doubt.
#[utoipa::path(post, path = "/clock/settle", tag = "box",
    responses((status = 200, body = ClockSettled), (status = 403, description = "`right_missing`")))]
async fn settle_clock(
    State(system): State<Arc<System>>,
    Asker(caller): Asker,
) -> Answer<ClockSettled> {
    caller.require(Right::AdminAccess)?;
    run(move || {
        system.store.write(move |tx| {
            tx.settle_clock();
            tx.journal(&caller, Deed::new("clock.settle", ""))
        })
    })
    .await?;
    Ok(Json(ClockSettled { status: "ok" }))
}
