//! The TCP relay: an echo for programs that try their line, and a client that sends what it is given.

mod echo;
mod framing;
mod reach;
mod sending;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings::ContinuitySettings;
use crate::base::fault::Fault;
use echo::Hall;
pub use framing::Framing;
use reach::Reach;

/// The longest message that is echoed and the longest answer that is taken, bytes (plan-b.md §1.4).
pub const MESSAGE_MAX: usize = 1024 * 1024;
/// Connections to the echo at once (plan-b.md §1.4 names the number).
pub const CONNECTIONS_MAX: usize = 50;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// How long the connections of an echo that is stopped are waited for; they are cut, so that is brief.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether they are gone.
const STOP_LOOK: Duration = Duration::from_millis(1);

/// How patient the relay is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long a peer may say nothing before, or within, a message.
    pub idle: Duration,
    /// The silence that ends a message without framing: segments of one message follow each other faster.
    pub silence: Duration,
    /// How long one message without framing may take to come in all.
    pub message: Duration,
    /// How long a peer may take to accept an answer.
    pub write: Duration,
    /// How long the connection to a peer, and then its answer, may take (plan-b.md §1.4).
    pub send: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            silence: Duration::from_millis(200),
            message: Duration::from_mins(1),
            write: Duration::from_secs(10),
            send: Duration::from_secs(5),
        }
    }
}

/// An echo that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayState {
    /// The address as it was asked for.
    pub host: String,
    /// The port that was bound.
    pub port: u16,
    /// How messages are told apart.
    pub framing: Framing,
    /// Connections at the moment.
    pub connections: usize,
}

struct Running {
    host: String,
    port: u16,
    framing: Framing,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Running {
    fn state(&self) -> RelayState {
        let Self { host, port, framing, tracker, .. } = self;
        // One of them is the loop that accepts.
        let connections = tracker.len().saturating_sub(1);
        RelayState { host: host.clone(), port: *port, framing: *framing, connections }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The relay of one process; its echo does not outlive it. Clones share it.
#[derive(Clone)]
pub struct Relay(Arc<Inside>);

struct Inside {
    reach: Reach,
    pace: Pace,
    running: Mutex<Option<Running>>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.state()).finish()
    }
}

impl Relay {
    /// A relay that reaches this machine and what the settings name besides.
    pub fn new(settings: &ContinuitySettings, pace: Pace) -> Self {
        Self(Arc::new(Inside { reach: Reach::of(settings), pace, running: Mutex::new(None) }))
    }

    /// Tells at which ports the box itself answers: nothing is sent there.
    pub fn own_ports(&self, ports: Vec<u16>) {
        self.0.reach.own_ports(ports);
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The echo that runs; none when none does.
    pub fn state(&self) -> Option<RelayState> {
        self.running().as_ref().map(Running::state)
    }

    /// Starts the echo at `host` (an address of this machine, or one the settings name) and `port` (0: any
    /// free one). One that runs stays as it is, whatever is asked. The answer tells whether it was started.
    /// It is called on a runtime, which the connections run on.
    ///
    /// # Errors
    /// `tcp_start_failed`: the address is not to be bound, or cannot be.
    pub fn start(
        &self,
        host: &str,
        port: u16,
        framing: Framing,
    ) -> Result<(RelayState, bool), Fault> {
        let mut running = self.running();
        if let Some(running) = &*running {
            return Ok((running.state(), false));
        }
        let address = SocketAddr::new(self.0.reach.bindable(host)?, port);
        let listener = bind(address)?;
        let bound = listener.local_addr().map_err(cannot_bind)?;
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let hall =
            Hall { framing, pace: self.0.pace, stop: stop.clone(), tracker: tracker.clone() };
        drop(tracker.spawn(hall.accept(listener)));
        let port = bound.port();
        let started = Running { host: host.to_owned(), port, framing, stop, tracker };
        let state = started.state();
        *running = Some(started);
        Ok((state, true))
    }

    /// Stops the echo and cuts its connections; the answer tells whether one ran. When it returns, the
    /// port is free.
    pub fn stop(&self) -> bool {
        let Some(running) = self.running().take() else { return false };
        running.stop.cancel();
        let deadline = Instant::now() + STOP_WAIT;
        while !running.tracker.is_empty() && Instant::now() < deadline {
            std::thread::sleep(STOP_LOOK);
        }
        true
    }

    /// Tells the echo to end, without waiting: the process closes.
    pub fn wind_down(&self) {
        drop(self.running().take());
    }

    /// Sends `payload` to a peer and answers with what it says.
    ///
    /// # Errors
    /// `invalid_target`: no host, no port, one that is not to be reached, or the box itself; `tcp_send_failed`.
    pub async fn send(
        &self,
        host: &str,
        port: u16,
        payload: &[u8],
        framing: Framing,
    ) -> Result<Vec<u8>, Fault> {
        let target = self.0.reach.reachable(host, port)?;
        sending::send(&self.0.reach, &target, payload, framing, self.0.pace).await
    }
}

fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener, Fault> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(cannot_bind)
}

fn cannot_bind(cause: std::io::Error) -> Fault {
    let words = match cause.kind() {
        std::io::ErrorKind::AddrInUse => "The address is in use by another program.",
        std::io::ErrorKind::PermissionDenied => "This program may not bind that port.",
        std::io::ErrorKind::AddrNotAvailable => "This machine does not have that address.",
        _ => "The address cannot be bound.",
    };
    Fault::invalid("tcp_start_failed", words).because(cause)
}

#[cfg(test)]
mod tests;
