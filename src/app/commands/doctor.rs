//! `ilot doctor`: looks at every part of the box and says what to do.

use std::fmt::Write;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;
use crate::domains::continuity::place::Place as Folder;
use crate::domains::continuity::watchdog::state::{Phase, WatchdogState};
use crate::domains::continuity::watchdog::{self, keeper};

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Confirm that the machine's clock is right now, which ends an interval of doubt
    #[arg(long)]
    clock_is_right: bool,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let console = Console::connect(place)?;
    if flags.clock_is_right {
        console.call(Method::POST, "/clock/settle", None::<&()>)?;
    }
    let mut detail = console.get("/health/detail")?;
    let own = console.is_own();
    let watched = watched(place)?;
    if let (Some(state), Some(members)) = (&watched, detail.as_object_mut()) {
        let state = serde_json::to_value(state).map_err(|e| Fault::broken("writing", e))?;
        members.insert("watchdog".to_owned(), state);
    }
    show::either(place.json, &detail, || {
        print(&detail, own);
        watched.iter().for_each(print_watchdog);
    });
    let level = detail.get("level").and_then(Value::as_str).unwrap_or("failed");
    Ok(if level == "failed" { Exit::Unwell } else { Exit::Done })
}

/// What the watchdog of this box is doing, when one lives: the box itself may be away while it tells.
fn watched(place: &Place) -> Result<Option<WatchdogState>, Fault> {
    let folder = Folder::at(place.config_in_need()?.0.data.planb());
    Ok(watchdog::told(&folder).filter(|(alive, _)| *alive).map(|(_, state)| state))
}

fn print_watchdog(state: &WatchdogState) {
    let level = if state.phase == Phase::Healthy { "ok" } else { "reduced" };
    let mut words = keeper::in_words(state.phase).to_owned();
    if let Some(at) = state.next_start_at {
        let _ = write!(words, "; the next start is at {}", at.to_rfc3339());
    }
    println!("{level:8} {:16} {words}", "watchdog");
    if state.phase != Phase::Healthy {
        println!("         {:16} → See `ilot watchdog status`.", "");
    }
}

fn print(detail: &Value, own: bool) {
    let word = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    println!("box: {}{}", word(detail, "level"), if own { " (it was not running)" } else { "" });
    for (name, part) in detail.get("parts").and_then(Value::as_object).into_iter().flatten() {
        println!("{:8} {:16} {}", word(part, "level"), name, word(part, "detail"));
        let advice = word(part, "advice");
        if !advice.is_empty() {
            println!("         {:16} → {advice}", "");
        }
    }
    if let Some(free) = detail.pointer("/disk/free_bytes").and_then(Value::as_u64) {
        println!("disk     {:16} {} free", "", show::bytes(free));
    }
    if let Some(print) = detail.pointer("/certificate/fingerprint").and_then(Value::as_str) {
        println!("CA       {:16} SHA-256 {print}", "");
    }
}
