//! Checks whether geometries arrived: the server silently turns bytes that are not well-known binary into null.

use mysql_client::sql::quote_name;
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Input, Result, sql};

use crate::column::Column;
use crate::staging::{STAGING, Staging};

/// How many rows with nulls are examined to name the first one that should not be null.
const LOOKED_AT: usize = 10_000;

/// Refuses geometries of the input that are null in the temporary table, or that lost bytes there.
///
/// # Errors
/// `data`, naming the column and the first such row; the server's error.
pub fn refuse_lost<S: Stream>(
    client: &mut Client<S>,
    staging: &Staging,
    input: &Input,
    columns: &[Column],
) -> Result<()> {
    for column in columns.iter().filter(|column| column.kind().is_geometry()) {
        let name = quote_name(&column.name);
        let is_bytes = column.source == conversions::SourceType::Blob;
        let bytes =
            |value: &str| if is_bytes { format!("coalesce(sum(octet_length({value})), 0)") } else { "0".to_owned() };
        let own = sql::quote_name(&column.name);
        let given = texts(&format!(
            "select (count(*) - count({own}))::varchar || ' ' || {}::varchar from {}",
            bytes(&own),
            input.sql_name()
        ))?;
        let taken = client.value(&format!(
            "select concat(count(*) - count({name}), ' ', {}) from {STAGING}",
            bytes(&format!("st_aswkb({name})"))
        ))?;
        if given.first() == taken.as_ref() {
            continue;
        }
        let nulls = texts(&format!(
            "select number::varchar from (select row_number() over () as number, {own} is null as absent from {}) where \
             absent order by number limit {LOOKED_AT}",
            input.sql_name()
        ))?;
        let rows = client.query(&format!(
            "select {} from {STAGING} where {name} is null order by 1 limit {LOOKED_AT}",
            staging.row
        ))?;
        let mut lost = None;
        for row in rows.into_iter().filter_map(|row| row.into_iter().next().flatten()?.parse().ok()) {
            let number = staging.number(client, row)?;
            if !nulls.contains(&number.to_string()) {
                lost = Some(number);
                break;
            }
        }
        let place = lost.map(|row| format!(", row {row}")).unwrap_or_default();
        return Err(Error::data(format!(
            "column `{}`{place}: a value is not a geometry that {} takes, in well-known binary without a reference system \
             and without bytes behind it",
            column.name, column.target.kind
        )));
    }
    Ok(())
}

/// The texts of a SELECT's only column.
fn texts(select: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for batch in sql::query(select)? {
        let batch = batch?;
        let column = batch.column_at(0);
        let strings = column.strings()?;
        texts.extend((0..batch.rows()).filter_map(|row| strings.get(row).map(str::to_owned)));
    }
    Ok(texts)
}
