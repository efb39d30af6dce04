//! `ilot planb key` and `ilot planb sealing`: Plan B's keys from files alone, whoever else runs meanwhile.

use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Exit, show};
use crate::app::planb::Site;
use crate::base::caller::Caller;
use crate::base::clock::{MachineClock, Moment};
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::domains::continuity::keys::{FileKeyState, KeyDraft, ScopedKey};
use crate::domains::continuity::sealing::SealingState;
use crate::domains::continuity::{Continuity, ContinuityState};

/// Words of a caller's request in the log.
const REQUEST: &str = "planb";

/// The verbs on keys.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// The keys of Plan B's interface: list, rotate, add, remove
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// The key that messages are sealed with: show, rotate
    Sealing {
        #[command(subcommand)]
        verb: SealingVerb,
    },
}

/// The verbs of `planb key`.
#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// List the keys; none of them is shown
    List,
    /// Put a new key in the place of the file's, and print it; the one before is taken for a while yet
    Rotate {
        /// For how many seconds, 0 for not at all [default: the setting `continuity.key_grace_minutes`]
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
    },
    /// Add a key for one program, and print it once
    Add {
        /// What to call it
        name: String,
        /// What it may do: `status`, `crypto`, `tcp`; repeat it for several
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// How long it lives, days [default: for ever]
        #[arg(long)]
        days: Option<u32>,
    },
    /// Take a program's key away, at once
    Remove {
        /// What it is called
        name: String,
    },
}

/// The verbs of `planb sealing`.
#[derive(Debug, Subcommand)]
pub(super) enum SealingVerb {
    /// Show how much the sealing key has sealed
    Show,
    /// Put a new sealing key in force; what the ones before sealed still opens
    Rotate,
}

/// Does what `verb` says at a site: in the data folder, or in the original's layout.
pub(super) fn run(site: &Site, verb: Verb, json: bool) -> Result<Exit, Fault> {
    let clock = Arc::new(MachineClock);
    let health = Health::new(clock.clone());
    let desk = Continuity::open(&site.place, &site.settings.continuity, clock, health);
    let caller = Caller::console(REQUEST);
    match verb {
        Verb::Key { verb: KeyVerb::List } => list(&desk, &caller, json)?,
        Verb::Key { verb: KeyVerb::Rotate { grace } } => {
            let key = desk.rotate_key(&caller, grace.map(Duration::from_secs))?;
            show::either(json, &json!({"api_key": key.as_str()}), || println!("{}", *key));
        }
        Verb::Key { verb: KeyVerb::Add { name, scopes, days } } => {
            let (text, key) = desk.add_key(&caller, KeyDraft { name, scopes, days })?;
            let mut shown = view(&key);
            if let Value::Object(members) = &mut shown {
                members.insert("api_key".into(), text.as_str().into());
            }
            show::either(json, &shown, || println!("{}", *text));
        }
        Verb::Key { verb: KeyVerb::Remove { name } } => {
            desk.remove_key(&caller, &name)?;
            show::either(json, &json!({"removed": name}), || println!("{name} is gone."));
        }
        Verb::Sealing { verb } => {
            let state = match verb {
                SealingVerb::Show => desk.sealing(&caller)?,
                SealingVerb::Rotate => desk.rotate_sealing(&caller)?,
            };
            show::either(json, &state, || print_sealing(&state));
        }
    }
    Ok(Exit::Done)
}

fn list(desk: &Continuity, caller: &Caller, json: bool) -> Result<(), Fault> {
    let ContinuityState { key, keys, .. } = desk.state(caller)?;
    let keys = match keys {
        Some(keys) => keys,
        None => desk.keys(caller)?,
    };
    let shown = json!({
        "key": {
            "made_at": key.made_at,
            "previous_until": key.previous_until,
            "wrong": key.wrong,
            "backups": key.backups.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(),
        },
        "keys": keys.iter().map(view).collect::<Vec<_>>(),
    });
    show::either(json, &shown, || print_keys(&key, &keys));
    Ok(())
}

fn view(key: &ScopedKey) -> Value {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    json!({"name": key.name, "scopes": scopes, "made_at": key.made_at, "expires_at": key.expires_at})
}

fn print_keys(key: &FileKeyState, keys: &[ScopedKey]) {
    let date = |at: Option<Moment>| at.map_or_else(|| "-".to_owned(), Moment::to_rfc3339);
    match key.wrong {
        None => println!("api_key.txt  of {}", date(key.made_at)),
        Some(code) => println!("api_key.txt  cannot be used ({code})"),
    }
    if let Some(until) = key.previous_until {
        println!("  the key before is taken until {}", until.to_rfc3339());
    }
    for backup in &key.backups {
        println!("  backups/{}", backup.name);
    }
    for key in keys {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        println!("{}  {}  until {}", key.name, scopes.join(", "), date(key.expires_at));
    }
}

fn print_sealing(state: &SealingState) {
    println!("The sealing key is of {}.", state.key_made_at.to_rfc3339());
    println!("It has sealed at most {} messages of {}.", state.messages, state.limit);
    println!("Keys before it that still open what they sealed: {}.", state.earlier_keys);
}
