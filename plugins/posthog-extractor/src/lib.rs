//! `posthog.extractor`: reads events, persons, sessions or ids of a PostHog project through its query API.

mod config;
mod query;
mod rows;
mod seen;

use std::time::{Duration, SystemTime};

use json_records::{Kind, Options, Records, Sink};
use osiris_sdk::http::{Client, PageGuard, Url};
use osiris_sdk::{
    CatalogColumn, CatalogTable, Check, Discovery, Error, ErrorKind, Extractor, Output, Result, context, state,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use config::{Access, Config, DataType};
use query::{Page, Place};
use seen::Seen;

/// How far back the first run reads by default, as in Python Osiris.
const FIRST: Duration = Duration::from_secs(30 * 86_400);

struct PostHog;

/// What the next run needs to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// The kind of data that it belongs to; a state of another kind is not used.
    data_type: Option<DataType>,
    /// The time of the last row, as PostHog spelled it.
    since: Option<String>,
    /// Digests of the rows within the lookback, in base64.
    seen: String,
    /// The types found so far, so that an empty run has columns, and none gets narrower.
    columns: Option<Kind>,
}

impl Extractor for PostHog {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let before: State = state::get()?.unwrap_or_default();
        let before = if before.data_type == Some(config.data_type) { before } else { State::default() };
        let options = Options { flatten: None, dtype: config.dtype.clone(), hold_bytes: config.hold_mb << 20 };
        let mut reading = Reading {
            api: Api::new(&config.access)?,
            seen: Seen::new(&before.seen, config.lookback_window_minutes)?,
            records: Records::into_table(output, "main", &options, before.columns)?,
            guard: PageGuard::new(u64::MAX),
            since: begin(&config, before.since.as_deref())?,
            lookback: if before.since.is_some() { config.lookback_window_minutes } else { 0 },
            last: before.since,
            known: 0,
            config: &config,
        };
        reading.run()?;
        reading.finish()
    }
}

/// Where the run starts.
fn begin(config: &Config, before: Option<&str>) -> Result<Option<String>> {
    if let Some(initial) = &config.initial_since {
        let (_, zoned) = json_records::timestamp(initial).ok_or_else(|| {
            Error::config(format!(
                "`initial_since` is `{initial}`; write it as ISO 8601, such as `2024-01-01T00:00:00Z`"
            ))
        })?;
        // As in Python Osiris, a time without a zone is UTC.
        let clock = if initial.trim().len() <= 10 { "T00:00:00" } else { "" };
        let initial = format!("{}{clock}{}", initial.trim(), if zoned { "" } else { "Z" });
        return Ok(Some(before.map_or(initial, str::to_owned)));
    }
    let bounded = matches!(config.data_type, DataType::Events | DataType::Sessions);
    Ok(match before {
        Some(before) => Some(before.to_owned()),
        None if bounded => {
            let since = spelt(SystemTime::now() - FIRST);
            context::warn(
                "the first run reads the last 30 days; `initial_since` names another beginning",
                &[("since", &since)],
            );
            Some(since)
        }
        None => None,
    })
}

/// A point in time as ISO 8601, in UTC.
fn spelt(time: SystemTime) -> String {
    let micros = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = osiris_sdk::calendar::date(days);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Reads all pages into the table.
struct Reading<'a, S: Sink> {
    config: &'a Config,
    api: Api,
    records: Records<S>,
    guard: PageGuard,
    seen: Seen,
    since: Option<String>,
    lookback: u32,
    /// The time of the last row.
    last: Option<String>,
    /// The number of rows of the lookback that were skipped.
    known: u64,
}

impl<S: Sink> Reading<'_, S> {
    fn run(&mut self) -> Result<()> {
        let until = spelt(SystemTime::now());
        let (mut after, mut offset): (Option<Place>, u64) = (None, 0);
        loop {
            let page = Page {
                kind: self.config.data_type,
                event_types: &self.config.event_types,
                since: self.since.as_deref(),
                lookback: self.lookback,
                until: &until,
                after: after.as_ref(),
                size: self.config.page_size,
                offset,
            };
            let hogql = page.hogql();
            self.guard.ask(&hogql)?;
            let rows = rows::records(self.api.ask(&hogql)?)?;
            // A page that is shorter than requested may only be as long as the server permits.
            if rows.is_empty() {
                return Ok(());
            }
            self.guard.got(&serde_json::to_vec(&rows)?)?;
            offset += rows.len() as u64;
            for row in rows {
                after = self.take(row)?.or(after);
            }
            context::progress(self.records.records(), None);
        }
    }

    fn take(&mut self, row: serde_json::Map<String, Value>) -> Result<Option<Place>> {
        let kind = self.config.data_type;
        let place = rows::place(kind, &row)?;
        if let Some(place) = &place {
            self.last = Some(place.time.clone());
            if !self.seen.take(&place.time, &row) && self.config.deduplication_enabled {
                self.known += 1;
                return Ok(Some(place.clone()));
            }
        }
        let row = if self.config.flatten_properties { rows::flatten(kind, row) } else { rows::as_text(row) };
        self.records.push(Value::Object(row))?;
        Ok(place)
    }

    fn finish(self) -> Result<()> {
        context::metric("pages_read", self.guard.pages() as f64);
        context::metric("requests_sent", self.api.client.sent() as f64);
        context::metric("rows_deduplicated", self.known as f64);
        if self.known > 0 {
            context::info("rows of the lookback that the last run read were left out", &[("count", &self.known)]);
        }
        if self.seen.forgot {
            context::warn(
                "the lookback holds too many rows to know them all again: the next run reads some of them twice",
                &[],
            );
        }
        let (_, columns) = self.records.finish()?;
        state::set(&State {
            data_type: Some(self.config.data_type),
            since: self.last,
            seen: self.seen.kept(),
            columns: Some(columns),
        })
    }
}

/// The queries of a project.
struct Api {
    client: Client,
    address: Url,
}

impl Api {
    fn new(access: &Access) -> Result<Self> {
        Ok(Self { client: access.client()?, address: access.address()? })
    }

    /// Sends a query, which only reads, so it may be sent twice.
    fn ask(&self, hogql: &str) -> Result<Value> {
        let body = json!({"query": {"kind": "HogQLQuery", "query": hogql}});
        let answer = self.client.request_to("POST", self.address.clone()).json(&body)?.repeatable().fetch();
        answer
            .map_err(|error| match error.kind {
                ErrorKind::NotFound => error.context("the project does not exist"),
                _ => error,
            })?
            .json()
    }
}

impl Check for PostHog {
    type Config = Access;

    fn check(access: Access) -> Result<String> {
        let api = Api::new(&access)?;
        rows::records(api.ask("SELECT 1 AS one LIMIT 1")?)?;
        Ok(format!("PostHog at {}", api.address.shown()))
    }
}

impl Discovery for PostHog {
    type Config = Access;

    fn discover(_: Access) -> Result<Vec<CatalogTable>> {
        let table = |name: &str, key: &str, columns: &[(&str, &str)]| CatalogTable {
            schema: None,
            name: name.to_owned(),
            columns: columns
                .iter()
                .map(|(name, kind)| CatalogColumn {
                    name: (*name).to_owned(),
                    source_type: (*kind).to_owned(),
                    duckdb_type: if *kind == "Boolean" { "BOOLEAN" } else { "VARCHAR" }.to_owned(),
                    nullable: *name != key,
                })
                .collect(),
            primary_key: vec![key.to_owned()],
            estimated_rows: None,
        };
        let events = [
            ("uuid", "UUID"),
            ("event", "String"),
            ("timestamp", "DateTime"),
            ("distinct_id", "String"),
            ("person_id", "UUID"),
            ("properties", "JSON"),
        ];
        let persons =
            [("id", "UUID"), ("created_at", "DateTime"), ("properties", "JSON"), ("is_identified", "Boolean")];
        let sessions = [("session_id", "String"), ("$start_timestamp", "DateTime"), ("$end_timestamp", "DateTime")];
        Ok(vec![
            table("events", "uuid", &events),
            table("person_distinct_ids", "distinct_id", &[("distinct_id", "String"), ("person_id", "UUID")]),
            table("persons", "id", &persons),
            table("sessions", "session_id", &sessions),
        ])
    }
}

osiris_sdk::export!(PostHog: extractor + discovery + check);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_formatted() {
        for (seconds, expected) in [(0, "1970-01-01T00:00:00.000000Z"), (1_709_210_096, "2024-02-29T12:34:56.000000Z")]
        {
            assert_eq!(spelt(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
