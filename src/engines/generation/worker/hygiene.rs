//! The generating child stands back behind the rest of the machine.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, nice, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};

/// How far behind the rest of the machine the child's threads stand: answers to other requests come
/// first, whatever is being written.
const NICE: i32 = 10;
/// The kernel's choice when memory runs out, of 1000: this child, before nearly anything else.
const OOM_SCORE: &str = "900";

/// Steps back. What the kernel does not let happen is not needed to compute.
pub(super) fn step_back() {
    // With the parent gone there is nobody to write for.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = nice(NICE);
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::{Command, exit};

    use super::*;
    use crate::base::confine::silence_threads;

    /// What a child that was taken over would try. It runs in a process of its own, below.
    #[test]
    #[ignore = "takes its own process's rights away; `only_computing_is_left` starts it"]
    fn inside() {
        step_back();
        let score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        if !silence_threads() {
            exit(11);
        }
        let refused = |kind: Option<ErrorKind>| kind == Some(ErrorKind::PermissionDenied);
        let file = std::fs::File::open("/etc/hostname").err().map(|e| e.kind());
        let write = std::fs::write("/tmp/taken-over", b"x").err().map(|e| e.kind());
        let network = std::net::TcpStream::connect("127.0.0.1:9").err().map(|e| e.kind());
        let program = Command::new("/bin/true").spawn().err().map(|e| e.kind());
        let name = "pool".to_owned();
        let sums = |n: u64| (0..n).map(std::hint::black_box).sum::<u64>();
        let thread = std::thread::Builder::new().name(name).spawn(move || sums(1000));
        let computed = thread.is_ok_and(|thread| thread.join().is_ok_and(|sum| sum == 499_500));
        let all = [file, write, network, program].into_iter().all(refused);
        exit(if all && computed && score.trim() == OOM_SCORE { 0 } else { 12 });
    }

    #[test]
    fn only_computing_is_left() {
        let test = "engines::generation::worker::hygiene::tests::inside";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--test-threads=1"])
            .status()
            .unwrap();
        // 11: this kernel has no seccomp, and there is nothing to prove.
        assert!(matches!(status.code(), Some(0 | 11)), "{status}");
    }
}
