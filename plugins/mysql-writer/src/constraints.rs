//! Finds the row of the input that violates a CHECK of the table: the server names the constraint, but not the row.

use mysql_client::sql::{TableName, quote_text};
use mysql_client::{Client, ServerError, Stream};
use osiris_sdk::{Error, Result};

use crate::staging::{STAGING, Staging};
use crate::table::is_table;

/// The error numbers of a violated CHECK in MySQL and in MariaDB.
const NUMBERS: [u16; 2] = [3819, 4025];

/// The server's refusal with the first row of the input that violates a CHECK; `None` if the refusal is about something
/// else, or if no row violates a CHECK by itself.
pub fn named<S: Stream>(
    client: &mut Client<S>,
    table: &TableName,
    staging: &Staging,
    refusal: &ServerError,
) -> Option<Error> {
    if !NUMBERS.contains(&refusal.number) {
        return None;
    }
    // An error in these queries says nothing about the rows.
    let (row, check) = first_row(client, table, staging).ok()??;
    Some(Error::data(format!("row {row} of the input breaks the table's check {check}: {refusal}")))
}

fn first_row<S: Stream>(client: &mut Client<S>, table: &TableName, staging: &Staging) -> Result<Option<(u64, String)>> {
    // The server checks rows after such triggers have changed them.
    let triggers = client.value(&format!(
        "select count(*) from information_schema.triggers where event_object_schema = {} and event_object_table = {} and \
         action_timing = 'BEFORE'",
        table.database_sql(),
        quote_text(&table.table)
    ))?;
    if triggers.as_deref() != Some("0") {
        return Ok(None);
    }
    let mut first: Option<(u64, String)> = None;
    for (name, condition) in checks(client, table)? {
        // A condition that does not depend only on the rows, such as one on a column that is not written, is skipped.
        let broken = format!("select min({}) from {STAGING} where not ({condition})", staging.row);
        let found = client.value(&broken).ok().flatten().and_then(|text| text.parse().ok());
        if let Some(row) = found.filter(|row| first.as_ref().is_none_or(|(known, _)| row < known)) {
            first = Some((row, format!("`{name}`, {condition}")));
        }
    }
    first.map(|(row, check)| Ok((staging.number(client, row)?, check))).transpose()
}

/// The names and conditions of the table's CHECKs.
fn checks<S: Stream>(client: &mut Client<S>, table: &TableName) -> Result<Vec<(String, String)>> {
    let is_mariadb = client.is_mariadb();
    let rows = if is_mariadb {
        client.query(&format!(
            "select constraint_name, check_clause from information_schema.check_constraints where constraint_schema = {} \
             and table_name = {}",
            table.database_sql(),
            quote_text(&table.table)
        ))?
    } else {
        client.query(&format!(
            "select constraint_name, check_clause from information_schema.check_constraints join \
             information_schema.table_constraints using (constraint_schema, constraint_name) where constraint_type = \
             'CHECK' and {}",
            is_table(table)
        ))?
    };
    let checks = rows.into_iter().filter_map(|row| {
        let [Some(name), Some(condition)] = row.as_slice() else { return None };
        // MySQL escapes the quotes in a condition.
        let condition = if is_mariadb { condition.clone() } else { condition.replace("\\'", "'") };
        Some((name.clone(), condition))
    });
    Ok(checks.collect())
}
