//! Which tables each step reads, and under which names.

use std::collections::BTreeSet;

use super::order::Places;

use crate::driver::spec::Kind;
use crate::error::Report;
use crate::pipeline::expect::Expect;
use crate::pipeline::{Pipeline, Step, StepId};

/// The beginning of names that no author's SQL may use.
const OWN: &str = "osiris_";

/// One table that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub alias: String,
    /// Other names in SQL.
    pub also: Vec<String>,
    pub step: StepId,
    pub table: String,
    /// Whether only the checks of the step's tables read it.
    pub is_reference: bool,
}

/// An alias, and the step and table that it stands for.
type Source = (String, StepId, String);

/// The inputs of a step: those that it names, or the table `main` of each step that it needs.
///
/// # Errors
/// If it reads a step that has no tables.
pub(super) fn of_step(
    pipeline: &Pipeline,
    places: &Places<'_>,
    place: usize,
    kinds: &[Kind],
) -> Result<Vec<Input>, Report> {
    if !kinds[place].has_inputs() {
        return Ok(Vec::new());
    }
    let step = &pipeline.steps[place];
    let sources = sources(pipeline, places, place, kinds);
    let has_no_table = |from: &StepId| places.get(from).is_some_and(|from| !kinds[*from].makes_tables());
    if let Some((alias, from, _)) = sources.iter().find(|(_, from, _)| has_no_table(from)) {
        return Err(Report::input(format!(
            "input `{alias}` of step `{}` reads step `{from}`, which is a writer and has no table",
            step.id
        ))
        .hint("read the step that the writer reads"));
    }
    let alone = sources.len() == 1;
    // Names in DuckDB are case-insensitive.
    let aliases: BTreeSet<String> = sources.iter().map(|(alias, ..)| alias.to_lowercase()).collect();
    Ok(sources
        .iter()
        .enumerate()
        .map(|(number, (alias, from, table))| {
            let short = ["input_df", "input"].into_iter().filter(|_| alone).map(str::to_owned);
            let frame = Some(frame(from)).filter(|_| names_frame(&sources, number));
            let also = frame.into_iter().chain(short).filter(|name| !aliases.contains(&name.to_lowercase()));
            Input {
                alias: alias.clone(),
                also: also.collect(),
                step: from.clone(),
                table: table.clone(),
                is_reference: false,
            }
        })
        .collect())
}

/// The tables that a step reads. If it names none, those of the steps that it needs, in the author's order. A step
/// without `needs` that follows a writer reads what that writer reads.
fn sources(pipeline: &Pipeline, places: &Places<'_>, place: usize, kinds: &[Kind]) -> Vec<Source> {
    let main = |from: &StepId| (from.to_string(), from.clone(), "main".to_owned());
    let mut reading = place;
    loop {
        let step = &pipeline.steps[reading];
        if let Some(inputs) = &step.inputs {
            return inputs.clone();
        }
        if let Some(needs) = &step.needs {
            let has_tables = |need: &&StepId| places.get(*need).is_some_and(|need| kinds[*need].makes_tables());
            return needs.iter().filter(has_tables).map(main).collect();
        }
        match reading.checked_sub(1) {
            Some(before) if kinds[before].makes_tables() => return vec![main(&pipeline.steps[before].id)],
            Some(before) => reading = before,
            None => return Vec::new(),
        }
    }
}

/// The inputs of a step and the tables that only its checks read; and its checks, each with where the column is that it looks up: in an
/// input, or in a table of another step.
///
/// # Errors
/// If the inputs do not fit the step's kind of driver, or a step that is looked into has no tables.
pub(super) fn with_references(
    step: &Step,
    inputs: Vec<Input>,
    places: &Places<'_>,
    kinds: &[Kind],
) -> Result<(Vec<Input>, Expect), Report> {
    if let Some(place) = places.get(&step.id) {
        check(step, kinds[*place], &inputs)?;
    }
    let (mut added, mut expect) = (Vec::<Input>::new(), step.expect.clone());
    for target in expect.targets_mut() {
        if target.table.is_none()
            && let Some(input) = inputs.iter().find(|input| input.alias == target.from)
        {
            target.alias = Some(input.alias.clone());
            continue;
        }
        let from = StepId::new(&target.from)?;
        if places.get(&from).is_some_and(|place| !kinds[*place].makes_tables()) {
            return Err(Report::input(format!(
                "a check of step `{}` looks into step `{from}`, which is a writer and has no table",
                step.id
            ))
            .hint("look into the step that the writer reads"));
        }
        let table = target.table.clone().unwrap_or_else(|| "main".to_owned());
        let is_it = |input: &&Input| input.step == from && input.table == table;
        let known = inputs.iter().chain(&added).find(is_it).map(|input| input.alias.clone());
        let alias = known.unwrap_or_else(|| {
            let alias = format!("{OWN}reference_{}", added.len());
            let input = Input { alias: alias.clone(), also: Vec::new(), step: from, table, is_reference: true };
            added.push(input);
            alias
        });
        target.alias = Some(alias);
    }
    Ok(([inputs, added].concat(), expect))
}

/// Python Osiris's name for the output of a step.
fn frame(step: &StepId) -> String {
    format!("df_{}", step.as_str().replace(['-', '.'], "_"))
}

/// Whether `df_<step>` refers to the input with that number. Among several tables of one step it is `main`, and among
/// several aliases of one table the first. If the names of two steps coincide, it refers to neither.
fn names_frame(sources: &[Source], number: usize) -> bool {
    let Some((_, from, table)) = sources.get(number) else { return false };
    let name = frame(from).to_lowercase();
    let same: Vec<_> =
        sources.iter().enumerate().filter(|(_, (_, other, _))| frame(other).to_lowercase() == name).collect();
    if same.iter().any(|(_, (_, other, _))| other != from) {
        return false;
    }
    let only_one = same.iter().all(|(_, (_, _, other))| other == table);
    let first = same.iter().find(|(_, (_, _, other))| other == table).map(|(place, _)| *place);
    (only_one || table == "main") && first == Some(number)
}

/// Checks that a step's inputs have distinct names, and that its kind of driver can read them.
///
/// # Errors
/// If not.
fn check(step: &Step, kind: Kind, inputs: &[Input]) -> Result<(), Report> {
    let mut names = BTreeSet::new();
    let twice = inputs.iter().find(|input| !names.insert(input.alias.to_lowercase()));
    if let Some(input) = twice {
        return Err(Report::input(format!("step `{}` has two inputs called `{}`", step.id, input.alias))
            .hint("SQL names do not tell upper from lower case: give each input its own"));
    }
    if !kind.has_inputs() && step.inputs.as_ref().is_some_and(|inputs| !inputs.is_empty()) {
        return Err(Report::input(format!(
            "step `{}` has inputs, but its driver `{}` is an {kind}",
            step.id, step.component
        ))
        .hint("remove `inputs`, or use a processor"));
    }
    if !kind.makes_tables() && inputs.is_empty() {
        return Err(Report::input(format!("step `{}` is a {kind} without an input", step.id))
            .hint("name the step to read under `needs` or `inputs`"));
    }
    Ok(())
}
