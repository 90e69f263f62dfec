//! Writes the rows into a temporary table, and from there in one transaction into the target.
//!
//! MySQL commits at every definition, so tables and columns are created first. The temporary table belongs to the
//! connection and disappears with it after any failure.

use database_client::{DuplicateKey, Mode};
use mysql_client::sql::{TableName, quote_name};
use mysql_client::{Client, Done, ServerError, Stream};
use osiris_sdk::{Error, ErrorKind, Input, Reader, Result, context, sql};

use crate::column::Column;
use crate::config::Config;
use crate::replace::Successor;
use crate::staging::{STAGING, Staging};
use crate::table::{self, same_name};
use crate::target::{self, Target};
use crate::{constraints, delete, geometries, keys, replace};

/// The size of one multi-row INSERT in bytes, if the server accepts that much.
const INSERT_BYTES: usize = 4 << 20;

/// Writes all rows of the input.
///
/// # Errors
/// The server's error; `data` for values that do not fit. Nothing in the table changes before the last statement.
pub fn write<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    table: &TableName,
    input: &Input,
    columns: Vec<Column>,
) -> Result<()> {
    client.execute(
        "set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', session sql_safe_updates = 0",
    )?;
    if !config.writer.recreates() || table::columns(client, table)?.is_empty() {
        let target = target::prepare(client, config, table, input, columns)?;
        return move_rows(client, config, input, &target);
    }
    let successor = Successor::plan(client, table)?;
    let written = target::create(client, &config.writer.primary_key, &successor.name, input, &columns)
        .and_then(|()| target::prepare(client, config, &successor.name, input, columns))
        .and_then(|target| move_rows(client, config, input, &target))
        .and_then(|()| successor.take_place(client, table));
    if written.is_err() {
        successor.forget(client);
    }
    written
}

/// Moves the rows into a table that is ready for them.
fn move_rows<S: Stream>(client: &mut Client<S>, config: &Config, input: &Input, target: &Target) -> Result<()> {
    let mode = config.writer.mode;
    let staging = Staging::create(client, &target.name, &target.columns)?;
    fill(client, config, input, &target.columns, &staging)?;
    geometries::refuse_lost(client, &staging, input, &target.columns)?;
    check_keys(client, config, target, &staging)?;
    let references = if mode == Mode::Replace { replace::references(client, &target.name)? } else { Vec::new() };
    if mode == Mode::Replace {
        replace::index_staging(client, &references, &target.columns)?;
        replace::warn_of_triggers(client, &target.name)?;
    }
    let deletion = delete::prepare(client, config, target, &staging)?;
    client.execute("start transaction")?;
    if let Some(delete) = &deletion {
        delete::run(client, delete)?;
    }
    if mode == Mode::Replace {
        replace::delete_rows(client, &target.name, &target.columns, &references, config.writer.replace_cascade)?;
    }
    let mut insert = staging.insert_into(&target.name);
    if mode == Mode::Upsert {
        insert += &update(&target.name, &target.columns, &config.writer.primary_key);
    }
    if let Err(refusal) = client.try_execute(&insert)? {
        return Err(explained(client, target, &staging, refusal));
    }
    client.execute("commit").map_err(|error| unknown_end(error, mode))?;
    Ok(())
}

/// The server's refusal with the rows of the input that caused it, if they can be found.
fn explained<S: Stream>(client: &mut Client<S>, target: &Target, staging: &Staging, refusal: ServerError) -> Error {
    if let Some(error) = constraints::named(client, &target.name, staging, &refusal) {
        return error;
    }
    let error = Error::from(refusal);
    if !matches!(error.kind, ErrorKind::Data) {
        return error;
    }
    // The server only names one value; if that is the reason, the input rows that collide are named here.
    keys::explain(client, staging, &target.indexes, &target.columns).err().unwrap_or(error)
}

/// Makes sure that each row has a distinct key, as the table compares keys.
fn check_keys<S: Stream>(client: &mut Client<S>, config: &Config, target: &Target, staging: &Staging) -> Result<()> {
    let key = keys::key_columns(&target.columns, &config.writer.primary_key);
    let has_key = matches!(config.writer.mode, Mode::Upsert | Mode::DeleteInsert) && !key.is_empty();
    if has_key {
        keys::refuse_null_keys(client, staging, "primary_key", &key)?;
    }
    match config.writer.on_duplicate_key {
        DuplicateKey::Error if has_key => keys::refuse_equal_keys(client, staging, &key, None),
        // Otherwise the table's own unique indexes decide.
        DuplicateKey::Error => Ok(()),
        DuplicateKey::Last => keys::keep_last(client, staging, &key, &target.indexes, &target.columns),
    }
}

/// What an upsert does to an existing row.
fn update(table: &TableName, columns: &[Column], key: &[String]) -> String {
    let is_key = |column: &&Column| key.iter().any(|name| same_name(name, &column.name));
    let mut sets: Vec<String> = columns
        .iter()
        .filter(|column| !is_key(column))
        .map(|column| format!("{name} = values({name})", name = quote_name(&column.name)))
        .collect();
    if sets.is_empty() {
        // A row that consists of its key is left unchanged.
        let own = columns.first().map(|column| format!("{}.{}", table.quoted(), quote_name(&column.name)));
        sets.extend(own.map(|own| format!("{own} = {own}")));
    }
    format!(" on duplicate key update {}", sets.join(", "))
}

/// If the connection breaks during a commit, it is unknown whether the commit succeeded, and rows must not be added
/// twice.
fn unknown_end(error: Error, mode: Mode) -> Error {
    let broke = matches!(error.kind, ErrorKind::Transient | ErrorKind::Timeout);
    if broke && mode == Mode::Append {
        let message = format!(
            "{}; this happened while the transaction was being committed, so the rows may have been added or not: look \
             before running again",
            error.message
        );
        return Error::new(ErrorKind::Other, message).with_code("unknown-outcome");
    }
    error
}

/// Sends the rows, by LOAD DATA if the server accepts it.
fn fill<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    input: &Input,
    columns: &[Column],
    staging: &Staging,
) -> Result<()> {
    if client.value("select @@local_infile")?.as_deref() == Some("1") {
        return load(client, input, columns);
    }
    context::info(
        "the server takes no LOAD DATA LOCAL (`local_infile` is off); rows go by INSERT, which is slower",
        &[],
    );
    insert(client, config, input, columns, &staging.names)
}

/// The rows as single texts: DuckDB writes them, the driver passes them on. (It uses a call with many arguments, since
/// operators between many columns would exceed a statement's nesting limit.)
fn lines(input: &Input, expression: &str) -> Result<Reader> {
    sql::query(&format!("select {expression} as line from {}", input.sql_name()))
}

fn load<S: Stream>(client: &mut Client<S>, input: &Input, columns: &[Column]) -> Result<()> {
    let fields = columns.iter().map(Column::load_field).collect::<Result<Vec<_>>>()?;
    let mut reader = lines(input, &format!("concat_ws(chr(9), {})", fields.join(", ")))?;
    let (mut targets, mut sets) = (Vec::new(), Vec::new());
    for (place, column) in columns.iter().enumerate() {
        match column.convert(&format!("@c{place}")) {
            Some(expression) => {
                targets.push(format!("@c{place}"));
                sets.push(format!("{} = {expression}", quote_name(&column.name)));
            }
            None => targets.push(quote_name(&column.name)),
        }
    }
    let set = if sets.is_empty() { String::new() } else { format!(" set {}", sets.join(", ")) };
    let statement = format!(
        "load data local infile 'osiris' into table {STAGING} character set utf8mb4 fields terminated by '\\t' escaped by \
         '\\\\' lines terminated by '\\n' ({}){set}",
        targets.join(", ")
    );
    let (mut sent, total) = (0, input.rows());
    let done = client.load(&statement, |bytes| {
        let Some(batch) = reader.next_batch()? else { return Ok(false) };
        let column = batch.column_at(0);
        for row in 0..batch.rows() {
            bytes.extend_from_slice(column.bytes(row)?.unwrap_or_default());
            bytes.push(b'\n');
        }
        sent += batch.rows() as u64;
        context::progress(sent, Some(total));
        Ok(true)
    })?;
    // LOAD DATA LOCAL only warns where every other statement refuses.
    refuse_warnings(client, done)?;
    if done.rows != sent {
        return Err(Error::data(format!("the server took {} of {sent} rows", done.rows)));
    }
    Ok(())
}

/// Treats a warning or note as an error, because the server changed a value.
fn refuse_warnings<S: Stream>(client: &mut Client<S>, done: Done) -> Result<()> {
    if done.warnings == 0 {
        return Ok(());
    }
    let warnings = client.query("show warnings limit 1")?;
    let reason = warnings.first().and_then(|row| row.get(2).cloned().flatten()).unwrap_or_default();
    Err(Error::data(format!("a value does not fit its column; the server says: {reason}")))
}

fn insert<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    input: &Input,
    columns: &[Column],
    names: &str,
) -> Result<()> {
    let values = columns.iter().map(Column::insert_value).collect::<Result<Vec<_>>>()?;
    let reader = lines(input, &format!("concat('(', concat_ws(',', {}), ')')", values.join(", ")))?;
    let most = client.value("select @@max_allowed_packet")?.and_then(|text| text.parse::<usize>().ok());
    let most = most.map_or(INSERT_BYTES, |most| INSERT_BYTES.min(most / 2));
    let head = format!("insert into {STAGING} ({names}) values ");
    let mut statement = head.clone().into_bytes();
    let most_rows = config.batch_size.unwrap_or(usize::MAX);
    let (mut sent, total, mut waiting) = (0, input.rows(), 0);
    for batch in reader {
        let batch = batch?;
        let column = batch.column_at(0);
        for row in 0..batch.rows() {
            if statement.len() > head.len() {
                statement.push(b',');
            }
            statement.extend_from_slice(column.bytes(row)?.unwrap_or_default());
            waiting += 1;
            if statement.len() >= most || waiting >= most_rows {
                let done = client.execute_bytes(&statement)?;
                refuse_warnings(client, done)?;
                statement.truncate(head.len());
                waiting = 0;
            }
        }
        sent += batch.rows() as u64;
        context::progress(sent, Some(total));
    }
    if statement.len() > head.len() {
        let done = client.execute_bytes(&statement)?;
        refuse_warnings(client, done)?;
    }
    Ok(())
}
