//! One row as one line of JSON text, in SQL.

use osiris_sdk::Result;
use osiris_sdk::sql::{JsonMember, NotFinite, TableColumn, json_object_text, quote_name, quote_text};

/// The SQL of a row's line. The formats apply to columns, not to values nested in them.
///
/// # Errors
/// `data`, naming the column, for a type that JSON cannot hold.
pub fn line(
    columns: &[TableColumn],
    date_format: Option<&str>,
    timestamp_format: Option<&str>,
    not_finite: impl Fn(&str) -> NotFinite,
) -> Result<String> {
    let values: Vec<(String, &str)> = columns
        .iter()
        .map(|column| {
            let quoted = quote_name(&column.name);
            let (format, value) = match column.duckdb_type.as_str() {
                "DATE" => (date_format, quoted.clone()),
                "TIMESTAMP WITH TIME ZONE" => (timestamp_format, format!("{quoted}::timestamp")),
                kind if kind.starts_with("TIMESTAMP") => (timestamp_format, quoted.clone()),
                _ => (None, String::new()),
            };
            match format {
                Some(format) => (format!("strftime({value}, {})", quote_text(format)), "VARCHAR"),
                None => (quoted, column.duckdb_type.as_str()),
            }
        })
        .collect();
    let members: Vec<JsonMember<'_>> = columns
        .iter()
        .zip(&values)
        .map(|(column, (expression, duckdb_type))| JsonMember {
            name: &column.name,
            expression,
            duckdb_type,
            not_finite: not_finite(&column.name),
        })
        .collect();
    Ok(json_object_text(&members)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn formats_apply_to_columns_of_dates_and_times() {
        let columns = [("d", "DATE"), ("t", "TIMESTAMP_NS"), ("z", "TIMESTAMP WITH TIME ZONE"), ("l", "DATE[]")];
        let columns = columns.map(|(name, kind)| TableColumn { name: name.into(), duckdb_type: kind.into() });
        let line = line(&columns, Some("%d'%m"), Some("%s"), |_| NotFinite::Null).unwrap();
        for part in ["strftime(\"d\", '%d''%m')", "strftime(\"t\", '%s')", "strftime(\"z\"::timestamp, '%s')"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(line.contains("list_transform(\"l\""), "{line}");
    }
}
