//! `mysql.writer`: writes one input to a table of MySQL or MariaDB, whole or not at all.

mod column;
mod target;
mod write;

use database_client::WriterConfig;
use mysql_client::sql::TableName;
use mysql_client::{LocalFiles, MYSQL, catalog};
use osiris_sdk::sql::quote_name;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, Input, Inputs, Result, Writer, sql};

use crate::column::Column;

struct MysqlWriter;

impl Writer for MysqlWriter {
    type Config = WriterConfig;

    fn load(config: WriterConfig, inputs: Inputs) -> Result<()> {
        config.check()?;
        let input = inputs.only()?;
        let columns = columns(input)?;
        let table = TableName::parse(&config.table)?;
        let mut client = mysql_client::connect(&config.connection, LocalFiles::Given)?;
        write::write(&mut client, &config, &table, input, columns).map_err(|error: Error| {
            error.context(format!("cannot write table `{}` of `{}`", config.table, config.connection.server(MYSQL)))
        })
    }
}

impl Discovery for MysqlWriter {
    type Config = mysql_client::Config;

    fn discover(config: mysql_client::Config) -> Result<Vec<CatalogTable>> {
        catalog::tables(&mut mysql_client::connect(&config, LocalFiles::Refused)?, config.database())
    }
}

impl Check for MysqlWriter {
    type Config = mysql_client::Config;

    fn check(config: mysql_client::Config) -> Result<String> {
        Ok(mysql_client::connect(&config, LocalFiles::Refused)?.describe_server())
    }
}

/// The input's columns by DuckDB's own types, also of those that could not cross.
fn columns(input: &Input) -> Result<Vec<Column>> {
    let described = sql::query(&format!("select columns(*)::varchar from {} limit 0", input.sql_name()))?;
    let names: Vec<String> = described.schema().columns().map(|field| field.name.clone()).collect();
    let types = names.iter().map(|name| format!("typeof({})", quote_name(name)));
    let select = format!(
        "select {} from (select 1) left join (select * from {} limit 1) on true",
        types.enumerate().map(|(place, kind)| format!("{kind} as t{place}")).collect::<Vec<_>>().join(", "),
        input.sql_name()
    );
    let mut reader = sql::query(&select)?;
    let batch = reader.next_batch()?.ok_or_else(|| Error::internal("the host tells no types of the input"))?;
    let kinds = (0..names.len()).map(|place| {
        let kinds = batch.column_at(place).strings()?;
        Ok(kinds.get(0).unwrap_or("VARCHAR").to_owned())
    });
    Ok(names.iter().zip(kinds.collect::<Result<Vec<_>>>()?).map(|(name, kind)| Column::new(name, &kind)).collect())
}

osiris_sdk::export!(MysqlWriter: writer + discovery + check);
