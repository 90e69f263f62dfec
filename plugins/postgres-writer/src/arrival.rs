//! Checks how many of the rows arrive in the table: triggers and rules can drop some.

use osiris_sdk::{Result, context};
use postgres_client::{Client, Stream};

use crate::culprit;
use crate::rows::Rows;
use crate::target::Target;

/// Upserts the rows by their keys. A trigger or rule that dropped rows is reported.
///
/// # Errors
/// The server's error.
pub fn upsert<S: Stream>(
    client: &mut Client<S>,
    target: &Target,
    rows: &Rows<'_>,
    unique: bool,
    cleared: &[&str],
) -> Result<()> {
    let expected = if target.has_triggers { Some(rows.upserted(client, target, unique)?) } else { None };
    let taken = culprit::run(client, target, rows, &rows.upsert(target, unique, cleared))?;
    if let Some(expected) = expected {
        warn_of_lost(target, expected.saturating_sub(taken), expected);
    }
    Ok(())
}

/// Reports rows that the table did not accept.
pub fn warn_of_lost(target: &Target, lost: u64, expected: u64) {
    if lost > 0 {
        context::warn(
            "the table did not take all rows; a trigger or rule of it left them out or put them elsewhere",
            &[("table", &target.quoted()), ("count", &lost), ("rows", &expected)],
        );
    }
}
