//! `sqlite.extractor`: reads a table, or one SELECT, of a SQLite file. The file is read, and never run: its views, triggers and
//! modules are not looked at.

mod bytes;
mod column;
mod definition;
mod header;
mod options;
mod pages;
mod query;
mod record;
mod schema;
mod table;
mod tokens;
mod tree;
mod wal;

use json_records::{Member, Members, Rows, Table as Sink, told};
use osiris_sdk::{Error, Extractor, Output, Result, context, files};

use bytes::Bytes;
use options::{Config, Wanted};
use pages::Pages;
use schema::Schema;
use table::Table;

/// The file beside the database that has an unfinished transaction, and how its header begins.
const JOURNAL: &str = "-journal";
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The file beside the database that has its latest changes.
const LOG: &str = "-wal";

struct SqliteExtractor;

impl Extractor for SqliteExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let wanted = config.wanted()?;
        extract(&config, wanted, output).map_err(|error| named(&config.path, error))
    }
}

/// The error with the name of the file.
fn named(file: &str, error: Error) -> Error {
    if error.message.contains(&format!("`{file}`")) {
        error
    } else {
        error.context(format_args!("cannot read `{file}`"))
    }
}

fn extract(config: &Config, wanted: Option<Wanted<'_>>, output: Output) -> Result<()> {
    let file = files::open(&config.path)?;
    check_journal(&config.path)?;
    let log = beside(&config.path, LOG)?.map(|log| Box::new(log) as Box<dyn Bytes>);
    let pages = Pages::open(Box::new(file), log)?;
    let read = read(&pages, config, wanted, output);
    // What looks like damage may be a change that was made meanwhile.
    let unchanged = pages.check_unchanged();
    let rows = match (read, unchanged) {
        (Err(error), Ok(())) => return Err(error),
        (_, Err(changed)) => return Err(changed),
        (Ok(rows), Ok(())) => rows,
    };
    context::info("read", &[("path", &config.path), ("rows", &rows)]);
    Ok(())
}

fn read(pages: &Pages, config: &Config, wanted: Option<Wanted<'_>>, output: Output) -> Result<u64> {
    let schema = Schema::read(pages)?;
    match wanted {
        Some(Wanted::Query(query)) => query::create_table(pages, &schema, query, config, &output),
        Some(Wanted::Table(name)) => write(&Table::new(pages, schema.table(name)?, config)?, config, output),
        None => match (schema.tables().next(), schema.tables().nth(1)) {
            (Some(only), None) => {
                write(&Table::new(pages, schema.table(&osiris_sdk::sql::quote_name(only))?, config)?, config, output)
            }
            _ => Err(Error::config(format!("give `table` or `query`; {}", schema.listed()))),
        },
    }
}

/// Writes the rows of a table; returns their number.
fn write(table: &Table<'_>, config: &Config, output: Output) -> Result<u64> {
    let member = |column: &column::Column| {
        let is_declared = config.dtype.contains_key(&column.name);
        Member { key: column.name.clone(), column: Some((column.name.clone(), column.kind.clone(), is_declared)) }
    };
    let mut sink = Sink::new(output, "main");
    let mut rows = Rows::create(Members::new(table.columns.iter().map(member)), &mut sink)?;
    let limit = config.limit.unwrap_or(u64::MAX);
    if limit > 0 {
        table.each_record(|row, record| {
            let misfit =
                |fault| Error::data(told(&fault, &format!("row {row} of table `{}`", table.name()), " under `dtype`"));
            rows.push(record, &mut sink)?.map_err(misfit)?;
            if row % 100_000 == 0 {
                context::progress(row, Some(table.rows.min(limit)));
            }
            Ok(row < limit)
        })?;
    }
    rows.finish(&mut sink)
}

/// A file beside the database, if there is one.
fn beside(path: &str, suffix: &str) -> Result<Option<files::Source>> {
    let name = format!("{path}{suffix}");
    let is_there = files::list(path)?.contains(&name);
    is_there.then(|| files::open(&name)).transpose()
}

/// Refuses a file whose last transaction did not end: it may have half of it.
fn check_journal(path: &str) -> Result<()> {
    let Some(journal) = beside(path, JOURNAL)? else { return Ok(()) };
    let is_hot = journal.size() > 0 && journal.read(0, 8)? == JOURNAL_MAGIC;
    if !is_hot {
        return Ok(());
    }
    Err(Error::transient(format!(
        "a transaction has not ended: there is a `{path}{JOURNAL}` beside it; if no program is writing to the file, open it once with \
         `sqlite3`, which undoes the transaction"
    )))
}

osiris_sdk::export!(SqliteExtractor: extractor);
