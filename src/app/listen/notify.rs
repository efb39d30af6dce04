//! Tells the service manager that the box is ready, that it lives, and that it stops.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::base::fault::Fault;
use crate::base::tasks::Tasks;

/// The box answers. Without a service manager this does nothing.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The box stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the service manager regularly that the box lives, as long as `well` says so.
///
/// Does nothing when no watchdog is asked for (`WatchdogSec=` of the unit).
///
/// # Errors
/// `internal` when no thread can be had.
pub fn watch(tasks: &Tasks, well: impl Fn() -> bool + Send + 'static) -> Result<(), Fault> {
    let Some(patience) = sd_notify::watchdog_enabled() else { return Ok(()) };
    // Three signs within one patience, so that a late one does not cost the box its life.
    let period = (patience / 3).max(Duration::from_millis(100));
    tasks.every("watchdog", period, move |_| {
        if well() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the self-check fails; the service manager will restart the box");
        }
        Ok(())
    })?;
    Ok(())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {why}");
    }
}
