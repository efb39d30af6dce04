//! The watchdog: starts the main program, sees that it is well, and lets Plan B stand in for it.

pub mod asking;
pub mod drill;
pub mod history;
pub mod keeper;
pub mod leash;
pub mod lock;
pub mod machine;
pub mod pace;
pub mod recorder;
pub mod runner;
#[cfg(test)]
mod said;
pub mod state;
pub mod trial;

use super::place::Place;
use state::WatchdogState;

/// What the watchdog of `place` last told of itself, and whether it lives; none when there never was one.
pub fn told(place: &Place) -> Option<(bool, WatchdogState)> {
    Some((lock::is_held(place), history::state(place)?))
}
