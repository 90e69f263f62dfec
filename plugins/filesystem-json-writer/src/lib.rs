//! `filesystem.json_writer`: writes one input to one JSON file by DuckDB's own writer.

mod finite;

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Inputs, Result, Writer, files, sql};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Config {
    path: String,
    format: Format,
    compression: Compression,
    date_format: Option<String>,
    timestamp_format: Option<String>,
    column_order: ColumnOrder,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Format {
    NewlineDelimited,
    Array,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Infer,
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ColumnOrder {
    Sorted,
    Source,
}

impl Config {
    fn compression(&self) -> &'static str {
        let ends = |suffix: &str| self.path.to_lowercase().ends_with(suffix);
        match self.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Infer if ends(".gz") => "gzip",
            Compression::Infer if ends(".zst") => "zstd",
            Compression::Infer => "none",
        }
    }

    /// The options of DuckDB's COPY.
    fn options(&self) -> Vec<(&str, &str)> {
        let array = if self.format == Format::Array { "true" } else { "false" };
        let mut options = vec![("array", array), ("compression", self.compression())];
        options.extend(self.date_format.as_deref().map(|format| ("dateformat", format)));
        options.extend(self.timestamp_format.as_deref().map(|format| ("timestampformat", format)));
        options
    }
}

struct JsonWriter;

impl Writer for JsonWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let table = inputs.only()?.sql_name();
        let mut columns = columns(&table)?;
        if config.column_order == ColumnOrder::Sorted {
            columns.sort();
        }
        let columns: Vec<String> =
            columns.into_iter().map(|(name, value)| format!("{value} as {}", quote_name(&name))).collect();
        let select = format!("select {} from {table}", columns.join(", "));
        files::copy(&config.path, &select, files::Format::Json, &config.options())?;
        Ok(())
    }
}

/// Each column's name, and the SQL of its value.
fn columns(table: &str) -> Result<Vec<(String, String)>> {
    let names = sql::query(&format!("select columns(*)::varchar from {table} limit 0"))?;
    let types = sql::query(&format!(
        "select typeof(columns(t.*)) from (values (1)) one left join (select * from {table} limit 0) t on true"
    ))?
    .next_batch()?;
    let mut columns = Vec::new();
    for (place, field) in names.schema().columns().enumerate() {
        let kind = match &types {
            Some(batch) => batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned(),
            None => String::new(),
        };
        let name = quote_name(&field.name);
        columns.push((field.name.clone(), finite::finite(&name, &kind).unwrap_or(name)));
    }
    Ok(columns)
}

osiris_sdk::export!(JsonWriter: writer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_copy() {
        let mut config = Config {
            path: "out.json.GZ".into(),
            format: Format::Array,
            compression: Compression::Infer,
            date_format: Some("%d.%m.%Y".into()),
            timestamp_format: None,
            column_order: ColumnOrder::Source,
        };
        assert_eq!(config.options(), [("array", "true"), ("compression", "gzip"), ("dateformat", "%d.%m.%Y")]);
        config.compression = Compression::None;
        assert_eq!(config.options()[1], ("compression", "none"));
    }
}
