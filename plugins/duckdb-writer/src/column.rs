//! How the values of the input's columns become values of the table's.

use conversions::{Column, LossPolicy, OnLoss, Range, SourceType, TargetType, check_input};
use osiris_sdk::sql::{query, quote_name};
use osiris_sdk::{CatalogTable, Error, Input, Result, context};

use crate::config::same_name;

/// A column that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub name: String,
    /// The SQL of its values, of the table's type.
    pub expression: String,
}

/// Decides how each column is written, after checking that its values survive.
///
/// # Errors
/// `data`, naming the column and the first row and value that would be lost.
pub fn choose(
    input: &Input,
    table: Option<&CatalogTable>,
    columns: &[(String, SourceType)],
    policy: &LossPolicy,
) -> Result<Vec<Chosen>> {
    let own_type = |name: &str| {
        let own = table?.columns.iter().find(|own| same_name(&own.name, name))?;
        Some(SourceType::parse(&own.duckdb_type))
    };
    let (mut chosen, mut converted, mut checked) = (Vec::new(), Vec::new(), Vec::new());
    for (name, source) in columns {
        let value = quote_name(name);
        let expression = match own_type(name) {
            // DuckDB would make an INTEGER of it.
            None if *source == SourceType::Null => format!("cast({value} as varchar)"),
            None => value,
            Some(own) if own == *source => value,
            Some(own) if *source == SourceType::Null => format!("cast({value} as {own})"),
            Some(own) => match target(&own).filter(|_| !source.is_nested() || own.is_text()) {
                None => survivors(input, name, source, &own, policy.of(name))?,
                Some(target) => {
                    let target_name = own.to_string();
                    converted.push(Column { name: name.clone(), source: source.clone(), target, target_name });
                    checked.push((chosen.len(), own));
                    value
                }
            },
        };
        chosen.push(Chosen { name: name.clone(), expression });
    }
    let conversions = check_input(input, &converted, policy)?;
    for (((place, own), column), conversion) in checked.into_iter().zip(&converted).zip(conversions) {
        chosen[place].expression = cast(&conversion.expression, &column.source, &own);
    }
    Ok(chosen)
}

/// The values that a type of DuckDB's holds; `None` if other types' values are compared after casting them there and back.
fn target(own: &SourceType) -> Option<TargetType> {
    let timestamp = |digits, range| TargetType::Timestamp { digits, zone: false, range, infinity: true };
    Some(match own {
        SourceType::Enum(labels) => TargetType::Enum(labels.clone()),
        SourceType::TimestampS => timestamp(0, None),
        SourceType::TimestampMs => timestamp(3, None),
        SourceType::TimestampNs => timestamp(9, Some(Range::new("1677-09-22 00:00:00", "2262-04-11 23:47:16"))),
        SourceType::List(item) => TargetType::List(Box::new(target(item)?)),
        SourceType::Array(..)
        | SourceType::Struct(_)
        | SourceType::Map(..)
        | SourceType::Union(_)
        | SourceType::BigNum
        | SourceType::Null
        | SourceType::Other(_) => return None,
        other => TargetType::like(other)?,
    })
}

/// The SQL that makes a value one of the table's type.
fn cast(value: &str, source: &SourceType, own: &SourceType) -> String {
    let is_json = *own == SourceType::Json && !source.is_text();
    // DuckDB's own text of a STRUCT or MAP is read by nobody else.
    let value = if is_json || source.is_nested() { format!("to_json({value})") } else { value.to_owned() };
    format!("cast({value} as {own})")
}

/// How to write a column whose values survive if casting them to the table's type and back changes nothing.
fn survivors(input: &Input, name: &str, source: &SourceType, own: &SourceType, on_loss: OnLoss) -> Result<String> {
    let value = quote_name(name);
    let survives =
        |value: &str| format!("(try_cast(try_cast({value} as {own}) as {source}) is not distinct from {value})");
    let unlike = || {
        Error::data(format!(
            "column `{name}` is {source} and the table's is {own}, and not every value survives the cast; cast it in SQL to \
             say what is meant"
        ))
    };
    let table = input.sql_name();
    let bad = format!(
        "select (count(*) filter (where not {0}))::varchar, (min(number) filter (where not {0}))::varchar from \
         (select {value} as value, row_number() over () as number from {table})",
        survives("value")
    );
    let found = query(&bad).and_then(|mut rows| rows.next_batch()).map_err(|error| unlike().context(error.message))?;
    let text = |place: usize| -> Result<String> {
        let Some(batch) = &found else { return Ok(String::new()) };
        Ok(batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned())
    };
    let (count, row) = (text(0)?, text(1)?);
    match on_loss {
        _ if count.is_empty() || count == "0" => Ok(format!("cast({value} as {own})")),
        OnLoss::Null => {
            let fields: [(&str, &dyn std::fmt::Display); 3] =
                [("column", &name), ("count", &count), ("first_row", &row)];
            context::warn("values became null, since the table cannot hold them", &fields);
            Ok(format!("case when {} then cast({value} as {own}) end", survives(&value)))
        }
        OnLoss::Error | OnLoss::Round => Err(Error::data(format!(
            "column `{name}`, row {row}: a value of {source} would be changed by the table's type {own} ({count} rows have \
             such values); `on_loss: null` writes null, or cast it in SQL"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_holds_what_duckdbs_type_holds() {
        let of = |text: &str| target(&SourceType::parse(text));
        assert_eq!(of("INTEGER"), Some(TargetType::integer(32, true)));
        assert_eq!(of("ENUM('a', 'b')"), Some(TargetType::Enum(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(of("INTEGER[]"), Some(TargetType::List(Box::new(TargetType::integer(32, true)))));
        assert_eq!(of("STRUCT(a INTEGER)"), None);
        assert_eq!(of("INTEGER[3]"), None);
    }

    #[test]
    fn nested_values_become_json_as_texts() {
        let cast = |source: &str, own: &str| cast("v", &SourceType::parse(source), &SourceType::parse(own));
        assert_eq!(cast("STRUCT(a INTEGER)", "VARCHAR"), "cast(to_json(v) as VARCHAR)");
        assert_eq!(cast("INTEGER", "JSON"), "cast(to_json(v) as JSON)");
        assert_eq!(cast("VARCHAR", "JSON"), "cast(v as JSON)");
        assert_eq!(cast("INTEGER", "BIGINT"), "cast(v as BIGINT)");
    }
}
