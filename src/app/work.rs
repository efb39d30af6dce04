//! Periodic tasks and reactions between domains: one line each.

use std::time::Duration;

use super::names;
use super::router::Desks;
use super::settings::Settings;
use crate::base::fault::Fault;
use crate::base::tasks::Tasks;
use crate::engines::tls::Tls;
use crate::store::Store;

/// How often what is over is thrown away.
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// How often the certificate is looked at.
const RENEW_EVERY: Duration = Duration::from_mins(1);
/// How often samples of the histograms are folded, so that they do not pile up.
const TEND_EVERY: Duration = Duration::from_secs(5);

/// Starts everything that runs by itself.
///
/// # Errors
/// `Broken` when no thread can be had.
pub(super) fn start(
    desks: &Desks,
    store: &Store,
    tasks: &Tasks,
    tls: Option<&Tls>,
    settings: &Settings,
) -> Result<(), Fault> {
    desks.assistant.start(tasks)?;
    desks.thinking.start(tasks)?;
    desks.live.start(tasks)?;
    desks.activity.start(tasks)?;
    let (identity, store) = (desks.identity.clone(), store.clone());
    tasks.every("prune", PRUNE_EVERY, move |_| identity.prune().and_then(|()| store.prune()))?;
    let meters = desks.system.meters.clone();
    tasks.every("meters", TEND_EVERY, move |_| {
        meters.tend();
        Ok(())
    })?;
    if let Some(tls) = tls.cloned() {
        let settings = settings.clone();
        tasks.every("certificate", RENEW_EVERY, move |_| tls.renew(&names(&settings)).map(drop))?;
    }
    Ok(())
}
