//! Kills the main program of a whole box again and again while entries are written through whatever
//! answers: how soon Plan B answers, and whether every acknowledged entry arrives once.
//!
//! `continuity ILOT [CYCLES] [WRITERS] [FOLDER]`: the program to run is given, so that the one of a
//! site can be tried; nothing of it is in this process.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ilot_benches::whole::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Kills, when nothing else is said.
const CYCLES: usize = 200;
/// Writers at once.
const WRITERS: usize = 4;
/// A writer's pause after an acknowledged entry, and after a refused one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(10));
/// No step of a box takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often Plan B's first answer is asked for.
const ASK: Duration = Duration::from_millis(1);
/// Every so many cycles the main program is killed once more on its way back.
const TWICE_EVERY: usize = 4;
/// Arrivals of one page.
const PAGE: usize = 500;

/// A box under its watchdog; it goes with this value.
struct Watched {
    child: Child,
    data: PathBuf,
    front: SocketAddr,
    planb: SocketAddr,
    key: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let program = PathBuf::from(args.next().ok_or("continuity ILOT [CYCLES] [WRITERS] [FOLDER]")?);
    let cycles = args.next().map_or(Ok(CYCLES), |n| n.parse())?;
    let writers = args.next().map_or(Ok(WRITERS), |n| n.parse())?;
    let scratch = tempfile::tempdir()?;
    let folder = args.next().map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let watched = open(&program, &folder)?;
    let over = Arc::new(AtomicBool::new(false));
    let (acknowledged, refused) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let (mut own, mut front, mut back) = (Vec::new(), Vec::new(), Vec::new());
    thread::scope(|scope| -> Outcome<()> {
        for number in 0..writers {
            let places = [watched.front, watched.planb];
            let (over, acknowledged, refused) = (&over, &acknowledged, &refused);
            let key = watched.key.as_str();
            scope.spawn(move || write(number, places, key, over, acknowledged, refused));
        }
        let outcome = (0..cycles).try_for_each(|cycle| {
            let (one, other, third) = kill_once(&watched, cycle)?;
            own.push(one);
            front.push(other);
            back.push(third);
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        outcome
    })?;
    println!("{cycles} kills, {writers} writers");
    for (what, spans) in [
        ("kill to the first answer, Plan B's own address", &mut own),
        ("kill to the first answer, the box's address", &mut front),
        ("kill to the main program at its own addresses again", &mut back),
    ] {
        spans.sort_unstable();
        let at = |share: usize| {
            let last = spans.len().saturating_sub(1);
            spans.get((spans.len() * share / 100).min(last)).map_or(0.0, |s| s.as_secs_f64() * 1e3)
        };
        println!("{what}: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms", at(50), at(99), at(100));
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().map_err(|_| "a writer died")?);
    count(&watched, &acknowledged, refused.load(Ordering::Relaxed))
}

/// Sets a box up and waits until its main program is well.
fn open(program: &Path, folder: &Path) -> Outcome<Watched> {
    let data = folder.join("box");
    let (front, planb) = (free()?, free()?);
    let word = folder.join("word");
    fs::create_dir_all(folder)?;
    fs::write(&word, "un mot de passe assez long")?;
    let command = |args: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--data").arg(&data).args(args);
        command.args(["--models", "/nonexistent", "--https", "off"]);
        command.args(["--http", &front.to_string(), "--planb", &planb.to_string()]);
        command.stdout(Stdio::null());
        command
    };
    let word = word.display().to_string();
    let setup = ["setup", "--site", "Banc", "--admin", "chef", "--password-file", &word];
    if !command(&setup).status()?.success() {
        return Err("the box cannot be set up".into());
    }
    let mut watch = command(&["watchdog"]);
    for set in [
        "watchdog.probe_milliseconds=200",
        "watchdog.steady_milliseconds=300",
        "watchdog.pause_milliseconds=50",
        "watchdog.starts=1000000",
        "log.level=warn",
    ] {
        watch.args(["--set", set]);
    }
    let said = fs::File::create(folder.join("said"))?;
    let child = watch.stdin(Stdio::null()).stderr(said).spawn()?;
    let mut watched = Watched { child, data, front, planb, key: String::new() };
    until("the box to be well", || (watched.state()["phase"] == "healthy").then_some(()))?;
    watched.key = fs::read_to_string(watched.data.join("planb/api_key.txt"))?.trim().to_owned();
    Ok(watched)
}

/// One kill: how soon Plan B answers at its address and at the box's, and when the box is whole again.
fn kill_once(watched: &Watched, cycle: usize) -> Outcome<(Duration, Duration, Duration)> {
    let main = watched.main()?;
    let began = Instant::now();
    signal(main, Signal::KILL)?;
    let stands = |at: SocketAddr| {
        // Whoever answers: with so short a pause the main program is sometimes back first on a machine
        // that has much to do.
        ask(at, "GET", "/planb/state", &watched.key, "", b"").is_some()
    };
    until("an answer at Plan B's address", || stands(watched.planb).then_some(()))?;
    let own = began.elapsed();
    until("Plan B at the box's address", || stands(watched.front).then_some(()))?;
    let front = began.elapsed();
    if cycle % TWICE_EVERY == TWICE_EVERY - 1 {
        until("a main program on its way back", || {
            let state = watched.state();
            let pid = state["main_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            pid.filter(|pid| *pid != main)
        })
        .and_then(|pid| signal(pid, Signal::KILL))?;
    }
    until("the main program to be back", || {
        let state = watched.state();
        let changed = state["main_pid"].as_u64() != Some(main.into());
        let health = || ask(watched.front, "GET", "/setup/state", "", "", b"");
        (state["phase"] == "healthy" && changed && health()?.0 == 200).then_some(())
    })?;
    Ok((own, front, began.elapsed()))
}

/// Writes entries through whatever answers, each under a name of its own, until it is over.
fn write(
    number: usize,
    places: [SocketAddr; 2],
    key: &str,
    over: &AtomicBool,
    acknowledged: &Mutex<Vec<String>>,
    refused: &AtomicU64,
) {
    let mut at = 0_usize;
    while !over.load(Ordering::Relaxed) {
        at += 1;
        let name = format!("{number}-{at}");
        let body = json!({"kind": "note", "body": {"text": format!("Écrit {name}")}}).to_string();
        let place = places[at % places.len()];
        let answer = ask(place, "POST", "/planb/entries", key, &name, body.as_bytes());
        let id = answer.filter(|(status, _)| *status == 201);
        let id = id.and_then(|(_, json)| json["id"].as_str().map(str::to_owned));
        if let Some(id) = id {
            if let Ok(mut all) = acknowledged.lock() {
                all.push(id);
            }
            thread::sleep(PAUSE.0);
        } else {
            refused.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE.1);
        }
    }
}

/// Compares what was acknowledged with what arrived.
fn count(watched: &Watched, acknowledged: &[String], refused: u64) -> Outcome<()> {
    until("everything to be taken", || {
        let outbox = watched.console("/continuity").ok()?["outbox"].clone();
        (outbox["waiting"] == 0).then_some(())
    })?;
    let mut arrived: HashMap<String, u64> = HashMap::new();
    let mut before = String::new();
    loop {
        let page =
            watched.console(&format!("/continuity/arrivals?limit={PAGE}&before={before}"))?;
        let items = page["items"].as_array().ok_or("no arrivals are told")?;
        for item in items {
            let id = item["id"].as_str().unwrap_or_default();
            *arrived.entry(id.to_owned()).or_default() += 1;
            id.clone_into(&mut before);
        }
        if items.len() < PAGE {
            break;
        }
    }
    let lost = acknowledged.iter().filter(|id| !arrived.contains_key(*id)).count();
    let twice = arrived.values().filter(|times| **times > 1).count();
    println!(
        "entries acknowledged {}, refused {refused}, arrived {}, lost {lost}, twice {twice}",
        acknowledged.len(),
        arrived.len()
    );
    if lost > 0 || twice > 0 || acknowledged.is_empty() {
        return Err("entries were lost or duplicated, or none was written".into());
    }
    Ok(())
}

impl Watched {
    fn state(&self) -> Value {
        let bytes = fs::read(self.data.join("planb/watchdog.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn main(&self) -> Outcome<u32> {
        let pid = until("a main program", || self.state()["main_pid"].as_u64())?;
        Ok(u32::try_from(pid)?)
    }

    fn console(&self, path: &str) -> Outcome<Value> {
        let stream = UnixStream::connect(self.data.join("run/ilot.sock"))?;
        let answer = over(stream, "GET", path, "", "", b"").ok_or("the box does not answer")?;
        Ok(answer.1)
    }
}

fn free() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn signal(pid: u32, signal: Signal) -> Outcome<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no process")?;
    Ok(kill_process(pid, signal)?)
}

fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> Outcome<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ready() {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("waited too long for {what}").into());
        }
        thread::sleep(ASK);
    }
}

fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    key: &str,
    name: &str,
    body: &[u8],
) -> Option<(u16, Value)> {
    let stream = TcpStream::connect_timeout(&at, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    over(stream, method, path, key, name, body)
}

fn over(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    key: &str,
    name: &str,
    body: &[u8],
) -> Option<(u16, Value)> {
    let mut head = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n",
        body.len()
    );
    for (header, value) in [("x-api-key", key), ("idempotency-key", name)] {
        if !value.is_empty() {
            head += &format!("{header}: {value}\r\n");
        }
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_slice(&answer[end + 4..]).unwrap_or_default()))
}
