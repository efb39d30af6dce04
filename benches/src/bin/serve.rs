//! `GET /health` through the whole door, against a bare hyper server in the same run.
//!
//! Both run in this process, on runtimes of the same size, and are asked in turns by the same
//! clients, so that a busy machine slows both alike. The last line is the ratio.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ilot::app::listen::{Bound, Doors, ListenSettings};
use ilot::base::paths::DataFolder;
use ilot::web::Json;
use ilot::web::guard::HostRules;
use ilot::web::layers::{Door, DoorOptions};
use ilot::web::meters::Meters;
use ilot::web::routes::Spelling;
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

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    healthy: bool,
    version: &'static str,
    uptime_seconds: u64,
}

const HEALTH: Health = Health { status: "ok", healthy: true, version: "0.1.0", uptime_seconds: 42 };

fn main() -> Outcome<()> {
    let (servers, clients) = (runtime(2)?, runtime(1)?);
    let folder = tempfile::tempdir()?;
    let bare = servers.block_on(bare_hyper())?;
    let stop = CancellationToken::new();
    let full = servers.block_on(whole_door(folder.path(), stop.clone(), &servers))?;
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
    println!("the whole door  {:>9.0} requests/s", median(&mut full_rates));
    println!("ratio           {:>9.3}", median(&mut ratios));
    stop.cancel();
    Ok(())
}

fn runtime(threads: usize) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

async fn bare_hyper() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    start(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|_: Request<Incoming>| async {
                let body = serde_json::to_vec(&HEALTH).unwrap_or_default();
                let mut response = Response::new(Full::new(Bytes::from(body)));
                response.headers_mut().insert(
                    "content-type",
                    hyper::header::HeaderValue::from_static("application/json"),
                );
                Ok::<_, Infallible>(response)
            });
            start(async move {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

async fn whole_door(
    folder: &std::path::Path,
    stop: CancellationToken,
    on: &Runtime,
) -> Outcome<SocketAddr> {
    let data = DataFolder::at(folder);
    data.create()?;
    let router = Router::new().route("/health", get(|| async { Json(HEALTH) }));
    let options = DoorOptions {
        hosts: HostRules::default(),
        machine: None,
        meters: Meters::new()?,
        spelling: Spelling::default(),
        plain: Vec::new(),
        terse: Vec::new(),
    };
    let settings = ListenSettings {
        http: "127.0.0.1:0".into(),
        https: "off".into(),
        ..ListenSettings::default()
    };
    let bound = Bound::bind(settings, &data)?;
    let address = bound.addresses().http.ok_or("no address")?;
    let doors = Doors { main: Door::new(router, options), planb: None };
    on.spawn(bound.serve(doors, None, stop));
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
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let length = first_answer(&mut stream).await?;
        streams.push((stream, length));
    }
    let began = Instant::now();
    let asking = streams.into_iter().map(|(stream, length)| ask(stream, length));
    for done in futures_util::future::join_all(asking).await {
        done?;
    }
    Ok(REQUESTS as f64 / began.elapsed().as_secs_f64())
}

/// Answers of one server all have the length of the first one.
async fn first_answer(stream: &mut TcpStream) -> Outcome<usize> {
    stream.write_all(REQUEST).await?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(String::from_utf8_lossy(&answer).into_owned().into());
    }
    // Were more to come, it would be here by now.
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(length)
}

async fn ask(mut stream: TcpStream, length: usize) -> Outcome<()> {
    let mut answer = vec![0; length];
    for _ in 0..REQUESTS / CLIENTS {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut answer).await?;
    }
    Ok(())
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}
