//! `filesystem.csv_writer`: writes one input to one CSV file, row by row and never as a whole.

mod text;

use osiris_sdk::sql::quote_name;
use osiris_sdk::{Inputs, Result, Writer, files, sql};
use serde::Deserialize;

use text::{Dialect, Encoding};

#[derive(Debug, Deserialize)]
struct Config {
    path: String,
    delimiter: String,
    header: bool,
    encoding: Encoding,
    newline: Newline,
    quoting: Quoting,
    column_order: ColumnOrder,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Newline {
    Lf,
    Crlf,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Quoting {
    Minimal,
    All,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ColumnOrder {
    Sorted,
    Source,
}

struct CsvWriter;

impl Writer for CsvWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let input = inputs.only()?;
        let table = input.sql_name();
        let mut names = column_names(&table)?;
        if config.column_order == ColumnOrder::Sorted {
            names.sort();
        }
        if config.newline == Newline::Lf && config.encoding == Encoding::Utf8 {
            copy(&config, &table, &names)
        } else {
            stream(&config, &table, &names)
        }
    }
}

fn column_names(table: &str) -> Result<Vec<String>> {
    let reader = sql::query(&format!("select columns(*)::varchar from {table} limit 0"))?;
    Ok(reader.schema().columns().map(|field| field.name.clone()).collect())
}

/// Lets DuckDB write the file.
fn copy(config: &Config, table: &str, names: &[String]) -> Result<()> {
    let columns: Vec<String> = names.iter().map(|name| quote_name(name)).collect();
    let header = config.header.to_string();
    let mut options = vec![("delimiter", config.delimiter.as_str()), ("header", header.as_str())];
    if config.quoting == Quoting::All {
        options.push(("force_quote", "*"));
    }
    files::copy(&config.path, &format!("select {} from {table}", columns.join(", ")), files::Format::Csv, &options)?;
    Ok(())
}

/// Writes what DuckDB's writer cannot: other line ends and encodings. DuckDB still makes the texts.
fn stream(config: &Config, table: &str, names: &[String]) -> Result<()> {
    let dialect = Dialect {
        delimiter: &config.delimiter,
        newline: if config.newline == Newline::Crlf { "\r\n" } else { "\n" },
        quote_all: config.quoting == Quoting::All,
        encoding: config.encoding,
    };
    let target = files::create(&config.path)?;
    let mut bytes = dialect.start();
    if config.header {
        dialect.line(names.iter().map(|name| Some(name.as_str())), &mut bytes)?;
    }
    let columns: Vec<String> = names.iter().map(|name| format!("cast({} as varchar)", quote_name(name))).collect();
    for batch in sql::query(&format!("select {} from {table}", columns.join(", ")))? {
        let batch = batch?;
        let texts = (0..names.len()).map(|place| batch.column_at(place).strings()).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.rows() {
            dialect.line(texts.iter().map(|text| text.get(row)), &mut bytes)?;
        }
        target.write(&bytes)?;
        bytes.clear();
    }
    Ok(target.write(&bytes)?)
}

osiris_sdk::export!(CsvWriter: writer);
