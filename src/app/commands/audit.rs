//! `ilot audit`: the journal listed, verified and taken out, from the command line of the box's owner.

use std::fmt::Write;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;
use crate::domains::activity::auditing::verify_file;
use crate::domains::activity::routes::VerdictView;
use crate::domains::activity::verification::{Verdict, verify_copy};
use crate::store::copy::Copy;

/// The verbs of `audit`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Walk along the journal's chain and name what was done to it (exit code 6)
    Verify {
        /// An exported journal, or a copied store (`*.redb`); no box is needed for it. Without it, the
        /// journal of the data folder
        file: Option<PathBuf>,
        /// The fingerprint of the public key, as it was written down: another key counts as forged
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
    /// List what was done, newest first
    List {
        /// Only of those whose name contains this
        #[arg(long)]
        who: Option<String>,
        /// Only deeds that start with this, for instance `user.`
        #[arg(long)]
        deed: Option<String>,
        /// From this date or moment on
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
        /// How many, 200 at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Write the whole journal to a file that `verify` reads anywhere
    Export {
        /// The file; one that is there already is not touched
        file: PathBuf,
    },
}

pub(super) fn run(place: &Place, verb: Verb) -> Result<Exit, Fault> {
    match verb {
        Verb::Verify { file, key } => verify(place, file.as_deref(), key.as_deref()),
        Verb::List { who, deed, since, limit } => {
            list(place, &[("who", who), ("deed", deed), ("from", since)], limit)
        }
        Verb::Export { file } => export(place, &file),
    }
}

fn verify(place: &Place, file: Option<&Path>, key: Option<&str>) -> Result<Exit, Fault> {
    let verdict = match file {
        None => Console::connect(place)?.get("/admin/audit-logs/verify")?,
        Some(file) => {
            let verdict: VerdictView = verdict_of(file)?.into();
            serde_json::to_value(verdict).map_err(|e| Fault::broken("writing a verdict", e))?
        }
    };
    let shown = |name: &str| verdict.get(name).unwrap_or(&Value::Null);
    let same_key = key.is_none_or(|key| {
        shown("fingerprint").as_str().is_some_and(|own| own.eq_ignore_ascii_case(key.trim()))
    });
    show::either(place.json, &verdict, || print_verdict(&verdict));
    if !same_key {
        eprintln!("ilot: the checkpoints are signed with another key than the one given");
    }
    let ok = same_key && shown("ok").as_bool().unwrap_or_default();
    Ok(if ok { Exit::Done } else { Exit::Unwell })
}

/// A store by its name or its first bytes; anything else must be an exported journal.
fn verdict_of(path: &Path) -> Result<Verdict, Fault> {
    let unreadable = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::NotFound {
            return Fault::not_found("file");
        }
        Fault::invalid("journal_file_unreadable", format!("{}: {e}", path.display()))
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut first = [0; 4];
    let is_store = std::io::Read::read_exact(&mut file, &mut first).is_ok() && &first == b"redb";
    if is_store || path.extension().is_some_and(|end| end.eq_ignore_ascii_case("redb")) {
        return verify_copy(&Copy::open(path)?);
    }
    std::io::Seek::rewind(&mut file).map_err(unreadable)?;
    verify_file(file)
}

fn print_verdict(verdict: &Value) {
    let shown = |value: &Value, name: &str| match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    println!("site         {}", shown(verdict, "site"));
    println!("links        {}", shown(verdict, "links"));
    match verdict.get("last_checkpoint").filter(|checkpoint| checkpoint.is_object()) {
        Some(last) => println!("checkpoint   {} of {}", shown(last, "number"), shown(last, "at")),
        None => println!("checkpoint   none"),
    }
    println!("fingerprint  {}", shown(verdict, "fingerprint"));
    let offences = verdict.get("offences").and_then(Value::as_array);
    for offence in offences.into_iter().flatten() {
        println!(
            "{:>10}  {:17}  {:24}  {}",
            shown(offence, "number"),
            shown(offence, "wrong"),
            shown(offence, "deed"),
            shown(offence, "at"),
        );
    }
    match verdict.get("count").and_then(Value::as_u64) {
        Some(0) => println!("The chain is whole."),
        Some(count) => println!("The chain is not whole: {count} in all."),
        None => {}
    }
}

fn list(place: &Place, filters: &[(&str, Option<String>)], limit: usize) -> Result<Exit, Fault> {
    let mut path = format!("/admin/journal?limit={limit}");
    for (name, value) in filters {
        if let Some(value) = value {
            let _ = write!(path, "&{name}={}", percent(value));
        }
    }
    let page = Console::connect(place)?.get(&path)?;
    show::either(place.json, &page, || {
        for link in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            let word = |name: &str| link.get(name).and_then(Value::as_str).unwrap_or_default();
            println!(
                "{:>8}  {}  {:16} {:15} {:20} {}",
                link.get("number").unwrap_or(&Value::Null).to_string(),
                word("at"),
                word("who"),
                word("address"),
                word("deed"),
                word("object"),
            );
        }
    });
    Ok(Exit::Done)
}

/// RFC 3986's coding of a parameter.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Written beside its name and renamed once its trailer is there, so that no half of a journal passes for
/// one.
fn export(place: &Place, path: &Path) -> Result<Exit, Fault> {
    if path.exists() {
        return Err(Fault::conflict(
            "file_exists",
            format!("{} is there already.", path.display()),
        ));
    }
    let failed = |e: std::io::Error| {
        Fault::invalid("file_unwritable", format!("{} cannot be written: {e}", path.display()))
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    let console = Console::connect(place)?;
    // Names and addresses of people are in it: the owner's file alone.
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    let mut bytes = 0u64;
    let outcome = console.download("/admin/audit-logs/export", |part| {
        bytes += part.len() as u64;
        file.write_all(part).map_err(failed)
    });
    let kept = outcome.and_then(|()| {
        file.sync_all().map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    });
    if let Err(fault) = kept {
        let _ = std::fs::remove_file(&beside);
        return Err(fault);
    }
    let answer = serde_json::json!({"file": path, "bytes": bytes});
    show::either(place.json, &answer, || {
        println!("{} ({})", path.display(), show::bytes(bytes));
    });
    Ok(Exit::Done)
}
