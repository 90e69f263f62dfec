//! The SQL of checks: for each a condition that is true for the rows that offend, and never NULL.

use serde_json::Value;

use super::{Columns, Table, quoted};
use crate::engine::{Cause, Engine, EngineError, quote_text};
use crate::error::{listed, nearest};
use crate::pipeline::expect::{Check, Rule, Target};

/// Finds the columns of a SELECT, with their types.
type Describe<'a> = &'a dyn Fn(&str) -> Result<Columns, String>;

/// The type of a column in SQL's terms, as far as literals depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    /// With NaN, which belongs to no range.
    Float,
    Text,
    Boolean,
    /// Values are written as text and cast.
    Other,
}

fn class(kind: &str) -> Class {
    let word = kind.split(['(', '[']).next().unwrap_or_default();
    match word {
        _ if kind.ends_with(']') => Class::Other,
        "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT" | "UINTEGER"
        | "UBIGINT" | "UHUGEINT" | "DECIMAL" | "BIGNUM" => Class::Number,
        "FLOAT" | "DOUBLE" => Class::Float,
        "VARCHAR" | "ENUM" => Class::Text,
        "BOOLEAN" => Class::Boolean,
        _ => Class::Other,
    }
}

/// The real name and the type of a column, which DuckDB finds whatever its case.
///
/// # Errors
/// If the table has no such column.
pub fn column<'a>(table: &'a Table, wanted: &str) -> Result<&'a (String, String), String> {
    let found = table.columns.iter().find(|(name, _)| name == wanted);
    let found = found.or_else(|| table.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)));
    found.ok_or_else(|| {
        let names = || table.columns.iter().map(|(name, _)| name.as_str());
        let near = nearest(wanted, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("table `{}` has no column `{wanted}`; it has {}{near}", table.name, listed(names().take(30)))
    })
}

/// Checks that a check's own SQL can be bound over its table: conditions are true or false, and a SELECT is one.
///
/// # Errors
/// Why not, in DuckDB's words.
pub fn fits(engine: &Engine, table: &Table, names: &[String], check: &Check) -> Result<(), String> {
    let told = |error: EngineError| error.message;
    let condition = |text: &str| {
        let select = format!("SELECT ({}) FROM {}", whole(text), quoted(&table.name));
        engine.judge_over(&select, names).map_err(told)?;
        match engine.described(&select).map_err(told)?.as_slice() {
            [(_, kind)] if kind == "BOOLEAN" => Ok(()),
            [(_, kind)] => Err(format!("`{text}` is a {kind}, and not true or false")),
            _ => Err(format!("`{text}` is not one condition")),
        }
    };
    if let Some(text) = &check.condition {
        condition(text).map_err(|error| format!("`where`: {error}"))?;
    }
    match &check.rule {
        Rule::Sql { condition: text } => condition(text),
        Rule::Rows { select } => {
            engine.judge_over(select, names).map_err(told)?;
            engine.described(select).map(|_| ()).map_err(told)
        }
        _ => Ok(()),
    }
}

/// A text of the author's that something follows: a comment in it must not swallow that.
pub fn whole(text: &str) -> String {
    if text.contains("--") { format!("{text}\n") } else { text.to_owned() }
}

/// A condition of the author's, in parentheses.
fn author(condition: &str) -> String {
    format!("(({}))", whole(condition))
}

/// A type that the author names, as DuckDB prints it.
///
/// # Errors
/// If it is not one.
pub fn type_named(engine: &Engine, kind: &str) -> Result<String, EngineError> {
    let select = format!("SELECT CAST(NULL AS {})", whole(kind));
    engine.judge_over(&select, &[])?;
    match engine.described(&select)?.as_slice() {
        [(_, kind)] => Ok(kind.clone()),
        _ => Err(EngineError { message: "not one type".to_owned(), cause: Cause::Statement, position: None }),
    }
}

/// The condition that rows must meet to be checked.
pub fn checked(check: &Check) -> Option<String> {
    check.condition.as_ref().map(|condition| format!("({} IS TRUE)", author(condition)))
}

/// A condition that is true for the rows that offend and false for all others.
///
/// # Errors
/// Why the check does not fit the column's type.
pub fn offends(
    check: &Check,
    table: &Table,
    source: &dyn Fn(&str) -> Option<String>,
    described: Describe<'_>,
) -> Result<String, String> {
    let own = match &check.rule {
        Rule::NotNull { column: wanted } => format!("{} IS NULL", quoted(&column(table, wanted)?.0)),
        Rule::Unique { columns } => is_not_alone(check, table, columns)?,
        Rule::Values { column: wanted, values } => {
            let (name, kind) = column(table, wanted)?;
            let values = values.iter().map(|value| literal(name, kind, value)).collect::<Result<Vec<_>, _>>()?;
            format!("({} NOT IN ({})) IS TRUE", quoted(name), values.join(", "))
        }
        Rule::Range { column: wanted, min, max, above_min, below_max } => {
            let (name, kind) = column(table, wanted)?;
            let side = |bound: &Option<Value>, wrong: &str| {
                let bound = bound.as_ref().map(|bound| literal(name, kind, bound)).transpose()?;
                Ok::<_, String>(bound.map(|bound| format!("{} {wrong} {bound}", quoted(name))))
            };
            let low = side(min, if *above_min { "<=" } else { "<" })?;
            let high = side(max, if *below_max { ">=" } else { ">" })?;
            let nan = (class(kind) == Class::Float).then(|| format!("isnan({})", quoted(name)));
            let sides: Vec<String> = low.into_iter().chain(high).chain(nan).collect();
            format!("({}) IS TRUE", sides.join(" OR "))
        }
        Rule::Pattern { column: wanted, pattern } => {
            let (name, kind) = column(table, wanted)?;
            if class(kind) != Class::Text {
                return Err(format!("column `{name}` is a {kind}, and `pattern` is for texts; use `sql` and a cast"));
            }
            format!("(NOT regexp_full_match(CAST({} AS VARCHAR), {})) IS TRUE", quoted(name), quote_text(pattern))
        }
        Rule::References { column: wanted, target } => is_not_in(table, wanted, target, source, described)?,
        Rule::Sql { condition } => format!("{} IS FALSE", author(condition)),
        Rule::Columns { .. } | Rule::RowCount { .. } | Rule::Freshness { .. } | Rule::Rows { .. } => {
            return Err(format!("`{}` finds no single rows", check.rule.key()));
        }
    };
    Ok(match checked(check) {
        Some(checked) => format!("({checked} AND ({own}))"),
        None => format!("({own})"),
    })
}

/// The key of rows that `unique` compares: its columns, and the condition that all of them have values.
pub fn key(check: &Check, table: &Table, columns: &[String]) -> Result<(Vec<String>, String), String> {
    let names =
        columns.iter().map(|wanted| Ok(quoted(&column(table, wanted)?.0))).collect::<Result<Vec<_>, String>>()?;
    let present = names.iter().map(|name| format!("{name} IS NOT NULL"));
    let conditions: Vec<String> = present.chain(checked(check)).collect();
    Ok((names, conditions.join(" AND ")))
}

fn is_not_alone(check: &Check, table: &Table, columns: &[String]) -> Result<String, String> {
    let (names, present) = key(check, table, columns)?;
    let packed = |names: &[String]| match names {
        [name] => name.clone(),
        names => format!("row({})", names.join(", ")),
    };
    Ok(format!(
        "{present} AND {key} IN (SELECT {key} FROM {from} WHERE {present} GROUP BY {list} HAVING count(*) > 1)",
        key = packed(&names),
        list = names.join(", "),
        from = table.from
    ))
}

fn is_not_in(
    table: &Table,
    wanted: &str,
    target: &Target,
    source: &dyn Fn(&str) -> Option<String>,
    described: Describe<'_>,
) -> Result<String, String> {
    let (name, kind) = column(table, wanted)?;
    let from = target.alias.as_deref().and_then(source);
    let from = from.ok_or_else(|| format!("`{}` cannot be read", target.from))?;
    let there = Table { name: target.from.clone(), columns: described(&format!("FROM {from}"))?, from, rows: 0 };
    let (other, other_kind) = column(&there, &target.column)?;
    if (class(kind) == Class::Text) != (class(other_kind) == Class::Text) {
        return Err(format!(
            "column `{name}` is a {kind}, but column `{other}` of `{}` is a {other_kind}; cast one of them",
            target.from
        ));
    }
    let (column, other) = (quoted(name), quoted(other));
    Ok(format!("({column} NOT IN (SELECT {other} FROM {} WHERE {other} IS NOT NULL)) IS TRUE", there.from))
}

/// A value of the author's in SQL, in the type of its column. Nothing is rounded: a text must not stand for a number.
fn literal(column: &str, kind: &str, value: &Value) -> Result<String, String> {
    let unfit = |wanted: &str| Err(format!("column `{column}` is a {kind}, but {value} is not {wanted}"));
    match (class(kind), value) {
        (Class::Number | Class::Float, Value::Number(number)) => Ok(format!("({number})")),
        (Class::Number | Class::Float, Value::String(text)) if is_number(text) => Ok(format!("({text})")),
        (Class::Number | Class::Float, _) => unfit("a number"),
        (Class::Text, Value::String(text)) => Ok(quote_text(text)),
        (Class::Text, _) => unfit("a text; write it in quotes"),
        (Class::Boolean, Value::Bool(value)) => Ok(value.to_string()),
        (Class::Boolean, _) => unfit("`true` or `false`"),
        (Class::Other, Value::String(text)) => {
            // A cast to these would drop what they do not have, such as the time of a day.
            let is_coarse = matches!(kind, "DATE" | "TIMESTAMP_S" | "TIMESTAMP_MS");
            Ok(format!("CAST({} AS {})", quote_text(text), if is_coarse { "TIMESTAMP" } else { kind }))
        }
        (Class::Other, _) => unfit("a text that stands for such a value"),
    }
}

/// Whether a text is a plain number: for those with more digits than YAML's numbers have.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_literal_has_the_type_of_its_column_or_is_refused() {
        for (kind, value, expected) in [
            ("BIGINT", json!(-5), Some("(-5)")),
            ("DECIMAL(38,10)", json!("12345678901234567890.0000000001"), Some("(12345678901234567890.0000000001)")),
            ("DOUBLE", json!(0.5), Some("(0.5)")),
            ("BIGINT", json!("5; drop"), None),
            ("BIGINT", json!(true), None),
            ("VARCHAR", json!("it's"), Some("'it''s'")),
            ("VARCHAR", json!(5), None),
            ("ENUM('a', 'b')", json!("a"), Some("'a'")),
            ("DATE", json!("2024-01-01"), Some("CAST('2024-01-01' AS TIMESTAMP)")),
            ("INTEGER[]", json!("[1]"), Some("CAST('[1]' AS INTEGER[])")),
            ("BOOLEAN", json!(true), Some("true")),
            ("BOOLEAN", json!("yes"), None),
        ] {
            assert_eq!(literal("c", kind, &value).ok().as_deref(), expected, "{kind} {value}");
        }
    }
}
