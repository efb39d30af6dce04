//! Binds every address first, then serves, then drains.
//!
//! An accept loop of our own over hyper, because a server on an unfriendly network needs limits that
//! a plain one lacks: on headers, on silence, on slow peers, on connections.

pub mod census;
pub mod connection;
mod holder;
pub mod intake;
pub mod machine;
pub mod notify;
pub mod pulse;
pub mod settings;
mod waiting;
pub mod wire;

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use settings::ListenSettings;

use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::paths::{DataFolder, write_private};
use crate::engines::tls::Tls;
use crate::web::Peer;
use crate::web::layers::Door;
use census::{Census, Place};
use connection::{Manner, Talk, converse};
use waiting::{Ledger, Waiting};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// A pause after the process ran out of descriptors: others must close before more can open.
const PAUSE_WHEN_EXHAUSTED: Duration = Duration::from_millis(200);
/// What the kernel may hold of an answer. Small, so that a peer that stops reading is seen soon.
const SEND_BUFFER: u32 = 64 * 1024;
/// The first byte of a TLS record that carries a greeting (RFC 8446 §5.1).
const TLS_GREETING: u8 = 0x16;
const OWNER_ONLY: u32 = 0o600;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Http,
    Https,
    PlanB,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::PlanB => "planb",
        }
    }
}

/// Where the box really listens, for people and for `run/addresses.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Option<SocketAddr>,
    /// HTTP over TLS.
    pub https: Option<SocketAddr>,
    /// Plan B.
    pub planb: Option<SocketAddr>,
    /// Further plain addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<SocketAddr>,
}

impl Addresses {
    /// The ports of all of them.
    pub fn ports(&self) -> Vec<u16> {
        let one = [self.http, self.https, self.planb];
        one.into_iter().flatten().chain(self.further.iter().copied()).map(|a| a.port()).collect()
    }

    fn enter(&mut self, role: Role, further: bool, address: SocketAddr) {
        let slot = match role {
            Role::Http if further => return self.further.push(address),
            Role::Http => &mut self.http,
            Role::Https => &mut self.https,
            Role::PlanB => &mut self.planb,
        };
        *slot = Some(address);
    }
}

/// Every address of the box, bound and not yet answering; some may be waited for.
pub struct Bound {
    settings: ListenSettings,
    listeners: Vec<(Role, TcpListener)>,
    waiting: Vec<Waiting>,
    listening: CancellationToken,
    health: Option<Health>,
    console: Option<(UnixListener, PathBuf)>,
    addresses: Addresses,
    addresses_file: PathBuf,
}

/// Who answers at which address.
#[derive(Clone)]
pub struct Doors {
    /// Everywhere.
    pub main: Door,
    /// At Plan B's address; none to answer there as everywhere.
    pub planb: Option<Door>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (had, waiting) = (&self.addresses, &self.waiting);
        f.debug_struct("Bound").field("had", had).field("waiting", waiting).finish_non_exhaustive()
    }
}

impl Bound {
    /// Binds every address of `settings` and the console's socket in `data`, and writes
    /// `run/addresses.json`. Either all are bound or none is; but Plan B's address, and with
    /// [`ListenSettings::wait_for_addresses`] every address that another program holds, is tried
    /// again while the box serves.
    /// It is called on a runtime, which the sockets belong to from then on.
    ///
    /// # Errors
    /// `address_in_use` (says which), `address_malformed`, `address_unusable`.
    pub fn bind(settings: ListenSettings, data: &DataFolder) -> Result<Self, Fault> {
        let mut bound = Self {
            listeners: Vec::new(),
            waiting: Vec::new(),
            listening: CancellationToken::new(),
            health: None,
            console: None,
            addresses: Addresses::default(),
            addresses_file: data.addresses(),
            settings,
        };
        let wanted = [
            (Role::Http, bound.settings.http.clone()),
            (Role::Https, bound.settings.https.clone()),
            (Role::PlanB, bound.settings.planb.clone()),
        ];
        for (role, text) in wanted {
            bound.add(role, false, &text)?;
        }
        for text in bound.settings.further_http.clone() {
            bound.add(Role::Http, true, &text)?;
        }
        if bound.settings.console {
            bound.console = Some((bind_console(&data.socket())?, data.socket()));
        }
        let json = serde_json::to_vec(&bound.addresses)
            .map_err(|e| Fault::broken("writing the addresses", e))?;
        // A full disk does not keep the box, nor Plan B, from answering.
        if let Err(e) = write_private(&bound.addresses_file, &json) {
            tracing::warn!("the addresses were not written down: {e}");
        }
        Ok(bound)
    }

    /// Lets `health` know which addresses are waited for.
    #[must_use]
    pub fn telling(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Where the box listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where the box listens or will, once who holds an address lets it go.
    pub fn expected(&self) -> Addresses {
        let mut all = self.addresses.clone();
        for one in &self.waiting {
            all.enter(one.role, one.further, one.address);
        }
        all
    }

    /// Cancelled as soon as every address but Plan B's is had and served.
    pub fn listening(&self) -> CancellationToken {
        self.listening.clone()
    }

    fn add(&mut self, role: Role, further: bool, text: &str) -> Result<(), Fault> {
        if text.is_empty() || text == "off" {
            return Ok(());
        }
        let listener = match bind_one(role, text) {
            Ok(listener) => listener,
            Err(fault) => {
                let waits = match fault.code {
                    "address_in_use" => role == Role::PlanB || self.settings.wait_for_addresses,
                    "address_unusable" => role == Role::PlanB,
                    _ => false,
                };
                let Some(address) = text.parse().ok().filter(|_| waits) else { return Err(fault) };
                let (text, handed_over) = (text.to_owned(), self.settings.wait_for_addresses);
                self.waiting.push(Waiting { role, further, text, address, handed_over });
                return Ok(());
            }
        };
        let address = listener.local_addr().map_err(|e| unusable(role, text, e))?;
        self.addresses.enter(role, further, address);
        self.listeners.push((role, listener));
        Ok(())
    }

    /// Answers until `stop`, then drains: no new connection, no further request on the old ones, and
    /// what is under way has [`ListenSettings::drain_seconds`] to end before it is cut.
    ///
    /// Without `tls`, https addresses refuse every connection.
    pub async fn serve(self, doors: Doors, tls: Option<Tls>, stop: CancellationToken) {
        let https_port = self.expected().https.map(|a| a.port());
        let ledger = self.ledger();
        let settings = Arc::new(self.settings);
        let census = Census::new(&settings);
        let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
        let hall = Hall { settings, census, tracker, stop, cut, tls, https_port };
        for (role, listener) in self.listeners {
            let loop_hall = hall.clone();
            hall.go(loop_hall.accept_tcp(role, listener, doors.at(role)));
        }
        for waiting in self.waiting {
            let (loop_hall, ledger, door) = (hall.clone(), ledger.clone(), doors.at(waiting.role));
            hall.go(async move {
                let had = loop_hall.unless_stopped(waiting.until_had(&ledger)).await;
                if let Some(listener) = had {
                    loop_hall.accept_tcp(waiting.role, listener, door).await;
                }
            });
        }
        let socket = self.console.map(|(listener, path)| {
            let (loop_hall, door) = (hall.clone(), doors.main.clone());
            hall.go(loop_hall.accept_console(listener, door));
            path
        });
        hall.stop.cancelled().await;
        hall.drain().await;
        for file in socket.iter().chain([&self.addresses_file]) {
            let _ = fs::remove_file(file);
        }
    }

    /// What is had and what is open, as serving begins.
    fn ledger(&self) -> Ledger {
        let open = self.waiting.iter().filter(|one| one.role != Role::PlanB).count();
        let ledger = Ledger {
            addresses: Arc::new(Mutex::new(self.addresses.clone())),
            file: self.addresses_file.clone(),
            health: self.health.clone(),
            open: Arc::new(AtomicUsize::new(open)),
            listening: self.listening.clone(),
        };
        if open == 0 {
            ledger.listening.cancel();
        }
        if let Some(address) = self.addresses.planb {
            ledger.tell_planb(address);
        }
        ledger
    }
}

impl Doors {
    fn at(&self, role: Role) -> Door {
        let planb = self.planb.clone().filter(|_| role == Role::PlanB);
        planb.unwrap_or_else(|| self.main.clone())
    }
}

fn bind_one(role: Role, text: &str) -> Result<TcpListener, Fault> {
    let address: SocketAddr = text.parse().map_err(|_| {
        Fault::invalid(
            "address_malformed",
            format!("listen.{} is '{text}': an address and a port are expected, such as 127.0.0.1:8000.", role.name()),
        )
    })?;
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the last connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|e| unusable(role, text, e))
}

fn unusable(role: Role, text: &str, cause: io::Error) -> Fault {
    let name = role.name();
    if cause.kind() == io::ErrorKind::AddrInUse {
        return Fault::conflict(
            "address_in_use",
            format!("{text} (listen.{name}) is in use by another program."),
        );
    }
    Fault::unavailable(
        "address_unusable",
        format!("{text} (listen.{name}) cannot be bound: {cause}."),
    )
    .because(cause)
}

/// Binds the console's socket; what a dead process left behind is removed, a living one is named.
fn bind_console(path: &Path) -> Result<UnixListener, Fault> {
    if StdUnixStream::connect(path).is_ok() {
        return Err(Fault::conflict(
            "address_in_use",
            format!("{} is in use by a running box.", path.display()),
        ));
    }
    let bind = || {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))?;
        Ok(listener)
    };
    bind().map_err(|e| {
        Fault::unavailable("address_unusable", format!("{} cannot be bound: {e}.", path.display()))
            .because(e)
    })
}

/// What every accept loop shares.
#[derive(Clone)]
struct Hall {
    settings: Arc<ListenSettings>,
    census: Census,
    tracker: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
    tls: Option<Tls>,
    https_port: Option<u16>,
}

impl Hall {
    async fn accept_tcp(self, role: Role, listener: TcpListener, door: Door) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.welcome(role, stream, address.ip(), door.clone()),
                Err(refused) => pause_if_exhausted(&refused).await,
            }
        }
    }

    async fn accept_console(self, listener: UnixListener, door: Door) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let Some(place) = self.census.admit(None) else { continue };
                    let talk = self.talk(door.clone(), Peer::at_console(), Manner::Serve);
                    self.go(converse(stream, place, talk));
                }
                Err(refused) => pause_if_exhausted(&refused).await,
            }
        }
    }

    fn welcome(&self, role: Role, stream: TcpStream, address: IpAddr, door: Door) {
        let Some(place) = self.census.admit(Some(address)) else {
            // Dropping is the answer that costs least, which is the point of the limit.
            return;
        };
        let local = stream.local_addr().ok();
        // Small answers must not wait for the peer's acknowledgement of the last one.
        let _ = stream.set_nodelay(true);
        let peer =
            Peer { address: Some(address.to_canonical()), local, secure: false, console: false };
        self.go(self.clone().receive(role, stream, peer, place, door));
    }

    /// Finds out how a peer speaks, and lets it speak.
    async fn receive(self, role: Role, stream: TcpStream, peer: Peer, place: Place, door: Door) {
        let Some(secure) = self.unless_stopped(self.is_secure(role, &stream)).await.flatten()
        else {
            return;
        };
        if !secure {
            let talk = self.talk(door, peer, self.manner(role, peer.local));
            return converse(stream, place, talk).await;
        }
        let Some(tls) = &self.tls else { return };
        let limit = Instant::now() + Duration::from_secs(self.settings.handshake_seconds);
        match self.unless_stopped(timeout_at(limit, tls.accept(stream))).await {
            Some(Ok(Ok(stream))) => {
                let talk = self.talk(door, Peer { secure: true, ..peer }, Manner::Serve);
                converse(stream, place, talk).await;
            }
            Some(Ok(Err(why))) => tracing::debug!(peer = ?peer.address, "no TLS: {why}"),
            Some(Err(_)) => tracing::debug!(peer = ?peer.address, "TLS took too long"),
            None => {}
        }
    }

    async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            done = future => Some(done),
        }
    }

    /// Starts a future of this door, which drains it before it closes.
    fn go(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.tracker.spawn(future));
    }

    /// Whether the peer speaks TLS; none when it says nothing in time.
    ///
    /// Plain addresses understand TLS too: a browser that once learned that a name is to be reached
    /// safely (HSTS) asks so on every port.
    async fn is_secure(&self, role: Role, stream: &TcpStream) -> Option<bool> {
        if role == Role::Https {
            return Some(true);
        }
        if self.tls.is_none() || role == Role::PlanB {
            return Some(false);
        }
        let limit = Instant::now() + Duration::from_secs(self.settings.first_byte_seconds);
        let mut first = [0u8; 1];
        match timeout_at(limit, stream.peek(&mut first)).await {
            Ok(Ok(1)) => Some(first == [TLS_GREETING]),
            _ => None,
        }
    }

    fn manner(&self, role: Role, local: Option<SocketAddr>) -> Manner {
        let near = local.is_some_and(|a| a.ip().to_canonical().is_loopback());
        if near || self.settings.http_lan || role != Role::Http {
            Manner::Serve
        } else {
            Manner::SendToHttps(self.https_port)
        }
    }

    fn talk(&self, door: Door, peer: Peer, manner: Manner) -> Talk {
        Talk {
            door,
            peer,
            manner,
            settings: self.settings.clone(),
            stop: self.stop.clone(),
            cut: self.cut.clone(),
        }
    }

    /// Waits for what is under way, then cuts it.
    async fn drain(&self) {
        let began = Instant::now();
        let deadline = began + Duration::from_secs(self.settings.drain_seconds);
        self.tracker.close();
        let _ = timeout_at(deadline, self.census.empty()).await;
        let left = self.census.total();
        if left > 0 {
            tracing::info!(connections = left, "cut what was still open");
        }
        self.cut.cancel();
        // What is cut ends at its next poll; this bounds the wait for a handler that blocks.
        let _ = timeout_at(deadline + Duration::from_millis(250), self.tracker.wait()).await;
    }
}

async fn pause_if_exhausted(refused: &io::Error) {
    let passing = matches!(
        refused.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !passing {
        tracing::warn!("cannot accept connections for a moment: {refused}");
        sleep(PAUSE_WHEN_EXHAUSTED).await;
    }
}
