//! Has a confined process look for what is wrong with the checks and the SQL of a plan's steps, before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::engine::InputTable;
use crate::error::{Place, Report, Reports};
use crate::executor::look::{Rows, limits, look};
use crate::executor::supervisor::Supervisor;
use crate::pipeline::sql_literal::Dialect;
use crate::pipeline::{Pipeline, StepId};
use crate::plan::{Plan, PlannedStep};
use crate::protocol::binding::{JudgedInput, JudgedStep, Judgement};
use crate::protocol::{Look, Question};
use crate::session::{self, Base, Status, plain};
use crate::untrusted;
use crate::warning::Warning;

/// How long the process may take, in seconds.
const TIMEOUT: u64 = 20;

/// The driver whose SELECTs make its tables.
const SQL: &str = "duckdb.processor";

/// How many sessions are searched for one whose tables are as the plan would make them.
const MAX_SESSIONS: usize = 20;

/// What the SQL of steps is bound against.
#[derive(Debug, Clone, Copy)]
pub enum Bind<'a> {
    /// Only checks are judged.
    Nothing,
    /// What the pipeline itself says.
    Declared(&'a Pipeline),
    /// Also the tables of the latest session that has the step as it is now.
    Sessions(&'a Pipeline, &'a Base),
}

impl Bind<'_> {
    fn pipeline(&self) -> Option<&Pipeline> {
        match self {
            Self::Nothing => None,
            Self::Declared(pipeline) | Self::Sessions(pipeline, _) => Some(pipeline),
        }
    }
}

/// Judges the SQL, patterns and types of all checks, and binds the SQL of steps. A step whose SQL cannot be bound gets a notice.
///
/// # Errors
/// [`Reports`] with everything that is wrong, each with its line in `file`.
pub fn check(plan: &mut Plan, file: &str, bind: Bind<'_>) -> anyhow::Result<()> {
    let binds = bind.pipeline().is_some() && plan.steps.iter().any(|step| !selects(step).is_empty());
    if !binds && plan.steps.iter().all(|step| step.expect.checks.is_empty()) {
        return Ok(());
    }
    let mut steps: Vec<JudgedStep> = plan.steps.iter().map(|step| judged(plan, step, binds)).collect();
    let mut tables = Vec::new();
    let mut session = None;
    if let (Bind::Sessions(_, base), true) = (bind, binds) {
        session = earlier(base, plan, &mut steps, &mut tables);
    }
    let question = Question::Judge { steps };
    let job = Look { tables, question, limits: limits(TIMEOUT), require_confinement: false };
    let mut answer = Vec::new();
    look(&job, &mut Rows { sink: &mut answer, harmless: None }, &Supervisor::start()?)?;
    let found = answer.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Judgement>(line).ok());
    let mut wrong = Reports::default();
    for judgement in found {
        match judgement {
            Judgement::WrongCheck { step, check, message } => {
                let report = plan.steps.get(step).and_then(|step| wrong_check(step, check, message.raw(), file));
                report.into_iter().for_each(|report| wrong.push(report));
            }
            Judgement::WrongSelect { step, table, message, position, is_from_earlier } => {
                let Some(step) = plan.steps.get(step).filter(|step| selects(step).contains_key(&table)) else {
                    continue;
                };
                let session = session.as_deref().filter(|_| is_from_earlier);
                wrong.push(wrong_select(step, &table, message.raw(), position, bind.pipeline(), session));
            }
            Judgement::Unbound { step, input } => {
                let Some(step) = plan.steps.get_mut(step) else { continue };
                let Some(input) = step.inputs.iter().filter(|input| !input.is_reference).nth(input) else { continue };
                let notice =
                    format!("its SQL was not bound, because the columns of `{}` are not known here", input.step);
                step.notices.push(Warning::new(notice));
            }
        }
    }
    Ok(wrong.into_result()?)
}

fn wrong_check(step: &PlannedStep, check: usize, message: &str, file: &str) -> Option<Report> {
    let check = step.expect.checks.get(check)?;
    let message = untrusted::lines(message).into_owned();
    let place = format!("check `{}` of step `{}` ({file}, line {})", check.name, step.id, check.line);
    let report = Report::input(format!("{place}: {message}"));
    let hint = format!("see `{}` in docs/quality.md", check.rule.key());
    Some(Report { place: Some(Place::Line(check.line)), ..report }.hint(hint))
}

fn wrong_select(
    step: &PlannedStep,
    table: &str,
    message: &str,
    position: Option<usize>,
    pipeline: Option<&Pipeline>,
    session: Option<&str>,
) -> Report {
    let is_single = step.config.get("query").is_some();
    let option: &[&str] = if is_single { &["query"] } else { &["queries", table] };
    let written = pipeline.and_then(|pipeline| {
        let config = &pipeline.steps.iter().find(|own| own.id == step.id)?.config;
        let value = config.get(option[0])?;
        option.get(1).map_or(Some(value), |name| value.get(*name))?.as_str()
    });
    // Behind a parameter, the text is not where its author wrote it.
    let own = selects(step).remove(table).unwrap_or_default();
    let same = written.map_or(0, |written| written.bytes().zip(own.bytes()).take_while(|(a, b)| a == b).count());
    let offset = position.filter(|position| *position <= same);
    let path = ["steps".to_owned(), format!("{}{}", crate::error::STEP_ID, step.id), "config".to_owned()];
    let path = path.into_iter().chain(option.iter().map(ToString::to_string)).collect();
    let report = Report::input(format!("`{}` of step `{}`: {}", option.join("."), step.id, untrusted::lines(message)));
    let report = Report { place: Some(Place::Key(path, offset)), ..report };
    match session {
        Some(session) => report.hint(format!(
            "the columns of its inputs are those of session `{session}`; if its sources have others now, run the pipeline"
        )),
        None => report.hint("the columns of its inputs are those that the pipeline declares and that its SQL makes"),
    }
}

/// The SELECTs of a step by the tables that they make.
fn selects(step: &PlannedStep) -> BTreeMap<String, String> {
    let spec = &step.driver.spec;
    let is_sql = |option: &str| spec.name == SQL && spec.dialect(option) == Some(Dialect::DuckDb);
    let mut selects = BTreeMap::new();
    for (option, value) in step.config.iter().filter(|(option, _)| is_sql(option)) {
        match (option.as_str(), value) {
            ("query", Value::String(select)) => drop(selects.insert("main".to_owned(), select.clone())),
            ("queries", Value::Object(tables)) => {
                let texts =
                    tables.iter().filter_map(|(table, select)| Some((table.clone(), select.as_str()?.to_owned())));
                selects.extend(texts);
            }
            _ => {}
        }
    }
    selects
}

fn judged(plan: &Plan, step: &PlannedStep, binds: bool) -> JudgedStep {
    let place = |id: &StepId| plan.steps.iter().position(|step| step.id == *id).unwrap_or(usize::MAX);
    let inputs = step.inputs.iter().filter(|input| !input.is_reference && binds);
    let inputs = inputs.map(|input| JudgedInput {
        names: std::iter::once(&input.alias).chain(&input.also).cloned().collect(),
        step: place(&input.step),
        table: input.table.clone(),
    });
    let selects = if binds { selects(step) } else { BTreeMap::new() };
    JudgedStep { expect: step.expect.clone(), selects, inputs: inputs.collect(), earlier: BTreeMap::new() }
}

/// Takes the tables of steps without SQL from the latest session of the pipeline in which these steps, and all that they read, are
/// as they are now. Returns the session's id.
fn earlier(base: &Base, plan: &Plan, steps: &mut [JudgedStep], tables: &mut Vec<InputTable>) -> Option<String> {
    let sessions = session::list(base).ok()?;
    let sessions = sessions.into_iter().rev().filter_map(|session| Some((session.id, session.manifest?)));
    let own = sessions.filter(|(_, manifest)| manifest.pipeline == plan.pipeline).take(MAX_SESSIONS);
    for (id, manifest) in own {
        let mut same: BTreeSet<&StepId> = BTreeSet::new();
        for (place, step) in plan.steps.iter().enumerate() {
            let record = manifest.steps.iter().find(|record| record.id == step.id.as_str());
            let Some(record) = record.filter(|record| record.status == Status::Success) else { continue };
            let reads_same = step.inputs.iter().all(|input| same.contains(&input.step));
            if !reads_same || record.driver.sha256 != step.driver.sha256 || !has_config(base, &id, step) {
                continue;
            }
            same.insert(&step.id);
            let path = record.duckdb_path.as_deref().map(|named| session::tables_file(base, &id, named));
            let Some(Ok(path)) = path.filter(|_| steps[place].selects.is_empty()) else { continue };
            for table in record.tables.keys() {
                let name = format!("osiris_earlier_{}", tables.len());
                tables.push(InputTable::new(&name, path.clone(), table));
                steps[place].earlier.insert(table.clone(), name);
            }
        }
        if !tables.is_empty() {
            return Some(id);
        }
    }
    None
}

/// Whether a step of a session had the config that it has now.
fn has_config(base: &Base, session: &str, step: &PlannedStep) -> bool {
    let read = || {
        let folder = base.sessions.open().ok()?.open_dir(session).ok()?;
        let text = plain::read(&folder, format!("artifacts/{}/cleaned_config.json", step.id)).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    };
    read().is_some_and(|config| config.as_object() == Some(&step.masked_config))
}
