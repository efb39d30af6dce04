//! What it costs to know who asks, and what a flood of wrong passwords does to everybody else.
//!
//! `identity [SECONDS]`: first the same open route asked without a proof, with a signed token and with
//! an API key; then SECONDS (60) of 200 wrong sign-ins a second, each from an address of its own within
//! 127/8 so that no block of an address helps, half of them at the name of the very user who signs in
//! rightly, once a second, from a place where it is known. Load and box share this process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ilot::app::App;
use ilot::base::caller::Caller;
use ilot::base::fault::Fault;
use ilot::domains::identity::setup::SetUp;
use ilot_benches::times;
use ilot_benches::whole::{self, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const USER: &str = "chef";
const PASSWORD: &str = "un mot de passe assez long";
/// Where the user is known: an address that is counted, unlike 127.0.0.1.
const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
/// Requests of one turn, over one connection.
const REQUESTS: u32 = 2_000;
/// Turns of each proof; the medians count.
const TURNS: usize = 21;
/// How long the flood lasts unless said otherwise, seconds.
const FLOOD_SECONDS: u64 = 60;
/// Between two wrong sign-ins: 200 a second.
const GUESS_EVERY: Duration = Duration::from_millis(5);
/// Between two right ones.
const SIGN_IN_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at `/health`.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// No answer may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Outcome<()> {
    let seconds = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => FLOOD_SECONDS,
    };
    let (servers, clients) = (runtime(2)?, runtime(1)?);
    let folder = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let (address, running) = whole::start(folder.path(), stop.clone(), &servers, set_up)?;
    clients.block_on(proofs(address))?;
    clients.block_on(flood(address, Duration::from_secs(seconds)))?;
    stop.cancel();
    servers.block_on(running)??;
    Ok(())
}

fn runtime(threads: usize) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

fn set_up(app: &App) -> Result<(), Fault> {
    let answers = SetUp {
        site: "Banc".into(),
        language: "fr".into(),
        time_zone: "Europe/Paris".into(),
        colour: "#0f5e6b".into(),
        username: USER.into(),
        display_name: String::new(),
        password: PASSWORD.to_owned().into(),
    };
    app.desks().identity.set_up(&Caller::console("bench"), "", answers).map(drop)
}

/// Compares the same route without a proof, with a token and with a key.
async fn proofs(address: SocketAddr) -> Outcome<()> {
    let signed = sign_in(address, DESK, USER, PASSWORD).await?;
    let token = signed.1.get("access_token").and_then(Value::as_str).ok_or("no token")?.to_owned();
    let mut stream = connect(address, DESK).await?;
    let bearer = format!("authorization: Bearer {token}\r\n");
    let key = json!({"name": "bench", "scopes": ["rag"]});
    let (_, made) = exchange(&mut stream, &post("/apikeys", &bearer, &key)).await?;
    let key = made.get("key").and_then(Value::as_str).ok_or("no key")?.to_owned();
    let ways = [
        ("without a proof", String::new()),
        ("RS256 token", bearer),
        ("API key", format!("x-api-key: {key}\r\n")),
    ];
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    for round in 0..=TURNS {
        for ((_, proof), means) in ways.iter().zip(&mut rounds) {
            let request = get("/health", proof);
            let began = Instant::now();
            for _ in 0..REQUESTS {
                if exchange(&mut stream, &request).await?.0 != 200 {
                    return Err("/health does not answer".into());
                }
            }
            // The first round warms up.
            if round > 0 {
                means.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS));
            }
        }
    }
    let open = median(rounds.first_mut().ok_or("no rounds")?);
    println!("GET /health over one connection, medians of {TURNS} turns of {REQUESTS} requests");
    for ((name, _), means) in ways.iter().zip(&mut rounds) {
        let mean = median(means);
        println!("{name:16} {mean:>7.1} µs, {:>+6.1} µs", mean - open);
    }
    Ok(())
}

/// What is counted while the flood goes on.
#[derive(Default)]
struct Counted {
    refused: AtomicU32,
    turned_away: AtomicU32,
    lost: AtomicU32,
    health: Mutex<Vec<Duration>>,
    right: Mutex<Vec<Duration>>,
    right_refused: AtomicU32,
}

async fn flood(address: SocketAddr, long: Duration) -> Outcome<()> {
    let counted = Arc::new(Counted::default());
    let end = Instant::now() + long;
    let (guesses, looks, rights) = tokio::join!(
        guess(address, end, &counted),
        look(address, end, &counted),
        sign_in_rightly(address, end, &counted),
    );
    guesses?;
    looks?;
    rights?;
    let of = |count: &AtomicU32| count.load(Ordering::Relaxed);
    println!(
        "{} s of flood: {} guesses answered 401, {} turned away with 429, {} lost; {} right sign-ins refused",
        long.as_secs(),
        of(&counted.refused),
        of(&counted.turned_away),
        of(&counted.lost),
        of(&counted.right_refused),
    );
    for (name, times) in [("GET /health", &counted.health), ("right sign-in", &counted.right)] {
        let mut times = times.lock().map_err(|e| e.to_string())?;
        times::show(name, &mut times);
    }
    Ok(())
}

/// Guesses at a steady pace, however slowly the answers come.
async fn guess(address: SocketAddr, end: Instant, counted: &Arc<Counted>) -> Outcome<()> {
    let mut beat = interval(GUESS_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0_u32;
    while Instant::now() < end {
        beat.tick().await;
        number += 1;
        let from = IpAddr::V4(Ipv4Addr::from(0x7f01_0000 + number));
        let name = if number.is_multiple_of(2) { USER.to_owned() } else { format!("nom{number}") };
        let counted = counted.clone();
        start(async move {
            let answer = timeout(PATIENCE, sign_in(address, from, &name, "une devinette")).await;
            let count = match answer {
                Ok(Ok((401, _))) => &counted.refused,
                Ok(Ok((429, _))) => &counted.turned_away,
                _ => &counted.lost,
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

async fn look(address: SocketAddr, end: Instant, counted: &Counted) -> Outcome<()> {
    let mut stream = connect(address, DESK).await?;
    let request = get("/health", "");
    let mut beat = interval(LOOK_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        beat.tick().await;
        let began = Instant::now();
        timeout(PATIENCE, exchange(&mut stream, &request)).await??;
        counted.health.lock().map_err(|e| e.to_string())?.push(began.elapsed());
    }
    Ok(())
}

async fn sign_in_rightly(address: SocketAddr, end: Instant, counted: &Counted) -> Outcome<()> {
    let mut beat = interval(SIGN_IN_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        beat.tick().await;
        let began = Instant::now();
        let (status, _) = timeout(PATIENCE, sign_in(address, DESK, USER, PASSWORD)).await??;
        if status == 200 {
            counted.right.lock().map_err(|e| e.to_string())?.push(began.elapsed());
        } else {
            counted.right_refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no box whose tasks it could use")]
fn start(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// A connection from that address of this machine.
async fn connect(address: SocketAddr, from: IpAddr) -> Outcome<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Signs in over a connection of its own.
async fn sign_in(
    address: SocketAddr,
    from: IpAddr,
    name: &str,
    password: &str,
) -> Outcome<(u16, Value)> {
    let mut stream = connect(address, from).await?;
    let body = json!({"username": name, "password": password});
    exchange(&mut stream, &post("/auth/login", "", &body)).await
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes()
}

fn post(path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// Asks once; the answer is its status and its body, which the box sends with its length.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Outcome<(u16, Value)> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(4096);
    let head = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("the box hung up".into());
        }
    };
    let text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default()).to_lowercase();
    let status = text.split(' ').nth(1).ok_or("no status")?.parse()?;
    let length: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .ok_or("no length")?
        .trim()
        .parse()?;
    while answer.len() < head + length {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("the box hung up".into());
        }
    }
    let body = answer.get(head..head + length).unwrap_or_default();
    Ok((status, serde_json::from_slice(body)?))
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}
