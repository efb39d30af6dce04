//! A request's body on its way in, with a floor under its speed.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::web::limits::SlowPeer;

/// Only time spent waiting for the peer counts: a handler may take as long as it likes.
pub struct Intake {
    body: Incoming,
    floor: Floor,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// How slow a peer may be, and how slow this one has been.
struct Floor {
    bytes_per_second: u64,
    grace: Duration,
    waiting_since: Option<Instant>,
    waited: Duration,
    moved: u64,
}

impl Intake {
    /// A body that must bring `bytes_per_second` once it has been waited for longer than `grace`.
    pub fn new(body: Incoming, bytes_per_second: u64, grace: Duration) -> Self {
        let floor = Floor {
            bytes_per_second,
            grace,
            waiting_since: None,
            waited: Duration::ZERO,
            moved: 0,
        };
        Self { body, floor, alarm: None }
    }
}

impl Floor {
    /// Bytes came at `now`; false when the peer is too slow.
    fn moved(&mut self, bytes: u64, now: Instant) -> bool {
        self.moved = self.moved.saturating_add(bytes);
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        let expected =
            self.waited.as_millis().saturating_mul(u128::from(self.bytes_per_second)) / 1000;
        self.waited <= self.grace || u128::from(self.moved) >= expected
    }
}

impl Body for Intake {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                // Without a wait there is nothing to judge, and no clock to ask.
                let well =
                    this.floor.waiting_since.is_none() || this.floor.moved(bytes, Instant::now());
                Poll::Ready(Some(if well { Ok(frame) } else { Err(SlowPeer.into()) }))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|end| end.map_err(Into::into))),
            Poll::Pending => {
                if this.floor.waiting_since.is_none() {
                    let now = Instant::now();
                    this.floor.waiting_since = Some(now);
                    match &mut this.alarm {
                        Some(alarm) => alarm.as_mut().reset(now + this.floor.grace),
                        None => this.alarm = Some(Box::pin(sleep_until(now + this.floor.grace))),
                    }
                }
                match this.alarm.as_mut().map(|alarm| alarm.as_mut().poll(cx)) {
                    Some(Poll::Ready(())) => Poll::Ready(Some(Err(SlowPeer.into()))),
                    _ => Poll::Pending,
                }
            }
        }
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
    use super::*;

    #[test]
    fn a_drip_is_too_slow_and_a_pause_is_not() {
        let grace = Duration::from_secs(10);
        let floor = || Floor {
            bytes_per_second: 1024,
            grace,
            waiting_since: None,
            waited: Duration::ZERO,
            moved: 0,
        };
        let begin = Instant::now();
        let run = |mut floor: Floor, bytes: u64, every: u64| {
            (1..=60 / every).all(|turn| {
                floor.waiting_since = Some(begin + Duration::from_secs((turn - 1) * every));
                floor.moved(bytes, begin + Duration::from_secs(turn * every))
            })
        };
        assert!(!run(floor(), 1, 5));
        assert!(!run(floor(), 1000, 1));
        assert!(run(floor(), 1100, 1));
        assert!(run(floor(), 9000, 8));
    }
}
