//! Binds the SQL of a pipeline's steps before anything runs, as far as the columns of their inputs are known: they are declared, come
//! from SQL that was bound before, or are those of an earlier session.

use std::collections::BTreeMap;

use super::sql;
use super::validate::wrong_checks;
use crate::engine::{Engine, EngineError, quote_name};
use crate::pipeline::expect::outcome::MAX_TEXT;
use crate::pipeline::expect::{Expect, Rule};
use crate::protocol::binding::{JudgedStep, Judgement};

/// Names and types.
pub(super) type Columns = Vec<(String, String)>;

/// The known columns of a table, and whether an earlier session says so.
struct Known {
    columns: Columns,
    is_from_earlier: bool,
}

/// What is wrong with the checks and the SQL of steps, each of which reads only steps before it.
pub fn judge(engine: &Engine, steps: &[JudgedStep]) -> Vec<Judgement> {
    let mut found = Vec::new();
    let mut known: BTreeMap<(usize, String), Known> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        for (table, name) in &step.earlier {
            if let Ok(Some(columns)) = engine.bound(&format!("FROM {}", quote_name(name))) {
                known.insert((place, table.clone()), Known { columns, is_from_earlier: true });
            }
        }
        if !step.selects.is_empty() {
            bind(engine, steps, place, &mut known, &mut found);
        }
        for (table, columns) in declared(engine, &step.expect) {
            known.insert((place, table), Known { columns, is_from_earlier: false });
        }
        let table = |name: &str| known.get(&(place, name.to_owned())).filter(|known| !known.is_from_earlier);
        let wrong = wrong_checks(engine, &step.expect, &|name| table(name).map(|known| known.columns.clone()));
        found.extend(wrong.into_iter().map(|(check, problem)| {
            let message: String = problem.chars().take(MAX_TEXT).collect();
            Judgement::WrongCheck { step: place, check, message: message.into() }
        }));
    }
    found
}

/// Binds the SELECTs of a step, and notes the columns of the tables that they make.
fn bind(
    engine: &Engine,
    steps: &[JudgedStep],
    place: usize,
    known: &mut BTreeMap<(usize, String), Known>,
    found: &mut Vec<Judgement>,
) {
    let step = &steps[place];
    let mut names = Vec::new();
    let mut is_from_earlier = false;
    for (number, input) in step.inputs.iter().enumerate() {
        let columns = known.get(&(input.step, input.table.clone())).filter(|_| input.step < place);
        let made = columns.and_then(|table| {
            is_from_earlier |= table.is_from_earlier;
            input.names.iter().try_for_each(|name| stand_in(engine, name, &table.columns)).ok()
        });
        if made.is_none() {
            found.push(Judgement::Unbound { step: place, input: number });
            return;
        }
        names.extend(input.names.iter().cloned());
    }
    for (table, select) in &step.selects {
        let judged = engine.judge_over(select, &names).and_then(|()| engine.bound(select));
        match judged {
            Ok(Some(columns)) => drop(known.insert((place, table.clone()), Known { columns, is_from_earlier })),
            Ok(None) => {}
            Err(error) => found.push(Judgement::WrongSelect {
                step: place,
                table: table.clone(),
                message: error.message.into(),
                position: error.position,
                is_from_earlier,
            }),
        }
    }
}

/// Makes an empty table with these columns known by a name.
pub(super) fn stand_in(engine: &Engine, name: &str, columns: &Columns) -> Result<(), EngineError> {
    let nulls: Vec<String> =
        columns.iter().map(|(name, kind)| format!("CAST(NULL AS {kind}) AS {}", quote_name(name))).collect();
    engine.name_table(name, &format!("SELECT {} WHERE false", nulls.join(", ")))
}

/// The tables whose columns the checks of their step list completely, with a type for each.
fn declared(engine: &Engine, expect: &Expect) -> BTreeMap<String, Columns> {
    let mut tables = BTreeMap::new();
    for check in &expect.checks {
        let Rule::Columns { columns, extra: false } = &check.rule else { continue };
        let typed =
            columns.iter().map(|(name, kind)| Some((name.clone(), sql::type_named(engine, kind.as_ref()?).ok()?)));
        if let Some(columns) = typed.collect::<Option<Columns>>() {
            tables.insert(check.table.clone().unwrap_or_else(|| "main".to_owned()), columns);
        }
    }
    tables
}
