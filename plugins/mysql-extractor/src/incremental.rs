//! Reads the rows that the last run did not, by a cursor column, including rows with equal values.
//!
//! All of a run's SELECTs see one snapshot, which fixes its end: the greatest cursor value in it. The state stores that
//! value and which of its rows were read, so that the next run reads exactly those rows of the same value that appeared
//! later. If too many rows have the value to be remembered, they wait for a run that finds a greater one.

use std::collections::BTreeMap;

use database_client::NullCursor;
use mysql_client::sql::{quote_name, quote_text};
use mysql_client::types::{Definition, Kind};
use mysql_client::{Client, Fields, Stream};
use osiris_sdk::{Error, Result, context};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cursor::{Cursor, before, first_value, literal, order_in_words, sentinel};
use crate::options::Config;
use crate::value;

/// How many rows of one cursor value are remembered. A state has at most 1 MiB.
const MOST_TIES: usize = 20_000;

/// What one run stores for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub cursor: String,
    /// A description of the order of the cursor's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The greatest value that was read.
    pub value: String,
    /// The columns that identify rows.
    pub key: Vec<String>,
    /// The rows of that value that were read, each with its number of occurrences.
    pub ties: BTreeMap<String, u64>,
    /// The rows that were read whose cursor has no place in its order, such as 9999-12-31.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sentinels: BTreeMap<String, u64>,
}

/// A part of an increment.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub condition: String,
    /// Which of the rows that the last run read are skipped.
    pub skips: Option<Memory>,
    /// Where its rows are remembered for the next run.
    pub remembers: Option<Memory>,
}

/// Rows that a state remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Rows at the greatest cursor value.
    Ties,
    /// Rows whose cursor value has no place in its order.
    Sentinels,
}

/// What to read, and what to store for the next run.
#[derive(Debug)]
pub struct Increment {
    pub parts: Vec<Part>,
    /// Positions of the columns that identify rows.
    key: Vec<usize>,
    seen: BTreeMap<String, u64>,
    seen_sentinels: BTreeMap<String, u64>,
    state: Option<State>,
}

impl Cursor<'_> {
    /// Whether there are rows above `value` that have a place in the order.
    fn has_above<S: Stream>(&self, client: &mut Client<S>, config: &Config, value: &str) -> Result<bool> {
        let above = format!("{} > {value}", self.sql);
        let below = self.sentinel.as_ref().map(|sentinel| format!("{} < {sentinel}", self.sql));
        let both = [Some(above), below].into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let above = config.select(Some("1"), Some(&both))?;
        Ok(client.value(&format!("select exists ({above})"))?.as_deref() == Some("1"))
    }
}

/// The conditions by which the cursor divides the rows that have a place in its order.
struct Ranges {
    /// At or beyond the start of the first run.
    initial: Option<String>,
    /// The last run's greatest value, if there was a run.
    at_last: Option<String>,
    /// Beyond that value, or from the start of the lookback.
    above_last: Option<String>,
    below_end: Option<String>,
    /// At the greatest existing value.
    at_end: Option<String>,
}

impl Ranges {
    /// The parts to read, given whether there is a lookback, whether there are greater values than at the last run
    /// (`grown`), and whether too `many` rows to be remembered share the greatest.
    fn parts(&self, lookback: bool, grown: bool, many: bool) -> Vec<Part> {
        let Self { initial, at_last, above_last, below_end, at_end } = self;
        let continues = at_last.is_some();
        let remembers = (!many).then_some(Memory::Ties);
        if lookback && continues {
            // From the start of the lookback to the end, whether or not rows were read before.
            return vec![part(&[above_last, below_end], None, None), part(&[above_last, at_end], None, remembers)];
        }
        // Many rows at the end are read once there is a greater value, unless a later run reads them again anyway.
        let waits = many && !lookback;
        let mut parts = Vec::new();
        if continues && (grown || !waits) {
            parts.push(part(&[at_last], Some(Memory::Ties), (!grown).then_some(Memory::Ties)));
        }
        if grown {
            parts.push(part(&[initial, above_last, below_end], None, None));
        }
        if grown && !waits {
            parts.push(part(&[initial, at_end], None, remembers));
        }
        parts
    }
}

impl Increment {
    /// Decides what the run reads.
    ///
    /// # Errors
    /// `config` for an unsuitable cursor, `data` for rows without a cursor value unless the config covers them.
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
        if let Some(lookback) = &config.selection.lookback {
            // Also refused on the first run, although it does not use the lookback.
            before(kind, "0", lookback, name)?;
        }
        let key = key(client, config, columns)?;
        let key_names: Vec<String> = key.iter().map(|place| columns[*place].name.clone()).collect();
        if let Some(last) = &last {
            refuse_state(last, name, kind, &key_names)?;
        }
        check_nulls(client, config, name, &cursor)?;
        let mut increment = Self {
            parts: Vec::new(),
            key,
            seen: BTreeMap::new(),
            seen_sentinels: last.as_ref().map(|last| last.sentinels.clone()).unwrap_or_default(),
            state: None,
        };
        let cursor = Cursor { name, sql: cursor, kind, sentinel: sentinel(kind) };
        increment.plan(client, config, &cursor, last, key_names.clone())?;
        increment.add_sentinels(client, config, &cursor, key_names)?;
        if let Some(state) = &mut increment.state {
            state.order = Some(order_in_words(kind).to_owned());
        }
        if config.selection.null_cursor == NullCursor::Include {
            increment.parts.push(part(&[&Some(format!("{} is null", cursor.sql))], None, None));
        }
        Ok(increment)
    }

    /// Plans the parts whose rows have a place in the cursor's order.
    fn plan<S: Stream>(
        &mut self,
        client: &mut Client<S>,
        config: &Config,
        cursor: &Cursor<'_>,
        last: Option<State>,
        key: Vec<String>,
    ) -> Result<()> {
        let (name, column, kind) = (cursor.name, &cursor.sql, cursor.kind);
        let below = cursor.sentinel.as_ref().map(|sentinel| format!("{column} < {sentinel}"));
        let end = client.value(&config.select(Some(&format!("cast(max({column}) as char)")), below.as_deref())?)?;
        let lookback = config.selection.lookback.as_ref();
        if let Some(last) = &last {
            refuse_stuck(client, cursor, last)?;
        }
        let initial = match (&last, &config.selection.initial) {
            (None, Some(initial)) => Some(format!("{column} >= {}", literal(kind, &initial.to_string(), name)?)),
            _ => None,
        };
        let Some(end) = end else {
            // Rows that were read have been deleted since; what was stored about them is kept.
            self.state = last.map(|last| State { sentinels: BTreeMap::new(), ..last });
            return Ok(());
        };
        cursor.warn(client, &end)?;
        let greatest = last.as_ref().map(|last| literal(kind, &last.value, name)).transpose()?;
        let above_last = match (&last, lookback) {
            (Some(last), Some(lookback)) => Some(format!("{column} >= {}", before(kind, &last.value, lookback, name)?)),
            _ => greatest.as_ref().map(|value| format!("{column} > {value}")),
        };
        let ranges = Ranges {
            initial,
            at_last: greatest.as_ref().map(|value| format!("{column} = {value}")),
            above_last,
            below_end: Some(format!("{column} < {}", literal(kind, &end, name)?)),
            at_end: Some(format!("{column} = {}", literal(kind, &end, name)?)),
        };
        let grown = greatest.as_ref().map_or(Ok(true), |value| cursor.has_above(client, config, value))?;
        let many = are_many(client, config, ranges.at_end.as_deref())?;
        // Rows that are read again anyway need not be remembered.
        if many && lookback.is_none() {
            context::warn(
                "more rows share the largest cursor value than can be remembered; they are read once there is a larger one",
                &[("cursor", &name), ("value", &end), ("remembered", &MOST_TIES)],
            );
        }
        self.parts.extend(ranges.parts(lookback.is_some(), grown, many));
        if let Some(last) = last.as_ref().filter(|_| lookback.is_none()) {
            self.seen.clone_from(&last.ties);
        }
        let (value, ties) = match last {
            Some(last) if !grown && lookback.is_none() => (last.value, last.ties),
            Some(last) if !grown => (last.value, BTreeMap::new()),
            _ => (end, BTreeMap::new()),
        };
        self.state = Some(State { cursor: name.to_owned(), order: None, value, key, ties, sentinels: BTreeMap::new() });
        Ok(())
    }

    /// Plans the part of rows whose cursor has no place in its order: each is read once, and none moves the state.
    fn add_sentinels<S: Stream>(
        &mut self,
        client: &mut Client<S>,
        config: &Config,
        cursor: &Cursor<'_>,
        key: Vec<String>,
    ) -> Result<()> {
        let Some(sentinel) = &cursor.sentinel else { return Ok(()) };
        let condition = format!("{} >= {sentinel}", cursor.sql);
        let some = config.select(Some(&format!("{} as sentinel", cursor.sql)), Some(&condition))?;
        let counted =
            format!("select count(*), cast(max(sentinel) as char) from ({some} limit {}) as sentinels", MOST_TIES + 1);
        let row = client.query(&counted)?.into_iter().next().unwrap_or_default();
        let (count, value) = (row.first().cloned().flatten(), row.get(1).cloned().flatten());
        let (count, value) = (count.and_then(|text| text.parse().ok()).unwrap_or(0_usize), value.unwrap_or_default());
        if count == 0 {
            return Ok(());
        }
        if count > MOST_TIES {
            return Err(Error::data(format!(
                "more than {MOST_TIES} rows have a cursor `{}` that stands for no place in its order, such as `{value}`: \
                 they cannot all be remembered; leave them out by `filter`, or set them null and `null_cursor: include`",
                cursor.name
            )));
        }
        context::warn(
            "rows have a cursor value that stands for no place in its order; each is read once, and none moves the state",
            &[("cursor", &cursor.name), ("value", &value), ("count", &count)],
        );
        if self.state.is_none() {
            // A state needs a value; this one makes the next run read all other rows.
            let first = config.selection.initial.as_ref().map(ToString::to_string);
            self.state = Some(State {
                cursor: cursor.name.to_owned(),
                order: None,
                value: first.unwrap_or_else(|| first_value(cursor.kind).to_owned()),
                key,
                ties: BTreeMap::new(),
                sentinels: BTreeMap::new(),
            });
        }
        self.parts.push(part(&[&Some(condition)], Some(Memory::Sentinels), Some(Memory::Sentinels)));
        Ok(())
    }

    /// Whether a row of `part` is new; remembers it if the next run needs to know it.
    ///
    /// # Errors
    /// `internal` for a malformed row.
    pub fn is_new(&mut self, place: usize, row: &[u8], kinds: &[Kind]) -> Result<bool> {
        let Part { skips, remembers, .. } = self.parts[place];
        if skips.is_none() && remembers.is_none() {
            return Ok(true);
        }
        let digest = digest(row, kinds, &self.key)?;
        let seen = match skips {
            None => None,
            Some(Memory::Ties) => Some(&mut self.seen),
            Some(Memory::Sentinels) => Some(&mut self.seen_sentinels),
        };
        let is_seen = seen.is_some_and(|seen| match seen.get_mut(&digest) {
            Some(times) if *times > 1 => {
                *times -= 1;
                true
            }
            Some(_) => seen.remove(&digest).is_some(),
            None => false,
        });
        match (remembers, &mut self.state) {
            // The last run's ties are already in the state; its sentinels are remembered as long as they exist.
            (Some(Memory::Ties), Some(state)) if !is_seen => *state.ties.entry(digest).or_insert(0) += 1,
            (Some(Memory::Sentinels), Some(state)) => *state.sentinels.entry(digest).or_insert(0) += 1,
            _ => {}
        }
        Ok(!is_seen)
    }

    /// What to store for the next run; `None` if nothing was ever read.
    pub fn into_state(self) -> Option<State> {
        self.state
    }
}

/// Refuses a state of another cursor, another order or another key.
fn refuse_state(last: &State, name: &str, kind: Kind, key_names: &[String]) -> Result<()> {
    if last.cursor != name {
        return Err(Error::config(format!(
            "the last run read by cursor `{}`, this one would by `{name}`; `{}` starts over",
            last.cursor,
            osiris_sdk::state::reset_command()
        )));
    }
    let order = order_in_words(kind);
    if let Some(before) = last.order.as_ref().filter(|before| **before != order) {
        return Err(Error::config(format!(
            "cursor `{name}` had {before} when it was last read, and has {order} now, which may have another order, \
             so that rows could be left out; `{}` starts over",
            osiris_sdk::state::reset_command()
        )));
    }
    if last.key != key_names {
        return Err(Error::config(format!(
            "the last run told rows apart by {}, this one can by {}; `{}` starts over",
            last.key.join(", "),
            key_names.join(", "),
            osiris_sdk::state::reset_command()
        )));
    }
    Ok(())
}

/// Reports or refuses rows without a cursor value, as the config says.
fn check_nulls<S: Stream>(client: &mut Client<S>, config: &Config, name: &str, cursor: &str) -> Result<()> {
    if config.selection.null_cursor == NullCursor::Skip {
        let without = config.select(Some("1"), Some(&format!("{cursor} is null")))?;
        let count = client.value(&format!("select count(*) from ({without}) as without"))?.unwrap_or_default();
        if count != "0" {
            context::warn("rows without a cursor are not read", &[("cursor", &name), ("count", &count)]);
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
    Ok(())
}

/// Refuses a value that nothing can follow.
fn refuse_stuck<S: Stream>(client: &mut Client<S>, cursor: &Cursor<'_>, last: &State) -> Result<()> {
    let Some(sentinel) = &cursor.sentinel else { return Ok(()) };
    let stuck = format!("select {} >= {sentinel}", literal(cursor.kind, &last.value, cursor.name)?);
    if client.value(&stuck)?.as_deref() != Some("1") {
        return Ok(());
    }
    Err(Error::config(format!(
        "the last run's greatest `{}` is `{}`, which stands for no place in its order, so that nothing would ever be read \
         again; `{}` or `{}` begins elsewhere",
        cursor.name,
        last.value,
        osiris_sdk::state::set_command(),
        osiris_sdk::state::reset_command()
    )))
}

/// Whether more rows than can be remembered satisfy a condition.
fn are_many<S: Stream>(client: &mut Client<S>, config: &Config, condition: Option<&str>) -> Result<bool> {
    let some = config.select(Some("1"), condition)?;
    let ties = client.value(&format!("select count(*) from ({some} limit {}) as ties", MOST_TIES + 1))?;
    Ok(ties.and_then(|text| text.parse().ok()).unwrap_or(0_usize) > MOST_TIES)
}

/// A part whose rows satisfy all of `conditions`.
fn part(conditions: &[&Option<String>], skips: Option<Memory>, remembers: Option<Memory>) -> Part {
    let condition = conditions.iter().filter_map(|text| text.as_deref()).collect::<Vec<_>>().join(" and ");
    Part { condition, skips, remembers }
}

/// The positions of the table's primary key, or of all columns if the key is not among those read.
fn key<S: Stream>(client: &mut Client<S>, config: &Config, columns: &[Definition]) -> Result<Vec<usize>> {
    let all = || (0..columns.len()).collect();
    if config.selection.table.is_none() {
        return Ok(all());
    }
    let name = config.table()?;
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

/// 64 bits of a digest of the row's key, which is enough to distinguish the rows of one cursor value.
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

/// A row's bitmap of nulls, and its values.
///
/// # Errors
/// `internal` if the row is shorter than its bitmap.
pub fn split(row: &[u8], columns: usize) -> Result<(&[u8], &[u8])> {
    row.split_at_checked((columns + 9) / 8).ok_or_else(|| Error::internal("the server sent a row that ends early"))
}

/// Whether the bitmap, whose first two bits are unused, marks a column as null.
#[inline]
pub fn is_null(nulls: &[u8], column: usize) -> bool {
    nulls[(column + 2) / 8] >> ((column + 2) % 8) & 1 == 1
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
            seen_sentinels: BTreeMap::new(),
            state: Some(State {
                cursor: "c".to_owned(),
                order: None,
                value: "1".to_owned(),
                key: vec!["a".to_owned()],
                ties,
                sentinels: BTreeMap::new(),
            }),
        }
    }

    #[test]
    fn seen_rows_are_skipped_as_often_as_they_occurred() {
        let kinds = [Kind::I8, Kind::Text];
        let row = [&[0_u8, 7][..], b"\x01x"].concat();
        let digest = digest(&row, &kinds, &[0]).unwrap();
        let at_last = Part { condition: String::new(), skips: Some(Memory::Ties), remembers: Some(Memory::Ties) };
        let mut again = increment(at_last, &[(&digest, 2)]);
        let news: Vec<bool> = (0..4).map(|_| again.is_new(0, &row, &kinds).unwrap()).collect();
        assert_eq!(news, [false, false, true, true]);
        assert_eq!(again.into_state().unwrap().ties[&digest], 2);
        let other = [&[0_u8, 8][..], b"\x01x"].concat();
        assert_ne!(super::digest(&other, &kinds, &[0]).unwrap(), digest);
        assert!(super::digest(&row[..1], &kinds, &[0]).is_err());
    }
}
