//! Turns a pipeline into steps in the order they can run, each with its inputs, config and grants. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::driver::catalog::Driver;
use crate::driver::connect::{connect, hide_defaults};
use crate::driver::identity::{self, Identity};
use crate::driver::spec::{Kind, Spec};
use crate::driver::{config, options, typed};
use crate::error::{Report, listed, nearest};
use crate::grants::grant::{self, Asking, Grants};
use crate::grants::policy::Policy;
use crate::pipeline::connections::Connections;
use crate::pipeline::params::{Environment, Params, substitute};
use crate::pipeline::{Pipeline, Step, StepId};
use crate::secrets::scrubber::mask_inside;
use crate::secrets::{Secret, Secrets};
use crate::warning::Warning;

/// What a plan is made from besides the pipeline.
#[derive(Debug)]
pub struct Surroundings<'a> {
    pub params: &'a Params,
    pub connections: &'a Connections,
    pub environment: &'a Environment,
    /// The driver of each component that the pipeline names.
    pub drivers: &'a BTreeMap<String, Driver>,
    /// The base folder, absolute and without symlinks.
    pub base: &'a Path,
    pub policy: &'a Policy,
    /// The pipeline's profile that is used.
    pub profile: Option<&'a str>,
}

/// A pipeline that can run: every reference resolved, every config checked.
#[derive(Debug, Clone)]
pub struct Plan {
    pub pipeline: String,
    /// The pipeline's `metadata`, as its author wrote it.
    pub metadata: Map<String, Value>,
    /// What of the pipeline's own keys has no effect.
    pub notices: Vec<Warning>,
    /// In topological order; steps that could run together keep the author's order.
    pub steps: Vec<PlannedStep>,
}

#[derive(Debug, Clone)]
pub struct PlannedStep {
    pub id: StepId,
    /// As the pipeline calls it.
    pub component: String,
    pub driver: Driver,
    /// The config as the driver sees it, without secrets.
    pub config: Map<String, Value>,
    /// The config as it may be shown.
    pub masked_config: Map<String, Value>,
    pub secrets: Secrets,
    /// Values of environment variables in the config whose names say that they are secrets.
    pub hidden: Vec<Secret>,
    pub needs: BTreeSet<StepId>,
    pub inputs: Vec<Input>,
    pub grants: Grants,
    /// How many instances of the driver share the step's work.
    pub instances: u32,
    /// What the step's state belongs to; `None` where it keeps none.
    pub state: Option<Identity>,
    /// What of the author's config has no effect.
    pub notices: Vec<Warning>,
}

/// One table that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub alias: String,
    /// Further names in SQL.
    pub also: Vec<String>,
    pub step: StepId,
    pub table: String,
}

/// Plans `pipeline`.
///
/// # Errors
/// For unknown steps, cycles, modes that a driver does not serve, and everything that
/// [`config::check`], [`substitute`] and [`grant::effective`] refuse.
pub fn plan(pipeline: &Pipeline, around: &Surroundings<'_>) -> Result<Plan, Report> {
    let needs = needs(pipeline)?;
    let kinds: Vec<Kind> = pipeline
        .steps
        .iter()
        .map(|step| driver(step, around).map(|driver| driver.spec.kind))
        .collect::<Result<_, _>>()?;
    let mut steps = Vec::new();
    for place in order(pipeline, &needs)? {
        steps.push(plan_step(pipeline, place, &needs, &kinds, around)?);
    }
    refuse_shared_targets(&steps)?;
    let unscheduled = "`schedule` has no effect here: let cron, systemd or an orchestrator start `osiris run`";
    let notices = pipeline.is_scheduled.then(|| Warning::new(unscheduled)).into_iter().collect();
    Ok(Plan { pipeline: pipeline.name.clone(), metadata: pipeline.metadata.clone(), notices, steps })
}

fn driver<'a>(step: &Step, around: &Surroundings<'a>) -> Result<&'a Driver, Report> {
    around
        .drivers
        .get(&step.component)
        .ok_or_else(|| Report::input(format!("no driver is called `{}`", step.component)))
}

fn plan_step(
    pipeline: &Pipeline,
    place: usize,
    needs: &[BTreeSet<usize>],
    kinds: &[Kind],
    around: &Surroundings<'_>,
) -> Result<PlannedStep, Report> {
    let step = &pipeline.steps[place];
    let driver = driver(step, around)?;
    check_mode(step, &driver.spec)?;
    let config = substitute(step.id.as_str(), &step.config, around.params, around.environment)?;
    let config = typed::texts(&driver.spec, &step.config, config);
    let options::Renamed { config, notices, written_as } = options::rename(&driver.spec, step.id.as_str(), &config)?;
    let (written, more) = connect(config, &driver.spec, around.connections, around.environment)?;
    let config = config::check_written(&driver.spec, step.id.as_str(), &written, &written_as)?;
    let config::Divided { open: config, masked: mut masked_config, secrets } = config::divide(&driver.spec, &config);
    let hidden = config::secret_variables(&step.config, around.environment);
    hide_defaults(&mut masked_config, &driver.spec, &written);
    let mask = |(name, value)| (name, mask_inside(value, secrets.values().chain(&hidden)));
    let masked_config = masked_config.into_iter().map(mask).collect();
    let inputs = inputs(pipeline, place, needs, kinds)?;
    check_inputs(step, driver.spec.kind, &inputs)?;
    let state = state(&driver.spec, &config, &secrets, around)?;
    let asking =
        Asking { step: step.id.as_str(), config: &config, written: &written, base: around.base, policy: around.policy };
    Ok(PlannedStep {
        id: step.id.clone(),
        component: step.component.clone(),
        driver: driver.clone(),
        grants: grant::effective(&driver.spec.grants, &asking)?,
        instances: grant::instances(driver.spec.instances.as_deref(), &asking)?,
        state,
        notices: [notices, more].concat(),
        config,
        masked_config,
        secrets,
        hidden,
        needs: needs[place].iter().map(|need| pipeline.steps[*need].id.clone()).collect(),
        inputs,
    })
}

/// What the step's state belongs to, where it keeps one.
fn state(
    spec: &Spec,
    config: &Map<String, Value>,
    secrets: &Secrets,
    around: &Surroundings<'_>,
) -> Result<Option<Identity>, Report> {
    let keeps = spec.grants.state
        && spec.state_when.as_deref().map_or(Ok(true), |when| grant::stands_for_something(when, config))?;
    Ok(keeps.then(|| identity::of(spec, config, secrets, around.profile)))
}

/// Places of the steps that each step waits for: what it names, or the step before it.
fn needs(pipeline: &Pipeline) -> Result<Vec<BTreeSet<usize>>, Report> {
    let place = |step: &Step, wanted: &StepId, key: &str| {
        pipeline.steps.iter().position(|other| other.id == *wanted).ok_or_else(|| {
            let known = || pipeline.steps.iter().map(|step| step.id.as_str());
            let near =
                nearest(wanted.as_str(), known()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            Report::input(format!(
                "step `{}` names the unknown step `{wanted}`; known steps: {}",
                step.id,
                listed(known())
            ))
            .hint(format!("{near}change `{key}` of the step in line {}", step.line))
        })
    };
    pipeline
        .steps
        .iter()
        .enumerate()
        .map(|(number, step)| {
            let named = step.needs.iter().flatten().map(|need| place(step, need, "needs"));
            let read = step.inputs.iter().flatten().map(|(_, from, _)| place(step, from, "inputs"));
            let mut places = named.chain(read).collect::<Result<BTreeSet<_>, _>>()?;
            if step.needs.is_none() && step.inputs.is_none() && number > 0 {
                places.insert(number - 1);
            }
            Ok(places)
        })
        .collect()
}

/// The steps' places in topological order, the author's order where there is a choice.
fn order(pipeline: &Pipeline, needs: &[BTreeSet<usize>]) -> Result<Vec<usize>, Report> {
    let mut done = Vec::new();
    while done.len() < needs.len() {
        let ready = |place: &usize| !done.contains(place) && needs[*place].iter().all(|need| done.contains(need));
        match (0..needs.len()).find(ready) {
            Some(place) => done.push(place),
            None => return Err(cycle(pipeline, needs, &done)),
        }
    }
    Ok(done)
}

/// Walks from a stuck step along its needs until one comes twice: that is a cycle.
fn cycle(pipeline: &Pipeline, needs: &[BTreeSet<usize>], done: &[usize]) -> Report {
    let stuck = |place: &usize| !done.contains(place);
    let mut path: Vec<usize> = (0..needs.len()).find(|place| stuck(place)).into_iter().collect();
    while let Some(next) = path.last().and_then(|last| needs[*last].iter().copied().find(|need| stuck(need))) {
        if let Some(start) = path.iter().position(|place| *place == next) {
            path.drain(..start);
            path.push(next);
            break;
        }
        path.push(next);
    }
    let names: Vec<String> = path.iter().map(|place| format!("`{}`", pipeline.steps[*place].id)).collect();
    Report::input(format!("the steps wait for each other in a circle: {}", names.join(" needs ")))
        .hint("take one of them out of another's `needs` or `inputs`")
}

/// What a step reads: the inputs that it names, or the table `main` of each step it needs.
fn inputs(pipeline: &Pipeline, place: usize, needs: &[BTreeSet<usize>], kinds: &[Kind]) -> Result<Vec<Input>, Report> {
    if kinds[place] == Kind::Extractor {
        return Ok(Vec::new());
    }
    let step = &pipeline.steps[place];
    let named: Vec<(String, StepId, String)> = match &step.inputs {
        Some(inputs) => inputs.clone(),
        None => implied(step, place, needs, kinds, pipeline)
            .into_iter()
            .map(|from| (pipeline.steps[from].id.to_string(), pipeline.steps[from].id.clone(), "main".to_owned()))
            .collect(),
    };
    if let Some((alias, from, _)) = named.iter().find(|(_, from, _)| writes(pipeline, kinds, from)) {
        return Err(Report::input(format!(
            "input `{alias}` of step `{}` reads step `{from}`, which is a writer and has no table",
            step.id
        ))
        .hint("read the step that the writer reads"));
    }
    let alone = named.len() == 1;
    // DuckDB tells names apart without their case.
    let aliases: BTreeSet<String> = named.iter().map(|(alias, ..)| alias.to_lowercase()).collect();
    Ok(named
        .iter()
        .enumerate()
        .map(|(number, (alias, from, table))| {
            let short = ["input_df", "input"].into_iter().filter(|_| alone).map(str::to_owned);
            let frame = Some(frame(from)).filter(|_| names_frame(&named, number));
            let also = frame.into_iter().chain(short).filter(|name| !aliases.contains(&name.to_lowercase()));
            Input { alias: alias.clone(), also: also.collect(), step: from.clone(), table: table.clone() }
        })
        .collect())
}

/// Python Osiris's name for the output of a step.
fn frame(step: &StepId) -> String {
    format!("df_{}", step.as_str().replace(['-', '.'], "_"))
}

/// Whether the input of that number is what `df_<step>` means: of several tables of one step `main`, of one table under
/// several aliases the first; where the names of two steps fall together, neither.
fn names_frame(named: &[(String, StepId, String)], number: usize) -> bool {
    let Some((_, from, table)) = named.get(number) else { return false };
    let name = frame(from).to_lowercase();
    let same: Vec<_> =
        named.iter().enumerate().filter(|(_, (_, other, _))| frame(other).to_lowercase() == name).collect();
    if same.iter().any(|(_, (_, other, _))| other != from) {
        return false;
    }
    let only_one = same.iter().all(|(_, (_, _, other))| other == table);
    let first = same.iter().find(|(_, (_, _, other))| other == table).map(|(place, _)| *place);
    (only_one || table == "main") && first == Some(number)
}

fn writes(pipeline: &Pipeline, kinds: &[Kind], step: &StepId) -> bool {
    pipeline.steps.iter().zip(kinds).any(|(other, kind)| other.id == *step && *kind == Kind::Writer)
}

/// The steps whose tables a step reads without naming them: those it needs that have a table. A step
/// that says nothing and stands behind a writer reads what the writer read.
fn implied(step: &Step, place: usize, needs: &[BTreeSet<usize>], kinds: &[Kind], pipeline: &Pipeline) -> Vec<usize> {
    if let Some(named) = &step.needs {
        // In the author's order.
        let places = named.iter().filter_map(|need| pipeline.steps.iter().position(|other| other.id == *need));
        return places.filter(|need| kinds[*need] != Kind::Writer).collect();
    }
    let mut from = needs[place].iter().next().copied();
    while let Some(writer) = from.filter(|from| kinds[*from] == Kind::Writer) {
        from = writer.checked_sub(1);
    }
    from.into_iter().collect()
}

fn check_mode(step: &Step, spec: &Spec) -> Result<(), Report> {
    match step.mode {
        Some(mode) if !spec.modes.contains(&mode) => {
            let known: Vec<String> = spec.modes.iter().map(|mode| format!("{mode:?}").to_lowercase()).collect();
            let known = listed(known.iter().map(String::as_str));
            let mode = format!("{mode:?}").to_lowercase();
            Err(Report::input(format!("step `{}` has mode `{mode}`, but `{}` serves: {known}", step.id, spec.name))
                .hint(format!("change `mode` of the step in line {}, or take another driver", step.line)))
        }
        _ => Ok(()),
    }
}

fn check_inputs(step: &Step, kind: Kind, inputs: &[Input]) -> Result<(), Report> {
    let mut names = BTreeSet::new();
    let twice = inputs.iter().find(|input| !names.insert(input.alias.to_lowercase()));
    if let Some(input) = twice {
        return Err(Report::input(format!("step `{}` has two inputs called `{}`", step.id, input.alias))
            .hint("SQL names do not tell upper from lower case: give each input its own"));
    }
    match kind {
        Kind::Extractor if step.inputs.as_ref().is_some_and(|inputs| !inputs.is_empty()) => Err(Report::input(
            format!("step `{}` has inputs, but its driver `{}` is an extractor", step.id, step.component),
        )
        .hint("take `inputs` away, or use a processor")),
        Kind::Writer if inputs.is_empty() => {
            Err(Report::input(format!("step `{}` is a writer without an input", step.id))
                .hint("name the step to read under `needs` or `inputs`"))
        }
        _ => Ok(()),
    }
}

/// Two steps that write one file would leave whichever came last.
fn refuse_shared_targets(steps: &[PlannedStep]) -> Result<(), Report> {
    let mut seen: BTreeMap<&Path, &PlannedStep> = BTreeMap::new();
    for step in steps {
        for file in &step.grants.write {
            if let Some(first) = seen.insert(&file.place, step) {
                return Err(Report::input(format!(
                    "steps `{}` and `{}` both write `{}`",
                    first.id, step.id, file.name
                ))
                .hint("give each its own file"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
