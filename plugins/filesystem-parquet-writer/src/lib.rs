//! `filesystem.parquet_writer`: writes one input to one Parquet file, or to a folder of partitions, with DuckDB's own writer,
//! without losing anything.

mod column;
mod partition;

use std::collections::BTreeMap;

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Error, Inputs, Result, Writer, files};

use column::Column;
use partition::Partitioning;

#[derive(Debug, serde::Deserialize)]
struct Config {
    path: String,
    compression: String,
    compression_level: Option<i64>,
    row_group_size: u64,
    column_order: ColumnOrder,
    #[serde(default)]
    on_loss: column::Policy,
    #[serde(flatten)]
    partitioning: Partitioning,
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
        let input = inputs.only()?;
        let mut columns = conversions::input_columns(input)?;
        config.on_loss.check(columns.iter().map(|(name, _)| name.as_str()))?;
        if config.column_order == ColumnOrder::Sorted {
            columns.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let partitions = config.partitioning.options(input, &columns)?;
        let level = config.compression_level.map(|level| level.to_string());
        if level.is_some() && config.compression != "zstd" {
            return Err(Error::config("`compression_level` is for `compression: zstd` alone"));
        }
        let columns = columns
            .into_iter()
            .map(|(name, kind)| column::decide(input, name, &kind, &config.on_loss))
            .collect::<Result<Vec<Column>>>()?;
        let chosen: Vec<String> =
            columns.iter().map(|column| format!("{} as {}", column.expression, quote_name(&column.name))).collect();
        let select = format!("select {} from {}", chosen.join(", "), input.sql_name());
        let row_group_size = config.row_group_size.to_string();
        let compression = match config.compression.as_str() {
            "none" => "uncompressed",
            // As the format has it now; the older `LZ4` is ambiguous.
            "lz4" => "lz4_raw",
            codec => codec,
        };
        let recorded = recorded(&columns)?;
        let mut options = vec![("compression", compression), ("row_group_size", row_group_size.as_str())];
        options.extend(recorded.as_deref().map(|recorded| ("kv_metadata", recorded)));
        options.extend(level.as_deref().map(|level| ("compression_level", level)));
        options.extend(partitions.iter().map(|(name, value)| (*name, value.as_str())));
        files::copy(&config.path, &select, files::Format::Parquet, &options)?;
        Ok(())
    }
}

/// The types that Parquet does not store, in the form of the option that writes them into the file's metadata.
fn recorded(columns: &[Column]) -> Result<Option<String>> {
    let types: BTreeMap<&str, &str> =
        columns.iter().filter_map(|column| Some((column.name.as_str(), column.recorded.as_deref()?))).collect();
    if types.is_empty() {
        return Ok(None);
    }
    let types = serde_json::to_string(&types).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Some(format!("{}={types}", parquet_types::METADATA_KEY)))
}

osiris_sdk::export!(ParquetWriter: writer);
