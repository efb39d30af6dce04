//! A model's bytes on their way into the box, and a look into a file without a box.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use hyper::{Method, Request};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::super::console::Console;
use super::super::show;
use super::find::Found;
use crate::base::fault::Fault;
use crate::domains::assistant::models::{CONTEXTS, TOKENIZER};
use crate::engines::generation::Probe;

/// What separates the parts of an upload.
const BOUNDARY: &str = "ilot-8c41f6d2a09b3e75";
/// Bytes read from a file at once.
const BLOCK: usize = 1 << 20;
/// No key is longer, bytes.
const KEY_BYTES_MAX: u64 = 8 << 10;

/// A part of a request's body.
enum Part {
    Text(String),
    File(tokio::fs::File),
}

/// Sends a model to the box and waits until it was looked into; answers it as the box lists it.
pub(super) fn bring(
    console: &Console,
    found: &Found,
    name: &str,
    json: bool,
) -> Result<Value, Fault> {
    let files: Vec<&Path> = [Some(&found.weights), found.tokenizer.as_ref()]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let mut bytes = 0;
    let mut opened = Vec::with_capacity(files.len());
    for path in files {
        let unreadable = |e: std::io::Error| {
            Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", path.display()))
        };
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        bytes += size;
        opened.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), file));
    }
    let bar = show::bar(bytes, "bytes", json);
    bar.set_message(name.to_owned());
    let answer = console.send(upload(name, bytes, opened, &bar)?)?.good()?;
    bar.finish_and_clear();
    Ok(answer.get("model").cloned().unwrap_or_default())
}

/// A multipart request that streams the files from disk.
fn upload(
    name: &str,
    bytes: u64,
    files: Vec<(String, File)>,
    bar: &ProgressBar,
) -> Result<Request<Body>, Fault> {
    let field = |name: &str, value: &str| {
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let mut parts =
        VecDeque::from([Part::Text(field("name", name) + &field("bytes", &bytes.to_string()))]);
    for (name, file) in files {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        parts.push_back(Part::Text(format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )));
        parts.push_back(Part::File(tokio::fs::File::from_std(file)));
        parts.push_back(Part::Text("\r\n".into()));
    }
    parts.push_back(Part::Text(format!("--{BOUNDARY}--\r\n")));
    let texts: usize =
        parts.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum();
    let stream =
        futures_util::stream::unfold((parts, bar.clone()), |(mut parts, bar)| async move {
            loop {
                let mut file = match parts.pop_front()? {
                    Part::Text(text) => return Some((Ok(Bytes::from(text)), (parts, bar))),
                    Part::File(file) => file,
                };
                let mut block = vec![0; BLOCK];
                match file.read(&mut block).await {
                    Ok(0) => {}
                    Ok(read) => {
                        block.truncate(read);
                        bar.inc(read as u64);
                        if bar.length() == Some(bar.position()) {
                            bar.set_message("checking");
                        }
                        parts.push_front(Part::File(file));
                        return Some((Ok::<_, std::io::Error>(Bytes::from(block)), (parts, bar)));
                    }
                    Err(e) => {
                        parts.clear();
                        return Some((Err(e), (parts, bar)));
                    }
                }
            }
        });
    Request::builder()
        .method(Method::POST)
        .uri("/models")
        .header("host", "localhost")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .header("content-length", texts as u64 + bytes)
        .body(Body::from_stream(stream))
        .map_err(|e| Fault::broken("writing an upload", e))
}

/// What is in a file, found by a child of this program; the box need not exist.
pub(super) fn look(probe: &Probe, weights: &Path) -> Result<Value, Fault> {
    // The child looks into folders; this one holds nothing but a way to the file, and to the
    // tokenizer beside it.
    let folder =
        tempfile::tempdir().map_err(|e| Fault::broken("making a folder to look from", e))?;
    let tokenizer = weights.with_file_name(TOKENIZER);
    for path in [weights, &tokenizer].into_iter().filter(|path| path.is_file()) {
        let lies = path
            .canonicalize()
            .map_err(|e| Fault::invalid("file_unreadable", format!("{}: {e}", path.display())))?;
        let name = path.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(lies, folder.path().join(name))
            .map_err(|e| Fault::broken("making a folder to look from", e))?;
    }
    let checked = probe.check(folder.path())?;
    let own = checked.card.context;
    let needs = CONTEXTS.iter().copied().filter(|context| *context < own).chain([own]);
    let memory_at: Vec<Value> = needs
        .map(|context| {
            let mut needs = json!(checked.card.memory(context, 1));
            if let Some(fields) = needs.as_object_mut() {
                fields.insert("context_tokens".into(), json!(context));
            }
            needs
        })
        .collect();
    let files: Vec<Value> = checked
        .files
        .iter()
        .map(|file| {
            let sha256 = data_encoding::HEXLOWER.encode(&file.sha256);
            json!({"name": file.name, "bytes": file.bytes, "sha256": sha256})
        })
        .collect();
    let bytes: u64 = checked.files.iter().map(|file| file.bytes).sum();
    Ok(json!({
        "name": weights.display().to_string(), "title": checked.card.title, "purpose": "language",
        "card": checked.card, "memory_at": memory_at, "files": files, "bytes": bytes,
    }))
}

/// The key of another server: typed unseen at a terminal, or read from a pipe.
pub(super) fn secret() -> Result<Zeroizing<String>, Fault> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("Key: ")
            .map(Zeroizing::new)
            .map_err(|e| Fault::broken("asking for a key", e));
    }
    let mut key = Zeroizing::new(String::new());
    std::io::stdin()
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut key)
        .map_err(|e| Fault::invalid("key_unreadable", format!("The key cannot be read: {e}")))?;
    Ok(Zeroizing::new(key.trim().to_owned()))
}
