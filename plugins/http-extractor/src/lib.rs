//! `http.extractor`: reads records from a REST API, page by page, into a table of typed columns.

mod auth;
mod config;
mod cursor;
mod format;
mod lookback;
mod moment;
mod number;
mod order;
mod pages;
mod source;

use json_records::path::outline;
use json_records::{Options, Page, Records, RecordsPath, Sink};
use osiris_sdk::http::Answer;
use osiris_sdk::{Check, Error, ErrorKind, Extractor, Output, Result, context, state};
use serde::Deserialize;
use serde_json::Value;

use config::{Config, Connection, Manner, Missing, NullRecords};
use cursor::{Cursor, State};
use pages::Pager;
use source::Source;

struct Http;

impl Extractor for Http {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        if config.cursor.is_some() && config.limit.is_some() {
            return Err(Error::config(
                "`limit` and `cursor` do not go together: what lies beyond the limit would never be read; leave one out",
            ));
        }
        let options = Options {
            flatten: config.flatten.then(|| config.flatten_separator.clone()),
            dtype: config.dtype.clone(),
            hold_bytes: config.manner.hold_mb << 20,
        };
        let before: Option<State> = if config.cursor.is_some() { state::get()? } else { None };
        let cursor = cursor(&config, before.as_ref())?;
        let source = Source::new(&config, cursor.as_ref())?;
        let pager = Pager::new(
            config.pagination.clone(),
            source.address().clone(),
            config.max_pages,
            config.allow_repeated_pages,
        )?;
        let records = Records::into_table(output, "main", &options, before.and_then(|state| state.columns))?;
        let records_path = RecordsPath::parse(&config.records_path)?;
        let mut reading = Reading { config: &config, source, pager, cursor, records, records_path, nulls: 0 };
        reading.run()?;
        reading.finish()
    }
}

fn cursor(config: &Config, before: Option<&State>) -> Result<Option<Cursor>> {
    let manner = cursor::Manner {
        kind: config.cursor_type,
        format: config.cursor_format.clone(),
        lookback: config.lookback.clone(),
    };
    let given = config.cursor_format.is_some() || config.lookback.is_some();
    if given && config.cursor.is_none() {
        return Err(Error::config("`cursor_format` and `lookback` say how a `cursor` is read, which is missing"));
    }
    config.cursor.clone().map(|options| Cursor::new(options, &manner, before)).transpose()
}

/// All pages on their way into the table.
struct Reading<'a, S: Sink> {
    config: &'a Config,
    source: Source,
    pager: Pager,
    cursor: Option<Cursor>,
    records: Records<S>,
    records_path: RecordsPath,
    /// Nulls in place of records that were left out.
    nulls: u64,
}

impl<S: Sink> Reading<'_, S> {
    fn run(&mut self) -> Result<()> {
        let limit = self.config.limit.unwrap_or(u64::MAX);
        let mut next = Some(self.pager.first()?);
        while let Some(ask) = next.take() {
            let answer = match self.source.fetch(&ask, self.pager.in_body()) {
                Err(error) if matches!(error.kind, ErrorKind::NotFound) && self.pager.may_end_by_not_found() => break,
                answer => answer?,
            };
            let json: Option<Value> = if answer.is_empty() { None } else { Some(answer.json()?) };
            let hint = self.pager.look(json.as_ref(), &answer.headers("link"))?;
            let page = self.page(json, &answer)?;
            let sent = page.sent;
            self.take(page, limit)?;
            context::progress(self.records.records(), self.config.limit);
            if self.records.records() < limit {
                next = self.pager.next(&hint, sent, &answer.bytes, &answer.url)?;
            }
        }
        Ok(())
    }

    /// The records of an answer. One without a body is an empty page.
    fn page(&self, json: Option<Value>, answer: &Answer) -> Result<Page> {
        let nothing = Page { records: Vec::new(), sent: 0 };
        let Some(json) = json else { return Ok(nothing) };
        match self.records_path.page(&json) {
            Some(page) => Ok(page),
            None if self.config.missing_records == Missing::Empty => Ok(nothing),
            None => Err(Error::data(format!(
                "the answer to `{}` has nothing at `records_path`, `{}`: it is {}; where an answer without records lacks it, \
                 write `missing_records: empty`",
                answer.asked(),
                self.records_path.text(),
                outline(&json)
            ))),
        }
    }

    fn take(&mut self, page: Page, limit: u64) -> Result<()> {
        let number = self.pager.pages();
        for (place, record) in page.records.into_iter().enumerate() {
            let place = || format!("record {} of page {number}", place + 1);
            if record.is_null() {
                if self.config.null_records == NullRecords::Error {
                    return Err(Error::data(format!(
                        "{} is null, where a record was expected; `null_records: skip` leaves such out and counts them",
                        place()
                    )));
                }
                self.nulls += 1;
                continue;
            }
            let is_new = self.cursor.as_mut().map_or(Ok(true), |cursor| cursor.take(&record, place))?;
            if is_new && self.records.records() < limit {
                self.records.push(record)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        context::metric("pages_read", self.pager.pages() as f64);
        context::metric("requests_sent", self.source.requests() as f64);
        for note in self.pager.take_notes() {
            context::warn(&note, &[]);
        }
        if self.nulls > 0 {
            context::warn("nulls in place of records were left out", &[("count", &self.nulls)]);
        }
        let (_, columns) = self.records.finish()?;
        if let Some(cursor) = self.cursor {
            tell(&cursor);
            state::set(&cursor.state(columns))?;
        }
        Ok(())
    }
}

/// What the user should know of the records that the cursor saw.
fn tell(cursor: &Cursor) {
    let (field, counts) = (cursor.field(), cursor.counts());
    context::metric("records_known", counts.skipped as f64);
    if counts.without > 0 {
        context::info("records without the cursor's field were read", &[("count", &counts.without)]);
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
            &[("column", &field), ("count", &counts.beyond), ("value", value)],
        );
    }
    if counts.forgot {
        context::warn("these are too many to be known again: the next run reads them again", &[("column", &field)]);
    }
    if let Some(value) = &counts.stuck {
        context::warn(
            "the last run ended at a value that nothing could come after, so everything was read again",
            &[("column", &field), ("value", value)],
        );
    }
}

/// What `check` is given: a connection, and the schema's defaults.
#[derive(Deserialize)]
struct CheckConfig {
    #[serde(default)]
    connection: Connection,
    #[serde(flatten)]
    manner: Manner,
}

impl Check for Http {
    type Config = CheckConfig;

    fn check(config: CheckConfig) -> Result<String> {
        source::check(&config.connection, &config.manner)
    }
}

osiris_sdk::export!(Http: extractor + check);
