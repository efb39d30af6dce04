//! Reads the command line, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == ilot::engines::readers::child::VERB) {
        return ilot::engines::readers::child::extract_main(args);
    }
    ilot::app::commands::main()
}
