//! Hybrid search in a box of 100,000 passages: how quickly it answers, starts and gives memory back.
//!
//! `hybrid [PASSAGES] [FOLDER]`. The box is filled once, through the library's own verbs, and kept in
//! FOLDER (beside the program by default) for the next run. Questions then go through the door of
//! `ilot serve`, the program beside this one, with a signed-in bearer. `GRAPH=1` also builds the graph
//! that larger indexes answer from, and measures what it finds.

mod box_process;
mod filling;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ilot::app::{App, World};
use ilot::base::caller::Caller;
use ilot::base::clock::MachineClock;
use ilot::base::health::Health;
use ilot::base::tasks::Tasks;
use ilot::domains::assistant::search::Question;
use ilot::engines::embedding::Embedder;
use ilot::engines::vectors::{Vectors, Way};
use ilot_benches::process::memory;
use ilot_benches::times::show;
use ilot_benches::{dice, squad};

use box_process::{Client, Running};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long each number of clients asks.
const SPAN: Duration = Duration::from_secs(10);
/// Questions whose ten nearest passages are compared with the exact ones.
const COMPARED: usize = 500;
/// Cold starts; the middle one counts.
const STARTS: usize = 5;
/// Passages that one question asks for, as the pages do.
const TOP: usize = 10;
/// The idle time after which the box is told to give memory back, and how long it is waited for.
const IDLE_SECONDS: u64 = 5;
const IDLE_WAIT: Duration = Duration::from_secs(15);

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let count: usize = words.next().map_or(Ok(100_000), |w| w.parse())?;
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("the program is in no folder")?.to_owned();
    let folder = words.next().map_or_else(|| beside.join(format!("hybrid-{count}")), PathBuf::from);
    let models = std::path::absolute(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))?;
    let (paragraphs, questions) = squad::read()?;
    // What is put in quotes or left out is a condition, which may leave the answer to the words alone.
    let questions: Vec<String> = questions
        .into_iter()
        .filter(|q| !q.contains(['"', '“', '”', ':']) && !q.contains(" -"))
        .map(|q| q.chars().take(300).collect())
        .collect();
    filling::fill(&folder, &models, &paragraphs, count)?;
    println!("# {count} passages in {}", folder.display());
    recall(&folder, &models, &questions)?;
    in_process(&folder, &models, &questions)?;
    through_the_door(&beside.join("ilot"), &folder, &models, &questions)
}

/// Opens the filled box in this process, without listening.
fn open(folder: &Path, models: &Path) -> Outcome<App> {
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    App::open(filling::config(folder, models)?, &World::machine()?, tasks, health).map_err(told)
}

fn told(fault: ilot::base::fault::Fault) -> Box<dyn Error + Send + Sync> {
    format!("{fault}").into()
}

/// What the vectors find beside what is exact.
fn recall(folder: &Path, models: &Path, questions: &[String]) -> Outcome<()> {
    let embedder = Embedder::open(&models.join(filling::MODEL)).map_err(told)?;
    let step = (questions.len() / COMPARED).max(1);
    let asked: Vec<Vec<f32>> = questions
        .iter()
        .step_by(step)
        .map(|q| embedder.embed(&[q]).map(|v| v.into_iter().next().unwrap_or_default()))
        .collect::<Result<_, _>>()
        .map_err(told)?;
    let (ids, all) = filling::vectors(folder, models)?;
    let exact: Vec<Vec<u64>> = asked
        .iter()
        .map(|q| dice::nearest(&all, q).iter().filter_map(|at| ids.get(*at).copied()).collect())
        .collect();
    drop(all);
    let root = filling::config(folder, models)?.data.index().join("vectors");
    let card = embedder.card();
    let rows = Vectors::open(&root, card.dimension, &card.name).map_err(told)?;
    compare("scan of every row", &rows, &asked, &exact, Way::Scan)?;
    if std::env::var_os("GRAPH").is_some() {
        let rows = rows.with_graph_from(1);
        let start = Instant::now();
        rows.load_graph(&|| false).map_err(told)?;
        println!("graph built in {:.1?}", start.elapsed());
        compare("graph", &rows, &asked, &exact, Way::Graph)?;
    }
    Ok(())
}

fn compare(
    name: &str,
    rows: &Vectors,
    asked: &[Vec<f32>],
    exact: &[Vec<u64>],
    way: Way,
) -> Outcome<()> {
    let (mut times, mut right) = (Vec::new(), 0);
    for (question, exact) in asked.iter().zip(exact) {
        let start = Instant::now();
        // As deep as a search asks.
        let (found, went) = rows.search_by(question, 100, None).map_err(told)?;
        times.push(start.elapsed());
        assert_eq!(went, way, "the other way was measured");
        right += found.iter().take(10).filter(|(id, _)| exact.contains(id)).count();
    }
    let recall = right as f32 / (exact.len() * 10) as f32;
    show(&format!("{name}, recall@10 {recall:.4}"), &mut times);
    Ok(())
}

fn in_process(folder: &Path, models: &Path, questions: &[String]) -> Outcome<()> {
    let app = open(folder, models)?;
    let assistant = app.desks().assistant.clone();
    let caller = Caller::task("bench");
    for clients in [1, 2, 4] {
        let ask = |question: &String| {
            let question = Question { query: question.clone(), top: TOP, ..Question::default() };
            let found = assistant.search(&caller, &question).map_err(told)?;
            if found.by_words_alone { Err("the meaning was not looked at".into()) } else { Ok(()) }
        };
        ask(questions.first().ok_or("no questions")?)?;
        let mut times = race(clients, questions, || Ok(ask))?;
        show(&format!("in process, {clients} at once"), &mut times);
    }
    app.close();
    Ok(())
}

/// Asks from `clients` threads for [`SPAN`]; each makes its own way of asking with `make`.
fn race<A>(
    clients: usize,
    questions: &[String],
    make: impl Fn() -> Outcome<A> + Sync,
) -> Outcome<Vec<Duration>>
where
    A: FnMut(&String) -> Outcome<()>,
{
    let next = AtomicUsize::new(0);
    let end = Instant::now() + SPAN;
    std::thread::scope(|scope| {
        let client = || -> Outcome<Vec<Duration>> {
            let mut ask = make()?;
            let mut times = Vec::new();
            while Instant::now() < end {
                let at = next.fetch_add(1, Ordering::Relaxed) * 7 % questions.len().max(1);
                let start = Instant::now();
                ask(questions.get(at).ok_or("no questions")?)?;
                times.push(start.elapsed());
            }
            Ok(times)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(times)
    })
}

fn through_the_door(
    ilot: &Path,
    folder: &Path,
    models: &Path,
    questions: &[String],
) -> Outcome<()> {
    let question = questions.first().ok_or("no questions")?;
    let idle = format!("search.idle_unload_seconds={IDLE_SECONDS}");
    let start = || Running::start(ilot, folder, models, &idle);
    let running = start()?;
    let token = running.sign_in(filling::USER, filling::PASSWORD)?;
    running.wait_until_followed(&token)?;
    running.stop()?;
    for (name, from_disk) in [("its files in memory", false), ("its files on disk", true)] {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            if from_disk {
                filling::forget_pages(&[folder, models, ilot])?;
            }
            let began = Instant::now();
            let running = start()?;
            running.first_answer(&token, question)?;
            times.push(began.elapsed());
            running.stop()?;
        }
        show(&format!("cold start to the first answer, {name}"), &mut times);
    }
    let running = start()?;
    running.first_answer(&token, question)?;
    println!("after the first answer: {:?}", memory(&running.process()));
    for clients in [1, 4] {
        let make = || {
            let mut client = Client::connect(running.address())?;
            let token = token.clone();
            Ok(move |question: &String| client.query(&token, question, TOP))
        };
        let mut times = race(clients, questions, make)?;
        show(&format!("through the door, {clients} clients"), &mut times);
    }
    println!("after many: {:?}", memory(&running.process()));
    std::thread::sleep(IDLE_WAIT);
    println!("idle: {:?}", memory(&running.process()));
    let began = Instant::now();
    running.first_answer(&token, question)?;
    println!("the first answer after it was idle: {:.1?}", began.elapsed());
    running.stop()
}
