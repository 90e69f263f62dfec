//! The pipeline as its author wrote it: OML 0.1.0, parsed and checked for shape. No I/O.

pub mod connections;
pub mod database_url;
pub mod dotenv;
pub mod expect;
pub mod parameter;
pub mod params;
pub mod places;
pub mod project;
pub mod resources;
pub mod retries;
pub mod secret_source;
pub mod sql_literal;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::error::{Report, Reports, listed, nearest};
use expect::{Expect, MostRejected, RawExpect, RawRejects};
use parameter::ParamDef;
use resources::{RawResources, Resources};
use retries::Retries;

/// The supported OML versions.
const VERSIONS: [&str; 1] = ["0.1.0"];

/// The most rows that a step may be allowed to reject.
pub const MAX_REJECTS: u32 = 1_000_000;

/// A step's name, which is also the name of its files, so it cannot lead out of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// # Errors
    /// If the text is not 1 to 64 of letters, digits, `-`, `_` and `.`, starting with a letter, digit or `_`.
    pub fn new(text: &str) -> Result<Self, Report> {
        let first = text.chars().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == '_');
        let rest = text.chars().all(|each| each.is_ascii_alphanumeric() || matches!(each, '-' | '_' | '.'));
        if first && rest && text.len() <= 64 {
            return Ok(Self(text.to_owned()));
        }
        Err(Report::input(format!("`{text}` cannot be a step id"))
            .hint("use 1 to 64 letters, digits, `-`, `_` and `.`, starting with a letter or digit"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step does with data, in Python Osiris's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Read,
    Write,
    Transform,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Read => "read",
            Mode::Write => "write",
            Mode::Transform => "transform",
        })
    }
}

/// One named set of parameter values.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Where the steps run that say nothing about it.
    #[serde(default)]
    pub on: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    pub name: String,
    pub params: BTreeMap<String, ParamDef>,
    pub profiles: BTreeMap<String, Profile>,
    /// Free-form notes about the pipeline, without effect.
    pub metadata: Map<String, Value>,
    /// Whether the author wrote a `schedule`, which Python Osiris allows; Osiris does not start runs by the clock.
    pub is_scheduled: bool,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    /// `family.name`, or a path to a `.wasm` file.
    pub component: String,
    pub mode: Option<Mode>,
    pub config: Map<String, Value>,
    /// `None` if the author omitted it, which means the previous step.
    pub needs: Option<Vec<StepId>>,
    /// Alias, step and table of each input, in the author's order; `None` if omitted.
    pub inputs: Option<Vec<(String, StepId, String)>>,
    /// Its own, or those of the pipeline.
    pub retries: Retries,
    /// How many rows the step's driver may reject before it fails.
    pub rejects: u32,
    /// Whether what the step made may be reused by later runs; `None` if the author leaves that to Osiris.
    pub cache: Option<bool>,
    /// What the step's tables must be like.
    pub expect: Expect,
    /// The worker that runs it, if the author names one.
    pub on: Option<String>,
    pub resources: Resources,
    /// The step's line in the file.
    pub line: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPipeline {
    oml_version: Option<Value>,
    name: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "known, so that it is no unknown key")]
    description: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, Value>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    schedule: Option<Value>,
    /// Those of the steps that have none.
    retries: Option<Value>,
    #[serde(default)]
    steps: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    id: Spanned<String>,
    #[serde(alias = "driver")]
    component: String,
    mode: Option<Mode>,
    #[serde(default)]
    config: Map<String, Value>,
    needs: Option<Vec<String>>,
    inputs: Option<Map<String, Value>>,
    retries: Option<Value>,
    rejects: Option<RawRejects>,
    expect: Option<Spanned<RawExpect>>,
    cache: Option<bool>,
    on: Option<String>,
    #[serde(default)]
    resources: RawResources,
    #[expect(dead_code, reason = "known, so that it is no unknown key")]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    from_step: String,
    #[serde(default)]
    table: Option<String>,
    /// Python Osiris's name for the DataFrame of a step, `df`: here the table `main`.
    #[serde(default)]
    key: Option<String>,
}

/// Parses a pipeline; `file` names it in errors.
///
/// # Errors
/// [`Reports`] that name the line, the step and the remedy.
pub fn parse(text: &str, file: &str) -> Result<Pipeline, Reports> {
    let raw: RawPipeline = yaml::parse(text, "pipeline", file)?;
    check_version(raw.oml_version.as_ref(), file)?;
    let name = raw.name.filter(|name| !name.trim().is_empty()).ok_or_else(|| {
        Report::input(format!("pipeline `{file}` has no name")).hint("add a line such as `name: my-pipeline`")
    })?;
    if raw.steps.is_empty() {
        return Err(Report::input(format!("pipeline `{file}` has no steps"))
            .hint("add at least one step under `steps:`; see the README for an example")
            .into());
    }
    let mut wrong = Reports::default();
    let declared = raw.params.into_iter().filter_map(|(name, param)| {
        let definition = wrong.note(parameter::declared(&name, param, file))?;
        Some((name, definition))
    });
    let params = declared.collect();
    let usual = match raw.retries {
        None => Retries::default(),
        Some(written) => Retries::parse(written, &format!("pipeline `{file}`"))?,
    };
    let steps = raw.steps.into_iter().enumerate().filter_map(|(number, step)| {
        let inside = |report: Report| report.inside(["steps".to_owned(), number.to_string()]);
        wrong.note(parse_step(step, file, &usual).map_err(inside))
    });
    let steps: Vec<Step> = steps.collect();
    wrong.note(refuse_twins(&steps, file));
    wrong.into_result()?;
    Ok(Pipeline {
        name,
        params,
        profiles: raw.profiles,
        metadata: raw.metadata.unwrap_or_default(),
        is_scheduled: raw.schedule.is_some(),
        steps,
    })
}

fn check_version(version: Option<&Value>, file: &str) -> Result<(), Report> {
    let known = listed(VERSIONS);
    match version {
        Some(Value::String(version)) if VERSIONS.contains(&version.as_str()) => Ok(()),
        Some(other) => {
            Err(Report::input(format!("pipeline `{file}` has oml_version {other}; known versions: {known}"))
                .hint("write `oml_version: \"0.1.0\"`, in quotes"))
        }
        None => Err(Report::input(format!("pipeline `{file}` does not say its oml_version; known versions: {known}"))
            .hint("add the line `oml_version: \"0.1.0\"`")),
    }
}

fn parse_step(raw: RawStep, file: &str, usual: &Retries) -> Result<Step, Report> {
    let line = raw.id.referenced.line();
    let at = |report: Report| Report { message: format!("{} ({file}, line {line})", report.message), ..report };
    let id = StepId::new(&raw.id.value).map_err(|report| at(report).at(["id"]))?;
    let needs = raw
        .needs
        .map(|needs| needs.iter().map(|need| StepId::new(need)).collect::<Result<Vec<_>, _>>())
        .transpose()
        .map_err(|report| at(report).at(["needs"]))?;
    let inputs = raw
        .inputs
        .map(|inputs| inputs.into_iter().map(|(alias, value)| parse_input(&id, alias, value)).collect())
        .transpose()
        .map_err(|report| at(report).at(["inputs"]))?;
    let retries = match raw.retries {
        None => usual.clone(),
        Some(written) => {
            Retries::parse(written, &format!("step `{id}`")).map_err(|report| at(report).at(["retries"]))?
        }
    };
    let most_rejected = raw.rejects.map(|RawRejects(most)| most);
    let rejects = match most_rejected {
        None => 0,
        Some(MostRejected::Rows(rows)) if rows > MAX_REJECTS => {
            let message = format!("step `{id}` has `rejects: {rows}`; at most {MAX_REJECTS} are possible");
            return Err(at(Report::input(message)).at(["rejects"]));
        }
        Some(MostRejected::Rows(rows)) => rows,
        // How many that are is known once the step has all rows.
        Some(MostRejected::Percent(_)) => MAX_REJECTS,
    };
    let RawStep { component, mode, config, expect, cache, on, resources, .. } = raw;
    let resources = Resources::new(resources).map_err(|report| at(report).at(["resources"]))?;
    let expect = match expect {
        Some(Spanned { value, referenced, .. }) => {
            value.parse(&id, referenced.line().max(line), file).map_err(|report| report.at(["expect"]))?
        }
        None => Expect::default(),
    };
    let expect = Expect { most_rejected, ..expect };
    Ok(Step { id, component, mode, config, needs, inputs, retries, rejects, expect, cache, on, resources, line })
}

fn parse_input(step: &StepId, alias: String, value: Value) -> Result<(String, StepId, String), Report> {
    let shape = || {
        Report::input(format!("input `{alias}` of step `{step}` is not understood"))
            .hint("write `inputs: {alias: {from_step: step-id, table: main}}`")
    };
    let (from, table) = match value {
        Value::String(from) => (from, None),
        Value::Object(fields) => {
            if let Some(unknown) = fields.keys().find(|key| !["from_step", "table", "key"].contains(&key.as_str())) {
                let report = Report::input(format!("input `{alias}` of step `{step}` has the unknown key `{unknown}`"));
                let near = nearest(unknown, ["from_step", "table", "key"]).unwrap_or("from_step");
                return Err(report.hint(format!("did you mean `{near}`?")));
            }
            let raw: RawInput = serde_json::from_value(Value::Object(fields)).map_err(|_| shape())?;
            (raw.from_step, raw.table.or(raw.key.filter(|key| key != "df")))
        }
        _ => return Err(shape()),
    };
    if alias.is_empty() || alias.contains('\0') {
        return Err(shape());
    }
    Ok((alias, StepId::new(&from)?, table.unwrap_or_else(|| "main".to_owned())))
}

/// Ids that differ only in case would share a file on some systems.
fn refuse_twins(steps: &[Step], file: &str) -> Result<(), Report> {
    let mut seen: BTreeMap<String, &Step> = BTreeMap::new();
    for step in steps {
        if let Some(first) = seen.insert(step.id.as_str().to_lowercase(), step) {
            return Err(Report::input(format!(
                "two steps have the id `{}` ({file}, lines {} and {})",
                step.id, first.line, step.line
            ))
            .hint("ids are file names: give each step its own, not differing in case alone")
            .at_step(&step.id, &["id"]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrong(text: &str) -> Report {
        parse(text, "p.yaml").unwrap_err().iter().next().unwrap().clone()
    }

    #[test]
    fn a_step_has_the_retries_of_the_pipeline_unless_it_has_its_own() {
        let text = |usual: &str, own: &str| {
            format!("{{oml_version: '0.1.0', name: p, {usual} steps: [{{id: a, component: a.b{own}}}]}}")
        };
        for (usual, own, more) in [
            ("", "", 0),
            ("", ", retries: 10", 10),
            ("retries: {attempts: 3},", "", 2),
            ("retries: 3,", ", retries: 0", 0),
        ] {
            assert_eq!(parse(&text(usual, own), "p.yaml").unwrap().steps[0].retries.more, more);
        }
        assert!(wrong(&text("", ", retries: 11")).message.contains("step `a` has `retries: 11`; at most 10"));
        assert!(wrong(&text("retries: x,", "")).message.contains("pipeline `p.yaml` has `retries: \"x\"`"));
    }

    #[test]
    fn all_of_oml_is_understood() {
        let text = r#"
oml_version: "0.1.0"
name: flights
params:
  limit: {type: integer, default: 10}
  dest: JFK
profiles:
  dev: {params: {limit: 5}}
steps:
  - id: extract-flights
    component: filesystem.csv_extractor
    mode: read
    config: {path: flights.csv}
  - id: top
    component: duckdb.processor
    needs: [extract-flights]
    inputs: {flights: {from_step: extract-flights, table: main}, again: {from_step: extract-flights, key: df}}
"#;
        let pipeline = parse(text, "p.yaml").unwrap();
        assert_eq!(pipeline.params["limit"].default, Some(Value::from(10)));
        assert_eq!(pipeline.params["dest"].default, Some(Value::from("JFK")));
        assert_eq!(pipeline.steps[0].line, 10);
        let inputs = pipeline.steps[1].inputs.as_ref().unwrap();
        assert_eq!(inputs[1].2, "main");
    }

    #[test]
    fn step_ids_cannot_lead_out_of_a_folder() {
        for id in ["..", "../x", "a/b", "", ".hidden", "-rf", "a b", "ä", &"x".repeat(65)] {
            assert!(StepId::new(id).is_err(), "{id}");
        }
        for id in ["extract-movies", "a", "A.b_c-1", "_x", "2"] {
            assert!(StepId::new(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn wrong_pipelines_are_refused_with_a_remedy() {
        let step = "steps: [{id: a, component: x.y}]";
        for text in [
            format!("name: x\n{step}"),
            format!("oml_version: \"9\"\nname: x\n{step}"),
            format!("oml_version: 0.1\nname: x\n{step}"),
            format!("oml_version: \"0.1.0\"\n{step}"),
            "oml_version: \"0.1.0\"\nname: x".to_owned(),
            "oml_version: \"0.1.0\"\nname: x\nsteps: [{id: a, component: x.y}, {id: A, component: x.y}]".to_owned(),
            "oml_version: \"0.1.0\"\nname: x\nsteps: [{id: a, component: x.y, inputs: {q: {from: b}}}]".to_owned(),
        ] {
            assert!(wrong(&text).hint.is_some(), "{text}");
        }
    }
}
