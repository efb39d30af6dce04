//! One socket of the writer from its first message to its close.

use std::future::pending;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::said::{Said, Start, Words, close_code, first, later};
use super::{Desk, Guest, Pace, broken_off};
use crate::base::caller::{Caller, Right};
use crate::base::fault::{Fault, Kind};
use crate::domains::assistant::generation::{Piece, Stream};
use crate::engines::generation::Reason;
use crate::web::ends::{Ends, Over};
use crate::web::run;

/// All was said.
const DONE: u16 = 1000;
/// The box stops.
const GOING_AWAY: u16 = 1001;
/// A message was larger than it may be.
const TOO_BIG: u16 = 1009;
/// How long a closing handshake may take: what has ended must be gone within a second.
const CLOSE_WITHIN: Duration = Duration::from_millis(300);

/// Why a socket ends.
#[derive(Debug)]
enum End {
    /// The peer is gone already.
    Gone,
    /// The end was said.
    Done,
    /// The box stops.
    Stops,
    /// This is wrong, and has still to be said.
    Wrong(Box<Fault>),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Wrong(Box::new(fault))
    }
}

/// A socket with everything that may end it while it is being written to.
struct Line {
    socket: WebSocket,
    over: CancellationToken,
    closing: CancellationToken,
    pace: Pace,
    beat: Interval,
    heard: Instant,
}

/// What comes next.
enum Next {
    /// The peer said something.
    Said(Vec<u8>),
    /// It is time to show that the box is there.
    Beat,
}

impl Line {
    fn over(socket: WebSocket, closing: CancellationToken, pace: Pace) -> Self {
        let now = Instant::now();
        let mut beat = interval_at(now + pace.ping, pace.ping);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, over: CancellationToken::new(), closing, pace, beat, heard: now }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        tokio::select! {
            biased;
            // A peer that takes nothing must not keep an ended session's socket open.
            () = self.over.cancelled() => Err(Over.fault().into()),
            () = self.closing.cancelled() => Err(End::Stops),
            sent = timeout(self.pace.silence, self.socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                _ => Err(End::Gone),
            },
        }
    }

    async fn say(&mut self, text: String) -> Result<(), End> {
        self.send(Message::Text(text.into())).await
    }

    /// Waits for the peer, or for the moment to ping it. Nothing is lost when it is not awaited to its end.
    async fn next(&mut self) -> Result<Next, End> {
        loop {
            tokio::select! {
                biased;
                () = self.over.cancelled() => return Err(Over.fault().into()),
                () = self.closing.cancelled() => return Err(End::Stops),
                received = self.socket.recv() => {
                    self.heard = Instant::now();
                    if let Some(bytes) = heard(received)? {
                        return Ok(Next::Said(bytes));
                    }
                }
                _ = self.beat.tick() => {
                    if self.heard.elapsed() >= self.pace.silence {
                        return Err(silent().into());
                    }
                    return Ok(Next::Beat);
                }
            }
        }
    }

    /// Pings below the messages, for every client that keeps to the protocol, and within them, for
    /// those that look at messages alone.
    async fn ping(&mut self, status: String) -> Result<(), End> {
        self.send(Message::Ping(Vec::new().into())).await?;
        self.say(status).await
    }

    async fn close(mut self, code: u16, reason: &'static str, last: Option<String>) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = timeout(CLOSE_WITHIN, async {
            if let Some(last) = last {
                self.socket.send(Message::Text(last.into())).await?;
            }
            self.socket.send(Message::Close(Some(frame))).await?;
            // Bytes left unread would turn the close into a reset, which loses its code. What was too
            // large cannot be read to its end: there the peer gets its time to take the close in.
            while let Some(Ok(_)) = self.socket.recv().await {}
            if code == TOO_BIG {
                pending::<()>().await;
            }
            Ok::<_, axum::Error>(())
        })
        .await;
    }
}

/// What the peer says; none for what needs no answer.
fn heard(received: Option<Result<Message, axum::Error>>) -> Result<Option<Vec<u8>>, End> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(text.as_bytes().to_vec())),
        Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes.to_vec())),
        // The library has answered a ping itself.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Err(why)) if is_too_big(&why) => Err(too_big().into()),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

/// axum hides the library's error; its words are all that is left to tell a limit by.
fn is_too_big(why: &axum::Error) -> bool {
    why.to_string().contains("too long")
}

fn too_big() -> Fault {
    Fault::too_large("message_too_large", "This message is larger than one may be.")
}

fn silent() -> Fault {
    Fault::new(Kind::TooSlow, "silent", "Nothing was heard of this client for too long.")
}

fn late() -> Fault {
    Fault::new(Kind::TooSlow, "start_missing", "Say with the event 'start' what is to be written.")
}

impl Desk {
    pub(super) async fn serve(
        self,
        socket: WebSocket,
        guest: Guest,
        trace: String,
        _place: OwnedSemaphorePermit,
    ) {
        let (closing, pace) = (self.lines.closing.clone(), self.lines.pace);
        let mut line = Line::over(socket, closing, pace);
        let mut words = Words { trace, ..Words::default() };
        let end = match self.converse(&mut line, &mut words, guest).await {
            Ok(()) => End::Done,
            Err(end) => end,
        };
        match end {
            End::Gone => {}
            End::Done => line.close(DONE, "end", None).await,
            End::Stops => line.close(GOING_AWAY, "shutdown", None).await,
            End::Wrong(fault) => {
                let last = words.error(&fault, self.clock.now());
                let code =
                    if fault.code == "message_too_large" { TOO_BIG } else { close_code(&fault) };
                line.close(code, fault.code, Some(last)).await;
            }
        }
    }

    async fn converse(&self, line: &mut Line, words: &mut Words, guest: Guest) -> Result<(), End> {
        let (ends, start) = match guest {
            Guest::Refused(fault) => return Err(End::Wrong(fault)),
            Guest::Known(caller) => {
                let ends = self.welcome(line, &caller)?;
                (Some(ends), self.first(line, words).await?)
            }
            Guest::Stranger { as_nobody, _place } => {
                let start = self.first(line, words).await?;
                let ends = match start.as_ref().map(|start| start.token.clone()) {
                    None => None,
                    Some(None) => return Err(as_nobody.unauthenticated().into()),
                    Some(Some(token)) => {
                        let caller = self.recognised(*as_nobody, token).await?;
                        Some(self.welcome(line, &caller)?)
                    }
                };
                (ends, start)
            }
        };
        let (Some(ends), Some(start)) = (ends, start) else {
            return line.say(words.end(Reason::Cancelled, None, self.clock.now())).await;
        };
        let caller = Caller::clone(&ends.caller().borrow());
        let ask = start.body()?.ask(&caller, self.generation.usual(), &["payload", "options"])?;
        let generation = self.generation.clone();
        let stream = run(move || generation.write(&caller, ask))
            .await
            .map_err(crate::web::fault::WebFault::into_fault)?;
        self.write(line, words, &ends, stream).await
    }

    /// Puts somebody's line under watch.
    fn welcome(&self, line: &mut Line, caller: &Caller) -> Result<Ends, Fault> {
        caller.require(Right::UseAssistant)?;
        let ends = (self.lines.watch)(caller)?;
        line.over = ends.over().clone();
        Ok(ends)
    }

    /// Waits for what is to be written; none when it is called off before.
    async fn first(&self, line: &mut Line, words: &mut Words) -> Result<Option<Start>, End> {
        let greeting = line.pace.greeting;
        timeout(greeting, async {
            loop {
                match line.next().await? {
                    Next::Beat => line.send(Message::Ping(Vec::new().into())).await?,
                    Next::Said(bytes) => match first(&bytes)? {
                        Said::Pong => {}
                        Said::Cancel => return Ok(None),
                        Said::Start(start) => {
                            words.req_id.clone_from(&start.req_id);
                            return Ok(Some(*start));
                        }
                    },
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err(late().into()))
    }

    /// Hands on what is written, until one side has had enough.
    async fn write(
        &self,
        line: &mut Line,
        words: &Words,
        ends: &Ends,
        mut stream: Stream,
    ) -> Result<(), End> {
        let mut rights = ends.caller();
        loop {
            tokio::select! {
                biased;
                Ok(()) = rights.changed() => {
                    let now = rights.borrow_and_update().clone();
                    now.require(Right::UseAssistant)?;
                }
                next = line.next() => match next? {
                    Next::Beat => {
                        let status = words.status(json!({"state": "ping"}), self.clock.now());
                        line.ping(status).await?;
                    }
                    Next::Said(bytes) => if let Said::Cancel = later(&bytes) {
                        drop(stream);
                        return line.say(words.end(Reason::Cancelled, None, self.clock.now())).await;
                    },
                },
                piece = stream.next() => match self.worded(words, piece)? {
                    (text, false) => line.say(text).await?,
                    (text, true) => return line.say(text).await,
                },
            }
        }
    }

    /// A piece as a message, and whether it is the last one.
    fn worded(&self, words: &Words, piece: Option<Piece>) -> Result<(String, bool), Fault> {
        let now = self.clock.now();
        match piece {
            Some(Piece::Waiting(position)) => {
                let payload = json!({"state": "waiting", "position": position});
                Ok((words.status(payload, now), false))
            }
            Some(Piece::Started { model, prompt_tokens, reused_tokens }) => {
                let payload = json!({"state": "writing", "model": model,
                    "prompt_tokens": prompt_tokens, "reused_tokens": reused_tokens});
                Ok((words.status(payload, now), false))
            }
            Some(Piece::Text(text)) => Ok((words.token(text, now), false)),
            Some(Piece::Ended { reason, usage }) => Ok((words.end(reason, Some(usage), now), true)),
            Some(Piece::Failed(fault)) => Err(fault),
            None => Err(broken_off()),
        }
    }
}
