//! `osiris sessions`: what ran, when, for how long and with how many rows; and how to remove it.

use std::process::ExitCode;
use std::time::Duration;

use crate::error::Report;
use crate::pipeline::expect::outcome::CheckRecord;
use crate::session::{self, Manifest, Summary};
use crate::size;

use serde_json::{Value, json};

use super::folders::FolderArguments;
use super::run::steps_table;
use super::{counted, grouped, print, print_json, spell_duration, table};
use crate::untrusted::{self, line, paragraph};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List the sessions, the newest last
    List(List),
    /// Show one session's steps
    Show(Show),
    /// Remove old sessions, but none that is running
    Gc(Gc),
}

#[derive(Debug, clap::Args)]
pub struct Place {
    #[command(flatten)]
    folders: FolderArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// A session's id, the end of one, or `latest`
    #[arg(default_value = "latest")]
    session: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true, args = ["keep", "older_than"])]
#[command(after_help = "Examples:\n  osiris sessions gc --keep 10\n  osiris sessions gc --older-than 7d --dry-run")]
pub struct Gc {
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove only sessions that ended longer ago than this: 30m, 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Show what would be removed without removing it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

pub fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no age; write for example 30m, 12h or 7d");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

pub fn sessions(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List(list) => {
            let base = list.place.folders.open()?;
            let sessions = session::list(&base)?;
            if sessions.is_empty() && !list.place.json {
                let folder = base.sessions.path();
                print(&format!(
                    "no sessions in {}; they are in the folder of the pipeline that was run: name it with `--base DIR` or `--sessions DIR`",
                    folder.display()
                ));
            } else {
                print(&listing(&sessions, list.place.json)?);
            }
        }
        Verb::Show(arguments) => show(arguments)?,
        Verb::Gc(gc) => {
            let removed = session::collect(&gc.place.folders.open()?, gc.keep, gc.older_than, gc.dry_run)?;
            if gc.place.json {
                print(&json!({"removed": removed.iter().map(|session| &session.id).collect::<Vec<_>>(), "dry_run": gc.dry_run}).to_string());
            } else {
                let bytes = size::spell(removed.iter().map(|session| session.bytes).sum());
                let verb = if gc.dry_run { "would remove" } else { "removed" };
                print(&format!("{verb} {}, {bytes}", counted(removed.len() as u64, "session")));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(manifest: &Manifest) -> u64 {
    manifest.steps.iter().filter_map(|step| step.rows).sum()
}

fn listing(sessions: &[Summary], json: bool) -> anyhow::Result<String> {
    if json {
        let all: Vec<Value> = sessions
            .iter()
            .map(|session| {
                let manifest = session.manifest.as_ref();
                json!({
                    "session_id": session.id, "status": session.status(), "bytes": session.bytes,
                    "pipeline": manifest.map(|manifest| &manifest.pipeline), "started_at": manifest.map(|manifest| &manifest.started_at),
                    "duration_ms": manifest.and_then(|manifest| manifest.duration_ms), "rows": manifest.map(rows),
                })
            })
            .collect();
        return Ok(untrusted::json(&serde_json::to_string_pretty(&all)?).into_owned());
    }
    let mut shown = table(&["session", "pipeline", "status", "started", "took", "steps", "rows", "size"]);
    for session in sessions {
        let manifest = session.manifest.as_ref();
        shown.add_row([
            session.id.clone(),
            manifest.map_or_else(|| "?".to_owned(), |manifest| manifest.pipeline.clone()),
            session.status().to_string(),
            manifest.map_or_else(String::new, |manifest| {
                manifest.started_at.get(..19).unwrap_or_default().replace('T', " ")
            }),
            manifest.and_then(|manifest| manifest.duration_ms).map_or_else(String::new, spell_duration),
            manifest.map_or_else(String::new, |manifest| manifest.steps.len().to_string()),
            manifest.map_or_else(String::new, |manifest| grouped(rows(manifest))),
            size::spell(session.bytes),
        ]);
    }
    Ok(shown.to_string())
}

/// The profile and the parameters of a run, a line each if it has any.
fn chosen(manifest: &Manifest) -> String {
    let mut text = String::new();
    if let Some(profile) = &manifest.profile {
        text.push_str(&format!("profile   {}\n", line(profile)));
    }
    let spelled = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let params: Vec<String> =
        manifest.params.iter().map(|(name, value)| format!("{name} = {}", spelled(value))).collect();
    if !params.is_empty() {
        text.push_str(&format!("params    {}\n", line(&params.join(", "))));
    }
    text
}

/// `orders  passed  not_null id`, or what is wrong.
fn check_line(step: &str, check: &CheckRecord) -> String {
    let verdict = match () {
        () if check.passed => "passed",
        () if check.fails() => "FAILED",
        () if check.rejects => "rejected",
        () => "warned",
    };
    let message = check.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let examples: Vec<String> = check.examples.iter().map(|example| format!("`{example}`")).collect();
    let examples = if examples.is_empty() { String::new() } else { format!(" (for example {})", examples.join(", ")) };
    format!("check     {}  {verdict}  {}{message}{examples}", line(step), line(&check.check))
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    let base = arguments.place.folders.open()?;
    let found = session::find(&base, &arguments.session)?;
    let manifest = found.manifest.as_ref().ok_or_else(|| {
        Report::input(format!("session `{}` has no readable manifest", found.id))
            .hint("it ended before its first step; `osiris sessions gc` removes it")
    })?;
    if arguments.place.json {
        print_json(manifest)?;
        return Ok(());
    }
    let steps = steps_table(manifest);
    let took = manifest.duration_ms.map_or_else(String::new, |took| format!(" in {}", spell_duration(took)));
    let path = base.sessions.path().join(&found.id);
    let mut text = format!(
        "session   {}\npipeline  {} ({})\n{}status    {}{took}\nstarted   {}\nfolder    {}, {}\n\n{steps}",
        line(&found.id),
        line(&manifest.pipeline),
        line(&manifest.pipeline_path),
        chosen(manifest),
        manifest.status,
        line(&manifest.started_at),
        line(&path.to_string_lossy()),
        size::spell(found.bytes)
    );
    for step in &manifest.steps {
        for check in &step.checks {
            text.push_str(&format!("\n{}", check_line(&step.id, check)));
        }
    }
    for warning in &manifest.warnings {
        text.push_str(&format!("\n\nwarning: {}", paragraph(&warning.to_string())));
    }
    for (step, warning) in
        manifest.steps.iter().flat_map(|step| step.warnings.iter().map(move |warning| (step, warning)))
    {
        text.push_str(&format!("\n\nstep `{}` warned: {}", line(&step.id), paragraph(&warning.to_string())));
    }
    for (step, error) in manifest.steps.iter().filter_map(|step| Some((step, step.error.as_ref()?))) {
        text.push_str(&format!("\n\nstep `{}`: {}", line(&step.id), error.message.paragraph()));
    }
    print(&text);
    Ok(())
}
