//! `http.extractor`: reads records from a REST API, page by page, into a table of typed columns.

mod auth;
mod config;
mod cursor;
mod pages;
mod source;

use json_records::path::outline;
use json_records::{Options, Path, Records};
use osiris_sdk::{Check, Error, ErrorKind, Extractor, Output, Result, context, state};
use serde::Deserialize;

use config::{Config, Connection, Manner, Missing};
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
        let records_path = Path::parse(&config.records_path)?;
        let options = Options {
            flatten: config.flatten.then(|| config.flatten_separator.clone()),
            dtype: config.dtype.clone(),
            hold_bytes: config.manner.hold_mb << 20,
        };
        let before: Option<State> = if config.cursor.is_some() { state::get()? } else { None };
        let mut cursor = config.cursor.clone().map(|options| Cursor::new(options, before.as_ref())).transpose()?;
        let mut records = Records::into_table(output, "main", &options, before.and_then(|state| state.columns))?;
        let mut source = Source::new(&config, cursor.as_ref())?;
        let mut pager = Pager::new(
            config.pagination.clone(),
            source.address().clone(),
            config.max_pages,
            config.allow_repeated_pages,
        )?;
        let limit = config.limit.unwrap_or(u64::MAX);
        let mut next = Some(pager.first()?);
        while let Some(ask) = next.take() {
            let answer = match source.fetch(&ask, pager.in_body()) {
                Err(error) if matches!(error.kind, ErrorKind::NotFound) && pager.may_end_by_not_found() => break,
                answer => answer?,
            };
            let json: serde_json::Value = answer.json()?;
            let hint = pager.look(&json, &answer.headers("link"))?;
            let shape = outline(&json);
            let found = match records_path.records(json) {
                Some(found) => found,
                None if config.missing_records == Missing::Empty => Vec::new(),
                None => {
                    return Err(Error::data(format!(
                        "the answer to `{}` has nothing at `records_path`, `{}`: it is {shape}; where an answer without \
                         records lacks it, write `missing_records: empty`",
                        answer.asked(),
                        records_path.text()
                    )));
                }
            };
            let count = found.len();
            for record in found {
                let is_new = cursor.as_mut().map_or(Ok(true), |cursor| cursor.take(&record))?;
                if is_new && records.records() < limit {
                    records.push(record)?;
                }
            }
            context::progress(records.records(), config.limit);
            if records.records() < limit {
                next = pager.next(&hint, count, &answer.bytes, &answer.url)?;
            }
        }
        context::metric("pages_read", pager.pages() as f64);
        context::metric("requests_sent", source.requests() as f64);
        let (_, columns) = records.finish()?;
        if let Some(cursor) = cursor {
            if cursor.without > 0 {
                context::info("records without the cursor's field were read", &[("records", &cursor.without)]);
            }
            state::set(&cursor.state(columns))?;
        }
        Ok(())
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
