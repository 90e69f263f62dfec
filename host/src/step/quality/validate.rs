//! What is wrong with checks, whatever their tables have: their SQL, patterns and types, and columns that an exact list of
//! columns does not have.

use super::{Table, sql};
use crate::engine::{Engine, EngineError, quote_name, quote_text};
use crate::pipeline::expect::outcome::{MAX_TEXT, WrongCheck};
use crate::pipeline::expect::{Check, Expect, Rule};

/// Finds what is wrong with the checks of each step.
pub fn wrong_checks(engine: &Engine, steps: &[Expect]) -> Vec<WrongCheck> {
    let mut wrong = Vec::new();
    for (step, expect) in steps.iter().enumerate() {
        for (place, check) in expect.checks.iter().enumerate() {
            let problem = spelling(engine, check).and_then(|()| match known(engine, expect, check) {
                Some(table) => binding(engine, &table, check),
                None => Ok(()),
            });
            if let Err(problem) = problem {
                let message: String = problem.chars().take(MAX_TEXT).collect();
                wrong.push(WrongCheck { step, check: place, message: message.into() });
            }
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

/// The table of a check as far as its step's checks determine it: `columns` with a type for each and `extra: refuse`.
fn known(engine: &Engine, expect: &Expect, check: &Check) -> Option<Table> {
    let columns = expect.checks.iter().find_map(|other| match &other.rule {
        Rule::Columns { columns, extra: false } if other.table == check.table => Some(columns),
        _ => None,
    })?;
    let typed = columns.iter().map(|(name, kind)| Some((name.clone(), sql::type_named(engine, kind.as_ref()?).ok()?)));
    let columns: Vec<(String, String)> = typed.collect::<Option<_>>()?;
    let name = check.table.clone().unwrap_or_else(|| "main".to_owned());
    let nulls: Vec<String> =
        columns.iter().map(|(name, kind)| format!("CAST(NULL AS {kind}) AS {}", quote_name(name))).collect();
    engine.name_table(&name, &format!("SELECT {} WHERE false", nulls.join(", "))).ok()?;
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
