//! What the generating child gives up: its place before others, and, once the model is in memory,
//! files, network and other processes.

use std::collections::BTreeMap;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, nice, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

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

/// Leaves all threads of this process only what computing needs: no file, no network, no other
/// program. What is open stays open.
///
/// False where the kernel has no seccomp.
pub(super) fn silence() -> bool {
    let quiet = rustix::thread::set_no_new_privs(true).is_ok();
    let program = program().filter(|_| quiet);
    program.is_some_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok())
}

/// Memory, threads, what is open, the end. Anything else answers "not permitted".
fn program() -> Option<BpfProgram> {
    const ALLOWED: [i64; 43] = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_ppoll,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_membarrier,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getcpu,
        // Pools start their threads when they first need them.
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_rseq,
        libc::SYS_prctl,
        libc::SYS_get_mempolicy,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_tgkill,
        libc::SYS_prlimit64,
        libc::SYS_sysinfo,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(rules, not_permitted, SeccompAction::Allow, arch).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::{Command, exit};

    use super::*;

    /// What a child that was taken over would try. It runs in a process of its own, below.
    #[test]
    #[ignore = "takes its own process's rights away; `only_computing_is_left` starts it"]
    fn inside() {
        step_back();
        let score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        if !silence() {
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
