//! What a child gives up before it works on what is foreign: memory, time, files, network.

use std::collections::BTreeMap;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What the program itself may have mapped when nobody can tell: a build with debug symbols.
const PROGRAM_BYTES_GUESS: u64 = 512 << 20;
/// Descriptors 0, 1 and 2 are open already; what else is open stays so, and nothing is opened any more.
const DESCRIPTORS_MAX: u64 = 3;

/// Sets the limits of this process. They hold for good.
pub fn limit(memory_bytes: u64, cpu_seconds: u64) -> rustix::io::Result<()> {
    // With the parent gone there is nobody to read the answer.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    let address_space = memory_bytes.saturating_add(mapped_bytes());
    let hard = |resource, value| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    hard(Resource::As, address_space)?;
    hard(Resource::Data, memory_bytes)?;
    hard(Resource::Core, 0)?;
    hard(Resource::Fsize, 0)?;
    hard(Resource::Nofile, DESCRIPTORS_MAX)?;
    hard(Resource::Nproc, 0)?;
    // At the first limit comes a signal that says why; at the second, the kernel kills.
    let (current, maximum) = (Some(cpu_seconds), Some(cpu_seconds.saturating_add(1)));
    setrlimit(Resource::Cpu, Rlimit { current, maximum })
}

/// The program's own code and libraries count as address space, though nothing it reads asked for them.
fn mapped_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().next().and_then(|p| p.parse::<u64>().ok());
    pages.map_or(PROGRAM_BYTES_GUESS, |p| p.saturating_mul(rustix::param::page_size() as u64))
}

/// Leaves this process only what computing needs: no file, no network, no other process.
///
/// False where the kernel has no seccomp; the limits above still hold then.
pub fn silence() -> bool {
    let Some(program) = program(&[]) else { return false };
    seccompiler::apply_filter(&program).is_ok()
}

/// The same for all threads of a process that has several and goes on to start more: threads it may
/// have, other programs not.
///
/// False where the kernel has no seccomp.
pub fn silence_threads() -> bool {
    const THREADS: [i64; 16] = [
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_rseq,
        libc::SYS_prctl,
        libc::SYS_membarrier,
        libc::SYS_sched_getaffinity,
        libc::SYS_getcpu,
        libc::SYS_get_mempolicy,
        libc::SYS_prlimit64,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_ppoll,
        libc::SYS_pread64,
    ];
    let quiet = rustix::thread::set_no_new_privs(true).is_ok();
    let program = program(&THREADS).filter(|_| quiet);
    program.is_some_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok())
}

/// Memory, the open descriptors, the end, and what is needed `besides`. Anything else answers "not
/// permitted".
fn program(besides: &[i64]) -> Option<BpfProgram> {
    const ALLOWED: [i64; 26] = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_sched_yield,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_tgkill,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        ALLOWED.iter().chain(besides).map(|call| (*call, Vec::new())).collect();
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(rules, not_permitted, SeccompAction::Allow, arch).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::{Command, exit};

    use super::*;

    /// What a reader that was taken over would try. It runs in a process of its own, below.
    #[test]
    #[ignore = "takes its own process's rights away; `nothing_is_left_to_do` starts it"]
    fn inside() {
        let refused = |kind: Option<ErrorKind>| kind == Some(ErrorKind::PermissionDenied);
        if limit(64 << 20, 5).is_err() {
            exit(10);
        }
        if !silence() {
            exit(11);
        }
        let file = std::fs::File::open("/etc/hostname").err().map(|e| e.kind());
        let write = std::fs::write("/tmp/taken-over", b"x").err().map(|e| e.kind());
        let network = std::net::TcpStream::connect("127.0.0.1:9").err().map(|e| e.kind());
        let socket = std::os::unix::net::UnixDatagram::unbound().err().map(|e| e.kind());
        let program = Command::new("/bin/true").spawn().err().map(|e| e.kind());
        let thread = std::thread::Builder::new().spawn(|| {}).is_err();
        let tried = [file, write, network, socket, program];
        // Standing still and counting is all that is left.
        let memory = vec![1_u8; 1 << 20].iter().map(|b| u64::from(*b)).sum::<u64>() == 1 << 20;
        exit(if tried.into_iter().all(refused) && thread && memory { 0 } else { 12 });
    }

    #[test]
    fn nothing_is_left_to_do() {
        let test = "base::confine::tests::inside";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--test-threads=1"])
            .status()
            .unwrap();
        // 11: this kernel has no seccomp, and there is nothing to prove.
        assert!(matches!(status.code(), Some(0 | 11)), "{status}");
    }
}
