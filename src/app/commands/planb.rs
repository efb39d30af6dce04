//! `ilot planb`: stands in for the main program, and looks at what it stands on.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::console::runtime;
use super::{Exit, Place, existing, planb_key, show};
use crate::app::listen::{Addresses, machine};
use crate::app::logs;
use crate::app::planb::{PlanB, Site};
use crate::base::clock::MachineClock;
use crate::base::fault::{Fault, Kind};
use crate::base::health::Health;
use crate::base::tasks::Tasks;
use crate::domains::continuity::node;
use crate::domains::continuity::outbox::{OutboxFile, archived, waiting};
use crate::domains::continuity::pack::{Found, Pack, look};
use crate::domains::continuity::place;

/// The host when only a port is given, and the port when only a host is (plan-b.md §1.5).
const HOST: &str = "127.0.0.1";
const PORT: u16 = 5055;

/// Flags of `planb`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Where Plan B listens [default: that of the settings, 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Its port [default: that of the settings, 5055]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The original's layout: keys in `.runtime/` below this folder, no box around it
    #[arg(long, global = true, value_name = "DIR")]
    base_dir: Option<PathBuf>,
    /// Log JSON lines to the terminal
    #[arg(long)]
    log_json: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The continuity pack
    Pack {
        #[command(subcommand)]
        verb: PackVerb,
    },
    /// What was written down while the main program was away
    Outbox {
        #[command(subcommand)]
        verb: OutboxVerb,
    },
    #[command(flatten)]
    Keys(planb_key::Verb),
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum PackVerb {
    /// What is in it, and how old it is
    Show,
    /// Look at every byte of it; ends with 6 when something is wrong
    Verify,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum OutboxVerb {
    /// The files and their entries
    List {
        /// Those that were taken into the records too
        #[arg(long)]
        all: bool,
    },
    /// Look at every link of every file; ends with 6 when something is wrong
    Verify,
}

pub(super) fn run(place: &Place, flags: Flags) -> Result<Exit, Fault> {
    let site = site(place, &flags)?;
    if flags.verb.is_some() && !site.place.root().is_dir() {
        // What only looks must not make keys in a folder whose name was mistyped.
        let words = format!("There is no Plan B in {}.", site.place.root().display());
        return Err(Fault::new(Kind::NotFound, "planb_missing", words));
    }
    match flags.verb {
        None => serve(site, flags.log_json, place.json),
        Some(Verb::Pack { verb }) => Ok(pack(&site.place, verb, place.json)),
        Some(Verb::Outbox { verb: OutboxVerb::List { all } }) => list(&site.place, all, place.json),
        Some(Verb::Outbox { verb: OutboxVerb::Verify }) => verify(&site.place, place.json),
        Some(Verb::Keys(verb)) => planb_key::run(&site, verb, place.json),
    }
}

fn site(place: &Place, flags: &Flags) -> Result<Site, Fault> {
    let (config, wrong) = place.config_in_need()?;
    if let Some(wrong) = wrong {
        eprintln!("ilot: the settings are left aside: {wrong}");
    }
    let mut site = match &flags.base_dir {
        Some(base) => Site::of_base_dir(&config, &existing(base)?),
        None => Site::of_box(&config),
    };
    if flags.host.is_some() || flags.port.is_some() {
        let host = flags.host.as_deref().unwrap_or(HOST);
        let host = if host == "localhost" { HOST } else { host };
        let port = flags.port.unwrap_or(PORT);
        let bare = host.contains(':') && !host.starts_with('[');
        site.settings.listen.planb =
            if bare { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    }
    Ok(site)
}

fn serve(mut site: Site, log_json: bool, json: bool) -> Result<Exit, Fault> {
    let clock = Arc::new(MachineClock);
    let health = Health::new(clock.clone());
    let tasks = Tasks::new(health.clone());
    site.settings.log.json |= log_json;
    let folder = site.place.logs();
    // A disk that takes no log must not keep Plan B from answering.
    site.settings.log.file &= site.place.create().is_ok() && tempfile::tempfile_in(&folder).is_ok();
    let logs = logs::start(&site.settings.log, &folder, clock.clone(), &tasks)?;
    let planb = PlanB::open(site, clock, tasks, health)?;
    runtime()?.block_on(async {
        let listening = |e| Fault::broken("listening for signals", e);
        let mut end = signal(SignalKind::terminate()).map_err(listening)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(listening)?;
        let stop = async move {
            tokio::select! {
                _ = end.recv() => {}
                _ = hang_up.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        planb.run(stop, |addresses, had| announce(addresses, had, json)).await
    })?;
    if logs.lost() > 0 {
        eprintln!("ilot: {} log lines were lost", logs.lost());
    }
    Ok(Exit::Done)
}

fn announce(addresses: &Addresses, had: &Addresses, json: bool) {
    if json {
        println!("{}", json!({"mode": "planb", "addresses": addresses, "answers_at": had}));
        return;
    }
    println!("ilot {} · Plan B", crate::app::system::VERSION);
    let all = [
        ("plan B", "http", addresses.planb, had.planb),
        ("http", "http", addresses.http, had.http),
        ("https", "https", addresses.https, had.https),
    ];
    for (name, scheme, address, had) in all {
        let waits = if had.is_none() { "  (waits: another program holds it)" } else { "" };
        for place in address.map(machine::reached_at).unwrap_or_default() {
            println!("  {name:<7} {scheme}://{place}/planb{waits}");
        }
    }
}

/// The pack, believed when this node's key signed it.
fn found(place: &place::Place) -> Found {
    let node = if place.node_key().exists() { node::Node::open(place).ok() } else { None };
    look(&place.pack(), node.map(|node| node.public()).as_ref())
}

fn pack(place: &place::Place, verb: PackVerb, json: bool) -> Exit {
    let found = found(place);
    let mut troubles = found.troubles.clone();
    if let (PackVerb::Verify, Some(pack)) = (verb, &found.pack) {
        troubles.extend(pack.verify());
    }
    let verified = found.pack.as_ref().is_some_and(Pack::verified);
    let state = found.pack.as_ref().map(Pack::state);
    show::either(json, &json!({"pack": state, "troubles": troubles}), || {
        match &state {
            None => println!("There is no pack that can be used."),
            Some(state) => {
                let signed =
                    if verified { "signed by this node" } else { "NOT signed by this node" };
                println!("pack {} · {} · {signed}", state.generation, state.made_at.to_rfc3339());
                println!("{} people · {} doors · {} bytes", state.people, state.doors, state.bytes);
                for section in &state.sections {
                    let aged =
                        section.stale_since.map(|at| format!(" (as of {})", at.to_rfc3339()));
                    println!(
                        "  {:<20} {} rows{}",
                        section.id,
                        section.rows,
                        aged.unwrap_or_default()
                    );
                }
                for paper in &state.papers {
                    println!("  {} {} bytes", paper.name, paper.bytes);
                }
                for out in &state.left_out {
                    println!("  left out: {} ({})", out.name, out.why);
                }
            }
        }
        for trouble in &troubles {
            println!("  damaged: {}: {}", trouble.file, trouble.what);
        }
    });
    let Some(_) = state else { return Exit::NotFound };
    let sound = troubles.is_empty() && verified;
    if sound || matches!(verb, PackVerb::Show) { Exit::Done } else { Exit::Unwell }
}

fn list(place: &place::Place, all: bool, json: bool) -> Result<Exit, Fault> {
    let mut files = if all { archived(place)? } else { Vec::new() };
    files.extend(waiting(place)?);
    let told: Vec<_> = files.iter().map(told).collect();
    show::either(json, &json!({"files": told}), || {
        if files.is_empty() {
            println!("Nothing waits to be taken over.");
        }
        for file in &files {
            say(file);
            for entry in file.entries.iter() {
                println!(
                    "  {:>4} {} {} {}",
                    entry.seq,
                    entry.at.to_rfc3339(),
                    entry.kind,
                    entry.by.name
                );
            }
        }
    });
    Ok(Exit::Done)
}

fn verify(place: &place::Place, json: bool) -> Result<Exit, Fault> {
    let mut files = archived(place)?;
    files.extend(waiting(place)?);
    let sound = files.iter().all(|file| file.damage.is_none());
    let told: Vec<_> = files.iter().map(told).collect();
    show::either(json, &json!({"sound": sound, "files": told}), || {
        files.iter().for_each(say);
        println!("{}", if sound { "Every link holds." } else { "Something is wrong." });
    });
    Ok(if sound { Exit::Done } else { Exit::Unwell })
}

fn told(file: &OutboxFile) -> serde_json::Value {
    json!({
        "file": file.id, "head": file.head, "live": file.live, "taken": file.archived,
        "entries": *file.entries, "damage": file.damage, "torn_bytes": file.torn_bytes,
    })
}

fn say(file: &OutboxFile) {
    let state = match (file.live, file.archived) {
        (true, _) => "being written",
        (_, true) => "taken",
        _ => "waiting",
    };
    println!("{} · {} entries · {state}", file.id, file.entries.len());
    if let Some(damage) = &file.damage {
        println!("  line {}: {} ({} lines lost)", damage.line, damage.what, damage.lines_lost);
    }
}
