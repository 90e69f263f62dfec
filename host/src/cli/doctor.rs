//! `osiris doctor`: which protections this machine offers, and how to get those that are missing.

use std::process::ExitCode;
use std::sync::mpsc::sync_channel;

use crate::error::Fault;
use crate::executor::process::{BACKLOG, StepProcess};
use crate::sandbox::{Protection, protections};
use serde_json::json;

use super::{print, print_json, table};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if the machine provides every protection that `--require-sandbox` requires, otherwise with 3. The second \
                  wall (`walls`) is not required, because many containers do not have it."
)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Whether the host can measure the resources of a step process; tried on a real one.
fn measuring() -> Protection {
    let (say, _heard) = sync_channel(BACKLOG);
    let (given, words) = match StepProcess::start(1, &say) {
        Ok(_) => (
            true,
            "the host measures a step's memory, CPU time and threads, in addition to the kernel's own limits"
                .to_owned(),
        ),
        Err(error) => (false, format!("no step can run: {error:#}; is `/proc` mounted?")),
    };
    Protection { name: "measuring", given, demanded: true, words }
}

pub fn doctor(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut protections = protections();
    protections.push(measuring());
    let whole = protections.iter().all(|protection| protection.given || !protection.demanded);
    if arguments.json {
        print_json(&json!({"whole": whole, "protections": protections}))?;
    } else {
        let mut shown = table(&["protection", "here", "what it means"]);
        for protection in &protections {
            let here = match (protection.given, protection.demanded) {
                (true, _) => "yes",
                (false, true) => "NO",
                (false, false) => "no",
            };
            shown.add_row([protection.name, here, &protection.words]);
        }
        let verdict = if whole {
            "this machine provides the whole sandbox"
        } else {
            "this machine provides only a part of the sandbox: the WebAssembly and DuckDB layers hold, but the operating system's \
             has gaps;\nrun only drivers that you trust, or use `--require-sandbox` to refuse to run"
        };
        print(&format!("{shown}\n\n{verdict}"));
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(Fault::Host.exit_code()) })
}
