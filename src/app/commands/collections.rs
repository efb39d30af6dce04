//! `ilot docs collections` and `ilot docs readers`: who reads which documents, from the command line.

use hyper::Method;
use serde_json::{Value, json};

use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;
use crate::base::id::Id;

/// Who is to read a collection, as the command line names them.
pub(super) struct Named {
    /// Everyone who may read documents.
    pub(super) everyone: bool,
    /// Roles by name.
    pub(super) roles: Vec<String>,
    /// Users by name, or by their names of record.
    pub(super) users: Vec<String>,
}

/// Lists the collections, each with how many documents it has and who reads it.
pub(super) fn list(place: &Place, console: &Console) -> Result<Exit, Fault> {
    let listed = console.get("/rag/collections")?;
    let users = if place.json { Value::Null } else { console.get("/admin/users")? };
    show::either(place.json, &listed, || {
        for item in listed.get("items").and_then(Value::as_array).into_iter().flatten() {
            print(item, &users);
        }
    });
    Ok(Exit::Done)
}

/// Decides who reads a collection; one that is not there yet is made, before its first document.
pub(super) fn set_readers(
    place: &Place,
    console: &Console,
    name: &str,
    whom: &Named,
) -> Result<Exit, Fault> {
    let users = console.get("/admin/users")?;
    let ids: Vec<String> =
        whom.users.iter().map(|user| id_of(&users, user)).collect::<Result<_, _>>()?;
    let readers = json!({"everyone": whom.everyone, "roles": whom.roles, "users": ids});
    let now = give(console, name, &readers)?;
    show::either(place.json, &now, || print(&now, &users));
    Ok(Exit::Done)
}

/// Gives a collection its readers, making it when it is not there.
fn give(console: &Console, name: &str, readers: &Value) -> Result<Value, Fault> {
    let path = format!("/rag/collections/{}", percent(name));
    match console.call(Method::PUT, &path, Some(&json!({"readers": readers}))) {
        Err(fault) if fault.code == "not_found" => make(console, name, readers),
        other => other,
    }
}

/// Makes a collection with its readers.
///
/// # Errors
/// `collection_exists`, and what else the box refuses.
pub(super) fn make(console: &Console, name: &str, readers: &Value) -> Result<Value, Fault> {
    let body = json!({"name": name, "readers": readers});
    console.call(Method::POST, "/rag/collections", Some(&body))
}

/// A name as a part of a path or of a query.
pub(super) fn percent(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        use std::fmt::Write;
        let _ = write!(out, "%{byte:02X}");
        out
    })
}

fn id_of(users: &Value, named: &str) -> Result<String, Fault> {
    if named.parse::<Id>().is_ok() {
        return Ok(named.to_owned());
    }
    let wanted = named.to_lowercase();
    let mut all = users.as_array().into_iter().flatten();
    all.find(|user| word(user, "username").to_lowercase() == wanted)
        .map(|user| word(user, "uuid").to_owned())
        .ok_or_else(|| Fault::not_found(&format!("user as '{named}'")))
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn print(collection: &Value, users: &Value) {
    let readers = collection.get("readers").unwrap_or(&Value::Null);
    let strings = |name: &str| {
        let list = readers.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let name_of = |id: String| {
        let mut all = users.as_array().into_iter().flatten();
        all.find(|user| word(user, "uuid") == id)
            .map_or(id.clone(), |user| word(user, "username").to_owned())
    };
    let named: Vec<String> = strings("roles")
        .into_iter()
        .map(|role| format!("role {role}"))
        .chain(strings("users").into_iter().map(|id| format!("user {}", name_of(id))))
        .collect();
    let whom = match readers.get("everyone").and_then(Value::as_bool) {
        Some(true) => "everyone".to_owned(),
        _ if named.is_empty() => "nobody but who decides on readers".to_owned(),
        _ => named.join(", "),
    };
    let documents = collection.get("documents").and_then(Value::as_u64).unwrap_or(0);
    println!("{:24} {documents:>5} documents  read by {whom}", word(collection, "name"));
}
