//! Reads new records: those from the highest value of a field that the last run saw.
//!
//! If a server is asked for records since a value, it may return that value again, and there may be more records with
//! it than last time. So the state stores, beside the value, a digest of each record that had it; those are skipped,
//! and so are records below the value. No record that the server returns is lost, and none is read twice. Records that
//! the server itself omits cannot be detected (for example if it interprets "since" as "after", and another record with
//! the same value appears later); `lookback` requests them again.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use json_records::{Kind, path};
use osiris_sdk::{Error, Result, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::lookback::Lookback;
use crate::order::{CursorType, Key, Order, Rank, Texts};
use crate::spelt;

/// For how many records of one value the state can store digests.
const MAX_TIES: usize = 70_000;

/// For how many records beyond any value the state stores digests.
const MAX_BEYOND: usize = 10_000;

/// How many bytes of a digest are stored.
const DIGEST: usize = 8;

type Digests = HashSet<[u8; DIGEST]>;

/// What the next run needs to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// The field that the value belongs to; a state of another field is not used.
    field: String,
    /// The record's value. A number is stored as its digits, and `is_number` is then set.
    value: Option<Value>,
    #[serde(default)]
    is_number: bool,
    /// Digests of the records that had the value, concatenated, in base64.
    ties: String,
    /// Digests of the records whose value nothing can follow.
    #[serde(default)]
    beyond: String,
    /// The types found so far, so that an empty run has columns, and none gets narrower.
    pub columns: Option<Kind>,
}

impl State {
    /// The field that the state belongs to.
    pub fn field(&self) -> &str {
        &self.field
    }

    fn value(&self) -> Result<Option<Value>> {
        match &self.value {
            Some(Value::String(digits)) if self.is_number => Ok(Some(serde_json::from_str(digits)?)),
            value => Ok(value.clone()),
        }
    }
}

/// How a cursor's values are read and compared.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    pub kind: CursorType,
    pub format: Option<String>,
    pub lookback: Option<Value>,
    pub texts: Texts,
}

/// Distinguishes new records from those read before.
pub struct Cursor {
    field: String,
    order: Order,
    /// The requested start; records below it are skipped.
    since: Option<(Value, Key)>,
    /// Whether records at or above `since` are delivered again.
    again: bool,
    known: Digests,
    highest: Option<(Value, Key)>,
    ties: Digests,
    beyond: Digests,
    counts: Counts,
}

/// Notable facts about the records, for warnings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Records without the field.
    pub without: u64,
    /// Records skipped because the last run read them or they are before its end.
    pub skipped: u64,
    /// Records whose value nothing can follow, and the first such value.
    pub beyond: u64,
    pub beyond_value: Option<String>,
    /// The state's own value, if nothing can follow it.
    pub stuck: Option<String>,
    /// Whether there were too many of these to recognise them again.
    pub forgot: bool,
}

impl Cursor {
    /// # Errors
    /// `data` for a state that another driver made, or a value in it without a place in the order; `config` for options
    /// that contradict each other.
    pub fn new(field: &str, manner: &Manner, state: Option<&State>) -> Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let mut order = Order::new(field, manner.kind, manner.format.as_deref(), now)?.with_texts(manner.texts);
        let lookback = manner.lookback.as_ref().map(Lookback::parse).transpose()?;
        if lookback.is_some() && manner.kind == CursorType::Text {
            return Err(Error::config(
                "`lookback` goes back from a number or a time; it does not go with `cursor_type: text`",
            ));
        }
        let state = state.filter(|state| state.field == field);
        let known = digests(state.map_or("", |state| &state.ties))?;
        let beyond = digests(state.map_or("", |state| &state.beyond))?;
        let mut counts = Counts::default();
        let mut highest = None;
        if let Some(value) = state.map(State::value).transpose()?.flatten() {
            match order.rank(&value, || "the state that the last run kept".to_owned())? {
                Rank::At(key) => highest = Some((value, key)),
                _ => counts.stuck = spelt(&value),
            }
        }
        let since = match (&highest, &lookback) {
            (Some((value, key)), Some(lookback)) => Some(lookback.before(value, key, &mut order)?),
            _ => highest.clone(),
        };
        let again = lookback.is_some();
        let beyond = if counts.stuck.is_some() { &beyond | &known } else { beyond };
        let ties = if highest.is_some() { known.clone() } else { Digests::new() };
        Ok(Self { field: field.to_owned(), highest, ties, since, again, known, beyond, order, counts })
    }

    /// The value from which this run reads; `None` if no run has seen one.
    pub fn since(&self) -> Option<&Value> {
        self.since.as_ref().map(|(value, _)| value)
    }

    /// Whether a value has a place in the order, so that later values can follow it.
    ///
    /// # Errors
    /// `data` for a value that has no order.
    pub fn has_place(&mut self, value: &Value) -> Result<bool> {
        Ok(matches!(self.order.rank(value, || "the last record".to_owned())?, Rank::At(_)))
    }

    /// Whether the record is new; remembers it. `place` identifies the record in messages.
    ///
    /// # Errors
    /// `data` for a value that has no order; `config` if too many records have the same value.
    pub fn take(&mut self, record: &Value, place: impl Fn() -> String) -> Result<bool> {
        let value = record.as_object().and_then(|record| path::field(record, &self.field));
        let value = value.unwrap_or(&Value::Null);
        let key = match self.order.rank(value, place)? {
            Rank::At(key) => key,
            Rank::Blank => {
                self.counts.without += 1;
                return Ok(true);
            }
            Rank::Beyond => return Ok(self.take_beyond(record, value)),
        };
        let order =
            |known: &Option<(Value, Key)>| known.as_ref().map_or(Ordering::Greater, |(_, known)| key.compare(known));
        let is_known = match order(&self.since) {
            Ordering::Less => true,
            Ordering::Equal => !self.again && self.known.contains(&digest(record)),
            Ordering::Greater => false,
        };
        if is_known {
            self.counts.skipped += 1;
            return Ok(false);
        }
        match order(&self.highest) {
            Ordering::Greater => {
                self.highest = Some((value.clone(), key));
                self.ties = HashSet::from([digest(record)]);
            }
            Ordering::Equal => {
                self.ties.insert(digest(record));
            }
            Ordering::Less => {}
        }
        if self.ties.len() > MAX_TIES {
            return Err(Error::config(format!(
                "more than {MAX_TIES} records have the same `{}`, {}, so that the next run could not tell which it knows; \
                 take a finer cursor",
                self.field,
                self.highest.as_ref().and_then(|(value, _)| spelt(value)).unwrap_or_default()
            )));
        }
        Ok(true)
    }

    /// Delivers a record whose value nothing can follow once; such a value never becomes the highest.
    fn take_beyond(&mut self, record: &Value, value: &Value) -> bool {
        let digest = digest(record);
        if self.beyond.contains(&digest) {
            self.counts.skipped += 1;
            return false;
        }
        self.counts.beyond += 1;
        self.counts.beyond_value.get_or_insert_with(|| spelt(value).unwrap_or_default());
        if self.beyond.len() < MAX_BEYOND {
            self.beyond.insert(digest);
        } else {
            self.counts.forgot = true;
        }
        true
    }

    /// Warns about the records that the cursor saw.
    pub fn report(&self) {
        let (field, counts) = (&self.field, &self.counts);
        context::metric("records_known", counts.skipped as f64);
        if counts.without > 0 {
            context::warn(
                "records without a value of the cursor's field were read; each run reads them again",
                &[("column", field), ("count", &counts.without)],
            );
        }
        if counts.skipped > 0 {
            context::info(
                "records that lie before the cursor, or that the last run read, were left out",
                &[("count", &counts.skipped)],
            );
        }
        if let Some(value) = &counts.beyond_value {
            context::warn(
                "records were read whose cursor nothing could come after (no number, no end, or in the future); the next run does not \
                 go on from them",
                &[("column", field), ("count", &counts.beyond), ("value", value)],
            );
        }
        if counts.forgot {
            context::warn("these are too many to be known again: the next run reads them again", &[("column", field)]);
        }
        if let Some(value) = &counts.stuck {
            context::warn(
                "the last run ended at a value that nothing could come after, so everything was read again",
                &[("column", field), ("value", value)],
            );
        }
    }

    /// What the next run needs to know.
    pub fn state(self, columns: Kind) -> State {
        let value = self.highest.map(|(value, _)| value);
        let is_number = matches!(value, Some(Value::Number(_)));
        State {
            field: self.field,
            // Stored as text, because a program that reads the state could round a JSON number.
            value: if is_number { value.as_ref().and_then(spelt).map(Value::from) } else { value },
            is_number,
            ties: encoded(self.ties),
            beyond: encoded(self.beyond),
            columns: Some(columns),
        }
    }
}

fn digests(text: &str) -> Result<Digests> {
    let bytes = BASE64.decode(text).map_err(|error| {
        Error::data(format!(
            "the state of the last run is damaged: {error}; `{}` starts over",
            osiris_sdk::state::reset_command()
        ))
    })?;
    Ok(bytes.as_chunks::<DIGEST>().0.iter().copied().collect())
}

fn encoded(digests: Digests) -> String {
    let mut sorted: Vec<[u8; DIGEST]> = digests.into_iter().collect();
    sorted.sort_unstable();
    BASE64.encode(sorted.concat())
}

fn digest(record: &Value) -> [u8; DIGEST] {
    // Some servers return the members of an object in varying order.
    let mut sorted = record.clone();
    sorted.sort_all_objects();
    let whole = Sha256::digest(sorted.to_string());
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&whole[..DIGEST]);
    digest
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
