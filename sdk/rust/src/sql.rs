//! SQL over the step's inputs, which the host runs inside DuckDB: no row crosses the boundary.

mod json;

use crate::bindings::osiris::driver::sql as raw;
use crate::{Error, Field, Output, Reader, Result};

pub use json::{JsonMember, NotFinite, json_object_text, json_text, not_finite, not_json};

/// Creates the table `name` of `output` from the rows of one SELECT; returns how many there are.
///
/// # Errors
/// `config` for a wrong statement, `data` for values that do not fit.
pub fn create_table(output: &Output, name: &str, select: &str) -> Result<u64> {
    Ok(raw::create_table(output.raw(), name, select)?)
}

/// Runs one SELECT and reads its rows.
///
/// # Errors
/// As for [`create_table`].
pub fn query(select: &str) -> Result<Reader> {
    Ok(raw::query(select)?.into())
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableColumn {
    pub name: String,
    /// Its DuckDB type as `typeof` prints it, such as `DECIMAL(18,3)[]`.
    pub duckdb_type: String,
}

/// The columns of `table`, which is a table's name in SQL, in order.
///
/// # Errors
/// As for [`create_table`].
pub fn columns(table: &str) -> Result<Vec<TableColumn>> {
    let names = query(&format!("select columns(*)::varchar from {table} limit 0"))?;
    // The left join returns a row even if the table is empty: one of nulls, which have the columns' types.
    let types = query(&format!(
        "select typeof(columns(t.*)) from (values (1)) one left join (select * from {table} limit 0) t on true"
    ))?
    .next_batch()?
    .ok_or_else(|| Error::internal("DuckDB names no types"))?;
    let column = |(place, field): (usize, &Field)| -> Result<TableColumn> {
        let duckdb_type = types.column_at(place).strings()?.get(0).unwrap_or_default().to_owned();
        Ok(TableColumn { name: field.name.clone(), duckdb_type })
    };
    names.schema().columns().enumerate().map(column).collect()
}

/// A name in SQL quotes.
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a SQL literal.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The text of a TIMESTAMPTZ in UTC: `2024-01-31 10:00:00+00`. DuckDB itself prints the last instants of the type a
/// millisecond late.
pub fn timestamptz_text(value: &str) -> String {
    format!(
        "case when isfinite({value}) then make_timestamp(epoch_us({value}))::varchar || '+00' else {value}::varchar end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_are_doubled() {
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_text("it's"), "'it''s'");
    }
}
