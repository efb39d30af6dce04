//! A model is brought into memory: measured first, checked while it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use sha2::{Digest, Sha256};

use super::super::card::{Card, TOKENIZER_BYTES_MAX};
use super::super::header::Header;
use super::super::network::{self, Cache, LoadPlan, Network};
use super::super::template::Template;
use super::super::vocabulary::Vocabulary;
use super::super::wire::{Load, Loaded, named};
use super::prompts::Language;
use super::room;
use super::scheduler::{Memory, Model, Part};
use crate::base::fault::Fault;
use crate::base::tasks::Tasks;

/// A context shorter than this is of little use: rather than that, fewer answers are written side by
/// side, and a model that leaves even one no more is refused. Tokens.
const CONTEXT_WANTED: usize = 1024;
/// How a model's makers take text apart.
const TOKENIZER: &str = "tokenizer.json";
/// What a model's makers say beside its weights: the template it was taught with, if it has a newer one.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// How much of a file is digested at once.
const DIGEST_BYTES: usize = 1 << 20;

/// A model in memory.
pub(super) struct Mind {
    /// What computes.
    pub network: Network,
    /// What reads and writes.
    pub language: Language,
}

/// Brings the model into memory.
///
/// # Errors
/// `model_missing` when its file is not there, `model_damaged` when it is not the file that was
/// checked, `model_unsupported`, and `model_too_large` with numbers.
pub(super) fn load(order: &Load, tasks: &Tasks) -> Result<(Mind, Loaded), Fault> {
    let mut file = File::open(&order.file)
        .map_err(|e| named("model_missing", "The model's file is not where it was.").because(e))?;
    let header = Header::read(&mut file)?;
    let digest = digest(&file, tasks)?;
    let tokenizer = beside(order, TOKENIZER)?;
    let config = beside(order, TOKENIZER_CONFIG)?;
    let card = Card::of(&header, tokenizer.is_some());
    let (context, mut slots) = fit(&card, order)?;
    let vocabulary = Vocabulary::of(&header, tokenizer.as_deref())?;
    let template = Template::of_files(&header, config.as_deref());
    let network = Network::load(&mut file, &header, &LoadPlan { context })?;
    let digest = digest.recv().map_err(|e| Fault::broken("digesting the model", e))?;
    let digest = digest.map_err(|e| damaged("The model's file cannot be read.").because(e))?;
    if digest != order.sha256 {
        return Err(damaged(
            "The model's file is not the one that was checked. Check it again, or bring it anew.",
        ));
    }
    if network.new_cache().fork(0).is_none() {
        // It keeps one text in memory at a time: side by side, each step would read everything anew.
        slots = 1;
    }
    let loaded = Loaded { context_tokens: context, bytes: network.bytes(), slots, load_ms: 0 };
    // It is needed until the process ends, and what reads it is on several threads.
    let vocabulary: &'static Vocabulary = Box::leak(Box::new(vocabulary));
    let tokens = vocabulary.len().min(network.shape().vocabulary);
    let grammars = OnceLock::new();
    let language = Language { vocabulary, tokens, template, context, grammars };
    Ok((Mind { network, language }, loaded))
}

/// The longest context and the most answers side by side that the memory allows, within what was
/// asked for.
fn fit(card: &Card, order: &Load) -> Result<(usize, usize), Fault> {
    let room = match order.memory_bytes {
        0 => room::available() / 2,
        bytes => bytes,
    };
    let longest = match order.context_tokens {
        0 => card.context,
        asked => asked.min(card.context),
    };
    let wanted = CONTEXT_WANTED.min(longest).max(1);
    for slots in (1..=order.slots.max(1)).rev() {
        let context = card.context_within(room, slots).min(longest);
        if context >= wanted {
            return Ok((context, slots));
        }
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(named(
        "model_too_large",
        format!(
            "The model needs {} MiB of memory for a context of {wanted} tokens, and it may have {}.",
            mib(card.memory(wanted, 1).total),
            mib(room),
        ),
    ))
}

/// Digests the whole file on a thread of its own, while it is read for other reasons, too. It is the
/// same open file: nobody can put another one in its place between the two readings.
fn digest(file: &File, tasks: &Tasks) -> Result<Receiver<io::Result<String>>, Fault> {
    let file = file.try_clone().map_err(|e| Fault::broken("digesting the model", e))?;
    let (done, digest) = channel();
    tasks.thread("digest", move |_| {
        let _ = done.send(sha256(&file));
    })?;
    Ok(digest)
}

fn sha256(file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; DIGEST_BYTES];
    let mut at = 0;
    loop {
        let count = match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(data_encoding::HEXLOWER.encode(&hasher.finalize())),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        at += count as u64;
    }
}

/// The file of that name beside the weights, if it was there when the model was let in. What came
/// later is not looked at, and what changed since is refused before anything reads it.
fn beside(order: &Load, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    let Some(pinned) = order.beside.iter().find(|file| file.name == name) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    File::open(order.file.with_file_name(name))
        .and_then(|file| file.take(TOKENIZER_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| {
            named("model_missing", format!("The model's {name} cannot be read.")).because(e)
        })?;
    if data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)) != pinned.sha256 {
        return Err(damaged(&format!(
            "The model's {name} is not the one that was checked. Check it again, or bring it anew."
        )));
    }
    Ok(Some(bytes))
}

fn damaged(message: &str) -> Fault {
    named("model_damaged", message)
}

impl Memory for Cache {
    fn truncate(&mut self, len: usize) -> bool {
        Cache::truncate(self, len)
    }

    fn clear(&mut self) {
        Cache::clear(self);
    }

    fn fork(&self, len: usize) -> Option<Self> {
        Cache::fork(self, len)
    }
}

impl Model for Network {
    type Cache = Cache;

    fn new_cache(&self) -> Cache {
        Network::new_cache(self)
    }

    fn forward(&self, parts: Vec<Part<'_, Cache>>) -> Result<Vec<Vec<f32>>, Fault> {
        let part = |Part { tokens, cache, logits }| network::Part { tokens, cache, logits };
        let mut parts: Vec<_> = parts.into_iter().map(part).collect();
        Network::forward(self, &mut parts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::wire::Pinned;
    use super::*;

    #[test]
    fn only_what_was_checked_is_read_beside_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let order = |sha256: Option<String>| Load {
            version: 0,
            file: folder.path().join("m.gguf"),
            sha256: String::new(),
            beside: sha256
                .map(|sha256| Pinned { name: TOKENIZER.into(), sha256 })
                .into_iter()
                .collect(),
            slots: 1,
            context_tokens: 0,
            memory_bytes: 0,
        };
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(b"{}"));
        let missing = beside(&order(Some(digest.clone())), TOKENIZER).unwrap_err();
        assert_eq!(missing.code, "model_missing");
        std::fs::write(folder.path().join(TOKENIZER), b"{}").unwrap();
        assert_eq!(beside(&order(Some(digest.clone())), TOKENIZER).unwrap().unwrap(), b"{}");
        assert!(beside(&order(None), TOKENIZER).unwrap().is_none(), "it was not there before");
        std::fs::write(folder.path().join(TOKENIZER), b"[]").unwrap();
        let changed = beside(&order(Some(digest)), TOKENIZER).unwrap_err();
        assert_eq!(changed.code, "model_damaged");
    }
}
