//! What a connection is doing, and for how long: seconds are counted by its own tick, not by a clock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::settings::ListenSettings;

const FRESH: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const IDLE: u8 = 3;
const UPGRADED: u8 = 4;

/// The state of one connection, shared by its wire, its service and its watcher.
#[derive(Debug, Default)]
pub struct Pulse {
    phase: AtomicU8,
    ticks: AtomicU64,
}

impl Pulse {
    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
        self.ticks.store(0, Ordering::Relaxed);
    }

    /// Bytes came in: the first of a request's headers begin their time.
    pub fn read(&self) {
        if matches!(self.phase.load(Ordering::Relaxed), FRESH | IDLE) {
            self.enter(HEAD);
        }
    }

    /// A request is complete enough to be answered.
    pub fn busy(&self) {
        self.enter(BUSY);
    }

    /// The answer is out.
    pub fn idle(&self) {
        if self.phase.load(Ordering::Relaxed) == BUSY {
            self.enter(IDLE);
        }
    }

    /// The connection has become a socket, which has its own rules.
    pub fn upgraded(&self) {
        self.enter(UPGRADED);
    }

    /// Whether the connection has become a socket.
    pub fn is_upgraded(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == UPGRADED
    }

    /// A second has passed; true when the connection has stayed in its phase for too long.
    pub fn tick(&self, settings: &ListenSettings) -> bool {
        let limit = match self.phase.load(Ordering::Relaxed) {
            FRESH => settings.first_byte_seconds,
            HEAD => settings.header_seconds,
            IDLE => settings.keep_alive_seconds,
            _ => return false,
        };
        self.ticks.fetch_add(1, Ordering::Relaxed) >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_patience() {
        let settings = ListenSettings {
            first_byte_seconds: 1,
            header_seconds: 2,
            keep_alive_seconds: 3,
            ..ListenSettings::default()
        };
        let pulse = Pulse::default();
        let patience = |pulse: &Pulse| (0..9).take_while(|_| !pulse.tick(&settings)).count();
        assert_eq!(patience(&pulse), 1);
        pulse.read();
        assert_eq!(patience(&pulse), 2);
        pulse.busy();
        pulse.read();
        assert_eq!(patience(&pulse), 9, "an answer may take its time");
        pulse.idle();
        assert_eq!(patience(&pulse), 3);
    }
}
