//! Durable writes per second: ilot's store, the same store one commit per request, and SQLite.
//!
//! Every write is one row of about 200 bytes and one journal row, answered only once it is on disk.
//! The contenders take turns, several rounds of them, for a disk's mood changes within a minute.
//! `store [ROUNDS] [CLIENTS] [FOLDER]`; FOLDER must lie on the disk that is to be measured.
//!
//! On a virtual machine whose idle cores wake slowly, a contender that leaves them idle waits longer
//! for each sync. Keep them awake for everybody to compare fairly, one line per core:
//! `chrt -i 0 sh -c 'while :; do :; done' &`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ilot::base::caller::Caller;
use ilot::base::clock::MachineClock;
use ilot::base::disk::{Disk, MachineDisk};
use ilot::base::health::Health;
use ilot::base::tasks::Tasks;
use ilot::store::{Deed, Ground, Store, StoreOptions, Table};
use rusqlite::{Connection, params};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROWS: Table<u64, String> = Table::journaled("bench.rows");
/// A row of about 200 bytes.
const ROW_BYTES: usize = 200;
/// A page of the probe, bytes, and how many it goes round.
const PAGE: usize = 4_096;
const PROBE_PAGES: u64 = 1_024;
/// How long one contender's turn takes.
const TURN: Duration = Duration::from_millis(1500);
/// How long each contender runs before it is measured, as a part of the measured time.
const WARM_UP_PART: u32 = 5;

/// What one contender did.
struct Score {
    name: &'static str,
    writes: u64,
    seconds: f64,
    p50: Duration,
    p99: Duration,
    syncs_per_write: Option<f64>,
}

impl Score {
    fn per_second(&self) -> f64 {
        self.writes as f64 / self.seconds
    }
}

/// Runs `write(number)` from `clients` threads; each thread makes its own with `make`.
fn race<W>(
    name: &'static str,
    clients: usize,
    span: Duration,
    make: impl Fn() -> Outcome<W> + Sync,
    syncs: impl Fn() -> Option<u64>,
) -> Outcome<Score>
where
    W: FnMut(u64) -> Outcome<()>,
{
    let numbers = AtomicU64::new(1);
    let (counts, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let start = Barrier::new(clients + 1);
    std::thread::scope(|scope| {
        let client = || -> Outcome<Vec<Duration>> {
            let made = make();
            start.wait();
            let mut write = made?;
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let counted = counts.load(Ordering::Relaxed);
                let before = Instant::now();
                write(numbers.fetch_add(1, Ordering::Relaxed))?;
                if counted {
                    times.push(before.elapsed());
                }
            }
            Ok(times)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        start.wait();
        std::thread::sleep(span / WARM_UP_PART);
        let (synced, before) = (syncs(), Instant::now());
        counts.store(true, Ordering::Relaxed);
        std::thread::sleep(span);
        stop.store(true, Ordering::Relaxed);
        let seconds = before.elapsed().as_secs_f64();
        let synced = syncs().zip(synced).map(|(after, before)| after - before);
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        times.sort_unstable();
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied();
        let writes = times.len() as u64;
        Ok(Score {
            name,
            writes,
            seconds,
            p50: at(0.50).unwrap_or_default(),
            p99: at(0.99).unwrap_or_default(),
            syncs_per_write: synced.map(|s| s as f64 / writes.max(1) as f64),
        })
    })
}

fn our_store(
    name: &'static str,
    folder: &Path,
    options: StoreOptions,
    clients: usize,
    span: Duration,
) -> Outcome<Score> {
    let clock = Arc::new(MachineClock);
    let health = Health::new(clock.clone());
    let ground = Ground { clock, disk: Arc::new(MachineDisk), health: health.clone() };
    let tasks = Tasks::new(health);
    let path = folder.join("bench.redb");
    if MachineDisk.exists(&path) {
        MachineDisk.remove(&path)?;
    }
    let told = |fault: ilot::base::fault::Fault| fault.to_string();
    let store = Store::open(&path, &ground, options, &[], &tasks).map_err(told)?;
    let traffic = store.traffic();
    let make = || {
        let store = store.clone();
        Ok(move |number: u64| {
            store
                .write(move |tx| {
                    tx.put(&ROWS, &number, &"x".repeat(ROW_BYTES))?;
                    tx.journal(&Caller::task("bench"), Deed::new("row.add", number))
                })
                .map_err(|fault| fault.to_string().into())
        })
    };
    let syncs = || Some(traffic.syncs.load(Ordering::Relaxed));
    let score = race(name, clients, span, make, syncs);
    store.close();
    tasks.stop(Duration::from_secs(5));
    score
}

/// What the disk itself can do: one page written and synced after another.
fn bare_syncs(folder: &Path, span: Duration) -> Outcome<f64> {
    let file = MachineDisk.open(&folder.join("bare"))?;
    file.set_len(PROBE_PAGES * PAGE as u64)?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < span {
        file.write_at(count % PROBE_PAGES * PAGE as u64, &[7; PAGE])?;
        file.sync()?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn connect(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, deed TEXT NOT NULL,
                                             object INTEGER NOT NULL, at INTEGER NOT NULL);",
    )?;
    Ok(connection)
}

fn insert(connection: &mut Connection, number: u64) -> Outcome<()> {
    // Immediate: a deferred transaction that turns into a writer may fail without waiting.
    let writing = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    writing
        .prepare_cached("INSERT INTO rows (id, body) VALUES (?1, ?2)")?
        .execute(params![number.cast_signed(), "x".repeat(ROW_BYTES)])?;
    writing
        .prepare_cached("INSERT INTO journal (deed, object, at) VALUES ('row.add', ?1, 0)")?
        .execute(params![number.cast_signed()])?;
    Ok(writing.commit()?)
}

fn sqlite(folder: &Path, shared: bool, clients: usize, span: Duration) -> Outcome<Score> {
    let path = folder.join("bench.sqlite");
    for end in ["", "-wal", "-shm"] {
        // What an earlier turn left.
        let _ = std::fs::remove_file(folder.join(format!("bench.sqlite{end}")));
    }
    let first = connect(&path)?;
    if shared {
        let connection = Arc::new(Mutex::new(first));
        let make = || {
            let connection = connection.clone();
            Ok(move |number| {
                insert(&mut connection.lock().unwrap_or_else(PoisonError::into_inner), number)
            })
        };
        return race("SQLite, one shared connection", clients, span, make, || None);
    }
    let make = || {
        let mut connection = connect(&path)?;
        Ok(move |number| insert(&mut connection, number))
    };
    race("SQLite, a connection per client", clients, span, make, || None)
}

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let rounds: usize = words.next().map_or(Ok(5), |w| w.parse())?;
    let clients: usize = words.next().map_or(Ok(64), |w| w.parse())?;
    let parent = match words.next() {
        Some(folder) => PathBuf::from(folder),
        // Beside the program: the temporary folder of a machine is often memory.
        None => std::env::current_exe()?.parent().ok_or("no folder")?.to_owned(),
    };
    let folder = parent.join(format!("store-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let run = || (0..rounds.max(1)).map(|_| round(&folder, clients)).collect::<Outcome<Vec<_>>>();
    let outcome = run();
    std::fs::remove_dir_all(&folder)?;
    print(&outcome?, clients)
}

/// Every contender once: the disk's bare syncs a second, and what each did.
fn round(folder: &Path, clients: usize) -> Outcome<(f64, Vec<Score>)> {
    let usual = StoreOptions::default();
    let alone = StoreOptions { batch_max: 1, ..usual };
    let bare = bare_syncs(folder, TURN / WARM_UP_PART)?;
    let scores = vec![
        our_store("ilot, group commit", folder, usual, clients, TURN)?,
        our_store("ilot, one commit per request", folder, alone, clients, TURN)?,
        sqlite(folder, false, clients, TURN)?,
        sqlite(folder, true, clients, TURN)?,
    ];
    Ok((bare, scores))
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn print(rounds: &[(f64, Vec<Score>)], clients: usize) -> Outcome<()> {
    println!(
        "{clients} clients, medians of {} rounds of {TURN:?} each, {} cores, {:.0} bare syncs/s by one thread",
        rounds.len(),
        std::thread::available_parallelism()?,
        median(rounds.iter().map(|(bare, _)| *bare)),
    );
    println!(
        "{:<34}{:>12}{:>10}{:>10}{:>12}{:>12}{:>16}",
        "contender", "writes/s", "p50 ms", "p99 ms", "syncs/write", "ilot is ×", "(in one round)"
    );
    let contenders = rounds.first().map_or(0, |(_, scores)| scores.len());
    for at in 0..contenders {
        print_one(rounds, at);
    }
    Ok(())
}

/// One contender's line. It is compared within each round, where all met the disk in much the same mood.
fn print_one(rounds: &[(f64, Vec<Score>)], at: usize) {
    let scores: Vec<&Score> = rounds.iter().filter_map(|(_, scores)| scores.get(at)).collect();
    let ratio =
        |scores: &[Score]| Some(scores.first()?.per_second() / scores.get(at)?.per_second());
    let ratios: Vec<f64> = rounds.iter().filter_map(|(_, scores)| ratio(scores)).collect();
    let of = |number: &dyn Fn(&Score) -> f64| median(scores.iter().map(|s| number(s)));
    let syncs = scores.first().and_then(|s| s.syncs_per_write);
    let (least, most) = (
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
    );
    println!(
        "{:<34}{:>12.0}{:>10.2}{:>10.2}{:>12}{:>12.1}{:>16}",
        scores.first().map_or("", |s| s.name),
        of(&Score::per_second),
        of(&|s| s.p50.as_secs_f64() * 1e3),
        of(&|s| s.p99.as_secs_f64() * 1e3),
        syncs.map_or_else(|| "-".to_owned(), |s| format!("{s:.3}")),
        median(ratios.iter().copied()),
        format!("{least:.1} to {most:.1}"),
    );
}
