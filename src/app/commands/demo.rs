//! `ilot demo`: fills a fresh box with the papers of a French transport depot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::collections;
use super::console::Console;
use super::docs::{self, File};
use super::{Exit, Place, show};
use crate::base::fault::Fault;
use crate::engines::secrets;

/// Where the papers are, by how the box came here: a clone, a stick, an installation.
const PLACES: [&str; 2] = ["deploy/demo", "demo"];
/// Where the installer puts them, below the prefix that the program lies in (`PREFIX/bin/ilot`).
const INSTALLED: &str = "share/ilot/demo";

/// The readers of the collections that are not for everyone, by collection.
const CLOSED: &str = "readers.json";

/// Flags of `demo`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The folder of the sample data
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let folder = find(flags.from.clone())?;
    let console = Console::connect(place)?;
    // A word of 256 bits cut to what a person can type.
    let password: String =
        secrets::random_word()?.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    let body = json!({
        "site": "Transports Maréchal — Saint-Fons", "username": "demo", "display_name": "Démonstration",
        "password": password,
    });
    let fresh = match console.call(Method::POST, "/setup", Some(&body)) {
        Ok(_) => true,
        Err(fault) if fault.code == "setup_done" => false,
        Err(fault) => return Err(fault),
    };
    let files: Vec<File> = docs::gather(&[folder.join("documents")])?
        .into_iter()
        .map(|file| File { name: file.name.trim_start_matches("documents/").to_owned(), ..file })
        .collect();
    // The first folder is the collection, as in the watched folder.
    let collection =
        |file: &File| file.name.split_once('/').map_or("", |(first, _)| first).to_owned();
    close_some(&console, &folder)?;
    let inner = files.iter().map(&collection).collect::<std::collections::BTreeSet<_>>();
    let exit = docs::add(place, &console, &files, &collection, true)?;
    let secret = fresh.then_some(&password);
    show::either(
        place.json,
        &json!({"collections": inner, "username": "demo", "password": secret}),
        || {
            if let Some(password) = secret {
                println!("\nNom · name: demo\nMot de passe · password: {password}  (shown once)");
            }
        },
    );
    Ok(exit)
}

/// Makes the collections that are not for everyone before their papers come; one that is there
/// already keeps its readers.
fn close_some(console: &Console, folder: &Path) -> Result<(), Fault> {
    let path = folder.join(CLOSED);
    let unreadable = |e: &dyn std::fmt::Display| {
        Fault::invalid("demo_malformed", format!("{} cannot be read: {e}", path.display()))
    };
    if !path.exists() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&e))?;
    let closed: BTreeMap<String, Value> =
        serde_json::from_str(&text).map_err(|e| unreadable(&e))?;
    let there = console.get("/rag/collections")?;
    let items = there.get("items").and_then(Value::as_array);
    let known = |name: &String| {
        let mut items = items.into_iter().flatten();
        items.any(|item| item.get("name").and_then(Value::as_str) == Some(name.as_str()))
    };
    let mut missing = closed.iter().filter(|(name, _)| !known(name));
    missing.try_for_each(|(name, readers)| collections::make(console, name, readers).map(drop))
}

fn find(named: Option<PathBuf>) -> Result<PathBuf, Fault> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|p| p.parent().map(PathBuf::from))
        .unwrap_or_default();
    let installed = beside.parent().map(|prefix| prefix.join(INSTALLED));
    let usual = PLACES
        .iter()
        .map(PathBuf::from)
        .chain(PLACES.iter().map(|p| beside.join(p)))
        .chain(installed);
    let places: Vec<PathBuf> = named.map_or_else(|| usual.collect(), |named| vec![named]);
    places
        .iter()
        .find(|place| place.join("documents").is_dir())
        .cloned()
        .ok_or_else(|| Fault::not_found("folder of sample data; name it with --from"))
}
