//! `ilot docs`: documents from the command line, with a real progress bar.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, Bytes};
use clap::Subcommand;
use hyper::{Method, Request};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::collections::{self, Named};
use super::console::Console;
use super::{Exit, Place, show};
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// How often the box is asked whether documents are read.
const POLL: Duration = Duration::from_millis(200);
/// What separates the parts of an upload.
const BOUNDARY: &str = "ilot-5f3c1b9a7d2e4860";
/// Bytes read from a file at once.
const BLOCK: usize = 256 << 10;

/// The verbs of `docs`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add files and folders, and wait until they are read
    Add {
        /// Files and folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The collection they go into
        #[arg(long, default_value = "")]
        collection: String,
        /// Do not wait until they are read
        #[arg(long)]
        no_wait: bool,
    },
    /// List documents, newest first
    List {
        /// Only those with this in their path or title
        #[arg(default_value = "")]
        containing: String,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a document's text
    Show {
        /// The document's id
        id: String,
    },
    /// Delete a document
    Delete {
        /// The document's id
        id: String,
    },
    /// List the collections, with who reads them
    Collections,
    /// Decide who reads a collection; one that is not there yet is made
    #[command(group(clap::ArgGroup::new("whom").required(true).multiple(true)
        .args(["everyone", "roles", "users", "nobody"])))]
    Readers {
        /// The collection's name
        name: String,
        /// Everyone who may read documents
        #[arg(long, conflicts_with_all = ["roles", "users", "nobody"])]
        everyone: bool,
        /// A role that reads it; may come many times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// A user who reads it, by name; may come many times
        #[arg(long = "user", value_name = "NAME")]
        users: Vec<String>,
        /// Nobody but those who decide on readers
        #[arg(long, conflicts_with_all = ["roles", "users"])]
        nobody: bool,
    },
    /// Make the indexes anew, or read one document again
    Reindex {
        /// The document's id; all indexes without one
        id: Option<String>,
    },
}

pub(super) fn run(place: &Place, verb: Verb) -> Result<Exit, Fault> {
    let console = Console::connect(place)?;
    match verb {
        Verb::Add { paths, collection, no_wait } => {
            let files = gather(&paths)?;
            add(place, &console, &files, &|_| collection.clone(), !no_wait)
        }
        Verb::List { containing, limit } => list(place, &console, &containing, limit),
        Verb::Show { id } => {
            let text = console.get(&format!("/rag/documents/{id}/text"))?;
            show::either(place.json, &text, || {
                println!("{}", text.get("text").and_then(Value::as_str).unwrap_or_default());
            });
            Ok(Exit::Done)
        }
        Verb::Delete { id } => {
            let done =
                console.call(Method::DELETE, &format!("/rag/documents/{id}"), None::<&()>)?;
            show::either(place.json, &done, || println!("deleted"));
            Ok(Exit::Done)
        }
        Verb::Collections => collections::list(place, &console),
        Verb::Readers { name, everyone, roles, users, nobody: _ } => {
            let whom = Named { everyone, roles, users };
            collections::set_readers(place, &console, &name, &whom)
        }
        Verb::Reindex { id: Some(id) } => {
            let document =
                console.call(Method::POST, &format!("/rag/documents/{id}/reindex"), None::<&()>)?;
            wait(&console, BTreeSet::from([id]), place.json)?;
            show::either(place.json, &document, || println!("read again"));
            Ok(Exit::Done)
        }
        Verb::Reindex { id: None } => {
            let done = console.call(Method::POST, "/rag/reindex", Some(&json!({"full": true})))?;
            show::either(place.json, &done, || {
                println!("{} passages can be found", done.get("indexed").unwrap_or(&Value::Null));
            });
            Ok(Exit::Done)
        }
    }
}

/// A file to add, with its name in the box.
pub(super) struct File {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Its name in the box: below the folder that was named.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

/// The files of paths, folders walked, hidden files left out.
pub(super) fn gather(paths: &[PathBuf]) -> Result<Vec<File>, Fault> {
    let mut files = Vec::new();
    for path in paths {
        let missing =
            |e: std::io::Error| Fault::not_found(&format!("file as {}: {e}", path.display()));
        let meta = std::fs::metadata(path).map_err(missing)?;
        let base = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if meta.is_dir() {
            walk(path, &base, &mut files);
        } else {
            files.push(File { path: path.clone(), name: base, size: meta.len() });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(folder: &Path, front: &str, files: &mut Vec<File>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(meta) = entry.metadata() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let name = if front.is_empty() { name } else { format!("{front}/{name}") };
        if meta.is_dir() {
            walk(&entry.path(), &name, files);
        } else if meta.is_file() {
            files.push(File { path: entry.path(), name, size: meta.len() });
        }
    }
}

/// Sends files one by one, shows how far it is, and waits until they are read.
pub(super) fn add(
    place: &Place,
    console: &Console,
    files: &[File],
    collection: &dyn Fn(&File) -> String,
    and_wait: bool,
) -> Result<Exit, Fault> {
    let bar = show::bar(files.iter().map(|f| f.size).sum(), "bytes", place.json);
    let (mut items, mut ids) = (Vec::new(), BTreeSet::new());
    for file in files {
        bar.set_message(file.name.clone());
        let answer = console.send(upload(file, &collection(file), &bar)?)?.good()?;
        for item in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = item.get("id").and_then(Value::as_str) {
                ids.insert(id.to_owned());
            }
            items.push(item.clone());
        }
    }
    bar.finish_and_clear();
    let last = if and_wait { wait(console, ids, place.json)? } else { Vec::new() };
    let failed: Vec<&Value> = last.iter().filter(|d| word(d, "state") == "failed").collect();
    let refused: Vec<&Value> = items.iter().filter(|i| word(i, "outcome") == "refused").collect();
    show::either(place.json, &json!({"items": items, "documents": last}), || {
        for outcome in ["added", "replaced", "unchanged", "duplicate", "refused"] {
            let count = items.iter().filter(|i| word(i, "outcome") == outcome).count();
            if count > 0 {
                println!("{count} {outcome}");
            }
        }
        for item in &refused {
            println!(
                "! {}: {}",
                word(item, "name"),
                item.pointer("/fault/detail").and_then(Value::as_str).unwrap_or_default()
            );
        }
        for document in &failed {
            let why =
                document.pointer("/failure/detail").and_then(Value::as_str).unwrap_or_default();
            println!("! {}: {why}", word(document, "path"));
        }
    });
    Ok(if failed.is_empty() && refused.is_empty() { Exit::Done } else { Exit::Unwell })
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Waits until documents are read or cannot be; the answer is how they are then.
fn wait(console: &Console, mut ids: BTreeSet<String>, json: bool) -> Result<Vec<Value>, Fault> {
    let bar = show::bar(ids.len() as u64, "documents", json);
    bar.set_message("reading");
    let mut done = Vec::new();
    while !ids.is_empty() {
        for id in ids.clone() {
            match console.get(&format!("/rag/documents/{id}")) {
                Ok(document) if ["ready", "failed"].contains(&word(&document, "state")) => {
                    done.push(document);
                    ids.remove(&id);
                    bar.inc(1);
                }
                Ok(_) => break,
                // Deleted by somebody meanwhile.
                Err(fault) if fault.code == "not_found" => drop(ids.remove(&id)),
                Err(fault) => return Err(fault),
            }
        }
        if !ids.is_empty() {
            std::thread::sleep(POLL);
        }
    }
    bar.finish_and_clear();
    wait_for_indexes(console, json)?;
    Ok(done)
}

/// Waits until what was read is found: by its words; and, in a box opened for this command, by its
/// meaning too, since nobody would go on embedding once it is closed.
fn wait_for_indexes(console: &Console, json: bool) -> Result<(), Fault> {
    let number = |status: &Value, name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut bar = None;
    loop {
        let status = console.get("/rag/status")?;
        let model = status.pointer("/model/present").and_then(Value::as_bool).unwrap_or(false);
        let waiting = number(&status, "vectors_waiting");
        let embedding = console.is_own() && model && waiting > 0;
        if !embedding && number(&status, "index_lag") == 0 {
            break;
        }
        if embedding {
            let bar = bar.get_or_insert_with(|| show::bar(waiting, "passages", json));
            bar.set_message("embedding");
            bar.set_position(bar.length().unwrap_or(waiting).saturating_sub(waiting));
        }
        std::thread::sleep(POLL);
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(())
}

/// A multipart request that streams one file from disk.
fn upload(file: &File, collection: &str, bar: &ProgressBar) -> Result<Request<Body>, Fault> {
    let opened = std::fs::File::open(&file.path).map_err(|e| {
        Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", file.path.display()))
    })?;
    let modified = opened
        .metadata()
        .and_then(|m| m.modified())
        .ok()
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|d| Moment(i64::try_from(d.as_millis()).unwrap_or(0)).to_rfc3339())
        .unwrap_or_default();
    let name = file.name.replace('\\', "\\\\").replace('"', "\\\"");
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"collection\"\r\n\r\n{collection}\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"modified\"\r\n\r\n{modified}\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let length = head.len() as u64 + file.size + tail.len() as u64;
    let bar = bar.clone();
    let stream = futures_util::stream::unfold(
        (Some(head), tokio::fs::File::from_std(opened), Some(tail)),
        move |(head, mut file, tail)| {
            let bar = bar.clone();
            async move {
                if let Some(head) = head {
                    return Some((Ok::<_, std::io::Error>(Bytes::from(head)), (None, file, tail)));
                }
                let tail = tail?;
                let mut block = vec![0; BLOCK];
                match file.read(&mut block).await {
                    Ok(0) => Some((Ok(Bytes::from(tail)), (None, file, None))),
                    Ok(read) => {
                        block.truncate(read);
                        bar.inc(read as u64);
                        Some((Ok(Bytes::from(block)), (None, file, Some(tail))))
                    }
                    Err(e) => Some((Err(e), (None, file, None))),
                }
            }
        },
    );
    Request::builder()
        .method(Method::POST)
        .uri("/rag/documents")
        .header("host", "localhost")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .header("content-length", length)
        .body(Body::from_stream(stream))
        .map_err(|e| Fault::broken("writing an upload", e))
}

fn list(place: &Place, console: &Console, containing: &str, limit: usize) -> Result<Exit, Fault> {
    let query = collections::percent(containing);
    let listed = console.get(&format!("/rag/documents?limit={limit}&q={query}"))?;
    show::either(place.json, &listed, || {
        for document in listed.get("items").and_then(Value::as_array).into_iter().flatten() {
            println!(
                "{}  {:8} {:>4} passages  {}/{}",
                word(document, "id"),
                word(document, "state"),
                document.get("passages").unwrap_or(&Value::Null),
                word(document, "collection"),
                word(document, "path"),
            );
        }
        println!("{} in all", listed.get("total").unwrap_or(&Value::Null));
    });
    Ok(Exit::Done)
}
