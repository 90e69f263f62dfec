//! `http.extractor`: reads records from a REST API, page by page, into a table of typed columns.

mod auth;
mod config;
mod overlap;
mod pages;
mod signs;
mod source;

use json_records::path::outline;
use json_records::{Nulls, Options, Page, Records, RecordsPath, Sink};
use osiris_sdk::http::Answer;
use osiris_sdk::{Check, Error, ErrorKind, Extractor, Output, Result, context, state};
use record_cursor::{Cursor, Manner as CursorManner, State};
use serde::Deserialize;
use serde_json::Value;

use config::{Config, Connection, Manner, Missing, Paging};
use pages::{Ask, Pager};
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
        let mut reading = Reading {
            config: &config,
            source,
            pager,
            cursor,
            records,
            records_path,
            sent: 0,
            total: None,
            nulls: Nulls::new(config.null_records),
            notes: Vec::new(),
        };
        reading.run()?;
        reading.finish()
    }
}

/// Content types for a sequence of JSON values.
const LINES: [&str; 7] = ["ndjson", "jsonl", "jsonlines", "json-lines", "json-seq", "stream+json", "json-stream"];

fn cursor(config: &Config, before: Option<&State>) -> Result<Option<Cursor>> {
    let manner = CursorManner {
        kind: config.cursor_type,
        format: config.cursor_format.clone(),
        lookback: config.lookback.clone(),
        ..CursorManner::default()
    };
    let given = config.cursor_format.is_some() || config.lookback.is_some();
    if given && config.cursor.is_none() {
        return Err(Error::config("`cursor_format` and `lookback` say how a `cursor` is read, which is missing"));
    }
    config.cursor.as_ref().map(|options| Cursor::new(&options.field, &manner, before)).transpose()
}

/// A response, and its JSON if it has a body.
struct Received {
    answer: Answer,
    json: Option<Value>,
}

/// Reads all pages into the table.
struct Reading<'a, S: Sink> {
    config: &'a Config,
    source: Source,
    pager: Pager,
    cursor: Option<Cursor>,
    records: Records<S>,
    records_path: RecordsPath,
    /// How many records the server sent, and how many it says there are, with the place where it says so.
    sent: u64,
    total: Option<(String, u64)>,
    nulls: Nulls,
    /// Notes about the responses for the user.
    notes: Vec<String>,
}

impl<S: Sink> Reading<'_, S> {
    fn run(&mut self) -> Result<()> {
        let limit = self.config.limit.unwrap_or(u64::MAX);
        let mut next = Some(self.pager.first()?);
        while let Some(ask) = next.take() {
            let Some(Received { answer, json }) = self.ask(&ask)? else { break };
            let link = answer.headers("link");
            let hint = self.pager.look(json.as_ref(), &link)?;
            let sign_of_more = signs::of_more(json.as_ref(), &link);
            let total = signs::of_total(json.as_ref(), &answer);
            let page = self.checked_page(json, &answer)?;
            let sent = page.sent;
            let content = Pager::content(&page, &answer.bytes);
            if sent > 0 && self.pager.ends_with(&content) {
                break;
            }
            self.pager.look_for_overlap(&page)?;
            self.sent += sent as u64;
            self.total = total.or(self.total.take());
            self.take(page, limit)?;
            context::progress(self.records.records(), self.config.limit);
            if self.records.records() < limit {
                next = self.pager.next(&hint, sent, &content, &answer.url)?;
                if next.is_none() {
                    self.note_more(sign_of_more);
                }
            }
        }
        if self.records.records() < limit {
            self.note_total();
        }
        Ok(())
    }

    /// Requests a page, again as long as the server says that it is not ready. `None` if a 404 shows that the page
    /// before was the last.
    fn ask(&mut self, ask: &Ask) -> Result<Option<Received>> {
        for tried in 1.. {
            let answer = match self.source.fetch(ask, self.pager.in_body()) {
                Err(error) if matches!(error.kind, ErrorKind::NotFound) && self.pager.may_end_by_not_found() => {
                    return Ok(None);
                }
                answer => answer?,
            };
            let range = answer.header("content-range").unwrap_or_default();
            if answer.status == 206 && range.trim_start().starts_with("bytes") {
                return Err(Error::data(format!(
                    "`{}` answered 206 with a part of its body alone: {}",
                    answer.asked(),
                    range.escape_debug()
                )));
            }
            let json = self.json(&answer)?;
            if answer.status != 202 || self.has_records(json.as_ref()) {
                return Ok(Some(Received { answer, json }));
            }
            self.source.wait(tried, &answer)?;
        }
        Err(Error::internal("the tries of a page have no end"))
    }

    /// Whether a response of 202 contains a list anyway, rather than a notice that there is none yet.
    fn has_records(&self, json: Option<&Value>) -> bool {
        let Some(json) = json else { return false };
        let is_single = json.is_object() && self.records_path.is_whole();
        !is_single && self.records_path.page(json).is_some_and(|page| page.sent > 0)
    }

    /// The response's JSON; `None` if it has no body. Values on separate lines (NDJSON) become one list.
    fn json(&mut self, answer: &Answer) -> Result<Option<Value>> {
        if answer.is_empty() {
            return Ok(None);
        }
        let mut values: Vec<Value> = answer.json_values()?;
        let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if LINES.iter().any(|name| kind.contains(name)) {
            return Ok(Some(Value::Array(values)));
        }
        if values.len() < 2 {
            return Ok(values.pop());
        }
        if !values.iter().all(Value::is_object) {
            return Err(Error::data(format!(
                "the response to `{}` is not the JSON that was expected: it has {} values one after the other, not all of them \
                 objects",
                answer.asked(),
                values.len()
            )));
        }
        let note = "a response has several JSON objects one after the other, which were read as lines of JSON (NDJSON)";
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
        Ok(Some(Value::Array(values)))
    }

    /// The records of a response, after checking that it is not an error with a status of success.
    fn checked_page(&mut self, json: Option<Value>, answer: &Answer) -> Result<Page> {
        let error = json.as_ref().and_then(signs::of_failure);
        let is_single = json.as_ref().is_some_and(Value::is_object) && self.records_path.is_whole();
        let page = self.page(json, answer)?;
        if is_single {
            self.look_for_error(&page)?;
        } else if page.sent == 0 {
            self.look_for_error_beside(error.as_deref())?;
        }
        Ok(page)
    }

    /// Notes that the last page that was read announces more.
    fn note_more(&mut self, sign: Option<String>) {
        let Some(sign) = sign.filter(|_| !self.pager.has_sign()) else { return };
        self.notes.push(match self.config.pagination.kind {
            Paging::None => format!(
                "the response says that there are more records ({sign}), but only this one page was read; name how pages follow \
                 by `pagination`"
            ),
            _ => format!(
                "page {} was taken for the last, but it says that there are more records ({sign}); if there are, correct \
                 `pagination`, or name the server's own sign by `pagination.has_more_path`",
                self.pager.pages()
            ),
        });
    }

    /// Notes that the server counts more records than it sent.
    fn note_total(&mut self) {
        let Some((place, total)) = self.total.take().filter(|(_, total)| *total > self.sent) else { return };
        self.notes.push(format!(
            "the server says that there are {total} records ({place}), but sent {}; if that count is right, see how pages follow \
             and end by `pagination`",
            self.sent
        ));
    }

    /// The records of a response. One without a body is an empty page.
    fn page(&self, json: Option<Value>, answer: &Answer) -> Result<Page> {
        let nothing = Page { records: Vec::new(), sent: 0 };
        let Some(json) = json else { return Ok(nothing) };
        match self.records_path.page(&json) {
            Some(page) => Ok(page),
            None if self.config.missing_records == Missing::Empty => Ok(nothing),
            None => Err(Error::data(format!(
                "the response to `{}` has nothing at `records_path`, `{}`: it is {}; where a response without records lacks it, \
                 write `missing_records: empty`",
                answer.asked(),
                self.records_path.text(),
                outline(&json)
            ))),
        }
    }

    /// Refuses a single object that is not a record, but an error that the server sent with a status of success.
    fn look_for_error(&mut self, page: &Page) -> Result<()> {
        let Some(told) = page.records.first().and_then(signs::of_error) else { return Ok(()) };
        let message = format!("the response has no list of records, and looks like an error: {told}");
        if self.config.pagination.kind != Paging::None {
            return Err(Error::data(message));
        }
        self.notes.push(format!("{message}; it was read as one record"));
        Ok(())
    }

    /// Refuses a response without records that gives a reason: it is not an empty page.
    fn look_for_error_beside(&mut self, error: Option<&str>) -> Result<()> {
        let Some(told) = error else { return Ok(()) };
        let message = format!("page {} has no records and names an error: {told}", self.pager.pages());
        if self.config.missing_records == Missing::Error {
            return Err(Error::data(format!("{message}; `missing_records: empty` takes it for an empty page")));
        }
        self.notes.push(format!("{message}; it was taken for an empty page"));
        Ok(())
    }

    fn take(&mut self, page: Page, limit: u64) -> Result<()> {
        let number = self.pager.pages();
        for (place, record) in page.records.into_iter().enumerate() {
            let place = || format!("record {} of page {number}", place + 1);
            if self.nulls.leave_out(&record, place)? {
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
        for note in self.pager.take_notes().into_iter().chain(std::mem::take(&mut self.notes)) {
            context::warn(&note, &[]);
        }
        self.nulls.warn();
        let (_, columns) = self.records.finish()?;
        if let Some(cursor) = self.cursor {
            cursor.report();
            state::set(&cursor.state(columns))?;
        }
        Ok(())
    }
}

/// The config that `check` receives: a connection, and the schema's defaults.
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
