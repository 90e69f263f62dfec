//! What is new since the last run: by a cursor column, with no row lost and none doubled.
//!
//! All statements of a run see one snapshot. A run reads up to the largest cursor of its snapshot, and remembers that
//! value together with a digest of each row that has it. The next run reads what lies beyond, and of the rows at that
//! value those that are not remembered: so a row that joins a tie later is read, and the ones before it are not again.

use std::collections::BTreeMap;

use database_client::NullCursor;
use osiris_sdk::{Error, Result, context, state};
use postgres_client::sql::quote_text;
use postgres_client::{Client, Stream};
use serde::{Deserialize, Serialize};

use crate::options::Config;
use crate::source::Source;

/// How many rows of one cursor value are remembered. A state has 1 MiB at most.
const MOST_TIES: usize = 20_000;

/// What one run tells the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub cursor: String,
    /// The largest cursor that was read, as PostgreSQL writes it.
    pub value: String,
    /// Digests of the rows that have that value and were read, and how many of each.
    pub ties: BTreeMap<String, u64>,
}

/// The rows of this run, and what to remember of them.
pub struct Increment {
    pub select: String,
    state: Option<State>,
}

impl Increment {
    /// Remembers how far this run has read.
    ///
    /// # Errors
    /// What the host says.
    pub fn keep(self) -> Result<()> {
        self.state.map_or(Ok(()), |state| state::set(&state))
    }
}

/// What the last run kept.
///
/// # Errors
/// `data`, when it is not of this driver.
pub fn last() -> Result<Option<State>> {
    state::get()
}

/// Finds where this run's rows begin and end.
///
/// # Errors
/// What the server says; `data` for rows without a cursor, unless the config says what becomes of them.
pub fn bound<S: Stream>(
    client: &mut Client<S>,
    source: &Source,
    config: &Config,
    last: Option<State>,
) -> Result<Increment> {
    let name = config.selection.cursor.clone().unwrap_or_default();
    let place = source.place(&name).ok_or_else(|| Error::config(format!("there is no column `{name}`")))?;
    if let Some(last) = last.as_ref().filter(|last| last.cursor != name) {
        return Err(Error::config(format!(
            "the last run read by cursor `{}`, this one would by `{name}`; `osiris state reset` starts over",
            last.cursor
        )));
    }
    refuse_nulls(client, source, config, place, &name)?;

    let (cursor, rows) = (format!("c{place}"), source.rows());
    let from = match (&last, &config.selection.initial) {
        (Some(last), _) => format!("{cursor} >= {}", quote_text(&last.value)),
        (None, Some(initial)) => format!("{cursor} >= {}", quote_text(&initial.to_string())),
        (None, None) => format!("{cursor} is not null"),
    };
    let statement = Statement { source, config, cursor: &cursor, digest: digest(client, source, config)? };
    let Some(end) = client.value(&format!("select max({cursor})::text from {rows} where {from}"))? else {
        // Nothing at or beyond the last value; what was remembered stays as it was.
        return Ok(Increment { select: statement.select("false", None), state: last });
    };
    let begin = last.as_ref().map_or(from, |last| format!("{cursor} > {}", quote_text(&last.value)));
    let at_end = format!("{cursor} = {}", quote_text(&end));
    let some = format!("select count(*) from (select from {rows} where {at_end} limit {}) as ties", MOST_TIES + 1);
    let count = client.value(&some)?.and_then(|text| text.parse().ok()).unwrap_or(0_usize);

    if count > MOST_TIES {
        context::warn(
            "more rows share the largest cursor value than can be remembered; they are read once there is a larger one",
            &[("cursor", &name), ("value", &end), ("remembered", &MOST_TIES)],
        );
        return Ok(match last {
            Some(last) if last.value == end => Increment { select: statement.select("false", None), state: Some(last) },
            last => Increment {
                select: statement.select(&format!("{begin} and {cursor} < {}", quote_text(&end)), last.as_ref()),
                state: Some(State { cursor: name, value: end, ties: BTreeMap::new() }),
            },
        });
    }
    let ties = client.query(&format!("select {}, count(*) from {rows} where {at_end} group by 1", statement.digest))?;
    let ties = ties.into_iter().filter_map(|row| match row.as_slice() {
        [Some(digest), Some(count)] => Some((digest.clone(), count.parse().ok()?)),
        _ => None,
    });
    Ok(Increment {
        select: statement.select(&format!("{begin} and {cursor} <= {}", quote_text(&end)), last.as_ref()),
        state: Some(State { cursor: name, value: end, ties: ties.collect() }),
    })
}

/// Refuses rows without a cursor, where the config does not say what becomes of them.
fn refuse_nulls<S: Stream>(
    client: &mut Client<S>,
    source: &Source,
    config: &Config,
    place: usize,
    name: &str,
) -> Result<()> {
    let described = &source.columns[place].described;
    if config.selection.null_cursor != NullCursor::Error {
        return Ok(());
    }
    if source.is_table {
        let never_null = client.value(&format!(
            "select attnotnull from pg_catalog.pg_attribute where attrelid = {} and attnum = {}",
            described.table, described.attribute
        ))?;
        if never_null.as_deref() == Some("t") {
            return Ok(());
        }
    }
    let exists = format!("select exists (select from {} where c{place} is null)", source.rows());
    if client.value(&exists)?.as_deref() == Some("t") {
        return Err(Error::data(format!(
            "there are rows whose cursor `{name}` is null, which have no place in its order; `null_cursor: skip` never \
             reads them, `null_cursor: include` reads them in every run"
        )));
    }
    Ok(())
}

/// An expression that tells rows of one cursor value apart: by the table's primary key, or else by all they hold.
fn digest<S: Stream>(client: &mut Client<S>, source: &Source, config: &Config) -> Result<String> {
    let mut places: Vec<usize> = Vec::new();
    if config.selection.table.is_some() {
        let table = source.columns.first().map_or(0, |column| column.described.table);
        let key = client.query(&format!(
            "select a.attname from pg_catalog.pg_index i join pg_catalog.pg_attribute a \
             on a.attrelid = i.indrelid and a.attnum = any (i.indkey) where i.indisprimary and i.indrelid = {table}"
        ))?;
        let key = key.iter().map(|row| row.first().and_then(Option::as_deref).and_then(|name| source.place(name)));
        places = key.collect::<Option<Vec<_>>>().unwrap_or_default();
    }
    if places.is_empty() {
        places = (0..source.columns.len()).collect();
    }
    let columns: Vec<String> = places.iter().map(|place| format!("c{place}")).collect();
    Ok(format!("md5(row({})::text)", columns.join(", ")))
}

struct Statement<'a> {
    source: &'a Source,
    config: &'a Config,
    cursor: &'a str,
    digest: String,
}

impl Statement<'_> {
    /// The rows of a range, and those at the last run's value that it did not read.
    fn select(&self, range: &str, last: Option<&State>) -> String {
        let (rows, casts) = (self.source.rows(), self.source.casts());
        let nulls = match self.config.selection.null_cursor {
            NullCursor::Include => format!(" or {} is null", self.cursor),
            NullCursor::Error | NullCursor::Skip => String::new(),
        };
        let new = format!("select {casts} from {rows} where ({range}){nulls}");
        let Some(last) = last else { return new };
        let seen = last.ties.iter().map(|(digest, times)| format!("({}, {times})", quote_text(digest)));
        let seen: Vec<String> = std::iter::once("(null::text, 0::bigint)".to_owned()).chain(seen).collect();
        format!(
            "{new} union all select {casts} from (select *, {digest} as digest, row_number() over (partition by \
             {digest}) as occurrence from {rows} where {cursor} = {value}) as tied left join (values {seen}) as seen \
             (digest, times) using (digest) where occurrence > coalesce(times, 0)",
            digest = self.digest,
            cursor = self.cursor,
            value = quote_text(&last.value),
            seen = seen.join(", "),
        )
    }
}
