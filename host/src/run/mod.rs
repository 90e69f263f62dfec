//! Runs a plan: each step in a separate process, as soon as its inputs are ready.

mod attempt;
mod claims;
mod companions;
mod deliveries;
mod fleet;
pub mod ledger;
pub mod matched;
mod outcome;
mod partitions;
pub mod probe;
mod record;
mod resume;
mod retry;
pub mod reuse;
mod schedule;
pub mod selection;
pub mod settle;
pub mod states;
pub mod targets;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use serde_json::json;

use crate::driver::{compiler, runtime};
use crate::environment;
use crate::executor::process::{BACKLOG, ProcessEvent, StepProcess};
use crate::grants::Grants;
use crate::grants::credentials::{self, Credential};
use crate::grants::limits::Limits;
use crate::pipeline::StepId;
use crate::plan::Plan;
use crate::protocol::disturbance::Disturbance;
use crate::protocol::{LogLevel, NetworkGrant, Reachable};
use crate::recordings::{Exchanges, Seen};
use crate::secrets::scrubber::Scrubbed;
use crate::session::{Base, Manifest, Session, Status};
use crate::warning::Warning;
use fleet::{Fleet, Workers};
use ledger::Records;
use ledger::shared::Shared;
use reuse::{Reuse, Reusing};
use schedule::Schedule;
use selection::Selection;
use settle::{Apart, Ties};
use states::States;

pub use record::manifest;

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most steps that run at once on this machine.
    pub jobs: usize,
    /// The most steps that run at once, wherever.
    pub most_jobs: usize,
    pub limits: Limits,
    pub require_confinement: bool,
    /// Whether the run reuses what earlier ones made.
    pub reusing: Reusing,
    /// How the step under test is run, if this is a test of a driver.
    pub test: Option<TestRun>,
}

/// How the step under test is run.
#[derive(Debug, Clone)]
pub struct TestRun {
    pub step: StepId,
    /// Whether it may connect to what it was granted. Otherwise it makes no connection at all.
    pub has_network: bool,
    /// How it is disturbed.
    pub disturbance: Disturbance,
    /// What becomes of its HTTP requests.
    pub exchanges: Exchanges,
}

impl Settings {
    /// How a step is run, if it is the one under test.
    fn test_of(&self, step: &StepId) -> Option<&TestRun> {
        self.test.as_ref().filter(|test| test.step == *step)
    }
}

/// A plan with everything that is needed to run it.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    pub plan: &'a Plan,
    /// The states from which its steps continue.
    pub states: &'a States,
    pub base: &'a Base,
    pub session: &'a Session,
    pub settings: &'a Settings,
    /// What is taken over, if not all steps are to run.
    pub selection: Option<&'a Selection>,
}

/// Where a run begins: what is done already, and the ledger that it shares with other hosts, if it has an exchange.
#[derive(Debug, Default)]
pub struct Beginning {
    pub records: Records,
    pub shared: Option<Shared>,
    /// Whether the session was begun before.
    pub is_resumed: bool,
}

/// The channel on which step processes and signals are heard, and a process that is ready for the first step.
pub struct Line {
    pub say: SyncSender<ProcessEvent>,
    heard: Receiver<ProcessEvent>,
    first: Option<StepProcess>,
    /// The workers that run steps.
    workers: Workers,
}

impl Line {
    /// Starts the process ahead of time: its start takes about as long as planning does.
    ///
    /// Must be called on the thread that runs the plan, because the process dies with it.
    pub fn open() -> Self {
        let (say, heard) = sync_channel(BACKLOG);
        // If it cannot be started, the error is reported for the first step.
        let first = StepProcess::start(FIRST, &say).ok();
        Self { say, heard, first, workers: Workers::new() }
    }

    /// Connects to the workers that a plan needs.
    ///
    /// # Errors
    /// As for [`Worker::connect`](crate::executor::worker::Worker::connect).
    pub fn connect(&mut self, plan: &Plan, require_confinement: bool) -> anyhow::Result<()> {
        if plan.steps.iter().all(|step| step.on.worker().is_some()) {
            self.first = None;
        }
        self.workers = fleet::connect(plan, &self.say, require_confinement)?;
        Ok(())
    }
}

/// The number of the first step process of a run.
const FIRST: u64 = 1;

/// Receives what happens while a plan runs. All text has been redacted.
pub trait Observer {
    /// A driver is being compiled, once for this machine.
    fn compiling(&mut self, driver: &str);
    fn started(&mut self, step: &str);
    fn progress(&mut self, step: &str, done: u64, total: Option<u64>);
    fn log(&mut self, step: &str, level: LogLevel, line: &Scrubbed<Warning>);
    /// A driver has measured something.
    fn metric(&mut self, _step: &str, _name: &Scrubbed<String>, _value: f64) {}
    /// The calls of the driver of a step under test that can fail, and the most memory that it had, if its disturbance asks
    /// for them.
    fn observed(&mut self, _step: &str, _calls: Vec<String>, _guest_memory_bytes: u64) {}
    /// A request of the step under test; `None` if there were more than are heard.
    fn exchange(&mut self, _step: &str, _seen: Option<Seen>) {}
    /// A step has ended or was skipped; its record says how.
    fn ended(&mut self, step: &crate::session::StepRecord);
}

/// Compiles the plan's drivers; returns the compiled file of each by digest. A worker compiles for itself, but a driver that
/// does not compile is refused before anything runs.
///
/// # Errors
/// If a driver does not compile; [`compiler::Interrupted`] if `interrupted` returns true.
pub fn compile(
    plan: &Plan,
    observer: &mut dyn Observer,
    interrupted: &dyn Fn() -> bool,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let engine = runtime::engine()?;
    let mut compiled = BTreeMap::new();
    for driver in plan.steps.iter().map(|step| &step.driver) {
        if !compiled.contains_key(&driver.sha256) {
            let compiling = || observer.compiling(&driver.label());
            let wasm = (driver.path.as_path(), &*driver.path.display().to_string());
            let path = compiler::compiled(&engine, wasm, &driver.sha256, compiling, interrupted)?;
            compiled.insert(driver.sha256.clone(), path);
        }
    }
    Ok(compiled)
}

/// Runs a plan in its session; the returned manifest is the record of what happened, and is on disk.
///
/// Must be called on a thread that outlives the steps, because their processes die with it. A signal handler sends to
/// `line`. `compiled_all` is called before anything runs.
///
/// # Errors
/// If the host itself fails; a step that fails is part of the record.
pub fn run(
    &Work { plan, states, base, session, settings, selection }: &Work<'_>,
    (mut manifest, beginning): (Manifest, Beginning),
    Line { say, heard, first, workers }: Line,
    observer: &mut dyn Observer,
    compiled_all: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Manifest> {
    let begun = Instant::now();
    // Among the events is the end of the first process, which the schedule must not miss.
    let early = RefCell::new(Vec::new());
    let signal = || {
        let mut early = early.borrow_mut();
        early.extend(heard.try_iter());
        early.iter().any(|event| matches!(event, ProcessEvent::Signal))
    };
    let (compiled, interrupted) = match compile(plan, observer, &signal) {
        Ok(compiled) => (compiled, signal()),
        Err(error) if error.is::<compiler::Interrupted>() => (BTreeMap::new(), true),
        Err(error) => return Err(error),
    };
    if !interrupted {
        compiled_all()?;
    }
    let Beginning { records, shared, is_resumed } = beginning;
    let ties = shared.map(|shared| tie(shared, &say, settings)).transpose()?;
    session.write_manifest(&manifest)?;
    let started = json!({"pipeline": plan.pipeline, "steps": plan.steps.len(), "profile": manifest.profile});
    session.event("run_start", started);
    for notice in &plan.notices {
        session.event("notice", json!({"message": notice.message, "fields": notice.fields}));
    }
    // What is in an exchange is not reused yet.
    let reusing = if ties.is_some() { Reusing::Off } else { settings.reusing };
    let fleet = Fleet::new(plan, settings, workers, (say.clone(), first))?;
    let mut schedule = Schedule {
        plan,
        base,
        session,
        settings,
        compiled,
        manifest: &mut manifest,
        observer,
        ties,
        apart: Apart::default(),
        reuse: Reuse::new(reusing, base, say),
        outcomes: BTreeMap::new(),
        begun: BTreeSet::new(),
        superseded: false,
        waiting: (0..plan.steps.len()).collect(),
        running: BTreeMap::new(),
        retrying: BTreeMap::new(),
        busy: BTreeMap::new(),
        fleet,
        interrupted,
        earlier: &states.earlier,
        selection,
        turn: states.turn.as_ref(),
        states: BTreeMap::new(),
        answered_by: BTreeSet::new(),
    };
    schedule.carry_out(is_resumed.then_some(records), reusing, early.take(), &heard)?;
    let (interrupted, ties) = (schedule.interrupted, schedule.ties.take());
    record::close(&mut manifest, begun.elapsed(), interrupted);
    session.write_manifest(&manifest)?;
    if let Some(ties) = ties {
        untie(ties, &manifest, session);
    }
    session.event("run_end", json!({"status": manifest.status, "duration_ms": manifest.duration_ms}));
    Ok(manifest)
}

/// Shows others that this host runs the session, and gets ready to use its exchange.
fn tie(shared: Shared, say: &SyncSender<ProcessEvent>, settings: &Settings) -> anyhow::Result<Ties> {
    shared.keep_alive(say.clone())?;
    Ties::new(shared, say.clone(), settings.require_confinement)
}

/// Ends the host's claim on the session.
fn untie(ties: Ties, manifest: &Manifest, session: &Session) {
    if manifest.status != Status::Success {
        // A store that was waited for in vain is not waited for again: the claim then ends with its lease.
        ties.shared.exchange().hurry();
    }
    ties.end(&session.scrubber.scrubbed(manifest));
}

/// What a step may reach by its grants, for its process.
pub fn network(grants: &Grants, credentials: &[Credential]) -> NetworkGrant {
    NetworkGrant {
        credentials: credentials.to_vec(),
        withheld: credentials::withheld(&grants.credentials),
        connect: grants.connect.clone(),
        http: grants.http.clone(),
        fetch: grants.fetch.clone(),
        roots: grants.roots.clone(),
        roots_file: environment::variable(environment::ROOTS_FILE).map(PathBuf::from),
        verified_tls: grants.verified_tls,
    }
}

/// What a step may reach by its grants, for its broker.
pub fn reachable(grants: &Grants) -> Reachable {
    let endpoints = grants.endpoints();
    Reachable { endpoints, private_hosts: grants.private_hosts.clone() }
}
