//! Settings in layers: flag over environment over file over default, each value with its origin.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::fault::Fault;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built into the program.
    Default,
    /// `data/ilot.toml`.
    File,
    /// The environment variable of this name.
    Environment(String),
    /// The command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The effective settings as one table, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Every setting, nested by section.
    pub table: Table,
    /// Dotted key to origin, for every leaf.
    pub origins: BTreeMap<String, Origin>,
    /// `ILOT_…` variables that name no setting.
    pub unknown_variables: Vec<String>,
}

/// The environment variable of a dotted key: `search.vector_weight` is `ILOT_SEARCH_VECTOR_WEIGHT`.
pub fn variable(key: &str) -> String {
    format!("ILOT_{}", key.replace('.', "_").to_uppercase())
}

/// Lays file, environment and flags over `defaults`, which names every key there is.
///
/// # Errors
/// `settings_malformed` when the file is no TOML, `setting_unknown` for a key that does not exist,
/// `setting_wrong_type` for a value that does not fit its default's type.
pub fn layer(
    defaults: Table,
    file: Option<&str>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Effective, Fault> {
    let mut origins = BTreeMap::new();
    leaves(&defaults, "", &mut |key, _| {
        origins.insert(key.to_owned(), Origin::Default);
    });
    let mut table = defaults;
    if let Some(text) = file {
        let given: Table = text.parse().map_err(|e| {
            Fault::invalid("settings_malformed", format!("The settings file cannot be read: {e}"))
        })?;
        let mut found = Vec::new();
        leaves(&given, "", &mut |key, value| found.push((key.to_owned(), value.clone())));
        for (key, value) in found {
            put(&mut table, &key, value)?;
            origins.insert(key, Origin::File);
        }
    }
    let by_variable: BTreeMap<String, String> =
        origins.keys().map(|key| (variable(key), key.clone())).collect();
    let mut unknown_variables = Vec::new();
    for (name, text) in environment {
        match by_variable.get(&name) {
            Some(key) => {
                put_text(&mut table, key, &text)?;
                origins.insert(key.clone(), Origin::Environment(name));
            }
            None if name.starts_with("ILOT_") => unknown_variables.push(name),
            None => {}
        }
    }
    for (key, text) in flags {
        put_text(&mut table, key, text)?;
        origins.insert(key.clone(), Origin::Flag);
    }
    Ok(Effective { table, origins, unknown_variables })
}

/// Calls `found` with the dotted key and value of every leaf.
pub fn leaves(table: &Table, prefix: &str, found: &mut impl FnMut(&str, &Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => leaves(inner, &key, found),
            leaf => found(&key, leaf),
        }
    }
}

fn slot<'t>(table: &'t mut Table, key: &str) -> Result<&'t mut Value, Fault> {
    let unknown = || Fault::invalid("setting_unknown", format!("There is no setting '{key}'."));
    let mut parts = key.split('.');
    let mut value = parts.next().and_then(|first| table.get_mut(first)).ok_or_else(unknown)?;
    for part in parts {
        value = value.as_table_mut().and_then(|t| t.get_mut(part)).ok_or_else(unknown)?;
    }
    if value.is_table() { Err(unknown()) } else { Ok(value) }
}

fn put(table: &mut Table, key: &str, new: Value) -> Result<(), Fault> {
    let old = slot(table, key)?;
    let new = match (&*old, new) {
        (Value::Float(_), Value::Integer(n)) => Value::Float(n as f64),
        (_, new) => new,
    };
    if old.same_type(&new) {
        *old = new;
        return Ok(());
    }
    Err(wrong_type(key, old))
}

fn put_text(table: &mut Table, key: &str, text: &str) -> Result<(), Fault> {
    let old = slot(table, key)?;
    let parsed = match old {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => match text.trim() {
            "1" | "true" | "yes" | "on" => Some(Value::Boolean(true)),
            "0" | "false" | "no" | "off" => Some(Value::Boolean(false)),
            _ => None,
        },
        Value::Array(_) => Some(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Value::String(part.to_owned()))
                .collect(),
        )),
        Value::Datetime(_) | Value::Table(_) => None,
    };
    *old = parsed.ok_or_else(|| wrong_type(key, old))?;
    Ok(())
}

fn wrong_type(key: &str, old: &Value) -> Fault {
    Fault::invalid("setting_wrong_type", format!("The setting '{key}' takes a {}.", old.type_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Table {
        "[search]\nvector_weight = 0.4\ndepth = 100\n[listen]\nhttp = 'a'\nhosts = []\n"
            .parse()
            .unwrap()
    }

    #[test]
    fn each_layer_covers_the_one_below() {
        let effective = layer(
            defaults(),
            Some("[search]\nvector_weight = 1\ndepth = 7\n"),
            [
                ("ILOT_SEARCH_DEPTH".to_owned(), "8".to_owned()),
                ("ILOT_LISTEN_HTTP".to_owned(), "env".to_owned()),
                ("ILOT_LISTEN_HOSTS".to_owned(), "a.lan, b.lan".to_owned()),
                ("ILOT_NOTHING".to_owned(), String::new()),
            ],
            &[("listen.http".to_owned(), "flag".to_owned())],
        )
        .unwrap();
        assert_eq!(effective.table["search"]["vector_weight"], Value::Float(1.0));
        assert_eq!(effective.table["search"]["depth"], Value::Integer(8));
        assert_eq!(effective.table["listen"]["http"], Value::String("flag".into()));
        assert_eq!(effective.table["listen"]["hosts"].as_array().unwrap().len(), 2);
        assert_eq!(effective.origins["search.vector_weight"], Origin::File);
        assert_eq!(effective.origins["listen.http"], Origin::Flag);
        assert_eq!(effective.unknown_variables, ["ILOT_NOTHING"]);
    }

    #[test]
    fn a_wrong_key_or_type_is_named() {
        let none = std::iter::empty();
        let wrong = layer(defaults(), Some("[search]\ndeepth = 7\n"), none, &[]).unwrap_err();
        assert_eq!(wrong.code, "setting_unknown");
        assert!(wrong.message.contains("search.deepth"));
        let wrong = layer(defaults(), Some("[search]\ndepth = 'x'\n"), std::iter::empty(), &[])
            .unwrap_err();
        assert_eq!(wrong.code, "setting_wrong_type");
    }
}
