//! Vocabularies from a `tokenizer.json` that lies beside the model.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::super::card::TOKENIZER_BYTES_MAX;
use super::super::faults::{damaged, unsupported};
use super::super::header::{Header, TensorInfo};
use super::Prefix;
use super::tokens::{Tokens, Use, byte_named, byte_of_char, bytes_of, looks_like_a_mark};
use crate::base::fault::Fault;

/// Of this many tokens that both name, at most one may differ: a file of another model differs in most.
const DIFFERENT_PER: usize = 20;

/// What the file holds, ready for use.
pub(super) struct Foreign {
    pub(super) tokens: Tokens,
    pub(super) machine: Tokenizer,
    pub(super) prefix: Prefix,
    /// Tokens that take the white space behind them.
    pub(super) strips: HashSet<u32>,
}

/// A token the file lists apart from its model.
struct Added {
    token: u32,
    text: String,
    special: bool,
    strips: bool,
}

/// Reads the file. `model_damaged` when it is none, or belongs to another model than the header.
pub(super) fn read(header: &Header, bytes: &[u8]) -> Result<Foreign, Fault> {
    if bytes.len() as u64 > TOKENIZER_BYTES_MAX {
        return Err(damaged(format!(
            "tokenizer.json has {} bytes; {TOKENIZER_BYTES_MAX} are allowed.",
            bytes.len()
        )));
    }
    let mut file: Value = serde_json::from_slice(bytes)
        .map_err(|e| damaged("tokenizer.json is not in its format.").because(e))?;
    let added = added(&file);
    // Marks are found before the text comes here, so that nobody can say one by writing it.
    if let Some(object) = file.as_object_mut() {
        object.insert("added_tokens".into(), Value::Array(Vec::new()));
        object.insert("post_processor".into(), Value::Null);
        object.insert("truncation".into(), Value::Null);
        object.insert("padding".into(), Value::Null);
    }
    let prefix = take_prefix(&mut file);
    let machine: Tokenizer = serde_json::from_value(file.clone())
        .map_err(|e| damaged("tokenizer.json is not in its format.").because(e))?;
    let tokens = tokens(header, &file, &machine, &added)?;
    let strips = added.iter().filter(|one| one.strips).map(|one| one.token).collect();
    Ok(Foreign { tokens, machine, prefix, strips })
}

fn added(file: &Value) -> Vec<Added> {
    let list = file.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let flag = |one: &Value, name| one.get(name).and_then(Value::as_bool).unwrap_or_default();
    let read = |one: &Value| {
        Some(Added {
            token: one.get("id")?.as_u64().and_then(|id| u32::try_from(id).ok())?,
            text: one.get("content")?.as_str().filter(|text| !text.is_empty())?.to_owned(),
            special: flag(one, "special"),
            strips: flag(one, "rstrip"),
        })
    };
    list.iter().filter_map(read).collect()
}

/// Takes the space that the file puts before every text out of the file: here it is put only where a
/// text begins, not where a mark or a message ends in the middle of one.
fn take_prefix(file: &mut Value) -> Prefix {
    let mut found = Prefix::None;
    for key in ["normalizer", "pre_tokenizer"] {
        let Some(step) = file.get_mut(key) else { continue };
        for one in steps(step) {
            match one.get("type").and_then(Value::as_str) {
                Some("Prepend") => {
                    found = Prefix::Always;
                    // An empty one changes nothing, and stays in its place.
                    set(one, "prepend", Value::String(String::new()));
                }
                Some("Metaspace") => {
                    let scheme = one.get("prepend_scheme").and_then(Value::as_str);
                    let adds = one.get("add_prefix_space").and_then(Value::as_bool);
                    let adds = scheme.map_or(adds.unwrap_or(true), |scheme| scheme != "never");
                    if adds {
                        found = match scheme {
                            Some("first") => Prefix::AtStart,
                            _ => Prefix::UnlessThere,
                        };
                    }
                    set(one, "prepend_scheme", Value::String("never".into()));
                    if let Some(object) = one.as_object_mut() {
                        object.remove("add_prefix_space");
                    }
                }
                Some("ByteLevel")
                    if one.get("add_prefix_space").and_then(Value::as_bool) == Some(true) =>
                {
                    found = Prefix::UnlessThere;
                    set(one, "add_prefix_space", Value::Bool(false));
                }
                _ => {}
            }
        }
    }
    found
}

fn set(step: &mut Value, key: &str, value: Value) {
    if let Some(object) = step.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// A step, or the steps of a sequence.
fn steps(step: &mut Value) -> Vec<&mut Value> {
    let list = ["normalizers", "pretokenizers", "decoders"];
    let Some(key) = list.into_iter().find(|key| step.get(*key).is_some()) else {
        return vec![step];
    };
    match step.get_mut(key).and_then(Value::as_array_mut) {
        Some(inner) => inner.iter_mut().flat_map(steps).collect(),
        None => Vec::new(),
    }
}

fn has_step(file: &Value, key: &str, kind: &str) -> bool {
    let mut step = file.get(key).cloned().unwrap_or_default();
    steps(&mut step).iter().any(|one| one.get("type").and_then(Value::as_str) == Some(kind))
}

/// The bytes and the uses of all tokens, as far as the network has rows for them.
fn tokens(
    header: &Header,
    file: &Value,
    machine: &Tokenizer,
    added: &[Added],
) -> Result<Tokens, Fault> {
    let rows = header.tensor("token_embd.weight").map(TensorInfo::rows);
    let by_bytes = has_step(file, "decoder", "ByteLevel");
    let by_pieces = has_step(file, "decoder", "ByteFallback")
        || has_step(file, "decoder", "Metaspace")
        || has_step(file, "decoder", "Replace");
    if !by_bytes && !by_pieces {
        return Err(unsupported("tokenizer.json is of a kind whose texts cannot be told exactly."));
    }
    let mut texts: HashMap<u32, (String, Use)> = HashMap::new();
    for (text, token) in machine.get_vocab(false) {
        texts.insert(token, (text, Use::Text));
    }
    for one in added {
        let purpose = match one.special {
            true => Use::Control,
            false if looks_like_a_mark(&one.text) => Use::Tag,
            false => Use::Whole,
        };
        texts.insert(one.token, (one.text.clone(), purpose));
    }
    let unknown = file.pointer("/model/unk_token").and_then(Value::as_str);
    let last =
        texts.keys().max().copied().ok_or_else(|| damaged("tokenizer.json has no tokens."))?;
    if rows.is_some_and(|rows| rows <= u64::from(last)) {
        return Err(damaged(format!(
            "tokenizer.json has the token {last}, and the network knows {} tokens: it belongs to \
             another model.",
            rows.unwrap_or_default()
        )));
    }
    let table = byte_of_char();
    compare(header, &texts)?;
    let mut tokens = Tokens::new();
    for token in 0..=last {
        let Some((text, purpose)) = texts.get(&token) else {
            tokens.push(&[], Use::Unused);
            continue;
        };
        match (purpose, byte_named(text).filter(|_| by_pieces)) {
            (Use::Text | Use::Control, _) if Some(text.as_str()) == unknown => {
                tokens.push(text.as_bytes(), Use::Unknown);
            }
            (Use::Text, Some(byte)) => tokens.push(&[byte], Use::Byte),
            (Use::Text, None) if by_bytes => tokens.push(&bytes_of(text, &table), Use::Text),
            (Use::Text, None) => tokens.push(text.replace('\u{2581}', " ").as_bytes(), Use::Text),
            _ => tokens.push(text.as_bytes(), *purpose),
        }
    }
    tokens.find_ends(header, None);
    Ok(tokens)
}

/// Fails when the header lists other tokens under the same numbers.
fn compare(header: &Header, texts: &HashMap<u32, (String, Use)>) -> Result<(), Fault> {
    let own = header.texts("tokenizer.ggml.tokens").unwrap_or_default();
    let (mut both, mut different) = (0, 0);
    for (token, text) in (0..).zip(own) {
        if let Some((other, Use::Text)) = texts.get(&token) {
            both += 1;
            different += usize::from(other != text);
        }
    }
    if different * DIFFERENT_PER > both {
        return Err(damaged(format!(
            "tokenizer.json belongs to another model: {different} of {both} tokens differ from \
             those in the file."
        )));
    }
    Ok(())
}
