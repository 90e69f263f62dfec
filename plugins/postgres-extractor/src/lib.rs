//! `postgres.extractor`: reads a table or a query from PostgreSQL by binary COPY, completely or only what is new.

mod column;
mod cursor;
mod encoding;
mod incremental;
mod numeric;
mod options;
mod refusal;
mod source;
mod value;

use std::rc::Rc;

use database_client::Replication;
use osiris_sdk::{
    Batch, CatalogTable, Check, Discovery, Error, Extractor, Output, RawBatch, Result, Schema, TableWriter, context,
};
use postgres_client::{Client, POSTGRESQL, Stream, catalog};

use column::Column;
use options::Config;
use source::Source;

/// The rows and bytes after which a batch is sent to the host, whichever comes first.
const BATCH_ROWS: usize = 32 << 10;
const BATCH_BYTES: usize = 8 << 20;

struct PostgresExtractor;

impl Extractor for PostgresExtractor {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        config.selection.check()?;
        let mut client = postgres_client::connect(&config.connection)?;
        let doing = || format!("cannot read {} of `{}`", config.selection.what(), config.connection.server(POSTGRESQL));
        // One snapshot for all statements, so that the bounds of an incremental read match its rows.
        client.execute("begin isolation level repeatable read read only")?;
        let source = Source::find(&mut client, &config).map_err(|error| error.context(doing()))?;
        let mut read = || match config.selection.replication {
            Replication::Full => {
                let part = context::partition();
                let select = source.select_all(config.selection.partition_on.as_deref(), part.index, part.count);
                copy(&mut client, &source, &select, &output, &config)
            }
            Replication::Incremental => {
                let increment = incremental::bound(&mut client, &source, &config, incremental::last()?)?;
                copy(&mut client, &source, &increment.select, &output, &config)?;
                increment.keep()
            }
        };
        read().map_err(|error| error.context(doing()))
    }
}

/// Moves the rows of a SELECT into the output.
fn copy<S: Stream>(
    client: &mut Client<S>,
    source: &Source,
    select: &str,
    output: &Output,
    config: &Config,
) -> Result<()> {
    let mut columns: Vec<Column> =
        source.columns.iter().map(|column| Column::new(&column.mapping.kind, config.unrepresentable)).collect();
    let fields = columns.iter().zip(&source.columns).flat_map(|(values, column)| values.fields(&column.name)).collect();
    let schema = Rc::new(Schema::new(fields));
    let mut table = output.create_table("main", &schema)?;
    let mut rows = client.copy_out(&format!("copy ({select}) to stdout (format binary)"))?;
    let (mut pending, mut done) = (0, 0_u64);
    let refused = loop {
        let row = match rows.next_row(columns.len()) {
            Ok(Some(row)) => row,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        let mut rest = row;
        for (place, column) in columns.iter_mut().enumerate() {
            let taken = column.take(rest).map_err(|wrong| {
                let column = &source.columns[place];
                Error::data(format!(
                    "column `{}` of type {}, row {}: {wrong}",
                    column.name,
                    column.mapping.source,
                    done + pending as u64 + 1
                ))
            });
            rest = taken?;
        }
        pending += 1;
        let full = pending == BATCH_ROWS || (pending % 64 == 0 || row.len() > 1 << 16) && bytes(&columns) > BATCH_BYTES;
        if full {
            send(&schema, &mut columns, pending, &mut table)?;
            done += pending as u64;
            pending = 0;
            context::progress(done, None);
        }
    };
    if let Some(error) = refused {
        return Err(encoding::explained(client, source, error));
    }
    if pending > 0 {
        send(&schema, &mut columns, pending, &mut table)?;
    }
    table.finish()?;
    warn(&columns, source);
    Ok(())
}

/// Warns about values that were changed.
fn warn(columns: &[Column], source: &Source) {
    for (values, column) in columns.iter().zip(&source.columns).filter(|(values, _)| values.renumbered() > 0) {
        context::warn(
            "arrays do not begin at 1, as lists do; their items are read in order, and their first number is not kept",
            &[("column", &column.name), ("count", &values.renumbered())],
        );
    }
    for (values, column) in columns.iter().zip(&source.columns).filter(|(values, _)| values.nulled() > 0) {
        context::warn(
            "values became null, since their DuckDB type does not have them",
            &[("column", &column.name), ("count", &values.nulled()), ("type", &column.mapping.source)],
        );
    }
}

fn bytes(columns: &[Column]) -> usize {
    columns.iter().map(Column::bytes).sum()
}

fn send(schema: &Rc<Schema>, columns: &mut [Column], rows: usize, table: &mut TableWriter) -> Result<()> {
    let mut nodes = Vec::with_capacity(schema.fields().len());
    columns.iter_mut().for_each(|column| column.finish(&mut nodes));
    let batch = Batch::new(Rc::clone(schema), RawBatch { rows: rows as u32, nodes });
    table.append(&batch)?;
    // The buffers are returned, so that the next batch needs no new memory.
    let mut nodes = batch.into_raw().nodes.into_iter();
    columns.iter_mut().for_each(|column| column.reuse(&mut nodes));
    Ok(())
}

impl Discovery for PostgresExtractor {
    type Config = postgres_client::Config;

    fn discover(config: Self::Config) -> Result<Vec<CatalogTable>> {
        catalog::discover(&mut postgres_client::connect(&config)?)
    }
}

impl Check for PostgresExtractor {
    type Config = postgres_client::Config;

    fn check(config: Self::Config) -> Result<String> {
        Ok(postgres_client::connect(&config)?.describe_server())
    }
}

osiris_sdk::export!(PostgresExtractor: extractor + discovery + check);
