//! `ilot doctor`: looks at every part of the box and says what to do.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::console::Console;
use super::{Exit, Place, show};
use crate::base::fault::Fault;

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
    let detail = console.get("/health/detail")?;
    let own = console.is_own();
    show::either(place.json, &detail, || print(&detail, own));
    let level = detail.get("level").and_then(Value::as_str).unwrap_or("failed");
    Ok(if level == "failed" { Exit::Unwell } else { Exit::Done })
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
