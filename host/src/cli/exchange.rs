//! `osiris exchange`: what an exchange holds, and how to remove what nobody needs.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use anyhow::Context;

use super::fetch::open;
use super::folders::FolderArguments;
use super::prepare::read_project;
use super::sessions::age;
use super::{counted, print, print_json};
use crate::error::Report;
use crate::exchange::Exchange;
use crate::pipeline::project;
use crate::run::ledger::sweep::{self, Swept};
use crate::size;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Remove objects that no session refers to, and old sessions
    Gc(Gc),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Objects that were written in the last hour stay: a run may be about to refer to them.\n\nExamples:\n  osiris exchange gc \
                  --exchange s3://lake/osiris --dry-run\n  osiris exchange gc --sessions-older-than 30d"
)]
pub struct Gc {
    /// The exchange [default: as `osiris.yaml` says]
    #[arg(long, value_name = "URL")]
    exchange: Option<String>,
    /// Also remove sessions whose last host was heard longer ago than this: 12h, 30d; they can then no longer be resumed
    #[arg(long, value_name = "AGE", value_parser = age)]
    sessions_older_than: Option<Duration>,
    /// Show what would be removed without removing it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    folders: FolderArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn exchange(verb: &Verb) -> anyhow::Result<ExitCode> {
    let Verb::Gc(arguments) = verb;
    let base = arguments.folders.open()?;
    let url = match &arguments.exchange {
        Some(url) => url.clone(),
        None => read_project(&base)?.exchange.ok_or_else(|| {
            Report::input("no exchange is named")
                .hint(format!("name it with `--exchange URL`, or as `exchange: URL` in `{}`", project::FILE))
        })?,
    };
    let exchange: Exchange = open(&base, &url)?;
    let time = exchange.check()?;
    if !arguments.dry_run {
        exchange.remove_parts().context("cannot remove what was stored in part")?;
    }
    let Swept { sessions, objects, bytes } =
        sweep::sweep(&exchange, time, arguments.sessions_older_than, arguments.dry_run)?;
    if arguments.json {
        let digests: BTreeSet<&String> = objects.iter().collect();
        print_json(&json!({"sessions": sessions, "objects": digests, "bytes": bytes, "dry_run": arguments.dry_run}))?;
    } else {
        let verb = if arguments.dry_run { "would remove" } else { "removed" };
        print(&format!(
            "{verb} {} and {} ({})",
            counted(sessions.len() as u64, "session"),
            counted(objects.len() as u64, "object"),
            size::spell(bytes)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
