//! `ilot serve`: runs the box until it is told to stop.

use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::console::runtime;
use super::{Exit, Place};
use crate::app::listen::{Addresses, machine};
use crate::app::{App, World, logs};
use crate::base::clock::MachineClock;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::tasks::Tasks;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Log JSON lines to the terminal
    #[arg(long)]
    log_json: bool,
    /// Wait for addresses that another program holds: the watchdog starts the box so
    #[arg(long, hide = true)]
    wait_for_addresses: bool,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let mut config = place.config()?;
    config.settings.log.json |= flags.log_json;
    config.settings.listen.wait_for_addresses = flags.wait_for_addresses;
    config.data.create().map_err(|e| {
        Fault::unavailable(
            "folder_unusable",
            format!("{} cannot be used: {e}", config.data.root().display()),
        )
    })?;
    let clock = Arc::new(MachineClock);
    let health = Health::new(clock.clone());
    let tasks = Tasks::new(health.clone());
    let logs = logs::start(&config.settings.log, &config.data.logs(), clock, &tasks)?;
    for name in &config.effective.unknown_variables {
        tracing::warn!("{name} names no setting and is ignored");
    }
    let app = App::open(config, &World::machine()?, tasks, health)?;
    let fingerprint = app.tls.as_ref().map(crate::engines::tls::Tls::fingerprint);
    let json = place.json;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate())
            .map_err(|e| Fault::broken("listening for signals", e))?;
        let stop = async move {
            tokio::select! {
                _ = end.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        app.run(stop, |addresses, link| announce(addresses, link, fingerprint.as_deref(), json))
            .await
    })?;
    if logs.lost() > 0 {
        eprintln!("ilot: {} log lines were lost", logs.lost());
    }
    Ok(Exit::Done)
}

/// Says where the box is, in French and English: whoever installs it reads one of them.
fn announce(addresses: &Addresses, link: Option<&str>, fingerprint: Option<&str>, json: bool) {
    if json {
        let said = serde_json::json!({"addresses": addresses, "setup_link": link, "fingerprint": fingerprint});
        println!("{said}");
        return;
    }
    println!("ilot {}", crate::app::system::VERSION);
    if let Some(http) = addresses.http {
        for place in machine::reached_at(http) {
            println!("  http   http://{place}/");
        }
    }
    if let Some(https) = addresses.https {
        for place in machine::reached_at(https) {
            println!("  https  https://{place}/");
        }
    }
    if let Some(fingerprint) = fingerprint {
        println!("  CA     SHA-256 {fingerprint}");
    }
    if let Some(link) = link {
        println!("\n  Première installation · first set-up (once):\n  {link}\n");
    }
}
