//! Reads what is new since the last run, by a cursor column, without losing or repeating a row.
//!
//! All statements of a run see one snapshot. A run reads up to the largest cursor value in its snapshot, and stores
//! that value with a digest of each row that has it. The next run reads the rows beyond it, and those rows at that
//! value that are not remembered: so a row that is added at the same value later is read, and earlier ones are not read
//! again. Rows whose cursor is an open end (infinity, NaN, the year 9999) are remembered in the same way, and never
//! move the state.

use std::collections::BTreeMap;

use database_client::NullCursor;
use osiris_sdk::{Error, Result, context, state};
use postgres_client::sql::quote_text;
use postgres_client::{Client, Stream};
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::options::Config;
use crate::source::Source;

/// How many rows of one cursor value are remembered. A state has at most 1 MiB.
const MOST_TIES: usize = 10_000;

/// Digests of rows, each with its number of occurrences.
type Seen = BTreeMap<String, u64>;

/// What one run stores for the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub cursor: String,
    /// A description of the order of the cursor's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The columns that identify rows of one cursor value; `None` for all columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// The largest cursor value with a place in the order that was read, as PostgreSQL writes it; `None` if no row has
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The rows that have that value and were read.
    pub ties: Seen,
    /// The rows at open ends that were read.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    pub open: Seen,
}

/// The rows of this run, and what to remember about them.
pub struct Increment {
    pub select: String,
    state: Option<State>,
}

impl Increment {
    /// Stores how far this run has read.
    ///
    /// # Errors
    /// The host's error.
    pub fn keep(self) -> Result<()> {
        self.state.map_or(Ok(()), |state| state::set(&state))
    }
}

/// What the last run stored.
///
/// # Errors
/// `data` if it is not a state of this driver.
pub fn last() -> Result<Option<State>> {
    state::get()
}

/// Determines where this run's rows start and end.
///
/// # Errors
/// The server's error; `data` for rows without a cursor value, unless the config covers them.
pub fn bound<S: Stream>(
    client: &mut Client<S>,
    source: &Source,
    config: &Config,
    last: Option<State>,
) -> Result<Increment> {
    let name = config.selection.cursor.clone().unwrap_or_default();
    let place = source.place(&name).ok_or_else(|| Error::config(format!("there is no column `{name}`")))?;
    let cursor = Cursor::new(&name, format!("c{place}"), &source.columns[place]);
    cursor.check(config.selection.lookback.as_ref())?;
    if let Some(last) = &last {
        refuse_state(client, &cursor, last)?;
    }
    refuse_nulls(client, source, config, place, &name)?;
    let key = key(client, source, config)?;
    let key_names: Vec<String> = key.iter().map(|place| source.columns[*place].name.clone()).collect();
    if let Some(last) = &last {
        refuse_other_key(last, &key_names)?;
    }
    let statement = Statement { source, config, cursor: &cursor, digest: digest(&key) };
    let (ordered, mut state) = ordered(client, &statement, last.as_ref())?;
    let mut select = statement.select(&ordered, last.as_ref());
    if let Some(open) = cursor.is_open(&cursor.sql) {
        let found = open_ends(client, &statement, &open)?;
        if !found.is_empty() {
            let seen = last.as_ref().map(|last| last.open.clone()).unwrap_or_default();
            select = format!("{select} union all {}", statement.unseen(&open, &seen));
        }
        if !found.is_empty() || state.is_some() {
            state.get_or_insert_default().open = found;
        }
    }
    if let Some(state) = &mut state {
        state.cursor.clone_from(&name);
        state.order = Some(cursor.order_in_words());
        state.key = Some(key_names);
    }
    Ok(Increment { select, state })
}

/// Refuses a state of another cursor, and a value that nothing can follow.
fn refuse_state<S: Stream>(client: &mut Client<S>, cursor: &Cursor<'_>, last: &State) -> Result<()> {
    if last.cursor != cursor.name {
        return Err(Error::config(format!(
            "the last run read by cursor `{}`, this one would by `{}`; `{}` starts over",
            last.cursor,
            cursor.name,
            osiris_sdk::state::reset_command()
        )));
    }
    let order = cursor.order_in_words();
    if let Some(before) = last.order.as_ref().filter(|before| **before != order) {
        return Err(Error::config(format!(
            "cursor `{}` had {before} when it was last read, and has {order} now, which may have another order, so that rows \
             could be left out; `{}` starts over",
            cursor.name,
            osiris_sdk::state::reset_command()
        )));
    }
    let Some(value) = &last.value else { return Ok(()) };
    let Some(open) = cursor.is_open("kept") else { return Ok(()) };
    let stuck = format!("select exists (select from (select {}) as state (kept) where {open})", cursor.typed(value));
    if client.value(&stuck)?.as_deref() == Some("t") {
        return Err(Error::config(format!(
            "the last run's greatest value of cursor `{}` is `{value}`, which stands for no place in its order, so that \
             nothing would ever be read again; `{}` or `{}` begins elsewhere",
            cursor.name,
            osiris_sdk::state::set_command(),
            osiris_sdk::state::reset_command()
        )));
    }
    Ok(())
}

/// Refuses a key other than the one by which the remembered rows were identified: they would be read again.
fn refuse_other_key(last: &State, key: &[String]) -> Result<()> {
    match &last.key {
        Some(before) if before != key => Err(Error::config(format!(
            "the last run told rows of one cursor value apart by {}, this one can by {}; `{}` starts over",
            before.join(", "),
            key.join(", "),
            osiris_sdk::state::reset_command()
        ))),
        _ => Ok(()),
    }
}

/// Which rows with a place in the order a run reads: a condition, and whether rows at the last value that are not
/// remembered are included.
struct Ordered {
    range: String,
    ties: bool,
}

fn ordered<S: Stream>(
    client: &mut Client<S>,
    statement: &Statement<'_>,
    last: Option<&State>,
) -> Result<(Ordered, Option<State>)> {
    let (cursor, config, rows) = (statement.cursor, statement.config, statement.source.rows());
    let (name, sql) = (cursor.name, &cursor.sql);
    let within = cursor.is_open(sql).map_or(String::new(), |open| format!(" and not ({open})"));
    let value = last.and_then(|last| last.value.as_ref());
    let from = match (value, &config.selection.initial) {
        (Some(value), _) => format!("{sql} >= {}", quote_text(value)),
        (None, Some(initial)) => format!("{sql} >= {}", quote_text(&initial.to_string())),
        (None, None) => format!("{sql} is not null"),
    };
    let lookback = match (value, &config.selection.lookback) {
        (Some(value), Some(lookback)) => Some(cursor.from(value, lookback)?),
        _ => None,
    };
    // Not every type with an order has a max(). The alias of the text differs from the column that orders it.
    let greatest =
        format!("select {sql}::text as greatest from {rows} where {from}{within} order by {sql} desc limit 1");
    let end = client.value(&greatest)?;
    let Some(end) = end else {
        // There is nothing at or beyond the last value; what was remembered is unchanged.
        let range = lookback.map_or("false".to_owned(), |begin| format!("{begin}{within}"));
        return Ok((Ordered { range, ties: false }, last.cloned()));
    };
    cursor.warn(client, &end)?;
    let read_again = lookback.is_some();
    let begin = lookback.unwrap_or_else(|| value.map_or(from, |value| format!("{sql} > {}", quote_text(value))));
    let at_end = format!("{sql} = {}", quote_text(&end));
    let some = format!("select count(*) from (select from {rows} where {at_end} limit {}) as ties", MOST_TIES + 1);
    let many = client.value(&some)?.and_then(|text| text.parse().ok()).unwrap_or(0_usize) > MOST_TIES;
    let up_to = |compare: &str| format!("{begin}{within} and {sql} {compare} {}", quote_text(&end));
    if many && !read_again {
        context::warn(
            "more rows share the largest cursor value than can be remembered; they are read once there is a larger one",
            &[("cursor", &name), ("value", &end), ("remembered", &MOST_TIES)],
        );
        return Ok(match last {
            Some(last) if value == Some(&end) => {
                (Ordered { range: "false".to_owned(), ties: false }, Some(last.clone()))
            }
            _ => {
                let state = State { value: Some(end.clone()), ..State::default() };
                (Ordered { range: up_to("<"), ties: true }, Some(state))
            }
        });
    }
    // Rows that are read again anyway need not be remembered.
    let ties = if many { Seen::new() } else { statement.digests(client, &at_end)? };
    let state = State { value: Some(end.clone()), ties, ..State::default() };
    Ok((Ordered { range: up_to("<="), ties: !read_again }, Some(state)))
}

/// The rows at open ends, which are reported.
fn open_ends<S: Stream>(client: &mut Client<S>, statement: &Statement<'_>, open: &str) -> Result<Seen> {
    let (sql, rows, name) = (&statement.cursor.sql, statement.source.rows(), statement.cursor.name);
    let some = format!(
        "select count(*), max({sql})::text from (select {sql} from {rows} where {open} limit {}) as open",
        MOST_TIES + 1
    );
    let row = client.query(&some)?.into_iter().next().unwrap_or_default();
    let count = row.first().and_then(|text| text.as_deref()?.parse().ok()).unwrap_or(0_usize);
    let value = row.get(1).cloned().flatten().unwrap_or_default();
    if count > MOST_TIES {
        return Err(Error::data(format!(
            "more than {MOST_TIES} rows have a cursor `{name}` that stands for no place in its order, such as `{value}`: \
             they cannot all be remembered; leave them out by `filter`, or use another cursor"
        )));
    }
    if count == 0 {
        return Ok(Seen::new());
    }
    context::warn(
        "rows have a cursor value that stands for no place in its order; each is read once, and none moves the state",
        &[("cursor", &name), ("value", &value), ("count", &count)],
    );
    statement.digests(client, open)
}

/// Refuses rows without a cursor value, unless the config covers them.
fn refuse_nulls<S: Stream>(
    client: &mut Client<S>,
    source: &Source,
    config: &Config,
    place: usize,
    name: &str,
) -> Result<()> {
    let described = &source.columns[place].described;
    let without = format!("from {} where c{place} is null", source.rows());
    match config.selection.null_cursor {
        NullCursor::Include => return Ok(()),
        NullCursor::Skip => {
            let count = client.value(&format!("select count(*) {without}"))?.unwrap_or_default();
            if count != "0" {
                context::warn("rows without a cursor are not read", &[("cursor", &name), ("count", &count)]);
            }
            return Ok(());
        }
        NullCursor::Error => {}
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
    if client.value(&format!("select exists (select {without})"))?.as_deref() == Some("t") {
        return Err(Error::data(format!(
            "there are rows whose cursor `{name}` is null, which have no place in its order; `null_cursor: skip` never \
             reads them, `null_cursor: include` reads them in every run"
        )));
    }
    Ok(())
}

/// The columns that identify rows of one cursor value: the table's primary key, or else all. Rows of tables that
/// inherit from it need not satisfy its key.
fn key<S: Stream>(client: &mut Client<S>, source: &Source, config: &Config) -> Result<Vec<usize>> {
    let mut places: Vec<usize> = Vec::new();
    if config.selection.table.is_some() {
        let table = source.columns.first().map_or(0, |column| column.described.table);
        let key = client.query(&format!(
            "select a.attname from pg_catalog.pg_index i join pg_catalog.pg_attribute a \
             on a.attrelid = i.indrelid and a.attnum = any (i.indkey) join pg_catalog.pg_class c on c.oid = i.indrelid \
             where i.indisprimary and i.indrelid = {table} and (c.relkind = 'p' or not exists (select from \
             pg_catalog.pg_inherits where inhparent = c.oid)) order by a.attnum"
        ))?;
        let key = key.iter().map(|row| row.first().and_then(Option::as_deref).and_then(|name| source.place(name)));
        places = key.collect::<Option<Vec<_>>>().unwrap_or_default();
    }
    if places.is_empty() {
        places = (0..source.columns.len()).collect();
    }
    Ok(places)
}

fn digest(key: &[usize]) -> String {
    let columns: Vec<String> = key.iter().map(|place| format!("c{place}")).collect();
    format!("md5(row({})::text)", columns.join(", "))
}

struct Statement<'a> {
    source: &'a Source,
    config: &'a Config,
    cursor: &'a Cursor<'a>,
    digest: String,
}

impl Statement<'_> {
    /// The rows of a range, and those at the last run's value that it did not read.
    fn select(&self, ordered: &Ordered, last: Option<&State>) -> String {
        let (rows, casts) = (self.source.rows(), self.source.casts());
        let nulls = match self.config.selection.null_cursor {
            NullCursor::Include => format!(" or {} is null", self.cursor.sql),
            NullCursor::Error | NullCursor::Skip => String::new(),
        };
        let new = format!("select {casts} from {rows} where ({}){nulls}", ordered.range);
        match last.and_then(|last| Some((last, last.value.as_ref()?))) {
            Some((last, value)) if ordered.ties => {
                let tied = format!("{} = {}", self.cursor.sql, quote_text(value));
                format!("{new} union all {}", self.unseen(&tied, &last.ties))
            }
            _ => new,
        }
    }

    /// The rows that satisfy a condition and were not read before.
    fn unseen(&self, condition: &str, seen: &Seen) -> String {
        let seen = seen.iter().map(|(digest, times)| format!("({}, {times})", quote_text(digest)));
        let seen: Vec<String> = std::iter::once("(null::text, 0::bigint)".to_owned()).chain(seen).collect();
        format!(
            "select {casts} from (select *, {digest} as digest, row_number() over (partition by {digest}) as occurrence \
             from {rows} where {condition}) as tied left join (values {seen}) as seen (digest, times) using (digest) \
             where occurrence > coalesce(times, 0)",
            casts = self.source.casts(),
            rows = self.source.rows(),
            digest = self.digest,
            seen = seen.join(", "),
        )
    }

    /// The digests of the rows that satisfy a condition.
    fn digests<S: Stream>(&self, client: &mut Client<S>, condition: &str) -> Result<Seen> {
        let rows = self.source.rows();
        let found =
            client.query(&format!("select {}, count(*) from {rows} where {condition} group by 1", self.digest))?;
        let found = found.into_iter().filter_map(|row| match row.as_slice() {
            [Some(digest), Some(count)] => Some((digest.clone(), count.parse().ok()?)),
            _ => None,
        });
        Ok(found.collect())
    }
}
