//! One process that is watched: not there, coming, or there, with how it does.

use std::time::Duration;

/// Names of the signals that end a process most often.
const NAMES: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (6, "ABRT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (11, "SEGV"),
    (15, "TERM"),
    (24, "XCPU"),
    (31, "SYS"),
];
/// The number of HUP.
const HUP: i32 = 1;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It could not be started at all.
    NeverBegan(String),
    /// Nobody knows.
    Unknown,
}

impl End {
    /// Whether it ended as one that has done its work.
    pub fn is_good(&self) -> bool {
        *self == Self::Code(0)
    }

    /// Whether it ended as one whose terminal is gone.
    pub fn is_hang_up(&self) -> bool {
        *self == Self::Signal(HUP)
    }

    /// In words that go on from "it".
    pub fn words(&self) -> String {
        match self {
            Self::Code(code) => format!("ended with code {code}"),
            Self::Signal(number) => {
                let name = NAMES.iter().find(|(known, _)| known == number);
                let name = name.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned());
                format!("was ended by the signal {name}")
            }
            Self::NeverBegan(why) => format!("could not be started: {why}"),
            Self::Unknown => "ended, nobody knows how".to_owned(),
        }
    }
}

/// Why a process was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It does not answer.
    Hung,
    /// A drill begins.
    Drill,
    /// The main program is back, and Plan B steps back.
    HandBack,
    /// The watchdog ends.
    Stop,
}

/// That it was asked to.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) why: Why,
    kill_at: Duration,
    killed: bool,
}

/// A process that is there.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) pid: u32,
    pub(super) began: Duration,
    /// Its first answer.
    pub(super) answered: Option<Duration>,
    /// Since when it answers without a miss.
    pub(super) well_since: Option<Duration>,
    pub(super) misses: u32,
    /// Whether it was well for long enough to be relied on.
    pub(super) steady: bool,
    pub(super) ending: Option<Ending>,
}

impl Life {
    pub(super) fn new(pid: u32, began: Duration) -> Self {
        Self {
            pid,
            began,
            answered: None,
            well_since: None,
            misses: 0,
            steady: false,
            ending: None,
        }
    }

    /// Whether nobody has asked it to end.
    pub(super) fn lives(&self) -> bool {
        self.ending.is_none()
    }

    /// It is asked to end, and killed at `kill_at`; what was asked before stays the reason.
    pub(super) fn end(&mut self, why: Why, kill_at: Duration) {
        let ending = self.ending.get_or_insert(Ending { why, kill_at, killed: false });
        ending.kill_at = ending.kill_at.min(kill_at);
    }

    /// Whether its time is up; true once.
    pub(super) fn is_to_be_killed(&mut self, now: Duration) -> bool {
        let due = |ending: &&mut Ending| ending.kill_at <= now && !ending.killed;
        self.ending.as_mut().filter(due).map(|ending| ending.killed = true).is_some()
    }
}

/// One of the two processes.
#[derive(Debug, Clone)]
pub(super) enum Runner {
    /// It is not there.
    Gone,
    /// Its start is ordered.
    Coming,
    /// It is there.
    Here(Life),
}

impl Runner {
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    pub(super) fn here(&self) -> Option<&Life> {
        match self {
            Self::Here(life) => Some(life),
            Self::Gone | Self::Coming => None,
        }
    }

    pub(super) fn here_mut(&mut self) -> Option<&mut Life> {
        match self {
            Self::Here(life) => Some(life),
            Self::Gone | Self::Coming => None,
        }
    }

    pub(super) fn kill_at(&self) -> Option<Duration> {
        let ending = self.here()?.ending.as_ref()?;
        (!ending.killed).then_some(ending.kill_at)
    }
}
