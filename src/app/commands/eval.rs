//! `ilot eval`: measures retrieval with a question set, in a box that is forgotten afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{Exit, Place, show};
use crate::app::settings::Config;
use crate::app::{App, World};
use crate::base::clock::MachineClock;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::paths::DataFolder;
use crate::base::tasks::Tasks;
use crate::domains::assistant::Assistant;
use crate::domains::assistant::eval::{Refusal, Row, Scores, Set};

/// Flags of `eval`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A question set in `SQuAD`'s form
    file: PathBuf,
    /// Measure when to say that the documents do not tell: each question with its article left out too
    #[arg(long)]
    refusal: bool,
    /// Write every question's signals there, one JSON object a line
    #[arg(long, value_name = "FILE", requires = "refusal")]
    rows: Option<PathBuf>,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let text = std::fs::read_to_string(&flags.file).map_err(|e| {
        Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", flags.file.display()))
    })?;
    let set = Set::read(&text)?;
    let bar = show::bar(0, "steps", place.json);
    let tell = |stage: &str, done: usize, total: usize| {
        bar.set_message(stage.to_owned());
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    if flags.refusal {
        let refusal = measure_refusal(place.config()?, &set, &tell)?;
        bar.finish_and_clear();
        if let Some(rows) = &flags.rows {
            write_rows(rows, &refusal.rows)?;
        }
        show::either(place.json, &refusal, || print_refusal(&refusal));
        return Ok(Exit::Done);
    }
    let scores = measure(place.config()?, &set, &tell)?;
    bar.finish_and_clear();
    show::either(place.json, &scores, || print(&scores));
    Ok(Exit::Done)
}

/// Measures `set` with the settings of `config` in a box of its own.
///
/// # Errors
/// What the box says.
pub fn measure(
    config: Config,
    set: &Set,
    tell: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Scores, Fault> {
    in_a_box(config, |desk| desk.evaluate(set, tell))
}

/// Measures when to say that the documents do not tell, in a box of its own.
///
/// # Errors
/// What the box says.
pub fn measure_refusal(
    config: Config,
    set: &Set,
    tell: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Refusal, Fault> {
    in_a_box(config, |desk| desk.evaluate_refusal(set, tell))
}

/// Does something with the assistant of a box that is forgotten afterwards.
fn in_a_box<T>(
    config: Config,
    work: impl FnOnce(&Assistant) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let scratch = tempfile::tempdir().map_err(|e| Fault::broken("making a scratch folder", e))?;
    let mut config = Config { data: DataFolder::at(scratch.path()), ..config };
    "off".clone_into(&mut config.settings.listen.https);
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let app = App::open(config, &World::in_memory()?, tasks, health)?;
    let done = work(&app.desks().assistant);
    app.close();
    done
}

fn write_rows(file: &Path, rows: &[Row]) -> Result<(), Fault> {
    let mut text = String::new();
    for row in rows {
        let line = serde_json::to_string(row).map_err(|e| Fault::broken("writing a row", e))?;
        text.push_str(&line);
        text.push('\n');
    }
    std::fs::write(file, text).map_err(|e| {
        Fault::invalid("file_unwritable", format!("{} cannot be written: {e}", file.display()))
    })
}

fn print_refusal(refusal: &Refusal) {
    println!("{} questions, each with and without its article", refusal.questions);
    println!(
        "as it is set: {:.1} % refused wrongly, {:.1} % refused rightly",
        100.0 * refusal.refused_wrongly,
        100.0 * refusal.refused_rightly
    );
    println!("signal                area  threshold  refused wrongly  refused rightly");
    for signal in &refusal.signals {
        println!(
            "{:20} {:5.3}  {:9.3}  {:13.1} %  {:13.1} %",
            signal.name,
            signal.area,
            signal.threshold,
            100.0 * signal.refused_wrongly,
            100.0 * signal.refused_rightly
        );
    }
    if refusal.by_words_alone {
        println!("(by words alone: there is no model)");
    }
}

fn print(scores: &Scores) {
    println!("{} paragraphs, {} questions", scores.paragraphs, scores.questions);
    for (name, value) in [
        ("recall@1", scores.recall_at_1),
        ("recall@5", scores.recall_at_5),
        ("recall@10", scores.recall_at_10),
        ("MRR@10", scores.mrr_at_10),
    ] {
        println!("{name:10} {:5.1} %", 100.0 * value);
    }
    if scores.by_words_alone {
        println!("(by words alone: there is no model)");
    }
}
