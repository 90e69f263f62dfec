//! The server's tables and columns, from `information_schema`.

use std::collections::{BTreeMap, BTreeSet};

use osiris_sdk::{CatalogColumn, CatalogTable, Result};

use crate::sql::quote_text;
use crate::types::Kind;
use crate::{Client, Stream};

/// A table's schema and name.
type Key = (String, String);

/// The tables and views of `database`, or of all databases except the server's own.
///
/// # Errors
/// The server's error.
pub fn tables<S: Stream>(client: &mut Client<S>, database: Option<&str>) -> Result<Vec<CatalogTable>> {
    let wanted = match database {
        Some(database) => format!("table_schema = {}", quote_text(database)),
        None => "table_schema not in ('information_schema', 'mysql', 'performance_schema', 'sys')".to_owned(),
    };
    let mut tables = named(client, &wanted)?;
    add_columns(client, &wanted, &mut tables)?;
    add_keys(client, &wanted, &mut tables)?;
    Ok(tables.into_values().collect())
}

/// The tables, without their columns.
fn named<S: Stream>(client: &mut Client<S>, wanted: &str) -> Result<BTreeMap<Key, CatalogTable>> {
    let rows = client.query(&format!(
        "select table_schema, table_name, table_rows from information_schema.tables where {wanted} \
         and table_type in ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')"
    ))?;
    let tables = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(schema), Some(name), estimate] => {
            let table = CatalogTable {
                schema: Some(schema.clone()),
                name: name.clone(),
                columns: Vec::new(),
                primary_key: Vec::new(),
                estimated_rows: estimate.as_ref().and_then(|rows| rows.parse().ok()),
            };
            Some(((schema.clone(), name.clone()), table))
        }
        _ => None,
    });
    Ok(tables.collect())
}

/// The columns that store JSON as text, as in MariaDB, recognised by a check constraint. Each is a schema, a table and
/// a name.
fn json_texts<S: Stream>(client: &mut Client<S>, wanted: &str) -> Result<BTreeSet<(String, String, String)>> {
    if !client.is_mariadb() {
        return Ok(BTreeSet::new());
    }
    let checks = client.query(&format!(
        "select constraint_schema, table_name, constraint_name, check_clause from information_schema.check_constraints \
         where {}",
        wanted.replace("table_schema", "constraint_schema")
    ))?;
    let columns = checks.into_iter().filter_map(|check| match check.as_slice() {
        [Some(schema), Some(table), Some(column), Some(clause)] if clause.starts_with("json_valid(") => {
            Some((schema.clone(), table.clone(), column.clone()))
        }
        _ => None,
    });
    Ok(columns.collect())
}

fn add_columns<S: Stream>(
    client: &mut Client<S>,
    wanted: &str,
    tables: &mut BTreeMap<Key, CatalogTable>,
) -> Result<()> {
    let json = json_texts(client, wanted)?;
    let rows = client.query(&format!(
        "select table_schema, table_name, column_name, column_type, is_nullable, numeric_precision, numeric_scale from \
         information_schema.columns where {wanted} order by table_schema, table_name, ordinal_position"
    ))?;
    for row in rows {
        let [Some(schema), Some(table), Some(name), Some(column_type), nullable, precision, scale] = row.as_slice()
        else {
            continue;
        };
        let Some(found) = tables.get_mut(&(schema.clone(), table.clone())) else { continue };
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
        let mut kind = Kind::of_catalog(column_type, number(precision), number(scale));
        if column_type == "longtext" && json.contains(&(schema.clone(), table.clone(), name.clone())) {
            kind = Kind::Json;
        }
        found.columns.push(CatalogColumn {
            name: name.clone(),
            source_type: column_type.clone(),
            duckdb_type: kind.duckdb(),
            nullable: nullable.as_deref() == Some("YES"),
        });
    }
    Ok(())
}

fn add_keys<S: Stream>(client: &mut Client<S>, wanted: &str, tables: &mut BTreeMap<Key, CatalogTable>) -> Result<()> {
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
    Ok(())
}
