//! `ilot eval`: measures retrieval with a question set, in a box that is forgotten afterwards.

use std::path::PathBuf;
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
use crate::domains::assistant::eval::{Scores, Set};

/// Flags of `eval`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A question set in `SQuAD`'s form
    file: PathBuf,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let text = std::fs::read_to_string(&flags.file).map_err(|e| {
        Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", flags.file.display()))
    })?;
    let set = Set::read(&text)?;
    let bar = show::bar(0, "steps", place.json);
    let scores = measure(place.config()?, &set, &|stage, done, total| {
        bar.set_message(stage.to_owned());
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
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
    let scratch = tempfile::tempdir().map_err(|e| Fault::broken("making a scratch folder", e))?;
    let mut config = Config { data: DataFolder::at(scratch.path()), ..config };
    "off".clone_into(&mut config.settings.listen.https);
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let app = App::open(config, &World::in_memory()?, tasks, health)?;
    let scores = app.desks().assistant.evaluate(set, tell);
    app.close();
    scores
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
