//! Checks a whole input in one SELECT, before the first row is sent.

use osiris_sdk::sql::{query, quote_name};
use osiris_sdk::{Error, Input, Result, context};

use crate::{Check, LossPolicy, OnLoss, SourceType, TargetType, Verdict, verdict};

/// A column of the input on its way into a column of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub source: SourceType,
    pub target: TargetType,
    /// The target's type in the target's own terms, for messages: `numeric(10,2)`, `lossy.whole (integer)`.
    pub target_name: String,
}

/// How to select a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// A SQL expression of the column's own DuckDB type: the column itself, or its values after `on_loss` is applied.
    pub expression: String,
    /// How many values it changes.
    pub changed: u64,
}

/// The names and types of an input's columns.
///
/// # Errors
/// DuckDB's error.
pub fn input_columns(input: &Input) -> Result<Vec<(String, SourceType)>> {
    let columns = osiris_sdk::sql::columns(&input.sql_name())?.into_iter();
    Ok(columns.map(|column| (column.name, SourceType::parse(&column.duckdb_type))).collect())
}

/// The first row of the input, counted from 1, in which one of the `expressions` over its columns is null, and the
/// position of that expression.
///
/// # Errors
/// DuckDB's error.
pub fn first_null(input: &Input, expressions: &[&str]) -> Result<Option<(u64, usize)>> {
    if expressions.is_empty() || input.rows() == 0 {
        return Ok(None);
    }
    // The alias of the number must not hide a column of the same name.
    let columns = input_columns(input)?;
    let mut number = "_osiris_number".to_owned();
    while columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(&number)) {
        number.push('_');
    }
    let firsts = expressions.iter().enumerate().map(|(place, expression)| {
        format!("(min({number}) filter (where ({expression}) is null))::ubigint as c{place}")
    });
    let select = format!(
        "select {} from (select *, row_number() over () as {number} from {})",
        firsts.collect::<Vec<_>>().join(", "),
        input.sql_name()
    );
    let batch = query(&select)?.next_batch()?.ok_or_else(|| Error::internal("the host gave no row for a minimum"))?;
    let mut first = None;
    for place in 0..expressions.len() {
        let column = batch.column_at(place);
        if !column.is_null(0) {
            let row = column.values::<u64>()?.first().copied().unwrap_or_default();
            first = first.into_iter().chain([(row, place)]).min();
        }
    }
    Ok(first)
}

/// The columns `key` of single rows of the input, in the order of `rows`, which are counted from 1: `code` = AB.
///
/// # Errors
/// DuckDB's error.
pub fn key_of_rows(input: &Input, key: &[String], rows: &[u64]) -> Result<Vec<String>> {
    let texts: Vec<String> = key
        .iter()
        .map(|name| {
            let label = osiris_sdk::sql::quote_text(&format!("`{name}` = "));
            format!("{label} || coalesce('`' || {}::varchar || '`', 'null')", quote_name(name))
        })
        .collect();
    let select =
        format!("select row_number() over () as number, [{}] as texts from {}", texts.join(", "), input.sql_name());
    rows.iter()
        .map(|row| {
            let one = format!("select unnest(texts) as text from ({select}) where number = {row}");
            let batch = query(&one)?.next_batch()?;
            let Some(batch) = batch else { return Ok(String::new()) };
            let column = batch.column_at(0).strings()?;
            let texts: Vec<String> =
                (0..batch.rows()).map(|place| shortened(column.get(place).unwrap_or_default())).collect();
            Ok(texts.join(", "))
        })
        .collect()
}

/// Checks the values of all columns that can lose something, and returns how to select each column.
///
/// # Errors
/// `data` for a type that is refused, and for the first value that does not survive unless `policy` covers it; `config`
/// if `policy` names a column that the input does not have.
pub fn check_input(input: &Input, columns: &[Column], policy: &LossPolicy) -> Result<Vec<Conversion>> {
    let mut conversions: Vec<Conversion> =
        columns.iter().map(|column| Conversion { expression: quote_name(&column.name), changed: 0 }).collect();
    let mut checked = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        match verdict(&column.source, &column.target) {
            Verdict::Lossless => {}
            Verdict::Checked(check) => checked.push((place, check)),
            Verdict::Refused(lost) => return Err(refused(column, &lost)),
        }
    }
    if checked.is_empty() || input.rows() == 0 {
        return Ok(conversions);
    }
    let counts: Vec<String> = checked
        .iter()
        .map(|(place, check)| {
            let survives = check.survives(&quote_name(&columns[*place].name));
            format!("(count(*) filter (where not {survives}))::varchar")
        })
        .collect();
    let counts = first_row(&format!("select {} from {}", counts.join(", "), input.sql_name()), counts.len())?;
    for ((place, check), count) in checked.iter().zip(counts) {
        let count = count.and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        if count > 0 {
            conversions[*place] = convert(input, &columns[*place], check, count, policy.of(&columns[*place].name))?;
        }
    }
    Ok(conversions)
}

/// Decides how to convert a column that has values which do not survive.
fn convert(input: &Input, column: &Column, check: &Check, count: u64, on_loss: OnLoss) -> Result<Conversion> {
    let value = quote_name(&column.name);
    let expression = match (on_loss, check.rounded(&value)) {
        (OnLoss::Error, _) => return Err(lost(input, column, check, count)?),
        (OnLoss::Round, None) => {
            let error = lost(input, column, check, count)?;
            return Err(error.context("`on_loss: round` finds no nearest value"));
        }
        (OnLoss::Round, Some(rounded)) => {
            let survives = check.survives_rounded(VALUE);
            if first_bad(input, column, check, &survives)?.is_some() {
                let error = lost_of(input, column, check, &survives, count)?;
                return Err(error.context("`on_loss: round` finds no nearest value"));
            }
            warn("values were rounded, since the target cannot hold them", input, column, check, count)?;
            // Values that survive are not rounded.
            format!("case when {} then {value} else {rounded} end", check.survives(&value))
        }
        (OnLoss::Null, _) => {
            warn("values became null, since the target cannot hold them", input, column, check, count)?;
            format!("case when {} then {value} end", check.survives(&value))
        }
    };
    Ok(Conversion { expression, changed: count })
}

/// Warns about what an option changed: how many values, and what the first of them lost.
pub(crate) fn warn(sentence: &str, input: &Input, column: &Column, check: &Check, count: u64) -> Result<()> {
    let (row, _, lost) = first_bad(input, column, check, &check.survives(VALUE))?.unwrap_or_default();
    context::warn(
        sentence,
        &[
            ("column", &column.name),
            ("count", &count),
            ("target", &column.target_name),
            ("lost", &lost),
            ("first_row", &row),
        ],
    );
    Ok(())
}

fn refused(column: &Column, lost: &str) -> Error {
    Error::data(format!(
        "column `{}` is {} and the table's is {}, which would lose {lost}; cast it in SQL to say what is meant",
        column.name, column.source, column.target_name
    ))
}

/// The name of a column's value in a SELECT of single rows.
const VALUE: &str = "value";

/// The number of the first row whose value does not survive, the value, and what it loses.
fn first_bad(
    input: &Input,
    column: &Column,
    check: &Check,
    survives: &str,
) -> Result<Option<(String, String, String)>> {
    let select = format!(
        "select number::varchar, value::varchar, {} from (select row_number() over () as number, {} as value from {}) \
         where not {survives} order by number limit 1",
        check.lost_expression(VALUE),
        quote_name(&column.name),
        input.sql_name()
    );
    let mut row = first_row(&select, 3)?.into_iter();
    let (number, value, lost) = (row.next().flatten(), row.next().flatten(), row.next().flatten());
    Ok(number.map(|number| (number, value.unwrap_or_default(), lost.unwrap_or_else(|| check.lost()))))
}

/// The number of rows that do not satisfy a condition.
pub(crate) fn count_rows(input: &Input, survives: &str) -> Result<u64> {
    let select = format!("select (count(*) filter (where not {survives}))::varchar from {}", input.sql_name());
    Ok(first_row(&select, 1)?.remove(0).and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The refusal of the first value that does not survive; `count` values have the same problem.
pub(crate) fn lost(input: &Input, column: &Column, check: &Check, count: u64) -> Result<Error> {
    lost_of(input, column, check, &check.survives(VALUE), count)
}

fn lost_of(input: &Input, column: &Column, check: &Check, survives: &str, count: u64) -> Result<Error> {
    let (number, value, lost) = first_bad(input, column, check, survives)?.unwrap_or_default();
    let others = if count > 1 { format!(" ({count} rows have such values)") } else { String::new() };
    // Offered only if it helps: if every value has a nearest one that the target can hold.
    let can_round =
        check.rounded(VALUE).is_some() && first_bad(input, column, check, &check.survives_rounded(VALUE))?.is_none();
    let round = if can_round { "`on_loss: round` writes the nearest value, " } else { "" };
    Ok(Error::data(format!(
        "column `{}`, row {number}: `{}` is {} and the table's column is {}, which would lose {lost}{others}; \
         {round}`on_loss: null` writes null, or cast it in SQL",
        column.name,
        shortened(&value),
        column.source,
        column.target_name,
    )))
}

/// A value, shortened for a message.
pub(crate) fn shortened(value: &str) -> String {
    const MOST: usize = 60;
    let shown: String = value.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if value.chars().nth(MOST).is_some() { format!("{shown}…") } else { shown }
}

/// The texts of the first row of a SELECT; nulls if it has no rows.
fn first_row(select: &str, width: usize) -> Result<Vec<Option<String>>> {
    let batch = query(select)?.next_batch()?.filter(|batch| batch.rows() > 0);
    let Some(batch) = batch else { return Ok(vec![None; width]) };
    (0..width).map(|place| Ok(batch.column_at(place).strings()?.get(0).map(str::to_owned))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shortened_and_shown_on_one_line() {
        assert_eq!(shortened("a\nb"), "a\u{fffd}b");
        assert_eq!(shortened(&"ü".repeat(61)), format!("{}…", "ü".repeat(60)));
    }
}
