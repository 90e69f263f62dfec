//! Reads what is new: from the highest value of a field that the last run saw on.
//!
//! A server asked for what is since a value may give that value again, and there may be more records of it than
//! last time. So the state keeps, beside the value, a digest of each record that had it; those are left out, and
//! records below the value too. No record that the server gives is lost, and none comes twice. What a server itself
//! leaves out (one that takes "since" for "after", where a record of the same value appears later) cannot be known.

use std::cmp::Ordering;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use json_records::{Kind, path, timestamp};
use osiris_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{self, spelt};

/// How many records of one value the state can hold digests of.
const MAX_TIES: usize = 80_000;

/// The bytes of a digest that are kept.
const DIGEST: usize = 8;

/// What the next run has to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// The field that the value is of: another one's says nothing.
    field: String,
    value: Option<Value>,
    /// Digests of the records that had the value, one after the other, in base64.
    ties: String,
    /// The types found so far, so that an empty run has columns, and none gets narrower.
    pub columns: Option<Kind>,
}

/// Tells new records from those read before.
pub struct Cursor {
    options: config::Cursor,
    since: Option<Value>,
    known: HashSet<[u8; DIGEST]>,
    highest: Option<Value>,
    ties: HashSet<[u8; DIGEST]>,
    /// Records without the field.
    pub without: u64,
}

impl Cursor {
    /// # Errors
    /// `data`, for a state that another driver made.
    pub fn new(options: config::Cursor, state: Option<&State>) -> Result<Self> {
        let state = state.filter(|state| state.field == options.field);
        let bytes = BASE64.decode(state.map_or("", |state| &state.ties)).map_err(|error| {
            Error::data(format!("the state that the last run kept is broken: {error}; see `osiris state reset`"))
        })?;
        let known: HashSet<[u8; DIGEST]> = bytes.as_chunks::<DIGEST>().0.iter().copied().collect();
        let since = state.and_then(|state| state.value.clone());
        Ok(Self { highest: since.clone(), ties: known.clone(), since, known, options, without: 0 })
    }

    /// The parameter that asks for what is new.
    pub fn param(&self) -> Option<(String, Value)> {
        let value = self.since.as_ref().or(self.options.initial.as_ref())?;
        Some((self.options.param.clone(), value.clone()))
    }

    pub fn in_body(&self) -> bool {
        self.options.place == config::Place::Body
    }

    /// Whether the record is new; remembers it.
    ///
    /// # Errors
    /// `data`, for a value that has no order; `config`, when too many records have the same value.
    pub fn take(&mut self, record: &Value) -> Result<bool> {
        let value = record.as_object().and_then(|record| path::field(record, &self.options.field));
        let value = match value {
            None | Some(Value::Null) => {
                self.without += 1;
                return Ok(true);
            }
            Some(value @ (Value::String(_) | Value::Number(_))) => value,
            Some(_) => {
                return Err(Error::data(format!(
                    "`{}` is neither text nor number in a record, so it is no cursor",
                    self.options.field
                )));
            }
        };
        let digest = digest(record);
        let order = |known: &Option<Value>| known.as_ref().map_or(Ordering::Greater, |known| compare(value, known));
        match order(&self.since) {
            Ordering::Less => return Ok(false),
            Ordering::Equal if self.known.contains(&digest) => return Ok(false),
            _ => {}
        }
        match order(&self.highest) {
            Ordering::Greater => {
                self.highest = Some(value.clone());
                self.ties = HashSet::from([digest]);
            }
            Ordering::Equal => {
                self.ties.insert(digest);
            }
            Ordering::Less => {}
        }
        if self.ties.len() > MAX_TIES {
            return Err(Error::config(format!(
                "more than {MAX_TIES} records have the same `{}`, {}, so that the next run could not tell which it knows; \
                 take a finer cursor",
                self.options.field,
                self.highest.as_ref().and_then(spelt).unwrap_or_default()
            )));
        }
        Ok(true)
    }

    /// What the next run has to know.
    pub fn state(self, columns: Kind) -> State {
        let mut ties: Vec<[u8; DIGEST]> = self.ties.into_iter().collect();
        ties.sort_unstable();
        State {
            field: self.options.field,
            value: self.highest,
            ties: BASE64.encode(ties.concat()),
            columns: Some(columns),
        }
    }
}

fn digest(record: &Value) -> [u8; DIGEST] {
    let whole = Sha256::digest(record.to_string());
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&whole[..DIGEST]);
    digest
}

/// The order of two values: numbers by size, times by the instant, other texts by their letters.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal),
        },
        _ => {
            let (one, other) = (spelt(one).unwrap_or_default(), spelt(other).unwrap_or_default());
            if let (Ok(one), Ok(other)) = (one.parse::<i128>(), other.parse::<i128>()) {
                return one.cmp(&other);
            }
            match (timestamp(&one), timestamp(&other)) {
                // Digits beyond microseconds decide between equals.
                (Some((one_at, _)), Some((other_at, _))) => one_at
                    .cmp(&other_at)
                    .then_with(|| if one.len() == other.len() { one.cmp(&other) } else { Ordering::Equal }),
                _ => one.cmp(&other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn run(state: Option<&State>, records: &[Value]) -> (Vec<Value>, State) {
        let options = serde_json::from_value(json!({"param": "since", "field": "at", "initial": 0})).unwrap();
        let mut cursor = Cursor::new(options, state).unwrap();
        let taken = records.iter().filter(|record| cursor.take(record).unwrap()).cloned().collect();
        let state = cursor.state(Kind::Null);
        (taken, serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap())
    }

    #[test]
    fn ties_are_neither_lost_nor_doubled() {
        let record = |id: u32, at: &str| json!({"id": id, "at": at});
        let all =
            [record(1, "2024-01-01T00:00:00Z"), record(2, "2024-01-02T00:00:00Z"), record(3, "2024-01-02T00:00:00Z")];
        let (first, state) = run(None, &all);
        assert_eq!(first.len(), 3);
        let (nothing, state) = run(Some(&state), &all);
        assert!(nothing.is_empty());
        let (nothing, state) = run(Some(&state), &[]);
        assert!(nothing.is_empty());
        // The same instant in another zone, a later one, and what was there before.
        let more =
            [all[1].clone(), all[2].clone(), record(4, "2024-01-02T01:00:00+01:00"), record(5, "2024-01-03T00:00:00Z")];
        let (new, state) = run(Some(&state), &more);
        assert_eq!(new, more[2..]);
        let (new, _) = run(Some(&state), &more);
        assert!(new.is_empty(), "{new:?}");
    }

    #[test]
    fn records_without_the_field_always_pass() {
        let (taken, state) = run(None, &[json!({"id": 1, "at": null}), json!({"id": 2}), json!({"id": 3, "at": 5})]);
        assert_eq!(taken.len(), 3);
        assert_eq!(state.value, Some(json!(5)));
    }

    #[test]
    fn values_have_an_order() {
        for (one, other, expected) in [
            (json!(2), json!(10), Ordering::Less),
            (json!("2"), json!("10"), Ordering::Less),
            (json!(2), json!("2"), Ordering::Equal),
            (json!(1.5), json!(1), Ordering::Greater),
            (json!("2024-01-01T00:00:00Z"), json!("2024-01-01T01:00:00+01:00"), Ordering::Equal),
            (json!("2024-01-01"), json!("2024-01-01T00:00:01"), Ordering::Less),
            (json!("2024-01-01T00:00:00.0000001Z"), json!("2024-01-01T00:00:00.0000002Z"), Ordering::Less),
            (json!("abc"), json!("abd"), Ordering::Less),
        ] {
            assert_eq!(compare(&one, &other), expected, "{one} {other}");
        }
    }

    #[test]
    fn another_field_begins_anew() {
        let (_, state) = run(None, &[json!({"at": 5})]);
        let options: config::Cursor =
            serde_json::from_value(json!({"param": "p", "field": "id", "initial": 1})).unwrap();
        let cursor = Cursor::new(options, Some(&state)).unwrap();
        assert_eq!(cursor.param(), Some(("p".to_owned(), json!(1))));
    }
}
