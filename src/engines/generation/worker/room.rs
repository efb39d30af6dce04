//! How much memory there is for a model.

use std::path::Path;

/// Bytes that can be had without pushing anybody out: what the kernel says is available, and no more
/// than the group of processes this one belongs to may still take. 0 when nobody can tell.
pub(super) fn available() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = available_in(&meminfo).unwrap_or_default();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_of(&groups).and_then(|group| {
        let folder = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
        let number = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        // "max" is no number: then there is no limit.
        Some(number("memory.max")?.saturating_sub(number("memory.current")?))
    });
    group.map_or(machine, |group| machine.min(group))
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The one group of the second version of control groups, by its path.
fn group_of(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let meminfo = "MemTotal:       24000000 kB\nMemAvailable:    1000 kB\n";
        assert_eq!(available_in(meminfo), Some(1_024_000));
        assert_eq!(available_in("MemTotal: 1 kB"), None);
        assert_eq!(
            group_of("1:name=systemd:/x\n0::/system.slice/ilot.service\n").unwrap(),
            "/system.slice/ilot.service"
        );
        assert!(available() > 1 << 20, "this machine has some");
    }
}
