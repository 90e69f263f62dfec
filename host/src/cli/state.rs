//! `osiris state`: shows and changes the states that steps keep between runs.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::value::RawValue;

use crate::driver::identity::Identity;
use crate::error::{Report, listed};
use crate::exchange::Exchange;
use crate::grants::limits::MAX_STATE_BYTES;
use crate::pipeline::StepId;
use crate::run::ledger::states::Turn;
use crate::session::{Base, noise, now, state};

use super::fetch;
use super::folders::FolderArguments;
use super::prepare::read_project;
use super::{print, print_json, table};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show the states of steps, and which source each was read from
    Show(Show),
    /// Replace the state of a step
    Set(Set),
    /// Let a step continue from its state although it reads another source now
    Accept(One),
    /// Remove the state of a step, so that its next run starts over
    Reset(Reset),
}

#[derive(Debug, clap::Args)]
pub struct Place {
    /// Only states of the pipeline with this name
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    #[command(flatten)]
    folders: FolderArguments,
    /// The states of a pipeline in this exchange, which `--pipeline` has to name [default: as `osiris.yaml` says]
    #[arg(long, value_name = "URL")]
    exchange: Option<String>,
}

/// The states of a pipeline in an exchange, copied into the base folder to be shown or changed.
struct Shared(Option<Turn>);

impl Place {
    fn open(&self) -> anyhow::Result<Base> {
        self.folders.open()
    }

    /// The exchange that has the states, if there is one.
    fn exchange(&self, base: &Base) -> anyhow::Result<Option<(Exchange, &str)>> {
        let url = match &self.exchange {
            Some(url) => Some(url.clone()),
            None => read_project(base)?.exchange,
        };
        let Some(url) = url else { return Ok(None) };
        let pipeline = self.pipeline.as_deref().ok_or_else(|| {
            Report::input(format!("the exchange {url} has the states of several pipelines"))
                .hint("name one with `--pipeline NAME`")
        })?;
        Ok(Some((fetch::open(base, &url)?, pipeline)))
    }

    /// Takes a turn with the states in the exchange, if there is one: nobody else changes them meanwhile.
    fn take_turn(&self, base: &Base) -> anyhow::Result<Shared> {
        let Some((exchange, pipeline)) = self.exchange(base)? else { return Ok(Shared(None)) };
        let time = exchange.check()?;
        let turn = Turn::take(exchange, pipeline, &format!("by-hand-{:016x}", noise()), time)?;
        copy(base, pipeline, turn.earlier.values())?;
        Ok(Shared(Some(turn)))
    }
}

/// Makes the states of a pipeline in the base folder those of the exchange.
fn copy<'a>(
    base: &Base,
    pipeline: &str,
    states: impl Iterator<Item = &'a state::StoredState> + Clone,
) -> anyhow::Result<()> {
    for found in state::list(base, Some(pipeline))? {
        // A state that was kept before there was an exchange is still that of the step.
        let is_old = found.kept.as_ref().is_ok_and(|kept| kept.exchange.is_some());
        if is_old && !states.clone().any(|kept| kept.step == found.step) {
            state::remove(base, pipeline, &found.step)?;
        }
    }
    states.clone().try_for_each(|kept| state::write(base, kept))
}

impl Shared {
    /// Puts the states of the base folder into the exchange, if there is one.
    fn give_back(self, base: &Base) -> anyhow::Result<()> {
        let Self(Some(turn)) = self else { return Ok(()) };
        let location = turn.exchange().location().to_string();
        let mut states = BTreeMap::new();
        for found in state::list(base, Some(turn.pipeline()))? {
            let kept = state::StoredState { exchange: Some(location.clone()), ..found.kept? };
            state::write(base, &kept)?;
            states.insert(found.step, kept);
        }
        turn.end_with(states)
    }
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// Only the state of this step
    step: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct One {
    /// The step
    step: String,
    #[command(flatten)]
    place: Place,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris state show orders --json\n  osiris state set orders --pipeline shop '{\"cursor\": \"updated_at\", \"value\": \"2024-01-01\"}'"
)]
pub struct Set {
    #[command(flatten)]
    one: One,
    /// The new state as JSON, in the form that `osiris state show` prints
    value: String,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris state reset orders --pipeline shop\n  osiris state reset --all --pipeline shop"
)]
pub struct Reset {
    /// The step whose state is removed
    #[arg(required_unless_present = "all")]
    step: Option<String>,
    /// Remove the states of all steps
    #[arg(long, conflicts_with = "step")]
    all: bool,
    #[command(flatten)]
    place: Place,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

pub fn state(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Show(arguments) => show(arguments)?,
        Verb::Set(arguments) => set(arguments)?,
        Verb::Accept(arguments) => accept(arguments)?,
        Verb::Reset(arguments) => reset(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The states of `step` in any pipeline.
///
/// # Errors
/// A [`Report`] that names the steps that have a state, if this one has none.
fn of_step(base: &Base, place: &Place, step: &str) -> anyhow::Result<Vec<state::Found>> {
    let all = state::list(base, place.pipeline.as_deref())?;
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| found.step == step);
    if chosen.is_empty() {
        let known: Vec<String> = others.iter().map(|found| format!("{} of {}", found.step, found.pipeline)).collect();
        let of = place.pipeline.as_ref().map_or_else(String::new, |name| format!(" of pipeline `{name}`"));
        let known = listed(known.iter().map(String::as_str));
        return Err(Report::input(format!("step `{step}`{of} has kept no state; those that have: {known}"))
            .hint("states are in the base folder: name it with `--base DIR`")
            .into());
    }
    Ok(chosen)
}

/// The only state of `step`.
///
/// # Errors
/// A [`Report`] that names all of them, if several pipelines have such a step.
fn one(base: &Base, place: &Place, step: &str) -> anyhow::Result<state::Found> {
    let mut found = of_step(base, place, step)?;
    match found.pop() {
        Some(only) if found.is_empty() => Ok(only),
        last => {
            let all: Vec<String> = found.into_iter().chain(last).map(|found| found.pipeline).collect();
            let several = listed(all.iter().map(String::as_str));
            Err(Report::input(format!("several pipelines have a state of a step `{step}`: {several}"))
                .hint("name one with `--pipeline NAME`")
                .into())
        }
    }
}

/// Prints what is about to happen and, at a terminal, asks for confirmation.
fn agreed(what: &str, yes: bool) -> anyhow::Result<bool> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("this will {what}. Go on? [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    let agreed = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !agreed {
        print("nothing was changed");
    }
    Ok(agreed)
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    let base = arguments.place.open()?;
    if let Some((exchange, pipeline)) = arguments.place.exchange(&base)? {
        copy(&base, pipeline, Turn::look(exchange, pipeline)?.values())?;
    }
    let found = match &arguments.step {
        Some(step) => of_step(&base, &arguments.place, step)?,
        None => state::list(&base, arguments.place.pipeline.as_deref())?,
    };
    let kept = found.into_iter().map(|found| found.kept).collect::<Result<Vec<_>, _>>()?;
    if arguments.json {
        print_json(&kept)?;
        return Ok(());
    }
    if kept.is_empty() {
        print("no step has a state");
        return Ok(());
    }
    let mut shown = table(&["pipeline", "step", "driver", "updated", "read from", "state"]);
    for kept in &kept {
        let source = kept.identity.as_ref().map_or_else(|| "not known".to_owned(), source);
        shown.add_row([&kept.pipeline, &kept.step, &kept.driver, &kept.updated_at, &source, kept.state.get()]);
    }
    print(&shown.to_string());
    Ok(())
}

/// The source that a state was read from, one line per field.
fn source(identity: &Identity) -> String {
    let profile = identity.profile.iter().map(|profile| format!("profile: {profile}"));
    let fields = identity.fields.iter().filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}: {text}"),
        None => format!("{name}: {value}"),
    });
    profile.chain(fields).collect::<Vec<_>>().join("; ")
}

fn set(arguments: &Set) -> anyhow::Result<()> {
    let One { step, place, yes } = &arguments.one;
    let step = StepId::new(step)?;
    let base = place.open()?;
    let shared = place.take_turn(&base)?;
    let wrong = |message: String| {
        Report::input(message)
            .hint(format!("write JSON of the form that `osiris state show {step} --json` has under `state`"))
    };
    if arguments.value.len() > MAX_STATE_BYTES {
        return Err(wrong(format!("the state is larger than {MAX_STATE_BYTES} bytes")).into());
    }
    let value = RawValue::from_string(arguments.value.trim().to_owned())
        .map_err(|error| wrong(format!("the state is not JSON: {error}")))?;
    let (pipeline, earlier) = match (one(&base, place, step.as_str()), &place.pipeline) {
        (Ok(found), _) => (found.pipeline, found.kept.ok()),
        // A step may be given a state before its first run.
        (Err(_), Some(pipeline)) => (pipeline.clone(), None),
        (Err(error), None) => return Err(error),
    };
    let was = earlier.as_ref().map_or_else(|| "no state".to_owned(), |kept| kept.state.get().to_owned());
    let what = format!("set the state of step `{step}` of pipeline `{pipeline}` to {value}; it was {was}");
    let _held = state::hold(&base, &pipeline, step.as_str())?;
    if agreed(&what, *yes)? {
        let (driver, identity) = earlier.map_or((String::new(), None), |kept| (kept.driver, kept.identity));
        let kept = state::StoredState {
            step: step.to_string(),
            session: String::new(),
            updated_at: now(),
            state: value.clone(),
            pipeline: pipeline.clone(),
            driver,
            identity,
            exchange: None,
        };
        state::write(&base, &kept)?;
        shared.give_back(&base)?;
        print(&format!("set the state of step `{step}` of pipeline `{pipeline}` to {value}; it was {was}"));
    }
    Ok(())
}

fn accept(arguments: &One) -> anyhow::Result<()> {
    let base = arguments.place.open()?;
    let shared = arguments.place.take_turn(&base)?;
    let found = one(&base, &arguments.place, &arguments.step)?;
    let _held = state::hold(&base, &found.pipeline, &found.step)?;
    let kept = found.kept?;
    let what = format!(
        "let step `{}` of pipeline `{}` continue from its state, whatever source its next run reads",
        kept.step, kept.pipeline
    );
    if agreed(&what, arguments.yes)? {
        state::write(&base, &state::StoredState { identity: None, ..kept.clone() })?;
        shared.give_back(&base)?;
        print(&format!(
            "step `{}` of pipeline `{}` continues from its state, whatever source its next run reads",
            kept.step, kept.pipeline
        ));
    }
    Ok(())
}

fn reset(arguments: &Reset) -> anyhow::Result<()> {
    let base = arguments.place.open()?;
    let shared = arguments.place.take_turn(&base)?;
    let chosen = match &arguments.step {
        Some(step) => vec![one(&base, &arguments.place, step)?],
        None => state::list(&base, arguments.place.pipeline.as_deref())?,
    };
    if chosen.is_empty() {
        print("no step has a state");
        return Ok(());
    }
    // All states are locked before the first is removed.
    let held =
        chosen.iter().map(|found| state::hold(&base, &found.pipeline, &found.step)).collect::<Result<Vec<_>, _>>()?;
    let all: Vec<String> =
        chosen.iter().map(|found| format!("step `{}` of pipeline `{}`", found.step, found.pipeline)).collect();
    if agreed(&format!("remove the state of {}, so that the next run starts over", all.join(", ")), arguments.yes)? {
        for found in &chosen {
            state::remove(&base, &found.pipeline, &found.step)?;
        }
        shared.give_back(&base)?;
        for name in &all {
            print(&format!("removed the state of {name}: its next run starts over"));
        }
    }
    drop(held);
    Ok(())
}
