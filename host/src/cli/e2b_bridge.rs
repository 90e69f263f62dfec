//! `osiris e2b-bridge`: what `--on e2b` starts; it speaks the worker protocol and runs steps in sandboxes of E2B.

use std::process::ExitCode;
use std::time::Duration;

use crate::e2b::{self, Settings};

use super::worker::room_for_blobs;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The template of the sandboxes. If it has no Osiris, this program is uploaded to each of them
    #[arg(long, value_name = "TEMPLATE")]
    template: String,
    /// Have up to N sandboxes at once, each of which runs one step
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    sandboxes: u32,
    /// How long a sandbox lives once nobody keeps it alive
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(3..=86_400))]
    lifetime: u64,
}

pub fn e2b_bridge(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // A host ends the group of its command; the bridge outlives that, to delete sandboxes.
    let _ = rustix::process::setsid();
    let (folder, room) = room_for_blobs(None)?;
    let settings = Settings {
        template: arguments.template.clone(),
        sandboxes: arguments.sandboxes,
        lifetime: Duration::from_secs(arguments.lifetime),
        folder,
        room,
    };
    e2b::serve(std::io::stdin(), std::io::stdout(), settings)?;
    Ok(ExitCode::SUCCESS)
}
