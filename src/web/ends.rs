//! What is open for a caller ends with the proof it was opened with.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::base::caller::{Caller, Who};
use crate::base::fault::{Fault, Kind};

/// Puts a caller under watch for as long as the answer is kept. It must not block.
pub type Watch = Arc<dyn Fn(&Caller) -> Result<Ends, Fault> + Send + Sync>;

/// The watch over one open thing: when its caller's session or key is over, and who the caller is by
/// now. Whoever holds something open (a socket, a stream, a terminal) keeps this beside it.
pub struct Ends {
    over: CancellationToken,
    caller: watch::Receiver<Arc<Caller>>,
    /// Dropped with it: the watcher's own note that something is open.
    _note: Box<dyn Any + Send + Sync>,
}

impl Ends {
    /// A watch whose end is `over`; `note` is dropped when the open thing is.
    pub fn new(
        over: CancellationToken,
        caller: watch::Receiver<Arc<Caller>>,
        note: impl Any + Send + Sync,
    ) -> Self {
        Self { over, caller, _note: Box::new(note) }
    }

    /// Cancelled within a second of the session's (key's, account's) end.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// The caller with the rights of this moment; it tells when they may have changed.
    pub fn caller(&self) -> watch::Receiver<Arc<Caller>> {
        self.caller.clone()
    }
}

/// Why a stream broke off: its caller's session is over.
#[derive(Debug, Clone, Copy)]
pub struct Over;

impl Over {
    /// The same, for whoever was reading the request.
    pub fn fault(self) -> Fault {
        Fault::new(Kind::Unauthenticated, "session_ended", "The session has ended; sign in again.")
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session this was opened with has ended")
    }
}

impl std::error::Error for Over {}

/// A body of at least so many bytes takes long enough for its session to end meanwhile.
pub const LONG: u64 = 1024 * 1024;

/// Lets a long request end with its caller's session: whoever reads its body finds [`Over`].
///
/// # Errors
/// What the watch says.
pub fn bind_request(request: Request, caller: &Caller, watch: &Watch) -> Result<Request, Fault> {
    if is_brief(request.body(), caller) {
        return Ok(request);
    }
    let ends = watch(caller)?;
    Ok(request.map(|body| bound(body, ends)))
}

/// Lets an answer of unknown or great length end with its caller's session; a brief one is on its way
/// already and pays nothing.
///
/// The end is an error, so that the connection breaks: a cut export must not look whole.
///
/// # Errors
/// What the watch says.
pub fn bind_answer(response: Response, caller: &Caller, watch: &Watch) -> Result<Response, Fault> {
    if is_brief(response.body(), caller) {
        return Ok(response);
    }
    let ends = watch(caller)?;
    Ok(response.map(|body| bound(body, ends)))
}

/// What is open to nobody in particular has no session to end with.
fn is_brief(body: &Body, caller: &Caller) -> bool {
    caller.who == Who::Nobody || body.size_hint().exact().is_some_and(|bytes| bytes < LONG)
}

fn bound(body: Body, ends: Ends) -> Body {
    let over = Box::pin(ends.over.clone().cancelled_owned());
    let body = body.map_err(Into::into).boxed_unsync();
    Body::new(Bound { body, over, _ends: ends })
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

struct Bound {
    body: http_body_util::combinators::UnsyncBoxBody<Bytes, Cause>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    _ends: Ends,
}

impl HttpBody for Bound {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Over.into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    fn watched(over: &CancellationToken) -> Watch {
        let over = over.clone();
        Arc::new(move |caller: &Caller| {
            let (_, caller) = watch::channel(Arc::new(caller.clone()));
            Ok(Ends::new(over.clone(), caller, ()))
        })
    }

    #[tokio::test]
    async fn a_stream_breaks_and_a_whole_answer_does_not() {
        let over = CancellationToken::new();
        let (caller, watch) = (Caller::task("t"), watched(&over));
        let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"one"))])
            .chain(stream::pending());
        let open = Response::new(Body::from_stream(pieces));
        let open = bind_answer(open, &caller, &watch).unwrap();
        let whole = bind_answer(Response::new(Body::from("whole")), &caller, &watch).unwrap();
        let mut open = open.into_body();
        assert!(open.frame().await.unwrap().is_ok());
        over.cancel();
        assert!(open.frame().await.unwrap().is_err(), "a cut stream must not look whole");
        assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), "whole");
    }

    #[tokio::test]
    async fn a_long_request_says_why_it_was_cut() {
        let over = CancellationToken::new();
        let long = Request::new(Body::from_stream(stream::pending::<std::io::Result<Bytes>>()));
        let long = bind_request(long, &Caller::task("t"), &watched(&over)).unwrap();
        over.cancel();
        let refused = long.into_body().collect().await.unwrap_err();
        assert_eq!(crate::web::extract::body_fault(&refused).code, "session_ended");
    }

    #[tokio::test]
    async fn what_is_open_to_nobody_in_particular_is_not_watched() {
        let never: Watch = Arc::new(|_: &Caller| Err(Fault::unauthenticated()));
        let open = Response::new(Body::from_stream(stream::empty::<std::io::Result<Bytes>>()));
        assert!(bind_answer(open, &Caller::nobody(None, "r"), &never).is_ok());
    }
}
