//! Turns a pipeline into steps in an order in which they can run, each with its inputs, config and grants. No I/O.

mod hidden;
mod inputs;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::driver::catalog::Driver;
use crate::driver::config::{Candidate, Judge};
use crate::driver::connect::{connect, hide_defaults, is_folder, place_below};
use crate::driver::identity::{self, Identity};
use crate::driver::spec::{Kind, Spec};
use crate::driver::{config, options, typed};
use crate::error::{Report, Reports, listed};
use crate::grants::Grants;
use crate::grants::credentials::{self, Credential};
use crate::grants::grant::{self, GrantRequest};
use crate::grants::policy::Policy;
use crate::pipeline::connections::Connections;
use crate::pipeline::database_url;
use crate::pipeline::expect::Expect;
use crate::pipeline::params::{self, Environment, Params, References, substitute};
use crate::pipeline::project::{Place, Project};
use crate::pipeline::resources::Resources;
use crate::pipeline::retries::Retries;
use crate::pipeline::{Pipeline, Step, StepId};
use crate::secrets::scrubber::{is_distinctive, mask_inside};
use crate::secrets::{MASK, Secret, Secrets};
use crate::warning::Warning;
use order::{Places, needs, order, places, waits_in_a_circle};

pub use inputs::Input;

/// The context of a plan, apart from the pipeline.
#[derive(Debug)]
pub struct PlanContext<'a> {
    pub params: &'a Params,
    pub connections: &'a Connections,
    pub environment: &'a Environment,
    /// The driver of each component that the pipeline names.
    pub drivers: &'a BTreeMap<String, Driver>,
    /// The base folder, absolute and without symlinks.
    pub base: &'a Path,
    pub policy: &'a Policy,
    /// Judges configs by their drivers' schemas.
    pub judge: &'a dyn Judge,
    /// The selected profile of the pipeline.
    pub profile: Option<&'a str>,
    pub project: &'a Project,
    /// Where the operator has all steps of this run run.
    pub on: Option<&'a Place>,
}

/// A pipeline that is ready to run: every reference is resolved, every config checked.
#[derive(Debug, Clone)]
pub struct Plan {
    pub pipeline: String,
    /// The pipeline's `metadata`, as its author wrote it.
    pub metadata: Map<String, Value>,
    /// A notice for each of the pipeline's own keys without effect.
    pub notices: Vec<Warning>,
    /// In topological order; steps that could run in parallel keep the author's order.
    pub steps: Vec<PlannedStep>,
}

#[derive(Debug, Clone)]
pub struct PlannedStep {
    pub id: StepId,
    /// Where it runs.
    pub on: Place,
    pub resources: Resources,
    /// As the pipeline refers to it.
    pub component: String,
    pub driver: Driver,
    /// The config for the driver, without secrets.
    pub config: Map<String, Value>,
    /// The config with its secrets masked, for people and files.
    pub masked_config: Map<String, Value>,
    pub secrets: Secrets,
    /// Values of environment variables and parameters in the config that are secrets, too.
    pub hidden: Vec<Secret>,
    pub needs: BTreeSet<StepId>,
    pub inputs: Vec<Input>,
    pub grants: Grants,
    pub retries: Retries,
    /// How many rows the step's driver may reject before it fails.
    pub rejects: u32,
    /// Whether what the step made may be reused by later runs; `None` if the author leaves that to Osiris.
    pub cache: Option<bool>,
    /// What the step's tables must be like.
    pub expect: Expect,
    /// What the host adds to the step's HTTP requests.
    pub credentials: Vec<Credential>,
    /// How many instances of the driver share the step's work.
    pub instances: u32,
    /// The identity of the source that the step's state belongs to; `None` if it keeps no state.
    pub state: Option<Identity>,
    /// A notice for each part of the author's config without effect.
    pub notices: Vec<Warning>,
}

/// Plans `pipeline`.
///
/// # Errors
/// For unknown steps, cycles, modes that a driver does not support, and everything that [`config::check`],
/// [`substitute`] and [`WantedGrants::grant`](crate::grants::WantedGrants::grant) refuse.
pub fn plan(pipeline: &Pipeline, context: &PlanContext<'_>) -> Result<Plan, Reports> {
    let places = places(pipeline);
    let needs = needs(pipeline, &places)?;
    let kinds: Vec<Kind> = pipeline
        .steps
        .iter()
        .map(|step| driver(step, context).map(|driver| driver.spec.kind))
        .collect::<Result<_, _>>()?;
    let order = order(&needs).map_err(|circle| waits_in_a_circle(pipeline, &circle))?;
    let mut wrong = Reports::default();
    let mut steps = Vec::new();
    for place in order {
        match plan_step(pipeline, &places, place, &needs, &kinds, context) {
            Ok(step) => steps.push(step),
            Err(reports) => wrong.extend(reports.map(|report| report.inside(["steps".to_owned(), place.to_string()]))),
        }
    }
    wrong.note(refuse_shared_targets(&steps));
    wrong.into_result()?;
    let unscheduled = "`schedule` has no effect here: let cron, systemd or an orchestrator start `osiris run`";
    let notices = pipeline.is_scheduled.then(|| Warning::new(unscheduled)).into_iter().collect();
    Ok(Plan { pipeline: pipeline.name.clone(), metadata: pipeline.metadata.clone(), notices, steps })
}

impl PlannedStep {
    /// Whether the step has a file of tables: a writer has one for the rows that it or a check rejects.
    pub fn stores_tables(&self) -> bool {
        self.driver.spec.kind.makes_tables() || self.rejects > 0 || self.expect.rejects()
    }

    /// The places of secrets that are too short to be redacted everywhere.
    pub fn short_secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().filter(|(_, secret)| !is_distinctive(secret.reveal())).map(|(place, _)| place.as_str())
    }
}

impl Plan {
    /// For each step, the others that may run at the same time.
    pub fn side_by_side(&self) -> Vec<Vec<&StepId>> {
        let places: BTreeMap<&StepId, usize> =
            self.steps.iter().enumerate().map(|(place, step)| (&step.id, place)).collect();
        let needs: Vec<BTreeSet<usize>> = self
            .steps
            .iter()
            .map(|step| step.needs.iter().filter_map(|need| places.get(need).copied()).collect())
            .collect();
        let ids = |places: Vec<usize>| places.into_iter().map(|place| &self.steps[place].id).collect();
        order::beside(&needs).into_iter().map(ids).collect()
    }
}

fn driver<'a>(step: &Step, context: &PlanContext<'a>) -> Result<&'a Driver, Report> {
    context
        .drivers
        .get(&step.component)
        .ok_or_else(|| Report::input(format!("no driver is called `{}`", step.component)))
}

fn plan_step(
    pipeline: &Pipeline,
    places: &Places<'_>,
    place: usize,
    needs: &[BTreeSet<usize>],
    kinds: &[Kind],
    context: &PlanContext<'_>,
) -> Result<PlannedStep, Reports> {
    let step = &pipeline.steps[place];
    let driver = driver(step, context)?;
    check_mode(step, &driver.spec).map_err(|report| report.at(["mode"]))?;
    let values = (context.params, context.environment);
    let substituted = substitute(step.id.as_str(), &step.config, values, |option| driver.spec.dialect(option))?;
    let typed = typed::texts(&driver.spec, &step.config, substituted);
    let renamed = options::rename(&driver.spec, step.id.as_str(), &typed)?;
    let reference = renamed.config.get("connection").and_then(Value::as_str).map(str::to_owned);
    // The author's config with the driver's own names for options, and with the fields of the connection.
    let (written, connection_notices) = connect(renamed.config, &driver.spec, context.connections, context.environment)
        .map_err(|report| report.at(["config", "connection"]))?;
    let candidate = Candidate { spec: &driver.spec, config: &written, written_as: &renamed.written_as };
    let with_defaults = config::check(context.judge, step.id.as_str(), &candidate)?;
    let config::ConfigParts { open: config, masked, secrets } = config::divide(&driver.spec, &with_defaults);
    let fields = reference.as_deref().and_then(|reference| context.connections.written(reference));
    let hidden = hidden::secrets(&step.config, fields, values, &secrets);
    let mut masked_config = shown(masked, &driver.spec, &written, secrets.values().chain(&hidden));
    mask_environment(&mut masked_config, step, reference.as_deref(), &driver.spec, context);
    let inputs = inputs::of_step(pipeline, places, place, kinds).map_err(|report| report.at(["inputs"]))?;
    let expected = |report: Report| report.at(["expect"]);
    let (inputs, expect) = inputs::with_references(step, inputs, places, kinds).map_err(expected)?;
    let expect = expect.with_params(&step.id, context.params).map_err(expected)?;
    let state = state(&driver.spec, &config, &secrets, context)?;
    let request = GrantRequest {
        step: step.id.as_str(),
        config: &config,
        written: &written,
        base: context.base,
        policy: context.policy,
    };
    let grants = driver.spec.grants.grant(&request).map_err(|report| report.at(["config"]))?;
    let on = place_of(step, pipeline, context).map_err(|report| report.at(["on"]))?;
    check_cache(step, &driver.spec, state.is_some(), &grants).map_err(|report| report.at(["cache"]))?;
    let unused = !step.resources.is_empty() && on == Place::Local;
    let unused = unused
        .then(|| Warning::new("`resources` has no effect on this machine: they are what a cluster places a step by"));
    Ok(PlannedStep {
        id: step.id.clone(),
        on,
        resources: step.resources.clone(),
        component: step.component.clone(),
        driver: driver.clone(),
        credentials: credentials::fill(step.id.as_str(), &grants.credentials, &config, &secrets)?,
        grants,
        instances: grant::instances(driver.spec.instances.as_ref(), &request)?,
        retries: step.retries.clone(),
        rejects: step.rejects,
        cache: step.cache,
        expect,
        state,
        notices: [renamed.notices, connection_notices, Vec::from_iter(unused), pasted(step, &driver.spec, context)]
            .concat(),
        config,
        masked_config,
        secrets,
        hidden,
        needs: needs[place].iter().map(|need| pipeline.steps[*need].id.clone()).collect(),
        inputs,
    })
}

/// A warning for each parameter whose value becomes part of the step's SQL as it is.
fn pasted(step: &Step, spec: &Spec, context: &PlanContext<'_>) -> Vec<Warning> {
    let sql = step.config.iter().filter(|(option, _)| spec.dialect(option).is_some());
    let pasted = sql.flat_map(|(option, written)| {
        params::pasted_into_sql(written, context.params).into_iter().map(move |param| (option, param))
    });
    let warning = |(option, param): (&String, &str)| {
        Warning::new(format!(
            "parameter `{param}` becomes part of the SQL in `{option}`, which its value can change: write `${{sql:params.{param}}}`, without \
             quotes, for the value alone; or list the values that it may have in its `enum`"
        ))
    };
    pasted.map(warning).collect()
}

/// Where a step runs: as the operator says for this run, or else the step, the profile or the project.
fn place_of(step: &Step, pipeline: &Pipeline, context: &PlanContext<'_>) -> Result<Place, Report> {
    match (context.on, &step.on) {
        (Some(chosen), _) => Ok(chosen.clone()),
        (None, Some(on)) => context.project.named(on, &format!("step `{}` (line {})", step.id, step.line)),
        (None, None) => {
            let profile = context.profile.and_then(|name| Some((name, pipeline.profiles.get(name)?.on.as_deref()?)));
            context.project.usual(profile)
        }
    }
}

/// A masked config for people: without defaults that the connection overrides, and without secrets inside texts.
fn shown<'a>(
    mut masked: Map<String, Value>,
    spec: &Spec,
    written: &Map<String, Value>,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
) -> Map<String, Value> {
    hide_defaults(&mut masked, spec, written);
    masked.into_iter().map(|(name, value)| (name, mask_inside(value, secrets.clone()))).collect()
}

/// Masks values from the environment in a config that is shown, both in the step's options and in its connection's
/// fields.
fn mask_environment(
    shown: &mut Map<String, Value>,
    step: &Step,
    reference: Option<&str>,
    spec: &Spec,
    context: &PlanContext<'_>,
) {
    let mask = |shown: Option<&mut Value>, written: &Value, dialect| {
        let references =
            References { is_operators: true, ..References::of_pipeline(context.params, context.environment, dialect) };
        shown.into_iter().for_each(|shown| params::mask_environment(shown, written, &references));
    };
    let fields = reference.and_then(|reference| context.connections.written(reference));
    if let Some(url) = fields.and_then(|fields| fields.get(database_url::FIELD)).and_then(Value::as_str)
        && params::names_variable(url)
    {
        // It was resolved into fields that are not written in the connections file.
        for (name, shown) in shown.get_mut("connection").and_then(Value::as_object_mut).into_iter().flatten() {
            if !fields.is_some_and(|fields| fields.contains_key(name)) && !step.config.contains_key(name) {
                *shown = MASK.into();
            }
        }
    }
    for (field, written) in fields.into_iter().flatten() {
        // An option beside the connection has replaced the field.
        if !step.config.contains_key(field) {
            mask(shown.get_mut("connection").and_then(|fields| fields.get_mut(field)), written, None);
        }
    }
    for (name, written) in &step.config {
        let own = spec.aliases.get(name).unwrap_or(name);
        if shown.contains_key(own) {
            let mut written = written.clone();
            if let Some(fields) = fields.filter(|_| reference.is_some_and(|reference| is_folder(reference, spec))) {
                place_below(fields, spec, own, &mut written);
            }
            mask(shown.get_mut(own), &written, spec.dialect(own));
        } else {
            mask(shown.get_mut("connection").and_then(|fields| fields.get_mut(own)), written, None);
        }
    }
}

/// The identity of the source of the step's state, if it keeps one.
fn state(
    spec: &Spec,
    config: &Map<String, Value>,
    secrets: &Secrets,
    context: &PlanContext<'_>,
) -> Result<Option<Identity>, Report> {
    let keeps = spec.grants.state
        && spec.state_when.as_ref().map_or(Ok(true), |when| grant::stands_for_something(when, config))?;
    Ok(keeps.then(|| identity::of(spec, config, secrets, context.profile)))
}

fn check_mode(step: &Step, spec: &Spec) -> Result<(), Report> {
    match step.mode {
        Some(mode) if !spec.modes.contains(&mode) => {
            let known: Vec<String> = spec.modes.iter().map(ToString::to_string).collect();
            let known = listed(known.iter().map(String::as_str));
            Err(Report::input(format!("step `{}` has mode `{mode}`, but `{}` serves: {known}", step.id, spec.name))
                .hint(format!("change `mode` of the step in line {}, or take another driver", step.line)))
        }
        _ => Ok(()),
    }
}

/// Refuses `cache: true` where a step must run each time.
fn check_cache(step: &Step, spec: &Spec, keeps_state: bool, grants: &Grants) -> Result<(), Report> {
    let why = if keeps_state {
        "it goes on where its last run ended"
    } else if spec.kind.delivers() && !grants.endpoints().is_empty() {
        "what a writer delivers to a server may have changed there since"
    } else if !grants.databases.update.is_empty() {
        "others may have changed the DuckDB file since"
    } else {
        return Ok(());
    };
    match step.cache {
        Some(true) => {
            Err(Report::input(format!("step `{}` has `cache: true`, but must run each time: {why}", step.id))
                .hint(format!("remove `cache` of the step in line {}", step.line)))
        }
        _ => Ok(()),
    }
}

/// If two steps wrote one file, or one into another's folder, only the later result would remain. Any number may update a DuckDB
/// file: they take turns.
fn refuse_shared_targets(steps: &[PlannedStep]) -> Result<(), Report> {
    let both = |first: &PlannedStep, second: &PlannedStep, name: &str| {
        Err(Report::input(format!("steps `{}` and `{}` both write `{name}`", first.id, second.id))
            .hint("give each its own file"))
    };
    for step in steps.iter().filter(|step| step.grants.write_folders) {
        for other in steps.iter().filter(|other| other.id != step.id) {
            for folder in &step.grants.write {
                if let Some(file) = other.grants.written().find(|file| file.place.starts_with(&folder.place)) {
                    return both(step, other, &file.name);
                }
            }
        }
    }
    let mut seen: BTreeMap<&Path, (&PlannedStep, bool)> = BTreeMap::new();
    for step in steps {
        for file in step.grants.written() {
            let is_updated = step.grants.databases.update.contains(file);
            if let Some((first, was_updated)) = seen.insert(&file.place, (step, is_updated))
                && !(is_updated && was_updated && first.id != step.id)
            {
                return both(first, step, &file.name);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
