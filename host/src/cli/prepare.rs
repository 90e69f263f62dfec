//! What `run`, `plan` and `validate` share: turns a pipeline file into a checked plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::digest::sha256_of;
use crate::driver::catalog::{Catalog, Driver};
use crate::error::{Report, Reports, listed};
use crate::exchange::{Access, FAMILY, Location};
use crate::grants::limits::Limits;
use crate::grants::policy::{self, ConnectionHosts, Policy};
use crate::pipeline::connections::{self, Connections};
use crate::pipeline::params::{self, Environment, Params, Sources};
use crate::pipeline::project::{self, Keep, Project};
use crate::pipeline::{self, Pipeline};
use crate::plan::{Plan, PlanContext, PlannedStep, plan};
use crate::run::targets;
use crate::session::{Base, plain};
use crate::untrusted;

use super::expectations::{self, Bind};
use super::folders::FolderArguments;
use super::limits::LimitArguments;
use super::located::Located;
use super::lock;
use super::run::Pins;
use super::secret_sources::{Commands, SecretSources, Values};

/// A pipeline, its parameters and its base folder.
#[derive(Debug, Clone, clap::Args)]
pub struct PipelineArguments {
    /// The pipeline's YAML file
    pub pipeline: PathBuf,
    /// The pipeline itself, if it is in no file.
    #[arg(skip)]
    pub text: Option<String>,
    /// Set a parameter; this wins over the profile, $OSIRIS_PARAM_<NAME> and the default value
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    #[arg(skip)]
    pub recorded: Recorded,
    /// What a test of the pipeline gives in place of the environment.
    #[arg(skip)]
    pub sealed: Option<Sealed>,
    /// Use one of the pipeline's profiles
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Run all steps there: a worker of `osiris.yaml`, `local`, or a command that leads to `osiris worker`, such as `ssh build1
    /// osiris worker`, `e2b[:TEMPLATE]` for sandboxes of E2B, or `ray[:ADDRESS]` for a Ray cluster [default: as the step, the profile or `osiris.yaml` says]
    #[arg(long, value_name = "WORKER")]
    pub on: Option<String>,
    /// Have steps on other machines pass data through an object store or a folder that all machines share, and keep the ledger
    /// of the run there: `s3://bucket/prefix` or `file:///folder` [default: as `osiris.yaml` says, or else through the workers'
    /// connections]
    #[arg(long, value_name = "URL")]
    pub exchange: Option<String>,
    /// The operator's ceiling, which no step may exceed [default: files in the base folder, hosts of the connections file]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// The parameters of the session that is resumed.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    pub values: BTreeMap<String, Value>,
    /// Those that the command line set then.
    pub given: BTreeSet<String>,
}

/// What takes the place of the environment and the clock.
#[derive(Debug, Clone, Default)]
pub struct Sealed {
    pub environment: Environment,
    /// What `today` and the like are relative to in parameters, if not the present time.
    pub now: Option<Timestamp>,
}

/// Where paths start and where drivers are found.
#[derive(Debug, Clone, clap::Args)]
pub struct PlaceArguments {
    #[command(flatten)]
    pub folders: FolderArguments,
    /// Also look for drivers here, before $OSIRIS_DRIVERS and `drivers` in the base folder
    #[arg(long, value_name = "DIR")]
    pub drivers: Vec<PathBuf>,
    /// Read variables for `${NAME}` from this file; the environment wins over them [default: `.env` in the base folder, if there
    /// is one]
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

impl PipelineArguments {
    /// A pipeline without options.
    pub fn of(pipeline: PathBuf, place: PlaceArguments) -> Self {
        Self {
            pipeline,
            text: None,
            params: Vec::new(),
            recorded: Recorded::default(),
            sealed: None,
            profile: None,
            place,
            on: None,
            exchange: None,
            policy: None,
            limits: LimitArguments { limits: Limits::DEFAULT, defaults: Vec::new() },
        }
    }

    /// The parameters that the command line sets, or set when the resumed session began.
    pub fn given_params(&self) -> BTreeSet<String> {
        self.params.iter().map(|(name, _)| name.clone()).chain(self.recorded.given.iter().cloned()).collect()
    }

    /// Opens the base folder.
    ///
    /// # Errors
    /// A [`Report`] if it, or one of Osiris's own folders, cannot be used.
    pub fn open_base(&self) -> anyhow::Result<Base> {
        let folder = self.pipeline.parent().filter(|folder| !folder.as_os_str().is_empty());
        self.place.folders.open_for(folder.unwrap_or(Path::new(".")))
    }
}

impl PlaceArguments {
    /// The folders that are searched for drivers.
    ///
    /// # Errors
    /// A [`Report`] if a named folder does not exist.
    pub fn catalog(&self, base: &Path) -> Result<Catalog, Report> {
        match self.drivers.iter().find(|folder| !folder.is_dir()) {
            Some(missing) => Err(Report::input(format!("the driver folder `{}` does not exist", missing.display()))
                .hint("name an existing folder with `--drivers DIR`")),
            None => Ok(Catalog::new(&self.drivers, base)),
        }
    }
}

pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A pipeline that has been read and planned.
pub struct PlannedPipeline {
    pub plan: Plan,
    pub values: Values,
    pub params: Params,
    pub base: Base,
    /// The digest of the pipeline file, in hexadecimal.
    pub sha256: String,
    /// The exchange of the run, if it has one.
    pub exchange: Option<Access>,
    /// The resource limits of each step: as requested, within the policy.
    pub limits: Limits,
    /// Which sessions stay after the run.
    pub keep: Option<Keep>,
    /// The variables without a value that each step needs, if those have stand-ins.
    pub unknown: Unknown,
    /// The pipeline as its author wrote it.
    pub written: Pipeline,
    /// Where its parts are in its file.
    pub located: Located,
}

/// Reads, checks and plans the pipeline; drivers that differ from what the lock pins are refused, unless pins are ignored.
///
/// # Errors
/// If anything in the user's input is wrong; nothing has run by then.
pub fn prepare(arguments: &PipelineArguments, pins: Pins, commands: Commands) -> anyhow::Result<PlannedPipeline> {
    prepare_bound(arguments, pins, commands, false)
}

/// Like [`prepare`]; `binds` binds the SQL of steps against what is known of their inputs.
///
/// # Errors
/// As for [`prepare`].
pub fn prepare_bound(
    arguments: &PipelineArguments,
    pins: Pins,
    commands: Commands,
    binds: bool,
) -> anyhow::Result<PlannedPipeline> {
    let mut prepared = plan_pipeline(arguments, commands)?;
    if arguments.sealed.is_none() {
        warn_of_short_secrets(&prepared);
    }
    let mut wrong = Reports::default();
    wrong.gather(lock::check(&prepared.base, &mut prepared.plan, pins))?;
    // What is there now says nothing about where the pipeline runs.
    if commands != Commands::Offline {
        wrong.gather(targets::check(&prepared.base, &prepared.plan.steps))?;
    }
    let bind = match (binds, commands) {
        (false, _) => Bind::Nothing,
        (true, Commands::Offline) => Bind::Declared(&prepared.written),
        (true, _) => Bind::Sessions(&prepared.written, &prepared.base),
    };
    let file = arguments.pipeline.display().to_string();
    wrong.gather(expectations::check(&mut prepared.plan, &file, bind))?;
    if prepared.exchange.is_some() {
        wrong.note(refuse_updates(&prepared.plan));
    }
    let wrong = wrong.into_result().map_err(|wrong| prepared.values.redact(prepared.located.reports(wrong).into()));
    wrong.map(|()| prepared)
}

/// Refuses steps that update a file in place of others: hosts that take over a session from each other would not notice
/// who has updated it.
fn refuse_updates(plan: &Plan) -> Result<(), Report> {
    let step = plan.steps.iter().find_map(|step| Some((step, step.grants.databases.update.first()?)));
    step.map_or(Ok(()), |(step, file)| {
        Err(Report::input(format!(
            "step `{}` updates `{}`, which a run with an exchange cannot: another host may take it over",
            step.id, file.name
        ))
        .hint("run the pipeline without `exchange`, on workers by `--on` if needed, or write a file that is replaced"))
    })
}

/// Warns once about secrets that are too short to be redacted everywhere.
fn warn_of_short_secrets(prepared: &PlannedPipeline) {
    let of_steps = prepared.plan.steps.iter().flat_map(PlannedStep::short_secrets);
    let short: BTreeSet<&str> = of_steps.chain(prepared.values.short()).collect();
    if !short.is_empty() {
        let places = listed(short);
        eprintln!(
            "warning: {} too short to be redacted from all output, because ordinary words would be redacted too; use longer ones",
            untrusted::line(&format!("the secrets at {places} are"))
        );
    }
}

/// Like [`prepare`], but without checking the lock or whether files exist.
///
/// # Errors
/// If anything else in the user's input is wrong.
pub fn plan_pipeline(arguments: &PipelineArguments, commands: Commands) -> anyhow::Result<PlannedPipeline> {
    let (text, pipeline) = read_pipeline(arguments)?;
    let located = Located::new(arguments.pipeline.display().to_string(), &text, Some(&pipeline));
    match plan_written(arguments, commands, pipeline, sha256_of(text.as_bytes())) {
        Ok(planned) => Ok(PlannedPipeline { located, ..planned }),
        Err(error) => Err(located.error(error)),
    }
}

fn plan_written(
    arguments: &PipelineArguments,
    commands: Commands,
    pipeline: Pipeline,
    sha256: String,
) -> anyhow::Result<PlannedPipeline> {
    let mut base = arguments.open_base()?;
    let connections = read_connections(&base)?;
    let project = read_project(&base)?;
    let on = arguments.on.as_deref().map(|on| project.chosen(on)).transpose()?;
    let mut values = match &arguments.sealed {
        Some(sealed) => Values::only(sealed.environment.clone()),
        None => Values::new(&base, arguments.place.env_file.as_deref())?,
    };
    let params = resolve(arguments, &pipeline, &values)?;
    let sources = SecretSources { base: &base, project: &project, connections: &connections, commands };
    let unknown = obtain(&sources, &pipeline, &params, &mut values)?;
    let url = arguments.exchange.as_deref().or(project.exchange.as_deref());
    let url = url.filter(|_| commands != Commands::Offline);
    let exchange = url.map(|url| access(url, &sources, &mut values)).transpose()?;
    base.guarded = sources.files(arguments.place.env_file.as_deref());
    let policy = read_policy(arguments.policy.as_deref(), ConnectionHosts::of(&connections, &values.environment))?;
    let catalog = arguments.place.catalog(&base.path)?;
    catalog.inspector.warm();
    let drivers = find_drivers(&pipeline, &catalog)?;
    let planned = |environment: &Environment| {
        plan(
            &pipeline,
            &PlanContext {
                params: &params,
                connections: &connections,
                environment,
                drivers: &drivers,
                base: &base.path,
                policy: &policy,
                judge: &catalog.inspector,
                profile: arguments.profile.as_deref(),
                project: &project,
                on: on.as_ref(),
            },
        )
    };
    let planned = plan_with_stand_ins(&values, &pipeline, &unknown, &planned);
    let mut plan = planned.map_err(|report| values.redact(report.into()))?;
    for step in &mut plan.steps {
        step.notices.extend(catalog.shadowed(&step.component, &step.driver));
    }
    let limits = arguments.limits.limits.within(&policy.limits);
    Ok(PlannedPipeline {
        plan,
        values,
        params,
        base,
        sha256,
        exchange,
        limits,
        keep: project.keep,
        unknown,
        written: pipeline,
        located: Located::default(),
    })
}

/// The variables without a value that each step needs.
pub type Unknown = BTreeMap<String, BTreeSet<String>>;

/// Obtains the secrets of all steps. Returns the variables of each that have a stand-in.
///
/// # Errors
/// [`Reports`] for all that cannot be obtained.
fn obtain(
    sources: &SecretSources<'_>,
    pipeline: &Pipeline,
    params: &Params,
    values: &mut Values,
) -> anyhow::Result<Unknown> {
    let (mut unknown, mut wrong) = (Unknown::new(), Reports::default());
    for step in &pipeline.steps {
        let mut of_step = Reports::default();
        let names = sources.for_step(step, params, values);
        of_step.gather(names.map(|names| drop(unknown.insert(step.id.to_string(), names))))?;
        wrong.extend(of_step.map(|report| report.at_step(&step.id, &["config"])));
    }
    wrong.into_result()?;
    Ok(unknown)
}

/// Plans with the environment, and again with other stand-ins if that fails.
fn plan_with_stand_ins(
    values: &Values,
    pipeline: &Pipeline,
    unknown: &Unknown,
    plan: &dyn Fn(&Environment) -> Result<Plan, Reports>,
) -> Result<Plan, Reports> {
    plan(&values.environment).or_else(|mut wrong| {
        // What is wrong whatever stands for a value that is not known is wrong with the real one, too.
        for environment in values.with_addresses(&wrong, pipeline, unknown) {
            match plan(&environment) {
                Ok(plan) => return Ok(plan),
                Err(other) if !wrong.in_both(&other).is_empty() => wrong = wrong.in_both(&other),
                Err(_) => {}
            }
        }
        Err(wrong)
    })
}

/// The values of a pipeline's parameters.
///
/// # Errors
/// As for [`params::resolve`].
fn resolve(arguments: &PipelineArguments, pipeline: &Pipeline, values: &Values) -> Result<Params, Report> {
    let sealed = arguments.sealed.as_ref();
    if let Some(name) = arguments.recorded.values.keys().find(|name| !pipeline.params.contains_key(*name))
        && sealed.is_some()
    {
        return Err(params::unknown("parameter", name, pipeline.params.keys().map(String::as_str)));
    }
    let sources = Sources {
        command_line: &arguments.params,
        recorded: &arguments.recorded.values,
        profile: arguments.profile.as_deref(),
        environment: &values.environment,
        now: sealed.and_then(|sealed| sealed.now).unwrap_or_else(Timestamp::now),
    };
    params::resolve(pipeline, &sources)
}

/// A pipeline's text, and what it says.
///
/// # Errors
/// [`Reports`] if it cannot be read or is malformed.
#[expect(clippy::disallowed_methods, reason = "reads the file that the user names")]
pub fn read_pipeline(arguments: &PipelineArguments) -> Result<(String, Pipeline), Reports> {
    let file = arguments.pipeline.display().to_string();
    let text = match &arguments.text {
        Some(text) => text.clone(),
        None => fs::read_to_string(&arguments.pipeline).map_err(|error| {
            Report::input(format!("cannot read pipeline `{file}`: {error}"))
                .hint("check the path of the pipeline's YAML file")
        })?,
    };
    let pipeline = pipeline::parse(&text, &file);
    let pipeline = pipeline.map_err(|wrong| Located::new(file, &text, None).reports(wrong))?;
    Ok((text, pipeline))
}

/// How the exchange at `url` is reached: by the connection of the family `s3` that is called like its bucket, or else by the
/// environment.
///
/// # Errors
/// A [`Report`] if the URL is not that of an exchange, or the connection's fields are wrong.
pub fn access(url: &str, sources: &SecretSources<'_>, values: &mut Values) -> anyhow::Result<Access> {
    let location: Location = url.parse()?;
    let fields = match &location {
        Location::S3 { bucket, .. } => {
            let reference = format!("@{FAMILY}.{bucket}");
            sources.for_connection(&reference, values)?;
            let written = sources.connections.written(&reference);
            written.map(|_| sources.connections.resolve(&reference, &values.environment)).transpose()?
        }
        Location::Folder(_) => None,
    };
    Ok(Access::new(location, fields.as_ref(), &values.environment)?)
}

#[expect(clippy::disallowed_methods, reason = "reads the file that the user names")]
pub fn read_policy(file: Option<&Path>, hosts: ConnectionHosts) -> anyhow::Result<Policy> {
    let Some(file) = file else { return Ok(Policy::default_with(hosts)) };
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| {
        Report::input(format!("cannot read policy `{shown}`: {error}")).hint("check the path given with `--policy`")
    })?;
    Ok(policy::parse(&text, &shown, hosts)?)
}

pub fn read_connections(base: &Base) -> anyhow::Result<Connections> {
    match plain::read(&base.dir, connections::FILE) {
        Ok(text) => Ok(connections::parse(&text, connections::FILE)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Connections::default()),
        Err(error) => Err(Report::input(format!("cannot read `{}`: {error}", connections::FILE)).into()),
    }
}

pub fn read_project(base: &Base) -> anyhow::Result<Project> {
    match plain::read(&base.dir, project::FILE) {
        Ok(text) => Ok(project::parse(&text, project::FILE)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Project::default()),
        Err(error) => Err(Report::input(format!("cannot read `{}`: {error}", project::FILE)).into()),
    }
}

/// The driver of each component.
///
/// # Errors
/// [`Reports`] for all that have none; another error if a driver cannot be read for lack of something on this machine.
fn find_drivers(pipeline: &Pipeline, catalog: &Catalog) -> anyhow::Result<BTreeMap<String, Driver>> {
    let mut drivers = BTreeMap::new();
    let mut wrong = Reports::default();
    let mut missing = BTreeSet::new();
    for step in &pipeline.steps {
        if drivers.contains_key(&step.component) || missing.contains(&step.component) {
            continue;
        }
        match catalog.find(&step.component) {
            Ok(driver) => drop(drivers.insert(step.component.clone(), driver)),
            Err(error) => {
                let report = error.downcast::<Report>()?;
                let message = format!("step `{}` (line {}): {}", step.id, step.line, report.message);
                wrong.push(Report { message, ..report }.at_step(&step.id, &["component"]));
                missing.insert(step.component.clone());
            }
        }
    }
    wrong.into_result()?;
    Ok(drivers)
}
