//! A box filled with passages, through the library's own verbs; only the vectors are made up.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use half::f16;
use ilot::app::settings::Config;
use ilot::base::caller::Caller;
use ilot::base::tasks::Handle;
use ilot::domains::assistant::adding::Incoming;
use ilot::domains::assistant::records::{Place, TO_EMBED, VECTORS, passage_number};
use ilot::domains::assistant::{Assistant, Spooled};
use ilot::domains::identity::setup::SetUp;
use ilot::engines::embedding::Embedder;
use ilot::engines::readers::Extract;
use ilot::store::{Blob, Reader, Store, all};
use ilot_benches::dice::{Dice, unit};
use ilot_benches::squad;

use super::{Outcome, open, told};

/// The model's folder.
pub(crate) const MODEL: &str = "all-minilm-l6-v2";
/// The administrator.
pub(crate) const USER: &str = "mesure";
pub(crate) const PASSWORD: &str = "quatorze camions attendent dehors";
/// Says that the folder is filled to the end.
const FILLED: &str = "filled";
/// Paragraphs of one document, and sentences of one paragraph.
const PARAGRAPHS: usize = 20;
const SENTENCES: usize = 5;
/// Documents learned at once, so that they share commits.
const WRITERS: usize = 8;
/// Vectors written in one commit.
const VECTORS_AT_ONCE: usize = 2_000;
/// Real paragraphs whose vectors the made-up ones gather around.
const CENTRES: usize = 1_000;
/// How far they stray, as a part of one: their cosine with their centre is about 0.7.
const STRAY: f32 = 1.0;

/// The settings of the box in `folder`: it listens nowhere.
pub(crate) fn config(folder: &Path, models: &Path) -> Outcome<Config> {
    let flags = [
        ("listen.http", "off".to_owned()),
        ("listen.https", "off".to_owned()),
        ("models.folder", models.display().to_string()),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value));
    Config::read(Some(folder.to_owned()), &flags).map_err(told)
}

/// Fills the box in `folder`, unless an earlier run did.
pub(crate) fn fill(
    folder: &Path,
    models: &Path,
    paragraphs: &[String],
    count: usize,
) -> Outcome<()> {
    if folder.join(FILLED).exists() {
        return Ok(());
    }
    if folder.exists() {
        return Err(format!("{} is there and is not a filled box", folder.display()).into());
    }
    let began = Instant::now();
    let app = open(folder, models)?;
    let desks = app.desks();
    let answers = SetUp {
        site: "Mesures".into(),
        language: "fr".into(),
        time_zone: "Europe/Paris".into(),
        colour: "#204080".into(),
        username: USER.into(),
        display_name: "Mesure".into(),
        password: PASSWORD.to_owned().into(),
    };
    desks.identity.set_up(&Caller::console("bench"), "", answers).map_err(told)?;
    learn(&desks.assistant, &desks.system.store, paragraphs, count)?;
    println!("{count} passages learned in {:.1?}", began.elapsed());
    let centres = centres(models, paragraphs)?;
    make_vectors(&desks.system.store, &centres)?;
    let began = Instant::now();
    desks.assistant.follow(&Handle::unattended()).map_err(told)?;
    println!("both indexes followed in {:.1?}", began.elapsed());
    app.close();
    fs::write(folder.join(FILLED), count.to_string())?;
    Ok(())
}

/// Learns documents recombined from real sentences until there are enough passages.
fn learn(assistant: &Assistant, store: &Store, paragraphs: &[String], count: usize) -> Outcome<()> {
    let sentences = squad::sentences(paragraphs);
    let (caller, next) = (Caller::task("bench"), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let work = || -> Outcome<()> {
            let waiting = || store.read(|view| view.count(TO_EMBED.name)).map_err(told);
            while waiting()? < count as u64 {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let text = text(&sentences, number);
                let path = assistant.spool().join(format!("bench-{number}.txt"));
                fs::write(&path, &text)?;
                let mut file = Spooled::at(&path).map_err(told)?;
                file.ours = true;
                let place = format!("dossier {}/note {number}.txt", number / 100);
                let incoming =
                    Incoming { collection: String::new(), path: place, file, modified: None };
                let title = Some(format!("Note {number}"));
                let extract = Extract { title, text, ..Extract::default() };
                assistant.learn(&caller, &incoming, extract).map_err(told)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })
}

fn text(sentences: &[&str], number: usize) -> String {
    let mut dice =
        Dice(0x2545_f491_4f6c_dd1d ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut paragraph = || -> String {
        (0..SENTENCES).filter_map(|_| sentences.get(dice.below(sentences.len())).copied()).collect()
    };
    (0..PARAGRAPHS).map(|_| paragraph()).collect::<Vec<_>>().join("\n\n")
}

/// Vectors of real paragraphs, scaled so that their numbers are about one each.
fn centres(models: &Path, paragraphs: &[String]) -> Outcome<Vec<Vec<f32>>> {
    let embedder = Embedder::open(&models.join(MODEL)).map_err(told)?;
    let texts: Vec<&str> = paragraphs.iter().take(CENTRES).map(String::as_str).collect();
    let scale = (embedder.card().dimension as f32).sqrt();
    let vectors = embedder.embed(&texts).map_err(told)?;
    Ok(vectors.into_iter().map(|v| v.iter().map(|x| x * scale).collect()).collect())
}

/// Gives every passage that waits a vector near one of the centres.
fn make_vectors(store: &Store, centres: &[Vec<f32>]) -> Outcome<()> {
    let mut dice = Dice(7);
    loop {
        let waiting =
            store.read(|view| view.list(&TO_EMBED, &all(), VECTORS_AT_ONCE)).map_err(told)?;
        if waiting.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Place, Blob)> = waiting
            .into_iter()
            .map(|(place, ())| {
                let centre = centres.get(dice.below(centres.len())).map_or(&[][..], Vec::as_slice);
                let vector = unit(centre.iter().map(|c| c + STRAY * dice.normal()).collect());
                let bytes = vector.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
                (place, Blob(bytes))
            })
            .collect();
        store
            .write(move |tx| {
                rows.iter().try_for_each(|(place, row)| {
                    tx.remove(&TO_EMBED, place)?;
                    tx.put(&VECTORS, place, row)
                })
            })
            .map_err(told)?;
    }
}

/// Every vector as the store keeps it, at length one, with the numbers of their passages.
pub(crate) fn vectors(folder: &Path, models: &Path) -> Outcome<(Vec<u64>, Vec<Vec<f32>>)> {
    let app = open(folder, models)?;
    let (mut ids, mut all_of_them) = (Vec::new(), Vec::new());
    let read = app.desks().system.store.read(|view| {
        view.each(&VECTORS, &all(), |place: Place, Blob(bytes)| {
            let vector = bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32());
            ids.push(passage_number(place));
            all_of_them.push(unit(vector.collect()));
            Ok(ControlFlow::Continue(()))
        })
    });
    app.close();
    read.map_err(told)?;
    Ok((ids, all_of_them))
}

/// Takes the files under these paths out of the kernel's memory, as after the machine was off.
pub(crate) fn forget_pages(paths: &[&Path]) -> Outcome<()> {
    for path in paths {
        if path.is_dir() {
            let inside: Vec<_> = fs::read_dir(path)?.flatten().map(|e| e.path()).collect();
            forget_pages(&inside.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>())?;
        } else if path.is_file() {
            let file = File::open(path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
