//! Reads what is new since the last run: rows from the last run's greatest cursor value up to the current greatest.
//!
//! The upper bound leaves rows that are inserted while a run reads to the next run, so that they change neither the
//! position of a page nor the count.

use database_client::NullCursor;
use osiris_sdk::http::Request;
use osiris_sdk::{Error, Result, context, state};
use postgrest::{Api, content_range, fetch, filter};
use record_cursor::{Cursor, Manner, State, Texts, spelt};
use serde_json::Value;

use crate::config::Config;

/// The rows of this run, and what the next one needs to know.
pub struct Increment {
    column: String,
    cursor: Cursor,
    /// The query parameters that select them.
    pub conditions: Vec<(String, String)>,
    /// The types of columns that earlier runs found.
    pub columns: Option<json_records::Kind>,
}

impl Increment {
    /// Determines where this run's rows start and end.
    ///
    /// # Errors
    /// `config` for a cursor other than the last run's; `data` for rows without a cursor value, unless the config covers
    /// them, and for values without an order.
    pub fn begin(config: &Config, api: &Api, column: &str) -> Result<Self> {
        let before: Option<State> = state::get()?;
        if let Some(other) = before.as_ref().map(State::field).filter(|other| *other != column) {
            return Err(Error::config(format!(
                "the last run read by cursor `{other}`, this one would by `{column}`; `{}` starts over",
                state::reset_command()
            )));
        }
        let manner = Manner {
            kind: config.cursor_type,
            lookback: config.lookback()?,
            texts: Texts::Server,
            ..Manner::default()
        };
        let mut cursor = Cursor::new(column, &manner, before.as_ref())?;
        let from = cursor.since().or(config.initial.as_ref()).and_then(spelt);
        check_nulls(config, api, column)?;
        let greatest = greatest(config, api, column, from.as_deref())?;
        let end = match greatest {
            Some(value) if cursor.has_place(&value)? => spelt(&value),
            _ => None,
        };
        let bounds: Vec<(&str, String)> = [("gte", from), ("lte", end)]
            .into_iter()
            .filter_map(|(operator, value)| Some((operator, value?)))
            .collect();
        let conditions = match config.null_cursor {
            NullCursor::Include if bounds.is_empty() => Vec::new(),
            NullCursor::Include => vec![filter::within_or_null(column, &bounds)],
            _ if bounds.is_empty() => vec![filter::condition(column, "not.is.null")],
            _ => bounds
                .iter()
                .map(|(operator, value)| filter::condition(column, &format!("{operator}.{value}")))
                .collect(),
        };
        let columns = before.and_then(|state| state.columns);
        Ok(Self { column: column.to_owned(), cursor, conditions, columns })
    }

    /// Whether the row has not been read before.
    ///
    /// # Errors
    /// `config` for a row without the cursor's column; otherwise as for [`Cursor::take`].
    pub fn take(&mut self, row: &Value, number: u64) -> Result<bool> {
        if row.get(&self.column).is_none() {
            return Err(Error::config(format!(
                "the cursor `{}` is not among the columns that are read; name it in `columns` or `select`",
                self.column
            )));
        }
        self.cursor.take(row, || format!("row {number}"))
    }

    /// Stores how far this run has read.
    ///
    /// # Errors
    /// The host's error.
    pub fn keep(self, columns: json_records::Kind) -> Result<()> {
        self.cursor.report();
        state::set(&self.cursor.state(columns))
    }
}

/// A request for only the cursor value of the first row that passes the step's own filters.
fn cursors(config: &Config, api: &Api, column: &str) -> Result<Request> {
    let mut request = api.table("GET", config.table()?)?.query("select", &filter::name(column)).query("limit", "1");
    for (name, value) in config.conditions()? {
        request = request.query(&name, &value);
    }
    Ok(request)
}

/// The greatest cursor value, in the order of its type, among rows that are not below `from`.
fn greatest(config: &Config, api: &Api, column: &str, from: Option<&str>) -> Result<Option<Value>> {
    let condition = from.map_or_else(|| "not.is.null".to_owned(), |from| format!("gte.{from}"));
    let (name, value) = filter::condition(column, &condition);
    let order = format!("{}.desc.nullslast", filter::name(column));
    let answer = fetch(cursors(config, api, column)?.query(&name, &value).query("order", &order))?;
    let rows: Vec<Value> = answer.json()?;
    Ok(rows.first().and_then(|row| row.get(column)).cloned())
}

/// Refuses rows without a cursor value, or counts those that are never read, as the config says.
fn check_nulls(config: &Config, api: &Api, column: &str) -> Result<()> {
    if config.null_cursor == NullCursor::Include {
        return Ok(());
    }
    let (name, value) = filter::condition(column, "is.null");
    let answer = fetch(cursors(config, api, column)?.query(&name, &value).header("prefer", "count=exact"))?;
    let count = content_range(&answer)?.total.unwrap_or_default();
    match config.null_cursor {
        _ if count == 0 => Ok(()),
        NullCursor::Skip => {
            context::warn("rows without a cursor are not read", &[("cursor", &column), ("count", &count)]);
            Ok(())
        }
        _ => Err(Error::data(format!(
            "there are rows whose cursor `{column}` is null ({count} of them), which have no place in its order; `null_cursor: \
             skip` never reads them, `null_cursor: include` reads them in every run"
        ))),
    }
}
