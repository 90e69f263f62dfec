//! Finds the value that PostgreSQL refused: the API's error names neither its column nor its row.
//!
//! A filter casts its values to the column's type as an insertion does, so requests that match no rows find the value
//! without writing anything.
//! writing anything.

use conversions::{TargetType, first_null};
use osiris_sdk::sql::{query, quote_text};
use osiris_sdk::{Error, Result};
use postgrest::{Fault, fetch_coded, filter};

use crate::replace::chunks;
use crate::rows::Column;
use crate::step::Step;

/// The most requests for one refusal.
const MOST_REQUESTS: usize = 100;

/// PostgreSQL's code for "numeric value out of range".
const OUT_OF_RANGE: &str = "22003";

/// The error for a value that the server refuses (SQLSTATE class 22), with its column and, if the server can be asked,
/// its row.
pub fn named(step: &Step<'_>, fault: Fault) -> Error {
    let is_number = fault.code == OUT_OF_RANGE;
    let candidates: Vec<&Column> = step.columns.iter().filter(|column| decides(column, is_number)).collect();
    let found = if is_number { greatest(step, &candidates) } else { probed(step, &candidates) };
    let message = &fault.error.message;
    Error::data(match (found, candidates.as_slice()) {
        // An error while asking says nothing about the rows.
        (Ok(Some((column, row, value))), _) => format!(
            "column `{}`, row {row}: `{value}` is {} and the table's column is {}; {message}; change it in SQL",
            column.name, column.source, column.target_name
        ),
        (_, []) => return fault.error,
        (_, [only]) => format!("column `{}`, of the table's type {}: {message}", only.name, only.target_name),
        (_, several) => {
            let names: Vec<String> = several.iter().map(|column| format!("`{}`", column.name)).collect();
            format!("one of the columns {}: {message}", names.join(", "))
        }
    })
}

/// The error for a null that the table does not accept, with the first row that has one. Triggers on the server may
/// replace nulls, so this is only used after the server has refused.
pub fn without_value(step: &Step<'_>, error: Error) -> Error {
    let required: Vec<&Column> = step.columns.iter().filter(|column| column.is_required).collect();
    let expressions: Vec<&str> = required.iter().map(|column| column.expression.as_str()).collect();
    match first_null(step.input, &expressions) {
        Ok(Some((row, place))) => Error::data(format!(
            "row {row} of the input has no `{}` (null), and the table's column is {} not null: {}",
            required[place].name, required[place].target_name, error.message
        )),
        _ => error,
    }
}

/// Whether only the server knows which values a column accepts: numbers whose number of digits the API does not show,
/// or texts that the server itself parses.
fn decides(column: &Column, is_number: bool) -> bool {
    if is_number {
        return is_decimal(&column.target);
    }
    match &column.target {
        TargetType::Opaque => true,
        TargetType::Interval { .. } | TargetType::List(_) => column.source.is_text(),
        _ => false,
    }
}

fn is_decimal(target: &TargetType) -> bool {
    match target {
        TargetType::Decimal { .. } => true,
        TargetType::List(item) => is_decimal(item),
        _ => false,
    }
}

/// A column, the number of a row, and its value, shortened.
type Culprit<'a> = (&'a Column, String, String);

/// The greatest number in the only possible column.
fn greatest<'a>(step: &Step<'_>, candidates: &[&'a Column]) -> Result<Option<Culprit<'a>>> {
    let [column] = candidates else { return Ok(None) };
    if matches!(column.target, TargetType::List(_)) {
        return Ok(None);
    }
    row_of(step, column, "value is not null", "abs(try_cast(value as double)) desc nulls last, row")
}

/// The first value that a filter refuses, among the columns whose values can be compared.
fn probed<'a>(step: &Step<'_>, candidates: &[&'a Column]) -> Result<Option<Culprit<'a>>> {
    let mut requests = 0;
    for column in candidates.iter().filter(|column| !matches!(column.target, TargetType::List(_))) {
        let values = values(step, column)?;
        for chunk in chunks(&values) {
            let mut bad = chunk;
            if !refuses(step, column, bad, &mut requests)? {
                continue;
            }
            while bad.len() > 1 {
                let (first, second) = bad.split_at(bad.len() / 2);
                bad = if refuses(step, column, first, &mut requests)? { first } else { second };
            }
            let [value] = bad else { continue };
            return row_of(step, column, &format!("value = {}", quote_text(&value.concat())), "row");
        }
    }
    Ok(None)
}

/// The distinct values of a column as texts, in the order of their rows.
fn values(step: &Step<'_>, column: &Column) -> Result<Vec<Vec<String>>> {
    let value = text_of(column);
    let select = format!(
        "select value from (select {value} as value, row_number() over () as row from {}) where value is not null group by \
         value order by min(row)",
        step.input.sql_name()
    );
    let mut values = Vec::new();
    for batch in query(&select)? {
        values.extend(batch?.column_at(0).strings()?.iter().flatten().map(|value| vec![value.to_owned()]));
    }
    Ok(values)
}

fn text_of(column: &Column) -> String {
    format!("({})::varchar", column.expression)
}

/// Whether the server cannot convert one of these values to the column's type.
fn refuses(step: &Step<'_>, column: &Column, values: &[Vec<String>], requests: &mut usize) -> Result<bool> {
    *requests += 1;
    if *requests > MOST_REQUESTS {
        return Err(Error::internal("more requests than one refusal is worth"));
    }
    let (parameter, condition) = filter::one_of(std::slice::from_ref(&column.name), values);
    let request = step.api.table("GET", &step.config.table)?.query(&parameter, &condition).query("limit", "0");
    match fetch_coded(request) {
        Ok(_) => Ok(false),
        Err(fault) if fault.code.starts_with("22") => Ok(true),
        Err(fault) => Err(fault.error),
    }
}

/// The first row in `order` among those that satisfy a condition.
fn row_of<'a>(step: &Step<'_>, column: &'a Column, condition: &str, order: &str) -> Result<Option<Culprit<'a>>> {
    // Aliased apart from the table's own columns, one of which may have the same name.
    let select = format!(
        "select row::varchar, left(value, 60) from (select row_number() over () as row, {} as value from {}) where \
         {condition} order by {order} limit 1",
        text_of(column),
        step.input.sql_name()
    );
    let Some(batch) = query(&select)?.next_batch()?.filter(|batch| batch.rows() > 0) else { return Ok(None) };
    let text = |place: usize| Ok::<_, Error>(batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned());
    Ok(Some((column, text(0)?, text(1)?.replace(char::is_control, "\u{fffd}"))))
}
