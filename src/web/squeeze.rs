//! Gzip for answers that gain by it, and only for those.

use std::convert::Infallible;
use std::future::ready;

use axum::body::{Body, HttpBody};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::Response;
use tower::Service;
use tower_http::compression::Compression;

/// Smaller answers leave as they are: they fit a packet anyway.
pub const WORTH_IT: u64 = 1024;

/// Whether a request takes gzip.
pub fn takes_gzip(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get(ACCEPT_ENCODING)
        .filter(|value| value.as_bytes().windows(4).any(|w| w.eq_ignore_ascii_case(b"gzip")))
        .cloned()
}

/// Packs an answer with gzip when the caller takes it and the answer gains by it.
///
/// Event streams stay as they are: packing would hold their words back.
pub async fn squeeze(accepts: Option<HeaderValue>, response: Response) -> Response {
    let Some(accepts) = accepts else { return response };
    if !gains(&response) {
        return response;
    }
    let mut request = Request::new(());
    request.headers_mut().insert(ACCEPT_ENCODING, accepts);
    let mut answer = Some(response);
    let once = tower::service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(answer.take().unwrap_or_default()))
    });
    match Compression::new(once).call(request).await {
        Ok(mut packed) => {
            if !packed.headers().contains_key(VARY) {
                packed.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
            }
            packed.map(Body::new)
        }
        Err(never) => match never {},
    }
}

fn gains(response: &Response) -> bool {
    let headers = response.headers();
    if headers.contains_key(CONTENT_ENCODING) || headers.contains_key(CONTENT_RANGE) {
        return false;
    }
    if response.body().size_hint().exact().is_some_and(|bytes| bytes < WORTH_IT) {
        return false;
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|b| *b == b';').next().unwrap_or_default();
    match essence {
        b"text/event-stream" => false,
        b"application/json"
        | b"application/javascript"
        | b"image/svg+xml"
        | b"application/wasm" => true,
        other => other.starts_with(b"text/") || other.ends_with(b"+json"),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    async fn packed(kind: &'static str, bytes: usize, accepts: &'static str) -> bool {
        let response = ([(CONTENT_TYPE, kind)], "x".repeat(bytes)).into_response();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepts));
        let response = squeeze(takes_gzip(&headers), response).await;
        response.headers().contains_key(CONTENT_ENCODING)
    }

    #[tokio::test]
    async fn only_what_gains_is_packed() {
        assert!(packed("application/json", 5000, "gzip, br").await);
        assert!(packed("text/html; charset=utf-8", 5000, "gzip").await);
        assert!(!packed("application/json", 100, "gzip").await);
        assert!(!packed("application/json", 5000, "br").await);
        assert!(!packed("application/json", 5000, "gzip;q=0").await);
        assert!(!packed("image/png", 5000, "gzip").await);
        assert!(!packed("text/event-stream", 5000, "gzip").await);
    }
}
