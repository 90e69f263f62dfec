//! Keys: the columns of a new key, and which input rows are a single row in the table.

use mysql_client::sql::{TableName, quote_name, quote_names};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Input, Result, context, sql};

use crate::column::{Column, KeyShape};
use crate::staging::{STAGING, Staging};
use crate::table::{IndexPart, TableColumn, UniqueIndex, same_name};

/// The most bytes of an InnoDB key.
const KEY_BYTES: u64 = 3072;

/// The least length of a key's column in characters or bytes, if the key has room for it.
const ROOMY: u64 = 255;

/// The columns that `primary_key` names, in that order.
pub fn key_columns<'a>(columns: &'a [Column], key: &[String]) -> Vec<&'a Column> {
    key.iter().filter_map(|name| columns.iter().find(|column| same_name(&column.name, name))).collect()
}

/// The types of a new table's key: they can hold the input's values and distinguish the same values as the input.
///
/// # Errors
/// `data` for values that are too long for an index, or of a type that no index supports.
pub fn new_key_types<S: Stream>(client: &mut Client<S>, input: &Input, key: &[&Column]) -> Result<Vec<String>> {
    let mut room = KEY_BYTES;
    let mut lengths: Vec<Option<u64>> = Vec::new();
    for column in key {
        let length = match column.key_shape() {
            KeyShape::Fixed(_) => {
                room = room.saturating_sub(20);
                None
            }
            KeyShape::Text | KeyShape::Bytes => Some(longest(input, column)?),
            KeyShape::Unfit => {
                return Err(Error::data(format!(
                    "column `{}` ({}) cannot be part of a new table's primary key: MySQL has no index over such values; \
                     cast it to VARCHAR in a step before, or leave it out of `primary_key`",
                    column.name, column.source
                )));
            }
        };
        lengths.push(length);
    }
    let width = |column: &Column| if column.key_shape() == KeyShape::Text { 4 } else { 1 };
    let variable = || key.iter().zip(&lengths).filter_map(|(column, length)| length.map(|length| (column, length)));
    let needed: u64 = variable().map(|(column, length)| length.max(1) * width(column)).sum();
    if needed > room {
        let list: Vec<String> =
            variable().map(|(column, length)| format!("`{}` (up to {length})", column.name)).collect();
        return Err(Error::data(format!(
            "the values of the primary key are too long for an index of MySQL, which takes {KEY_BYTES} bytes, that is 768 \
             characters: {}; choose a shorter key, such as a digest of these columns",
            list.join(", ")
        )));
    }
    // If columns of 255 do not fit, each is only as long as its longest value.
    let least = if variable().map(|(column, length)| length.max(ROOMY) * width(column)).sum::<u64>() <= room {
        ROOMY
    } else {
        1
    };
    let collation = text_collation(client)?;
    let types = key.iter().zip(&lengths).map(|(column, length)| {
        let length = length.unwrap_or_default().max(least);
        match column.key_shape() {
            KeyShape::Text => format!("varchar({length}) character set utf8mb4 collate {collation}"),
            KeyShape::Bytes => format!("varbinary({length})"),
            KeyShape::Fixed(kind) => kind,
            KeyShape::Unfit => String::new(),
        }
    });
    Ok(types.collect())
}

/// The length of a column's longest value: characters of a text, or bytes of a BLOB.
fn longest(input: &Input, column: &Column) -> Result<u64> {
    let select = format!("select coalesce(max({}), 0)::ubigint as n from {}", column.length_sql(), input.sql_name());
    let mut reader = sql::query(&select)?;
    let batch = reader.next_batch()?.ok_or_else(|| Error::internal("the host gave no row for a maximum"))?;
    let lengths = batch.column_at(0);
    Ok(lengths.values::<u64>()?.first().copied().unwrap_or_default())
}

/// The collation that distinguishes all different texts, including trailing blanks, as far as the server has one.
fn text_collation<S: Stream>(client: &mut Client<S>) -> Result<String> {
    let found = client.query(
        "select collation_name from information_schema.collations where collation_name in ('utf8mb4_nopad_bin', \
         'utf8mb4_0900_bin') order by collation_name desc",
    )?;
    // No collation of MySQL 5.7 distinguishes trailing blanks; keys that differ only in them are refused there.
    Ok(found.into_iter().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or("utf8mb4_bin".to_owned()))
}

/// Refuses an upsert that would match rows by anything other than `key`.
///
/// # Errors
/// `config`, naming the index that is missing or conflicts.
pub fn check_indexes(
    indexes: &[UniqueIndex],
    known: &[TableColumn],
    key: &[String],
    columns: &[Column],
    table: &TableName,
) -> Result<()> {
    let is_key = |index: &&UniqueIndex| {
        index.parts.len() == key.len()
            && key.iter().all(|name| {
                index.parts.iter().any(|part| matches!(part, IndexPart::Column(column) if same_name(column, name)))
            })
    };
    let names = quote_names(key.iter().map(String::as_str));
    if !indexes.iter().any(|index| is_key(&index)) {
        return Err(Error::config(format!(
            "table {} has no primary key or unique index over exactly {names}, by which `mode: upsert` goes; add one with \
             `alter table … add unique index ({names})`",
            table.quoted()
        )));
    }
    // A row that omits a column of an index cannot collide there if it gets null, or a generated number.
    let harmless = |index: &&UniqueIndex| {
        index.parts.iter().filter_map(|part| part.column()).any(|name| {
            !columns.iter().any(|column| same_name(&column.name, name))
                && known.iter().any(|column| same_name(&column.name, name) && column.absent_is_unique)
        })
    };
    match indexes.iter().find(|index| !is_key(index) && !harmless(index)) {
        None => Ok(()),
        Some(index) => Err(Error::config(format!(
            "table {} has another unique index, `{}`, which rows that are written can meet: a row could take the place of \
             one with another key; drop that index or upsert by it",
            table.quoted(),
            index.name
        ))),
    }
}

/// Refuses rows whose key, which `option` names, is null, because nothing identifies them.
///
/// # Errors
/// `data`, naming the column and the row.
pub fn refuse_null_keys<S: Stream>(
    client: &mut Client<S>,
    staging: &Staging,
    option: &str,
    key: &[&Column],
) -> Result<()> {
    for column in key {
        let name = quote_name(&column.name);
        let found = client.value(&format!("select min({}) from {STAGING} where {name} is null", staging.row))?;
        if let Some(row) = found.and_then(|text| text.parse().ok()) {
            let row = staging.number(client, row)?;
            return Err(Error::data(format!(
                "row {row} of the input has no `{}`: a column of `{option}` must not be null, since nothing else tells \
                 rows apart",
                column.name
            )));
        }
    }
    Ok(())
}

/// Refuses two input rows that are a single row in the table.
///
/// # Errors
/// `data`, naming the columns, both values and both rows.
pub fn refuse_equal_keys<S: Stream>(
    client: &mut Client<S>,
    staging: &Staging,
    key: &[&Column],
    index: Option<&UniqueIndex>,
) -> Result<()> {
    let compared: Option<Vec<String>> = match index {
        Some(index) => index.parts.iter().map(|part| part.sql()).collect(),
        None => Some(key.iter().map(|column| quote_name(&column.name)).collect()),
    };
    let Some(compared) = compared else { return Ok(()) };
    let Some((first, second)) = staging.equal_rows(client, &compared)? else { return Ok(()) };
    let (one, other) = (staging.values(client, first, key)?, staging.values(client, second, key)?);
    let (first, second) = (staging.number(client, first)?, staging.number(client, second)?);
    let names = key.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
    let types = key.iter().map(|column| column.describe_target()).collect::<Vec<_>>().join(", ");
    let of = index.map(|index| format!(" in the unique index `{}`", index.name)).unwrap_or_default();
    let same = if one == other { one } else { format!("{one} and {other}") };
    Err(Error::data(format!(
        "rows {first} and {second} of the input have the same key{of}: {names} is {same}, which is one value to the table's \
         {types}; keep one of each in a step before, or let the last one count by `on_duplicate_key: last`"
    )))
}

/// Of several rows with the same key, keeps the last one of the input. The key is the one that the config names, or
/// else the table's primary key.
///
/// # Errors
/// The server's error.
pub fn keep_last<S: Stream>(
    client: &mut Client<S>,
    staging: &Staging,
    key: &[&Column],
    indexes: &[UniqueIndex],
    columns: &[Column],
) -> Result<()> {
    let named: Vec<String> = key.iter().map(|column| quote_name(&column.name)).collect();
    let primary = || {
        let index = indexes.iter().find(|index| index.name == "PRIMARY")?;
        let parts = index.parts.iter().map(|part| {
            let name = part.column()?;
            columns.iter().any(|column| same_name(&column.name, name)).then(|| part.sql()).flatten()
        });
        parts.collect::<Option<Vec<String>>>()
    };
    let compared = if named.is_empty() { primary().unwrap_or_default() } else { named };
    if compared.is_empty() {
        return Err(Error::config(
            "`on_duplicate_key: last` needs `primary_key`, or a table whose primary key is among the input's columns",
        ));
    }
    let dropped = staging.keep_last(client, &compared)?;
    if dropped > 0 {
        context::warn(
            "rows of the input were left out, since a later row has the same key",
            &[("key", &compared.join(", ")), ("count", &dropped)],
        );
    }
    Ok(())
}

/// Finds input rows that collide in a unique index of the table, to explain an error from the server.
///
/// # Errors
/// `data` if there are such rows; the server's error.
pub fn explain<S: Stream>(
    client: &mut Client<S>,
    staging: &Staging,
    indexes: &[UniqueIndex],
    columns: &[Column],
) -> Result<()> {
    for index in indexes {
        let key: Option<Vec<&Column>> = index
            .parts
            .iter()
            .map(|part| columns.iter().find(|column| part.column().is_some_and(|name| same_name(&column.name, name))))
            .collect();
        if let Some(key) = key {
            refuse_equal_keys(client, staging, &key, Some(index))?;
        }
    }
    Ok(())
}
