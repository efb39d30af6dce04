//! Reads the command line, nothing else.

use std::process::ExitCode;

use ilot::domains::continuity::watchdog::leash;
#[cfg(feature = "models")]
use ilot::engines::generation;
use ilot::engines::generation::probe;
use ilot::engines::readers;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(verb) if verb == readers::child::VERB => readers::child::extract_main(args),
        Some(verb) if verb == probe::VERB => probe::child::probe_main(args),
        Some(verb) if verb == leash::VERB => leash::watched_main(args),
        #[cfg(feature = "models")]
        Some(verb) if verb == generation::VERB => generation::generate_main(),
        _ => ilot::app::commands::main(),
    }
}
