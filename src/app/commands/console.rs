//! The line to the box: to the one that runs, through its socket, or to one opened for this command.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::Place;
use crate::app::settings::Config;
use crate::app::{App, World};
use crate::base::clock::MachineClock;
use crate::base::fault::{Fault, Kind};
use crate::base::health::Health;
use crate::base::tasks::Tasks;

/// How long a box opened for one command may take until it answers.
const OPEN_WITHIN: Duration = Duration::from_mins(2);

/// A line to a box.
pub(super) struct Console {
    runtime: tokio::runtime::Runtime,
    socket: PathBuf,
    /// The box opened for this command: how to stop it, and its end.
    own: Option<OwnBox>,
}

/// How to stop a box opened for one command, and its end.
type OwnBox = (oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), Fault>>);

/// An answer of the box.
pub(super) struct Reply {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its body.
    pub(super) body: Value,
}

/// The runtime of a process.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ilot-io")
        .build()
        .map_err(|e| Fault::broken("starting the runtime", e))
}

impl Console {
    /// A line to the running box, or to one opened for this command when none runs.
    pub(super) fn connect(place: &Place) -> Result<Self, Fault> {
        let config = place.config()?;
        let runtime = runtime()?;
        let socket = config.data.socket();
        let running = runtime.block_on(UnixStream::connect(&socket)).is_ok();
        let own = if running { None } else { Some(open(&runtime, config)?) };
        Ok(Self { runtime, socket, own })
    }

    /// Whether the box was opened for this command.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Asks and answers JSON.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Value, Fault> {
        let bytes = match body {
            Some(body) => {
                serde_json::to_vec(body).map_err(|e| Fault::broken("writing a request", e))?
            }
            None => Vec::new(),
        };
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if !bytes.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request =
            request.body(Body::from(bytes)).map_err(|e| Fault::broken("writing a request", e))?;
        self.send(request)?.good()
    }

    /// Asks without a body.
    pub(super) fn get(&self, path: &str) -> Result<Value, Fault> {
        self.call(Method::GET, path, None::<&()>)
    }

    /// Asks, and hands the body of a success on part by part: it may be longer than memory.
    pub(super) fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let request = Request::builder().uri(path).header("host", "localhost").body(Body::empty());
        let request = request.map_err(|e| Fault::broken("writing a request", e))?;
        self.runtime.block_on(async {
            let stream = UnixStream::connect(&self.socket).await.map_err(|e| unreachable(&e))?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
            let talk = async {
                let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
                let status = answer.status();
                let mut body = answer.into_body();
                if !status.is_success() {
                    let bytes = body.collect().await.map_err(|e| unreachable(&e))?.to_bytes();
                    let body = serde_json::from_slice(&bytes).unwrap_or_default();
                    return Reply { status, body }.good().map(drop);
                }
                while let Some(frame) = body.frame().await {
                    if let Some(part) = frame.map_err(|e| unreachable(&e))?.data_ref() {
                        take(part)?;
                    }
                }
                Ok(())
            };
            tokio::pin!(talk);
            tokio::select! {
                done = &mut talk => done,
                _ = connection => talk.await,
            }
        })
    }

    /// Sends any request.
    pub(super) fn send(&self, request: Request<Body>) -> Result<Reply, Fault> {
        self.runtime.block_on(async {
            let stream = UnixStream::connect(&self.socket).await.map_err(|e| unreachable(&e))?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
            let talk = async {
                let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
                let status = answer.status();
                let bytes =
                    answer.into_body().collect().await.map_err(|e| unreachable(&e))?.to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                    Value::String(String::from_utf8_lossy(&bytes).into_owned())
                });
                Ok(Reply { status, body })
            };
            tokio::pin!(talk);
            tokio::select! {
                reply = &mut talk => reply,
                _ = connection => talk.await,
            }
        })
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> Fault {
    Fault::unavailable("unreachable", format!("The box does not answer at its socket: {error}"))
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some((stop, ended)) = self.own.take() {
            let _ = stop.send(());
            let _ = self.runtime.block_on(ended);
        }
    }
}

impl Reply {
    /// The body of a success; a fault carries the box's own code and words.
    pub(super) fn good(self) -> Result<Value, Fault> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let word = |name: &str| self.body.get(name).and_then(Value::as_str);
        let message =
            word("detail").or_else(|| word("error")).unwrap_or("The box refused.").to_owned();
        let fields: Vec<String> = self
            .body
            .get("detail")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|field| field.get("msg").and_then(Value::as_str).map(str::to_owned))
            .collect();
        let message = if fields.is_empty() { message } else { fields.join(" ") };
        let kind = match self.status.as_u16() {
            400 | 422 => Kind::Invalid,
            401 => Kind::Unauthenticated,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            413 => Kind::TooLarge,
            429 => Kind::Busy,
            503 => Kind::Unavailable,
            507 => Kind::Full,
            _ => Kind::Broken,
        };
        // A command meets one refusal and ends: the word of the box's may stay as long as it does.
        let code =
            word("code").map_or("refused", |code| &*Box::leak(code.to_owned().into_boxed_str()));
        Err(Fault::new(kind, code, message))
    }
}

/// Opens a box that listens at its socket alone.
fn open(runtime: &tokio::runtime::Runtime, mut config: Config) -> Result<OwnBox, Fault> {
    for address in [
        &mut config.settings.listen.http,
        &mut config.settings.listen.https,
        &mut config.settings.listen.planb,
    ] {
        "off".clone_into(address);
    }
    let health = Health::new(std::sync::Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let app = App::open(config, &World::machine()?, tasks, health)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel::<()>();
    let serving = runtime.spawn(app.run(
        async {
            let _ = stopped.await;
        },
        move |_, _| {
            let _ = ready.send(());
        },
    ));
    let up = runtime.block_on(async { tokio::time::timeout(OPEN_WITHIN, is_ready).await });
    if !matches!(up, Ok(Ok(()))) {
        return Err(match runtime.block_on(serving) {
            Ok(Err(fault)) => fault,
            _ => Fault::unavailable("unreachable", "The box did not open."),
        });
    }
    Ok((stop, serving))
}
