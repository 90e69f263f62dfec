//! The program `osiris`.

use std::process::ExitCode;

fn main() -> ExitCode {
    osiris::cli::main()
}
