//! `mysql.extractor`: reads MySQL or MariaDB into typed columns, in one snapshot.

mod column;
mod cursor;
mod incremental;
mod options;
mod value;

use std::collections::BTreeSet;
use std::rc::Rc;

use database_client::Replication;
use mysql_client::sql::quote_name;
use mysql_client::types::{Definition, Kind};
use mysql_client::{Client, Fields, LocalFiles, MYSQL, Stream, catalog};
use osiris_sdk::{
    Batch, CatalogTable, Check, Discovery, Error, Extractor, Output, RawBatch, Result, Schema, TableWriter, context,
    state,
};

use crate::column::Column;
use crate::incremental::{Increment, State, is_null, split};
use crate::options::Config;

/// How many bytes make a full batch, regardless of its number of rows; a single value may be larger.
const BATCH_BYTES: usize = 8 << 20;

struct MysqlExtractor;

impl Extractor for MysqlExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let config = config.checked()?;
        let mut client = mysql_client::connect(&config.connection, LocalFiles::Refused)?;
        let last = match config.selection.replication {
            Replication::Full => None,
            Replication::Incremental => state::get::<State>()?,
        };
        let next = read(&mut client, &config, last, &output).map_err(|error| {
            let (what, server) = (config.selection.what(), config.connection.server(MYSQL));
            error.context(format!("cannot read {what} of `{server}`"))
        })?;
        next.map_or(Ok(()), |next| state::set(&next))
    }
}

impl Discovery for MysqlExtractor {
    type Config = mysql_client::Config;

    fn discover(config: mysql_client::Config) -> Result<Vec<CatalogTable>> {
        catalog::tables(&mut mysql_client::connect(&config, LocalFiles::Refused)?, config.database())
    }
}

impl Check for MysqlExtractor {
    type Config = mysql_client::Config;

    fn check(config: mysql_client::Config) -> Result<String> {
        Ok(mysql_client::connect(&config, LocalFiles::Refused)?.describe_server())
    }
}

/// Reads everything that the config selects; returns what the next run needs to know.
fn read<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    last: Option<State>,
    output: &Output,
) -> Result<Option<State>> {
    client.execute("set session transaction isolation level repeatable read")?;
    client.execute("start transaction with consistent snapshot, read only")?;
    let select = config.select(None, None)?;
    let statement = client
        .try_prepare(&select)?
        .map_err(|refusal| refusal.in_statement(&select, config.selection.authored(&select)))?;
    let kinds = kinds(&statement.columns, config)?;
    let columns = statement.columns.iter().zip(&kinds);
    let columns = columns.map(|(column, kind)| Column::new(&column.name, *kind, config.zero_dates)).collect();
    let mut table = Table::create(output, columns, config.batch_size.max(1))?;
    let next = match config.selection.replication {
        Replication::Full => {
            let statement = match part(config, &statement.columns, &kinds)? {
                Some(condition) => client.prepare(&config.select(None, Some(&condition))?)?,
                None => statement,
            };
            client.open(&statement)?;
            while let Some(row) = client.next_row()? {
                table.push(row)?;
            }
            None
        }
        Replication::Incremental => {
            let mut increment = Increment::find(client, config, &statement.columns, &kinds, last)?;
            for place in 0..increment.parts.len() {
                let condition = increment.parts[place].condition.clone();
                let statement = client.prepare(&config.select(None, Some(&condition))?)?;
                client.open(&statement)?;
                while let Some(row) = client.next_row()? {
                    if increment.is_new(place, row, &kinds)? {
                        table.push(row)?;
                    }
                }
                client.close(&statement)?;
            }
            increment.into_state()
        }
    };
    table.finish()?;
    client.execute("commit")?;
    Ok(next)
}

/// The condition for the rows that this instance reads; `None` if there is only one instance.
fn part(config: &Config, columns: &[Definition], kinds: &[Kind]) -> Result<Option<String>> {
    let part = context::partition();
    let Some(name) = config.selection.partition_on.as_ref() else { return Ok(None) };
    let place = columns.iter().position(|column| column.name == *name).ok_or_else(|| {
        let known: Vec<String> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
        Error::config(format!("there is no column `{name}` to part rows by; there are: {}", known.join(", ")))
    })?;
    Ok((part.count > 1).then(|| remainder(kinds[place], &quote_name(name), part.index, part.count)))
}

/// The condition that a column modulo `count` is `index`; a null counts as 0.
fn remainder(kind: Kind, column: &str, index: u32, count: u32) -> String {
    let remainder = match kind {
        // A remainder has the sign of its dividend.
        Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => format!("({column} % {count} + {count}) % {count}"),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => format!("{column} % {count}"),
        _ => format!("crc32({column}) % {count}"),
    };
    format!("coalesce({remainder}, 0) = {index}")
}

/// How each column is read.
fn kinds(columns: &[Definition], config: &Config) -> Result<Vec<Kind>> {
    if columns.is_empty() {
        return Err(Error::config("it gives no columns; only a statement that gives rows can be read"));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !names.insert(column.name.to_lowercase())) {
        return Err(Error::config(format!(
            "two columns are called `{}` (letter case does not tell columns apart in DuckDB); rename one in a `query` \
             with `as`",
            twice.name
        )));
    }
    Ok(columns.iter().map(|column| column.kind(config.reading())).collect())
}

/// The output being filled, batch by batch.
struct Table {
    columns: Vec<Column>,
    schema: Rc<Schema>,
    writer: TableWriter,
    rows: usize,
    batch_rows: usize,
    /// The number of rows in the batches that were sent.
    sent: usize,
}

impl Table {
    fn create(output: &Output, columns: Vec<Column>, batch_rows: usize) -> Result<Self> {
        let schema = Rc::new(Schema::new(columns.iter().map(Column::field).collect()));
        let writer = output.create_table("main", &schema)?;
        Ok(Self { columns, schema, writer, rows: 0, batch_rows, sent: 0 })
    }

    #[inline]
    fn push(&mut self, row: &[u8]) -> Result<()> {
        let (nulls, values) = split(row, self.columns.len())?;
        let mut values = Fields(values);
        for (place, column) in self.columns.iter_mut().enumerate() {
            if is_null(nulls, place) {
                column.push_null()?;
            } else {
                column
                    .take(&mut values)
                    .map_err(|error| error.context(format!("row {}", self.sent + self.rows + 1)))?;
            }
        }
        self.rows += 1;
        // The size of a batch is only measured from time to time, because measuring costs more than a short row.
        let full = self.rows >= self.batch_rows
            || ((self.rows.is_multiple_of(64) || row.len() > 65_536)
                && self.columns.iter().map(Column::bytes).sum::<usize>() > BATCH_BYTES);
        if full { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        let nodes = self.columns.iter_mut().map(Column::finish).collect();
        let batch = Batch::new(Rc::clone(&self.schema), RawBatch { rows: self.rows as u32, nodes });
        self.sent += self.rows;
        self.rows = 0;
        self.writer.append(&batch)
    }

    fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.send()?;
        }
        self.writer.finish()?;
        for column in &self.columns {
            column.report();
        }
        Ok(())
    }
}

osiris_sdk::export!(MysqlExtractor: extractor + discovery + check);
