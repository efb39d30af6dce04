//! How the house is read: its files, the code in them, and the paths they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One text file of the repository: its path from the root, and what it says.
pub type Text = (String, String);

/// Asks `judge` about every path that a source file names in this crate: `(file, from, to)`.
pub fn uses(
    tree: &[Text],
    judge: impl Fn(&str, &[String], &[String]) -> Option<String>,
) -> Vec<String> {
    let macros: Vec<_> = tree.iter().flat_map(exported).collect();
    let mut offences = Vec::new();
    for (path, text) in tree {
        let Some(inside) = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs"))
        else {
            continue;
        };
        let own = module(inside);
        let root = if inside == "main" { "ilot" } else { "crate" };
        let mut from = own.clone();
        for part in code(text).split("mod ") {
            // A module within the file (its tests) is one step further from `super`.
            let name: String = part.chars().take_while(|c| is_word(*c)).collect();
            if part.strip_prefix(&name).is_some_and(|rest| rest.starts_with(" {")) {
                from.clone_from(&own);
                from.push(name);
            }
            let mut named = Vec::new();
            for (before, rest) in cuts(part, "::") {
                let parent = from.iter().take(from.len().saturating_sub(1)).cloned().collect();
                match last_word(before) {
                    word if word == root => expand(vec![], rest, &mut named),
                    "super" if !before.ends_with("super::super") => {
                        expand(parent, rest, &mut named);
                    }
                    _ => {}
                }
            }
            let at_home = |to: Vec<String>| {
                let written = macros.iter().find(|(name, _)| to.len() == 1 && to.contains(name));
                written.map_or(to, |(_, home)| home.clone())
            };
            offences
                .extend(named.into_iter().map(at_home).filter_map(|to| judge(path, &from, &to)));
        }
    }
    offences
}

/// The macros that a file lifts to the root of the crate: there they have no floor, here they do.
fn exported((path, text): &Text) -> Vec<(String, Vec<String>)> {
    let home = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).map(module);
    let lifted = code(text);
    let names = lifted.split("#[macro_export]").skip(1).filter_map(|rest| {
        let name = rest.trim_start().strip_prefix("macro_rules! ")?;
        Some((name.chars().take_while(|c| is_word(*c)).collect(), home.clone()?))
    });
    names.collect()
}

/// A file's module path: `store/mod` is `store`.
fn module(inside: &str) -> Vec<String> {
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    parts.pop_if(|last| last == "mod");
    parts
}

/// The paths of a use tree, groups opened: `a::{b, c::*}` is `a::b` and `a::c`.
fn expand(mut prefix: Vec<String>, rest: &str, found: &mut Vec<Vec<String>>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 0;
        let end = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth < 0
        };
        let inside = group.split(end).next().unwrap_or_default();
        let mut depth = 0;
        let comma = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        };
        for item in inside.split(comma).filter(|item| !item.trim().is_empty()) {
            expand(prefix.clone(), item, found);
        }
        return;
    }
    let word: String = rest.chars().take_while(|c| is_word(*c)).collect();
    match word.as_str() {
        "super" => drop(prefix.pop()),
        "" | "self" => {}
        _ => prefix.push(word.clone()),
    }
    match rest.strip_prefix(word.as_str()).and_then(|rest| rest.strip_prefix("::")) {
        Some(rest) if !word.is_empty() => expand(prefix, rest, found),
        _ if prefix.is_empty() => {}
        _ => found.push(prefix),
    }
}

/// Foreign names a source speaks: the head of a path, and what stands alone behind `use`.
pub fn foreign(code: &str) -> BTreeSet<String> {
    let head = |before: &str| {
        let word = last_word(before);
        let lead = before.strip_suffix(word).unwrap_or_default().trim_end();
        (!lead.ends_with("::") && !lead.ends_with('.')).then(|| word.to_owned())
    };
    let paths = cuts(code, "::").filter_map(|(before, _)| head(before));
    let alone =
        cuts(code, "use ").map(|(_, rest)| rest.chars().take_while(|c| is_word(*c)).collect());
    paths.chain(alone).collect()
}

/// A source without what its comments and strings say; a string is left as `""`.
pub fn code(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let raw = ["r\"", "r#\"", "r##\""].iter().find(|open| rest.starts_with(**open));
        let (skip, mark) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |at| at + 2), "")
        } else if let Some(open) = raw.filter(|_| !kept.ends_with(is_word)) {
            let close = format!("\"{}", "#".repeat(open.len() - 2));
            let body = rest.strip_prefix(*open).unwrap_or_default();
            (body.find(&close).map_or(rest.len(), |at| open.len() + at + close.len()), "\"\"")
        } else if c == '"' {
            (1 + quoted(rest, '"'), "\"\"")
        } else if c == '\'' && is_char(rest) {
            (1 + quoted(rest, '\''), "' '")
        } else {
            kept.push(c);
            (c.len_utf8(), "")
        };
        kept.push_str(mark);
        rest = rest.get(skip..).unwrap_or_default();
    }
    kept
}

/// The length of a quoted text behind its opening quote, its closing quote included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    let closes = |(_, c): &(usize, char)| {
        let end = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        end
    };
    rest.char_indices().skip(1).find(closes).map_or(rest.len(), |(at, _)| at)
}

/// Whether a quote opens a character, not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

fn cuts<'a>(text: &'a str, mark: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(mark)
        .filter_map(move |(at, _)| Some((text.get(..at)?, text.get(at + mark.len()..)?)))
}

fn last_word(text: &str) -> &str {
    text.rsplit(|c| !is_word(c)).next().unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "rs")
}

pub fn first(path: &[String]) -> &str {
    path.first().map_or("", String::as_str)
}

/// Every text file that belongs to the repository; what is built, brought or kept is left out.
pub fn tree() -> Vec<Text> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let ours = match (folder.as_str(), name.as_str()) {
                (_, ".git" | "target" | "node_modules" | "dist" | "test-results")
                | ("", "shared") => false,
                ("data", name) => name == "README.md",
                (folder, name) if folder.starts_with("models/") => name == "card.toml",
                _ => true,
            };
            if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let (true, Ok(text)) = (ours, fs::read_to_string(entry.path())) {
                found.push((path, text));
            }
        }
    }
    found
}
