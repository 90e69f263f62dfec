//! `duckdb.writer`: writes one input into a table of a DuckDB file that lives on.
//!
//! The host opens a copy of the file and puts it in the file's place once the step has succeeded. The driver decides
//! which columns are written and how, and checks that no value changes.

mod column;
mod config;
mod keys;

use conversions::{SourceType, input_columns};
use database_client::{Contract, Mode, Superseded, TableName, Writing};
use osiris_sdk::databases::{self, Delivery, Obsolete};
use osiris_sdk::sql::quote_name;
use osiris_sdk::{CatalogTable, Error, Input, Inputs, Result, Writer, context};

use crate::column::Chosen;
use crate::config::{Config, MAIN, is_called, same_name};

struct DuckDbWriter;

impl Writer for DuckDbWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        config.writing.check()?;
        let input = inputs.only()?;
        let table = &config.writing.table;
        let name = TableName::parse(table)?;
        let rows = write(&config, &name, input)
            .map_err(|error| error.context(format!("cannot write table `{table}` of `{}`", config.path)))?;
        context::info("written", &[("table", table), ("rows", &rows)]);
        Ok(())
    }
}

fn write(config: &Config, name: &TableName, input: &Input) -> Result<u64> {
    let (writing, columns) = (&config.writing, input_columns(input)?);
    writing.on_loss.check(columns.iter().map(|(name, _)| name.as_str()))?;
    refuse_unknown(writing, &columns)?;
    let key = named(&writing.primary_key, &columns);
    let tables = databases::tables(&config.path)?;
    let table = tables.into_iter().find(|table| is_called(name, table.schema.as_deref(), &table.name));
    let table = table.filter(|_| !writing.recreates());
    let columns = allowed(writing, table.as_ref(), columns)?;
    let chosen = column::choose(input, table.as_ref(), &columns, &writing.on_loss)?;
    let select = keys::checked(input, &chosen, &key, writing.on_duplicate_key)?;
    let obsolete = match writing.superseded() {
        None => None,
        Some(superseded) => {
            let compared = named(superseded.columns(), &columns);
            keys::refuse_nulls(input, &chosen, &compared, superseded.option())?;
            Some(match superseded {
                Superseded::Matching(_) => Obsolete::Matching(compared),
                Superseded::Between(_) => Obsolete::Between(compared.concat()),
            })
        }
    };
    let delivery = Delivery {
        schema: name.schema.clone().unwrap_or_else(|| MAIN.to_owned()),
        table: name.table.clone(),
        select,
        mode: match writing.mode {
            Mode::Append | Mode::DeleteInsert => databases::Mode::Append,
            Mode::Upsert => databases::Mode::Upsert,
            Mode::Replace if writing.recreates() => databases::Mode::Recreate,
            Mode::Replace => databases::Mode::Replace,
        },
        key,
        create_schema: writing.create_schema,
    };
    match obsolete {
        Some(obsolete) => databases::supersede(&config.path, &delivery, &obsolete),
        None => databases::deliver(&config.path, &delivery),
    }
}

/// Refuses options that name columns which the input does not have.
fn refuse_unknown(writing: &Writing, columns: &[(String, SourceType)]) -> Result<()> {
    let is_unknown = |(_, name): &(&str, &String)| !columns.iter().any(|(column, _)| same_name(column, name));
    match writing.named_columns().find(is_unknown) {
        None => Ok(()),
        Some((option, name)) => Err(Error::config(format!(
            "`{option}` names `{name}`, which the input does not have; there are: {}",
            listed(columns.iter().map(|(name, _)| name))
        ))),
    }
}

/// The named columns, as the input spells them.
fn named(names: &[String], columns: &[(String, SourceType)]) -> Vec<String> {
    let find = |name: &String| columns.iter().map(|(column, _)| column).find(|column| same_name(column, name));
    names.iter().map(|name| find(name).unwrap_or(name).clone()).collect()
}

fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The columns that the contract allows.
fn allowed(
    writing: &Writing,
    table: Option<&CatalogTable>,
    columns: Vec<(String, SourceType)>,
) -> Result<Vec<(String, SourceType)>> {
    let Some(table) = table else {
        return match writing.schema_contract {
            Contract::Freeze => Err(Error::not_found(
                "the table does not exist, and `schema_contract: freeze` does not create one; create it, or set `evolve`",
            )),
            Contract::Evolve | Contract::DiscardColumns => Ok(columns),
        };
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        columns.iter().cloned().partition(|(name, _)| table.columns.iter().any(|own| same_name(&own.name, name)));
    let names = listed(unknown.iter().map(|(name, _)| name));
    match writing.schema_contract {
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
