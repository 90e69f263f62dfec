//! The database's tables, columns and keys, as `osiris discover` shows them.

use std::collections::BTreeMap;

use osiris_sdk::{CatalogColumn, CatalogTable, Result};

use crate::types::{Numeric, Types};
use crate::{Client, Stream};

/// Tables, views and foreign tables that the user may read; partitions are shown as the table that they belong to.
const COLUMNS: &str = "
select n.nspname, c.relname, case when c.relkind in ('r', 'p', 'm') and c.reltuples >= 0 then c.reltuples::bigint end,
       a.attname, a.atttypid, a.atttypmod, a.attndims, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_catalog.array_position(i.indkey::smallint[], a.attnum)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and n.nspname not in ('information_schema', 'pg_catalog') and n.nspname !~ '^pg_(toast|temp_)'
  and pg_catalog.has_schema_privilege(n.oid, 'usage')
  and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
order by n.nspname, c.relname, a.attnum";

/// The tables that the user can read.
///
/// # Errors
/// The server's error.
pub fn discover<S: Stream>(client: &mut Client<S>) -> Result<Vec<CatalogTable>> {
    let rows = client.query(COLUMNS)?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: &Option<String>| value.as_deref().and_then(|text| text.parse::<i64>().ok());
    let types = Types::read(client, rows.iter().filter_map(|row| number(&row[4])?.try_into().ok()))?;
    let mut tables: BTreeMap<(String, String), (CatalogTable, BTreeMap<i64, String>)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.len() == 10) {
        let (schema, name, column) = (text(&row[0]), text(&row[1]), text(&row[3]));
        let of = |place: usize, missing: i64| number(&row[place]).unwrap_or(missing);
        let mapping = types.mapping(of(4, 0) as u32, of(5, -1) as i32, of(6, 0) as usize, Numeric::Text);
        let (table, key) = tables.entry((schema.clone(), name.clone())).or_insert_with(|| {
            let table = CatalogTable {
                schema: Some(schema),
                name,
                columns: Vec::new(),
                primary_key: Vec::new(),
                estimated_rows: number(&row[2]).and_then(|rows| rows.try_into().ok()),
            };
            (table, BTreeMap::new())
        });
        if let Some(place) = number(&row[9]) {
            key.insert(place, column.clone());
        }
        table.columns.push(CatalogColumn {
            name: column,
            source_type: text(&row[7]),
            duckdb_type: mapping.kind.duckdb(),
            nullable: row[8].as_deref() != Some("t"),
        });
    }
    let finished = tables.into_values().map(|(mut table, key)| {
        table.primary_key = key.into_values().collect();
        table
    });
    Ok(finished.collect())
}
