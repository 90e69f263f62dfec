//! `mysql.writer`: writes one input to a table in MySQL or MariaDB, completely or not at all.

mod checks;
mod column;
mod config;
mod constraints;
mod database;
mod delete;
mod geometries;
mod keys;
mod kinds;
mod replace;
mod staging;
mod table;
mod target;
mod write;

use conversions::input_columns;
use mysql_client::{LocalFiles, MYSQL, catalog};
use osiris_sdk::{CatalogTable, Check, Discovery, Error, Inputs, Result, Writer};

use crate::column::Column;
use crate::config::Config;

struct MysqlWriter;

impl Writer for MysqlWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let config = config.checked()?;
        let input = inputs.only()?;
        let columns = input_columns(input)?.into_iter().map(|(name, source)| Column::new(&name, source)).collect();
        let table = config.table()?;
        let connection = &config.connection;
        let mut client = mysql_client::connect(connection, LocalFiles::Given)?;
        write::write(&mut client, &config, &table, input, columns).map_err(|error: Error| {
            error.context(format!("cannot write table `{}` of `{}`", config.writer.table, connection.server(MYSQL)))
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

osiris_sdk::export!(MysqlWriter: writer + discovery + check);
