//! A SELECT over the tables of a file: DuckDB runs it over those that it names, which the driver writes to temporary files.

use std::collections::HashSet;

use json_records::Type;
use osiris_sdk::files::{self, Temporary};
use osiris_sdk::sql::{self, quote_name, quote_text};
use osiris_sdk::{Error, Output, Result};

use crate::options::Config;
use crate::pages::Pages;
use crate::schema::Schema;
use crate::table::Table;
use crate::tokens::{Token, tokens, without_semicolon};

/// How many bytes are written at once.
const CHUNK: usize = 4 << 20;

/// The longest record that DuckDB reads, in bytes: five for each of a row's.
const LONGEST: usize = 160 << 20;

/// Creates the table `main` of the rows of the query; returns their number.
///
/// # Errors
/// `config` for a query that cannot be run, `data` as for [`Table::new`].
pub fn create_table(pages: &Pages, schema: &Schema, query: &str, config: &Config, output: &Output) -> Result<u64> {
    let named: HashSet<String> = tokens(query).iter().filter_map(Token::name).map(str::to_lowercase).collect();
    let (mut parts, mut kept) = (Vec::new(), Vec::new());
    for name in schema.tables().filter(|name| named.contains(&name.to_lowercase())) {
        let table = Table::new(pages, schema.table(&quote_name(name))?, config)
            .map_err(|error| error.context(format_args!("table `{name}`")))?;
        let file = written(&table)?;
        parts.push(format!("{} as materialized ({})", quote_name(name), select(&table, &file)));
        kept.push(file);
    }
    let other = schema.others().find(|name| named.contains(&name.to_lowercase()));
    if parts.is_empty() {
        let views =
            other.map(|name| format!(" (`{name}` is a view or a virtual table, whose rows are not in the file)"));
        return Err(Error::config(format!(
            "the query names no table of the file{}; {}",
            views.unwrap_or_default(),
            schema.listed()
        )));
    }
    let query = without_semicolon(query);
    // DuckDB takes no WITH directly inside of another, and a comment at the end must not hide the parenthesis.
    let from = if tokens(query).first().is_some_and(|word| word.is("with")) { "select * from " } else { "" };
    let whole = format!("with {} {from}(\n{query}\n)", parts.join(", "));
    sql::create_table(output, "main", &whole).map_err(|error| match other {
        Some(name) => error.context(format_args!(
            "the query fails (`{name}` is a view or a virtual table, whose rows are not in the file)"
        )),
        None => error.context("the query fails"),
    })
}

/// Writes the table's rows as JSON, one a line.
fn written(table: &Table<'_>) -> Result<Temporary> {
    let file = files::create_temporary()?;
    let mut lines = Vec::new();
    table.each_record(|_, record| {
        lines.extend_from_slice(record.as_bytes());
        lines.push(b'\n');
        if lines.len() >= CHUNK {
            file.write(&lines)?;
            lines.clear();
        }
        Ok(true)
    })?;
    file.write(&lines)?;
    Ok(file)
}

/// The SELECT that reads them.
fn select(table: &Table<'_>, file: &Temporary) -> String {
    let (mut columns, mut expressions) = (Vec::new(), Vec::new());
    for column in &table.columns {
        // What JSON cannot have by itself, such as infinity, is cast from its text.
        let is_cast = matches!(column.kind, Type::Double | Type::Blob);
        let kind = column.kind.name();
        columns.push(format!("{}: '{}'", quote_text(&column.name), if is_cast { "VARCHAR" } else { &kind }));
        let name = quote_name(&column.name);
        expressions.push(if is_cast { format!("cast({name} as {kind}) as {name}") } else { name });
    }
    format!(
        "select {} from read_json({}, format = 'newline_delimited', columns = {{{}}}, maximum_object_size = {LONGEST})",
        expressions.join(", "),
        file.sql_literal(),
        columns.join(", ")
    )
}
