//! A thread that writes down what the watchdog tells, so that no disk can hold the watchdog up.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::drill;
use super::history::History;
use super::state::{Drill, Seen, WatchdogState};
use crate::base::fault::Fault;
use crate::base::paths::write_private;
use crate::base::tasks::Tasks;
use crate::domains::continuity::place::Place;

/// How often an idle writer looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// What is to be written down.
#[derive(Debug)]
pub enum Line {
    /// The state as it is now.
    State(WatchdogState),
    /// Something that happened.
    Seen(Seen),
    /// The proof of a drill.
    Proof(Box<Drill>),
}

/// Starts a thread that writes down what it is sent: a disk that hangs must not hold the watchdog up.
/// It ends when it is told to stop and everything sent is written.
///
/// # Errors
/// `internal` when no thread can be had.
pub fn start(tasks: &Tasks, place: Place, keep: usize) -> Result<Sender<Line>, Fault> {
    let (sender, lines) = channel();
    // Looked up before this watchdog can take up a drill of its own.
    let broken_off = drill::broken_off(&place);
    tasks.thread("watchdog-history", move |handle| {
        let mut history = History::open(&place, keep);
        let mut failing = false;
        if let Some(proof) = broken_off {
            let proof = Line::Proof(Box::new(proof));
            failing = write(&place, &mut history, proof, &lines, failing);
        }
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(line) => failing = write(&place, &mut history, line, &lines, failing),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if handle.stopped() => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    })?;
    Ok(sender)
}

/// Writes `first` and whatever waits behind it, of the states only the newest; true when it failed.
fn write(
    place: &Place,
    history: &mut History,
    first: Line,
    rest: &Receiver<Line>,
    failing: bool,
) -> bool {
    let mut newest = None;
    let mut outcome = Ok(());
    for line in std::iter::once(first).chain(rest.try_iter()) {
        match line {
            Line::State(state) => newest = Some(state),
            Line::Seen(seen) => outcome = outcome.and(history.add(&seen)),
            Line::Proof(drill) => outcome = outcome.and(drill::prove(place, &drill)),
        }
    }
    if let Some(state) = newest {
        let bytes = serde_json::to_vec(&state).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| write_private(&place.watchdog_state(), &bytes));
        outcome = outcome.and(written);
    }
    match &outcome {
        // Said once: a full disk would otherwise be told of with every change.
        Err(e) if !failing => tracing::warn!("the watchdog's history cannot be written: {e}"),
        _ => {}
    }
    outcome.is_err()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{HeldClock, Moment};
    use crate::base::health::Health;
    use crate::domains::continuity::watchdog::history::{latest, state};
    use crate::domains::continuity::watchdog::state::Phase;

    #[test]
    fn the_recorder_writes_what_it_was_sent_before_it_stops() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("planb"));
        place.create().unwrap();
        let tasks = Tasks::new(Health::new(Arc::new(HeldClock::at(Moment(0)))));
        let sender = start(&tasks, place.clone(), 100).unwrap();
        let mut told = WatchdogState {
            phase: Phase::Starting,
            since: Moment(1),
            pid: 1,
            began_at: Moment(1),
            target: vec!["ilot".into()],
            main_pid: None,
            planb_pid: None,
            starts_in_window: 0,
            starts_max: 8,
            next_start_at: None,
            last_end: None,
            drill_until: None,
        };
        for n in 0..50 {
            sender
                .send(Line::Seen(Seen {
                    at: Moment(n),
                    what: "signal".into(),
                    pid: None,
                    detail: String::new(),
                }))
                .unwrap();
            sender.send(Line::State(told.clone())).unwrap();
        }
        told.phase = Phase::Stopped;
        sender.send(Line::State(told.clone())).unwrap();
        tasks.stop(Duration::from_secs(20));
        assert_eq!(latest(&place, 100).len(), 50);
        assert_eq!(state(&place), Some(told));
    }
}
