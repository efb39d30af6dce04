//! `ilot setup` and `ilot setup-link`: the first start without and with a browser.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;

/// Flags of `setup`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The site's name
    #[arg(long)]
    site: String,
    /// The first administrator's name
    #[arg(long)]
    admin: String,
    /// A file whose first line is the administrator's password; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The language of the pages: fr or en
    #[arg(long, default_value = "fr")]
    language: String,
    /// The site's IANA time zone
    #[arg(long, default_value = "Europe/Paris")]
    time_zone: String,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let password = first_line(&flags.password_file)?;
    let console = Console::connect(place)?;
    let body = json!({
        "site": flags.site,
        "language": flags.language,
        "time_zone": flags.time_zone,
        "username": flags.admin,
        "password": password,
    });
    let outcome = match console.call(Method::POST, "/setup", Some(&body)) {
        Ok(_) => "done",
        Err(fault) if fault.code == "setup_done" => "already done",
        Err(fault) => return Err(fault),
    };
    show::either(place.json, &json!({"setup": outcome}), || println!("set-up: {outcome}"));
    Ok(Exit::Done)
}

/// The first line of a file, without its end.
pub(super) fn first_line(path: &std::path::Path) -> Result<String, Fault> {
    let unreadable =
        |e| Fault::invalid("file_unreadable", format!("{} cannot be read: {e}", path.display()));
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_string(&mut text).map_err(unreadable)?;
    } else {
        text = std::fs::read_to_string(path).map_err(unreadable)?;
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

pub(super) fn link(place: &Place) -> Result<Exit, Fault> {
    let none = || {
        Fault::not_found(
            "set-up link: the box is set up already, or it does not run (`ilot serve`)",
        )
    };
    let console = Console::connect(place)?;
    let needed = console.get("/setup/state")?.get("needed").and_then(Value::as_bool);
    // A link outlives its use in its file, and a box opened for this command has no address.
    if console.is_own() || needed != Some(true) {
        return Err(none());
    }
    match std::fs::read_to_string(place.config()?.data.setup_link()) {
        Ok(link) => {
            show::either(place.json, &json!({"setup_link": link}), || println!("{link}"));
            Ok(Exit::Done)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(none()),
        Err(e) => Err(Fault::broken("reading the set-up link", e)),
    }
}
