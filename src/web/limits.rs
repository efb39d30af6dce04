//! Limits that a route puts on itself: bytes of a body, time of an answer.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

use super::fault::WebFault;
use crate::base::fault::{Fault, Kind};

/// Lets bodies of a route hold at most `bytes`; more is `body_too_large` (413).
///
/// A route that says nothing takes 2 MiB, which is axum's own default.
/// It holds for the extractors (`Json`, `Bytes`, `Multipart`) and for `Request::with_limited_body`.
pub fn body(bytes: usize) -> DefaultBodyLimit {
    DefaultBodyLimit::max(bytes)
}

/// Takes the limit off a route that streams its body to disk and counts by itself.
pub fn body_counted_by_handler() -> DefaultBodyLimit {
    DefaultBodyLimit::disable()
}

/// Gives an answer at most `limit` to begin; after that it is `answer_too_slow` (503).
///
/// A stream that has begun is not cut by it.
pub fn answer_within(limit: Duration) -> TimeLimit {
    TimeLimit { limit }
}

/// Made by [`answer_within`].
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    limit: Duration,
}

impl<S> Layer<S> for TimeLimit {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, limit: self.limit }
    }
}

/// A service with a time limit; made by [`TimeLimit`].
#[derive(Debug, Clone)]
pub struct Timed<S> {
    inner: S,
    limit: Duration,
}

impl<S> Service<Request> for Timed<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answer = tokio::time::timeout(self.limit, self.inner.call(request));
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let late = Fault::unavailable("answer_too_slow", "The answer took too long.")
                    .retry_after(Duration::from_secs(1));
                Ok(WebFault::from(late).into_response())
            })
        })
    }
}

/// A peer sends or takes bytes slower than the floor; the accept loop puts it into a body's errors.
#[derive(Debug, Clone, Copy)]
pub struct SlowPeer;

impl SlowPeer {
    /// What the caller is told, if it still listens.
    pub fn fault(self) -> Fault {
        Fault::new(Kind::TooSlow, "body_too_slow", "The body came too slowly.")
    }
}

impl fmt::Display for SlowPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer is slower than the floor allows")
    }
}

impl Error for SlowPeer {}
