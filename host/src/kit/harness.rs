//! Runs a driver once: the same plan, the same step processes and the same sandbox as `osiris run`, in a private base
//! folder that is removed afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::interrupt::Interrupt;
use super::outcome::{Heard, Outcome, read_tables, written_files};
use super::private_folder::PrivateFolder;
use super::source::{MadeFile, SQL, Source, TestInput, step};
use crate::driver::catalog::{Catalog, Driver};
use crate::driver::config::Judge;
use crate::driver::{compiler, runtime};
use crate::engine::InputTable;
use crate::error::{Failure, Fault, Report};
use crate::executor::disk::Disk;
use crate::executor::supervisor::Supervisor;
use crate::grants::limits::Limits;
use crate::grants::policy::{ConnectionHosts, Hosts, Policy};
use crate::pipeline::connections::Connections;
use crate::pipeline::params::{Environment, Params};
use crate::pipeline::project::Project;
use crate::pipeline::retries::Retries;
use crate::pipeline::{Pipeline, Step, StepId};
use crate::plan::{Plan, PlanContext, plan};
use crate::protocol::disturbance::Disturbance;
use crate::recordings::Exchanges;
use crate::run::reuse::Reusing;
use crate::run::states::States;
use crate::run::{self, Beginning, Line, Settings, TestRun, Work, manifest, targets};
use crate::secrets::scrubber::Scrubber;
use crate::session::state::StoredState;
use crate::session::{Base, Session, StepRecord, now, state};

/// The pipeline's name, and the step of the driver under test.
const PIPELINE: &str = "test";
pub(super) const STEP: &str = "driver";

/// The table of a step that has one.
const MAIN: &str = "main";

/// Runs a driver in tests. Runs may go on at the same time on several threads.
#[derive(Debug)]
pub struct Harness {
    /// The driver under test.
    pub driver: Driver,
    /// An earlier version of it, if the user named one.
    pub against: Option<Driver>,
    /// Finds the drivers that make inputs, and judges configs.
    catalog: Catalog,
    environment: Environment,
    require_confinement: bool,
    /// Ends all runs.
    pub interrupt: Interrupt,
    /// Drivers that make inputs, by name.
    sources: Mutex<BTreeMap<String, Driver>>,
}

/// One run of a driver.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// The config as in a pipeline, including secrets.
    pub config: Map<String, Value>,
    pub inputs: Vec<TestInput>,
    /// Files of the base folder, by their path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files of the base folder that other drivers make first.
    pub made_files: Vec<MadeFile>,
    /// Tables that other drivers read afterwards, such as those of written files, by a name for each.
    pub read_back: BTreeMap<String, Source>,
    /// The values of `${NAME}` in the config, in addition to the harness's own.
    pub environment: Environment,
    /// The state that the previous run left, as JSON.
    pub state: Option<String>,
    /// How often the driver is called again after a failure that may be temporary.
    pub retries: u32,
    /// How many rows the driver may reject.
    pub rejects: u32,
    /// Limits of resources, if not the usual ones.
    pub limits: Option<Limits>,
    /// What becomes of its HTTP requests. A driver whose requests are replayed connects to nothing.
    pub exchanges: Exchanges,
    /// How the run is disturbed.
    pub disturbance: Disturbance,
    /// Whether the driver may connect to what its config names.
    pub has_network: bool,
    /// The hosts that may be in a private network, or on this machine.
    pub private_hosts: BTreeSet<String>,
}

impl Harness {
    pub fn new(driver: Driver, against: Option<Driver>, catalog: Catalog, environment: Environment) -> Self {
        Self {
            driver,
            against,
            catalog,
            environment,
            require_confinement: false,
            interrupt: Interrupt::default(),
            sources: Mutex::default(),
        }
    }

    /// With `require_confinement`, nothing runs if the kernel cannot confine processes fully.
    #[must_use]
    pub fn with_confinement(mut self, require_confinement: bool) -> Self {
        self.require_confinement = require_confinement;
        self
    }

    /// Compiles the driver under test and its earlier version, so that no test has to.
    ///
    /// # Errors
    /// If one does not compile, or does not fit this host.
    pub fn compile(&self) -> anyhow::Result<()> {
        let engine = runtime::engine()?;
        for Driver { path, sha256, .. } in std::iter::once(&self.driver).chain(&self.against) {
            compiler::compiled(&engine, (path, &path.display().to_string()), sha256, || (), &|| false)?;
        }
        Ok(())
    }

    /// Whether the environment has a variable.
    pub fn has_variable(&self, name: &str) -> bool {
        self.environment.contains_key(name)
    }

    /// Runs the driver under test.
    ///
    /// # Errors
    /// If an input cannot be made, or the machine fails. A driver that fails is an outcome.
    pub fn run(&self, trial: &Trial) -> anyhow::Result<Outcome> {
        self.run_driver(&self.driver, trial)
    }

    /// Runs any driver.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn run_driver(&self, driver: &Driver, trial: &Trial) -> anyhow::Result<Outcome> {
        // The step processes die with the thread that started them, which is this one.
        let line = Line::open();
        let _registered = self.interrupt.register(&line.say)?;
        let folder = PrivateFolder::create()?;
        let base = Base::open(folder.path())?;
        write_files(&base, &trial.files)?;
        let steps = self.steps(driver, trial)?;
        let mut plan = match self.plan(&steps, trial, &base) {
            Ok(plan) => plan,
            Err(error) => {
                // Only an error of the driver's own step is an outcome.
                self.plan(&steps.before_driver(), trial, &base)?;
                return refused(error);
            }
        };
        if let Err(error) = targets::check(&base, &plan.steps) {
            return refused(error);
        }
        seed_state(&base, &plan, trial)?;
        let states = States::open(&base, &mut plan, None)?;
        let scrubber = Scrubber::new(plan.steps.iter().flat_map(|step| step.secrets.values().chain(&step.hidden)));
        let session = Session::create(&base, scrubber)?;
        let free = Disk::of(&base.dir).map_or(u64::MAX, |disk| disk.free);
        let settings = Settings {
            jobs: 2,
            most_jobs: 2,
            limits: trial.limits.unwrap_or(Limits::DEFAULT).on_disk(&[Limits::OUTPUT, Limits::SPILL], free),
            require_confinement: self.require_confinement,
            reusing: Reusing::Off,
            test: Some(TestRun {
                step: StepId::new(STEP)?,
                has_network: trial.has_network,
                disturbance: trial.disturbance.clone(),
                exchanges: trial.exchanges.clone(),
            }),
        };
        let record = manifest(&plan, &session.id, ("", ""), None, None);
        let work =
            Work { plan: &plan, states: &states, base: &base, session: &session, settings: &settings, selection: None };
        let mut heard = Heard::default();
        let manifest = run::run(&work, (record, Beginning::default()), line, &mut heard, || Ok(()))?;
        if let Some((step, error)) = earlier_error(&manifest.steps) {
            let message = format!("step `{}`, which the test needs, failed: {}", step.id, error.message);
            return Err(Report::input(message).into());
        }
        let tested = manifest.steps.iter().find(|step| step.id == STEP).context("the driver's step is missing")?;
        let mut outcome = Outcome::of(tested, heard);
        self.collect(&mut outcome, tested, &plan, &base, &session)?;
        self.read_back(&mut outcome, trial, &manifest.steps, &session)?;
        session.close();
        Ok(outcome)
    }

    /// The steps of a trial and the drivers that they name: what makes files and inputs, the driver under test, and what
    /// reads its files.
    fn steps(&self, driver: &Driver, trial: &Trial) -> anyhow::Result<Steps> {
        let mut steps = Steps { drivers: BTreeMap::from([(STEP.to_owned(), driver.clone())]), steps: Vec::new() };
        let mut made = Vec::new();
        for (number, file) in trial.made_files.iter().enumerate() {
            let source = StepId::new(&format!("rows-{}", number + 1))?;
            let id = StepId::new(&format!("file-{}", number + 1))?;
            let (component, config) = file.source.step()?;
            steps.add(self, step(source.clone(), component, config))?;
            let inputs = Some(vec![(source.to_string(), source, MAIN.to_owned())]);
            steps.add(self, Step { inputs, ..step(id.clone(), file.writer.clone(), file.config.clone()) })?;
            made.push(id);
        }
        let mut inputs = Vec::new();
        for (number, input) in trial.inputs.iter().enumerate() {
            let id = StepId::new(&format!("input-{}", number + 1))?;
            let (component, config) = input.source.step()?;
            inputs.push((input.alias.clone(), id.clone(), MAIN.to_owned()));
            steps.add(self, step(id, component, config))?;
        }
        let inputs = Some(inputs).filter(|inputs| !inputs.is_empty());
        let tested = step(StepId::new(STEP)?, STEP.to_owned(), trial.config.clone());
        let retries = Retries::times(trial.retries);
        steps.add(self, Step { retries, rejects: trial.rejects, needs: Some(made), inputs, ..tested })?;
        for (number, source) in trial.read_back.values().enumerate() {
            let (component, config) = source.step()?;
            let needs = Some(vec![StepId::new(STEP)?]);
            steps.add(self, Step { needs, ..step(read_step(number)?, component, config) })?;
        }
        Ok(steps)
    }

    fn plan(&self, Steps { drivers, steps }: &Steps, trial: &Trial, base: &Base) -> anyhow::Result<Plan> {
        let pipeline = Pipeline {
            name: PIPELINE.to_owned(),
            params: BTreeMap::new(),
            profiles: BTreeMap::new(),
            metadata: Map::new(),
            is_scheduled: false,
            steps: steps.clone(),
        };
        let mut environment = self.environment.clone();
        environment.extend(trial.environment.clone());
        let policy = Policy {
            hosts: Hosts::Any,
            private_hosts: trial.private_hosts.clone(),
            ..Policy::default_with(ConnectionHosts::default())
        };
        let project = Project::default();
        let context = PlanContext {
            project: &project,
            on: None,
            params: &Params::default(),
            connections: &Connections::default(),
            environment: &environment,
            drivers,
            base: &base.path,
            policy: &policy,
            judge: &self.catalog.inspector,
            profile: None,
        };
        Ok(plan(&pipeline, &context)?)
    }

    /// Runs a SELECT of DuckDB over inputs.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn query(&self, select: &str, inputs: Vec<TestInput>) -> anyhow::Result<Outcome> {
        self.query_with_files(select, inputs, BTreeMap::new())
    }

    /// Runs a SELECT of DuckDB over inputs, which may be made from files.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn query_with_files(
        &self,
        select: &str,
        inputs: Vec<TestInput>,
        files: BTreeMap<String, Vec<u8>>,
    ) -> anyhow::Result<Outcome> {
        let config = Map::from_iter([("query".to_owned(), Value::from(select))]);
        self.run_driver(&self.source(SQL)?, &Trial { config, inputs, files, ..Trial::default() })
    }

    /// Judges configs by their driver's schema.
    pub fn judge(&self) -> &dyn Judge {
        &self.catalog.inspector
    }

    /// The driver of that name, which makes or reads what a test needs.
    ///
    /// # Errors
    /// If there is none.
    pub fn source(&self, component: &str) -> anyhow::Result<Driver> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = sources.get(component) {
            return Ok(driver.clone());
        }
        let driver = self.catalog.find(component)?;
        sources.insert(component.to_owned(), driver.clone());
        Ok(driver)
    }

    /// Adds to an outcome the tables that other drivers read from its files.
    fn read_back(
        &self,
        outcome: &mut Outcome,
        trial: &Trial,
        records: &[StepRecord],
        session: &Session,
    ) -> anyhow::Result<()> {
        if !outcome.is_success() {
            return Ok(());
        }
        for (number, name) in trial.read_back.keys().enumerate() {
            let id = read_step(number)?;
            let record = records.iter().find(|record| record.id == id.as_str()).context("a step is missing")?;
            let read = match &record.error {
                Some(error) => Err(error.message.to_string()),
                None => {
                    let path = session.data_file(&id);
                    let main = InputTable::new(MAIN, path, MAIN);
                    let mut tables = read_tables(vec![main], self.require_confinement, &Supervisor::start()?)?;
                    tables.remove(MAIN).ok_or_else(|| "it has no table `main`".to_owned())
                }
            };
            outcome.read_back.insert(name.clone(), read);
        }
        Ok(())
    }

    /// Adds to an outcome what the run left on disk.
    fn collect(
        &self,
        outcome: &mut Outcome,
        record: &StepRecord,
        plan: &Plan,
        base: &Base,
        session: &Session,
    ) -> anyhow::Result<()> {
        let step = plan.steps.iter().find(|step| step.id.as_str() == STEP).context("the driver's step is missing")?;
        if outcome.is_success() && !record.tables.is_empty() {
            let path = session.data_file(&step.id);
            let table = |name: &String| InputTable::new(name, path.clone(), name);
            let tables = record.tables.keys().map(table).collect();
            outcome.tables = read_tables(tables, self.require_confinement, &Supervisor::start()?)?;
        }
        outcome.state = state::read(base, PIPELINE, STEP)?.map(|kept| kept.state.get().to_owned());
        let updated = step.grants.databases.update.iter().filter(|wish| base.dir.exists(&wish.below));
        outcome.databases = updated.map(|wish| wish.name.clone()).collect();
        outcome.files = written_files(base, step)?;
        Ok(())
    }
}

/// A pipeline's steps, and the drivers that they name.
struct Steps {
    drivers: BTreeMap<String, Driver>,
    steps: Vec<Step>,
}

impl Steps {
    fn add(&mut self, harness: &Harness, step: Step) -> anyhow::Result<()> {
        if !self.drivers.contains_key(&step.component) {
            self.drivers.insert(step.component.clone(), harness.source(&step.component)?);
        }
        self.steps.push(step);
        Ok(())
    }

    /// The steps that the one under test needs.
    fn before_driver(&self) -> Self {
        let earlier = self.steps.iter().take_while(|step| step.id.as_str() != STEP);
        Self { drivers: self.drivers.clone(), steps: earlier.cloned().collect() }
    }
}

/// The step that makes one of the tables of `read_back`.
fn read_step(number: usize) -> anyhow::Result<StepId> {
    Ok(StepId::new(&format!("read-{}", number + 1))?)
}

/// The failure of a step before the one under test.
fn earlier_error(steps: &[StepRecord]) -> Option<(&StepRecord, &Failure)> {
    let earlier = steps.iter().take_while(|step| step.id != STEP);
    earlier.filter_map(|step| step.error.as_ref().map(|error| (step, error))).next()
}

/// What the user got wrong is the outcome of a test; another error is a fault of the host.
fn refused(error: anyhow::Error) -> anyhow::Result<Outcome> {
    match Report::of(error) {
        Ok(report) if report.fault == Fault::Input => Ok(Outcome::refused(report)),
        Ok(report) => Err(report.into()),
        Err(error) => Err(error),
    }
}

/// Writes the files of a test into its base folder.
pub(super) fn write_files(base: &Base, files: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    for (name, bytes) in files {
        let doing = || format!("cannot create the file `{name}` of the test");
        if let Some(folder) = std::path::Path::new(name).parent() {
            base.dir.create_dir_all(folder).with_context(doing)?;
        }
        base.dir.write(name, bytes).with_context(doing)?;
    }
    Ok(())
}

/// Stores the state that the run continues from, as the previous run would have.
fn seed_state(base: &Base, plan: &Plan, trial: &Trial) -> anyhow::Result<()> {
    let Some(earlier) = &trial.state else { return Ok(()) };
    let Some(step) = plan.steps.iter().find(|step| step.id.as_str() == STEP) else { return Ok(()) };
    if step.state.is_none() {
        let message = "the test has a state, but the driver keeps none with this config";
        return Err(Report::input(message)
            .hint("remove `state` from the test, or set `state: true` in the spec's `grants`")
            .into());
    }
    let stored = StoredState {
        pipeline: PIPELINE.to_owned(),
        step: STEP.to_owned(),
        driver: step.driver.label(),
        session: String::new(),
        updated_at: now(),
        identity: step.state.clone(),
        exchange: None,
        state: RawValue::from_string(earlier.clone())
            .map_err(|error| Report::input(format!("the test's state is not JSON: {error}")))?,
    };
    state::write(base, &stored)
}
