//! What the watchdog tells of itself: its state, its history, the proofs of its drills.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Moment;
use crate::base::id::Id;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The main program starts, and nothing stands in for it.
    Starting,
    /// The main program is well.
    Healthy,
    /// The main program is away; Plan B answers, and a new start is near.
    PlanB,
    /// The main program starts again while Plan B answers.
    Returning,
    /// The main program died so often that a new start waits; Plan B answers.
    Resting,
    /// A drill: the main program was stopped on purpose; Plan B answers.
    Drill,
    /// The watchdog ends.
    Stopping,
    /// The watchdog has ended.
    Stopped,
}

/// The watchdog's state, as `watchdog.json` and `ilot watchdog status --json` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WatchdogState {
    /// What is going on.
    pub phase: Phase,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Moment,
    /// The watchdog's process.
    pub pid: u32,
    /// When the watchdog began.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Moment,
    /// The command that is watched.
    pub target: Vec<String>,
    /// The main program's process, while it runs.
    pub main_pid: Option<u32>,
    /// Plan B's process, while it runs.
    pub planb_pid: Option<u32>,
    /// How often the main program was started within the window.
    pub starts_in_window: u32,
    /// How often it may be.
    pub starts_max: u32,
    /// When it is started again, while that waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_start_at: Option<Moment>,
    /// How it ended the last time, in words.
    pub last_end: Option<String>,
    /// When a drill ends, while one is held.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub drill_until: Option<Moment>,
}

/// One line of the watchdog's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// What happened: `watchdog_began`, `main_started`, `main_healthy`, `main_died`, `main_hung`,
    /// `planb_started`, `planb_died`, `handed_back`, `resting`, `drill_began`, `drill_ended`, `signal`,
    /// `watchdog_ended`.
    pub what: String,
    /// The process it happened to.
    pub pid: Option<u32>,
    /// In words, for logs.
    pub detail: String,
}

/// A drill that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrillWish {
    /// Its name.
    #[schema(value_type = String, format = Uuid)]
    pub id: Id,
    /// For how long Plan B is to answer, seconds.
    pub seconds: u64,
    /// Who asks.
    pub by: String,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

/// One thing that was tried in a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// What: `health`, `status`, `pack`, `pages`, `front`, `entry`, `arrival`,
    /// `planb_ended`, `return`.
    pub what: String,
    /// Whether it went well.
    pub ok: bool,
    /// In words.
    pub detail: String,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// What a drill proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drill {
    /// Its name.
    #[schema(value_type = String, format = Uuid)]
    pub id: Id,
    /// Who asked.
    pub by: String,
    /// When the main program was told to stop.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Moment,
    /// How long Plan B was to answer, seconds.
    pub seconds: u64,
    /// From the main program's end to Plan B's first answer, milliseconds.
    pub planb_after_ms: Option<u64>,
    /// From the main program's new start to its first healthy answer, milliseconds.
    pub main_after_ms: Option<u64>,
    /// When the main program was back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Moment>,
    /// What was tried.
    pub trials: Vec<Trial>,
    /// Whether everything went well.
    pub ok: bool,
}
