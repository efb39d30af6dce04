//! Plan B's pages and their files, and what the box's own addresses answer meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek};
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
use super::visit::{Visit, back, html, html_of, session_word, shown, with_session};
use crate::base::caller::Who;
use crate::base::fault::Fault;
use crate::domains::continuity::pack::PaperEntry;
use crate::domains::continuity::pages::{self, Asked, encoded};
use crate::domains::continuity::standing::Standing;
use crate::web::fault::{FaultBody, FaultDetail};
use crate::web::pages::wants_html;
use crate::web::{Json, Path, Query, Urlencoded, WebFault, limits, run, trace};

/// Tells programs and pages that Plan B answers, and not the main program.
const MODE: HeaderName = HeaderName::from_static("x-ilot-mode");
const PLANB: HeaderValue = HeaderValue::from_static("planb");
/// When to look again whether the main program is back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A form without files is no longer than this, bytes.
const FORM_MAX: usize = 64 * 1024;
/// So much of a text is looked at to tell how it is written, bytes.
const LOOKED_AT: u64 = 16 * 1024 * 1024;
/// The longest character of UTF-8, bytes: so many may be cut off where the look ends.
const CHARACTER_MAX: usize = 4;
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
        .route("/planb/{*rest}", any(nowhere))
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
    // An answer may have been lost on its way: what was sent before may be on the disk all the same.
    let words = "The main program is back and Plan B has ended: whether this was kept is not known here. \
        Look under what came back (GET /continuity/arrivals) before you write it down once more; the \
        same Idempotency-Key is safe to send again.";
    WebFault::from(Fault::conflict("planb_over", words)).into_response()
}

/// What Plan B's own address answers to paths that it has not: with the code as the word of the fault, as
/// the seed's clients read it.
pub fn unknown() -> Router {
    Router::new().route("/", any(not_here)).route("/{*rest}", any(not_here))
}

async fn not_here() -> Response {
    let fault = Fault::not_found("address");
    let body = FaultBody {
        error: fault.code.to_owned(),
        detail: FaultDetail::Message(fault.message),
        code: fault.code.to_owned(),
        request_id: trace::id(),
    };
    (StatusCode::NOT_FOUND, Json(body)).into_response()
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

/// An address of Plan B's that nothing stands at.
async fn nowhere(State(standing): State<Standing>, visit: Visit, headers: HeaderMap) -> Response {
    let fault = Fault::not_found("address");
    if !wants_html(&headers) {
        return WebFault::from(fault).into_response();
    }
    shown(move || visit.refuse(&standing, &fault)).await
}

async fn overview(State(standing): State<Standing>, visit: Visit) -> Response {
    shown(move || {
        let found = standing.found();
        let asked = Asked { retry_key: fresh_key(), ..Asked::default() };
        html(StatusCode::OK, pages::overview(&visit.view(&standing, &found), &asked, None))
    })
    .await
}

async fn section(
    State(standing): State<Standing>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    shown(move || {
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
    })
    .await
}

async fn note(
    State(standing): State<Standing>,
    visit: Visit,
    Query(about): Query<About>,
) -> Response {
    shown(move || {
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
    })
    .await
}

async fn paper(
    State(standing): State<Standing>,
    visit: Visit,
    Path(sha256): Path<String>,
) -> Response {
    if let Err(fault) = standing.may_read_papers(&visit.caller) {
        return shown(move || visit.refuse(&standing, &fault)).await;
    }
    let desk = standing.clone();
    let opened = run(move || {
        let found = desk.found();
        let pack = found.pack.as_ref().ok_or_else(|| Fault::not_found("paper"))?;
        let (entry, mut file) = pack.paper(&sha256)?;
        let kind = shown_as(&entry.media_type, &mut file)
            .map_err(|e| Fault::broken("reading a paper", e))?;
        Ok((entry.clone(), file, kind))
    });
    match opened.await {
        Ok((entry, file, kind)) => sent(&entry, file, kind),
        Err(refused) => shown(move || visit.refuse(&standing, refused.fault())).await,
    }
}

/// As what a browser shows a paper; none when it is only kept. A browser that is told nothing of how a
/// text is written guesses, and guesses wrong.
fn shown_as(media_type: &str, file: &mut File) -> io::Result<Option<String>> {
    if !pages::is_text(media_type) {
        return Ok(pages::is_shown(media_type).then(|| pages::essence(media_type)));
    }
    let mut head = Vec::new();
    (&mut *file).take(LOOKED_AT).read_to_end(&mut head)?;
    let whole = file.read(&mut [0])? == 0;
    file.rewind()?;
    let charset = if is_utf8(&head, whole) { "utf-8" } else { "windows-1252" };
    Ok(Some(format!("text/plain; charset={charset}")))
}

/// Whether these bytes are UTF-8; of a text that goes on, the last character may be cut.
fn is_utf8(bytes: &[u8], whole: bool) -> bool {
    std::str::from_utf8(bytes).map_or_else(
        |e| {
            let rest = bytes.len() - e.valid_up_to();
            !whole && e.error_len().is_none() && rest < CHARACTER_MAX
        },
        |_| true,
    )
}

fn sent(entry: &PaperEntry, file: File, shown: Option<String>) -> Response {
    let how = if shown.is_some() { "inline" } else { "attachment" };
    let how = format!("{how}; filename*=UTF-8''{}", encoded(&entry.name));
    let kind = shown.unwrap_or_else(|| "application/octet-stream".to_owned());
    let mut response =
        Response::new(Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(entry.bytes));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let values =
        [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, how), (ETAG, format!("\"{}\"", entry.sha256))];
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
    shown(move || {
        let found = standing.found();
        html(StatusCode::OK, pages::sign_in(&visit.view(&standing, &found), &asked, None))
    })
    .await
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
            shown(move || {
                let found = standing.found();
                let page =
                    pages::sign_in(&visit.view(&standing, &found), &asked, Some(refused.fault()));
                html_of(refused.fault(), page)
            })
            .await
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_text_says_how_it_is_written_and_is_sent_whole() {
        let shown = |media_type: &str, bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            let kind = shown_as(media_type, &mut file).unwrap();
            let mut left = Vec::new();
            file.read_to_end(&mut left).unwrap();
            assert_eq!(left, bytes, "nothing of it is read away");
            kind
        };
        let utf8 = Some("text/plain; charset=utf-8".to_owned());
        let western = Some("text/plain; charset=windows-1252".to_owned());
        for kind in ["text/plain", "text/plain; charset=latin1", "Text/Markdown", "text/csv"] {
            assert_eq!(shown(kind, "l’été".as_bytes()), utf8, "{kind}");
            assert_eq!(shown(kind, b"l\x92\xe9t\xe9"), western, "{kind}");
            assert_eq!(shown(kind, b"l\xe9"), western, "a whole text does not end in half a sign");
        }
        assert_eq!(shown("application/json", b"{}"), utf8);
        assert_eq!(shown("application/pdf", b"%PDF"), Some("application/pdf".to_owned()));
        for kind in ["text/html", "image/svg+xml", "application/zip", ""] {
            assert_eq!(shown(kind, b"<script>"), None, "{kind}");
        }
    }

    #[test]
    fn of_a_text_that_goes_on_the_last_sign_may_be_cut() {
        assert!(is_utf8(b"l\xc3", false) && is_utf8(b"\xe2\x80", false));
        assert!(!is_utf8(b"l\xc3", true) && !is_utf8(b"l\xff", false) && !is_utf8(b"\xc3l", false));
    }
}
