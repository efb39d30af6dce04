//! The pages of the box, embedded in the binary, and what stands in for them when they were not built.

use std::fmt::Write;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Serialize;

use super::extract::Json;
use super::fault::no_such_route;

/// Names that carry a hash of their content never change.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Everything else is asked for again, which costs a 304.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// The folder whose files carry a hash in their names.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";
const NOT_BUILT: &str = include_str!("pages/not-built.html");

#[derive(RustEmbed)]
#[folder = "src/ui/dist"]
#[allow_missing = true]
struct Dist;

#[derive(Serialize)]
struct Welcome {
    service: &'static str,
    version: &'static str,
    docs: &'static str,
}

/// `/`, `/admin` and `/ui/…`.
///
/// `/` sends a browser to the pages and tells anybody else what this is.
pub fn routes(version: &'static str) -> Router {
    Router::new()
        .route("/", get(move |headers: HeaderMap| async move { root(&headers, version) }))
        .route("/admin", get(|| async { Redirect::to("/ui/admin") }))
        .route("/ui", get(|headers: HeaderMap| async move { page("", &headers) }))
        .route(
            "/ui/{*path}",
            get(
                |Path(path): Path<String>, headers: HeaderMap| async move { page(&path, &headers) },
            ),
        )
}

fn root(headers: &HeaderMap, version: &'static str) -> Response {
    if wants_html(headers) {
        Redirect::to("/ui/").into_response()
    } else {
        Json(Welcome { service: "ilot", version, docs: "/docs" }).into_response()
    }
}

/// Whether a request prefers a page over data.
pub fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"))
}

fn page(path: &str, headers: &HeaderMap) -> Response {
    if let Some(file) = Dist::get(path).filter(|_| !path.is_empty()) {
        return served(path, &file, headers);
    }
    // A name with a dot is a file; anything else is an address inside the pages.
    let last = path.rsplit('/').next().unwrap_or_default();
    if last.contains('.') {
        return no_such_route().into_response();
    }
    match Dist::get(INDEX) {
        Some(index) => served(INDEX, &index, headers),
        None => not_built(),
    }
}

fn served(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = tag_of(file);
    let cache = if path.starts_with(HASHED) { FOR_EVER } else { ASK_AGAIN };
    let seen = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    if seen.is_some_and(|seen| seen.split(',').any(|one| weakened(one) == tag)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)], [(CACHE_CONTROL, cache)]).into_response();
    }
    let packed = takes_gzip(headers).then(|| Dist::get(&format!("{path}.gz"))).flatten();
    let mut response = Response::new(bytes_of(packed.as_ref().unwrap_or(file)));
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    out.insert(CACHE_CONTROL, cache);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(ETAG, tag);
    }
    out.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if packed.is_some() {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn bytes_of(file: &EmbeddedFile) -> Body {
    match &file.data {
        std::borrow::Cow::Borrowed(bytes) => Body::from(*bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes.clone()),
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"))
}

/// Half of the file's SHA-256 is more than enough to tell two versions apart.
fn tag_of(file: &EmbeddedFile) -> String {
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in file.metadata.sha256_hash().iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn weakened(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn not_built() -> Response {
    let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (StatusCode::OK, kind, [(CACHE_CONTROL, ASK_AGAIN)], NOT_BUILT).into_response()
}

/// The media type of a file by its name's ending.
pub fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_missing_and_a_client_route_is_a_page() {
        let none = HeaderMap::new();
        assert_eq!(page("assets/gone-1234.js", &none).status(), StatusCode::NOT_FOUND);
        let inside = page("documents/7", &none);
        assert_eq!(inside.status(), StatusCode::OK);
        assert_eq!(inside.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    }

    #[test]
    fn a_browser_goes_to_the_pages_and_a_program_learns_what_this_is() {
        let mut headers = HeaderMap::new();
        assert_eq!(root(&headers, "1").status(), StatusCode::OK);
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        assert_eq!(root(&headers, "1").status(), StatusCode::SEE_OTHER);
    }
}
