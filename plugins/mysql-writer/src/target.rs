//! The target table: created if it is missing, extended by missing columns, and checked before anything is sent.

use std::collections::BTreeSet;

use database_client::{Contract, Mode};
use mysql_client::sql::{TableName, quote_name, quote_names};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Input, Result, context};

use crate::column::Column;
use crate::config::Config;
use crate::kinds::new_type;
use crate::table::{self, TableColumn, UniqueIndex, same_name};
use crate::{checks, database, delete, keys};

/// A table that is ready to receive rows.
#[derive(Debug)]
pub struct Target {
    pub name: TableName,
    /// The columns of the input that are written, each with the table's column.
    pub columns: Vec<Column>,
    pub indexes: Vec<UniqueIndex>,
}

/// Makes the table fit the input, and checks that the input's values fit the table.
///
/// # Errors
/// `config` and `not-found` for a table that does not match the config; `data` for values that it cannot hold; the
/// server's error.
pub fn prepare<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    name: &TableName,
    input: &Input,
    mut columns: Vec<Column>,
) -> Result<Target> {
    check_names(config, &columns)?;
    let mut known = table::columns(client, name)?;
    if known.is_empty() {
        if config.writer.schema_contract == Contract::Freeze || !config.creates() {
            let option = if config.creates() { "`schema_contract: freeze`" } else { "`create_table: false`" };
            return Err(Error::not_found(format!("there is no table {}, and {option} creates none", name.quoted())));
        }
        database::find(client, name, config.writer.create_schema)?;
        create(client, &config.writer.primary_key, name, input, &columns)?;
        known = table::columns(client, name)?;
    }
    if add_columns(client, config, name, &known, &mut columns)? {
        known = table::columns(client, name)?;
    }
    if columns.is_empty() {
        return Err(Error::data(format!("the input and table {} have no column in common", name.quoted())));
    }
    for column in &mut columns {
        if let Some(target) = known.iter().find(|target| same_name(&target.name, &column.name)) {
            column.target = target.clone();
        }
    }
    refuse_generated(name, &columns)?;
    table::refuse_half_transactions(client, name)?;
    let indexes = table::unique_indexes(client, name)?;
    if config.writer.mode == Mode::Upsert {
        keys::check_indexes(&indexes, &known, &config.writer.primary_key, &columns, name)?;
    }
    delete::check(&config.writer, &columns)?;
    if config.writer.mode == Mode::Replace {
        warn_of_absent(&known, &columns);
    }
    checks::check(client, name, input, &mut columns, &config.writer.on_loss)?;
    Ok(Target { name: name.clone(), columns, indexes })
}

/// Refuses names that MySQL does not accept, and a key that the input does not have.
fn check_names(config: &Config, columns: &[Column]) -> Result<()> {
    let mut names = BTreeSet::new();
    for column in columns {
        if column.name.chars().count() > 64 || column.name.is_empty() || column.name.ends_with(' ') {
            return Err(Error::data(format!(
                "column `{}` has a name that MySQL does not take: 1 to 64 characters, without a blank at its end",
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
    let is_missing = |(_, name): &(&str, &String)| !names.contains(&name.to_lowercase());
    if let Some((option, missing)) = config.writer.named_columns().find(is_missing) {
        let known: Vec<String> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
        return Err(Error::config(format!(
            "the input has no column `{missing}`, which `{option}` names; it has: {}",
            known.join(", ")
        )));
    }
    Ok(())
}

/// Handles columns that the table lacks according to the contract; returns whether the table has changed.
fn add_columns<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    name: &TableName,
    known: &[TableColumn],
    columns: &mut Vec<Column>,
) -> Result<bool> {
    let is_known = |column: &Column| known.iter().any(|known| same_name(&known.name, &column.name));
    let unknown: Vec<&Column> = columns.iter().filter(|column| !is_known(column)).collect();
    if unknown.is_empty() {
        return Ok(false);
    }
    let list = unknown.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
    match config.writer.schema_contract {
        Contract::Freeze => Err(Error::data(format!(
            "table {} has no column {list}, and `schema_contract: freeze` adds none; `evolve` adds them, \
             `discard_columns` leaves them out",
            name.quoted()
        ))),
        Contract::DiscardColumns => {
            context::warn(
                "columns that the table lacks are left out",
                &[("columns", &list), ("count", &unknown.len()), ("table", &name.quoted())],
            );
            columns.retain(is_known);
            Ok(false)
        }
        Contract::Evolve => {
            let added = unknown
                .iter()
                .map(|column| format!("add column {} {} null", quote_name(&column.name), new_type(&column.source)));
            let added = added.collect::<Vec<_>>().join(", ");
            client.execute(&format!("alter table {} {added}", name.quoted()))?;
            context::warn(
                "columns were added to the table",
                &[("columns", &list), ("count", &unknown.len()), ("table", &name.quoted())],
            );
            Ok(true)
        }
    }
}

/// Creates a table with the input's columns.
///
/// # Errors
/// `data` for a key that no index supports; the server's error.
pub fn create<S: Stream>(
    client: &mut Client<S>,
    key: &[String],
    name: &TableName,
    input: &Input,
    columns: &[Column],
) -> Result<()> {
    let key_columns = keys::key_columns(columns, key);
    let key_types = keys::new_key_types(client, input, &key_columns)?;
    let mut parts: Vec<String> = columns
        .iter()
        .map(|column| {
            let place = key_columns.iter().position(|key| key.name == column.name);
            let kind = match place {
                Some(place) => format!("{} not null", key_types[place]),
                None => format!("{} null", new_type(&column.source)),
            };
            format!("{} {kind}", quote_name(&column.name))
        })
        .collect();
    if !key.is_empty() {
        parts.push(format!("primary key ({})", quote_names(key.iter().map(String::as_str))));
    }
    client.execute(&format!(
        "create table {} ({}) engine = InnoDB row_format = dynamic default character set utf8mb4",
        name.quoted(),
        parts.join(", ")
    ))?;
    Ok(())
}

/// Refuses values for columns whose values the server computes.
fn refuse_generated(name: &TableName, columns: &[Column]) -> Result<()> {
    let generated: Vec<&str> =
        columns.iter().filter(|column| column.target.generated).map(|column| column.name.as_str()).collect();
    if generated.is_empty() {
        return Ok(());
    }
    let list = generated.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let without = generated.iter().map(|name| osiris_sdk::sql::quote_name(name)).collect::<Vec<_>>().join(", ");
    Err(Error::data(format!(
        "the server generates {list} of table {} itself and takes no values; leave {} out in a step before: `select * \
         exclude ({without}) from …`",
        name.quoted(),
        if generated.len() == 1 { "it" } else { "them" }
    )))
}

/// Warns about columns that get their default in every row, because the input does not have their previous values.
fn warn_of_absent(known: &[TableColumn], columns: &[Column]) {
    let absent: Vec<String> = known
        .iter()
        .filter(|known| !known.generated && !columns.iter().any(|column| same_name(&column.name, &known.name)))
        .map(|known| format!("`{}`", known.name))
        .collect();
    if !absent.is_empty() {
        context::warn(
            "columns that the input lacks get their default in every row of the table that is replaced",
            &[("columns", &absent.join(", ")), ("count", &absent.len())],
        );
    }
}
