//! What a person wrote of a model in the `card.toml` of its folder.

use toml::{Table, Value};

use super::super::card::{Card, clipped};
use super::super::faults::damaged;
use crate::base::fault::Fault;

/// The name of such a file.
pub(super) const CARD_FILE: &str = "card.toml";
/// No such file is longer.
pub(super) const CARD_BYTES_MAX: u64 = 64 << 10;

/// Lets a person's words count for more than the model's file.
pub(super) fn apply(card: &mut Card, bytes: &[u8]) -> Result<(), Fault> {
    let unread = "The model's card.toml cannot be read.";
    let text = std::str::from_utf8(bytes).map_err(|e| damaged(unread).because(e))?;
    let table: Table = toml::from_str(text).map_err(|e| damaged(unread).because(e))?;
    if let Some(title) = line(table.get("title")) {
        card.title = title;
    }
    if let Some(name) = line(table.get("name")) {
        card.name = name;
    }
    let licence = ["licence", "license"].iter().find_map(|key| line(table.get(*key)));
    if let Some(licence) = licence.or_else(|| licences(&table)) {
        card.licence = Some(licence);
    }
    let source = line(table.get("source")).or_else(|| {
        let source = table.get("source")?;
        ["original", "url", "package"].iter().find_map(|key| line(source.get(*key)))
    });
    if source.is_some() {
        card.source = source;
    }
    Ok(())
}

/// The licences of a card that lists what each covers.
fn licences(table: &Table) -> Option<String> {
    let list = table.get("licences")?.as_array()?;
    let mut names: Vec<String> = list.iter().filter_map(|one| line(one.get("spdx"))).collect();
    names.dedup();
    (!names.is_empty()).then(|| names.join(", "))
}

fn line(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(clipped).filter(|text| !text.is_empty())
}
