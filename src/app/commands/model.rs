//! `ilot model`: language models from the command line, from a file or a stick to the one at work.

mod bring;
mod find;
mod tell;

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::collections::percent;
use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;
use crate::engines::generation::Probe;
use find::{Found, find};

/// The verbs of `model`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a model: a GGUF file, a folder that holds one, or a stick with models on it
    Add {
        /// The file, the folder, or the place the stick is mounted at
        path: PathBuf,
        /// The name it gets; without one, the name of its file
        #[arg(long, conflicts_with = "all")]
        name: Option<String>,
        /// Add every model that is found there
        #[arg(long)]
        all: bool,
        /// Let it write from now on
        #[arg(long = "use", conflicts_with = "all")]
        and_use: bool,
    },
    /// List the models, and how the one at work is
    List,
    /// Show what is in a model: family, size, context, the memory it needs, how fast it will be
    Inspect {
        /// The name of a model of the box, or a GGUF file or folder anywhere
        model: String,
    },
    /// Take a model away, with its files
    Remove {
        /// Its name
        name: String,
        /// Although it is in use
        #[arg(long)]
        force: bool,
    },
    /// Let a model do the work from now on; `none` leaves nobody to do it
    Use {
        /// Its name, or `none`
        name: String,
        /// The work
        #[arg(long, value_enum, default_value_t = Work::Language)]
        purpose: Work,
    },
    /// Take in folders that were put into the models' folder by hand, and read the others anew
    Rescan,
    /// Keep the key of the server that generates for this box; it is asked for, or read from a pipe
    Key {
        /// Forget it instead
        #[arg(long)]
        forget: bool,
    },
}

/// What a model does.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Work {
    /// It writes.
    Language,
    /// It judges how well passages answer.
    Reranker,
}

impl Work {
    const fn word(self) -> &'static str {
        match self {
            Self::Language => "language",
            Self::Reranker => "reranker",
        }
    }
}

pub(super) fn run(place: &Place, verb: Verb) -> Result<Exit, Fault> {
    match verb {
        Verb::Add { path, name, all, and_use } => add(place, &path, name.as_deref(), all, and_use),
        Verb::List => list(place),
        Verb::Inspect { model } => inspect(place, &model),
        Verb::Remove { name, force } => {
            let path = format!("/models/{}?force={force}", percent(&name));
            let done = Console::connect(place)?.call(Method::DELETE, &path, None::<&()>)?;
            show::either(place.json, &done, || println!("{name} is gone"));
            Ok(Exit::Done)
        }
        Verb::Use { name, purpose } => {
            let console = Console::connect(place)?;
            let done = choose(&console, &name, purpose)?;
            show::either(place.json, &done, || match done.get("model") {
                Some(Value::Object(_)) => println!("{name} is in use"),
                _ => println!("no model is in use"),
            });
            Ok(Exit::Done)
        }
        Verb::Rescan => rescan(place),
        Verb::Key { forget } => key(place, forget),
    }
}

fn add(
    place: &Place,
    path: &Path,
    name: Option<&str>,
    all: bool,
    and_use: bool,
) -> Result<Exit, Fault> {
    let found = find(path)?;
    if found.len() > 1 && !all {
        let names: Vec<String> =
            found.iter().map(|found| format!("  {}", found.weights.display())).collect();
        return Err(Fault::invalid(
            "models_several",
            format!(
                "There are several models; name one of them, or take --all:\n{}",
                names.join("\n")
            ),
        ));
    }
    let console = Console::connect(place)?;
    let mut models = Vec::with_capacity(found.len());
    for one in &found {
        let name = name.unwrap_or(&one.name);
        models.push(bring::bring(&console, one, name, place.json)?);
    }
    let used = models.last().filter(|_| and_use).map(|model| tell::word(model, "name").to_owned());
    if let Some(name) = &used {
        choose(&console, name, Work::Language)?;
    }
    show::either(place.json, &json!({"models": models, "in_use": used}), || {
        for model in &models {
            tell::added(model);
        }
        match (&used, models.last()) {
            (Some(name), _) => println!("{name} is in use"),
            (None, Some(model)) => {
                println!("let it write with: ilot model use {}", tell::word(model, "name"));
            }
            (None, None) => {}
        }
    });
    Ok(Exit::Done)
}

fn choose(console: &Console, name: &str, purpose: Work) -> Result<Value, Fault> {
    let body = json!({"purpose": purpose.word()});
    console.call(Method::POST, &format!("/models/{}/use", percent(name)), Some(&body))
}

fn list(place: &Place) -> Result<Exit, Fault> {
    let listed = Console::connect(place)?.get("/models")?;
    show::either(place.json, &listed, || tell::list(&listed));
    Ok(Exit::Done)
}

/// A file that is there is looked into as it lies, without any box; else it is the name of a model.
fn inspect(place: &Place, model: &str) -> Result<Exit, Fault> {
    let path = Path::new(model);
    if !path.exists() {
        let shown = Console::connect(place)?.get(&format!("/models/{}", percent(model)))?;
        let shown = shown.get("model").cloned().unwrap_or_default();
        show::either(place.json, &shown, || tell::model(&shown));
        return Ok(Exit::Done);
    }
    let program = std::env::current_exe().map_err(|e| Fault::broken("finding the program", e))?;
    let probe = Probe { program };
    let mut shown = Vec::new();
    for Found { weights, .. } in find(path)? {
        shown.push(bring::look(&probe, &weights)?);
    }
    let all = json!({"models": shown});
    show::either(place.json, &all, || shown.iter().for_each(tell::model));
    Ok(Exit::Done)
}

fn rescan(place: &Place) -> Result<Exit, Fault> {
    let done = Console::connect(place)?.call(Method::POST, "/models/rescan", None::<&()>)?;
    let items = done.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    show::either(place.json, &done, || {
        for item in &items {
            let detail = tell::word(item, "detail");
            println!("{:10} {}  {detail}", tell::word(item, "outcome"), tell::word(item, "name"));
        }
        if items.is_empty() {
            println!("there is no model in the models' folder");
        }
    });
    let well =
        items.iter().all(|item| !["damaged", "refused"].contains(&tell::word(item, "outcome")));
    Ok(if well { Exit::Done } else { Exit::Unwell })
}

fn key(place: &Place, forget: bool) -> Result<Exit, Fault> {
    let console = Console::connect(place)?;
    if forget {
        let done = console.call(Method::DELETE, "/models/upstream/key", None::<&()>)?;
        show::either(place.json, &done, || println!("the key is forgotten"));
        return Ok(Exit::Done);
    }
    let key = bring::secret()?;
    let body = json!({"key": key.as_str()});
    let done = console.call(Method::PUT, "/models/upstream/key", Some(&body))?;
    show::either(place.json, &done, || println!("the key is kept"));
    Ok(Exit::Done)
}
