//! Plan B's settings, as inert data.

use serde::{Deserialize, Serialize};

/// Settings under `[continuity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContinuitySettings {
    /// Whether Plan B's interface answers other machines than this one. Default false.
    pub lan: bool,
    /// Further machines that `/tcp/send` may reach, besides this one: `ADDRESS` or `ADDRESS:PORT`.
    /// Default: none.
    pub peers: Vec<String>,
    /// Further addresses that the relay may listen on, besides loopback. Default: none.
    pub relay_addresses: Vec<String>,
    /// How long the key before a rotation is still taken, minutes. Default 10.
    pub key_grace_minutes: u64,
    /// The largest message to seal or open, MiB. Default 16.
    pub message_max_mib: u64,
    /// After how many minutes an unchanged pack is signed anew. Default 5.
    pub pack_minutes: u64,
    /// Chosen documents in the pack, at most so many MiB in all. Default 256.
    pub pack_documents_mib: u64,
    /// Whether Plan B stands at the box's own addresses (`listen.http`, `listen.https`) while the main
    /// program is away. Default true.
    pub front: bool,
    /// Whether Plan B's pages may be read without a sign-in at the box itself. Default true.
    pub open_at_the_box: bool,
}

impl Default for ContinuitySettings {
    fn default() -> Self {
        Self {
            lan: false,
            peers: Vec::new(),
            relay_addresses: Vec::new(),
            key_grace_minutes: 10,
            message_max_mib: 16,
            pack_minutes: 5,
            pack_documents_mib: 256,
            front: true,
            open_at_the_box: true,
        }
    }
}

/// Settings under `[watchdog]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchdogSettings {
    /// How often the main program is asked how it is, milliseconds. Default 1000.
    pub probe_milliseconds: u64,
    /// How long it may take to answer, milliseconds. Default 3000.
    pub answer_milliseconds: u64,
    /// Missed answers in a row after which it counts as hung and is ended. Default 5.
    pub misses: u32,
    /// How long it may take to be healthy after a start, seconds. Default 180.
    pub start_seconds: u64,
    /// How long it has to be healthy before Plan B steps back, milliseconds. Default 5000.
    pub steady_milliseconds: u64,
    /// The pause before it is started again, milliseconds; it doubles with every failure in a row.
    /// Default 500.
    pub pause_milliseconds: u64,
    /// The longest such pause, seconds. Default 60.
    pub pause_max_seconds: u64,
    /// Starts within the window after which it waits for the window to pass. Default 8.
    pub starts: u32,
    /// That window, minutes. Default 10.
    pub window_minutes: u64,
    /// How long it may take to stop when asked to, seconds; then it is killed. Default 10.
    pub stop_seconds: u64,
    /// Lines of history that are kept. Default 2000.
    pub history_lines: usize,
}

impl Default for WatchdogSettings {
    fn default() -> Self {
        Self {
            probe_milliseconds: 1000,
            answer_milliseconds: 3000,
            misses: 5,
            start_seconds: 180,
            steady_milliseconds: 5000,
            pause_milliseconds: 500,
            pause_max_seconds: 60,
            starts: 8,
            window_minutes: 10,
            stop_seconds: 10,
            history_lines: 2000,
        }
    }
}
