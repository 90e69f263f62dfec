//! Compares what two runs of a driver left behind.

use crate::error::Blame;
use crate::kit::outcome::{Outcome, Table};

/// Whether the order of rows matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    InOrder,
    AsSet,
}

/// What differs between the outcome that was expected and the one that came; `None` if nothing does.
pub fn difference(expected: &Outcome, got: &Outcome, rows: Rows) -> Option<String> {
    match (&expected.error, &got.error) {
        (None, None) => {}
        (Some(one), Some(other)) if one.kind == other.kind => return None,
        (_, Some(_)) => return Some(got.words()),
        (Some(_), None) => return Some(format!("it succeeded, where {}", expected.words())),
    }
    let names = |outcome: &Outcome| outcome.tables.keys().cloned().collect::<Vec<_>>();
    if names(expected) != names(got) {
        return Some(format!("its tables are {:?} instead of {:?}", names(got), names(expected)));
    }
    let pairs = expected.tables.iter().zip(got.tables.values());
    for ((name, one), other) in pairs {
        if let Some(words) = table_difference(one, other, rows) {
            return Some(format!("table `{name}` {words}"));
        }
    }
    if expected.state != got.state {
        return Some(format!("its state is {:?} instead of {:?}", got.state, expected.state));
    }
    for (name, one) in &expected.read_back {
        let words = match (one, got.read_back.get(name)) {
            (Ok(one), Some(Ok(other))) => table_difference(one, other, Rows::AsSet),
            (one, Some(other)) if one == other => None,
            (_, Some(Err(why))) => Some(format!("cannot be read back: {why}")),
            (Err(_), Some(Ok(_))) => Some("can be read back".to_owned()),
            (_, None) => None,
        };
        if let Some(words) = words {
            return Some(format!("file `{name}` {words}"));
        }
    }
    let changed = expected.files.iter().find(|(name, bytes)| got.files.get(*name) != Some(bytes));
    let more = got.files.keys().find(|name| !expected.files.contains_key(*name));
    changed
        .map(|(name, _)| format!("file `{name}` has another content"))
        .or_else(|| more.map(|name| format!("file `{name}` is there too")))
}

fn table_difference(expected: &Table, got: &Table, rows: Rows) -> Option<String> {
    if expected.columns != got.columns {
        return Some(format!("has the columns {:?} instead of {:?}", got.columns, expected.columns));
    }
    if expected.count != got.count {
        return Some(format!("has {} rows instead of {}", got.count, expected.count));
    }
    if rows == Rows::InOrder
        && let Some((one, other)) = expected.rows.iter().zip(&got.rows).find(|(one, other)| one != other)
    {
        return Some(format!("has the row {other} where {one} was expected"));
    }
    (expected.digest != got.digest).then(|| "has other values".to_owned())
}

/// Why an outcome is the driver's own fault: it trapped, broke the contract, or failed in a way that nobody can act on.
pub fn breakage(outcome: &Outcome) -> Option<String> {
    let error = outcome.error.as_ref()?;
    matches!(error.blame, Blame::Driver | Blame::Host).then(|| outcome.words())
}
