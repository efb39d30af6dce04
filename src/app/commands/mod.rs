//! The command line: one file per verb, the same exit codes and the same `--json` for all.

mod audit;
mod check;
mod collections;
mod console;
mod demo;
mod docs;
mod doctor;
pub mod eval;
mod model;
pub mod openapi;
mod planb;
mod planb_key;
mod search;
mod serve;
mod setup;
mod show;
mod user;
mod watchdog;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde::Serialize;

use super::settings::Config;
use super::system::VERSION;
use crate::base::fault::{Fault, Kind};

/// How a command ends. Whatever is not in this list is a failure too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line or the settings make no sense.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// It was refused: a rule, a right, or another state than assumed.
    Refused = 4,
    /// The data folder is in use, or the box cannot be reached.
    Unreachable = 5,
    /// Something was found to be wrong.
    Unwell = 6,
}

/// What every exit code means, for `--help`.
const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed · 2 usage or settings · 3 not found · 4 refused · \
5 data folder in use, or box not reachable · 6 something is wrong (check, doctor, audit). \
Whatever else is a failure too.";

/// ilot, a site's whole back office on one box.
#[derive(Debug, Parser)]
#[command(name = "ilot", version = VERSION, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Line {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Clone, Args)]
struct Place {
    /// The data folder [environment: `ILOT_DATA`; default: data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The models' folder [environment: `ILOT_MODELS`; default: models]
    #[arg(long, global = true, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Where plain HTTP listens: ADDRESS:PORT (0 = any free one) or `off`
    #[arg(long, global = true, value_name = "ADDR")]
    http: Option<String>,
    /// Where https listens
    #[arg(long, global = true, value_name = "ADDR")]
    https: Option<String>,
    /// Where Plan B listens
    #[arg(long, global = true, value_name = "ADDR")]
    planb: Option<String>,
    /// Any setting: KEY=VALUE, for instance `search.vector_weight=0.3`
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    json: bool,
}

impl Place {
    fn config(&self) -> Result<Config, Fault> {
        Config::read(self.data.clone(), &self.overrides()?)
    }

    /// The settings for what has to go on whatever the settings file holds: without it if need be, and
    /// then with what is wrong with it.
    fn config_in_need(&self) -> Result<(Config, Option<Fault>), Fault> {
        let overrides = self.overrides()?;
        match Config::read(self.data.clone(), &overrides) {
            Ok(config) => Ok((config, None)),
            // What flags and environment say wrong is said here and now; a file may be mended meanwhile.
            Err(wrong) => Ok((Config::without_file(self.data.clone(), &overrides)?, Some(wrong))),
        }
    }

    /// The settings that flags give.
    fn overrides(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut flags = Vec::new();
        let named = [
            ("models.folder", self.models.as_ref().map(|p| p.display().to_string())),
            ("listen.http", self.http.clone()),
            ("listen.https", self.https.clone()),
            ("listen.planb", self.planb.clone()),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                flags.push((key.to_owned(), value));
            }
        }
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Fault::invalid("setting_malformed", format!("--set takes KEY=VALUE, not '{pair}'."))
            })?;
            flags.push((key.trim().to_owned(), value.to_owned()));
        }
        Ok(flags)
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the box until it is told to stop
    Serve(serve::Flags),
    /// Run the box and keep it running; Plan B stands in while it is away
    Watchdog(watchdog::Flags),
    /// Set the box up without a browser; repeatable without harm
    Setup(setup::Flags),
    /// Show the one-time set-up link again
    SetupLink,
    /// Print the settings in force, where each comes from, and what would keep the box from starting
    Check(check::Flags),
    /// Look at every part of the box and say what to do
    Doctor(doctor::Flags),
    /// Documents: add, list, show, delete, reindex
    Docs {
        #[command(subcommand)]
        verb: docs::Verb,
    },
    /// Language models: add, list, inspect, remove, use, rescan, key
    Model {
        #[command(subcommand)]
        verb: model::Verb,
    },
    /// Ask the documents a question
    Search(search::Flags),
    /// Users: list, show, add, password, reset, recover, offboard, disable, enable, import, roles
    User {
        #[command(subcommand)]
        verb: user::Verb,
    },
    /// The journal: verify, list, export
    Audit {
        #[command(subcommand)]
        verb: audit::Verb,
    },
    /// Fill a fresh box with the papers of a French transport depot
    Demo(demo::Flags),
    /// Measure retrieval with a question set in `SQuAD`'s form
    Eval(eval::Flags),
    /// Stand in for the main program from files alone; its keys, its pack, its outbox
    Planb(planb::Flags),
    /// Print the `OpenAPI` document
    Openapi,
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// A folder that has to be there already, from the root on.
///
/// # Errors
/// `folder_unusable` when it is not.
fn existing(folder: &Path) -> Result<PathBuf, Fault> {
    std::fs::canonicalize(folder).map_err(|e| {
        Fault::invalid("folder_unusable", format!("{} cannot be used: {e}.", folder.display()))
    })
}

/// Reads the command line, does what it says, and answers with the exit code.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { Exit::Usage as u8 } else { 0 });
        }
    };
    let json = line.place.json;
    end_with_the_pipe();
    match line.run() {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(fault) => {
            complain(&fault, json);
            ExitCode::from(exit_of(&fault) as u8)
        }
    }
}

/// Who reads with `| head` has read enough: a pipe that is closed ends the command without a word.
fn end_with_the_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>();
        if words.is_some_and(|words| words.starts_with("failed printing to stdout")) {
            std::process::exit(Exit::Done as i32);
        }
        usual(panic);
    }));
}

impl Line {
    fn run(self) -> Result<Exit, Fault> {
        let place = &self.place;
        match self.verb {
            Verb::Serve(flags) => serve::run(place, &flags),
            Verb::Watchdog(flags) => watchdog::run(place, &flags),
            Verb::Setup(flags) => setup::run(place, &flags),
            Verb::SetupLink => setup::link(place),
            Verb::Check(flags) => check::run(place, &flags),
            Verb::Doctor(flags) => doctor::run(place, &flags),
            Verb::Docs { verb } => docs::run(place, verb),
            Verb::Model { verb } => model::run(place, verb),
            Verb::Search(flags) => search::run(place, &flags),
            Verb::User { verb } => user::run(place, verb),
            Verb::Audit { verb } => audit::run(place, verb),
            Verb::Demo(flags) => demo::run(place, &flags),
            Verb::Eval(flags) => eval::run(place, &flags),
            Verb::Planb(flags) => planb::run(place, flags),
            Verb::Openapi => openapi::run(),
            Verb::Version => {
                show::either(
                    place.json,
                    &serde_json::json!({"name": "ilot", "version": VERSION}),
                    || {
                        println!("ilot {VERSION}");
                    },
                );
                Ok(Exit::Done)
            }
            Verb::Completions { shell } => {
                let mut command = Line::command();
                clap_complete::generate(shell, &mut command, "ilot", &mut std::io::stdout());
                Ok(Exit::Done)
            }
        }
    }
}

fn exit_of(fault: &Fault) -> Exit {
    match (fault.kind, fault.code) {
        (_, "already_running" | "address_in_use" | "unreachable" | "watchdog_absent") => {
            Exit::Unreachable
        }
        (Kind::NotFound, _) => Exit::NotFound,
        (Kind::Invalid | Kind::Unprocessable, _) => Exit::Usage,
        (
            Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::Conflict
            | Kind::TooLarge
            | Kind::Full
            | Kind::Busy,
            _,
        ) => Exit::Refused,
        _ => Exit::Failed,
    }
}

#[derive(Serialize)]
struct Complaint<'f> {
    error: &'f str,
    code: &'f str,
}

fn complain(fault: &Fault, json: bool) {
    if json {
        let complaint = Complaint { error: &fault.message, code: fault.code };
        eprintln!("{}", serde_json::to_string(&complaint).unwrap_or_default());
    } else if let (Kind::Broken | Kind::Unavailable, Some(cause)) = (fault.kind, &fault.cause) {
        eprintln!("ilot: {} ({}): {cause}", fault.message, fault.code);
    } else {
        eprintln!("ilot: {} ({})", fault.message, fault.code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }
}
