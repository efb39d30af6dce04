//! Lets a few password checks through at once and a few more wait, so that guessing cannot take the box.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::base::fault::Fault;

/// Password checks that may run at once; each takes a core for about 60 ms and 46 MiB.
const CHECKS_AT_ONCE: usize = 2;
/// Password checks that may wait for their turn.
const CHECKS_WAITING: usize = 32;

/// Lets a few callers through at once and a few more wait.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<(usize, usize)>,
    left: Condvar,
}

impl Gate {
    /// Runs `act` when its turn comes.
    ///
    /// # Errors
    /// `too_many_attempts` when too many wait already, or what `act` answers.
    pub(super) fn pass<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut state = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 >= CHECKS_WAITING {
            return Err(Fault::busy(
                "too_many_attempts",
                "Too many people sign in at once; try again.",
                Duration::from_secs(2),
            ));
        }
        state.1 += 1;
        while state.0 >= CHECKS_AT_ONCE {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.1 -= 1;
        state.0 += 1;
        drop(state);
        let answer = crate::base::tasks::caught(act);
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
        self.left.notify_one();
        answer
    }
}
