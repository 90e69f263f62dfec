//! How a column is written: unchanged, in a type that Parquet has, or not at all.

use conversions::{LossPolicy, SourceType};
use osiris_sdk::sql::{query, quote_name};
use osiris_sdk::{Error, Input, Result, context};
use parquet_types::{Stored, restored, stored, stored_as_text};
use serde::Deserialize;

/// How to handle values that Parquet's type for a column cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Nothing is written.
    #[default]
    Error,
    /// The whole column is written as text.
    Text,
    /// Null is written instead.
    Null,
}

/// The option `on_loss`.
pub type Policy = LossPolicy<OnLoss>;

/// A column of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The SQL of its values.
    pub expression: String,
    /// The DuckDB type, if the file's own schema does not show it.
    pub recorded: Option<String>,
}

/// Decides how a column is written, after examining its values if its type requires it.
///
/// # Errors
/// `data`, naming the column and the first row and value that would be lost.
pub fn decide(input: &Input, name: String, kind: &SourceType, policy: &Policy) -> Result<Column> {
    let value = quote_name(&name);
    let cast = |target: &SourceType| Column {
        expression: format!("cast({value} as {target})"),
        recorded: Some(restored(kind))
            .filter(|kind| kind != target && *kind != SourceType::Null)
            .map(|kind| kind.to_string()),
        name: name.clone(),
    };
    let unchanged = || Column { name: name.clone(), expression: value.clone(), recorded: None };
    let (column, survives) = match stored(kind) {
        Stored::Same => return Ok(unchanged()),
        Stored::Nowhere(part) => {
            return Err(Error::data(format!(
                "column `{name}` is {kind}, and Parquet has no type for {part}; say in SQL what is meant, such as \
                 `union_extract` for the member of a UNION or a cast to VARCHAR"
            )));
        }
        Stored::Exactly(target) => return Ok(cast(&target)),
        Stored::Checked(target) => (cast(&target), round_trip(&target, kind)),
        Stored::Interval => (unchanged(), interval_survives()),
    };
    let Some(lost) = first_lost(input, &value, &survives)? else { return Ok(column) };
    match policy.of(&name) {
        OnLoss::Error => Err(lost.error(&name, kind)),
        OnLoss::Null => {
            lost.warn("values became null, since Parquet has no type that holds them", &name, kind);
            let expression = format!("case when {} then {} end", survives.replace(VALUE, &value), column.expression);
            Ok(Column { expression, ..column })
        }
        OnLoss::Text => {
            lost.warn("the column was written as text, since Parquet has no type that holds its values", &name, kind);
            let target = stored_as_text(kind);
            let mut column = cast(&target);
            if first_lost(input, &value, &round_trip(&target, kind))?.is_some() {
                column.recorded = None;
            }
            Ok(column)
        }
    }
}

/// The placeholder for the value in a predicate; no name contains it.
const VALUE: &str = "\u{1}";

/// A predicate: casting to a type and back gives the same value.
fn round_trip(target: &SourceType, kind: &SourceType) -> String {
    let back = restored(kind);
    let own = if back == *kind { VALUE.to_owned() } else { format!("cast({VALUE} as {back})") };
    format!("(try_cast(try_cast({VALUE} as {target}) as {back}) is not distinct from {own})")
}

/// A predicate: an unsigned interval in whole milliseconds, of less than 1193 hours besides its days and months.
fn interval_survives() -> String {
    let part = |part: &str| format!("datepart('{part}', {VALUE})");
    let signs = ["year", "month", "day", "minute", "microsecond"].map(|name| format!("{} >= 0", part(name)));
    format!(
        "coalesce({} and {} between 0 and 1192 and {} % 1000 = 0, true)",
        signs.join(" and "),
        part("hour"),
        part("microsecond")
    )
}

/// The values that do not survive.
struct Lost {
    count: u64,
    row: String,
    value: String,
}

impl Lost {
    fn error(&self, name: &str, kind: &SourceType) -> Error {
        let others = if self.count > 1 { format!(" ({} rows have such values)", self.count) } else { String::new() };
        let limit = match kind {
            SourceType::Interval => {
                "Parquet's intervals have no sign, whole milliseconds and at most 1192 hours beside their days"
            }
            SourceType::HugeInt | SourceType::UHugeInt => "Parquet's integers and decimals have at most 38 digits here",
            _ => "Parquet has no type that holds it",
        };
        Error::data(format!(
            "column `{name}` ({kind}), row {}: `{}` would be changed{others}: {limit}; `on_loss: text` writes the column \
             as text, `on_loss: null` writes null for such values, or cast it in SQL",
            self.row, self.value
        ))
    }

    fn warn(&self, sentence: &str, name: &str, kind: &SourceType) {
        context::warn(
            &format!("column `{name}` ({kind}): {sentence}"),
            &[("column", &name), ("count", &self.count), ("row", &self.row), ("value", &self.value)],
        );
    }
}

fn first_lost(input: &Input, value: &str, survives: &str) -> Result<Option<Lost>> {
    let table = input.sql_name();
    let count = format!("select count(*)::varchar from {table} where not {}", survives.replace(VALUE, value));
    let count = texts(&count, 1)?.remove(0).parse().unwrap_or(0_u64);
    if count == 0 {
        return Ok(None);
    }
    let first = format!(
        "select number::varchar, left(value::varchar, 60) from (select row_number() over () as number, {value} as value from {table}) \
         where not {} order by number limit 1",
        survives.replace(VALUE, "value")
    );
    let mut found = texts(&first, 2)?;
    let (text, row) = (found.pop().unwrap_or_default(), found.pop().unwrap_or_default());
    Ok(Some(Lost { count, row, value: text }))
}

/// The texts of a SELECT's first row.
fn texts(select: &str, width: usize) -> Result<Vec<String>> {
    let Some(batch) = query(select)?.next_batch()? else { return Ok(vec![String::new(); width]) };
    (0..width).map(|place| Ok(batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned())).collect()
}
