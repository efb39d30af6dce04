//! `/openapi.json`, and a page that reads it to you without asking any other machine.

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::OpenApi;

use crate::base::fault::Fault;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const STYLE: &str = include_str!("docs/docs.css");

/// `/openapi.json` and `/docs`, for a document that does not change while the box runs.
///
/// # Errors
/// `internal` when the document cannot be written as JSON.
pub fn routes(document: &OpenApi) -> Result<Router, Fault> {
    let json = document.to_json().map_err(|e| Fault::broken("writing the OpenAPI document", e))?;
    let json = Bytes::from(json);
    Ok(Router::new()
        .route("/openapi.json", get(move || async move { file("application/json", json) }))
        .route("/docs", get(|| async { file("text/html; charset=utf-8", PAGE) }))
        .route("/docs/docs.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/docs/docs.css", get(|| async { file("text/css; charset=utf-8", STYLE) })))
}

fn file(kind: &'static str, body: impl IntoResponse) -> impl IntoResponse {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-cache"));
    response
}
