//! `filesystem.json_writer`: writes one input to one JSON file, as text that DuckDB makes from each row.

mod lines;

use conversions::LossPolicy;
use osiris_sdk::sql::{NotFinite, TableColumn, quote_name};
use osiris_sdk::{Error, Inputs, Result, Writer, context, files, sql};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Config {
    path: String,
    format: Format,
    compression: Compression,
    date_format: Option<String>,
    timestamp_format: Option<String>,
    #[serde(default)]
    on_loss: LossPolicy<OnLoss>,
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

/// How to handle numbers that JSON does not have.
#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum OnLoss {
    /// Nothing is written.
    #[default]
    Error,
    /// Null is written instead.
    Null,
    /// `"NaN"`, `"Infinity"` and `"-Infinity"` are written instead.
    Text,
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

    /// The options of COPY: lines of text, without any of CSV's additions. The delimiter is a control character, which
    /// never occurs unescaped in JSON; there is only one column anyway.
    fn options(&self) -> Vec<(&str, &str)> {
        vec![
            ("header", "false"),
            ("quote", ""),
            ("escape", ""),
            ("delimiter", "\x1f"),
            ("compression", self.compression()),
        ]
    }
}

struct JsonWriter;

impl Writer for JsonWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let table = inputs.only()?.sql_name();
        let mut columns = sql::columns(&table)?;
        if config.column_order == ColumnOrder::Sorted {
            columns.sort();
        }
        let line =
            lines::line(
                &columns,
                config.date_format.as_deref(),
                config.timestamp_format.as_deref(),
                |name| match config.on_loss.of(name) {
                    OnLoss::Text => NotFinite::Text,
                    OnLoss::Error | OnLoss::Null => NotFinite::Null,
                },
            )?;
        check(&table, &columns, &config.on_loss)?;
        let select = match config.format {
            Format::NewlineDelimited => format!("select {line} as line from {table}"),
            // Rows keep their order through a UNION ALL, and the window numbers them in that order.
            Format::Array => format!(
                "select '[' as line union all \
                 select case when row_number() over () > 1 then ',' else '' end || chr(9) || {line} from {table} \
                 union all select ']'"
            ),
        };
        files::copy(&config.path, &select, files::Format::Csv, &config.options())?;
        Ok(())
    }
}

/// Refuses values that JSON cannot hold, or counts the replaced ones.
fn check(table: &str, columns: &[TableColumn], on_loss: &LossPolicy<OnLoss>) -> Result<()> {
    on_loss.check(columns.iter().map(|column| column.name.as_str()))?;
    for column in columns {
        let quoted = quote_name(&column.name);
        if let Some(condition) = sql::not_json(&quoted, &column.duckdb_type)?
            && let Some((row, value)) = first(table, &quoted, &condition)?
        {
            return Err(Error::data(format!(
                "column `{}` holds JSON that is not valid by the standard in row {row}: `{value}`; cast it to VARCHAR in \
                 SQL, or leave the column out",
                column.name
            )));
        }
        let Some(condition) = sql::not_finite(&quoted, &column.duckdb_type)? else { continue };
        let Some((row, value)) = first(table, &quoted, &condition)? else { continue };
        if on_loss.of(&column.name) == OnLoss::Error {
            return Err(Error::data(format!(
                "column `{}` holds a number that JSON does not have in row {row}: `{value}`; `on_loss: text` writes it as a \
                 text, `on_loss: \"null\"` as null",
                column.name
            )));
        }
        let sentence = match on_loss.of(&column.name) {
            OnLoss::Text => "NaN and infinities, which JSON lacks, were written as texts",
            OnLoss::Error | OnLoss::Null => "NaN and infinities, which JSON lacks, were written as null",
        };
        context::warn(sentence, &[("column", &column.name), ("count", &count(table, &condition)?)]);
    }
    Ok(())
}

/// The number of rows that satisfy `condition`.
fn count(table: &str, condition: &str) -> Result<i64> {
    let counted = sql::query(&format!("select count(*)::bigint as n from {table} where {condition}"))?.next_batch()?;
    let counted = counted.ok_or_else(|| Error::internal("DuckDB counts nothing"))?;
    Ok(counted.column("n")?.values::<i64>()?.first().copied().unwrap_or_default())
}

/// The number of the first row that satisfies `condition`, from 1, with the shortened text of its value.
fn first(table: &str, quoted: &str, condition: &str) -> Result<Option<(i64, String)>> {
    let found = sql::query(&format!(
        "select row, value from (select row_number() over () as row, {quoted}::varchar as value, {condition} as wrong \
         from {table}) where wrong order by row limit 1"
    ))?
    .next_batch()?;
    let Some(batch) = found else { return Ok(None) };
    let row = batch.column("row")?.values::<i64>()?.first().copied().unwrap_or_default();
    let value = batch.column("value")?.strings()?.get(0).unwrap_or_default().chars().take(100).collect();
    Ok(Some((row, value)))
}

osiris_sdk::export!(JsonWriter: writer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_inferred_from_the_name() {
        let mut config = Config {
            path: "out.json.GZ".into(),
            format: Format::Array,
            compression: Compression::Infer,
            date_format: Some("%d.%m.%Y".into()),
            timestamp_format: None,
            on_loss: LossPolicy::default(),
            column_order: ColumnOrder::Source,
        };
        assert_eq!(config.options().last(), Some(&("compression", "gzip")));
        config.compression = Compression::None;
        assert_eq!(config.options().last(), Some(&("compression", "none")));
    }
}
