//! The door itself: everything that happens around a route, in order, in one place.
//!
//! On the way in: trace → guard (names, foreign pages) → one spelling of the path → the router.
//! On the way out: a panic becomes a fault → gzip → headers → counters → access log.
//! It is one function over one router rather than a tower of layers: each of those would box a
//! future and clone a service for every request.

use std::any::Any;
use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service};

use super::fault::{WebFault, no_such_route, no_such_verb};
use super::guard::{Guard, HostRules};
use super::meters::{Meters, Observer};
use super::peer::{Oversized, Peer};
use super::routes::Spelling;
use super::squeeze;
use super::trace::{self, Trace};
use crate::base::fault::Fault;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Pages may load from this box alone, and nobody may frame them.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
/// The kiosk needs the camera, the assistant the microphone; nothing else is ever asked for.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
);
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
/// Half a year.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15768000");

/// Polled all day by watchdogs: a success is logged at `debug` only.
const QUIET: [&str; 2] = ["/health", "/metrics"];
/// A route with such a part is logged as declared, since its path is a secret.
const SECRET_PARTS: [&str; 4] = ["{token}", "{ticket}", "{secret}", "{key}"];

/// Parts of a path without a route that are logged.
const STRANGE_PARTS: usize = 2;
/// The longest of them, bytes: the box's own words, tickets and keys have 43 and more.
const STRANGE_PART_MAX: usize = 24;

/// What a [`Door`] is made from, besides its router.
#[derive(Clone)]
pub struct DoorOptions {
    /// The names the box answers for.
    pub hosts: HostRules,
    /// The machine's own host name.
    pub machine: Option<String>,
    /// Where requests are counted.
    pub meters: Meters,
    /// How addresses may be spelled.
    pub spelling: Spelling,
    /// Paths that plain HTTP serves to other machines too: what a device needs before it can trust
    /// the certificate, for instance `/ca.crt`.
    pub plain: Vec<&'static str>,
    /// First path segments whose faults say their code in `error` (Plan B's), for instance `role`.
    pub terse: Vec<&'static str>,
}

/// A router with everything around it; what the accept loop calls. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inside>);

struct Inside {
    router: Router,
    guard: Guard,
    meters: Meters,
    observer: OnceLock<Arc<dyn Observer>>,
    spelling: Spelling,
    plain: Vec<&'static str>,
    terse: Vec<&'static str>,
}

impl Door {
    /// Puts the door around `router`, whose own layers (identity) lie inside.
    pub fn new(router: Router, options: DoorOptions) -> Self {
        let router = router
            .fallback(|| async { no_such_route() })
            .method_not_allowed_fallback(|| async { no_such_verb() })
            .layer(NoteRoute);
        let guard = Guard::new(&options.hosts, options.machine.as_deref());
        let DoorOptions { meters, spelling, plain, terse, .. } = options;
        let observer = OnceLock::new();
        Self(Arc::new(Inside { router, guard, meters, observer, spelling, plain, terse }))
    }

    /// The same door, with somebody who is told of every answered request; the first one stays.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        let _ = self.0.observer.set(observer);
        self
    }

    /// Answers one request. The accept loop has put a [`Peer`] into its extensions.
    pub async fn answer(&self, request: Request) -> Response {
        let began = Instant::now();
        let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
        let wished = request.headers().get(REQUEST_ID);
        let trace = Arc::new(Trace::begin(wished).terse(self.0.is_terse(request.uri().path())));
        let asked = Asked {
            began,
            peer,
            method: request.method().clone(),
            uri: request.uri().clone(),
            hsts: peer.secure && is_site_name(request.headers()),
            gzip: squeeze::takes_gzip(request.headers()),
        };
        let response = trace.clone().scope(self.0.routed(request, peer)).await;
        self.0.finished(asked, trace, response).await
    }

    /// Answers one request that came unprotected from another machine: the way to https, at `port`
    /// if there is one, except for the few paths that are open to all.
    pub async fn answer_plain(&self, request: Request, port: Option<u16>) -> Response {
        if self.0.plain.contains(&request.uri().path()) {
            return self.answer(request).await;
        }
        let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
        let host = match self.0.guard.host(&request, peer) {
            Ok(host) => host,
            Err(fault) => return WebFault::from(fault).into_response(),
        };
        let Some(port) = port else { return WebFault::from(https_only()).into_response() };
        let rest = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        Redirect::permanent(&format!("https://{host}:{port}{rest}")).into_response()
    }
}

/// What of a request is still needed when its answer leaves.
struct Asked {
    began: Instant,
    peer: Peer,
    method: Method,
    uri: axum::http::Uri,
    hsts: bool,
    gzip: Option<HeaderValue>,
}

impl Inside {
    fn is_terse(&self, path: &str) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        self.terse.contains(&first)
    }

    async fn routed(&self, mut request: Request, peer: Peer) -> Response {
        if request.extensions().get::<Oversized>().is_some() {
            return too_many_headers().into_response();
        }
        if let Err(fault) = self.guard.check(&request, peer) {
            return WebFault::from(fault).into_response();
        }
        if let Some(uri) = self.spelling.normal(request.uri()) {
            *request.uri_mut() = uri;
        }
        // The router is ready at all times, and its clone is one counted pointer.
        let answer = caught(self.router.clone().call(request)).await;
        match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(words) => {
                WebFault::from(Fault::broken("a handler panicked", words)).into_response()
            }
        }
    }

    async fn finished(&self, asked: Asked, trace: Arc<Trace>, response: Response) -> Response {
        let took = asked.began.elapsed();
        let mut response = squeeze::squeeze(asked.gzip.clone(), response).await;
        let hsts = asked.hsts && response.status() != StatusCode::MISDIRECTED_REQUEST;
        dress(response.headers_mut(), trace.header(), hsts);
        self.meters.count(trace.route(), &asked.method, response.status(), took);
        if let Some(observer) = self.observer.get() {
            observer.saw(trace.route(), asked.method.as_str(), response.status().as_u16(), took);
        }
        let line = Line { asked, trace, status: response.status().as_u16() };
        match response.body().size_hint().exact() {
            Some(bytes) => {
                line.write(bytes);
                response
            }
            None => response.map(|body| Tally::over(line, body)),
        }
    }
}

/// RFC 6585 §5.
fn too_many_headers() -> WebFault {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let words = "The headers of this request are too many or too long.";
    WebFault::with_status(status, Fault::invalid("headers_too_large", words))
}

fn https_only() -> Fault {
    Fault::forbidden("https_only", "Other machines are answered over https only, and that is off.")
}

fn dress(headers: &mut HeaderMap, id: &HeaderValue, hsts: bool) {
    headers.reserve(8);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(TRACE_ID, id.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(REFERRER_POLICY, NO_REFERRER);
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(CSP);
    headers.entry(PERMISSIONS_POLICY).or_insert(PERMISSIONS);
    if hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

/// HSTS is for names of a site: for `localhost` it would reach every other program of the machine.
fn is_site_name(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !name.is_empty()
        && !name.starts_with('[')
        && name.parse::<std::net::IpAddr>().is_err()
        && !name.eq_ignore_ascii_case("localhost")
}

/// How the access log shows a path. Never the query: it may carry a token.
///
/// A request that was refused before it met a route, or that met none, may have a secret anywhere: of it
/// the first two parts are shown, and no part that is as long as secrets are or is spelled with escapes.
fn shown<'a>(route: Option<&'a str>, path: &'a str) -> Cow<'a, str> {
    match route {
        Some(route) if SECRET_PARTS.iter().any(|part| route.contains(part)) => route.into(),
        Some(_) => path.into(),
        None => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let mut parts = path.split('/').filter(|part| !part.is_empty());
            let known = parts.by_ref().take(STRANGE_PARTS);
            let mut text = String::new();
            let mut whole = true;
            for part in known {
                whole = part.len() <= STRANGE_PART_MAX && part.chars().all(plain);
                if !whole {
                    break;
                }
                text.push('/');
                text.push_str(part);
            }
            if !whole || parts.next().is_some() {
                text.push_str("/…");
            }
            if text.is_empty() { "/".into() } else { text.into() }
        }
    }
}

/// One line of the access log, written when the answer's last byte is known.
struct Line {
    asked: Asked,
    trace: Arc<Trace>,
    status: u16,
}

impl Line {
    fn write(self, bytes: u64) {
        let quiet = self.status < 400 && self.trace.route().is_some_and(|r| QUIET.contains(&r));
        let level_off = if quiet {
            !tracing::enabled!(target: "ilot::access", tracing::Level::DEBUG)
        } else {
            !tracing::enabled!(target: "ilot::access", tracing::Level::INFO)
        };
        if level_off {
            return;
        }
        let ms = self.asked.began.elapsed().as_micros() as f64 / 1000.0;
        let path = shown(self.trace.route(), self.asked.uri.path());
        let path = path.as_ref();
        let peer = self.asked.peer.address.map(tracing::field::display);
        let (method, caller) = (self.asked.method.as_str(), self.trace.caller().unwrap_or("-"));
        let (status, request) = (self.status, self.trace.id());
        if quiet {
            tracing::debug!(target: "ilot::access", method, path, status, ms, bytes, caller, peer, request);
        } else {
            tracing::info!(target: "ilot::access", method, path, status, ms, bytes, caller, peer, request);
        }
    }
}

/// Counts a body of unknown length, so that the access log tells what really went out.
struct Tally {
    bytes: u64,
    line: Option<Line>,
}

impl Tally {
    fn over(line: Line, body: Body) -> Body {
        let mut tally = Self { bytes: 0, line: Some(line) };
        Body::new(body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, axum::body::Bytes::len);
            tally.bytes = tally.bytes.saturating_add(bytes as u64);
            frame
        }))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.write(self.bytes);
        }
    }
}

/// Runs a future; a panic inside comes back as its words.
async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(words_of(panic.as_ref()))),
    })
    .await
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no words".into())
}

/// Tells the trace which route matched; it lies inside the router, where that is known.
#[derive(Debug, Clone, Copy)]
struct NoteRoute;

impl<S> Layer<S> for NoteRoute {
    type Service = NotingRoute<S>;

    fn layer(&self, inner: S) -> NotingRoute<S> {
        NotingRoute(inner)
    }
}

#[derive(Debug, Clone)]
struct NotingRoute<S>(S);

impl<S: Service<Request>> Service<Request> for NotingRoute<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        if let Some(route) = request.extensions().get::<MatchedPath>() {
            trace::note_route(route);
        }
        self.0.call(request)
    }
}

/// For tests and for callers inside the process; the accept loop calls [`Door::answer`].
impl Service<Request> for Door {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let door = self.clone();
        Box::pin(async move { Ok(door.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_path_is_logged_whether_a_route_was_met_or_not() {
        const WORD: &str = "q7Zk3fVw0xA9bC2dE5gH8iJ1kL4mN6oP7rS0tU3vW5x";
        let route = "/auth/invitations/{token}";
        let path = format!("/auth/invitations/{WORD}");
        assert_eq!(shown(Some(route), &path), route);
        assert_eq!(shown(Some("/rag/documents/{id}"), "/rag/documents/7"), "/rag/documents/7");
        assert_eq!(shown(None, &path), "/auth/invitations/…");
        assert_eq!(shown(None, &format!("//auth//invitations/{WORD}")), "/auth/invitations/…");
        for (path, wanted) in [
            (format!("/{WORD}"), "/…"),
            (format!("/auth/{WORD}"), "/auth/…"),
            (format!("/auth%2Finvitations%2F{WORD}"), "/…"),
            (format!("/auth/invitations%2f{WORD}"), "/auth/…"),
            (format!("/auth/x;{WORD}/y"), "/auth/…"),
        ] {
            assert_eq!(shown(None, &path), wanted);
        }
        for plain in ["/", "/wp-admin", "/wp-admin/setup.php", "*"] {
            let wanted = if plain == "*" { "/…" } else { plain };
            assert_eq!(shown(None, plain), wanted);
        }
    }
}
