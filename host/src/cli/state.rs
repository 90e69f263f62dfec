//! `osiris state`: what steps keep between runs, and how to make them forget it.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::error::{Report, listed};
use crate::session::{Base, state};

use super::{print, table};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what steps have kept
    Show(Show),
    /// Forget what steps have kept, so that their next run begins anew
    Reset(Reset),
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// Only this step's
    step: Option<String>,
    /// Only this pipeline's, by its name
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// The folder that holds `.osiris` [default: here]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  osiris state reset extract-orders\n  osiris state reset --all --pipeline shop")]
pub struct Reset {
    /// The step whose state to forget
    #[arg(required_unless_present = "all")]
    step: Option<String>,
    /// Forget the states of all steps
    #[arg(long, conflicts_with = "step")]
    all: bool,
    /// Only this pipeline's, by its name
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// The folder that holds `.osiris` [default: here]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
}

pub fn state(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Show(arguments) => show(arguments)?,
        Verb::Reset(arguments) => reset(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(base: Option<&PathBuf>) -> anyhow::Result<Base> {
    Base::open(base.map_or(std::path::Path::new("."), PathBuf::as_path))
}

/// The states asked for.
///
/// # Errors
/// A [`Report`] naming the steps that have one, where the one asked for has none.
fn chosen(base: &Base, pipeline: Option<&str>, step: Option<&str>) -> anyhow::Result<Vec<state::Kept>> {
    let all = state::list(base, pipeline)?;
    let Some(step) = step else { return Ok(all) };
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|kept| kept.step == step);
    if chosen.is_empty() {
        let known = listed(others.iter().map(|kept| kept.step.as_str()));
        return Err(Report::input(format!("no step `{step}` has kept a state; those that have: {known}"))
            .hint("states lie in the base folder: name it with `--base DIR`")
            .into());
    }
    Ok(chosen)
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    let base = open(arguments.base.as_ref())?;
    let kept = chosen(&base, arguments.pipeline.as_deref(), arguments.step.as_deref())?;
    if arguments.json {
        let all: Vec<Value> = kept
            .iter()
            .map(|kept| {
                json!({"pipeline": kept.pipeline, "step": kept.step, "driver": kept.driver, "session": kept.session,
                       "updated_at": kept.updated_at, "state": kept.state})
            })
            .collect();
        print(&serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    if kept.is_empty() {
        print("no step has kept a state");
        return Ok(());
    }
    let mut shown = table(&["pipeline", "step", "driver", "updated", "state"]);
    for kept in &kept {
        shown.add_row([&kept.pipeline, &kept.step, &kept.driver, &kept.updated_at, kept.state.get()]);
    }
    print(&shown.to_string());
    Ok(())
}

fn reset(arguments: &Reset) -> anyhow::Result<()> {
    let base = open(arguments.base.as_ref())?;
    let kept = chosen(&base, arguments.pipeline.as_deref(), arguments.step.as_deref())?;
    for kept in &kept {
        state::remove(&base, &kept.pipeline, &kept.step)?;
        print(&format!("forgot the state of step `{}` of pipeline `{}`", kept.step, kept.pipeline));
    }
    if kept.is_empty() {
        print("no step has kept a state");
    }
    Ok(())
}
