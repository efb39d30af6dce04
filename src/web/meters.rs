//! What the box counts, and `/metrics`, where Prometheus may read it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::fault::Fault;

/// The media type of [`Meters::render`] (Prometheus text exposition format 0.0.4).
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const REQUESTS: &str = "ilot_http_requests_total";
const SECONDS: &str = "ilot_http_request_seconds";
/// Upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The route of a request that matched none, so that guessed addresses cannot grow the table.
const NO_ROUTE: &str = "none";

/// The box's counters. Clones count together.
#[derive(Clone)]
pub struct Meters {
    handle: PrometheusHandle,
    routes: Arc<RwLock<HashMap<String, Vec<Meter>>>>,
}

/// Told of every answered request, on the way out: it only counts.
pub trait Observer: Send + Sync {
    /// A request was answered: its route as declared, if one matched, its method and status, and the time
    /// until the answer began.
    fn saw(&self, route: Option<&str>, method: &str, status: u16, took: Duration);
}

struct Meter {
    method: Method,
    status: StatusCode,
    count: Counter,
    seconds: Histogram,
}

impl Meters {
    /// The process's one recorder: the first call sets it up, later ones share it.
    ///
    /// # Errors
    /// `internal` when another recorder is in place already.
    pub fn new() -> Result<Self, Fault> {
        static SHARED: OnceLock<Result<Meters, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::set_up().map_err(|e| e.to_string()))
            .clone()
            .map_err(|e| Fault::broken("setting up the metrics", e))
    }

    fn set_up() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), &BUCKETS)?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        metrics::describe_counter!(REQUESTS, "Requests answered, by route, method and status.");
        metrics::describe_histogram!(
            SECONDS,
            "Seconds until an answer began, by route, method and status."
        );
        Ok(Self { handle, routes: Arc::default() })
    }

    /// Counts one answered request.
    pub fn count(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        let route = route.unwrap_or(NO_ROUTE);
        let found = {
            let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
            routes
                .get(route)
                .and_then(|meters| meters.iter().find(|m| m.status == status && m.method == method))
                .map(|meter| meter.add(took))
                .is_some()
        };
        if !found {
            self.add_meter(route, method, status, took);
        }
    }

    /// The slow half of [`Self::count`]: the first request of its sort.
    fn add_meter(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        // A client may invent methods; they share one row.
        let known = matches!(
            *method,
            Method::GET
                | Method::HEAD
                | Method::POST
                | Method::PUT
                | Method::PATCH
                | Method::DELETE
                | Method::OPTIONS
        );
        let name = if known { method.as_str().to_owned() } else { "other".to_owned() };
        let labels =
            [("route", route.to_owned()), ("method", name), ("status", status.as_str().to_owned())];
        let meter = Meter {
            method: method.clone(),
            status,
            count: metrics::counter!(REQUESTS, &labels),
            seconds: metrics::histogram!(SECONDS, &labels),
        };
        meter.add(took);
        if known {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.entry(route.to_owned()).or_default().push(meter);
        }
    }

    /// Everything counted so far, as Prometheus text.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds recent samples into the histograms; a task calls it every few seconds, or memory grows.
    pub fn tend(&self) {
        self.handle.run_upkeep();
    }
}

/// `/metrics`; whoever may read it is decided around it.
pub fn routes(meters: Meters) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).with_state(meters)
}

/// What the box counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, content_type = "text/plain", body = String)))]
async fn show(State(meters): State<Meters>) -> impl IntoResponse {
    ([(CONTENT_TYPE, MEDIA_TYPE)], meters.render())
}

impl Meter {
    fn add(&self, took: Duration) {
        self.count.increment(1);
        self.seconds.record(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let meters = Meters::new().unwrap();
        for _ in 0..3 {
            meters.count(
                Some("/things/{id}"),
                &Method::GET,
                StatusCode::OK,
                Duration::from_millis(2),
            );
        }
        meters.count(None, &Method::GET, StatusCode::NOT_FOUND, Duration::from_millis(2));
        let text = meters.render();
        let row = r#"ilot_http_requests_total{route="/things/{id}",method="GET",status="200"} 3"#;
        assert!(text.contains(row), "{text}");
        assert!(text.contains(r#"le="0.0025"} 3"#), "{text}");
    }
}
