//! Incremental reading of JSON records: selects those that are new since the last run, by the values of one field whose
//! order is proven or declared. It does not depend on a server.

mod cursor;
mod format;
mod lookback;
mod moment;
mod number;
mod order;

pub use cursor::{Cursor, Manner, State};
pub use order::{CursorType, Texts};

use serde_json::Value;

/// A value as a query parameter; `None` for null.
pub fn spelt(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
