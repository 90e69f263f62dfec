//! `filesystem.csv_writer`: writes one input to one CSV file, row by row without holding all of it in memory.

mod text;

use osiris_sdk::sql::{NotFinite, quote_name, quote_text};
use osiris_sdk::{Error, Inputs, Result, Writer, files, sql};
use serde::Deserialize;

use text::{Dialect, Encoding, Value};

#[derive(Debug, Deserialize)]
struct Config {
    path: String,
    delimiter: String,
    quote: String,
    escape: Option<String>,
    header: bool,
    encoding: Encoding,
    newline: Newline,
    quoting: Quoting,
    #[serde(rename = "na_rep")]
    null_text: String,
    decimal: String,
    date_format: Option<String>,
    timestamp_format: Option<String>,
    nested: Nested,
    column_order: ColumnOrder,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
enum Newline {
    #[serde(rename = "lf", alias = "\n")]
    Lf,
    #[serde(rename = "crlf", alias = "\r\n")]
    Crlf,
    #[serde(rename = "cr", alias = "\r")]
    Cr,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Quoting {
    Minimal,
    All,
    NonNumeric,
}

/// How lists, structs, maps and unions are written.
#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Nested {
    #[serde(rename = "duckdb")]
    DuckDb,
    Json,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ColumnOrder {
    Sorted,
    Source,
}

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    /// The type as DuckDB's `typeof` prints it.
    kind: String,
}

impl Column {
    fn is_number(&self) -> bool {
        let base = self.kind.split('(').next().unwrap_or_default();
        let whole = base.strip_prefix('U').unwrap_or(base);
        matches!(whole, "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "BIGNUM") || self.has_fraction()
    }

    fn has_fraction(&self) -> bool {
        !self.is_nested() && (matches!(self.kind.as_str(), "FLOAT" | "DOUBLE") || self.kind.starts_with("DECIMAL("))
    }

    /// Whether it is a DECIMAL with all its digits after the point.
    fn is_all_fraction(&self) -> bool {
        let arguments = self.kind.strip_prefix("DECIMAL(").and_then(|rest| rest.strip_suffix(')'));
        arguments.and_then(|rest| rest.split_once(',')).is_some_and(|(digits, scale)| digits.trim() == scale.trim())
    }

    fn is_nested(&self) -> bool {
        self.kind.ends_with(']') || ["STRUCT(", "MAP(", "UNION("].iter().any(|kind| self.kind.starts_with(kind))
    }
}

impl Config {
    /// # Errors
    /// `config` for characters that could not be distinguished in the file.
    fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::config(message));
        if self.delimiter == self.quote {
            return refuse(format!("`delimiter` and `quote` are both `{}`", self.quote));
        }
        for (name, value) in [("delimiter", &self.delimiter), ("quote", &self.quote), ("decimal", &self.decimal)] {
            if value.contains(['\n', '\r']) {
                return refuse(format!("`{name}` must not be a line end"));
            }
        }
        if !self.null_text.is_empty()
            && self.null_text.contains(
                [self.delimiter.as_str(), self.quote.as_str(), "\n", "\r"]
                    .map(|part| part.chars().next().unwrap_or('\n')),
            )
        {
            return refuse(format!(
                "`na_rep` is `{}`, which contains the delimiter, the quote or a line end",
                self.null_text
            ));
        }
        Ok(())
    }

    /// Whether different values of a column can look the same in the file.
    fn loses_tag(&self, column: &Column) -> bool {
        self.nested == Nested::DuckDb && column.is_nested() && column.kind.contains("UNION(")
    }

    /// Whether DuckDB's own writer can write the file.
    fn is_plain(&self) -> bool {
        self.newline == Newline::Lf
            && self.encoding == Encoding::Utf8
            && self.quoting != Quoting::NonNumeric
            && self.null_text.is_empty()
            && self.quote.is_ascii()
            && self.delimiter.is_ascii()
            && self.escape.is_none()
    }

    /// The SQL for a column as text; `None` if DuckDB's own text is right.
    fn expression(&self, column: &Column) -> Result<Option<String>> {
        let name = quote_name(&column.name);
        if column.is_nested() && self.nested == Nested::Json {
            return sql::json_text_with(&name, &column.kind, NotFinite::Text)
                .map(Some)
                .map_err(|error| Error::from(error).context(format!("column `{}`", column.name)));
        }
        if column.has_fraction() && (self.decimal != "." || column.is_all_fraction()) {
            // DuckDB prints a DECIMAL(3,3) without the zero before its point.
            let point = quote_text(&self.decimal);
            return Ok(Some(match column.is_all_fraction() {
                true => format!("replace(regexp_replace({name}::varchar, '^(-?)[.]', '\\10.'), '.', {point})"),
                false => format!("replace({name}::varchar, '.', {point})"),
            }));
        }
        let zoned = column.kind == "TIMESTAMP WITH TIME ZONE";
        let format = match column.kind.as_str() {
            "DATE" => &self.date_format,
            _ if zoned || column.kind.starts_with("TIMESTAMP") => &self.timestamp_format,
            _ => &None,
        };
        Ok(match format {
            Some(format) => Some(format!("strftime({name}, {})", quote_text(format))),
            None if zoned => Some(sql::timestamptz_text(&name)),
            None => None,
        })
    }
}

struct CsvWriter;

impl Writer for CsvWriter {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        config.check()?;
        let input = inputs.only()?;
        let table = input.sql_name();
        let columns = sql::columns(&table)?.into_iter();
        let mut columns: Vec<Column> =
            columns.map(|column| Column { name: column.name, kind: column.duckdb_type }).collect();
        if let Some(column) = columns.iter().find(|column| config.loses_tag(column)) {
            return Err(Error::config(format!(
                "column `{}` is of the type `{}`: CSV does not show which member of a UNION a value is of; `nested: json` writes it as an \
                 object of its tag, or cast it to VARCHAR in SQL",
                column.name, column.kind
            )));
        }
        if config.column_order == ColumnOrder::Sorted {
            columns.sort_by(|one, other| one.name.cmp(&other.name));
        }
        if config.is_plain() { copy(&config, &table, &columns) } else { stream(&config, &table, &columns) }
    }
}

/// Lets DuckDB write the file.
fn copy(config: &Config, table: &str, columns: &[Column]) -> Result<()> {
    let expression = |column: &Column| -> Result<String> {
        let name = quote_name(&column.name);
        Ok(config.expression(column)?.map_or(name.clone(), |expression| format!("{expression} as {name}")))
    };
    let selected = columns.iter().map(expression).collect::<Result<Vec<_>>>()?;
    let header = config.header.to_string();
    let mut options = vec![
        ("delimiter", config.delimiter.as_str()),
        ("header", header.as_str()),
        ("quote", config.quote.as_str()),
        ("escape", config.quote.as_str()),
    ];
    if config.quoting == Quoting::All {
        options.push(("force_quote", "*"));
    }
    files::copy(&config.path, &format!("select {} from {table}", selected.join(", ")), files::Format::Csv, &options)?;
    Ok(())
}

/// Writes what DuckDB's writer cannot: other line ends, encodings and quotes. DuckDB still produces the texts.
fn stream(config: &Config, table: &str, columns: &[Column]) -> Result<()> {
    let dialect = Dialect {
        delimiter: &config.delimiter,
        quote: &config.quote,
        escape: config.escape.as_deref().unwrap_or(&config.quote),
        newline: match config.newline {
            Newline::Lf => "\n",
            Newline::Crlf => "\r\n",
            Newline::Cr => "\r",
        },
        null: &config.null_text,
        encoding: config.encoding,
    };
    let target = files::create(&config.path)?;
    let mut bytes = dialect.start();
    let quoted_names = config.quoting != Quoting::Minimal;
    if config.header {
        let names = columns.iter().map(|column| Value { text: Some(column.name.as_str()), quoted: quoted_names });
        dialect.line(names, &mut bytes).map_err(|missing| missing.explain("the header", None))?;
    }
    let quoted: Vec<bool> = columns
        .iter()
        .map(|column| match config.quoting {
            Quoting::Minimal => false,
            Quoting::All => true,
            Quoting::NonNumeric => !column.is_number(),
        })
        .collect();
    let texts = |column: &Column| -> Result<String> {
        Ok(config.expression(column)?.unwrap_or_else(|| format!("cast({} as varchar)", quote_name(&column.name))))
    };
    let texts = columns.iter().map(texts).collect::<Result<Vec<_>>>()?;
    let mut before = 0;
    for batch in sql::query(&format!("select {} from {table}", texts.join(", ")))? {
        let batch = batch?;
        let texts = (0..columns.len()).map(|place| batch.column_at(place).strings()).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.rows() {
            let values = texts.iter().zip(&quoted).map(|(text, quoted)| Value { text: text.get(row), quoted: *quoted });
            dialect.line(values, &mut bytes).map_err(|missing| {
                let column = columns.get(missing.place).map_or("", |column| column.name.as_str());
                missing.explain(&format!("column `{column}`"), Some(before + row as u64 + 1))
            })?;
        }
        before += batch.rows() as u64;
        target.write(&bytes)?;
        bytes.clear();
    }
    Ok(target.write(&bytes)?)
}

osiris_sdk::export!(CsvWriter: writer);
