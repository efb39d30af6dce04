//! The layer that finds out who asks: a request that shows no proof goes straight on.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, Either};
use tower::{Layer, Service};

use super::WebFault;
use super::ends::{self, Watch};
use crate::base::caller::Caller;

/// Whoever a request's proof stands for, as soon as that is known.
pub type Recognised = BoxFuture<'static, Result<Caller, WebFault>>;

/// Asks `recogniser` about every request: none when it shows no proof of who asks.
///
/// What is streamed to somebody recognised is put under `watch`, so that it ends with the proof.
pub struct Recognition<F> {
    recogniser: Arc<F>,
    watch: Watch,
}

impl<F: Fn(&Request) -> Option<Recognised>> Recognition<F> {
    /// The layer.
    pub fn by(recogniser: F, watch: Watch) -> Self {
        Self { recogniser: Arc::new(recogniser), watch }
    }
}

impl<F> Clone for Recognition<F> {
    fn clone(&self) -> Self {
        Self { recogniser: self.recogniser.clone(), watch: self.watch.clone() }
    }
}

impl<S, F> Layer<S> for Recognition<F> {
    type Service = Recognising<S, F>;

    fn layer(&self, inner: S) -> Recognising<S, F> {
        Recognising { recogniser: self.recogniser.clone(), watch: self.watch.clone(), inner }
    }
}

/// What lies behind the layer.
pub struct Recognising<S, F> {
    recogniser: Arc<F>,
    watch: Watch,
    inner: S,
}

impl<S: Clone, F> Clone for Recognising<S, F> {
    fn clone(&self) -> Self {
        let (recogniser, watch) = (self.recogniser.clone(), self.watch.clone());
        Self { recogniser, watch, inner: self.inner.clone() }
    }
}

impl<S, F> Service<Request> for Recognising<S, F>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    F: Fn(&Request) -> Option<Recognised>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(recognised) = (self.recogniser)(&request) else {
            // Most of what is asked so often that it counts: watchdogs, the pages' own files.
            return Either::Left(self.inner.call(request));
        };
        // The service that was made ready is the one to call.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let watch = self.watch.clone();
        Either::Right(Box::pin(async move {
            match recognised.await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller.clone());
                    let request = match ends::bind_request(request, &caller, &watch) {
                        Ok(request) => request,
                        Err(fault) => return Ok(WebFault::from(fault).into_response()),
                    };
                    let Ok(response) = ready.call(request).await;
                    Ok(ends::bind_answer(response, &caller, &watch)
                        .unwrap_or_else(|fault| WebFault::from(fault).into_response()))
                }
                Err(fault) => Ok(fault.into_response()),
            }
        }))
    }
}
