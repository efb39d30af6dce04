//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::census::Place;
use super::intake::Intake;
use super::pulse::Pulse;
use super::settings::ListenSettings;
use super::wire::Wire;
use crate::web::layers::Door;
use crate::web::peer::{Oversized, Peer};

/// hyper's own lower limit for what a connection buffers.
const BUFFER_MIN: usize = 8192;
/// How many times the limits of headers hyper reads before it hangs up with words of its own; what
/// lies between is refused with ours.
const BEYOND: usize = 2;
/// How often a connection looks at its own patience.
const TICK: Duration = Duration::from_secs(1);

/// What a request on this connection gets.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// An answer.
    Serve,
    /// The way to https, at this port if there is one.
    SendToHttps(Option<u16>),
}

/// Everything a connection needs to know.
pub struct Talk {
    /// Who answers.
    pub door: Door,
    /// Who asks.
    pub peer: Peer,
    /// How they are answered.
    pub manner: Manner,
    /// The limits.
    pub settings: Arc<ListenSettings>,
    /// Ends it after the answer under way.
    pub stop: CancellationToken,
    /// Ends it at once.
    pub cut: CancellationToken,
}

/// Whether a request's line and headers are more than `(bytes, headers)`.
fn is_oversized<B>(request: &Request<B>, most: (usize, usize)) -> bool {
    /// What stands around a header on the wire: `: ` and the end of its line.
    const AROUND: usize = 4;
    let line = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    let of_headers = request.headers().iter().map(|(n, v)| n.as_str().len() + v.len() + AROUND);
    line + of_headers.sum::<usize>() > most.0 || request.headers().len() > most.1
}

/// Serves one connection until either side has had enough.
pub async fn converse<I>(stream: I, place: Place, talk: Talk)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Talk { door, peer, manner, settings, stop, cut } = talk;
    let pulse = Arc::new(Pulse::default());
    let grace = Duration::from_secs(settings.floor_grace_seconds);
    let wire = Wire::new(stream, pulse.clone(), grace, cut.clone(), place);
    let (rate, beat) = (settings.floor_bytes_per_second, pulse.clone());
    let most = (settings.header_bytes.max(BUFFER_MIN), settings.headers);
    let service = service_fn(move |request: Request<Incoming>| {
        beat.busy();
        let (door, beat) = (door.clone(), beat.clone());
        async move {
            let mut request = request.map(|body| taken_in(body, rate, grace));
            request.extensions_mut().insert(peer);
            if is_oversized(&request, most) {
                request.extensions_mut().insert(Oversized);
            }
            let response = match manner {
                Manner::Serve => door.answer(request).await,
                Manner::SendToHttps(port) => door.answer_plain(request, port).await,
            };
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                beat.upgraded();
            }
            Ok::<_, Infallible>(response.map(|body| Outlet { body, pulse: beat }))
        }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(most.0 * BEYOND).max_headers(most.1 * BEYOND);
    let mut connection = pin!(http.serve_connection(TokioIo::new(wire), service).with_upgrades());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = pin!(stop.cancelled());
    let mut cut = pin!(cut.cancelled());
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(why) = ended {
                    tracing::debug!(peer = ?peer.address, "connection ended: {why}");
                }
                return;
            }
            _ = tick.tick() => {
                if pulse.tick(&settings) {
                    return;
                }
            }
            () = stopped.as_mut(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = cut.as_mut() => return,
        }
    }
}

/// A body that is known to be empty needs no floor, and no box around it.
fn taken_in(body: Incoming, rate: u64, grace: Duration) -> axum::body::Body {
    if body.is_end_stream() {
        axum::body::Body::empty()
    } else {
        axum::body::Body::new(Intake::new(body, rate, grace))
    }
}

/// An answer's body on its way out; its end makes the connection idle.
struct Outlet {
    body: axum::body::Body,
    pulse: Arc<Pulse>,
}

impl hyper::body::Body for Outlet {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.pulse.idle();
    }
}
