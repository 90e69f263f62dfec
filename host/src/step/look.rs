//! The process that reads a step's file for `osiris query` and for tests of drivers, confined like a step.
//!
//! A step's file is as untrusted as the driver that made it, so the host never opens one itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use duckdb::arrow::array::cast::AsArray;
use duckdb::arrow::array::make_array;
use duckdb_text::{json_text, quote_name};

use super::export;
use super::open_files::OpenFiles;
use super::quality::binding::judge;
use super::text_table::TextTable;
use crate::engine::{Engine, EngineError, Furnishing, Types, Warm};
use crate::protocol::{Format, Look, Question, TableContents};
use crate::sandbox::{Reach, confine, limit, narrow, shed};

/// Runs the hidden command `osiris look`: the rows go to stdout, an error to stderr.
pub fn main() -> ExitCode {
    match look() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn look() -> anyhow::Result<()> {
    shed()?;
    let warm = Warm::open()?;
    let look: Look = serde_json::from_reader(std::io::stdin().lock()).context("cannot understand what to look at")?;
    let mut held = OpenFiles::open(&look.tables, &[], &[])?;
    limit(0, look.limits.output_bytes, look.limits.data_bytes(), look.limits.cpu_seconds)?;
    let confinement = confine(&Reach { read: held.inputs(), ..Reach::default() })?;
    if look.require_confinement && !confinement.is_whole() {
        anyhow::bail!("this machine gives no full confinement: {}", confinement.words());
    }
    let inputs = held.input_paths(&look.tables);
    // Only DuckDB's own writer of Parquet opens a file.
    let stdout = match look.question {
        Question::Select { format: Format::Parquet, .. } => vec![PathBuf::from(export::STDOUT)],
        _ => Vec::new(),
    };
    let furnishing = Furnishing { inputs: &inputs, files: &stdout, ..Furnishing::bare(Path::new(""), look.limits) };
    let narrowed = || {
        held.retire_inputs()?;
        narrow(&Reach::default())
    };
    let engine = warm.furnish(&furnishing, narrowed)?;
    match &look.question {
        Question::Select { sql, format, width, total } => {
            print_rows(&engine, sql, *format, Shown { width: *width, total: *total })
        }
        Question::Contents { most_rows } => {
            look.tables.iter().try_for_each(|table| print_contents(&engine, &table.alias, *most_rows))
        }
        Question::Judge { steps } => {
            for found in judge(&engine, steps) {
                println!("{}", serde_json::to_string(&found)?);
            }
            Ok(())
        }
    }
}

/// Prints what a table contains: its columns, the number and the digest of its rows, and the first rows.
fn print_contents(engine: &Engine, table: &str, most_rows: u64) -> anyhow::Result<()> {
    let name = quote_name(table);
    let mut columns = Vec::new();
    each_row(engine, &format!("SELECT column_name, column_type FROM (DESCRIBE {name})"), |row| {
        columns.push((row[0].unwrap_or_default().to_owned(), row[1].unwrap_or_default().to_owned()));
        Ok(())
    })?;
    // A type without JSON text is shown as its text in DuckDB.
    let shown = |(column, duckdb_type): &(String, String)| {
        let column = quote_name(column);
        match json_text("c", duckdb_type) {
            Ok(_) => column,
            Err(_) => format!("CAST({column} AS VARCHAR) AS {column}"),
        }
    };
    let list = columns.iter().map(shown).collect::<Vec<_>>().join(", ");
    // Both a sum and an exclusive or, because equal rows cancel each other out in the latter. No column may have the name
    // that stands for the row.
    let mut row = "osiris_row".to_owned();
    while columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(&row)) {
        row.push('_');
    }
    let summary = format!(
        "SELECT CAST(count(*) AS VARCHAR), concat_ws('-', sum(hash({row})), bit_xor(hash({row}))) FROM {name} AS {row}"
    );
    let (mut rows, mut digest) = (0, String::new());
    each_row(engine, &summary, |row| {
        (rows, digest) = (row[0].unwrap_or_default().parse()?, row[1].unwrap_or_default().to_owned());
        Ok(())
    })?;
    let contents = TableContents { table: table.to_owned(), columns, rows, digest, shown: rows.min(most_rows) };
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    writeln!(stdout, "{}", serde_json::to_string(&contents)?)?;
    if contents.shown > 0 {
        let mut records = engine.query_json(&format!("SELECT {list} FROM {name} LIMIT {most_rows}"))?;
        while let Some((text, _)) = records.next_records()? {
            stdout.write_all(text.as_bytes())?;
        }
    }
    Ok(stdout.flush()?)
}

/// How a table for people is shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    width: Option<u16>,
    total: Option<u64>,
}

fn print_rows(engine: &Engine, sql: &str, format: Format, shown: Shown) -> anyhow::Result<()> {
    // Checked by itself first, so that an error quotes the user's statement and not the text that is put around it.
    let names = engine.column_names(sql)?;
    let sql = sql.trim_end().trim_end_matches(';');
    let from = format!("({sql}\n)");
    let wrapped = match format {
        Format::Json => format!("SELECT CAST(to_json(osiris_row) AS VARCHAR) FROM {from} AS osiris_row"),
        Format::Table | Format::Csv => format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {from}"),
        Format::Parquet | Format::Arrow | Format::ArrowStream => return print_file(engine, sql, &names, format),
    };
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    match format {
        Format::Json => {
            each_row(engine, &wrapped, |row| Ok(writeln!(stdout, "{}", standard_json(row[0].unwrap_or("null")))?))?
        }
        Format::Csv => {
            let header: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
            writeln!(stdout, "{}", csv_line(&header))?;
            each_row(engine, &wrapped, |row| Ok(writeln!(stdout, "{}", csv_line(row))?))?;
        }
        Format::Table => {
            let mut types = Vec::new();
            each_row(engine, &format!("SELECT column_type FROM (DESCRIBE SELECT * FROM {from})"), |row| {
                types.push(row[0].unwrap_or_default().to_owned());
                Ok(())
            })?;
            let mut table = TextTable::new(&names, &types, shown.width);
            each_row(engine, &wrapped, |row| {
                table.add(row);
                Ok(())
            })?;
            writeln!(stdout, "{}", table.finish(shown.total))?;
        }
        Format::Parquet | Format::Arrow | Format::ArrowStream => {}
    }
    Ok(stdout.flush()?)
}

/// Writes the rows for programs.
fn print_file(engine: &Engine, sql: &str, names: &[String], format: Format) -> anyhow::Result<()> {
    if format != Format::Parquet {
        let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
        export::arrow(engine, sql, format == Format::Arrow, &mut stdout)?;
        return Ok(stdout.flush()?);
    }
    let mut types = Vec::new();
    each_row(engine, &format!("SELECT column_type FROM (DESCRIBE SELECT * FROM ({sql}\n))"), |row| {
        types.push(row[0].unwrap_or_default().to_owned());
        Ok(())
    })?;
    let columns: Vec<(String, String)> = names.iter().cloned().zip(types).collect();
    export::parquet(engine, sql, &columns)
}

/// Calls `visit` with each row of a SELECT whose columns are all text.
fn each_row(
    engine: &Engine,
    select: &str,
    mut visit: impl FnMut(&[Option<&str>]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut query = engine.query(select, Types::Exact)?;
    while let Some(batch) = query.next_batch().map_err(|error: EngineError| anyhow::anyhow!(error))? {
        let columns: Vec<_> = batch.child_data().iter().cloned().map(make_array).collect();
        let texts: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
        for row in 0..batch.len() {
            let values: Vec<Option<&str>> = texts
                .iter()
                .map(|text| duckdb::arrow::array::Array::is_valid(text, row).then(|| text.value(row)))
                .collect();
            visit(&values)?;
        }
    }
    Ok(())
}

/// DuckDB's JSON text without the numbers that JSON does not have: NaN and infinities become null, as in files that
/// `filesystem.json_writer` writes.
fn standard_json(text: &str) -> String {
    let (mut standard, mut rest, mut in_text) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let other = ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| !in_text && rest.starts_with(word));
        let length = match (other, c) {
            (Some(word), _) => word.len(),
            // An escaped character does not end a text.
            (None, '\\') if in_text => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, c) => c.len_utf8(),
        };
        in_text ^= c == '"';
        standard.push_str(if other.is_some() { "null" } else { &rest[..length] });
        rest = &rest[length..];
    }
    standard
}

fn csv_line(values: &[Option<&str>]) -> String {
    let field = |value: &Option<&str>| match value {
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => (*text).to_owned(),
        None => String::new(),
    };
    values.iter().map(field).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::standard_json;

    #[test]
    fn json_has_no_nan_or_infinities() {
        for (text, expected) in [
            (r#"{"a":NaN,"b":[Infinity,-Infinity,1.5]}"#, r#"{"a":null,"b":[null,null,1.5]}"#),
            (r#"{"NaN":"Infinity \" NaN","ü\\":NaN}"#, r#"{"NaN":"Infinity \" NaN","ü\\":null}"#),
        ] {
            assert_eq!(standard_json(text), expected);
        }
    }
}
