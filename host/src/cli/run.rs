//! `osiris run`: runs a pipeline and reports the outcome.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::error::{Blame, Report};
use crate::exchange::{Access, Exchange};
use crate::executor::disk::Disk;
use crate::executor::process::ProcessEvent;
use crate::grants::limits::Limits;
use crate::pipeline::expect::outcome::summary;
use crate::pipeline::params::Params;
use crate::pipeline::project::Keep;
use crate::run::ledger::shared::Shared;
use crate::run::ledger::{self, Records};
use crate::run::reuse::Reusing;
use crate::run::selection::{Selection, Wanted};
use crate::run::states::{InExchange, States};
use crate::run::{self, Beginning, Line, Settings, Work, manifest};
use crate::secrets::MASK;
use crate::secrets::scrubber::Scrubber;
use crate::session::{self, Base, Manifest, Retention, Session, Status, StepRecord};
use crate::untrusted;
use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::fetch;
use super::lock;
use super::prepare::{PipelineArguments, PlannedPipeline, prepare};
use super::progress::{Progress, Shown};
use super::sandbox::SandboxArguments;
use super::secret_sources::Commands;
use super::terminal;
use super::{INTERRUPTED, Table, grouped, print, print_json, spell_duration, table};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris run pipeline.yaml\n  osiris run pipeline.yaml --param day=2026-01-31 --profile prod\n  \
                        osiris run pipeline.yaml --json | jq .status"
)]
pub struct Arguments {
    #[command(flatten)]
    pub pipeline: PipelineArguments,
    /// Run up to N independent steps at once [default: the number of CPUs, 4 at most, and as many as each worker takes]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Go on with a session: steps that are done are not run again. It is named as in `osiris query`; with an exchange it may have
    /// begun on another machine, and is named whole. Without a name it is the latest. With `--from` or `--only`, take what is
    /// needed from that session
    #[arg(long, value_name = "SESSION", num_args = 0..=1, default_missing_value = "latest")]
    pub resume: Option<String>,
    /// Run this step and all that need it, in a new session; take what they need from the latest session that has it
    #[arg(long, value_name = "STEP", conflicts_with = "only")]
    pub from: Option<String>,
    /// Run only this step (may be repeated), in a new session; take what it needs from the latest session that has it
    #[arg(long, value_name = "STEP")]
    pub only: Vec<String>,
    /// Run every step, even if an earlier session has its result already
    #[arg(long)]
    pub no_cache: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Print nothing but warnings and failures: no progress, and no table of a run that succeeds
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub sandbox: SandboxArguments,
}

impl Arguments {
    /// The steps that are to run, if not all.
    fn wanted(&self) -> Option<Wanted> {
        let only = || (!self.only.is_empty()).then(|| Wanted::Only(self.only.clone()));
        self.from.clone().map(Wanted::From).or_else(only)
    }

    fn settings(&self, limits: Limits, pins: Pins) -> Settings {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Settings {
            jobs: self.jobs.map_or(cpus.min(4), usize::from),
            most_jobs: self.jobs.map_or(usize::MAX, usize::from),
            limits,
            require_confinement: self.sandbox.require_sandbox,
            reusing: match pins {
                Pins::Enforced if !self.no_cache && self.wanted().is_none() => Reusing::On,
                _ => Reusing::Fresh,
            },
            test: None,
        }
    }
}

impl Arguments {
    fn shown(&self, pins: Pins) -> Shown {
        match (self.quiet, pins) {
            (true, _) => Shown::Warnings,
            (false, Pins::Enforced) => Shown::Progress,
            (false, Pins::Ignored) => Shown::Everything,
        }
    }
}

/// What a run does with the drivers in `osiris.lock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pins {
    /// Refuses changed drivers, and pins new ones.
    Enforced,
    /// Neither reads nor writes the lock: for an author who changes a driver all the time.
    Ignored,
}

/// A run that has ended.
pub struct Ended {
    pub manifest: Manifest,
    pub session_path: String,
    pub base: Base,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Ended { manifest, session_path, .. } = execute(arguments, Pins::Enforced)?;
    if arguments.json {
        print_json(&as_json(&manifest, &session_path))?;
    } else if !(arguments.quiet && manifest.status == Status::Success) {
        print(&in_words(&manifest, &session_path));
    }
    manifest.steps.iter().for_each(explain);
    Ok(exit_code(&manifest))
}

pub fn exit_code(manifest: &Manifest) -> ExitCode {
    match manifest.status {
        Status::Success => ExitCode::SUCCESS,
        Status::Interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}

/// Runs the pipeline; its progress is shown on stderr.
///
/// # Errors
/// If anything in the user's input is wrong. A step that fails is not an error: the manifest contains it.
pub fn execute(arguments: &Arguments, pins: Pins) -> anyhow::Result<Ended> {
    arguments.sandbox.enforce()?;
    let mut line = Line::open();
    let pipeline = match &arguments.resume {
        None => Cow::Borrowed(&arguments.pipeline),
        Some(session) => Cow::Owned(as_before(&arguments.pipeline, session)?),
    };
    let mut prepared = prepare(&pipeline, pins, Commands::Run)?;
    if pins == Pins::Enforced {
        lock::check_writable(&prepared.base, &prepared.plan)?;
    }
    let selection = select(arguments, &mut prepared)?;
    line.connect(&prepared.plan, arguments.sandbox.require_sandbox)?;
    let steps = prepared.plan.steps.iter().map(|step| step.id.as_str());
    let mut progress = Progress::new(steps, arguments.shown(pins));
    for notice in &prepared.plan.notices {
        terminal::say(format!("warning: {}", notice.paragraph()));
    }
    let begun = begin(&mut prepared, arguments.resume.as_deref().filter(|_| selection.is_none()), selection.as_ref())?;
    let plan = &prepared.plan;
    let Begun { session, states, beginning } = begun;
    let mut record = record(&pipeline, &prepared, &session);
    record.selected = selection.as_ref().map(Selection::record);
    let free = Disk::of(&prepared.base.dir).map_or(u64::MAX, |disk| disk.free);
    let limits = prepared.limits.on_disk(&arguments.pipeline.limits.defaults, free);
    let settings = arguments.settings(limits, pins);
    forward_signals(line.say.clone())?;
    let shared = beginning.shared.clone();
    let outcome = run::run(
        &Work {
            plan,
            states: &states,
            base: &prepared.base,
            session: &session,
            settings: &settings,
            selection: selection.as_ref(),
        },
        (record, beginning),
        line,
        &mut progress,
        // `prepare` has checked the lock. A driver that does not compile is not pinned.
        || match pins {
            Pins::Enforced => lock::enforce(&prepared.base, plan),
            Pins::Ignored => Ok(()),
        },
    );
    let session_path = session.path.display().to_string();
    let id = session.id.clone();
    session.close();
    terminal::flush();
    clean_up(&prepared, &id, pins);
    if let Some(shared) = shared {
        if outcome.is_err() {
            shared.end();
        }
        if shared.is_lost() {
            eprintln!(
                "warning: another host took this one for dead, and has gone on with the session; this run has ended"
            );
        }
    }
    Ok(Ended { manifest: outcome?, session_path, base: prepared.base })
}

/// Removes old sessions of the pipeline, if `osiris.yaml` says which stay. The run is not worse for what cannot be removed.
fn clean_up(prepared: &PlannedPipeline, made: &str, pins: Pins) {
    let Some(Keep { runs, days }) = prepared.keep.filter(|_| pins == Pins::Enforced) else { return };
    let time = days.map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    if let Err(error) = session::retain(&prepared.base, &prepared.plan.pipeline, made, Retention { runs, time }) {
        eprintln!("warning: old sessions are not removed: {}", untrusted::line(&format!("{error:#}")));
    }
}

/// The record of a run that begins, with the profile and the parameters that it has.
fn record(pipeline: &PipelineArguments, prepared: &PlannedPipeline, session: &Session) -> Manifest {
    let path = pipeline.pipeline.display().to_string();
    let exchange = prepared.exchange.as_ref().map(|access| &access.location);
    let profile = pipeline.profile.as_deref();
    let mut record = manifest(&prepared.plan, &session.id, (&path, &prepared.sha256), profile, exchange);
    record.params = session.scrubber.scrub_object(values(&prepared.params));
    record.given_params = pipeline.given_params();
    record
}

/// The parameters that have a value.
fn values(params: &Params) -> Map<String, Value> {
    let with_value = params.iter().filter(|(_, param)| !param.value.is_null());
    with_value.map(|(name, param)| (name.clone(), param.value.clone())).collect()
}

/// The arguments of a run that goes on with `session`: with the profile and parameters that it was started with, unless others are
/// given.
///
/// # Errors
/// A [`Report`] if one of them was a secret, which is recorded nowhere.
fn as_before(arguments: &PipelineArguments, session: &str) -> anyhow::Result<PipelineArguments> {
    let mut arguments = arguments.clone();
    // What is wrong with the session is said once the pipeline is known to be right.
    let base = arguments.open_base()?;
    let Ok((_, before)) = fetch::session_called(&base, session, arguments.exchange.as_deref()) else {
        return Ok(arguments);
    };
    let same_profile = arguments.profile.is_none() || arguments.profile == before.profile;
    for (name, value) in before.params {
        let was_given = before.given_params.contains(&name);
        let is_given = arguments.params.iter().any(|(given, _)| *given == name);
        // What nobody gave by hand is for another profile to set.
        if is_given || !(was_given || same_profile) {
            continue;
        }
        if value.to_string().contains(MASK) {
            if !was_given {
                continue;
            }
            return Err(Report::input(format!(
                "the session had a parameter `{name}` with a secret, which is not recorded"
            ))
            .hint(format!("give it again: `--param {name}=…`"))
            .into());
        }
        if was_given {
            arguments.recorded.given.insert(name.clone());
        }
        arguments.recorded.values.insert(name, value);
    }
    arguments.profile = arguments.profile.or(before.profile);
    Ok(arguments)
}

/// Reduces the plan to the steps that are to run and those that they need, if the command says so.
///
/// # Errors
/// A [`Report`] if there is no such step, or no session that has what is needed.
fn select(arguments: &Arguments, prepared: &mut PlannedPipeline) -> anyhow::Result<Option<Selection>> {
    let Some(wanted) = arguments.wanted() else { return Ok(None) };
    if prepared.exchange.is_some() {
        return Err(Report::input(
            "`--from` and `--only` take over what is on this machine, and this run has an exchange",
        )
        .hint("run the whole pipeline; or go on with a session of the exchange: `--resume SESSION`")
        .into());
    }
    Selection::of(wanted, &mut prepared.plan, &prepared.base, arguments.resume.as_deref()).map(Some)
}

/// A run that is about to begin.
struct Begun {
    session: Session,
    states: States,
    beginning: Beginning,
}

/// Creates the run's session, or opens the one that is resumed, and claims it and its states in the exchange.
///
/// # Errors
/// A [`Report`] if another run is at work on them, or there is no such session. A session that was created for nothing is
/// removed.
fn begin(
    prepared: &mut PlannedPipeline,
    resumed: Option<&str>,
    selection: Option<&Selection>,
) -> anyhow::Result<Begun> {
    let steps = &prepared.plan.steps;
    let secrets = steps.iter().flat_map(|step| step.secrets.values().chain(&step.hidden));
    let secrets = secrets.chain(prepared.values.secrets());
    let scrubber = Scrubber::new(secrets.chain(prepared.exchange.iter().flat_map(Access::secrets)));
    let exchange = match &prepared.exchange {
        None => None,
        Some(access) => {
            let exchange = Exchange::open(access.clone())?;
            let time = exchange.check()?;
            Some((exchange, time))
        }
    };
    let base = &prepared.base;
    let session = match resumed {
        None => Session::create(base, scrubber)?,
        Some(name) => Session::reopen(base, &named(base, name, exchange.is_some())?, scrubber)?,
    };
    let claimed = claim(&session, resumed.is_some(), exchange.as_ref());
    let begun = claimed.and_then(|beginning| {
        let place =
            exchange.as_ref().map(|(exchange, time)| InExchange { exchange, session: &session.id, time: *time });
        let states = States::open(base, &mut prepared.plan, place.as_ref()).and_then(|states| {
            selection.map_or(Ok(()), |selection| selection.check_states(&prepared.plan, &states))?;
            Ok(states)
        });
        match states {
            Ok(states) => Ok((states, beginning)),
            Err(error) => {
                if let Some(shared) = &beginning.shared {
                    shared.give_up();
                }
                Err(error)
            }
        }
    });
    match begun {
        Ok((states, beginning)) => Ok(Begun { session, states, beginning }),
        Err(error) => {
            session.give_up(base, resumed.is_none());
            Err(error)
        }
    }
}

/// The id of the session called `name`.
fn named(base: &Base, name: &str, has_exchange: bool) -> anyhow::Result<String> {
    match session::find(base, name) {
        Ok(found) => Ok(found.id),
        // It began on another machine.
        Err(_) if has_exchange && session::is_id(name) => Ok(name.to_owned()),
        Err(error) => Err(error),
    }
}

/// Claims a session, and reads which of its steps are done.
fn claim(session: &Session, is_resumed: bool, exchange: Option<&(Exchange, Timestamp)>) -> anyhow::Result<Beginning> {
    let (records, shared) = match (exchange, is_resumed) {
        (None, false) => (Records::default(), None),
        (None, true) => (ledger::read(session)?, None),
        (Some((exchange, _)), false) => (Records::default(), Some(Shared::begin(exchange.clone(), &session.id)?)),
        (Some((exchange, time)), true) => {
            let (shared, records) = Shared::take_over(exchange.clone(), &session.id, *time)?;
            (records, Some(shared))
        }
    };
    Ok(Beginning { records, shared, is_resumed })
}

/// The run that signals go to. Outside of runs, a signal ends the program as usual.
static RUNNING: Mutex<Option<SyncSender<ProcessEvent>>> = Mutex::new(None);

/// Forwards Ctrl-C and similar signals to the run until [`stop_forwarding_signals`].
fn forward_signals(say: SyncSender<ProcessEvent>) -> anyhow::Result<()> {
    static LISTENING: OnceLock<()> = OnceLock::new();
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(say);
    if LISTENING.set(()).is_err() {
        return Ok(());
    }
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    let forwarding = move || {
        for signal in signals.forever() {
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match running {
                Some(say) => drop(say.send(ProcessEvent::Signal)),
                None => drop(signal_hook::low_level::emulate_default_handler(signal)),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(forwarding).context("cannot listen for signals")?;
    Ok(())
}

/// Lets signals end the program again, between runs.
pub fn stop_forwarding_signals() {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn as_json(manifest: &Manifest, session_path: &str) -> Value {
    let steps: Vec<Value> = manifest
        .steps
        .iter()
        .map(|step| {
            json!({
                "id": step.id, "component": step.component, "status": step.status, "rows": step.rows, "table": step.table,
                "tables": step.tables, "duckdb_path": step.duckdb_path, "duration_ms": step.duration_ms, "attempts": step.attempts, "error": step.error,
                "warnings": step.warnings, "reused": step.reused, "checks": step.checks, "rejected_tables": step.rejected_tables,
            })
        })
        .collect();
    json!({"session_id": manifest.session_id, "session_path": session_path, "status": manifest.status, "duration_ms": manifest.duration_ms, "profile": manifest.profile, "params": manifest.params, "warnings": manifest.warnings, "steps": steps})
}

/// A run's steps, one per row.
pub fn steps_table(manifest: &Manifest) -> Table {
    let mut steps = table(&["step", "driver", "status", "rows", "time", "output"]);
    for step in &manifest.steps {
        steps.add_row([
            step.id.clone(),
            format!("{}@{}", step.driver.name, step.driver.version),
            step.reused.as_ref().map_or_else(|| step.status.to_string(), |reused| reused.how.to_string()),
            step.rows.map_or_else(String::new, grouped),
            step.duration_ms.map_or_else(String::new, spell_duration),
            step.duckdb_path.clone().unwrap_or_default(),
        ]);
    }
    steps.align_right([3, 4]);
    steps
}

fn in_words(manifest: &Manifest, session_path: &str) -> String {
    let steps = steps_table(manifest);
    let took = spell_duration(manifest.duration_ms.unwrap_or_default());
    let checks = checks_in_words(manifest);
    format!(
        "\n{steps}\n{checks}\npipeline `{}`: {} in {took}\nsession {session_path}\n",
        manifest.pipeline, manifest.status
    )
}

/// How many checks of each step passed, one step per line.
pub fn checks_in_words(manifest: &Manifest) -> String {
    let checked = manifest.steps.iter().filter(|step| !step.checks.is_empty());
    checked.map(|step| format!("{}: {}\n", step.id, summary(&step.checks))).collect()
}

/// Prints why a step failed: what happened, the remedy, and whose fault it is.
pub fn explain(step: &StepRecord) {
    let Some(error) = step.error.as_ref().filter(|_| step.status != Status::Interrupted) else { return };
    let whose = match error.blame {
        Blame::User => "you can fix this: check the step's config and what it reads",
        Blame::Driver => "the driver's fault",
        Blame::Remote => "a fault of the server; the same run may succeed later",
        Blame::Host => "a fault of Osiris or this machine",
    };
    eprintln!(
        "\nerror: step `{}` (driver `{}@{}`) failed: {}",
        step.id,
        step.driver.name,
        step.driver.version,
        error.message.paragraph()
    );
    if let Some(printed) = &error.printed {
        eprintln!("the driver's last output on stderr:\n    {}", printed.paragraph());
    }
    if let Some(hint) = &error.hint {
        eprintln!("hint: {}", hint.paragraph());
    }
    eprintln!("note: {whose} ({})", error.kind);
}
