//! Moves the rows into a staging table by COPY, and from there to the target, in one transaction.

use std::time::Duration;

use conversions::{Conversion, check_input};
use database_client::{Mode, Superseded, TableName, WriterConfig, Writing};
use osiris_sdk::{Error, ErrorKind, Input, Result, context, sql};
use postgres_client::sql::quote_names;
use postgres_client::{Client, Stream};

use crate::arrival;
use crate::culprit;
use crate::delete;
use crate::encode::View;
use crate::encoding;
use crate::keys;
use crate::plan::{self, Plan, Planned};
use crate::replace::{self, Replacement};
use crate::rows::{Rows, STAGING};
use crate::schema;
use crate::shape::InputColumn;
use crate::target::Target;

/// How many bytes of rows are put into one message.
const MESSAGE_BYTES: usize = 256 << 10;

/// Writes the input; returns its number of rows. Nothing is visible to others before the COMMIT at the end.
pub fn write<S: Stream>(
    client: &mut Client<S>,
    config: &WriterConfig,
    name: &TableName,
    input: &Input,
    columns: &[InputColumn],
) -> Result<u64> {
    let writing = &config.writing;
    client.execute("begin isolation level read committed")?;
    let encoding = encoding::of_database(client)?;
    let found = Target::find(client, name)?;
    if !found.exists() {
        schema::find(client, &found.schema, writing.create_schema)?;
    }
    let recreated =
        if replace::is_recreated(&found, writing) { Some(replace::recreate(client, &found)?) } else { None };
    let target = if recreated.is_some() { Target::missing(found.schema, found.table) } else { found };
    let plan = plan::plan(&target, writing, columns)?;
    let checked = plan::checked_columns(&target, &plan.columns, &encoding);
    let mut conversions = check_input(input, &checked, &writing.on_loss)?;
    encoding::check(client, &encoding, input, &checked, &writing.on_loss, &mut conversions)?;
    let replacement = match writing.mode {
        Mode::Replace if target.exists() => Some(replace::decide(client, &target, writing, &plan.columns)?),
        _ => None,
    };
    let key = match &replacement {
        Some(Replacement::Merge { key, .. }) => key,
        _ => &writing.primary_key,
    };
    let superseded = writing.superseded().map_or(&[][..], Superseded::columns);
    let rows = Rows::new(&plan.columns, key, superseded, writing.on_duplicate_key);
    client.execute(&rows.stage())?;
    let count = stage(client, input, &plan.columns, &conversions)?;
    let assign = rows.assign();
    if !assign.is_empty() {
        culprit::run(client, &target, &rows, &assign)?;
    }
    keys::check(client, input, &rows, key, writing.on_duplicate_key).map_err(|error| match &replacement {
        Some(Replacement::Merge { .. }) => error.context(format!(
            "other tables refer to this one by {}, so its rows are replaced one by one by these columns",
            quote_names(key.iter().map(String::as_str))
        )),
        _ => error,
    })?;
    keys::refuse_nulls(client, input, &rows, superseded)?;
    if let Some((drop_table, _)) = &recreated {
        replace::drop_table(client, &target, drop_table)?;
    }
    move_rows(client, writing, &target, &plan, &rows, replacement.as_ref())?;
    for right in recreated.iter().flat_map(|(_, rights)| rights) {
        client.execute(right)?;
    }
    commit(client, config)?;
    Ok(count)
}

/// Moves the rows out of the staging table.
fn move_rows<S: Stream>(
    client: &mut Client<S>,
    config: &Writing,
    target: &Target,
    plan: &Plan,
    rows: &Rows<'_>,
    replacement: Option<&Replacement>,
) -> Result<()> {
    if let Some(define) = &plan.define {
        client.execute(define)?;
    }
    match (config.mode, replacement) {
        (Mode::Replace, Some(Replacement::Merge { foreign_keys, refers_to_itself, .. })) => {
            return replace::merge(client, target, rows, &plan.columns, foreign_keys, *refers_to_itself);
        }
        (Mode::Replace, Some(Replacement::Empty(empty))) => {
            client.execute(empty)?;
        }
        (Mode::Upsert, _) if target.exists() => {
            let unique = keys::has_unique_index(client, target, &config.primary_key)?;
            if !unique {
                context::info(
                    "no unique index tells rows apart by the key alone, so the table is locked against other writers",
                    &[("key", &config.primary_key.join(", "))],
                );
                // Without an index, only a lock prevents two writers from inserting the same key.
                client.execute(&format!("lock table {} in share row exclusive mode", target.quoted()))?;
            }
            return arrival::upsert(client, target, rows, unique, &[]);
        }
        (Mode::DeleteInsert, _) if target.exists() => delete::superseded(client, target, rows, config)?,
        _ => {}
    }
    let taken = culprit::run(client, target, rows, &[rows.insert(target)])?;
    let expected = rows.count(client)?;
    arrival::warn_of_lost(target, expected.saturating_sub(taken), expected);
    Ok(())
}

/// Sends the rows into the staging table.
fn stage<S: Stream>(
    client: &mut Client<S>,
    input: &Input,
    columns: &[Planned],
    conversions: &[Conversion],
) -> Result<u64> {
    let selects = columns.iter().zip(conversions).map(|(column, conversion)| {
        let value = column.input.select(&conversion.expression)?;
        Ok(format!("{value} as {}", sql::quote_name(&column.input.name)))
    });
    let selects: Vec<String> = selects.collect::<Result<_>>()?;
    let mut reader = sql::query(&format!("select {} from {}", selects.join(", "), input.sql_name()))?;
    let width = i16::try_from(columns.len()).map_err(|_| Error::data("more columns than a table may have"))?;
    let mut copy = client.copy_in(&format!("copy {STAGING} from stdin (format binary)"))?;
    let (mut done, total) = (0, input.rows());
    while let Some(batch) = reader.next_batch()? {
        let views = columns.iter().enumerate();
        let views = views
            .map(|(place, column)| View::new(&column.input.name, &column.input.encode, batch.column_at(place)))
            .collect::<Result<Vec<_>>>()?;
        let mut next = 0;
        while next < batch.rows() {
            copy.send(|body| {
                let end = body.len() + MESSAGE_BYTES;
                while next < batch.rows() && body.len() < end {
                    body.extend_from_slice(&width.to_be_bytes());
                    let row = done + next as u64 + 1;
                    views.iter().try_for_each(|view| view.write(next, row, body))?;
                    next += 1;
                }
                Ok(())
            })?;
        }
        done += batch.rows() as u64;
        context::progress(done, Some(total));
    }
    let taken = copy.finish()?;
    if taken != done {
        return Err(Error::internal(format!("{done} rows were sent, but the server took {taken}")));
    }
    Ok(done)
}

/// Commits. If the connection breaks before the response, the server is asked over another connection for the outcome,
/// since appending the same rows again would duplicate them.
fn commit<S: Stream>(client: &mut Client<S>, config: &WriterConfig) -> Result<()> {
    let transaction = client.value("select pg_catalog.txid_current()")?.unwrap_or_default();
    let Err(error) = client.execute("commit") else { return Ok(()) };
    if !matches!(error.kind, ErrorKind::Transient | ErrorKind::Timeout) {
        return Err(error);
    }
    for wait in [0, 500, 2_000, 5_000] {
        std::thread::sleep(Duration::from_millis(wait));
        let Ok(mut other) = postgres_client::connect(&config.connection) else { continue };
        match other.value(&format!("select pg_catalog.txid_status({transaction})")) {
            Ok(Some(status)) if status == "committed" => return Ok(()),
            Ok(Some(status)) if status == "aborted" => return Err(error),
            _ => {}
        }
    }
    if config.writing.mode == Mode::Append {
        let message = format!(
            "the connection broke while transaction {transaction} was being committed, and the server does not say \
             whether it was ({error}); look at the table before appending again"
        );
        return Err(Error::new(ErrorKind::Other, message).with_code("unknown-outcome"));
    }
    Err(error)
}
