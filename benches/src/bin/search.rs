//! Search, measured: vectors by graph and by scan, words, and the encoder beside its rivals.
//!
//! `search vectors [COUNT]`, `search words [COUNT]`, `search embed [TEXTS]`; without a word, all.
//! `SQUAD` names a file of questions in `SQuAD` format whose paragraphs become the text.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ilot::base::mark::Mark;
use ilot::engines::embedding::Embedder;
use ilot::engines::fulltext::{Change, Entry, Filter, FullText};
use ilot::engines::vectors::{Vectors, Way};
use ilot_benches::dice::{Dice, nearest};
use ilot_benches::times::show;
use ilot_benches::{process, squad};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// As the built-in encoder's.
const DIMENSION: usize = 384;
/// Topics that the made-up vectors gather around.
const CLUSTERS: usize = 200;
const QUERIES: usize = 500;

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_default();
    let count = words.next().and_then(|n| n.parse().ok());
    match what.as_str() {
        "vectors" => vectors(count.unwrap_or(100_000)),
        "words" => by_words(count.unwrap_or(100_000)),
        "embed" => embed(count.unwrap_or(1000)),
        _ => {
            vectors(100_000)?;
            by_words(100_000)?;
            embed(1000)
        }
    }
}

/// Megabytes of this process in memory.
fn resident() -> u64 {
    process::memory("self").resident
}

fn ids(found: &[usize]) -> HashSet<u64> {
    found.iter().map(|id| *id as u64).collect()
}

fn mark(seq: u64) -> Mark {
    Mark { epoch: [1; 16], seq, schema: 1 }
}

fn vectors(count: usize) -> Outcome {
    println!("# {count} vectors of {DIMENSION} in {CLUSTERS} clusters");
    let folder = tempfile::tempdir()?;
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| dice.vector(DIMENSION)).collect();
    let all: Vec<Vec<f32>> = (0..count).map(|_| dice.near(&centres)).collect();
    let asked: Vec<Vec<f32>> = (0..QUERIES).map(|_| dice.near(&centres)).collect();
    let exact: Vec<HashSet<u64>> = asked.iter().map(|q| ids(&nearest(&all, q))).collect();

    let vectors = Vectors::open(folder.path(), DIMENSION, "bench")?.with_graph_from(1);
    let start = Instant::now();
    for (id, vector) in (0..).zip(&all) {
        vectors.add(id, vector)?;
    }
    println!("rows: {:.2?}, {} MB", start.elapsed(), vectors.memory().rows / 1_000_000);
    measure(&vectors, &asked, &exact, Way::Scan)?;
    let before = resident();
    let start = Instant::now();
    vectors.load_graph(&|| false)?;
    println!(
        "graph: built in {:.2?}, {} bytes for a point",
        start.elapsed(),
        resident().saturating_sub(before) * 1_000_000 / count as u64
    );
    // Kept until here, so that the graph's memory is not taken out of what they leave behind.
    drop(all);
    measure(&vectors, &asked, &exact, Way::Graph)?;
    let start = Instant::now();
    vectors.save(mark(1))?;
    println!("rows saved in {:.2?}", start.elapsed());
    let start = Instant::now();
    vectors.save_graph(mark(1))?;
    println!("graph saved in {:.2?}", start.elapsed());
    vectors.unload_if_idle(Duration::ZERO);
    println!("resident after the graph was let go: {} MB", resident());
    drop(vectors);
    let start = Instant::now();
    let vectors = Vectors::open(folder.path(), DIMENSION, "bench")?.with_graph_from(1);
    println!("rows opened in {:.2?}", start.elapsed());
    let start = Instant::now();
    vectors.load_graph(&|| false)?;
    println!("graph loaded in {:.2?}", start.elapsed());
    measure(&vectors, &asked, &exact, Way::Graph)
}

fn measure(vectors: &Vectors, asked: &[Vec<f32>], exact: &[HashSet<u64>], way: Way) -> Outcome {
    for k in [10, 100] {
        let mut times = Vec::new();
        let mut right = 0;
        for (question, exact) in asked.iter().zip(exact) {
            let start = Instant::now();
            let (found, went) = vectors.search_by(question, k, None)?;
            times.push(start.elapsed());
            assert_eq!(went, way, "the other way was measured");
            right += found.iter().take(10).filter(|(id, _)| exact.contains(id)).count();
        }
        let recall = right as f32 / (exact.len() * 10) as f32;
        show(&format!("{way:?}, top {k}, recall@10 {recall:.4}"), &mut times);
    }
    Ok(())
}

fn by_words(count: usize) -> Outcome {
    println!("# {count} passages recombined from real sentences");
    let (paragraphs, questions) = squad::read()?;
    let sentences = squad::sentences(&paragraphs);
    let mut dice = Dice(7);
    let texts: Vec<String> = (0..count)
        .map(|_| {
            (0..5).filter_map(|_| sentences.get(dice.below(sentences.len())).copied()).collect()
        })
        .collect();
    let folder = tempfile::tempdir()?;
    let index = FullText::open(folder.path(), false)?;
    let start = Instant::now();
    let mut seq = 0;
    for some in texts.chunks(5000) {
        let changes: Vec<Change> = some
            .iter()
            .map(|text| {
                seq += 1;
                Change::Put(Entry {
                    id: seq,
                    doc: seq / 20,
                    collection: if seq % 2 == 0 { "a" } else { "b" },
                    language: "fr",
                    path: "dossier/fichier.txt",
                    date: 0,
                    title: "Dossier",
                    heading: "",
                    text,
                })
            })
            .collect();
        index.apply(&changes, mark(seq))?;
    }
    index.close()?;
    let bytes: u64 = walk(folder.path());
    println!("indexed in {:.2?}, {} MB on disk", start.elapsed(), bytes / 1_000_000);
    let open = Filter::default();
    let half = Filter { collections: Some(vec!["a".into()]), ..Filter::default() };
    let slip = |q: &String| q.replacen("ou", "uo", 1);
    for (name, filter, change) in [
        ("top 100", &open, None),
        ("top 100 of half", &half, None),
        ("top 100 with a slip", &open, Some(slip)),
    ] {
        let mut times = Vec::new();
        for question in questions.iter().step_by(questions.len() / QUERIES) {
            let question = change.map_or_else(|| question.clone(), |change| change(question));
            let start = Instant::now();
            index.search(&question, filter, 100)?;
            times.push(start.elapsed());
        }
        show(name, &mut times);
    }
    let start = Instant::now();
    drop(FullText::open(folder.path(), true)?);
    println!("opened with every checksum in {:.2?}", start.elapsed());
    let start = Instant::now();
    drop(FullText::open(folder.path(), false)?);
    println!("opened in {:.2?}", start.elapsed());
    Ok(())
}

fn walk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => walk(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

fn embed(count: usize) -> Outcome {
    let (paragraphs, questions) = squad::read()?;
    let texts: Vec<&str> = paragraphs.iter().take(count).map(String::as_str).collect();
    println!("# {} paragraphs through the encoder", texts.len());
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/all-minilm-l6-v2");
    let start = Instant::now();
    let embedder = Embedder::open(&models)?;
    let opened = start.elapsed();
    embedder.warm()?;
    println!("opened in {opened:.2?}, loaded in {:.2?}", start.elapsed().saturating_sub(opened));
    let tokens: usize =
        texts.iter().map(|t| embedder.tokens(t).map(|t| t.len())).sum::<Result<_, _>>()?;
    embedder.embed(texts.get(..8).unwrap_or_default())?;
    let (start, spent) = (Instant::now(), process::processor());
    embedder.embed(&texts)?;
    let (took, spent) = (start.elapsed().as_secs_f32(), process::processor() - spent);
    println!(
        "ilot, one thread: {:.1} texts/s, {:.0} tokens/s, {:.0} tokens per CPU-second",
        texts.len() as f32 / took,
        tokens as f32 / took,
        tokens as f32 / spent
    );
    let mut times = Vec::new();
    for question in questions.iter().take(QUERIES) {
        let start = Instant::now();
        embedder.embed(&[question])?;
        times.push(start.elapsed());
    }
    show("one question", &mut times);
    println!("resident {} MB", resident());
    embedder.unload();
    println!("resident {} MB after unloading", resident());
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("texts.json");
    fs::write(&list, serde_json::to_vec(&texts)?)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals/embed.py");
    let ran = Command::new("python3").arg(script).arg(&models).arg(&list).status()?;
    if !ran.success() {
        println!("the rivals could not be measured: see benches/rivals/embed.py for what it needs");
    }
    Ok(())
}
