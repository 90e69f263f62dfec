//! `mode: delete_insert`: deletes the rows that the input supersedes, without changing other rows.

use database_client::{Superseded, Writing};
use mysql_client::sql::{TableName, quote_name, quote_names, quote_text};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, ErrorKind, Result};

use crate::column::Column;
use crate::config::Config;
use crate::staging::{STAGING, Staging};
use crate::target::Target;
use crate::{keys, replace};

/// How many seconds to wait for another step that deletes and inserts rows of the same table.
const TURN: u32 = 600;

/// How the names of geometry types begin.
const SHAPES: [&str; 5] = ["geom", "point", "linestring", "polygon", "multi"];

/// Refuses columns that are not written, and a range in an order that nobody means.
///
/// # Errors
/// `config` and `data`, naming the column.
pub fn check(config: &Writing, columns: &[Column]) -> Result<()> {
    let Some(superseded) = config.superseded() else { return Ok(()) };
    let found = keys::key_columns(columns, superseded.columns());
    if found.len() < superseded.columns().len() {
        return Err(Error::data(format!(
            "the table lacks one of the columns by which rows are deleted, and the contract leaves it out: {}",
            quote_names(superseded.columns().iter().map(String::as_str))
        )));
    }
    let is_shape = |kind: &str| SHAPES.iter().any(|shape| kind.starts_with(shape));
    let unordered = found.iter().find(|column| column.target.json || is_shape(&column.target.kind));
    match (superseded, unordered) {
        (Superseded::Between(name), Some(column)) => Err(Error::config(format!(
            "`range_key` names `{name}`, whose type {} has no order in which a range would make sense; use `delete_by`",
            column.target.kind
        ))),
        _ => Ok(()),
    }
}

/// Waits for its turn, and returns the statement that deletes the superseded rows; `None` in other modes.
///
/// # Errors
/// `data` for a null in the columns that are compared, and for a foreign key through which other rows would change;
/// `transient` if another step does not end; the server's error.
pub fn prepare<S: Stream>(
    client: &mut Client<S>,
    config: &Config,
    target: &Target,
    staging: &Staging,
) -> Result<Option<String>> {
    let Some(superseded) = config.writer.superseded() else { return Ok(None) };
    let compared = keys::key_columns(&target.columns, superseded.columns());
    keys::refuse_null_keys(client, staging, superseded.option(), &compared)?;
    if !config.writer.replace_cascade {
        refuse_spreading(client, &target.name)?;
    }
    replace::warn_of_triggers(client, &target.name)?;
    take_turn(client, &target.name)?;
    let table = target.name.quoted();
    let names: Vec<String> = compared.iter().map(|column| quote_name(&column.name)).collect();
    // A temporary table can be used only once in a statement.
    Ok(Some(match superseded {
        Superseded::Matching(_) => {
            let same: Vec<String> = names.iter().map(|name| format!("old.{name} = new.{name}")).collect();
            format!(
                "delete old from {table} as old join (select distinct {} from {STAGING}) as new on {}",
                names.join(", "),
                same.join(" and ")
            )
        }
        Superseded::Between(_) => {
            let name = names.concat();
            format!(
                "delete old from {table} as old join (select min({name}) as low, max({name}) as high from {STAGING}) as new \
                 on old.{name} between new.low and new.high"
            )
        }
    }))
}

/// Deletes the superseded rows in the open transaction.
///
/// # Errors
/// `data` if rows of other tables refer to one of them; the server's error.
pub fn run<S: Stream>(client: &mut Client<S>, delete: &str) -> Result<()> {
    const REFERRED: [u16; 2] = [1217, 1451];
    match client.try_execute(delete)? {
        Ok(_) => Ok(()),
        Err(refusal) if REFERRED.contains(&refusal.number) => Err(Error::from(refusal).context(
            "rows that other rows refer to cannot be deleted, not even to be inserted again; `mode: upsert` updates them \
             in place",
        )),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Waits until no other step deletes and inserts rows of the table: of two that delete the same rows at once, each
/// would add its own, because rows that the other one inserts need not be among those that a deletion meets.
fn take_turn<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<()> {
    let name = format!(
        "concat('osiris:', md5(concat(ifnull({}, ''), '.', {})))",
        table.database_sql(),
        quote_text(&table.table)
    );
    // The lock ends with the connection.
    match client.value(&format!("select get_lock({name}, {TURN})"))?.as_deref() {
        Some("1") => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Transient,
            format!("another step has been writing to the table in this mode for {TURN} seconds; run again later"),
        )),
    }
}

/// Refuses a table whose deleted rows would take other rows with them, or change them.
fn refuse_spreading<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<()> {
    let found = client.query(&format!(
        "select constraint_name, constraint_schema, table_name, delete_rule from \
         information_schema.referential_constraints where unique_constraint_schema = {} and referenced_table_name = {} \
         and delete_rule in ('CASCADE', 'SET NULL', 'SET DEFAULT') order by 2, 3, 1 limit 1",
        table.database_sql(),
        quote_text(&table.table)
    ))?;
    let Some([Some(name), Some(database), Some(child), Some(rule)]) = found.first().map(Vec::as_slice) else {
        return Ok(());
    };
    Err(Error::data(format!(
        "deleting rows could change rows of `{database}`.`{child}` by its foreign key `{name}` (ON DELETE {rule}), even if \
         they are inserted again; write with `mode: upsert`, or set `replace_cascade: true`, which lets them change"
    )))
}
