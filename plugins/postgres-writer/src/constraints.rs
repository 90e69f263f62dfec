//! Finds the row of the input that violates a constraint of the table: the server names the constraint, but not the row.

use osiris_sdk::{Error, Result};
use postgres_client::sql::quote_name;
use postgres_client::{Client, ServerError, Stream};

use crate::culprit::SAVEPOINT;
use crate::rows::Rows;
use crate::target::Target;

/// The codes of `not_null_violation` and `check_violation`.
pub const CODES: [&str; 2] = ["23502", "23514"];

/// A description of a constraint, and a condition that is true for rows that violate it.
struct Constraint {
    words: String,
    is_broken: String,
}

/// The server's refusal with the first row of the input that violates a constraint; `None` if no row does by itself.
pub fn named<S: Stream>(
    client: &mut Client<S>,
    target: &Target,
    rows: &Rows<'_>,
    refusal: &ServerError,
) -> Option<Error> {
    // An error in these queries says nothing about the rows.
    let (row, words) = first_row(client, target, rows).ok()??;
    Some(Error::data(format!("row {row} of the input breaks {words}: {refusal}")))
}

fn first_row<S: Stream>(client: &mut Client<S>, target: &Target, rows: &Rows<'_>) -> Result<Option<(u64, String)>> {
    client.execute(&format!("rollback to savepoint {SAVEPOINT}"))?;
    // The server checks rows after such triggers have changed them.
    let changes_rows = format!(
        "select exists (select from pg_catalog.pg_trigger where tgrelid = {} and not tgisinternal and tgenabled <> 'D' and \
         tgtype & 3 = 3)",
        target.oid
    );
    if rows.leaves_some_out() || client.value(&changes_rows)?.as_deref() != Some("f") {
        return Ok(None);
    }
    let mut first: Option<(u64, String)> = None;
    for Constraint { words, is_broken } in constraints(client, target, rows)? {
        let (number, numbered) = rows.numbered();
        let broken = format!("select {number} from {numbered} where {is_broken} order by 1 limit 1");
        // A condition that does not depend only on the rows is skipped.
        let found = client.value(&broken).ok().flatten().and_then(|text| text.parse().ok());
        client.execute(&format!("rollback to savepoint {SAVEPOINT}"))?;
        if let Some(row) = found.filter(|row| first.as_ref().is_none_or(|(known, _)| row < known)) {
            first = Some((row, words));
        }
    }
    Ok(first)
}

/// The constraints that only concern columns that are written.
fn constraints<S: Stream>(client: &mut Client<S>, target: &Target, rows: &Rows<'_>) -> Result<Vec<Constraint>> {
    let written: Vec<_> = rows.names().filter_map(|name| target.column(name)).collect();
    let numbers: Vec<String> = written.iter().map(|column| column.number.to_string()).collect();
    let numbers = format!("'{{{}}}'::int2[]", numbers.join(","));
    let required = client.query(&format!(
        "select attname from pg_catalog.pg_attribute where attrelid = {} and attnotnull and attnum = any ({numbers}) order \
         by attnum",
        target.oid
    ))?;
    let required = required.into_iter().flatten().flatten().map(|name| Constraint {
        words: format!("the table's column `{name}`, which is not null"),
        is_broken: format!("{} is null", quote_name(&name)),
    });
    let checks = client.query(&format!(
        "select conname, pg_catalog.pg_get_expr(conbin, conrelid) from pg_catalog.pg_constraint where conrelid = {} and \
         contype = 'c' and coalesce(conkey, '{{}}') <@ {numbers} order by conname",
        target.oid
    ))?;
    let checks = checks.into_iter().filter_map(|row| {
        let [Some(name), Some(condition)] = row.as_slice() else { return None };
        let words = format!("the table's check `{name}`, {condition}");
        Some(Constraint { words, is_broken: format!("({condition}) is false") })
    });
    Ok(required.chain(checks).collect())
}
