//! What the kernel says of a process.

use std::fs;

/// Memory of a process, megabytes of a million bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// All that is resident.
    pub resident: u64,
    /// The part of it that only this process holds.
    pub own: u64,
    /// The part of it that is mapped files, which the kernel takes back when it needs the room.
    pub files: u64,
}

/// The memory of a process; `self` is this one.
pub fn memory(process: &str) -> Memory {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        let kilobytes: u64 =
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
        kilobytes * 1024 / 1_000_000
    };
    Memory { resident: of("VmRSS:"), own: of("RssAnon:"), files: of("RssFile:") }
}

/// Seconds of processor time this process has used, by the kernel's clock of 100 ticks a second.
pub fn processor() -> f32 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f32>().ok());
    ticks.sum::<f32>() / 100.0
}
