//! What is wrong with checks, whatever rows their tables have: their SQL, patterns and types, and columns that a table with known
//! columns does not have.

use super::binding::{Columns, stand_in};
use super::{Table, sql};
use crate::engine::{Engine, EngineError, quote_name, quote_text};
use crate::pipeline::expect::{Check, Expect, Rule};

/// Finds the checks of a step that are wrong, by their places, and why. `known` has the columns of the step's tables, if they are
/// known.
pub(super) fn wrong_checks(
    engine: &Engine,
    expect: &Expect,
    known: &dyn Fn(&str) -> Option<Columns>,
) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (place, check) in expect.checks.iter().enumerate() {
        let problem = spelling(engine, check).and_then(|()| match table_of(engine, check, known) {
            Some(table) => binding(engine, &table, check),
            None => Ok(()),
        });
        if let Err(problem) = problem {
            wrong.push((place, problem));
        }
    }
    wrong
}

fn told(error: EngineError) -> String {
    error.message
}

/// What can be judged without a table.
fn spelling(engine: &Engine, check: &Check) -> Result<(), String> {
    if let Some(condition) = &check.condition {
        engine.parses(&format!("SELECT ({})", sql::whole(condition))).map_err(|error| format!("`where`: {error}"))?;
    }
    match &check.rule {
        Rule::Sql { condition } => engine.parses(&format!("SELECT ({})", sql::whole(condition))).map_err(told),
        Rule::Rows { select } => engine.parses(select).map_err(told),
        Rule::Pattern { pattern, .. } => {
            let select = format!("SELECT CAST(regexp_full_match('', {}) AS VARCHAR)", quote_text(pattern));
            engine.texts(&select, 1).map(|_| ()).map_err(told)
        }
        Rule::Columns { columns, .. } => {
            for (name, kind) in columns.iter().filter_map(|(name, kind)| Some((name, kind.as_ref()?))) {
                sql::type_named(engine, kind)
                    .map_err(|error| format!("the type `{kind}` of column `{name}`: {error}"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The table of a check, if its columns are known.
fn table_of(engine: &Engine, check: &Check, known: &dyn Fn(&str) -> Option<Columns>) -> Option<Table> {
    let name = check.table.clone().unwrap_or_else(|| "main".to_owned());
    let columns = known(&name)?;
    stand_in(engine, &name, &columns).ok()?;
    Some(Table { from: quote_name(&name), name, columns, rows: 0 })
}

/// Whether a check fits a table whose columns are known. What it looks up elsewhere is not.
fn binding(engine: &Engine, table: &Table, check: &Check) -> Result<(), String> {
    for column in check.rule.columns() {
        sql::column(table, column)?;
    }
    match &check.rule {
        Rule::References { .. } | Rule::Rows { .. } => Ok(()),
        Rule::Columns { .. } | Rule::RowCount { .. } | Rule::Freshness { .. } => {
            sql::fits(engine, table, std::slice::from_ref(&table.name), check)
        }
        _ => {
            sql::fits(engine, table, std::slice::from_ref(&table.name), check)?;
            let described = |select: &str| engine.described(select).map_err(told);
            let offends = sql::offends(check, table, &|_| None, &described)?;
            described(&format!("SELECT {offends} FROM {}", table.from)).map(|_| ())
        }
    }
}
