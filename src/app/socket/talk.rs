//! One socket from its greeting to its close.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Guest, Sockets};
use crate::base::caller::{Caller, Who};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::web::extract::from_json;
use crate::web::hub::Seat;
use crate::web::{WebFault, run};

/// The session is over, or a shown token is.
const OVER: u16 = 4001;
/// The shown token is not good, or none came.
const REFUSED: u16 = 4002;
/// The peer has been silent for too long.
const SILENT: u16 = 4008;
/// The box stops.
const GOING_AWAY: u16 = 1001;
/// A message was larger than it may be.
const TOO_BIG: u16 = 1009;
/// The box has no place at the moment.
const TRY_LATER: u16 = 1013;
/// How long a closing handshake may take: what has ended must be gone within a second.
const CLOSE_WITHIN: Duration = Duration::from_millis(300);
/// The kind of topic that `subscribe_session` follows.
const SESSION_TOPIC: &str = "session";
/// What a new client reads first.
const WELCOME: &str = "Connecté à ilot.";

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Ping,
    GetUsers,
    Authenticate {
        token: String,
    },
    SubscribeSession {
        session_id: String,
    },
    UnsubscribeSession {
        session_id: String,
    },
    Broadcast {
        message: String,
    },
    #[serde(other)]
    Unknown,
}

/// Why a socket ends.
#[derive(Debug)]
enum End {
    /// The peer is gone already.
    Gone,
    /// With this code and reason.
    With(u16, &'static str),
}

const SESSION_ENDED: End = End::With(OVER, "session_ended");
const BOX_STOPS: End = End::With(GOING_AWAY, "shutdown");

/// A socket with everything that may end it while it is being written to.
struct Line {
    socket: WebSocket,
    over: CancellationToken,
    closing: CancellationToken,
}

impl Line {
    async fn send(&mut self, message: Message) -> Result<(), End> {
        tokio::select! {
            biased;
            // A peer that takes nothing must not keep an ended session's socket open.
            () = self.over.cancelled() => Err(SESSION_ENDED),
            () = self.closing.cancelled() => Err(BOX_STOPS),
            sent = self.socket.send(message) => sent.map_err(|_| End::Gone),
        }
    }

    async fn say(&mut self, value: &Value) -> Result<(), End> {
        self.send(Message::Text(value.to_string().into())).await
    }

    async fn object(&mut self, fault: &Fault) -> Result<(), End> {
        self.say(&json!({"type": "error", "message": fault.message, "code": fault.code})).await
    }

    /// What the peer says next; none for what needs no answer.
    fn heard(received: Option<Result<Message, axum::Error>>) -> Result<Option<Vec<u8>>, End> {
        match received {
            Some(Ok(Message::Text(text))) => Ok(Some(text.as_bytes().to_vec())),
            Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes.to_vec())),
            // The library has answered a ping itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Err(why)) if is_too_big(&why) => Err(End::With(TOO_BIG, "message_too_large")),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    async fn close(mut self, end: End) {
        let End::With(code, reason) = end else { return };
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = timeout(CLOSE_WITHIN, async {
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

/// axum hides the library's error; its words are all that is left to tell a limit by.
fn is_too_big(why: &axum::Error) -> bool {
    why.to_string().contains("too long")
}

impl Sockets {
    pub(super) async fn serve(self, socket: WebSocket, guest: Guest) {
        let closing = self.hub.closing().clone();
        let mut line = Line { socket, over: CancellationToken::new(), closing };
        let (mut seat, began) = match guest {
            Guest::Seated(seat) => {
                line.over = seat.ends().over().clone();
                let began = self.greet(&mut line, &seat).await;
                (seat, began)
            }
            Guest::Stranger { as_nobody, _place } => {
                match self.introduced(&mut line, *as_nobody).await {
                    Ok(seat) => {
                        line.over = seat.ends().over().clone();
                        let began = self.answer_name(&mut line, &seat).await;
                        (seat, began)
                    }
                    Err(end) => return line.close(end).await,
                }
            }
        };
        let end = match began {
            Ok(()) => self.talk(&mut line, &mut seat).await,
            Err(end) => Err(end),
        };
        // Given up first, so that the others hear of it at once.
        drop(seat);
        if let Err(end) = end {
            line.close(end).await;
        }
    }

    /// The first two messages to somebody whose request said who it is, in the order that the
    /// planning's clients expect.
    async fn greet(&self, line: &mut Line, seat: &Seat) -> Result<(), End> {
        let users = self.hub.present(&seat.caller());
        line.say(&json!({"type": "connected_users", "users": users})).await?;
        line.say(&json!({"type": "welcome", "message": WELCOME, "client_id": client_id(seat),
            "connected_users": users}))
            .await
    }

    /// The answer to `authenticate`, in the shape of the terminals' clients and with what the
    /// planning's read from the welcome.
    async fn answer_name(&self, line: &mut Line, seat: &Seat) -> Result<(), End> {
        let caller = seat.caller();
        let users = self.hub.present(&caller);
        line.say(&json!({"type": "authenticated", "user_id": user_id(&caller),
            "username": caller.name(), "client_id": client_id(seat), "connected_users": users}))
            .await?;
        line.say(&json!({"type": "connected_users", "users": users})).await
    }

    /// Waits for a stranger to say who it is.
    async fn introduced(&self, line: &mut Line, as_nobody: Caller) -> Result<Seat, End> {
        let deadline = Instant::now() + self.pace.greeting;
        line.say(&json!({"type": "welcome", "message": WELCOME})).await?;
        loop {
            let received = tokio::select! {
                biased;
                () = line.closing.cancelled() => return Err(BOX_STOPS),
                received = timeout_at(deadline, line.socket.recv()) => received,
            };
            let Ok(received) = received else {
                line.object(&Fault::unauthenticated()).await?;
                return Err(End::With(REFUSED, "unauthenticated"));
            };
            let Some(bytes) = Line::heard(received)? else { continue };
            match from_json::<Said>(&bytes) {
                Ok(Said::Authenticate { token }) => {
                    let caller = self.recognised(as_nobody, token).await;
                    let seat = caller.and_then(|caller| self.seat(&caller).map_err(Into::into));
                    return match seat {
                        Ok(seat) => Ok(seat),
                        Err(refused) => Err(refuse(line, &refused).await),
                    };
                }
                Ok(Said::Ping) => line.say(&json!({"type": "pong"})).await?,
                Ok(_) => line.object(&Fault::unauthenticated()).await?,
                Err(fault) => line.object(&fault).await?,
            }
        }
    }

    /// Until one side has had enough; the answer is always why.
    async fn talk(&self, line: &mut Line, seat: &mut Seat) -> Result<(), End> {
        let mut rights: watch::Receiver<Arc<Caller>> = seat.ends().caller();
        let mut beat = interval_at(Instant::now() + self.pace.ping, self.pace.ping);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = line.over.cancelled() => return Err(SESSION_ENDED),
                () = line.closing.cancelled() => return Err(BOX_STOPS),
                Ok(()) = rights.changed() => self.sift(line, seat).await?,
                _ = beat.tick() => {
                    if last_heard.elapsed() >= self.pace.silence {
                        return Err(End::With(SILENT, "silent"));
                    }
                    line.send(Message::Ping(Vec::new().into())).await?;
                }
                received = line.socket.recv() => {
                    last_heard = Instant::now();
                    if let Some(bytes) = Line::heard(received)? {
                        self.answer(line, seat, &bytes).await?;
                    }
                }
                text = seat.next() => line.send(Message::Text(text)).await?,
            }
        }
    }

    async fn answer(&self, line: &mut Line, seat: &Seat, bytes: &[u8]) -> Result<(), End> {
        let done = match from_json::<Said>(bytes) {
            Ok(Said::Ping) => Ok(Some(json!({"type": "pong"}))),
            Ok(Said::GetUsers) => {
                let users = self.hub.present(&seat.caller());
                Ok(Some(json!({"type": "connected_users", "users": users})))
            }
            Ok(Said::Authenticate { token }) => {
                let proved = self.same_again(seat, token).await;
                match proved {
                    Ok(answer) => Ok(Some(answer)),
                    Err(refused) if refused.fault().kind == Kind::Unauthenticated => {
                        return Err(refuse(line, &refused).await);
                    }
                    Err(refused) => Err(refused),
                }
            }
            Ok(Said::SubscribeSession { session_id }) => self
                .follow(seat, session_id.clone())
                .await
                .map(|()| Some(json!({"type": "subscribed", "session_id": session_id}))),
            Ok(Said::UnsubscribeSession { session_id }) => {
                seat.topics().unfollow(SESSION_TOPIC, &session_id);
                Ok(Some(json!({"type": "unsubscribed", "session_id": session_id})))
            }
            Ok(Said::Broadcast { message }) => {
                let (sockets, caller, client) = (self.clone(), seat.caller(), seat.number());
                run(move || sockets.announce(&caller, client, &message)).await.map(|()| None)
            }
            Ok(Said::Unknown) => {
                Err(Fault::invalid("message_unknown", "No such type of message is known.").into())
            }
            Err(fault) => Err(fault.into()),
        };
        match done {
            Ok(Some(answer)) => line.say(&answer).await,
            Ok(None) => Ok(()),
            Err(refused) => line.object(refused.fault()).await,
        }
    }
}

impl Sockets {
    /// A client that says again who it is must be the same, and the proof must be good.
    async fn same_again(&self, seat: &Seat, token: String) -> Result<Value, WebFault> {
        let caller = seat.caller();
        let as_nobody = Caller {
            agent: caller.agent.clone(),
            ..Caller::nobody(caller.address, caller.request.clone())
        };
        let shown = self.recognised(as_nobody, token).await?;
        if user_id(&shown) != user_id(&caller) {
            return Err(Fault::conflict(
                "already_authenticated",
                "This socket is somebody else's already; open another one.",
            )
            .into());
        }
        Ok(json!({"type": "authenticated", "user_id": user_id(&caller), "username": caller.name()}))
    }

    async fn follow(&self, seat: &Seat, session: String) -> Result<(), WebFault> {
        let topics = seat.topics();
        run(move || topics.follow(SESSION_TOPIC, &session)).await
    }

    /// Tells the client what it may not follow any more, after its rights have changed.
    async fn sift(&self, line: &mut Line, seat: &Seat) -> Result<(), End> {
        let topics = seat.topics();
        let lost = match run(move || Ok(topics.sift())).await {
            Ok(lost) => lost,
            Err(refused) => return line.object(refused.fault()).await,
        };
        for (_, of, fault) in lost {
            line.say(&json!({"type": "unsubscribed", "session_id": of, "code": fault.code}))
                .await?;
        }
        Ok(())
    }
}

/// Says why a proof was not taken, and with which code the socket ends.
async fn refuse(line: &mut Line, refused: &WebFault) -> End {
    let fault = refused.fault();
    if let Err(end) = line.object(fault).await {
        return end;
    }
    match (fault.kind, fault.code) {
        (Kind::Unauthenticated, "token_expired" | "session_ended") => End::With(OVER, fault.code),
        (Kind::Unauthenticated | Kind::Forbidden, code) => End::With(REFUSED, code),
        (_, code) => End::With(TRY_LATER, code),
    }
}

fn client_id(seat: &Seat) -> String {
    format!("client-{}", seat.number())
}

fn user_id(caller: &Caller) -> Option<Id> {
    match caller.who {
        Who::User { id, .. } | Who::Machine { id, .. } => Some(id),
        _ => None,
    }
}
