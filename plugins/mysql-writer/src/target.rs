//! The table to write to: made where it is missing, given columns that it lacks, and checked before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use database_client::{Contract, Mode, WriterConfig};
use mysql_client::sql::{TableName, quote_name, quote_names, quote_text};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Result, context};

use crate::column::Column;

/// The columns of the input that are written, each with its type in the table.
///
/// # Errors
/// `config` and `not-found`, for a table that does not fit the config; what the server says.
pub fn prepare<S: Stream>(
    client: &mut Client<S>,
    config: &WriterConfig,
    table: &TableName,
    mut columns: Vec<Column>,
) -> Result<Vec<Column>> {
    let is_key = |column: &Column| config.primary_key.iter().any(|key| key.eq_ignore_ascii_case(&column.name));
    let mut names = BTreeSet::new();
    for column in &columns {
        if column.name.chars().count() > 64 || column.name.is_empty() {
            return Err(Error::data(format!(
                "column `{}` has a name that MySQL does not take: 1 to 64 characters",
                column.name
            )));
        }
        if !names.insert(column.name.to_lowercase()) {
            return Err(Error::data(format!(
                "two columns are called `{}`; MySQL does not tell letter case apart",
                column.name
            )));
        }
    }
    if let Some(missing) = config.primary_key.iter().find(|key| !names.contains(&key.to_lowercase())) {
        return Err(Error::config(format!("the input has no column `{missing}`, which `primary_key` names")));
    }
    let mut known = table_columns(client, table)?;
    if known.is_empty() {
        if config.schema_contract == Contract::Freeze {
            return Err(Error::not_found(format!(
                "there is no table {}, and `schema_contract: freeze` creates none",
                table.quoted()
            )));
        }
        create(client, config, table, &columns, is_key)?;
        known = table_columns(client, table)?;
    }
    let unknown: Vec<&Column> =
        columns.iter().filter(|column| !known.contains_key(&column.name.to_lowercase())).collect();
    if !unknown.is_empty() {
        let list = unknown.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
        match config.schema_contract {
            Contract::Freeze => {
                return Err(Error::data(format!(
                    "table {} has no column {list}, and `schema_contract: freeze` adds none; `evolve` adds them, \
                     `discard_columns` leaves them out",
                    table.quoted()
                )));
            }
            Contract::DiscardColumns => {
                context::warn("columns that the table lacks are left out", &[("columns", &list)]);
                columns.retain(|column| known.contains_key(&column.name.to_lowercase()));
            }
            Contract::Evolve => {
                let added = unknown.iter().map(|column| {
                    format!("add column {} {} null", quote_name(&column.name), column.new_type(is_key(column)))
                });
                let added = added.collect::<Vec<_>>().join(", ");
                client.execute(&format!("alter table {} {added}", table.quoted()))?;
                known = table_columns(client, table)?;
            }
        }
    }
    if columns.is_empty() {
        return Err(Error::data(format!("the input and table {} have no column in common", table.quoted())));
    }
    for column in &mut columns {
        if let Some(kind) = known.get(&column.name.to_lowercase()) {
            column.target.clone_from(kind);
        }
    }
    refuse_half_transactions(client, table)?;
    if config.mode == Mode::Upsert {
        check_keys(client, config, table, &columns)?;
    }
    Ok(columns)
}

/// The types of the table's columns by their names in lower case; none where there is no table.
fn table_columns<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<BTreeMap<String, String>> {
    let rows = client.query(&format!(
        "select column_name, column_type from information_schema.columns where table_schema = {} and table_name = {}",
        table.database_sql(),
        quote_text(&table.table)
    ))?;
    let columns = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(kind)] => Some((name.to_lowercase(), kind.to_lowercase())),
        _ => None,
    });
    Ok(columns.collect())
}

fn create<S: Stream>(
    client: &mut Client<S>,
    config: &WriterConfig,
    table: &TableName,
    columns: &[Column],
    is_key: impl Fn(&Column) -> bool,
) -> Result<()> {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|column| {
            let null = if is_key(column) { "not null" } else { "null" };
            format!("{} {} {null}", quote_name(&column.name), column.new_type(is_key(column)))
        })
        .collect();
    if !config.primary_key.is_empty() {
        parts.push(format!("primary key ({})", quote_names(config.primary_key.iter().map(String::as_str))));
    }
    client.execute(&format!(
        "create table {} ({}) engine = InnoDB default character set utf8mb4",
        table.quoted(),
        parts.join(", ")
    ))?;
    Ok(())
}

/// Refuses a table whose engine keeps half of what a failed transaction did.
fn refuse_half_transactions<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<()> {
    let row = client.query(&format!(
        "select t.table_type, t.engine, e.transactions from information_schema.tables t left join \
         information_schema.engines e on e.engine = t.engine where t.table_schema = {} and t.table_name = {}",
        table.database_sql(),
        quote_text(&table.table)
    ))?;
    match row.first().map(Vec::as_slice) {
        Some([_, Some(engine), transactions]) if transactions.as_deref() != Some("YES") => Err(Error::config(format!(
            "table {} has the engine {engine}, which knows no transactions, so that a failure would leave it half \
             written; `alter table … engine = InnoDB` cures that",
            table.quoted()
        ))),
        _ => Ok(()),
    }
}

/// Sees to it that an upsert goes by `primary_key` and by nothing else.
fn check_keys<S: Stream>(
    client: &mut Client<S>,
    config: &WriterConfig,
    table: &TableName,
    columns: &[Column],
) -> Result<()> {
    let rows = client.query(&format!(
        "select index_name, column_name from information_schema.statistics where table_schema = {} and table_name = {} \
         and non_unique = 0 order by index_name, seq_in_index",
        table.database_sql(),
        quote_text(&table.table)
    ))?;
    let mut indexes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        if let [Some(index), column] = row.as_slice() {
            // An index over an expression has no column there.
            let column = column.as_deref().unwrap_or("\0").to_lowercase();
            indexes.entry(index.clone()).or_default().insert(column);
        }
    }
    let key: BTreeSet<String> = config.primary_key.iter().map(|name| name.to_lowercase()).collect();
    if !indexes.values().any(|columns| *columns == key) {
        return Err(Error::config(format!(
            "table {} has no primary key or unique index over exactly {}, by which `mode: upsert` would go",
            table.quoted(),
            quote_names(config.primary_key.iter().map(String::as_str))
        )));
    }
    let written: BTreeSet<String> = columns.iter().map(|column| column.name.to_lowercase()).collect();
    if let Some((index, _)) = indexes.iter().find(|(_, columns)| **columns != key && columns.is_subset(&written)) {
        return Err(Error::config(format!(
            "table {} has another unique index, `{index}`, over columns that are written: a row could take the place of \
             one with another key; drop that index or upsert by it",
            table.quoted()
        )));
    }
    Ok(())
}
