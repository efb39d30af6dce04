//! `GET /health` of a whole box, against a bare hyper server that answers the same in the same run.
//!
//! Both run in this process, on runtimes of the same size, and are asked in turns by the same
//! clients, so that a busy machine slows both alike. The last line is the ratio.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ilot::app::settings::Config;
use ilot::app::{App, World};
use ilot::base::clock::MachineClock;
use ilot::base::fault::Fault;
use ilot::base::health::Health;
use ilot::base::tasks::Tasks;
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

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The task that a box runs in.
type Ended = tokio::task::JoinHandle<Result<(), Fault>>;

fn main() -> Outcome<()> {
    let (servers, clients) = (runtime(2)?, runtime(1)?);
    let folder = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let (full, running) = whole_box(folder.path(), stop.clone(), &servers)?;
    let body = clients.block_on(one_answer(full))?;
    let bare = servers.block_on(bare_hyper(body))?;
    let (mut bare_rates, mut full_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    clients.block_on(turn(bare))?;
    clients.block_on(turn(full))?;
    for _ in 0..TURNS {
        let one = clients.block_on(turn(bare))?;
        let two = clients.block_on(turn(full))?;
        ratios.push(two / one);
        bare_rates.push(one);
        full_rates.push(two);
    }
    println!(
        "{CLIENTS} keep-alive connections, {TURNS} turns of {REQUESTS} requests each, medians"
    );
    println!("bare hyper      {:>9.0} requests/s", median(&mut bare_rates));
    println!("ilot            {:>9.0} requests/s", median(&mut full_rates));
    println!("ratio           {:>9.3}", median(&mut ratios));
    stop.cancel();
    servers.block_on(running)??;
    Ok(())
}

fn runtime(threads: usize) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

/// Answers every request with `body`, the box's own answer of a moment ago.
async fn bare_hyper(body: Bytes) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    start(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
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

/// The box itself, with everything that lies around its routes. It runs until it is told to stop.
fn whole_box(folder: &Path, stop: CancellationToken, on: &Runtime) -> Outcome<(SocketAddr, Ended)> {
    let told = |fault: Fault| fault.to_string();
    let flags = [("listen.http", "127.0.0.1:0"), ("listen.https", "off")];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = Config::read(Some(folder.to_owned()), &flags).map_err(told)?;
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let app = App::open(config, &World::machine().map_err(told)?, tasks, health).map_err(told)?;
    let (up, is_up) = mpsc::channel();
    let running = on.spawn(app.run(async move { stop.cancelled().await }, move |addresses, _| {
        let _ = up.send(addresses.http);
    }));
    let address = is_up.recv_timeout(Duration::from_secs(10))?.ok_or("no address")?;
    Ok((address, running))
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

/// The body of one answer.
async fn one_answer(address: SocketAddr) -> Outcome<Bytes> {
    let mut stream = TcpStream::connect(address).await?;
    let mut answer = Vec::new();
    let head = ask(&mut stream, &mut answer).await?;
    Ok(Bytes::from(answer.split_off(head)))
}

/// Asks once and reads the whole answer; the length of its head.
async fn ask(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Outcome<usize> {
    answer.clear();
    stream.write_all(REQUEST).await?;
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err("the server hung up".into());
        }
        if let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
            && answer.len() >= head + content_length(answer.get(..head).unwrap_or_default())?
        {
            return Ok(head);
        }
    }
}

fn content_length(head: &[u8]) -> Outcome<usize> {
    let head = std::str::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.to_owned().into());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(length.ok_or("no length")?.parse()?)
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}
