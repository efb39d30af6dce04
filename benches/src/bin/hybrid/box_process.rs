//! `ilot serve` as a process of its own, and a client at its door.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{Outcome, TOP};

/// How long a box may take until it answers.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// How often a box that starts is asked whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long the indexes may take to follow.
const FOLLOW_WITHIN: Duration = Duration::from_secs(600);

/// A box in a process of its own.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts it; it need not listen yet.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        models: &Path,
        setting: &str,
    ) -> Outcome<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .arg("--data")
            .arg(folder)
            .arg("--models")
            .arg(models)
            .args([
                "--http",
                &address.to_string(),
                "--https",
                "127.0.0.1:0",
                "--set",
                setting,
                "serve",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{} (cargo build --release): {e}", program.display()))?;
        Ok(Self { child, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number, as `/proc` knows it.
    pub(crate) fn process(&self) -> String {
        self.child.id().to_string()
    }

    /// A client, as soon as the box listens.
    fn client(&self) -> Outcome<Client> {
        let began = Instant::now();
        loop {
            match Client::connect(self.address) {
                Ok(client) => return Ok(client),
                Err(e) if began.elapsed() > UP_WITHIN => return Err(e),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Signs in; the answer is the bearer's token.
    pub(crate) fn sign_in(&self, name: &str, password: &str) -> Outcome<String> {
        let body = json!({"username": name, "password": password});
        let answer = self.client()?.call("POST", "/auth/login", None, &body)?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.ok_or_else(|| format!("no token: {answer}"))?.to_owned())
    }

    /// Waits until both indexes have followed the store.
    pub(crate) fn wait_until_followed(&self, token: &str) -> Outcome<()> {
        let began = Instant::now();
        while began.elapsed() < FOLLOW_WITHIN {
            let status = self.client()?.call("GET", "/rag/status", Some(token), &Value::Null)?;
            let of = |name: &str| status.get(name).and_then(Value::as_u64);
            if of("index_lag") == Some(0)
                && of("passages") == of("vectors")
                && of("vectors_waiting") == Some(0)
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Err("the indexes did not follow".into())
    }

    /// Asks one question as soon as the box listens.
    pub(crate) fn first_answer(&self, token: &str, question: &str) -> Outcome<()> {
        self.client()?.query(token, question, TOP)
    }

    /// Stops it as a service is stopped.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        let ended = self.child.wait()?;
        if ended.success() { Ok(()) } else { Err(format!("the box ended badly: {ended}").into()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an error: no box is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection that is kept.
pub(crate) struct Client {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Client {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark has no box whose tasks it could use"
    )]
    pub(crate) fn connect(address: SocketAddr) -> Outcome<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            drop(tokio::spawn(connection));
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sender)
        })?;
        Ok(Self { runtime, sender, address })
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Outcome<Value> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        if !bytes.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(bytes)))?;
        let (status, bytes) = self.runtime.block_on(async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
        })?;
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&bytes)).into());
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Asks a question; an answer by words alone is an error, for it would be another measurement.
    pub(crate) fn query(&mut self, token: &str, question: &str, top: usize) -> Outcome<()> {
        let body = json!({"query": question, "top_k": top});
        let answer = self.call("POST", "/rag/query", Some(token), &body)?;
        let found = answer.get("results").and_then(Value::as_array).map_or(0, Vec::len);
        if found == 0 || answer.get("lexical_only") != Some(&Value::Bool(false)) {
            return Err(format!("not an answer of both sides: {answer}").into());
        }
        Ok(())
    }
}
