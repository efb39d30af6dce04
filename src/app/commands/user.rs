//! `ilot user`: users from the command line of the box's owner.

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::console::Console;
use super::setup::first_line;
use super::{Exit, Place, show};
use crate::base::fault::Fault;

/// The verbs of `user`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the users
    List,
    /// Add a user
    Add {
        /// The name to sign in with
        name: String,
        /// The role: viewer, planner, `planner_advanced`, `driver_admin`, finance, analyse or admin
        #[arg(long, default_value = "viewer")]
        role: String,
        /// How the user is shown
        #[arg(long, default_value = "")]
        display_name: String,
        /// A file whose first line is the password; asked for without it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give a user a new password, which ends the user's sessions
    Password {
        /// The user
        name: String,
        /// A file whose first line is the password; asked for without it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Close an account, which ends its sessions
    Disable {
        /// The user
        name: String,
    },
    /// Open a closed account again
    Enable {
        /// The user
        name: String,
    },
}

pub(super) fn run(place: &Place, verb: Verb) -> Result<Exit, Fault> {
    let console = Console::connect(place)?;
    let answer = match verb {
        Verb::List => return list(place, &console),
        Verb::Add { name, role, display_name, password_file } => {
            let body = json!({
                "username": name, "role": role, "display_name": display_name,
                "password": password(password_file)?,
            });
            console.call(Method::POST, "/admin/users", Some(&body))?
        }
        Verb::Password { name, password_file } => {
            edit(&console, &name, &json!({"password": password(password_file)?}))?
        }
        Verb::Disable { name } => edit(&console, &name, &json!({"is_active": false}))?,
        Verb::Enable { name } => edit(&console, &name, &json!({"is_active": true}))?,
    };
    show::either(place.json, &answer, || print(&answer));
    Ok(Exit::Done)
}

/// The password of a file, or typed twice at a terminal.
fn password(file: Option<PathBuf>) -> Result<String, Fault> {
    if let Some(file) = file {
        return first_line(&file);
    }
    let ask = |prompt| {
        rpassword::prompt_password(prompt).map_err(|e| Fault::broken("asking for a password", e))
    };
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        return Err(Fault::invalid("passwords_differ", "The two passwords differ."));
    }
    Ok(password)
}

fn edit(console: &Console, name: &str, change: &Value) -> Result<Value, Fault> {
    let users = console.get("/admin/users")?;
    let number = users
        .as_array()
        .into_iter()
        .flatten()
        .find(|user| {
            user.get("username")
                .and_then(Value::as_str)
                .is_some_and(|u| u.eq_ignore_ascii_case(name))
        })
        .and_then(|user| user.get("id").and_then(Value::as_u64))
        .ok_or_else(|| Fault::not_found("user"))?;
    console.call(Method::PUT, &format!("/admin/users/{number}"), Some(change))
}

fn list(place: &Place, console: &Console) -> Result<Exit, Fault> {
    let users = console.get("/admin/users")?;
    show::either(place.json, &users, || users.as_array().into_iter().flatten().for_each(print));
    Ok(Exit::Done)
}

fn print(user: &Value) {
    let word = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default();
    let active = user.get("is_active").and_then(Value::as_bool).unwrap_or_default();
    println!(
        "{:>4}  {:20} {:16} {}{}",
        user.get("id").unwrap_or(&Value::Null),
        word("username"),
        word("role"),
        word("display_name"),
        if active { "" } else { "  (closed)" },
    );
}
