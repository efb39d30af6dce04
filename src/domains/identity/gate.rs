//! Lets a few password checks through at once and a few more wait, so that guessing cannot take the box.
//!
//! There are two lanes. Whoever signs in from a place where its user is known goes before strangers,
//! finds waiting places that strangers cannot take, and one of the two checks that may run at once is
//! never a stranger's: a flood of guesses costs the box one core at most, and a right login next to it
//! waits for no guess. A flood in the known lane is not to be had, since each user's own place lets few
//! attempts in at once (see `throttle.rs`).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// Password checks that may run at once; each takes a core for about 60 ms and 46 MiB.
const CHECKS_AT_ONCE: usize = 2;
/// Of those, how many may be strangers'.
const STRANGERS_AT_ONCE: usize = 1;
/// Password checks that may wait for their turn, both lanes together 32.
const KNOWN_WAITING: usize = 16;
/// Of those, how many may be strangers': a second's worth at one check after the other.
const STRANGERS_WAITING: usize = 16;
/// When to come back after being turned away.
const COME_BACK: Duration = Duration::from_secs(2);

/// Which way a check goes through the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody at a place where the user is known, or an administrator at work.
    Known,
    /// Everybody else.
    Stranger,
}

/// How many run and wait.
#[derive(Debug, Default)]
struct Inside {
    running: usize,
    strangers_running: usize,
    known_waiting: usize,
    strangers_waiting: usize,
}

impl Inside {
    fn waiting(&mut self, lane: Lane) -> (&mut usize, usize) {
        match lane {
            Lane::Known => (&mut self.known_waiting, KNOWN_WAITING),
            Lane::Stranger => (&mut self.strangers_waiting, STRANGERS_WAITING),
        }
    }

    fn may_run(&self, lane: Lane) -> bool {
        let stranger_may = self.strangers_running < STRANGERS_AT_ONCE && self.known_waiting == 0;
        self.running < CHECKS_AT_ONCE && (lane == Lane::Known || stranger_may)
    }
}

/// Lets a few callers through at once and a few more wait.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<Inside>,
    left: Condvar,
}

/// A place inside; leaving it wakes those who wait.
struct Running<'g> {
    gate: &'g Gate,
    lane: Lane,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        inside.running -= 1;
        inside.strangers_running -= usize::from(self.lane == Lane::Stranger);
        drop(inside);
        // All of them, few as they are: the one that is woken alone might be of the other lane.
        self.gate.left.notify_all();
    }
}

impl Gate {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` when its turn comes.
    ///
    /// # Errors
    /// `too_many_attempts` when too many wait already, or what `act` answers.
    pub(super) fn pass<T>(
        &self,
        lane: Lane,
        act: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let _running = self.enter(lane)?;
        caught(act)
    }

    fn enter(&self, lane: Lane) -> Result<Running<'_>, Fault> {
        let mut inside = self.inside();
        let (waiting, most) = inside.waiting(lane);
        if *waiting >= most {
            return Err(Fault::busy(
                "too_many_attempts",
                "Too many people sign in at once; try again.",
                COME_BACK,
            ));
        }
        *waiting += 1;
        loop {
            // Whoever asks whether it may run does not wait itself.
            *inside.waiting(lane).0 -= 1;
            if inside.may_run(lane) {
                break;
            }
            *inside.waiting(lane).0 += 1;
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        inside.running += 1;
        inside.strangers_running += usize::from(lane == Lane::Stranger);
        Ok(Running { gate: self, lane })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::Scope;

    use super::*;

    /// Starts a check that is held until told to end; the answer says whether it got in.
    fn held<'s>(
        scope: &'s Scope<'s, '_>,
        gate: &'s Gate,
        lane: Lane,
    ) -> (Receiver<bool>, Sender<()>) {
        let ((told, heard), (end, ended)) = (channel(), channel::<()>());
        scope.spawn(move || {
            let inside = gate.pass(lane, || {
                let _ = told.send(true);
                let _ = ended.recv();
                Ok(())
            });
            if inside.is_err() {
                let _ = told.send(false);
            }
        });
        (heard, end)
    }

    /// Waits until so many wait in a lane.
    fn until_waiting(gate: &Gate, lane: Lane, count: usize) {
        let began = std::time::Instant::now();
        while *gate.inside().waiting(lane).0 != count {
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", gate.inside());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn strangers_run_one_by_one_and_those_who_are_known_beside_and_before_them() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            let (first, first_ends) = held(scope, &gate, Lane::Stranger);
            assert_eq!(first.recv(), Ok(true));
            let strangers: Vec<_> =
                (0..STRANGERS_WAITING).map(|_| held(scope, &gate, Lane::Stranger)).collect();
            until_waiting(&gate, Lane::Stranger, STRANGERS_WAITING);
            // One more is turned away at once, and somebody known is not.
            let (late, _) = held(scope, &gate, Lane::Stranger);
            assert_eq!(late.recv(), Ok(false));
            let (known, known_ends) = held(scope, &gate, Lane::Known);
            assert_eq!(known.recv(), Ok(true));
            // Both places are taken; the next one that is known goes before all strangers.
            let (next, next_ends) = held(scope, &gate, Lane::Known);
            until_waiting(&gate, Lane::Known, 1);
            drop(first_ends);
            assert_eq!(next.recv(), Ok(true));
            assert!(strangers.iter().all(|(heard, _)| heard.try_recv().is_err()));
            drop((known_ends, next_ends));
            let ends: Vec<_> = strangers
                .into_iter()
                .map(|(heard, end)| {
                    drop(end);
                    heard
                })
                .collect();
            assert!(ends.iter().all(|heard| heard.recv() == Ok(true)));
        });
        assert_eq!(gate.inside().running, 0);
    }

    #[test]
    fn a_panic_inside_gives_the_place_back() {
        let gate = Gate::default();
        for _ in 0..CHECKS_AT_ONCE * 2 {
            assert!(gate.pass::<()>(Lane::Known, || panic!("a slip")).is_err());
        }
        let ran = AtomicUsize::new(0);
        let answer = gate.pass(Lane::Stranger, || Ok(ran.fetch_add(1, Ordering::Relaxed)));
        assert_eq!((answer.ok(), ran.into_inner()), (Some(0), 1));
    }
}
