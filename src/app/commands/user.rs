//! `ilot user`: users from the command line of the box's owner.

mod import;

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::console::Console;
use super::setup::first_line;
use super::{Exit, Place, show};
use crate::base::fault::{Fault, Kind};

/// The verbs of `user`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the users
    List,
    /// Show a user, with what it was given beside its role
    Show {
        /// The user: its name or its e-mail address
        name: String,
    },
    /// Add a user
    Add(Added),
    /// Give a user a new password, which ends the user's sessions
    Password {
        /// The user
        name: String,
        /// A file whose first line is the password, `-` for standard input; asked for without it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give a user a temporary password, printed once, to be changed at the next sign-in
    Reset {
        /// The user
        name: String,
    },
    /// Let a locked-out administrator in again: active, of the role admin, without its second
    /// factor, with a temporary password
    Recover {
        /// The user
        name: String,
    },
    /// Take back everything a person holds and close the account; shows what, and does it with --yes
    Offboard {
        /// The user
        name: String,
        /// Do it
        #[arg(long)]
        yes: bool,
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
    /// Take in users of another system; shows what would become of each, and does it with --apply
    Import(import::Flags),
    /// List the roles and what they may do
    Roles,
}

/// A user to add.
#[derive(Debug, clap::Args)]
pub(super) struct Added {
    /// The name to sign in with
    name: String,
    /// The role; `ilot user roles` lists them
    #[arg(long, default_value = "viewer")]
    role: String,
    /// How the user is shown
    #[arg(long, default_value = "")]
    display_name: String,
    /// An e-mail address, which is good for signing in too
    #[arg(long, default_value = "")]
    email: String,
    /// Let it sign in without a password from the workstations that the settings name
    #[arg(long)]
    workstation: bool,
    /// Make a temporary password, printed once, to be changed at the first sign-in
    #[arg(long, conflicts_with = "password_file")]
    temporary: bool,
    /// A file whose first line is the password, `-` for standard input; asked for without it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) fn run(place: &Place, verb: Verb) -> Result<Exit, Fault> {
    let console = Console::connect(place)?;
    let answer = match verb {
        Verb::List => return list(place, &console),
        Verb::Roles => return roles(place, &console),
        Verb::Import(flags) => return import::run(place, &console, &flags),
        Verb::Offboard { name, yes } => return offboard(place, &console, &name, yes),
        Verb::Show { name } => return show_one(place, &console, &name),
        Verb::Recover { name } => recover(&console, &name)?,
        Verb::Add(user) => add(&console, user)?,
        Verb::Password { name, password_file } => {
            edit(&console, &name, &json!({"password": password(password_file)?}))?
        }
        Verb::Reset { name } => {
            let user = find(&console, &name)?;
            reset(&console, user)?
        }
        Verb::Disable { name } => edit(&console, &name, &json!({"is_active": false}))?,
        Verb::Enable { name } => edit(&console, &name, &json!({"is_active": true}))?,
    };
    show::either(place.json, &answer, || {
        print(&answer);
        print_temporary(&answer);
    });
    Ok(Exit::Done)
}

fn add(console: &Console, user: Added) -> Result<Value, Fault> {
    let mut body = json!({
        "username": user.name, "role": user.role, "display_name": user.display_name,
        "email": user.email, "workstation": user.workstation,
    });
    if !user.temporary
        && let Some(fields) = body.as_object_mut()
    {
        fields.insert("password".into(), password(user.password_file)?.into());
    }
    console.call(Method::POST, "/admin/users", Some(&body))
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

/// The user of that name or address.
fn find(console: &Console, name: &str) -> Result<Value, Fault> {
    let users = console.get("/admin/users")?;
    let is = |user: &Value| word(user, "username").to_lowercase() == name.to_lowercase();
    let has = |user: &Value| word(user, "email").to_lowercase() == name.to_lowercase();
    let users = users.as_array().map(Vec::as_slice).unwrap_or_default();
    let found = users.iter().find(|user| is(user)).or_else(|| users.iter().find(|user| has(user)));
    found.cloned().ok_or_else(|| Fault::not_found("user"))
}

/// The path of a user, and of what belongs to it.
fn path(user: &Value, rest: &str) -> String {
    let number = user.get("id").and_then(Value::as_u64).unwrap_or_default();
    format!("/admin/users/{number}{rest}")
}

fn edit(console: &Console, name: &str, change: &Value) -> Result<Value, Fault> {
    let user = find(console, name)?;
    console.call(Method::PUT, &path(&user, ""), Some(change))
}

/// Gives a temporary password; the answer is the user with it.
fn reset(console: &Console, user: Value) -> Result<Value, Fault> {
    let told = console.call(Method::POST, &path(&user, "/reset-password"), None::<&()>)?;
    let mut user = user;
    if let (Some(user), Some(word)) = (user.as_object_mut(), told.get("temp_password")) {
        user.insert("temp_password".into(), word.clone());
        user.insert("must_change_password".into(), true.into());
    }
    Ok(user)
}

/// Whoever owns the data folder may do everything with it already; this makes it one command.
fn recover(console: &Console, name: &str) -> Result<Value, Fault> {
    let change = json!({"is_active": true, "role": "admin", "is_system_admin": true});
    let user = edit(console, name, &change)?;
    match console.call(Method::POST, &path(&user, "/totp/reset"), None::<&()>) {
        // There is none to take away.
        Err(fault) if fault.kind == Kind::NotFound => {}
        other => drop(other?),
    }
    reset(console, user)
}

fn offboard(place: &Place, console: &Console, name: &str, yes: bool) -> Result<Exit, Fault> {
    let user = find(console, name)?;
    let plan = console.call(Method::POST, &path(&user, "/offboard?dry_run=true"), None::<&()>)?;
    let say = |plan: &Value, what: &str| {
        println!("{} ({}): {what}", word(&user, "username"), word(&user, "display_name"));
        for (sort, count) in plan.get("taken").and_then(Value::as_object).into_iter().flatten() {
            println!("{:>6}  {sort}", count.as_u64().unwrap_or_default());
        }
    };
    if !yes {
        show::either(place.json, &plan, || {
            say(&plan, "would be taken back");
            println!("Nothing was done; --yes takes it back and closes the account.");
        });
        return Ok(Exit::Done);
    }
    if !place.json {
        say(&plan, "is taken back");
    }
    let done = console.call(Method::POST, &path(&user, "/offboard"), None::<&()>)?;
    show::either(place.json, &done, || println!("The account is closed."));
    Ok(Exit::Done)
}

fn list(place: &Place, console: &Console) -> Result<Exit, Fault> {
    let users = console.get("/admin/users")?;
    show::either(place.json, &users, || users.as_array().into_iter().flatten().for_each(print));
    Ok(Exit::Done)
}

fn show_one(place: &Place, console: &Console, name: &str) -> Result<Exit, Fault> {
    let mut user = find(console, name)?;
    let grants = console.get(&path(&user, "/grants"))?;
    let grants = grants.get("items").cloned().unwrap_or_default();
    if let Some(user) = user.as_object_mut() {
        user.insert("grants".into(), grants.clone());
    }
    show::either(place.json, &user, || {
        for name in ["username", "display_name", "email", "role", "state", "uuid", "created_at"] {
            println!("{name:14} {}", word(&user, name));
        }
        println!(
            "{:14} {}",
            "last_login",
            user.get("last_login").map_or("never", |at| { at.as_str().unwrap_or("never") })
        );
        let may = user.get("permissions").and_then(Value::as_object);
        println!("{:14} {}", "may", held(may).join(", "));
        for grant in grants.as_array().into_iter().flatten() {
            let until = grant.get("until").and_then(Value::as_str).unwrap_or("for good");
            println!(
                "{:14} {} until {until}: {}",
                "given",
                word(grant, "right"),
                word(grant, "reason")
            );
        }
    });
    Ok(Exit::Done)
}

/// The names of the permissions that are held.
fn held(permissions: Option<&Map<String, Value>>) -> Vec<&str> {
    let each = permissions.into_iter().flatten();
    each.filter(|(_, held)| **held == Value::Bool(true)).map(|(name, _)| name.as_str()).collect()
}

fn roles(place: &Place, console: &Console) -> Result<Exit, Fault> {
    let roles = console.get("/admin/roles")?;
    show::either(place.json, &roles, || {
        for role in roles.as_array().into_iter().flatten() {
            let users = role.get("users").and_then(Value::as_u64).unwrap_or_default();
            println!("{:18} {users:>4} users  {}", word(role, "name"), word(role, "description"));
            let rights = role.get("rights").and_then(Value::as_array);
            let rights: Vec<_> = rights.into_iter().flatten().filter_map(Value::as_str).collect();
            println!("{:18} {}", "", rights.join(", "));
        }
    });
    Ok(Exit::Done)
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn print(user: &Value) {
    let state = match word(user, "state") {
        "active" => "",
        "offboarded" => "  (left)",
        _ => "  (closed)",
    };
    println!(
        "{:>4}  {:20} {:16} {}{state}",
        user.get("id").unwrap_or(&Value::Null),
        word(user, "username"),
        word(user, "role"),
        word(user, "display_name"),
    );
}

fn print_temporary(user: &Value) {
    let temporary = word(user, "temp_password");
    if !temporary.is_empty() {
        println!(
            "Temporary password, told this once, to be changed at the next sign-in: {temporary}"
        );
    }
}
