//! The step process: one attempt of one step, confined, from a job on stdin to JSON lines on stdout.
//!
//! The order is the security argument: DuckDB is opened while nothing untrusted is in reach, and granted files are
//! opened but not read. Then the process confines itself; only then is the compiled driver loaded, an input read by
//! DuckDB, and the guest called. See "The step process" in ARCHITECTURE.md.

mod databases;
mod export;
mod guest;
pub mod look;
mod open_files;
mod quality;
mod text_table;
mod watch;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::channel::reporter::Reporter;
use crate::contract::{DriverCall, Tally, Trust};
use crate::driver::runtime;
use crate::engine::{Cause, Engine, FurnishError, Furnishing, Status, TemporaryFolder, Warm};
use crate::error::{Blame, Failure};
use crate::protocol::{Job, LogLevel, Message, REJECTED, SEEN};
use crate::sandbox::{self, Reach};
pub use guest::call;
use open_files::OpenFiles;
pub use open_files::{open_granted, open_plain};
use watch::{Overrun, Watch};

/// The longest job that the process reads, in bytes.
const MAX_JOB_BYTES: u64 = 64 << 20;

/// Which layers of the sandbox are on. Normally all are; a test program switches some off to test the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// DuckDB is locked, and accepts only SELECTs.
    pub engine: bool,
    /// The process has an empty root, no network and no capabilities, if the kernel allows it.
    pub walls: bool,
    /// Landlock and seccomp confine the process.
    pub rules: bool,
}

impl Layers {
    pub const ALL: Self = Self { engine: true, walls: true, rules: true };
}

/// Runs the hidden command `osiris step`.
pub fn main() -> ExitCode {
    main_with(Layers::ALL, guest::call)
}

/// Runs a step whose driver is called by `call`: the entry point for tests that replace the driver by native code, or
/// switch layers off to see what another layer stops by itself.
pub fn main_with(layers: Layers, call: impl FnOnce(&DriverCall<'_>) -> Result<Tally, Failure> + Send) -> ExitCode {
    let prepare = || {
        if layers.walls {
            sandbox::shed()?
        } else {
            sandbox::shed_in_place()?
        }
        Runtimes::load()
    };
    conclude(&Reporter::to_stdout(), layers, prepare, call)
}

/// The loaded DuckDB and WebAssembly runtime: what takes most of a small step's time and does not depend on its job.
pub struct Runtimes {
    warm: Warm,
    runtime: runtime::Engine,
}

impl Runtimes {
    /// Loads them; the process still has one thread afterwards.
    ///
    /// # Errors
    /// If either does not load.
    pub fn load() -> anyhow::Result<Self> {
        Ok(Self { warm: Warm::open().context("cannot open DuckDB")?, runtime: runtime::engine()? })
    }
}

/// Runs a step in a process that was forked from one that loaded them: the entry point for tests that run very many steps.
pub fn main_with_runtimes(runtimes: Runtimes) -> ExitCode {
    // Thousands of network namespaces would keep the kernel busy for longer than the steps.
    let prepare = || sandbox::shed_in_place().map(|()| runtimes);
    conclude(&Reporter::to_stdout(), Layers::ALL, prepare, guest::call)
}

/// Runs the step and reports its outcome.
fn conclude(
    reporter: &Reporter,
    layers: Layers,
    prepare: impl FnOnce() -> anyhow::Result<Runtimes>,
    call: impl FnOnce(&DriverCall<'_>) -> Result<Tally, Failure> + Send,
) -> ExitCode {
    match attempt(reporter, layers, prepare, call) {
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

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn host_fault(error: anyhow::Error) -> Failure {
    Failure::of_host(&error)
}

/// Waits until the host has opened this process's figures in `/proc`, which the kernel hides once the process is
/// undumpable.
fn wait_for_host() -> anyhow::Result<()> {
    let mut seen = [0; SEEN.len()];
    let read = rustix::io::read(rustix::stdio::stdin(), &mut seen).context("cannot hear from the host")?;
    anyhow::ensure!(seen[..read] == *SEEN, "the host has gone");
    Ok(())
}

fn attempt(
    reporter: &Reporter,
    layers: Layers,
    prepare: impl FnOnce() -> anyhow::Result<Runtimes>,
    call: impl FnOnce(&DriverCall<'_>) -> Result<Tally, Failure> + Send,
) -> Result<Message, Failure> {
    wait_for_host().map_err(host_fault)?;
    let Runtimes { warm, runtime } = prepare().map_err(host_fault)?;
    reporter.send(&Message::Ready);
    let mut job = read_job().map_err(host_fault)?;
    reporter.guard(job.limits.log_bytes, &job.secrets);
    let names = shown_names(&job);
    // The machine's roots are in files that the process cannot open once it is confined.
    let trust = Trust::load(&job.network).map_err(|error| {
        Failure::new(Blame::User, "config", format!("cannot set up TLS for the step: {error:#}"))
            .hint("write the certificates in PEM form, from BEGIN to END")
    })?;
    let mut held = OpenFiles::of(&mut job).map_err(host_fault)?;
    let file_bytes = job.limits.output_bytes.max(job.limits.spill_bytes);
    let stacks = STACK as u64 + guest::INSTANCE_STACK as u64 * u64::from(job.instances);
    let granted = job.files.read.len() + job.files.write.len();
    sandbox::limit(granted, file_bytes, job.limits.data_bytes() + stacks, job.limits.cpu_seconds)
        .map_err(host_fault)?;
    databases::copy(&job, &held)?;
    confine(&job, &held, layers, reporter)?;
    // Compiled code is untrusted bytes until it is loaded, so it is loaded after confinement.
    let compiled = job.files.compiled.as_deref().context("the job names no driver").map_err(host_fault)?;
    let component = runtime::load(&runtime, compiled).map_err(host_fault)?;
    if layers.rules {
        sandbox::seal(!job.network.is_empty()).map_err(host_fault)?;
    }
    let engine = furnish(warm, &job, &mut held, layers)?;
    let engine = engine.with_status(Status::with_texts(texts(&job.config))).with_batches(job.disturbance.batches);
    let engine = Arc::new(engine);
    let watch = Watch::start(&job, &runtime, engine.interrupter(), reporter.clone()).map_err(host_fault)?;
    let before = on_own_stack(|| quality::before(&mut job, &engine, reporter));
    before.map_err(|failure| watch.failure().unwrap_or(failure))?;
    let driver_call = DriverCall { job: &job, component: &component, engine: &engine, reporter, trust: &trust };
    let outcome = on_own_stack(|| call(&driver_call));
    let outcome = outcome.and_then(|tally| finish(&job, &engine, tally, reporter));
    outcome.map_err(|failure| watch.failure().unwrap_or_else(|| renamed(failure, &names, &job)))
}

/// Every text in a config, at any depth.
fn texts(config: &Map<String, Value>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut left: Vec<&Value> = config.values().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => texts.push(text.clone()),
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => left.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    texts
}

/// The stack of the thread that calls the driver, in bytes. DuckDB also works for the driver on it and recurses as deep
/// as the data is nested; a file may legitimately have a million levels.
const STACK: usize = 256 << 20;

/// Calls the driver, or checks its data, on a thread with a stack for deeply nested data.
fn on_own_stack<T: Send>(call: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("driver".to_owned()).stack_size(STACK).spawn_scoped(scope, call);
        let failed = |why: &str| host_fault(anyhow::anyhow!("the thread that calls the driver {why}"));
        thread.map_err(|error| failed(&format!("cannot be started: {error}")))?.join().map_err(|_| failed("ended"))?
    })
}

/// The granted files' real paths, each with its name in the config.
fn shown_names(job: &Job) -> Vec<(String, String)> {
    let files = job.files.read.iter().chain(&job.files.write);
    files.map(|grant| (grant.path.to_string_lossy().into_owned(), grant.name.clone())).collect()
}

/// Replaces the paths of granted files in DuckDB's messages by their names in the config.
fn renamed(mut failure: Failure, names: &[(String, String)], job: &Job) -> Failure {
    let open = job.files.read.iter().chain(&job.files.write);
    let open = open.map(|grant| (grant.path.to_string_lossy().into_owned(), grant.name.clone()));
    for (path, name) in names.iter().cloned().chain(open) {
        failure.message = with_name(failure.message.raw(), &path, &name).into();
    }
    failure
}

/// Replaces `path` by `name`, except where the path is only the start of another one: `/proc/self/fd/5` is not
/// `/proc/self/fd/50`.
fn with_name(text: &str, path: &str, name: &str) -> String {
    let mut parts = text.split(path);
    let mut named = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        let mut next = rest.chars();
        let goes_on = match next.next() {
            Some('.') => next.next().is_some_and(char::is_alphanumeric),
            other => other.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/')),
        };
        named.push_str(if goes_on { path } else { name });
        named.push_str(rest);
    }
    named
}

fn confine(job: &Job, held: &OpenFiles, layers: Layers, reporter: &Reporter) -> Result<(), Failure> {
    let reach = Reach {
        read: [held.inputs(), held.read()].concat(),
        write: held.write(),
        load: held.code(),
        scratch: Some(&job.files.scratch),
        network: !job.network.is_empty(),
    };
    if !layers.rules {
        if layers.walls {
            sandbox::wall_in(&reach).map_err(host_fault)?;
        }
        return Ok(());
    }
    let confinement = sandbox::confine(&reach).context("cannot confine the step process").map_err(host_fault)?;
    if confinement.is_whole() {
        return Ok(());
    }
    if job.require_confinement {
        let message = format!("this machine gives no full confinement: {}", confinement.words());
        return Err(
            Failure::new(Blame::Host, "sandbox", message).hint("see `osiris doctor`, or omit `--require-sandbox`")
        );
    }
    reporter.log(LogLevel::Warn, format!("the step process is not fully confined: {}", confinement.words()), [].into());
    Ok(())
}

fn read_job() -> anyhow::Result<Job> {
    let mut line = Zeroizing::new(String::new());
    std::io::Read::take(std::io::stdin().lock(), MAX_JOB_BYTES)
        .read_line(&mut line)
        .context("cannot read the job from stdin")?;
    serde_json::from_str(&line).context("cannot understand the job on stdin")
}

fn furnish(warm: Warm, job: &Job, held: &mut OpenFiles, layers: Layers) -> Result<Engine, Failure> {
    // DuckDB opens DuckDB files here, and never again: a driver's SELECT must not read their bytes.
    let granted = job.files.read.iter().chain(&job.files.write);
    let granted = granted.filter(|grant| !job.files.databases.contains(&grant.name));
    let files: Vec<PathBuf> = granted.map(|grant| grant.path.clone()).collect();
    let temporary = TemporaryFolder::create(&job.files.scratch.join("temporary"), job.limits.spill_bytes)
        .context("cannot create the folder of the step's temporary files")
        .map_err(host_fault)?;
    let furnishing = Furnishing {
        inputs: &job.files.inputs,
        databases: &databases::files(job),
        output: job.files.output.as_deref(),
        spill: &job.files.scratch.join("spill"),
        files: &files,
        temporary: Some(temporary),
        limits: job.limits,
        lock: layers.engine,
    };
    // DuckDB has opened the inputs: from here on their files cannot be opened again.
    let narrowed = || {
        held.retire_inputs()?;
        held.retire_databases(job)?;
        let reach = Reach {
            read: held.read_plain(job),
            write: held.write(),
            load: None,
            scratch: Some(&job.files.scratch),
            network: !job.network.is_empty(),
        };
        if layers.rules { sandbox::narrow(&reach) } else { Ok(()) }
    };
    warm.furnish(&furnishing, narrowed).map_err(|error| match error {
        FurnishError::NoTable { .. } => Failure::new(Blame::User, "not-found", error.to_string())
            .hint("name one of that step's tables in `inputs: {alias: {from_step, table}}`"),
        FurnishError::Database { .. } => Failure::new(Blame::User, "data", error.to_string())
            .hint("name a file that DuckDB wrote, in a version that this DuckDB reads, and not encrypted"),
        FurnishError::OtherRows { .. } => Failure::new(Blame::Host, "worker", error.to_string())
            .hint("look at the machine that ran that step before you use it again"),
        FurnishError::Engine(error) => host_fault(anyhow::anyhow!(error).context("cannot open the step's database")),
    })
}

/// Closes the output and reports what the step produced.
fn finish(job: &Job, engine: &Engine, tally: Tally, reporter: &Reporter) -> Result<Message, Failure> {
    if let Some(said) = tally.said {
        return Ok(said);
    }
    let driver_fault = |message: String| Failure::new(Blame::Driver, "contract", message);
    if let Some(name) = tally.unfinished.first() {
        return Err(driver_fault(format!("driver `{}` left table `{name}` unfinished", job.driver)));
    }
    // A writer may also count its inputs, or read them twice: it delivers no more rows than they have.
    let inputs = job.files.inputs.iter().filter(|input| !input.is_reference);
    let input_rows = inputs.map(|input| engine.input_rows(&input.alias)).sum::<Result<u64, _>>();
    let input_rows =
        input_rows.map_err(|error| host_fault(anyhow::anyhow!(error).context("cannot count the step's inputs")))?;
    let rejected = tally.rejected.as_ref().map_or(0, |rejected| rejected.rows);
    on_own_stack(|| quality::after(job, engine, reporter, rejected))?;
    let tables = engine.finish().map_err(|error| {
        let full = error.cause == Cause::DiskFull;
        let error = anyhow::anyhow!(error).context("cannot close the step's output");
        if full { Failure::disk_full(format!("{error:#}")) } else { host_fault(error) }
    })?;
    let makes_none = !tables.keys().any(|table| job.rejects == 0 || table != REJECTED);
    if job.files.output.is_some() && job.kind.makes_tables() && makes_none {
        return Err(driver_fault(format!("driver `{}` made no table", job.driver)));
    }
    databases::write(job, &tally)?;
    for path in job.files.output.iter().chain(&tally.files_written) {
        let size = sync(path).map_err(host_fault)?;
        if size > job.limits.output_bytes {
            return Err(Overrun::Output.failure(job, engine.status().ran_authors()));
        }
    }
    let delivered = || tally.rows_out.min(input_rows).saturating_sub(rejected);
    let rows_written = if tally.rows_copied > 0 { tally.rows_copied } else { delivered() };
    let created = job.files.write.iter().filter(|grant| tally.files_written.contains(&grant.path));
    let files = created.map(|grant| grant.name.clone()).collect();
    let varying = Some(engine.status().varying());
    Ok(Message::Complete { tables, rows_written, files, state: tally.state, rejected: tally.rejected, varying })
}

/// Makes a file durable; returns its size in bytes.
#[expect(clippy::disallowed_methods, reason = "flushes the step's own output")]
fn sync(path: &Path) -> anyhow::Result<u64> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all().and_then(|()| Ok(file.metadata()?.len())))
        .with_context(|| format!("cannot flush `{}` to disk", path.display()))
}

#[cfg(test)]
mod name_tests {
    use super::with_name;

    #[test]
    fn a_path_that_is_the_start_of_another_is_left_alone() {
        for (text, expected) in [
            ("cannot open /proc/self/fd/5: no", "cannot open a.csv: no"),
            ("/proc/self/fd/50 and /proc/self/fd/5", "/proc/self/fd/50 and a.csv"),
            ("`/proc/self/fd/5`.", "`a.csv`."),
            ("see /proc/self/fd/5.", "see a.csv."),
            ("/proc/self/fd/5.gz, /proc/self/fd/5/x", "/proc/self/fd/5.gz, /proc/self/fd/5/x"),
        ] {
            assert_eq!(with_name(text, "/proc/self/fd/5", "a.csv"), expected);
        }
    }
}
