//! `duckdb.writer`: writes one input into a table of a DuckDB file that lives on.
//!
//! The host opens a copy of the file and puts it in the file's place once the step has succeeded. The driver decides
//! which columns are written and how, and checks that no value changes.

mod column;
mod config;
mod keys;

use conversions::{SourceType, input_columns};
use database_client::{Contract, Mode};
use osiris_sdk::databases::{self, Delivery};
use osiris_sdk::sql::quote_name;
use osiris_sdk::{CatalogTable, Error, Input, Inputs, Result, Writer, context};

use crate::column::Chosen;
use crate::config::{Config, TableName, same_name};

struct DuckDbWriter;

impl Writer for DuckDbWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        config.check()?;
        let input = inputs.only()?;
        let name = config.table_name()?;
        let rows = write(&config, &name, input)
            .map_err(|error| error.context(format!("cannot write table `{}` of `{}`", config.table, config.path)))?;
        context::info("written", &[("table", &config.table), ("rows", &rows)]);
        Ok(())
    }
}

fn write(config: &Config, name: &TableName, input: &Input) -> Result<u64> {
    let columns = input_columns(input)?;
    config.on_loss.check(columns.iter().map(|(name, _)| name.as_str()))?;
    let key = key_columns(config, &columns)?;
    let tables = databases::tables(&config.path)?;
    let table = tables.into_iter().find(|table| name.is_of(table.schema.as_deref(), &table.name));
    let table = table.filter(|_| !config.recreates());
    let columns = allowed(config, table.as_ref(), columns)?;
    let chosen = column::choose(input, table.as_ref(), &columns, &config.on_loss)?;
    let select = keys::checked(input, &chosen, &key, config.on_duplicate_key)?;
    let delivery = Delivery {
        schema: name.schema.clone(),
        table: name.table.clone(),
        select,
        mode: match config.mode {
            Mode::Append => databases::Mode::Append,
            Mode::Upsert => databases::Mode::Upsert,
            Mode::Replace if config.recreates() => databases::Mode::Recreate,
            Mode::Replace => databases::Mode::Replace,
        },
        key,
        create_schema: config.create_schema,
    };
    databases::deliver(&config.path, &delivery)
}

/// The columns of the key, as the input names them.
fn key_columns(config: &Config, columns: &[(String, SourceType)]) -> Result<Vec<String>> {
    let find = |key: &String| {
        let found = columns.iter().find(|(name, _)| same_name(name, key));
        found.map(|(name, _)| name.clone()).ok_or_else(|| {
            Error::config(format!(
                "`primary_key` names `{key}`, which the input does not have; there are: {}",
                listed(columns.iter().map(|(name, _)| name))
            ))
        })
    };
    config.primary_key.iter().map(find).collect()
}

fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The columns that the contract allows.
fn allowed(
    config: &Config,
    table: Option<&CatalogTable>,
    columns: Vec<(String, SourceType)>,
) -> Result<Vec<(String, SourceType)>> {
    let Some(table) = table else {
        return match config.schema_contract {
            Contract::Freeze => Err(Error::not_found(
                "the table does not exist, and `schema_contract: freeze` does not create one; create it, or set `evolve`",
            )),
            Contract::Evolve | Contract::DiscardColumns => Ok(columns),
        };
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        columns.iter().cloned().partition(|(name, _)| table.columns.iter().any(|own| same_name(&own.name, name)));
    let names = listed(unknown.iter().map(|(name, _)| name));
    match config.schema_contract {
        _ if unknown.is_empty() => Ok(columns),
        Contract::Evolve => {
            context::warn("columns that the table does not have are added", &[("columns", &names)]);
            Ok(columns)
        }
        Contract::Freeze => Err(Error::data(format!(
            "the table has no column {names}, and `schema_contract: freeze` adds none; there are: {}; `discard_columns` \
             would leave them out, `evolve` would add them",
            listed(table.columns.iter().map(|column| &column.name))
        ))),
        Contract::DiscardColumns if known.is_empty() => {
            Err(Error::data(format!("the table has none of the input's columns {names}, so nothing is left to write")))
        }
        Contract::DiscardColumns => {
            context::warn("columns that the table does not have are left out", &[("columns", &names)]);
            Ok(known)
        }
    }
}

/// A SELECT of the chosen columns from a table.
fn select(columns: &[Chosen], from: &str) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("{} as {}", column.expression, quote_name(&column.name))).collect();
    format!("select {} from {from}", columns.join(", "))
}

osiris_sdk::export!(DuckDbWriter: writer);
