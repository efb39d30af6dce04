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
    let Some(period) = pulse() else { return Ok(()) };
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

/// Says what goes on in a few words, for `systemctl status`.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(words)]);
}

/// Says once that this process lives.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Asks for more time to be ready.
pub fn more_time(span: Duration) {
    let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// How often [`alive`] is to be said; none when nobody listens for it.
pub fn pulse() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(beat_within)
}

/// Three signs within one patience, so that a late one does not cost the box its life.
fn beat_within(patience: Duration) -> Duration {
    (patience / 3).max(Duration::from_millis(100))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {why}");
    }
}
