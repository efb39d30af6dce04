//! `ilot search`: a question from the command line.

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;

/// Flags of `search`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// What is asked; "exact words", title:word and -word are understood
    query: String,
    /// How many passages
    #[arg(short = 'k', long, default_value_t = 5)]
    top: usize,
    /// Only this collection
    #[arg(long)]
    collection: Option<String>,
    /// Only this language (ISO 639-1)
    #[arg(long)]
    language: Option<String>,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let console = Console::connect(place)?;
    let body = json!({
        "query": flags.query, "top_k": flags.top, "collection": flags.collection, "language": flags.language,
    });
    let found = console.call(Method::POST, "/rag/query", Some(&body))?;
    let results = found.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
    show::either(place.json, &found, || {
        for result in &results {
            print(result);
        }
        if results.is_empty() {
            println!("Nothing was found.");
        }
        if found.get("lexical_only").and_then(Value::as_bool) == Some(true) {
            println!("(by words alone: there is no model)");
        }
    });
    Ok(if results.is_empty() { Exit::NotFound } else { Exit::Done })
}

fn print(result: &Value) {
    let word = |path: &str| result.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let number = |path: &str| result.pointer(path).cloned().unwrap_or(Value::Null);
    let score = result.get("score").and_then(Value::as_f64).unwrap_or_default();
    println!(
        "{}. {} · {}:{}–{} · {score:.3}",
        number("/rank"),
        word("/title"),
        word("/source/path"),
        number("/source/start"),
        number("/source/end"),
    );
    for line in word("/text").lines().filter(|line| !line.trim().is_empty()) {
        println!("   {line}");
    }
    println!();
}
