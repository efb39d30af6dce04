//! A process on a leash: it dies with the watchdog that started it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The hidden verb: `ilot watched WATCHDOG COMMAND ARGUMENT…`.
pub const VERB: &str = "watched";
/// What a shell answers when a command cannot be run.
const NOT_RUN: u8 = 126;

/// Asks the kernel to kill this process with its parent, and becomes the command.
///
/// It is a step between, since nothing safe runs between a fork and its exec. The kernel keeps the
/// word through the exec. It is kept for the *thread* that forked, so the watchdog starts its
/// children from its main thread alone.
pub fn watched_main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let watchdog = args.next().and_then(|text| text.to_str()?.parse::<i32>().ok());
    let (Some(watchdog), Some(program)) = (watchdog, args.next()) else {
        eprintln!("ilot: {VERB} takes a process and a command");
        return ExitCode::from(NOT_RUN);
    };
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("ilot: the kernel does not tie this process to its watchdog: {e}");
    }
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(watchdog) {
        // It died before the word was given: there is nobody to run for.
        return ExitCode::from(NOT_RUN);
    }
    let failed = Command::new(&program).args(args).exec();
    eprintln!("ilot: {} cannot be run: {failed}", program.display());
    ExitCode::from(NOT_RUN)
}
