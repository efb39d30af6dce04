//! The echo: what comes is sent back whole, and a peer that hangs is cut.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::framing::{End, Framing, Patience, read_framed, read_raw};
use super::{CONNECTIONS_MAX, MESSAGE_MAX, Pace};

/// A pause after the process ran out of descriptors: others must close before more can open.
const PAUSE_WHEN_EXHAUSTED: Duration = Duration::from_millis(200);
/// How long, and for how many bytes, a peer is listened to that goes on sending after its answer: closing
/// on unread bytes would take the answer away from it (RFC 9293 §3.10.4).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 * MESSAGE_MAX as u64;

/// What the connections of one echo share.
#[derive(Clone)]
pub(super) struct Hall {
    pub(super) framing: Framing,
    pub(super) pace: Pace,
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
}

impl Hall {
    /// Accepts until it is stopped.
    pub(super) async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(refused) => {
                    tracing::debug!("the echo cannot accept for a moment: {refused}");
                    sleep(PAUSE_WHEN_EXHAUSTED).await;
                    continue;
                }
            };
            // Closing is the answer that costs least, which is the point of the limit.
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let hall = self.clone();
            drop(self.tracker.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = hall.stop.cancelled() => {}
                    () = hall.converse(stream) => {}
                }
            }));
        }
    }

    async fn converse(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let done = match self.framing {
            Framing::Raw => self.echo_once(&mut stream).await,
            Framing::Length => self.echo_each(&mut stream).await,
        };
        if let Err(why) = done {
            tracing::debug!("the echo cut a connection: {why}");
        }
    }

    /// One message, its echo, the end.
    async fn echo_once(&self, stream: &mut TcpStream) -> io::Result<()> {
        let Pace { idle, silence, message: whole, .. } = self.pace;
        let mut message = Vec::new();
        let patience = Patience { first: idle, whole };
        let end = read_raw(stream, &mut message, patience, || silence).await?;
        self.answer(stream, &message).await?;
        stream.shutdown().await?;
        if end != End::Closed {
            let mut rest = stream.take(LINGER_BYTES);
            let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
        }
        Ok(())
    }

    /// Message after message, until the peer closes the line.
    async fn echo_each(&self, stream: &mut TcpStream) -> io::Result<()> {
        let idle = self.pace.idle;
        let patience = Patience { first: idle, whole: idle };
        while let Some(message) = read_framed(stream, patience).await? {
            let Some(mut whole) = self.framing.head(message.len()) else { return Ok(()) };
            whole.extend_from_slice(&message);
            self.answer(stream, &whole).await?;
        }
        stream.shutdown().await
    }

    async fn answer(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        timeout(self.pace.write, stream.write_all(bytes)).await?
    }
}
