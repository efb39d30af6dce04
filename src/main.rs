//! Reads the command line, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let verb = args.next().unwrap_or_default();
    if verb == ilot::engines::readers::child::VERB {
        return ilot::engines::readers::child::extract_main(args);
    }
    #[cfg(feature = "models")]
    if verb == ilot::engines::generation::VERB {
        return ilot::engines::generation::generate_main();
    }
    ilot::app::commands::main()
}
