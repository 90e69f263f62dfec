//! The way of the rows: into a temporary table, and from there in one transaction into the target.
//!
//! MySQL commits at every definition, so tables and columns are made first. The temporary table is the connection's
//! own: whatever breaks, it goes with the connection.

use database_client::{Mode, WriterConfig};
use mysql_client::sql::{TableName, quote_name, quote_names};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, ErrorKind, Input, Reader, Result, context, sql};

use crate::column::Column;
use crate::target;

/// The temporary table, visible to this connection alone.
const STAGING: &str = "`_osiris_staging`";

/// Bytes of one multi-row INSERT, where the server takes that many.
const INSERT_BYTES: usize = 4 << 20;

/// Writes all rows of the input.
///
/// # Errors
/// What the server says; `data` for values that do not fit. Until the last statement nothing of the table changes.
pub fn write<S: Stream>(
    client: &mut Client<S>,
    config: &WriterConfig,
    table: &TableName,
    input: &Input,
    columns: Vec<Column>,
) -> Result<()> {
    client.execute("set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'")?;
    let columns = target::prepare(client, config, table, columns)?;
    let names = quote_names(columns.iter().map(|column| column.name.as_str()));
    client.execute(&format!("create temporary table {STAGING} as select {names} from {} limit 0", table.quoted()))?;
    fill(client, input, &columns, &names)?;
    if config.mode == Mode::Upsert {
        refuse_unclear_keys(client, &config.primary_key)?;
    }
    client.execute("start transaction")?;
    if config.mode == Mode::Replace {
        client.execute(&format!("delete from {}", table.quoted()))?;
    }
    let mut insert = format!("insert into {} ({names}) select {names} from {STAGING}", table.quoted());
    if config.mode == Mode::Upsert {
        insert += &update(&columns, &config.primary_key);
    }
    client.execute(&insert)?;
    client.execute("commit").map_err(|error| unknown_end(error, config.mode))?;
    Ok(())
}

/// What an upsert does to a row that is there.
fn update(columns: &[Column], key: &[String]) -> String {
    let is_key = |column: &&Column| key.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
    let mut sets: Vec<String> = columns
        .iter()
        .filter(|column| !is_key(column))
        .map(|column| format!("{name} = values({name})", name = quote_name(&column.name)))
        .collect();
    if sets.is_empty() {
        // A row that is all key stays as it is.
        sets.extend(columns.first().map(|column| format!("{name} = values({name})", name = quote_name(&column.name))));
    }
    format!(" on duplicate key update {}", sets.join(", "))
}

/// Where the connection breaks over a commit, nobody knows whether it came to pass; rows must not be added twice.
fn unknown_end(error: Error, mode: Mode) -> Error {
    let broke = matches!(&error.kind, ErrorKind::Transient)
        || matches!(&error.kind, ErrorKind::Other(what) if what == "timeout");
    if broke && mode == Mode::Append {
        let message = format!(
            "{}; this happened while the transaction was being committed, so the rows may have been added or not: look \
             before running again",
            error.message
        );
        return Error::new(ErrorKind::Other("unknown-outcome".to_owned()), message);
    }
    error
}

/// Rows of equal or missing keys have no order in which one would win.
fn refuse_unclear_keys<S: Stream>(client: &mut Client<S>, key: &[String]) -> Result<()> {
    let names = quote_names(key.iter().map(String::as_str));
    let nulls = key.iter().map(|name| format!("{} is null", quote_name(name))).collect::<Vec<_>>().join(" or ");
    if client.value(&format!("select 1 from {STAGING} where {nulls} limit 1"))?.is_some() {
        return Err(Error::data(format!("the input has rows whose key ({names}) is null")));
    }
    let twice = format!("select 1 from {STAGING} group by {names} having count(*) > 1 limit 1");
    if client.value(&twice)?.is_some() {
        return Err(Error::data(format!(
            "the input has several rows with the same key ({names}), as the table's collation compares; keep one of each"
        )));
    }
    Ok(())
}

/// Sends the rows, by LOAD DATA where the server takes it.
fn fill<S: Stream>(client: &mut Client<S>, input: &Input, columns: &[Column], names: &str) -> Result<()> {
    if client.value("select @@local_infile")?.as_deref() == Some("1") {
        return load(client, input, columns);
    }
    context::info(
        "the server takes no LOAD DATA LOCAL (`local_infile` is off); rows go by INSERT, which is slower",
        &[],
    );
    insert(client, input, columns, names)
}

/// The rows as single texts: DuckDB writes them, the driver passes them on. (A call with many arguments, since operators
/// between many columns would nest deeper than a statement may.)
fn lines(input: &Input, expression: &str) -> Result<Reader> {
    sql::query(&format!("select {expression} as line from {}", input.sql_name()))
}

fn load<S: Stream>(client: &mut Client<S>, input: &Input, columns: &[Column]) -> Result<()> {
    let fields: Vec<String> = columns.iter().map(Column::load_field).collect();
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
    // LOAD DATA LOCAL only warns of what every other statement refuses.
    if done.warnings > 0 {
        return Err(refusal(client)?);
    }
    if done.rows != sent {
        return Err(Error::data(format!("the server took {} of {sent} rows", done.rows)));
    }
    Ok(())
}

/// What LOAD DATA warned of, as the error that it is.
fn refusal<S: Stream>(client: &mut Client<S>) -> Result<Error> {
    let warnings = client.query("show warnings limit 1")?;
    let told = warnings.first().and_then(|row| row.get(2).cloned().flatten()).unwrap_or_default();
    Ok(Error::data(format!("a value does not fit its column; the server says: {told}")))
}

fn insert<S: Stream>(client: &mut Client<S>, input: &Input, columns: &[Column], names: &str) -> Result<()> {
    let values: Vec<String> = columns.iter().enumerate().map(|(place, column)| column.insert_value(place)).collect();
    let reader = lines(input, &format!("concat('(', concat_ws(',', {}), ')')", values.join(", ")))?;
    let most = client.value("select @@max_allowed_packet")?.and_then(|text| text.parse::<usize>().ok());
    let most = most.map_or(INSERT_BYTES, |most| INSERT_BYTES.min(most / 2));
    let head = format!("insert into {STAGING} ({names}) values ");
    let mut statement = head.clone().into_bytes();
    let (mut sent, total) = (0, input.rows());
    for batch in reader {
        let batch = batch?;
        let column = batch.column_at(0);
        for row in 0..batch.rows() {
            if statement.len() > head.len() {
                statement.push(b',');
            }
            statement.extend_from_slice(column.bytes(row)?.unwrap_or_default());
            if statement.len() >= most {
                client.execute_bytes(&statement)?;
                statement.truncate(head.len());
            }
        }
        sent += batch.rows() as u64;
        context::progress(sent, Some(total));
    }
    if statement.len() > head.len() {
        client.execute_bytes(&statement)?;
    }
    Ok(())
}
