//! `ilot user import`: a list of users as JSON or CSV, for `POST /admin/users/import`.

use std::path::{Path, PathBuf};

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::word;
use crate::app::commands::console::Console;
use crate::app::commands::{Exit, Place, show};
use crate::base::fault::Fault;

/// The columns that a list may have.
const COLUMNS: [&str; 6] =
    ["username", "email", "display_name", "role", "password_hash", "is_active"];
/// What a yes is written as in tables.
const YES: [&str; 5] = ["true", "1", "yes", "oui", "vrai"];
/// What a no is.
const NO: [&str; 5] = ["false", "0", "no", "non", "faux"];

/// Flags of `user import`.
#[derive(Debug, Args)]
pub(in crate::app::commands) struct Flags {
    /// A list as JSON (`[{"username": ..}]`), or as CSV with a line of headings: username, email,
    /// `display_name`, role, `password_hash`, `is_active`
    file: PathBuf,
    /// Do it
    #[arg(long)]
    apply: bool,
    /// Let each choose a new password at the first sign-in
    #[arg(long)]
    must_change_password: bool,
}

pub(super) fn run(place: &Place, console: &Console, flags: &Flags) -> Result<Exit, Fault> {
    let users = read(&flags.file)?;
    let body = json!({
        "users": users,
        "dry_run": !flags.apply,
        "must_change_password": flags.must_change_password,
    });
    let answer = console.call(Method::POST, "/admin/users/import", Some(&body))?;
    let plan = answer.get("plan").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    show::either(place.json, &answer, || {
        for row in plan {
            let why = row.get("fault").map(|fault| word(fault, "detail")).unwrap_or_default();
            println!("{:10} {}  {why}", word(row, "outcome"), word(row, "username"));
        }
        if !flags.apply {
            println!("Nothing was done; --apply takes them in.");
        }
    });
    let refused = plan.iter().any(|row| word(row, "outcome") == "refused");
    Ok(if refused { Exit::Unwell } else { Exit::Done })
}

/// The users of a file: JSON when it begins like JSON, else CSV.
fn read(file: &Path) -> Result<Value, Fault> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", file.display()))
    })?;
    // Spreadsheets put a mark of the byte order in front.
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with(['[', '{']) {
        return rows(text);
    }
    let list: Value = serde_json::from_str(text)
        .map_err(|e| malformed(format!("{} is not JSON: {e}", file.display())))?;
    match list {
        Value::Object(mut whole) => whole
            .remove("users")
            .ok_or_else(|| malformed(format!("{} has no list 'users'.", file.display()))),
        list => Ok(list),
    }
}

/// The rows of a table. What separates its cells is seen from its headings: French spreadsheets write
/// semicolons.
fn rows(text: &str) -> Result<Value, Fault> {
    let headings = text.lines().next().unwrap_or_default();
    let between = if headings.contains(';') { b';' } else { b',' };
    let mut table = csv::ReaderBuilder::new()
        .delimiter(between)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let unreadable = |e: csv::Error| malformed(format!("The table cannot be read: {e}"));
    let headings: Vec<String> =
        table.headers().map_err(unreadable)?.iter().map(str::to_lowercase).collect();
    if let Some(strange) = headings.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        let known = COLUMNS.join(", ");
        return Err(malformed(format!("There is no column '{strange}'; there are: {known}.")));
    }
    let mut users = Vec::new();
    for (at, record) in table.records().enumerate() {
        let record = record.map_err(unreadable)?;
        let mut user = Map::new();
        for (name, cell) in headings.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty())
        {
            let value = if name == "is_active" { truth(cell, at)? } else { cell.into() };
            user.insert(name.clone(), value);
        }
        users.push(Value::Object(user));
    }
    Ok(Value::Array(users))
}

fn truth(cell: &str, at: usize) -> Result<Value, Fault> {
    let cell = cell.to_lowercase();
    match (YES.contains(&cell.as_str()), NO.contains(&cell.as_str())) {
        (true, _) => Ok(true.into()),
        (_, true) => Ok(false.into()),
        // The first row of users is the second line.
        _ => Err(malformed(format!("Line {}: is_active is 'yes' or 'no'.", at + 2))),
    }
}

fn malformed(message: String) -> Fault {
    Fault::invalid("import_malformed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_whatever_separates_its_cells() {
        let wanted = json!([
            {"username": "anna", "email": "anna@depot.lan", "is_active": true},
            {"username": "bert", "display_name": "Bert, dit « B »", "is_active": false},
        ]);
        let commas = "username,email,display_name,is_active\nanna,anna@depot.lan,,oui\n\
                      bert,,\"Bert, dit « B »\",no\n";
        assert_eq!(rows(commas).unwrap(), wanted);
        let semicolons = "Username ; email;display_name;is_active\r\nanna; anna@depot.lan;;1\r\n\
                          bert;;Bert, dit « B »;FAUX\r\n";
        assert_eq!(rows(semicolons).unwrap(), wanted);
        for (wrong, says) in [
            ("username,password\na,b\n", "password"),
            ("username,is_active\na,perhaps\n", "Line 2"),
            ("username,email\na\n", "cannot be read"),
        ] {
            let fault = rows(wrong).unwrap_err();
            assert!(fault.code == "import_malformed" && fault.message.contains(says), "{fault}");
        }
    }
}
