//! The program `osiris`: reads the command line, runs one verb, and turns its end into an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
