//! What a server holds, from `information_schema`.

use std::collections::BTreeMap;

use osiris_sdk::{CatalogColumn, CatalogTable, Result};

use crate::sql::quote_text;
use crate::types::Kind;
use crate::{Client, Stream};

/// The tables and views of `database`, or of all that are not the server's own.
///
/// # Errors
/// What the server says.
pub fn tables<S: Stream>(client: &mut Client<S>, database: Option<&str>) -> Result<Vec<CatalogTable>> {
    let wanted = match database {
        Some(database) => format!("table_schema = {}", quote_text(database)),
        None => "table_schema not in ('information_schema', 'mysql', 'performance_schema', 'sys')".to_owned(),
    };
    let rows = client.query(&format!(
        "select table_schema, table_name, table_rows from information_schema.tables where {wanted} \
         and table_type in ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')"
    ))?;
    let mut tables = BTreeMap::new();
    for row in rows {
        if let [Some(schema), Some(name), estimate] = row.as_slice() {
            let table = CatalogTable {
                schema: Some(schema.clone()),
                name: name.clone(),
                columns: Vec::new(),
                primary_key: Vec::new(),
                estimated_rows: estimate.as_ref().and_then(|rows| rows.parse().ok()),
            };
            tables.insert((schema.clone(), name.clone()), table);
        }
    }
    // MariaDB keeps JSON as text whose check says so.
    let checks = if client.is_mariadb() {
        client.query(&format!(
            "select constraint_schema, table_name, constraint_name, check_clause from \
             information_schema.check_constraints where {}",
            wanted.replace("table_schema", "constraint_schema")
        ))?
    } else {
        Vec::new()
    };
    let is_json = |schema: &str, table: &str, column: &str| {
        checks.iter().any(|check| {
            matches!(check.as_slice(), [Some(a), Some(b), Some(c), Some(clause)]
                if a == schema && b == table && c == column && clause.starts_with("json_valid("))
        })
    };
    let rows = client.query(&format!(
        "select table_schema, table_name, column_name, column_type, is_nullable, numeric_precision, numeric_scale, \
         column_key from information_schema.columns where {wanted} order by table_schema, table_name, ordinal_position"
    ))?;
    for row in rows {
        let [Some(schema), Some(table), Some(name), Some(column_type), nullable, precision, scale, _] = row.as_slice()
        else {
            continue;
        };
        let Some(found) = tables.get_mut(&(schema.clone(), table.clone())) else { continue };
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
        let mut kind = Kind::of_catalog(column_type, number(precision), number(scale));
        if column_type == "longtext" && is_json(schema, table, name) {
            kind = Kind::Json;
        }
        found.columns.push(CatalogColumn {
            name: name.clone(),
            source_type: column_type.clone(),
            duckdb_type: kind.duckdb(),
            nullable: nullable.as_deref() == Some("YES"),
        });
    }
    let rows = client.query(&format!(
        "select table_schema, table_name, column_name from information_schema.statistics where {wanted} \
         and index_name = 'PRIMARY' order by table_schema, table_name, seq_in_index"
    ))?;
    for row in rows {
        if let [Some(schema), Some(table), Some(column)] = row.as_slice()
            && let Some(found) = tables.get_mut(&(schema.clone(), table.clone()))
        {
            found.primary_key.push(column.clone());
        }
    }
    Ok(tables.into_values().collect())
}
