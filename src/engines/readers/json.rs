//! JSON, by `serde_json`: values with their paths, lists of records one paragraph each.

use serde_json::Value;

use super::extract::{Composer, Extract, Limits};
use super::{faults, text};
use crate::base::fault::Fault;

/// Object keys become headings down to this depth; below, they stand in front of their values.
const HEADING_DEPTH_MAX: usize = 2;

/// Reads one JSON value, or one after another as log files have them.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let source = text::decode(bytes, None)?;
    let source = source.trim_start_matches('\u{feff}');
    let mut composer = Composer::new(limits);
    for value in serde_json::Deserializer::from_str(source).into_iter::<Value>() {
        let value = value.map_err(refusal)?;
        name(&value, &mut composer);
        block(&value, 0, &mut composer)?;
    }
    Ok(composer.finish())
}

/// `serde_json` stops at 128 levels by itself, with words but no code of its own.
fn refusal(error: serde_json::Error) -> Fault {
    if error.to_string().starts_with("recursion limit") {
        return faults::too_deep();
    }
    faults::damaged("The file is not valid JSON.").because(error)
}

/// Takes the title and the author from the outermost object, where they have their usual names.
fn name(value: &Value, composer: &mut Composer) {
    let word = |keys: &[&str]| keys.iter().find_map(|k| value.get(k).and_then(Value::as_str));
    if let Some(title) = word(&["title", "titre"]) {
        composer.title(title);
    }
    if let Some(author) = word(&["author", "auteur"]) {
        composer.author(author);
    }
}

/// Writes a value. The parser's own limit bounds the recursion.
fn block(value: &Value, depth: usize, composer: &mut Composer) -> Result<(), Fault> {
    match value {
        Value::Object(fields) => {
            let mut lines = Vec::new();
            for (key, field) in fields.iter().filter(|(_, f)| !has_records(f)) {
                leaves(key, field, &mut lines);
            }
            composer.paragraph(&lines.join("\n"))?;
            for (key, field) in fields.iter().filter(|(_, f)| has_records(f)) {
                if depth < HEADING_DEPTH_MAX {
                    composer.heading(u8::try_from(depth + 1).unwrap_or(1), key)?;
                } else {
                    composer.paragraph(&format!("{key}:"))?;
                }
                block(field, depth + 1, composer)?;
            }
            Ok(())
        }
        Value::Array(items) if has_records(value) => {
            items.iter().try_for_each(|item| block(item, depth.max(1), composer))
        }
        _ => {
            let mut lines = Vec::new();
            leaves("", value, &mut lines);
            composer.paragraph(&lines.join("\n"))
        }
    }
}

/// Whether a value holds whole records: objects in a list, or objects that hold objects or lists.
fn has_records(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|i| i.is_object() || i.is_array()),
        Value::Object(fields) => fields.values().any(|f| f.is_object() || has_records(f)),
        _ => false,
    }
}

/// Lines of `path: value`, lists of plain values on one line.
fn leaves(path: &str, value: &Value, lines: &mut Vec<String>) {
    if let Value::Object(fields) = value {
        for (key, field) in fields {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            leaves(&path, field, lines);
        }
        return;
    }
    let words = plain(value);
    if !words.is_empty() {
        lines.push(if path.is_empty() { words } else { format!("{path}: {words}") });
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(words) => words.clone(),
        Value::Array(items) => {
            items.iter().map(plain).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_paragraphs() {
        let source = r#"{"titre":"Tournées","version":2,
            "missions":[{"nom":"A","lieu":{"ville":"Lyon"}},{"nom":"B","jours":["lu","ma"]}]}"#;
        let extract = read(source.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(extract.title.as_deref(), Some("Tournées"));
        assert_eq!(extract.headings[0].text, "missions");
        assert!(extract.text.contains("lieu.ville: Lyon"), "{}", extract.text);
        assert!(extract.text.contains("jours: lu, ma"), "{}", extract.text);
        let lines = read(b"{\"a\":1}\n{\"a\":2}", &Limits::default()).unwrap();
        assert_eq!(lines.text, "a: 1\n\na: 2");
    }

    #[test]
    fn depth_and_damage_are_told_apart() {
        let deep = "[".repeat(100_000);
        let limits = Limits::default();
        assert_eq!(read(deep.as_bytes(), &limits).unwrap_err().code, "document_too_deep");
        assert_eq!(read(b"{\"a\":", &limits).unwrap_err().code, "document_damaged");
    }
}
