//! `ilot check`: the settings in force with their origins, and, on request, the store's own truth.

use clap::Args;
use serde_json::json;

use super::{Exit, Place, show};
use crate::app::{App, World};
use crate::base::clock::MachineClock;
use crate::base::config::leaves;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::tasks::{Handle, Tasks};
use crate::store::chain;

/// Flags of `check`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Also open the store and verify the journal's chain; the box must not run meanwhile
    #[arg(long)]
    store: bool,
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let config = place.config()?;
    let mut rows = Vec::new();
    leaves(&config.effective.table, "", &mut |key, value| {
        let origin =
            config.effective.origins.get(key).map_or_else(String::new, ToString::to_string);
        rows.push((key.to_owned(), value.to_string(), origin));
    });
    let mut problems: Vec<String> = config
        .effective
        .unknown_variables
        .iter()
        .map(|name| format!("{name} names no setting"))
        .collect();
    let model = config.models().join(&config.settings.search.model);
    if !model.join("model.safetensors").exists() {
        problems
            .push(format!("there is no model in {}: search goes by words alone", model.display()));
    }
    problems.extend(config.settings.assistant.problem());
    let links = if flags.store { Some(verify(place, &mut problems)?) } else { None };
    let settings: serde_json::Map<String, serde_json::Value> = rows
        .iter()
        .map(|(key, value, origin)| (key.clone(), json!({"value": value, "origin": origin})))
        .collect();
    let report = json!({
        "data": config.data.root(), "settings": settings, "problems": problems, "journal_links": links,
    });
    show::either(place.json, &report, || {
        println!("# data folder: {}", config.data.root().display());
        for (key, value, origin) in &rows {
            println!("{key} = {value}    # {origin}");
        }
        if let Some(links) = links {
            println!("# journal: {links} links verified");
        }
        for problem in &problems {
            println!("! {problem}");
        }
    });
    let broken = problems.iter().any(|p| p.starts_with("the journal"));
    Ok(if broken { Exit::Unwell } else { Exit::Done })
}

fn verify(place: &Place, problems: &mut Vec<String>) -> Result<u64, Fault> {
    let health = Health::new(std::sync::Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let mut config = place.config()?;
    "off".clone_into(&mut config.settings.listen.https);
    let app = App::open(config, &World::machine()?, tasks, health)?;
    let outcome = app.store.read(chain::verify)?;
    if let Some((_, Some(fault))) = app.desks().thinking.models.judge(&Handle::unattended())? {
        problems.push(fault.message);
    }
    app.close();
    if let Some(first) = outcome.first() {
        problems.push(format!(
            "the journal is not whole: link {} was {} ({} in all); `ilot audit verify` names them",
            first.number,
            first.wrong.name(),
            outcome.count
        ));
    }
    Ok(outcome.links)
}
