//! Moves the rows: into a staging table by COPY, and from there to the target, in one transaction.

use std::time::Duration;

use database_client::{Mode, WriterConfig};
use osiris_sdk::{Error, ErrorKind, Input, Result, context, sql};
use postgres_client::sql::{TableName, quote_name};
use postgres_client::{Client, Stream};

use crate::encode::View;
use crate::shape::InputColumn;
use crate::target::{STAGING, Target, null_key};

/// Bytes of rows after which a message is sent.
const MESSAGE_BYTES: usize = 256 << 10;

/// Writes the input; says how many rows it had. Until the COMMIT at the end, nobody sees anything of it.
pub fn write<S: Stream>(
    client: &mut Client<S>,
    config: &WriterConfig,
    name: &TableName,
    input: &Input,
    columns: &[InputColumn],
) -> Result<u64> {
    client.execute("begin isolation level read committed")?;
    let target = Target::find(client, name)?;
    let plan = target.plan(client, config, columns)?;
    let staged: Vec<String> =
        plan.columns.iter().map(|column| format!("{} {}", quote_name(&column.name), column.staged)).collect();
    client.execute(&format!("create temporary table osiris_staging ({}) on commit drop", staged.join(", ")))?;
    let rows = stage(client, input, &plan.columns)?;
    if let Some(column) = null_key(client, &config.primary_key)? {
        return Err(Error::data(format!("column `{column}` of the primary key is null in some rows")));
    }
    for statement in plan.prepare.iter().chain(&plan.move_rows) {
        client.execute(statement)?;
    }
    commit(client, config)?;
    Ok(rows)
}

/// Sends the rows into the staging table.
fn stage<S: Stream>(client: &mut Client<S>, input: &Input, columns: &[InputColumn]) -> Result<u64> {
    let selects: Vec<&str> = columns.iter().map(|column| column.select.as_str()).collect();
    let mut reader = sql::query(&format!("select {} from {}", selects.join(", "), input.sql_name()))?;
    let width = i16::try_from(columns.len()).map_err(|_| Error::data("more columns than a table may have"))?;
    let mut copy = client.copy_in(&format!("copy {STAGING} from stdin (format binary)"))?;
    let (mut done, total) = (0, input.rows());
    while let Some(batch) = reader.next_batch()? {
        let views = columns.iter().enumerate();
        let views = views
            .map(|(place, column)| View::new(&column.name, &column.encode, batch.column_at(place)))
            .collect::<Result<Vec<_>>>()?;
        let mut next = 0;
        while next < batch.rows() {
            copy.send(|body| {
                let end = body.len() + MESSAGE_BYTES;
                while next < batch.rows() && body.len() < end {
                    body.extend_from_slice(&width.to_be_bytes());
                    views.iter().try_for_each(|view| view.write(next, body))?;
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

/// Commits. Where the connection breaks before the answer, the server is asked over another one what became of it,
/// since appending the same rows again would double them.
fn commit<S: Stream>(client: &mut Client<S>, config: &WriterConfig) -> Result<()> {
    let transaction = client.value("select pg_catalog.txid_current()")?.unwrap_or_default();
    let Err(error) = client.execute("commit") else { return Ok(()) };
    let broke = match &error.kind {
        ErrorKind::Transient => true,
        ErrorKind::Other(kind) => kind == "timeout",
        _ => false,
    };
    if !broke {
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
    if config.mode == Mode::Append {
        return Err(Error::new(
            ErrorKind::Other("unknown-outcome".to_owned()),
            format!(
                "the connection broke while transaction {transaction} was being committed, and the server does not say \
                 whether it was ({error}); look at the table before appending again"
            ),
        ));
    }
    Err(error)
}
