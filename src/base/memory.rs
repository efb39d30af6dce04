//! Memory: what there is, and what was freed goes back to the machine.

use std::path::Path;

/// Gives the memory that this process has freed back to the system.
///
/// The allocator keeps freed memory for the next request, in each thread's own pool; after something
/// large was let go, a box at rest would go on looking as large as it was at work.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "a call of the C library that takes no pointer")]
        // What it answers is whether there was anything to give.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}

/// Bytes that a new process can have without others being pushed out: what the machine says is
/// available, or what is left to the control group that this process is confined to, if that is less.
/// None where the machine does not say.
pub fn available() -> Option<u64> {
    let machine = meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(machine.min(group(Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX)))
}

/// What is left to the control group at `folder`; none when it is not limited.
fn group(folder: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    // Files that were read and may be forgotten count as used, and are not.
    let stat = read("memory.stat").unwrap_or_default();
    let forgettable = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let forgettable = forgettable.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(forgettable)))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_says_is_read() {
        let text = "MemTotal:       16000 kB\nMemAvailable:    8000 kB\n";
        assert_eq!(meminfo(text), Some(8000 << 10));
        assert_eq!(meminfo("MemTotal: 1 kB"), None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(group(folder.path()), None);
        for (name, text) in [
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 1\ninactive_file 200\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(group(folder.path()), Some(500));
        std::fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(group(folder.path()), None);
        assert!(available().is_none_or(|bytes| bytes > 1 << 20));
    }
}
