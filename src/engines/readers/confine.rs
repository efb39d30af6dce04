//! What the reading child gives up before it looks at a foreign byte: memory, time, files, network.

use std::collections::BTreeMap;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What the program itself may have mapped when nobody can tell: a build with debug symbols.
const PROGRAM_BYTES_GUESS: u64 = 512 << 20;
/// Descriptors 0, 1 and 2 are open already; there is no fourth.
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

/// The program's own code and libraries count as address space, though no document asked for them.
fn mapped_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().next().and_then(|p| p.parse::<u64>().ok());
    pages.map_or(PROGRAM_BYTES_GUESS, |p| p.saturating_mul(rustix::param::page_size() as u64))
}

/// Leaves this process only what computing needs: no file, no network, no other process.
///
/// False where the kernel has no seccomp; the limits above still hold then.
pub fn silence() -> bool {
    let Some(program) = program() else { return false };
    seccompiler::apply_filter(&program).is_ok()
}

/// Memory, the three open descriptors, the end. Anything else answers "not permitted".
fn program() -> Option<BpfProgram> {
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
        ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(rules, not_permitted, SeccompAction::Allow, arch).ok()?.try_into().ok()
}
