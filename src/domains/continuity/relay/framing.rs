//! How messages on a line are told apart, and how one is read.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::MESSAGE_MAX;

/// Bytes of a length.
const PREFIX: usize = 4;
/// Room that reading begins with.
const ROOM: usize = 16 * 1024;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Not at all: what comes before the end, or before a silence, is one message (plan-b.md §1.4).
    #[default]
    Raw,
    /// Each has its length before it, four bytes, big endian; many follow each other on one line.
    Length,
}

impl Framing {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Length => "length",
        }
    }

    /// The framing of that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Raw, Self::Length].into_iter().find(|framing| framing.name() == word)
    }

    /// The message as it goes over the line; none when it is too long for it.
    pub(super) fn head(self, length: usize) -> Option<Vec<u8>> {
        match self {
            Self::Raw => Some(Vec::new()),
            Self::Length if length > MESSAGE_MAX => None,
            Self::Length => u32::try_from(length).ok().map(|n| n.to_be_bytes().to_vec()),
        }
    }
}

/// How a message without framing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The peer said that nothing follows.
    Closed,
    /// Nothing followed for a while.
    Silent,
    /// It is as long as a message may be, and more may follow.
    Full,
}

/// How long reading may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until the first byte comes.
    pub(super) first: Duration,
    /// In all.
    pub(super) whole: Duration,
}

/// Reads a message without framing into `message`; `silence` says each time how long a silence ends it.
///
/// # Errors
/// `TimedOut` when not one byte came, or the whole took too long; what the line says.
pub(super) async fn read_raw(
    line: &mut (impl AsyncRead + Unpin),
    message: &mut Vec<u8>,
    patience: Patience,
    silence: impl Fn() -> Duration,
) -> io::Result<End> {
    let deadline = Instant::now() + patience.whole;
    let mut left = line.take(MESSAGE_MAX as u64);
    loop {
        if message.len() >= MESSAGE_MAX {
            return Ok(End::Full);
        }
        let pause = if message.is_empty() { patience.first } else { silence() };
        message.reserve(ROOM);
        let until = deadline.min(Instant::now() + pause);
        match timeout_at(until, left.read_buf(message)).await {
            Ok(Ok(0)) => return Ok(End::Closed),
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Err(e),
            Err(_) if message.is_empty() || until == deadline => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(_) => return Ok(End::Silent),
        }
    }
}

/// Reads the next message with its length before it; none when the peer closed the line between two.
///
/// # Errors
/// `TimedOut` when it did not come within `first`, or not to its end within `whole` from its first byte;
/// `InvalidData` when it is longer than a message may be; `UnexpectedEof` when the line ends within it.
pub(super) async fn read_framed(
    line: &mut (impl AsyncRead + Unpin),
    patience: Patience,
) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0u8; PREFIX];
    let (first, rest) = prefix.split_at_mut(1);
    if timeout(patience.first, line.read(first)).await?? == 0 {
        return Ok(None);
    }
    let deadline = Instant::now() + patience.whole;
    timeout_at(deadline, line.read_exact(rest)).await??;
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Room as the bytes come: a length that is announced costs nothing.
    let mut message = Vec::with_capacity(length.min(ROOM));
    let mut left = line.take(length as u64);
    timeout_at(deadline, left.read_to_end(&mut message)).await??;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}
