//! `GET /health` of a whole box, against bare hyper servers in the same run: one that writes the same
//! fields anew for each request, and one that has its bytes ready.
//!
//! All run in this process, on one runtime, and are asked in turns by the same clients, so that a
//! busy machine slows all alike.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ilot::base::clock::{Clock, MachineClock, Moment};
use ilot_benches::whole::{self, Outcome};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// Connections that ask at once.
const CLIENTS: usize = 32;
/// Requests of one turn, all clients together.
const REQUESTS: usize = 40_000;
/// Turns of each server; the medians count.
const TURNS: usize = 9;
const REQUEST: &[u8] =
    b"GET /health HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n";

/// No answer is longer.
const ANSWER_MAX: usize = 4096;

/// What a bare server answers: the box's own fields.
#[derive(Serialize)]
struct Answer {
    status: &'static str,
    healthy: bool,
    version: &'static str,
    time: Moment,
    timestamp: Moment,
    uptime_seconds: u64,
    uptime_formatted: String,
    gpu: bool,
    plugins_count: u32,
    db: &'static str,
    db_ok: bool,
    faiss_ok: bool,
    llm: &'static str,
    index_lag: u64,
}

impl Answer {
    fn now(began: Instant) -> Self {
        let (now, uptime) = (MachineClock.now(), began.elapsed().as_secs());
        Self {
            status: "ok",
            healthy: true,
            version: "0.1.0",
            time: now,
            timestamp: now,
            uptime_seconds: uptime,
            uptime_formatted: format!("0d 00:00:{:02}", uptime % 60),
            gpu: false,
            plugins_count: 0,
            db: "ok",
            db_ok: true,
            faiss_ok: true,
            llm: "missing",
            index_lag: 0,
        }
    }
}

fn main() -> Outcome<()> {
    let (servers, clients) = (runtime(2)?, runtime(1)?);
    let folder = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let (full, running) = whole::start(folder.path(), stop.clone(), &servers, |_| Ok(()))?;
    let bare = servers.block_on(bare_hyper(Body::Written))?;
    let fixed = servers.block_on(bare_hyper(Body::Ready))?;
    if clients.block_on(fields(full))? != clients.block_on(fields(bare))? {
        return Err("the two servers answer other fields".into());
    }
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let (mut to_written, mut to_ready) = (Vec::new(), Vec::new());
    for server in [bare, fixed, full] {
        clients.block_on(turn(server))?;
    }
    for _ in 0..TURNS {
        let written = clients.block_on(turn(bare))?;
        let ready = clients.block_on(turn(fixed))?;
        let ilot = clients.block_on(turn(full))?;
        to_written.push(ilot / written);
        to_ready.push(ilot / ready);
        for (rates, rate) in rates.iter_mut().zip([written, ready, ilot]) {
            rates.push(rate);
        }
    }
    let [mut written, mut ready, mut ilot] = rates;
    println!(
        "{CLIENTS} keep-alive connections, {TURNS} turns of {REQUESTS} requests each, medians"
    );
    println!("bare hyper, answer written anew {:>9.0} requests/s", median(&mut written));
    println!("bare hyper, answer ready        {:>9.0} requests/s", median(&mut ready));
    println!("ilot                            {:>9.0} requests/s", median(&mut ilot));
    println!("ratio to the first              {:>9.3}", median(&mut to_written));
    println!("ratio to the second             {:>9.3}", median(&mut to_ready));
    stop.cancel();
    servers.block_on(running)??;
    Ok(())
}

fn runtime(threads: usize) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

/// What a bare server answers with.
#[derive(Clone, Copy, PartialEq)]
enum Body {
    /// The fields written anew for each request, as the box must, since they hold the time.
    Written,
    /// The same bytes each time: the least that any server can do.
    Ready,
}

/// Answers every request with the fields of the box's own answer.
async fn bare_hyper(body: Body) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let began = Instant::now();
    let ready = Bytes::from(serde_json::to_vec(&Answer::now(began))?);
    start(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let ready = ready.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let bytes = match body {
                    Body::Written => {
                        Bytes::from(serde_json::to_vec(&Answer::now(began)).unwrap_or_default())
                    }
                    Body::Ready => ready.clone(),
                };
                let mut response = Response::new(Full::new(bytes));
                response.headers_mut().insert(
                    "content-type",
                    hyper::header::HeaderValue::from_static("application/json"),
                );
                async { Ok::<_, Infallible>(response) }
            });
            start(async move {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no box whose tasks it could use")]
fn start(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// Requests per second of one turn.
async fn turn(address: SocketAddr) -> Outcome<f64> {
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let began = Instant::now();
    let asking = streams.into_iter().map(|mut stream| async move {
        let mut answer = Vec::with_capacity(ANSWER_MAX);
        for _ in 0..REQUESTS / CLIENTS {
            ask(&mut stream, &mut answer).await?;
        }
        Outcome::Ok(())
    });
    for done in futures_util::future::join_all(asking).await {
        done?;
    }
    Ok(REQUESTS as f64 / began.elapsed().as_secs_f64())
}

/// The names of the fields of one answer.
async fn fields(address: SocketAddr) -> Outcome<Vec<String>> {
    let mut stream = TcpStream::connect(address).await?;
    let mut answer = Vec::new();
    ask(&mut stream, &mut answer).await?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no body")?;
    let body: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(answer.get(head + 4..).unwrap_or_default())?;
    Ok(body.keys().cloned().collect())
}

/// Asks once and reads the whole answer. It is a flat JSON object, so its only `}` is its end, and no
/// time goes into reading heads that differ in length between the two servers.
async fn ask(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Outcome<()> {
    answer.clear();
    stream.write_all(REQUEST).await?;
    while !answer.ends_with(b"}") {
        if stream.read_buf(answer).await? == 0 {
            return Err("the server hung up".into());
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(answer).into_owned().into())
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}
