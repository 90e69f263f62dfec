//! `filesystem.parquet_writer`: writes one input to one Parquet file by DuckDB's own writer.

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Inputs, Result, Writer, files, sql};

#[derive(Debug, serde::Deserialize)]
struct Config {
    path: String,
    compression: String,
    row_group_size: u64,
    column_order: ColumnOrder,
}

#[derive(Debug, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ColumnOrder {
    Sorted,
    Source,
}

struct ParquetWriter;

impl Writer for ParquetWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let table = inputs.only()?.sql_name();
        let columns = match config.column_order {
            ColumnOrder::Source => "*".to_owned(),
            ColumnOrder::Sorted => sorted_columns(&table)?,
        };
        let row_group_size = config.row_group_size.to_string();
        let compression = if config.compression == "none" { "uncompressed" } else { &config.compression };
        let options = [("compression", compression), ("row_group_size", row_group_size.as_str())];
        files::copy(&config.path, &format!("select {columns} from {table}"), files::Format::Parquet, &options)?;
        Ok(())
    }
}

fn sorted_columns(table: &str) -> Result<String> {
    let reader = sql::query(&format!("select columns(*)::varchar from {table} limit 0"))?;
    let mut names: Vec<String> = reader.schema().columns().map(|field| quote_name(&field.name)).collect();
    names.sort();
    Ok(names.join(", "))
}

osiris_sdk::export!(ParquetWriter: writer);
