//! What a run reads that the last one had not: by a cursor column, ties included.
//!
//! All of a run's SELECTs see one snapshot, which fixes its end: the greatest cursor value there is. The state keeps
//! that value and which of its rows were read, so that the next run reads the rows of the same value that came later,
//! and those alone. Where too many have it to be remembered, they wait for a run that finds a greater one.

use std::collections::BTreeMap;

use database_client::NullCursor;
use mysql_client::sql::{TableName, quote_name, quote_text};
use mysql_client::types::{Definition, Kind};
use mysql_client::{Client, Fields, Stream};
use osiris_sdk::{Error, Result, context};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::options::Config;
use crate::value;

/// How many rows of one cursor value are remembered. A state has 1 MiB at most.
const MOST_TIES: usize = 20_000;

/// What one run tells the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub cursor: String,
    /// The greatest value that was read.
    pub value: String,
    /// The columns that tell rows apart.
    pub key: Vec<String>,
    /// The rows of that value that were read, and how often each.
    pub ties: BTreeMap<String, u64>,
}

/// A part of an increment.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub condition: String,
    /// Whether its rows are those at the last run's value: those that it read are left out.
    pub skips_seen: bool,
    /// Whether its rows are those at this run's value, to be remembered.
    pub remembered: bool,
}

/// What to read, and what to tell the next run.
#[derive(Debug)]
pub struct Increment {
    pub parts: Vec<Part>,
    /// Places of the columns that tell rows apart.
    key: Vec<usize>,
    seen: BTreeMap<String, u64>,
    state: Option<State>,
}

impl Increment {
    /// Decides what the run reads.
    ///
    /// # Errors
    /// `config` for a cursor that cannot be one, `data` for rows without one that the config does not speak of.
    pub fn find<S: Stream>(
        client: &mut Client<S>,
        config: &Config,
        columns: &[Definition],
        kinds: &[Kind],
        last: Option<State>,
    ) -> Result<Self> {
        let name = config.selection.cursor.as_deref().unwrap_or_default();
        let Some(place) = columns.iter().position(|column| column.name == name) else {
            let known: Vec<String> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(Error::config(format!(
                "there is no column `{name}` to be the cursor; there are: {}",
                known.join(", ")
            )));
        };
        let (cursor, kind) = (quote_name(name), kinds[place]);
        literal(kind, "0", name)?;
        let key = key(client, config, columns)?;
        let key_names: Vec<String> = key.iter().map(|place| columns[*place].name.clone()).collect();
        if let Some(last) = &last {
            if last.cursor != name {
                return Err(Error::config(format!(
                    "the last run's cursor was `{}`, this one's is `{name}`; `osiris state reset` begins anew",
                    last.cursor
                )));
            }
            if last.key != key_names {
                return Err(Error::config(format!(
                    "the last run told rows apart by {}, this one can by {}; `osiris state reset` begins anew",
                    last.key.join(", "),
                    key_names.join(", ")
                )));
            }
        }
        if config.selection.null_cursor == NullCursor::Error {
            let exists = format!("select exists ({})", config.select(Some("1"), Some(&format!("{cursor} is null")))?);
            if client.value(&exists)?.as_deref() == Some("1") {
                return Err(Error::data(format!(
                    "there are rows whose cursor `{name}` is null, which have no place in its order; `null_cursor: skip` \
                     never reads them, `null_cursor: include` reads them in every run"
                )));
            }
        }
        let end = client.value(&config.select(Some(&format!("cast(max({cursor}) as char)")), None)?)?;
        let initial = match (&last, &config.selection.initial) {
            (None, Some(initial)) => Some(format!("{cursor} >= {}", literal(kind, &initial.to_string(), name)?)),
            _ => None,
        };
        let mut parts = Vec::new();
        let part = |conditions: &[&Option<String>], skips_seen: bool, remembered: bool| Part {
            condition: conditions.iter().filter_map(|text| text.as_deref()).collect::<Vec<_>>().join(" and "),
            skips_seen,
            remembered,
        };
        let mut state = None;
        let mut seen = BTreeMap::new();
        match (&end, &last) {
            (None, None) => {}
            // Rows that were read have gone since; what was known of them stays.
            (None, Some(last)) => state = Some(last.clone()),
            (Some(end), last) => {
                let at_end = Some(format!("{cursor} = {}", literal(kind, end, name)?));
                let below_end = Some(format!("{cursor} < {}", literal(kind, end, name)?));
                let at_last = last.as_ref().map(|last| literal(kind, &last.value, name)).transpose()?;
                let is_at_last = at_last.as_ref().map(|value| format!("{cursor} = {value}"));
                let above_last = at_last.as_ref().map(|value| format!("{cursor} > {value}"));
                let grown = match &at_last {
                    Some(value) => {
                        let above = config.select(Some("1"), Some(&format!("{cursor} > {value}")))?;
                        client.value(&format!("select exists ({above})"))?.as_deref() == Some("1")
                    }
                    None => true,
                };
                let some = config.select(Some("1"), at_end.as_deref())?;
                let ties = client.value(&format!("select count(*) from ({some} limit {}) as ties", MOST_TIES + 1))?;
                let waits = ties.and_then(|text| text.parse().ok()).unwrap_or(0_usize) > MOST_TIES;
                if waits {
                    context::warn(
                        "more rows share the largest cursor value than can be remembered; they are read once there is a \
                         larger one",
                        &[("cursor", &name), ("value", end), ("remembered", &MOST_TIES)],
                    );
                }
                if let Some(last) = last.as_ref().filter(|_| grown || !waits) {
                    seen.clone_from(&last.ties);
                    parts.push(part(&[&is_at_last], true, !grown));
                }
                if grown {
                    parts.push(part(&[&initial, &above_last, &below_end], false, false));
                }
                if grown && !waits {
                    parts.push(part(&[&initial, &at_end], false, true));
                }
                let (value, ties) = match last {
                    Some(last) if !grown => (last.value.clone(), last.ties.clone()),
                    _ => (end.clone(), BTreeMap::new()),
                };
                state = Some(State { cursor: name.to_owned(), value, key: key_names, ties });
            }
        }
        if config.selection.null_cursor == NullCursor::Include {
            parts.push(part(&[&Some(format!("{cursor} is null"))], false, false));
        }
        Ok(Self { parts, key, seen, state })
    }

    /// Whether a row of `part` is new; remembers it where the next run has to know it.
    ///
    /// # Errors
    /// `internal` for a row that is not one.
    pub fn is_new(&mut self, place: usize, row: &[u8], kinds: &[Kind]) -> Result<bool> {
        let Part { skips_seen, remembered, .. } = self.parts[place];
        if !skips_seen && !remembered {
            return Ok(true);
        }
        let digest = digest(row, kinds, &self.key)?;
        if skips_seen && let Some(times) = self.seen.get_mut(&digest) {
            if *times > 1 {
                *times -= 1;
            } else {
                self.seen.remove(&digest);
            }
            return Ok(false);
        }
        if remembered && let Some(state) = &mut self.state {
            *state.ties.entry(digest).or_insert(0) += 1;
        }
        Ok(true)
    }

    /// What to tell the next run; `None` where nothing was ever read.
    pub fn into_state(self) -> Option<State> {
        self.state
    }
}

/// The places of the table's primary key, or of all columns where there is none among those read.
fn key<S: Stream>(client: &mut Client<S>, config: &Config, columns: &[Definition]) -> Result<Vec<usize>> {
    let all = || (0..columns.len()).collect();
    let Some(table) = &config.selection.table else { return Ok(all()) };
    let name = TableName::parse(table)?;
    let key = client.query(&format!(
        "select column_name from information_schema.statistics where table_schema = {} and table_name = {} and \
         index_name = 'PRIMARY' order by seq_in_index",
        name.database_sql(),
        quote_text(&name.table)
    ))?;
    let places = key.iter().map(|row| {
        let name = row.first().and_then(Option::as_deref)?;
        columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    });
    Ok(places.collect::<Option<Vec<_>>>().filter(|places| !places.is_empty()).unwrap_or_else(all))
}

/// 64 bits of a digest of the row's key; among the rows of one cursor value that is enough.
fn digest(row: &[u8], kinds: &[Kind], key: &[usize]) -> Result<String> {
    let (nulls, values) = split(row, kinds.len())?;
    let mut fields = Fields(values);
    let mut parts: Vec<Option<&[u8]>> = Vec::with_capacity(kinds.len());
    for (place, kind) in kinds.iter().enumerate() {
        parts.push(if is_null(nulls, place) { None } else { Some(value::skip(*kind, &mut fields)?) });
    }
    let mut hash = Sha256::new();
    for place in key {
        match parts[*place] {
            None => hash.update([0]),
            Some(bytes) => {
                hash.update([1]);
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// A row's bitmap of nulls and its values.
///
/// # Errors
/// `internal` where the row is shorter than its bitmap.
pub fn split(row: &[u8], columns: usize) -> Result<(&[u8], &[u8])> {
    row.split_at_checked((columns + 9) / 8).ok_or_else(|| Error::internal("the server sent a row that ends early"))
}

/// Whether the bitmap, whose first two bits are unused, marks a column as null.
#[inline]
pub fn is_null(nulls: &[u8], column: usize) -> bool {
    nulls[(column + 2) / 8] >> ((column + 2) % 8) & 1 == 1
}

/// A cursor value as SQL writes it.
///
/// # Errors
/// `config` for a type that has no order to rely on, or a value that is none of the type.
fn literal(kind: Kind, value: &str, name: &str) -> Result<String> {
    match kind {
        Kind::I8
        | Kind::U8
        | Kind::I16
        | Kind::U16
        | Kind::I32
        | Kind::U32
        | Kind::I64
        | Kind::U64
        | Kind::Year
        | Kind::Bool
        | Kind::Decimal { .. } => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                Ok(value.to_owned())
            } else {
                Err(Error::config(format!("`{value}` is no number, as the cursor `{name}` is")))
            }
        }
        Kind::Date | Kind::DateTime | Kind::Timestamp | Kind::Text | Kind::Uuid => Ok(quote_text(value)),
        other => Err(Error::config(format!(
            "column `{name}` ({}) cannot be the cursor; take a number without exponent, a date, a timestamp or a text",
            other.duckdb()
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn increment(part: Part, seen: &[(&str, u64)]) -> Increment {
        let ties = BTreeMap::new();
        Increment {
            parts: vec![part],
            key: vec![0],
            seen: seen.iter().map(|(digest, times)| ((*digest).to_owned(), *times)).collect(),
            state: Some(State { cursor: "c".to_owned(), value: "1".to_owned(), key: vec!["a".to_owned()], ties }),
        }
    }

    #[test]
    fn rows_that_were_seen_are_left_out_as_often_as_they_were() {
        let kinds = [Kind::I8, Kind::Text];
        let row = [&[0_u8, 7][..], b"\x01x"].concat();
        let digest = digest(&row, &kinds, &[0]).unwrap();
        let at_last = Part { condition: String::new(), skips_seen: true, remembered: true };
        let mut again = increment(at_last, &[(&digest, 2)]);
        let news: Vec<bool> = (0..4).map(|_| again.is_new(0, &row, &kinds).unwrap()).collect();
        assert_eq!(news, [false, false, true, true]);
        assert_eq!(again.into_state().unwrap().ties[&digest], 2);
        let other = [&[0_u8, 8][..], b"\x01x"].concat();
        assert_ne!(super::digest(&other, &kinds, &[0]).unwrap(), digest);
        assert!(super::digest(&row[..1], &kinds, &[0]).is_err());
    }

    #[test]
    fn cursors_cannot_leave_their_literal() {
        assert_eq!(literal(Kind::I32, "-5", "c").unwrap(), "-5");
        assert!(literal(Kind::I32, "1 or 1=1", "c").is_err());
        assert_eq!(literal(Kind::Text, "'", "c").unwrap(), "_utf8mb4 x'27'");
        assert!(literal(Kind::F64, "1", "c").is_err() && literal(Kind::Json, "1", "c").is_err());
    }
}
