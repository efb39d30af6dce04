//! The client: connects, sends, and takes the whole answer.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::timeout;

use super::framing::{End, Framing, Patience, read_framed, read_raw};
use super::reach::{Reach, Target};
use super::{MESSAGE_MAX, Pace};
use crate::base::fault::Fault;

const CODE: &str = "tcp_send_failed";

/// Sends `payload` and answers with what comes back: everything until the peer closes the line or falls
/// silent, or one message when they are framed. The line is not half closed: a peer may take that for
/// its end (plan-b.md §1.4).
pub(super) async fn send(
    reach: &Reach,
    target: &Target,
    payload: &[u8],
    framing: Framing,
    pace: Pace,
) -> Result<Vec<u8>, Fault> {
    let head = framing.head(payload.len()).ok_or_else(|| {
        failed(io::ErrorKind::InvalidInput.into(), "A framed message has at most 1 MiB.")
    })?;
    let mut stream = connect(target, pace).await?;
    // A name, or this machine's address on its network, may lead to the box itself.
    let peer = stream.peer_addr().map_err(|e| failed(e, "The connection broke at once."))?;
    reach.check(peer)?;
    let _ = stream.set_nodelay(true);
    let (mut from, mut to) = stream.split();
    let written = AtomicBool::new(false);
    let write = async {
        let sent = timeout(pace.send, async {
            to.write_all(&head).await?;
            to.write_all(payload).await
        });
        sent.await
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(|e| failed(e, "The peer did not take the message."))?;
        written.store(true, Ordering::Relaxed);
        Ok(())
    };
    // An answer may begin before the payload is out: a peer that waits for its reader would not go on.
    // Its silences count from when everything is out.
    let silence = || if written.load(Ordering::Relaxed) { pace.silence } else { pace.send };
    let read = answer(&mut from, framing, pace, silence);
    tokio::try_join!(write, read).map(|((), answer)| answer)
}

async fn connect(target: &Target, pace: Pace) -> Result<TcpStream, Fault> {
    let connecting = async {
        match target {
            Target::Known(places) => TcpStream::connect(places.as_slice()).await,
            Target::Named(name, port) => TcpStream::connect((name.as_str(), *port)).await,
        }
    };
    match timeout(pace.send, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => {
            Err(failed(e, "Connection refused: nothing listens there."))
        }
        Ok(Err(e)) => Err(failed(e, "The peer cannot be reached.")),
        Err(late) => Err(failed(late.into(), "Connection timed out.")),
    }
}

async fn answer(
    line: &mut ReadHalf<'_>,
    framing: Framing,
    pace: Pace,
    silence: impl Fn() -> Duration,
) -> Result<Vec<u8>, Fault> {
    let patience = Patience { first: pace.send, whole: pace.send + pace.message };
    if framing == Framing::Length {
        return match read_framed(line, patience).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(failed(
                io::ErrorKind::UnexpectedEof.into(),
                "The peer closed the line without an answer.",
            )),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(too_long(e)),
            Err(e) => Err(unanswered(e)),
        };
    }
    let mut message = Vec::new();
    match read_raw(line, &mut message, patience, silence).await {
        // The peer may stop exactly there; what follows tells.
        Ok(End::Full) => match timeout(pace.silence, read_more(line)).await {
            Ok(true) => Err(too_long(io::ErrorKind::InvalidData.into())),
            _ => Ok(message),
        },
        Ok(_) => Ok(message),
        Err(e) => Err(unanswered(e)),
    }
}

/// Whether another byte comes.
async fn read_more(line: &mut ReadHalf<'_>) -> bool {
    line.read_u8().await.is_ok()
}

fn unanswered(cause: io::Error) -> Fault {
    let words = match cause.kind() {
        io::ErrorKind::TimedOut => "The peer did not answer in time.",
        io::ErrorKind::UnexpectedEof => "The answer broke off.",
        _ => "The connection broke before the answer was complete.",
    };
    failed(cause, words)
}

fn too_long(cause: io::Error) -> Fault {
    let words = format!("The answer is longer than {} MiB.", MESSAGE_MAX / (1024 * 1024));
    failed(cause, &words)
}

fn failed(cause: io::Error, words: &str) -> Fault {
    Fault::invalid(CODE, words).because(cause)
}
