//! `postgres.writer`: writes a table to PostgreSQL by binary COPY, in one transaction.

mod arrival;
mod constraints;
mod culprit;
mod delete;
mod encode;
mod encoding;
mod keys;
mod numeric;
mod plan;
mod replace;
mod rows;
mod schema;
mod shape;
mod staging;
mod target;
mod write;

use database_client::WriterConfig;
use osiris_sdk::{CatalogTable, Check, Discovery, Inputs, Result, Writer, context};
use postgres_client::sql::table_name;
use postgres_client::{POSTGRESQL, catalog};

struct PostgresWriter;

impl Writer for PostgresWriter {
    type Config = WriterConfig;

    fn load(config: WriterConfig, inputs: Inputs) -> Result<()> {
        config.writing.check()?;
        let input = inputs.only()?;
        let name = table_name(&config.writing.table)?;
        let sources = conversions::input_columns(input)?;
        config.writing.on_loss.check(sources.iter().map(|(name, _)| name.as_str()))?;
        let sources = sources.into_iter().map(|(_, source)| source).collect();
        let columns = shape::columns(&input.schema()?, sources)?;
        let mut client = postgres_client::connect(&config.connection)?;
        let written = write::write(&mut client, &config, &name, input, &columns);
        let rows = written.map_err(|error| {
            error.context(format!(
                "cannot write table `{}` of `{}`",
                config.writing.table,
                config.connection.server(POSTGRESQL)
            ))
        })?;
        context::info("written", &[("table", &config.writing.table), ("rows", &rows)]);
        Ok(())
    }
}

impl Discovery for PostgresWriter {
    type Config = postgres_client::Config;

    fn discover(config: Self::Config) -> Result<Vec<CatalogTable>> {
        catalog::discover(&mut postgres_client::connect(&config)?)
    }
}

impl Check for PostgresWriter {
    type Config = postgres_client::Config;

    fn check(config: Self::Config) -> Result<String> {
        Ok(postgres_client::connect(&config)?.describe_server())
    }
}

osiris_sdk::export!(PostgresWriter: writer + discovery + check);
