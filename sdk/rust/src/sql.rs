//! SQL over the step's inputs, which the host runs inside DuckDB: no row crosses the boundary.

use crate::host::sql as raw;
use crate::{Error, Field, JsonReader, Output, Reader, Result, Types};

pub use duckdb_text::{
    JsonMember, NotFinite, excerpt, json_object_text, json_text, json_text_with, not_finite, not_json, quote_name,
    quote_text, timestamptz_text,
};

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
    query_as(select, Types::Exact)
}

/// As for [`query`], with exact or [`Types::Plain`] types.
///
/// # Errors
/// As for [`create_table`].
pub fn query_as(select: &str, types: Types) -> Result<Reader> {
    Ok(raw::query(select, types)?.into())
}

/// Runs one SELECT and reads its rows as JSON records.
///
/// # Errors
/// As for [`create_table`].
pub fn query_json(select: &str) -> Result<JsonReader> {
    Ok(raw::query_json(select)?.into())
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
