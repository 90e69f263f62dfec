//! `osiris backfill`: runs a pipeline once for each interval of a range, and skips the intervals that have succeeded.

use std::fs::File;
use std::process::ExitCode;

use anyhow::Context;
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use jiff::Timestamp;
use jiff::civil::DateTime;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::intervals::{Interval, Unit, intervals, moment};
use super::prepare::{PipelineArguments, PlannedPipeline, plan_pipeline, read_pipeline};
use super::run::{self, Ended, Pins};
use super::sandbox::SandboxArguments;
use super::secret_sources::Commands;
use super::{INTERRUPTED, counted, grouped, print, print_json, spell_duration, table, terminal};
use crate::error::{Fault, Report, listed};
use crate::pipeline::Pipeline;
use crate::pipeline::params::{self, Params, Sources};
use crate::secrets::MASK;
use crate::session::{self, Base, Manifest, Status, plain, state};
use crate::untrusted;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The parameters of an interval are called `from` and `to` if the pipeline declares both, or else like the interval: \
                  `day`, `week`, `month` or `hour`, which gets the beginning. `to` is not part of its interval.\n\n\
                  Examples:\n  osiris backfill daily.yaml --from 2024-01-01 --to 2024-02-01\n  \
                  osiris backfill monthly.yaml --from 2023-01-01 --to 2024-01-01 --by month --param-from since --param-to before\n  \
                  osiris backfill daily.yaml --from 2024-01-01 --to 2024-02-01 --dry-run"
)]
pub struct Arguments {
    #[command(flatten)]
    pub pipeline: PipelineArguments,
    /// Where the range begins, such as 2024-01-01
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub from: DateTime,
    /// Where the range ends; this day itself is not part of it
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub to: DateTime,
    /// How long each interval is
    #[arg(long, value_name = "UNIT", value_enum, default_value = "day")]
    pub by: Unit,
    /// The parameter that gets the beginning of each interval
    #[arg(long, value_name = "NAME")]
    pub param_from: Option<String>,
    /// The parameter that gets the end of each interval
    #[arg(long, value_name = "NAME", requires = "param_from")]
    pub param_to: Option<String>,
    /// Go on with the next interval when one fails
    #[arg(long)]
    pub keep_going: bool,
    /// Show which intervals would run, without running them
    #[arg(long)]
    pub dry_run: bool,
    /// Run up to N independent steps of an interval at once, as in `osiris run`
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Run every step, even if an earlier session has its result already
    #[arg(long)]
    pub no_cache: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sandbox: SandboxArguments,
}

/// What has become of an interval.
#[derive(Debug, Clone)]
enum Progress {
    /// It has not been run, for whatever reason.
    Pending,
    /// It succeeded in an earlier call.
    Done(Box<Manifest>),
    Ran(Box<Manifest>),
    /// It could not be run.
    Refused(Report),
}

impl Progress {
    fn name(&self) -> String {
        match self {
            Self::Pending => "pending".to_owned(),
            Self::Done(_) => "done before".to_owned(),
            Self::Ran(manifest) => manifest.status.to_string(),
            Self::Refused(_) => "failed".to_owned(),
        }
    }

    fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Done(manifest) | Self::Ran(manifest) => Some(manifest),
            Self::Pending | Self::Refused(_) => None,
        }
    }

    fn has_failed(&self) -> bool {
        match self {
            Self::Ran(manifest) => manifest.status != Status::Success,
            Self::Refused(_) => true,
            Self::Pending | Self::Done(_) => false,
        }
    }
}

/// The names of the parameters of an interval.
struct Names {
    from: String,
    to: Option<String>,
}

pub fn backfill(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let (_, pipeline) = read_pipeline(&arguments.pipeline)?;
    let names = Names::of(arguments, &pipeline)?;
    let all = intervals(arguments.from, arguments.to, arguments.by)?;
    let first = all.first().context("the range is empty")?;
    let planned = plan_pipeline(&names.give(arguments, *first), Commands::StandIn)?;
    refuse_states(&planned)?;
    let _held = hold(&planned.base, &planned.plan.pipeline)?;
    let mut progress = done_before(arguments, &planned, (&pipeline, &names), &all)?;
    if !arguments.dry_run {
        run_intervals(arguments, &names, &all, &mut progress)?;
    }
    terminal::flush();
    if arguments.json {
        print_json(&as_json(arguments, &planned, &all, &progress))?;
    } else {
        print(&in_words(arguments, &all, &progress));
    }
    Ok(exit_code(&progress))
}

impl Names {
    /// # Errors
    /// A [`Report`] if the pipeline declares no parameters for intervals.
    fn of(arguments: &Arguments, pipeline: &Pipeline) -> Result<Self, Report> {
        let is_declared = |name: &str| pipeline.params.contains_key(name);
        let unit = arguments.by.name();
        let names = match &arguments.param_from {
            Some(from) => Self { from: from.clone(), to: arguments.param_to.clone() },
            None if is_declared("from") && is_declared("to") => {
                Self { from: "from".to_owned(), to: Some("to".to_owned()) }
            }
            None => Self { from: unit.to_owned(), to: None },
        };
        let Some(missing) = std::iter::once(&names.from).chain(&names.to).find(|name| !is_declared(name)) else {
            let given = arguments.pipeline.params.iter().map(|(name, _)| name);
            return match given.into_iter().find(|name| **name == names.from || Some(*name) == names.to.as_ref()) {
                Some(name) => Err(Report::input(format!("`--param {name}` sets a parameter that each interval sets"))
                    .hint("leave it out, or name other parameters with `--param-from` and `--param-to`")),
                None => Ok(names),
            };
        };
        let known = listed(pipeline.params.keys().map(String::as_str));
        Err(Report::input(format!(
            "the pipeline declares no parameter `{missing}` for the intervals; declared: {known}"
        ))
        .hint(format!(
            "declare `from` and `to`, or `{unit}`, under `params`; or name others with `--param-from NAME --param-to NAME`"
        )))
    }

    fn values(&self, by: Unit, interval: Interval) -> Vec<(String, String)> {
        let to = self.to.iter().map(|name| (name.clone(), by.spell(interval.to)));
        std::iter::once((self.from.clone(), by.spell(interval.from))).chain(to).collect()
    }

    /// The arguments of a run of an interval.
    fn give(&self, arguments: &Arguments, interval: Interval) -> PipelineArguments {
        let mut given = arguments.pipeline.clone();
        given.params.extend(self.values(arguments.by, interval));
        given
    }
}

/// Refuses a pipeline that goes on where its last run ended: an interval in the past would have it go back, or read nothing.
fn refuse_states(planned: &PlannedPipeline) -> Result<(), Report> {
    match planned.plan.steps.iter().find(|step| step.state.is_some()) {
        Some(step) => Err(Report::input(format!(
            "step `{}` goes on where its last run ended: a backfill would change what the next run reads",
            step.id
        ))
        .hint("read the range by the parameters of the interval, in a pipeline without that state")),
        None => Ok(()),
    }
}

/// Holds the pipeline against another backfill, which would run the same intervals, until the returned file is closed.
fn hold(base: &Base, pipeline: &str) -> anyhow::Result<File> {
    let lock = base.own_file(&format!("backfill.{}.lock", state::folder_name(pipeline)))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let lock = plain::open_with(&base.dir, lock, &mut options).context("cannot hold the pipeline")?.into_std();
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(_) => Err(Report::input(format!("another backfill of pipeline `{pipeline}` is running"))
            .hint("wait for it to end; two at once would run the same intervals")
            .into()),
    }
}

/// The intervals that have succeeded already: a session's manifest says so, with the same pipeline, profile and parameters.
fn done_before(
    arguments: &Arguments,
    planned: &PlannedPipeline,
    (pipeline, names): (&Pipeline, &Names),
    all: &[Interval],
) -> anyhow::Result<Vec<Progress>> {
    let sessions = session::list(&planned.base)?;
    let succeeded: Vec<Manifest> = sessions
        .into_iter()
        .rev()
        .filter_map(|session| session.manifest)
        .filter(|manifest| {
            manifest.status == Status::Success
                && manifest.pipeline == planned.plan.pipeline
                && manifest.pipeline_sha256 == planned.sha256
                && manifest.profile == arguments.pipeline.profile
                && manifest.selected.is_none()
        })
        .collect();
    let environment = &planned.values.environment;
    let params = |interval: &Interval, now: Timestamp| {
        let command_line = names.give(arguments, *interval).params;
        let sources = Sources {
            command_line: &command_line,
            recorded: &arguments.pipeline.recorded.values,
            profile: arguments.pipeline.profile.as_deref(),
            environment,
            now,
        };
        params::resolve(pipeline, &sources)
    };
    let progress = |interval: &Interval| {
        let own = params(interval, Timestamp::now())?;
        let from = own.get(&names.from).map(|param| &param.value);
        for manifest in succeeded.iter().filter(|manifest| manifest.params.get(&names.from) == from) {
            // A parameter such as `today` had another value then.
            let Ok(began) = manifest.started_at.parse() else { continue };
            if is_recorded(&params(interval, began)?, manifest) {
                return Ok(Progress::Done(Box::new(manifest.clone())));
            }
        }
        Ok(Progress::Pending)
    };
    all.iter().map(progress).collect()
}

/// Whether a session had these parameters. A secret is recorded nowhere: whatever it was counts as the same.
fn is_recorded(params: &Params, manifest: &Manifest) -> bool {
    let is_same = |recorded: &Value, value: &Value| recorded == value || recorded.to_string().contains(MASK);
    params.iter().all(|(name, param)| match manifest.params.get(name) {
        Some(recorded) => is_same(recorded, &param.value),
        None => param.value.is_null(),
    })
}

/// Runs what is pending, in order, until something fails.
///
/// # Errors
/// If an interval cannot be run, and the others are not to be tried.
fn run_intervals(
    arguments: &Arguments,
    names: &Names,
    all: &[Interval],
    progress: &mut [Progress],
) -> anyhow::Result<()> {
    let count = all.len();
    for (number, interval) in all.iter().enumerate() {
        if !matches!(progress[number], Progress::Pending) {
            continue;
        }
        terminal::say(format!("\ninterval {} of {count}: {}", number + 1, spelled(arguments.by, *interval)));
        let ended = run::execute(&run_arguments(arguments, names, *interval), Pins::Enforced);
        run::stop_forwarding_signals();
        match ended {
            Ok(Ended { manifest, .. }) => {
                manifest.steps.iter().for_each(run::explain);
                progress[number] = Progress::Ran(Box::new(manifest));
            }
            Err(error) => match Report::of(error) {
                Ok(report) if arguments.keep_going && report.fault == Fault::Input => {
                    eprintln!("\nerror: {}", untrusted::paragraph(&report.message));
                    report.hint.iter().for_each(|hint| eprintln!("hint: {}", untrusted::paragraph(hint)));
                    progress[number] = Progress::Refused(report);
                }
                Ok(report) => return Err(report.into()),
                Err(error) => return Err(error),
            },
        }
        let is_interrupted = progress[number].manifest().is_some_and(|manifest| manifest.status == Status::Interrupted);
        if is_interrupted || (progress[number].has_failed() && !arguments.keep_going) {
            break;
        }
    }
    Ok(())
}

fn run_arguments(arguments: &Arguments, names: &Names, interval: Interval) -> run::Arguments {
    run::Arguments {
        pipeline: names.give(arguments, interval),
        jobs: arguments.jobs,
        resume: None,
        from: None,
        only: Vec::new(),
        no_cache: arguments.no_cache,
        json: false,
        quiet: false,
        sandbox: arguments.sandbox,
    }
}

fn spelled(by: Unit, interval: Interval) -> String {
    format!("{} to {}", by.spell(interval.from), by.spell(interval.to))
}

fn exit_code(progress: &[Progress]) -> ExitCode {
    let status = |one: &Progress| one.manifest().map(|manifest| manifest.status);
    if progress.iter().any(|one| status(one) == Some(Status::Interrupted)) {
        ExitCode::from(INTERRUPTED)
    } else if progress.iter().any(|one| matches!(one, Progress::Ran(_)) && one.has_failed()) {
        ExitCode::FAILURE
    } else if progress.iter().any(Progress::has_failed) {
        ExitCode::from(Fault::Input.exit_code())
    } else {
        ExitCode::SUCCESS
    }
}

fn rows(manifest: &Manifest) -> u64 {
    manifest.steps.iter().filter_map(|step| step.rows).sum()
}

fn as_json(arguments: &Arguments, planned: &PlannedPipeline, all: &[Interval], progress: &[Progress]) -> Value {
    let intervals: Vec<Value> = all
        .iter()
        .zip(progress)
        .map(|(interval, progress)| {
            let manifest = progress.manifest();
            let error = match progress {
                Progress::Refused(report) => json!({"message": report.message, "hint": report.hint}),
                _ => manifest.map_or(Value::Null, |manifest| json!(manifest.steps.iter().find_map(|step| step.error.as_ref()))),
            };
            json!({
                "from": arguments.by.spell(interval.from), "to": arguments.by.spell(interval.to),
                "status": progress.name().replace(' ', "_"), "session_id": manifest.map(|manifest| &manifest.session_id),
                "rows": manifest.map(rows), "duration_ms": manifest.and_then(|manifest| manifest.duration_ms), "error": error,
            })
        })
        .collect();
    let status = match progress {
        _ if progress.iter().any(Progress::has_failed) => "failed",
        _ if progress.iter().any(|one| matches!(one, Progress::Pending)) => "pending",
        _ => "success",
    };
    json!({"pipeline": planned.plan.pipeline, "by": arguments.by.name(), "status": status, "intervals": intervals})
}

fn in_words(arguments: &Arguments, all: &[Interval], progress: &[Progress]) -> String {
    let mut shown = table(&["interval", "status", "rows", "time", "session"]);
    for (interval, progress) in all.iter().zip(progress) {
        let manifest = progress.manifest();
        shown.add_row([
            spelled(arguments.by, *interval),
            progress.name(),
            manifest.map_or_else(String::new, |manifest| grouped(rows(manifest))),
            manifest.and_then(|manifest| manifest.duration_ms).map_or_else(String::new, spell_duration),
            manifest.map_or_else(String::new, |manifest| manifest.session_id.clone()),
        ]);
    }
    shown.align_right([2, 3]);
    let number = |is_meant: fn(&Progress) -> bool| progress.iter().filter(|one| is_meant(one)).count() as u64;
    let ran = number(|one| matches!(one, Progress::Ran(_)) && !one.has_failed());
    let before = number(|one| matches!(one, Progress::Done(_)));
    let failed = number(Progress::has_failed);
    let pending = number(|one| matches!(one, Progress::Pending));
    let total = counted(all.len() as u64, "interval");
    format!("\n{shown}\n\n{total}: {ran} ran, {before} done before, {failed} failed, {pending} pending\n")
}
