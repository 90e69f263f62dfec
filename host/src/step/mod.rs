//! The step process: one attempt of one step, confined, from a job on stdin to JSON lines on stdout.
//!
//! The order is the security argument: DuckDB opens and the compiled driver loads while nothing
//! untrusted is in sight; then the process confines itself; only then do input files, granted files
//! and the guest come in. See "The step process" in ARCHITECTURE.md.

mod confine;
mod guest;
pub mod look;
pub mod reporter;
mod watch;

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::engine::{Engine, Furnishing, Warm};
use crate::job::{Blame, Failure, Job, Message};
use crate::runtime;
use reporter::Reporter;
use watch::Watch;

/// The longest job the process reads.
const MAX_JOB_BYTES: u64 = 64 << 20;

/// Runs the hidden command `osiris step`.
pub fn main() -> ExitCode {
    let reporter = Reporter::to_stdout();
    match attempt(&reporter) {
        Ok(complete) => {
            reporter.send(&complete);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            reporter.send(&Message::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

fn host_fault(error: anyhow::Error) -> Failure {
    Failure { blame: Blame::Host, kind: "internal".to_owned(), message: format!("{error:#}"), hint: None }
}

fn attempt(reporter: &Reporter) -> Result<Message, Failure> {
    // Dies with the host, however the host dies.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot tie the step process to its host")
        .map_err(host_fault)?;
    let warm = Warm::open().context("cannot open DuckDB").map_err(host_fault)?;
    let runtime = runtime::engine().map_err(host_fault)?;
    reporter.send(&Message::Ready);
    let job = read_job().map_err(host_fault)?;
    let component = runtime::load(&runtime, &job.compiled).map_err(host_fault)?;
    if job.confine {
        confine(&job, reporter)?;
    }
    let engine = Arc::new(furnish(warm, &job)?);
    let watch = Watch::start(&job.limits, &runtime, engine.interrupter(), reporter.clone());
    let outcome = guest::call(&job, &component, &engine, reporter);
    let outcome = outcome.and_then(|tally| finish(&job, &engine, &tally));
    outcome.map_err(|failure| if watch.fired() { timeout(&job) } else { failure })
}

fn confine(job: &Job, reporter: &Reporter) -> Result<(), Failure> {
    let read = job
        .inputs
        .iter()
        .map(|input| input.path.as_path())
        .chain(job.read_files.iter().map(|grant| grant.path.as_path()));
    let reach = confine::Reach {
        read: read.collect(),
        write: job.write_files.iter().map(|grant| grant.path.as_path()).collect(),
        scratch: Some(&job.scratch),
    };
    let status = confine::confine(&reach).context("cannot confine the step process").map_err(host_fault)?;
    if status.is_whole() {
        return Ok(());
    }
    if job.require_confinement {
        return Err(Failure {
            blame: Blame::Host,
            kind: "sandbox".to_owned(),
            message: format!("this kernel gives no full confinement: {}", status.words()),
            hint: Some(
                "run on Linux 6.12 or newer with Landlock enabled, or leave `--require-sandbox` away".to_owned(),
            ),
        });
    }
    reporter.log("warn", format!("the step process is not fully confined: {}", status.words()), [].into());
    Ok(())
}

fn read_job() -> anyhow::Result<Job> {
    let mut line = String::new();
    std::io::Read::take(std::io::stdin().lock(), MAX_JOB_BYTES)
        .read_line(&mut line)
        .context("cannot read the job from stdin")?;
    serde_json::from_str(&line).context("cannot understand the job on stdin")
}

fn furnish(warm: Warm, job: &Job) -> Result<Engine, Failure> {
    let spill = job.scratch.join("spill");
    let files = job.read_files.iter().chain(&job.write_files).map(|grant| grant.path.as_path()).collect();
    let furnishing =
        Furnishing { inputs: &job.inputs, output: job.output.as_deref(), spill: &spill, files, limits: job.limits };
    warm.furnish(&furnishing).map_err(|error| {
        let missing = job.inputs.iter().find(|input| error.message.contains(&format!("name {} does", input.table)));
        match missing {
            Some(input) => Failure {
                blame: Blame::User,
                kind: "not-found".to_owned(),
                message: format!("input `{}` reads table `{}`, which its step did not write", input.alias, input.table),
                hint: Some("name one of that step's tables in `inputs: {alias: {from_step, table}}`".to_owned()),
            },
            None => host_fault(anyhow::anyhow!(error).context("cannot open the step's database")),
        }
    })
}

fn timeout(job: &Job) -> Failure {
    Failure {
        blame: Blame::Driver,
        kind: "timeout".to_owned(),
        message: format!("driver `{}` was stopped after {} s, its time limit", job.driver, job.limits.wall_seconds),
        hint: Some("give the step longer with `--step-timeout SECONDS`".to_owned()),
    }
}

/// Closes the output and says what the step made.
fn finish(job: &Job, engine: &Engine, tally: &crate::contract::Tally) -> Result<Message, Failure> {
    let driver_fault =
        |message: String| Failure { blame: Blame::Driver, kind: "contract".to_owned(), message, hint: None };
    if let Some(name) = tally.unfinished.first() {
        return Err(driver_fault(format!("driver `{}` left table `{name}` unfinished", job.driver)));
    }
    let tables = engine
        .finish()
        .map_err(|error| host_fault(anyhow::anyhow!(error).context("cannot close the step's output")))?;
    if job.output.is_some() && tables.is_empty() {
        return Err(driver_fault(format!("driver `{}` made no table", job.driver)));
    }
    for path in job.output.iter().chain(&tally.files_written) {
        sync(path).map_err(host_fault)?;
    }
    let rows_written = if tally.rows_copied > 0 { tally.rows_copied } else { tally.rows_out };
    Ok(Message::Complete { tables, rows_written })
}

fn sync(path: &Path) -> anyhow::Result<()> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("cannot flush `{}` to disk", path.display()))
}

/// How often the watch looks at the clock.
const TICK: Duration = Duration::from_millis(50);
