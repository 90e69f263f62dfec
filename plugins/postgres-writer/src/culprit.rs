//! Finds the value that the server refused to assign: the server's own messages name neither row nor column.

use osiris_sdk::{Error, ErrorKind, Result};
use postgres_client::{Client, ServerError, Stream};

use crate::constraints;
use crate::rows::{Rows, STAGING};
use crate::target::Target;

pub const SAVEPOINT: &str = "osiris_assignment";

/// Runs the statements that assign staged rows to the target's types. A value that the server does not accept is
/// reported with its column and row.
///
/// # Errors
/// The server's error.
pub fn run<S: Stream>(client: &mut Client<S>, target: &Target, rows: &Rows<'_>, statements: &[String]) -> Result<u64> {
    client.execute(&format!("savepoint {SAVEPOINT}"))?;
    let mut count = 0;
    for statement in statements {
        match client.try_execute(statement)? {
            Ok(taken) => count += taken,
            Err(refusal) => return Err(explained(client, target, rows, refusal)),
        }
    }
    client.execute(&format!("release savepoint {SAVEPOINT}"))?;
    Ok(count)
}

/// The server's refusal with the row that caused it, if it can be found.
fn explained<S: Stream>(client: &mut Client<S>, target: &Target, rows: &Rows<'_>, refusal: ServerError) -> Error {
    if constraints::CODES.contains(&refusal.code.as_str())
        && let Some(error) = constraints::named(client, target, rows, &refusal)
    {
        return error;
    }
    match refusal.kind() {
        ErrorKind::Data => named(client, rows, refusal.into()),
        _ => refusal.into(),
    }
}

/// The error with the column, row and value that cause it, if a single value does.
fn named<S: Stream>(client: &mut Client<S>, rows: &Rows<'_>, error: Error) -> Error {
    for column in rows.assigned() {
        let fails = |client: &mut Client<S>, condition: &str| -> Result<Option<Error>> {
            client.execute(&format!("rollback to savepoint {SAVEPOINT}"))?;
            let all = format!("select count({}) from {STAGING} where {condition}", column.assigned());
            Ok(client.execute(&all).err())
        };
        // A broken connection cannot report anything else.
        let Ok(refusal) = fails(client, "true") else { return error };
        let Some(refusal) = refusal else { continue };
        let Ok(found) = first(client, &fails) else { return error };
        let _ = client.execute(&format!("rollback to savepoint {SAVEPOINT}"));
        let quoted = column.quoted();
        let shown =
            client.value(&format!("select left({quoted}::text, 60) from {STAGING} where ctid = '{}'", found.place));
        let value = shown.ok().flatten().map(|value| format!(": `{}`", value.replace(char::is_control, "\u{fffd}")));
        return Error::data(format!(
            "column `{}`, row {}{} is {} and the table's column is {}; {}; change it in SQL",
            column.input.name,
            found.row,
            value.unwrap_or_default(),
            column.input.source,
            column.declaration,
            refusal.message
        ));
    }
    error
}

/// A row of the staging table: its position there, and its number in the input.
struct Found {
    place: String,
    row: u64,
}

/// The first row for which `fails` returns an error, found by bisection.
fn first<S: Stream>(
    client: &mut Client<S>,
    fails: &impl Fn(&mut Client<S>, &str) -> Result<Option<Error>>,
) -> Result<Found> {
    let place = |client: &mut Client<S>, row: u64| -> Result<String> {
        client.execute(&format!("rollback to savepoint {SAVEPOINT}"))?;
        let place = format!("select ctid from {STAGING} order by ctid offset {} limit 1", row - 1);
        client.value(&place)?.ok_or_else(|| Error::internal("a row that was there is not"))
    };
    client.execute(&format!("rollback to savepoint {SAVEPOINT}"))?;
    let count = client.value(&format!("select count(*) from {STAGING}"))?;
    let (mut good, mut bad) = (0, count.and_then(|text| text.parse().ok()).unwrap_or(1_u64));
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        let end = place(client, middle)?;
        if fails(client, &format!("ctid <= '{end}'::tid"))?.is_some() {
            bad = middle;
        } else {
            good = middle;
        }
    }
    Ok(Found { place: place(client, bad)?, row: bad })
}
