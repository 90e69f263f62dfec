//! Puts a pipeline on the stage of a test: the tables that the test gives take the place of steps, and what writers would write is
//! stored instead. What is left reaches nothing but the tables of other steps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::source::{SQL, Source, step};
use super::cases::{Case, Sources};
use crate::driver::catalog::{Catalog, Driver};
use crate::error::{Report, listed, nearest};
use crate::grants::Grants;
use crate::grants::policy::{ConnectionHosts, Policy};
use crate::pipeline::connections::Connections;
use crate::pipeline::params::{Environment, Params};
use crate::pipeline::project::{Place, Project};
use crate::pipeline::resources::Resources;
use crate::pipeline::retries::Retries;
use crate::pipeline::{Pipeline, StepId};
use crate::plan::{Input, Plan, PlanContext, PlannedStep, plan};
use crate::secrets::Secrets;
use crate::session::Base;
use duckdb_text::quote_name;

/// The table of a step that has one.
const MAIN: &str = "main";

/// A pipeline's plan as the test runs it.
pub struct Staged {
    pub plan: Plan,
    /// The steps that make the expected tables.
    pub expected: BTreeMap<(String, String), StepId>,
    /// What steps that are not the pipeline's own are to people.
    pub words: BTreeMap<String, String>,
}

/// What a stage is made with.
pub struct Stage<'a> {
    /// Finds the drivers that make tables.
    pub catalog: &'a Catalog,
    /// The private base folder of the run.
    pub base: &'a Base,
}

/// The variables that a step of the pipeline needs, and the test does not give.
pub type Unknown = BTreeMap<String, BTreeSet<String>>;

impl Stage<'_> {
    /// # Errors
    /// A [`Report`] if the test names unknown steps, or gives no table for a step that reaches more than other steps' tables.
    pub fn set(&self, case: &Case, plan: &Plan, unknown: &Unknown) -> anyhow::Result<Staged> {
        check_names(case, plan)?;
        let given: BTreeSet<&str> = case.given.keys().map(|(step, _)| step.as_str()).collect();
        let tested = tested(case, plan, &given);
        refuse_reaching(case, plan, &tested, &given)?;
        refuse_unknown(case, plan, &tested, &given, unknown)?;
        let sql = self.catalog.find(SQL)?;
        let mut names = Names::of(plan);
        let (from_files, selects) = apart(&case.given)?;
        let helpers: BTreeMap<(String, String), StepId> =
            from_files.keys().map(|place| Ok((place.clone(), names.free("given")?))).collect::<Result<_, Report>>()?;
        let expected: BTreeMap<(String, String), StepId> = case
            .expected
            .keys()
            .map(|place| Ok((place.clone(), names.free("expected")?)))
            .collect::<Result<_, Report>>()?;
        let made = from_files.iter().map(|(place, source)| (&helpers[place], *source));
        let made = made.chain(case.expected.iter().map(|(place, source)| (&expected[place], source)));
        let mut steps = self.plan_sources(made)?;
        for step in plan.steps.iter().filter(|step| tested.contains(step.id.as_str())) {
            steps.push(if given.contains(step.id.as_str()) {
                fixture(step, &sql, &selects, &helpers)
            } else if step.driver.spec.kind.makes_tables() {
                bare(step)
            } else {
                stand_in(step, &sql)
            });
        }
        let given = given.iter().map(|step| (step.to_string(), format!("step `{step}`, whose table is given")));
        let read = helpers.iter().map(|((step, _), id)| (id.to_string(), format!("the table given for `{step}`")));
        let wanted = expected.iter().map(|((step, _), id)| (id.to_string(), format!("the table expected of `{step}`")));
        let words = given.chain(read).chain(wanted).collect();
        let present: BTreeSet<StepId> = steps.iter().map(|step| step.id.clone()).collect();
        steps.iter_mut().for_each(|step| step.needs.retain(|need| present.contains(need)));
        Ok(Staged { plan: Plan { steps, ..plan.clone() }, expected, words })
    }

    /// The steps that make tables from files or SELECTs, planned in the private folder.
    fn plan_sources<'s>(
        &self,
        made: impl Iterator<Item = (&'s StepId, &'s Source)>,
    ) -> anyhow::Result<Vec<PlannedStep>> {
        let (mut steps, mut drivers) = (Vec::new(), BTreeMap::new());
        for (id, source) in made {
            let (component, config) = source.step()?;
            if !drivers.contains_key(&component) {
                drivers.insert(component.clone(), self.catalog.find(&component)?);
            }
            steps.push(step(id.clone(), component, config));
        }
        let pipeline = Pipeline {
            name: "test".to_owned(),
            params: BTreeMap::new(),
            profiles: BTreeMap::new(),
            metadata: Map::new(),
            is_scheduled: false,
            steps,
        };
        let context = PlanContext {
            params: &Params::default(),
            connections: &Connections::default(),
            environment: &Environment::default(),
            drivers: &drivers,
            base: &self.base.path,
            policy: &Policy::default_with(ConnectionHosts::default()),
            judge: &self.catalog.inspector,
            profile: None,
            project: &Project::default(),
            on: None,
        };
        Ok(plan(&pipeline, &context)?.steps)
    }
}

/// Refuses a test that names steps which the pipeline does not have, or gives tables for writers.
fn check_names(case: &Case, plan: &Plan) -> Result<(), Report> {
    let known = || plan.steps.iter().map(|step| step.id.as_str());
    let named = case.given.keys().map(|(step, _)| step).chain(case.test.expect.keys());
    if let Some(unknown) = named.into_iter().find(|name| known().all(|known| known != name.as_str())) {
        let report = case.named().wrong(&format!("the pipeline has no step `{unknown}`; steps: {}", listed(known())));
        return Err(match nearest(unknown, known()) {
            Some(near) => report.hint(format!("did you mean `{near}`?")),
            None => report,
        });
    }
    let is_writer =
        |name: &str| plan.steps.iter().any(|step| step.id.as_str() == name && !step.driver.spec.kind.makes_tables());
    match case.given.keys().find(|(step, _)| is_writer(step)) {
        Some((step, _)) => Err(case
            .named()
            .wrong(&format!("a table is given for `{step}`, which is a writer and has none"))
            .hint("give tables for the steps that it reads; under `expect`, its rows are those that it would write")),
        None => Ok(()),
    }
}

/// The steps that the test is about: those that it expects something of (all, if it expects nothing), and those whose tables they read.
/// What is before a given table is not needed.
fn tested(case: &Case, plan: &Plan, given: &BTreeSet<&str>) -> BTreeSet<String> {
    let is_read = |id: &StepId| plan.steps.iter().any(|step| step.inputs.iter().any(|input| input.step == *id));
    let mut left: Vec<String> = if case.test.expect.is_empty() {
        plan.steps.iter().filter(|step| !is_read(&step.id)).map(|step| step.id.to_string()).collect()
    } else {
        case.test.expect.keys().cloned().collect()
    };
    let mut tested = BTreeSet::new();
    while let Some(id) = left.pop() {
        let Some(step) = plan.steps.iter().find(|step| step.id.as_str() == id) else { continue };
        // The checks of a given table may look into other tables.
        let inputs = step.inputs.iter().filter(|input| input.is_reference || !given.contains(id.as_str()));
        let inputs: Vec<String> = inputs.map(|input| input.step.to_string()).collect();
        if tested.insert(id) {
            left.extend(inputs);
        }
    }
    tested
}

/// Refuses a test that gives no table for a step that would read files or connect.
fn refuse_reaching(case: &Case, plan: &Plan, tested: &BTreeSet<String>, given: &BTreeSet<&str>) -> Result<(), Report> {
    let open = plan.steps.iter().filter(|step| tested.contains(step.id.as_str()) && !given.contains(step.id.as_str()));
    let reaching: Vec<&PlannedStep> = open
        .filter(|step| {
            let kind = step.driver.spec.kind;
            kind.makes_tables() && (!kind.has_inputs() || step.grants != Grants::default())
        })
        .collect();
    let Some(first) = reaching.first() else { return Ok(()) };
    let words =
        reaching.iter().map(|step| format!("`{}` ({})", step.id, step.component)).collect::<Vec<_>>().join(", ");
    Err(case
        .named()
        .wrong(&format!("no table is given for {words}, which would read files or connect; a test does neither"))
        .hint(format!("write `given: {{{}: {{rows: [{{id: 1}}]}}}}`, or expect only what does not need it", first.id)))
}

/// Refuses a test whose processors need variables that it does not give: a value made up would lead to other tables.
fn refuse_unknown(
    case: &Case,
    plan: &Plan,
    tested: &BTreeSet<String>,
    given: &BTreeSet<&str>,
    unknown: &Unknown,
) -> Result<(), Report> {
    for step in &plan.steps {
        let id = step.id.as_str();
        let runs = tested.contains(id) && !given.contains(id) && step.driver.spec.kind.makes_tables();
        if let Some(name) = unknown.get(id).filter(|_| runs).and_then(|names| names.first()) {
            let (message, hint) = (
                format!("step `{id}` needs `${{{name}}}`"),
                format!("write `env: {{\"{name}\": a value}}` in the test"),
            );
            return Err(case.named().wrong(&message).hint(hint));
        }
    }
    Ok(())
}

/// The sources that drivers read, and the SELECTs of the others.
#[expect(clippy::type_complexity, reason = "two maps of the same keys")]
fn apart(given: &Sources) -> anyhow::Result<(BTreeMap<(String, String), &Source>, BTreeMap<(String, String), String>)> {
    let (mut from_files, mut selects) = (BTreeMap::new(), BTreeMap::new());
    for (place, source) in given {
        match source.select()? {
            Some(select) => drop(selects.insert(place.clone(), select)),
            None => drop(from_files.insert(place.clone(), source)),
        }
    }
    Ok((from_files, selects))
}

/// Names of steps that the pipeline does not use.
struct Names(BTreeSet<String>);

impl Names {
    fn of(plan: &Plan) -> Self {
        let aliases = plan.steps.iter().flat_map(|step| &step.inputs).map(|input| &input.alias);
        Self(
            plan.steps
                .iter()
                .map(|step| step.id.to_string())
                .chain(aliases.cloned())
                .map(|name| name.to_lowercase())
                .collect(),
        )
    }

    fn free(&mut self, what: &str) -> Result<StepId, Report> {
        let mut number = 1;
        while !self.0.insert(format!("{what}-{number}")) {
            number += 1;
        }
        StepId::new(&format!("{what}-{number}"))
    }
}

/// A step as it runs in a test: here, at once, and once.
fn bare(step: &PlannedStep) -> PlannedStep {
    PlannedStep {
        on: Place::Local,
        resources: Resources::default(),
        retries: Retries::default(),
        cache: None,
        state: None,
        notices: Vec::new(),
        ..step.clone()
    }
}

/// A step whose tables are made by SELECTs: with the step's own checks, and without anything else of it.
fn replaced(step: &PlannedStep, sql: &Driver, selects: impl Iterator<Item = (String, String)>) -> PlannedStep {
    let queries: Map<String, Value> = selects.map(|(table, select)| (table, Value::from(select))).collect();
    let config = Map::from_iter([("queries".to_owned(), Value::Object(queries))]);
    PlannedStep {
        driver: sql.clone(),
        masked_config: config.clone(),
        config,
        secrets: Secrets::default(),
        hidden: Vec::new(),
        grants: Grants::default(),
        credentials: Vec::new(),
        instances: 1,
        rejects: 0,
        ..bare(step)
    }
}

/// The step that has the given tables.
fn fixture(
    step: &PlannedStep,
    sql: &Driver,
    selects: &BTreeMap<(String, String), String>,
    helpers: &BTreeMap<(String, String), StepId>,
) -> PlannedStep {
    let own = |of: &str| of == step.id.as_str();
    let read = helpers.iter().filter(|((of, _), _)| own(of));
    let from_helpers =
        read.clone().map(|((_, table), id)| (table.clone(), format!("SELECT * FROM {}", quote_name(id.as_str()))));
    let written =
        selects.iter().filter(|((of, _), _)| own(of)).map(|((_, table), select)| (table.clone(), select.clone()));
    let mut replaced = replaced(step, sql, from_helpers.chain(written));
    replaced.inputs.retain(|input| input.is_reference);
    replaced.needs = replaced.inputs.iter().map(|input| input.step.clone()).collect();
    for (_, id) in read {
        let (alias, also, table) = (id.to_string(), Vec::new(), MAIN.to_owned());
        replaced.inputs.push(Input { alias, also, step: id.clone(), table, is_reference: false });
        replaced.needs.insert(id.clone());
    }
    replaced
}

/// The step that has, by the aliases of its inputs, the tables that a writer would write.
fn stand_in(step: &PlannedStep, sql: &Driver) -> PlannedStep {
    let inputs = step.inputs.iter().filter(|input| !input.is_reference);
    let selects = inputs.map(|input| (input.alias.clone(), format!("SELECT * FROM {}", quote_name(&input.alias))));
    replaced(step, sql, selects)
}
