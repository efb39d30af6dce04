//! Plan B's pages and their files, and what the box's own addresses answer meanwhile.

use std::fs::File;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use utoipa_axum::router::OpenApiRouter;

use super::entries::{self, fresh_key};
use super::visit::{Visit, back, html, html_of, session_word, with_session};
use crate::base::caller::Who;
use crate::base::fault::Fault;
use crate::domains::continuity::pack::PaperEntry;
use crate::domains::continuity::pages::{self, Asked, encoded};
use crate::domains::continuity::standing::Standing;
use crate::web::pages::wants_html;
use crate::web::{Path, Query, Urlencoded, WebFault, limits, run};

/// Tells programs and pages that Plan B answers, and not the main program.
const MODE: HeaderName = HeaderName::from_static("x-ilot-mode");
const PLANB: HeaderValue = HeaderValue::from_static("planb");
/// When to look again whether the main program is back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A form without files is no longer than this, bytes.
const FORM_MAX: usize = 64 * 1024;
/// What a note is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct About {
    section: String,
    about: String,
}

/// Where a sign-in leads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SignInQuery {
    back: String,
}

/// A sign-in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SignInForm {
    name: String,
    password: String,
    back: String,
}

/// The pages, and the entries behind them.
pub fn standing_routes(standing: Standing) -> OpenApiRouter {
    let pages = Router::new()
        .route("/planb", get(overview))
        .route("/planb/section/{id}", get(section))
        .route("/planb/note", get(note))
        .route("/planb/file/{sha256}", get(paper))
        .route("/planb/sign-in", get(sign_in_page).post(sign_in))
        .route("/planb/sign-out", post(sign_out))
        .route("/planb/planb.css", get(|| async { own("text/css; charset=utf-8", pages::STYLE) }))
        .route(
            "/planb/planb.js",
            get(|| async { own("text/javascript; charset=utf-8", pages::SCRIPT) }),
        )
        .layer(limits::body(FORM_MAX));
    OpenApiRouter::from(pages).merge(entries::routes()).with_state(standing)
}

/// What every other address answers while the main program is away: browsers are led to the pages.
pub fn away() -> Router {
    Router::new().route("/", any(elsewhere)).route("/{*rest}", any(elsewhere))
}

/// What Plan B's addresses answer once the main program is back, which is who answers then: a page that
/// was open leads there, and a form that was sent too late says that it was.
pub fn returned() -> Router {
    Router::new().route("/planb", any(too_late)).route("/planb/{*rest}", any(too_late))
}

async fn too_late(method: Method, headers: HeaderMap) -> Response {
    if method == Method::GET && wants_html(&headers) {
        return Redirect::to("/").into_response();
    }
    if wants_html(&headers) {
        return html(StatusCode::CONFLICT, pages::too_late());
    }
    let words = "The main program is back and Plan B has ended: nothing was kept of this.";
    WebFault::from(Fault::conflict("planb_over", words)).into_response()
}

/// Says in every answer that it is Plan B's.
pub fn marked(router: Router) -> Router {
    router.layer(middleware::from_fn(|request: Request, next: Next| async move {
        let mut response = next.run(request).await;
        response.headers_mut().insert(MODE, PLANB);
        response
    }))
}

async fn elsewhere(method: Method, headers: HeaderMap) -> Response {
    if method == Method::GET && wants_html(&headers) {
        return Redirect::to("/planb").into_response();
    }
    let fault =
        Fault::unavailable("planb_mode", "The main program is away; Plan B answers at /planb.");
    WebFault::from(fault.retry_after(LOOK_AGAIN)).into_response()
}

async fn overview(State(standing): State<Standing>, visit: Visit) -> Response {
    let found = standing.found();
    let asked = Asked { retry_key: fresh_key(), ..Asked::default() };
    html(StatusCode::OK, pages::overview(&visit.view(&standing, &found), &asked, None))
}

async fn section(
    State(standing): State<Standing>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    if let Err(fault) = standing.may_read(&visit.caller) {
        return visit.refuse(&standing, &fault);
    }
    let found = standing.found();
    let Some((section, stale)) = found.pack.as_ref().and_then(|pack| pack.section(&id)) else {
        return visit.refuse(&standing, &Fault::not_found("table"));
    };
    match standing.may_read_section(&visit.caller, section) {
        Ok(()) => {
            html(StatusCode::OK, pages::section(&visit.view(&standing, &found), section, stale))
        }
        Err(fault) => visit.refuse(&standing, &fault),
    }
}

async fn note(
    State(standing): State<Standing>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    if let Err(fault) = standing.may_note(&visit.caller) {
        return visit.refuse(&standing, &fault);
    }
    let asked = Asked {
        about: about.about,
        section: about.section,
        retry_key: fresh_key(),
        ..Asked::default()
    };
    let found = standing.found();
    html(StatusCode::OK, pages::note(&visit.view(&standing, &found), &asked, false, None))
}

async fn paper(
    State(standing): State<Standing>,
    visit: Visit,
    Path(sha256): Path<String>,
) -> Response {
    if let Err(fault) = standing.may_read_papers(&visit.caller) {
        return visit.refuse(&standing, &fault);
    }
    let desk = standing.clone();
    let opened = run(move || {
        let found = desk.found();
        let pack = found.pack.as_ref().ok_or_else(|| Fault::not_found("paper"))?;
        pack.paper(&sha256).map(|(entry, file)| (entry.clone(), file))
    });
    match opened.await {
        Ok((entry, file)) => sent(&entry, file),
        Err(refused) => {
            let fault = refused.fault();
            visit.refuse(&standing, fault)
        }
    }
}

fn sent(entry: &PaperEntry, file: File) -> Response {
    let shown = pages::is_shown(&entry.media_type);
    let kind = if shown { entry.media_type.as_str() } else { "application/octet-stream" };
    let how = if shown { "inline" } else { "attachment" };
    let how = format!("{how}; filename*=UTF-8''{}", encoded(&entry.name));
    let mut response =
        Response::new(Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(entry.bytes));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let values = [
        (CONTENT_TYPE, kind.to_owned()),
        (CONTENT_DISPOSITION, how),
        (ETAG, format!("\"{}\"", entry.sha256)),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

async fn sign_in_page(
    State(standing): State<Standing>,
    visit: Visit,
    Query(query): Query<SignInQuery>,
) -> Response {
    if visit.caller.who != Who::Nobody {
        return visit.to(back(&query.back));
    }
    let asked = Asked { back: back(&query.back).to_owned(), ..Asked::default() };
    let found = standing.found();
    html(StatusCode::OK, pages::sign_in(&visit.view(&standing, &found), &asked, None))
}

async fn sign_in(
    State(standing): State<Standing>,
    visit: Visit,
    Urlencoded(form): Urlencoded<SignInForm>,
) -> Response {
    let (desk, address) = (standing.clone(), visit.peer.address);
    let (name, password) = (form.name.clone(), zeroize::Zeroizing::new(form.password));
    let signed = run(move || desk.ground().people.sign_in(&name, &password, address)).await;
    match signed {
        Ok(word) => with_session(visit.to(back(&form.back)), Some(&word), visit.peer.secure),
        Err(refused) => {
            let asked =
                Asked { text: form.name, back: back(&form.back).to_owned(), ..Asked::default() };
            let found = standing.found();
            let page =
                pages::sign_in(&visit.view(&standing, &found), &asked, Some(refused.fault()));
            html_of(refused.fault(), page)
        }
    }
}

async fn sign_out(State(standing): State<Standing>, visit: Visit, headers: HeaderMap) -> Response {
    if let Some(word) = session_word(&headers) {
        standing.ground().people.sign_out(word);
    }
    with_session(visit.to("/planb"), None, visit.peer.secure)
}

/// One of the pages' own files. It is small, and a new version of the program may bring another.
fn own(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
