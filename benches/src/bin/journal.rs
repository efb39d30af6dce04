//! What the journal costs: a durable write with its link and the same write without, and the lists of a long one.
//!
//! `journal [ROUNDS] [LINKS] [FOLDER]`; FOLDER must lie on the disk that is to be measured. Each round lets
//! the two ways of writing take turns, at 1 and at 16 clients, for a disk's mood changes within a minute.
//! Then a journal of LINKS links is made (without waiting for the disk) and each list is asked for.
//! A 0 leaves either out.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ilot::base::caller::{Caller, Who};
use ilot::base::clock::{Clock, HeldClock, MachineClock, Moment};
use ilot::base::disk::{Disk, MachineDisk};
use ilot::base::fault::Fault;
use ilot::base::health::Health;
use ilot::base::id::Id;
use ilot::base::tasks::Tasks;
use ilot::domains::activity::reading::{Filter, Part};
use ilot::domains::activity::{Activity, ActivitySettings, Directory, Person, Site};
use ilot::engines::secrets::RootKey;
use ilot::store::{Deed, Ground, Store, StoreOptions, Table};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROWS: Table<u64, String> = Table::quiet("bench.rows");
/// A row of about 200 bytes.
const ROW_BYTES: usize = 200;
/// How long one contender's turn takes.
const TURN: Duration = Duration::from_millis(1500);
/// How long it runs before that.
const WARM_UP: Duration = Duration::from_millis(300);
/// Links written at once while the long journal is made.
const FILLED_AT_ONCE: u64 = 10_000;
/// Milliseconds between two links of the long journal: a million of them are a year.
const APART_MS: u64 = 31_536;

fn told(fault: Fault) -> Box<dyn Error + Send + Sync> {
    fault.cause.map_or_else(
        || fault.message.clone().into(),
        |cause| format!("{}: {cause}", fault.message).into(),
    )
}

fn open(path: &Path, options: StoreOptions, clock: Arc<dyn Clock>) -> Outcome<(Store, Tasks)> {
    if MachineDisk.exists(path) {
        MachineDisk.remove(path)?;
    }
    let health = Health::new(clock.clone());
    let ground = Ground { clock, disk: Arc::new(MachineDisk), health: health.clone() };
    let tasks = Tasks::new(health);
    Ok((Store::open(path, &ground, options, &[], &tasks).map_err(told)?, tasks))
}

/// Writes a second of `clients` that each wait for their own.
fn writes(folder: &Path, clients: u64, journaled: bool) -> Outcome<f64> {
    let (store, tasks) =
        open(&folder.join("bench.redb"), StoreOptions::default(), Arc::new(MachineClock))?;
    let (numbers, counted) = (AtomicU64::new(1), AtomicU64::new(0));
    let (counts, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let start = Barrier::new(usize::try_from(clients)? + 1);
    let seconds = std::thread::scope(|scope| -> Outcome<f64> {
        let client = || -> Outcome<()> {
            start.wait();
            while !stop.load(Ordering::Relaxed) {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                store
                    .write(move |tx| {
                        tx.put(&ROWS, &number, &"x".repeat(ROW_BYTES))?;
                        if journaled {
                            tx.journal(&Caller::task("bench"), Deed::new("row.add", number))?;
                        }
                        Ok(())
                    })
                    .map_err(told)?;
                if counts.load(Ordering::Relaxed) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        start.wait();
        std::thread::sleep(WARM_UP);
        let began = Instant::now();
        counts.store(true, Ordering::Relaxed);
        std::thread::sleep(TURN);
        counts.store(false, Ordering::Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(seconds)
    })?;
    store.close();
    tasks.stop(Duration::from_secs(5));
    Ok(counted.load(Ordering::Relaxed) as f64 / seconds)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn compare(folder: &Path, rounds: usize) -> Outcome<()> {
    println!(
        "{:<12}{:>16}{:>16}{:>12}{:>20}",
        "clients", "alone /s", "with link /s", "adds", "(rounds)"
    );
    for clients in [1, 16] {
        let (mut alone, mut linked, mut adds) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            // Who goes first changes, so that neither always meets the colder disk.
            let first = round % 2 == 0;
            let a = writes(folder, clients, first)?;
            let b = writes(folder, clients, !first)?;
            let (with, without) = if first { (a, b) } else { (b, a) };
            alone.push(without);
            linked.push(with);
            adds.push((without / with - 1.0) * 100.0);
        }
        let least = adds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = adds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!(
            "{clients:<12}{:>16.0}{:>16.0}{:>11.1}%{:>20}",
            median(alone),
            median(linked),
            median(adds),
            format!("{least:.1} to {most:.1}"),
        );
    }
    Ok(())
}

/// A directory with one person in it.
struct Lone(Id);

impl Directory for Lone {
    fn person(&self, username: &str) -> Result<Option<Person>, Fault> {
        Ok(Some(Person {
            id: self.0,
            username: username.to_owned(),
            display_name: username.to_owned(),
            role: "viewer".into(),
            active: true,
            created_at: Moment(0),
        }))
    }
    fn number_of(&self, _: Id) -> Result<Option<u64>, Fault> {
        Ok(Some(1))
    }
    fn user_of(&self, _: u64) -> Result<Option<Id>, Fault> {
        Ok(Some(self.0))
    }
    fn site(&self) -> Result<Site, Fault> {
        Ok(Site::default())
    }
}

/// A question to the desk, and how many it finds.
type Question = Box<dyn Fn() -> Result<u64, Fault>>;

fn lists(folder: &Path, links: u64) -> Outcome<()> {
    let clock = Arc::new(HeldClock::at(Moment(1_768_464_000_000)));
    let options = StoreOptions { durable: false, ..StoreOptions::default() };
    let (store, tasks) = open(&folder.join("long.redb"), options, clock.clone())?;
    let keys = folder.join("keys");
    std::fs::create_dir_all(&keys)?;
    let root = RootKey::open(&keys).map_err(told)?;
    let who = Id([7; 16]);
    let desk = Activity::open(
        store.clone(),
        clock.clone(),
        Health::new(clock.clone()),
        &root,
        ActivitySettings::default(),
        Box::new(Lone(who)),
    )
    .map_err(told)?;
    let began = Instant::now();
    for batch in 0..links / FILLED_AT_ONCE {
        store
            .write(move |tx| {
                (0..FILLED_AT_ONCE).try_for_each(|n| {
                    let (caller, deed) = deed(batch * FILLED_AT_ONCE + n);
                    tx.journal(&caller, deed)
                })
            })
            .map_err(told)?;
        clock.pass(Duration::from_millis(APART_MS * FILLED_AT_ONCE));
    }
    println!("{links} links made in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    while desk.index_hours().map_err(told)? {}
    say("index of hours, from nothing", began.elapsed().as_secs_f64() * 1e3, links);
    for (name, ask) in questions(&desk, Clock::now(clock.as_ref())) {
        let (mut times, mut answer) = (Vec::new(), 0);
        for _ in 0..3 {
            let began = Instant::now();
            answer = ask().map_err(told)?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        say(name, median(times), answer);
    }
    let began = Instant::now();
    let mut export = desk.export(&Caller::console("bench")).map_err(told)?;
    let mut bytes = 0;
    while let Some(part) = export.part().map_err(told)? {
        bytes += part.len() as u64;
    }
    say("export, bytes", began.elapsed().as_secs_f64() * 1e3, bytes);
    drop((export, desk));
    store.close();
    tasks.stop(Duration::from_secs(5));
    Ok(())
}

fn say(what: &str, millis: f64, answer: u64) {
    println!("{what:<44}{millis:>10.1} ms   ({answer})");
}

/// One of fifty people does one of five things.
fn deed(number: u64) -> (Caller, Deed) {
    let deeds = ["mission.edit", "session.begin", "voyage.add", "punch.validate", "session.end"];
    let person = u8::try_from(number % 50).unwrap_or(0);
    let id = Id([person; 16]);
    let caller = Caller {
        who: Who::User { id, name: format!("person{person}") },
        agent: Some("Mozilla/5.0 (X11; Linux x86_64) Firefox/140".into()),
        address: Some(std::net::IpAddr::from([10, 0, 0, person])),
        session: Some(id),
        ..Caller::console(format!("r{number}"))
    };
    let deed = deeds.get(usize::try_from(number % 5).unwrap_or(0)).copied().unwrap_or("a.b");
    let state = ("a state before or after", number, "of about a hundred bytes, as JSON text");
    (caller, Deed::new(deed, number).before(&state).after(&state))
}

fn questions(desk: &Activity, now: Moment) -> Vec<(&'static str, Question)> {
    let ago = |hours: u64| Some(Moment(now.0 - i64::try_from(hours * 3_600_000).unwrap_or(0)));
    let page = Part { offset: 0, limit: 50, count: false };
    let counted = Part { count: true, ..page };
    let of = |filter: Filter, part: Part| -> Question {
        let desk = desk.clone();
        let caller = Caller::console("bench");
        Box::new(move || desk.list(&caller, "bench", &filter, part).map(|found| found.total))
    };
    let none = Filter::default;
    let login = Filter { actions: vec!["LOGIN".into()], ..none() };
    let person = Filter { named: Some("person7".into()), ..none() };
    let part = Filter { who: Some("person7".into()), ..none() };
    let old_day = Filter { from: ago(4_380), until: ago(4_356), ..none() };
    let last_day = Filter { from: ago(24), ..none() };
    let nothing = Filter { object: Some("zzz".into()), ..none() };
    let member = Filter { members: vec![("kiosk_id", 1)], ..none() };
    let (people, one, walk) = (desk.clone(), desk.clone(), desk.clone());
    let caller = || Caller::console("bench");
    vec![
        ("newest page", of(none(), page)),
        ("newest page with total", of(none(), counted)),
        ("newest page of one person", of(person, page)),
        ("one person by part of the name, counted", of(part, counted)),
        ("one action type, counted", of(login, counted)),
        ("one day half a year ago, counted", of(old_day, counted)),
        ("the last day, counted", of(last_day, counted)),
        ("nothing fits, counted", of(nothing, counted)),
        ("by a member of the states, nothing fits", of(member, page)),
        ("page 10 000 by offset", of(none(), Part { offset: 500_000, ..page })),
        (
            "people, 7 days",
            Box::new(move || people.by_person(&caller(), 7).map(|people| people.len() as u64)),
        ),
        (
            "one person, all of it",
            Box::new(move || {
                one.of_person(&caller(), "person7")
                    .map(|found| found.map_or(0, |found| found.total))
            }),
        ),
        (
            "walk along the whole chain",
            Box::new(move || walk.verify(&caller()).map(|verdict| verdict.findings.links)),
        ),
    ]
}

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let rounds: usize = words.next().map_or(Ok(7), |w| w.parse())?;
    let links: u64 = words.next().map_or(Ok(1_000_000), |w| w.parse())?;
    let parent = match words.next() {
        Some(folder) => PathBuf::from(folder),
        // Beside the program: the temporary folder of a machine is often memory.
        None => std::env::current_exe()?.parent().ok_or("no folder")?.to_owned(),
    };
    let folder = parent.join(format!("journal-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let compared = if rounds == 0 { Ok(()) } else { compare(&folder, rounds) };
    let outcome = compared.and_then(|()| if links == 0 { Ok(()) } else { lists(&folder, links) });
    std::fs::remove_dir_all(&folder)?;
    outcome
}
