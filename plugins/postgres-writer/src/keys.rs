//! Checks keys as the target compares them: present, not null, and unique.

use conversions::key_of_rows;
use database_client::DuplicateKey;
use osiris_sdk::{Error, Input, Result, context};
use postgres_client::sql::quote_name;
use postgres_client::{Client, Stream};

use crate::rows::Rows;
use crate::target::Target;

/// Refuses rows whose key is null, and two rows with the same key.
///
/// # Errors
/// `data`, naming the rows and their keys as in the input; the server's error.
pub fn check<S: Stream>(
    client: &mut Client<S>,
    input: &Input,
    rows: &Rows<'_>,
    key: &[String],
    duplicates: DuplicateKey,
) -> Result<()> {
    if !rows.has_key() {
        return Ok(());
    }
    refuse_nulls(client, input, rows, key)?;
    let (table, names) = (rows.table(), rows.key().collect::<Vec<String>>());
    let list = names.join(", ");
    let twice = format!("select 1 from {table} group by {list} having count(*) > 1 limit 1");
    if client.value(&twice)?.is_none() {
        return Ok(());
    }
    if duplicates == DuplicateKey::Last {
        let earlier = client.value(&format!(
            "select (select count(*) from {table}) - (select count(*) from (select from {table} group by {list}) as kept)"
        ))?;
        context::warn(
            "rows were left out, since a later row of the input has their key",
            &[("key", &key.join(", ")), ("count", &earlier.unwrap_or_default())],
        );
        return Ok(());
    }
    let same: Vec<String> = names.iter().map(|name| format!("one.{name} = other.{name}")).collect();
    let pair = client.query(&format!(
        "select one.ctid, other.ctid from {table} one join {table} other on {} and one.ctid < other.ctid \
         order by 1, 2 limit 1",
        same.join(" and ")
    ))?;
    let Some([Some(one), Some(other)]) = pair.first().map(Vec::as_slice) else {
        return Err(Error::internal("the server groups keys that it does not compare as equal"));
    };
    let numbers = [row_number(client, table, one)?, row_number(client, table, other)?];
    let texts = key_of_rows(input, key, &numbers)?;
    Err(Error::data(format!(
        "rows {} and {} of the input have one key, as the table compares {list}: {}; keep one of them in SQL, or set \
         `on_duplicate_key: last`",
        numbers[0],
        numbers[1],
        texts.join(" and ")
    )))
}

/// Refuses rows in which one of some columns is null.
///
/// # Errors
/// `data`, naming the first such row and its values of the columns; the server's error.
pub fn refuse_nulls<S: Stream>(
    client: &mut Client<S>,
    input: &Input,
    rows: &Rows<'_>,
    columns: &[String],
) -> Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let table = rows.table();
    let is_null: Vec<String> = columns.iter().map(|name| format!("{} is null", quote_name(name))).collect();
    let null = format!("select ctid from {table} where {} order by ctid limit 1", is_null.join(" or "));
    let Some(place) = client.value(&null)? else { return Ok(()) };
    let number = row_number(client, table, &place)?;
    let key_text = key_of_rows(input, columns, &[number])?.concat();
    Err(Error::data(format!("the key is null in row {number}: {key_text}; every row needs a whole key")))
}

/// The number of a row in a staging table, which was filled in the input's order.
fn row_number<S: Stream>(client: &mut Client<S>, table: &str, place: &str) -> Result<u64> {
    let number = client.value(&format!("select count(*) from {table} where ctid <= '{place}'::tid"))?;
    number.and_then(|text| text.parse().ok()).ok_or_else(|| Error::internal("a row that was there is not"))
}

/// Whether an index makes the key's columns unique as they compare, so that ON CONFLICT can use it.
///
/// # Errors
/// The server's error.
pub fn has_unique_index<S: Stream>(client: &mut Client<S>, target: &Target, key: &[String]) -> Result<bool> {
    let numbers = key.iter().map(|name| target.column(name).map(|column| column.number));
    let Some(mut numbers) = numbers.collect::<Option<Vec<i16>>>() else { return Ok(false) };
    numbers.sort_unstable();
    let numbers = numbers.iter().map(i16::to_string).collect::<Vec<_>>().join(",");
    let found = client.value(&format!(
        "select exists (select from pg_catalog.pg_index i where indrelid = {oid} and indisunique and indisvalid and \
         indimmediate and indpred is null and indexprs is null and (select array_agg(n order by n) from \
         unnest((indkey::smallint[])[0:indnkeyatts - 1]) as n) = array[{numbers}]::smallint[] and not exists (select \
         from unnest((indkey::smallint[])[0:indnkeyatts - 1], (indcollation::oid[])[0:indnkeyatts - 1], \
         (indclass::oid[])[0:indnkeyatts - 1]) as k(n, c, o) join pg_catalog.pg_attribute a on a.attrelid = {oid} and \
         a.attnum = k.n join pg_catalog.pg_opclass p on p.oid = k.o where a.attcollation <> k.c or not p.opcdefault))",
        oid = target.oid
    ))?;
    Ok(found.as_deref() == Some("t"))
}
