//! `supabase.extractor`: reads a table over PostgREST's HTTP API, page by page, and makes sure that none is missing.

use std::collections::BTreeMap;

use json_records::{Options, Records};
use osiris_sdk::http::Request;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, ErrorKind, Extractor, Output, Result, context};
use postgrest::{Access, Api, content_range, fetch, filter};
use serde::Deserialize;
use serde_json::Value;

/// Memory in which rows wait, compressed, until the types of all are known.
const HOLD_BYTES: u64 = 128 << 20;

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(flatten)]
    access: Access,
    table: String,
    columns: Option<Vec<String>>,
    filters: BTreeMap<String, Conditions>,
    order: Option<Vec<String>>,
    limit: Option<u64>,
    page_size: u64,
    dtype: BTreeMap<String, String>,
}

/// What a column is compared to: one condition, or several that all hold.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Conditions {
    One(String),
    All(Vec<String>),
}

impl Config {
    /// The request that all pages have in common, but for their range.
    fn request(&self, api: &Api) -> Result<Request> {
        let mut request = api.table("GET", &self.table)?.header("range-unit", "items").header("prefer", "count=exact");
        let mut query: Vec<(String, String)> = Vec::new();
        query.extend(self.columns.as_ref().map(|columns| ("select".to_owned(), filter::names(columns))));
        for (column, conditions) in &self.filters {
            match conditions {
                Conditions::One(condition) => query.push((column.clone(), condition.clone())),
                Conditions::All(all) => query.extend(all.iter().map(|condition| (column.clone(), condition.clone()))),
            }
        }
        query.extend(self.order.as_ref().map(|order| ("order".to_owned(), order.join(","))));
        for (name, value) in &query {
            request = request.query(name, value);
        }
        Ok(request)
    }
}

struct Supabase;

impl Extractor for Supabase {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let api = Api::open(&config.access)?;
        let options = Options { flatten: None, dtype: config.dtype.clone(), hold_bytes: HOLD_BYTES };
        let mut records = Records::into_table(output, "main", &options, None)?;
        let request = config.request(&api)?;
        let wanted = config.limit.unwrap_or(u64::MAX);
        let mut total = None;
        while records.records() < wanted {
            let first = records.records();
            let last = first + config.page_size.min(wanted - first) - 1;
            let page = read_page(request.clone(), first, last, total)?;
            if total.is_none() {
                context::progress(0, Some(page.total.min(wanted)));
            }
            total = Some(page.total);
            let count = page.rows.len() as u64;
            page.rows.into_iter().try_for_each(|row| records.push(row))?;
            context::progress(records.records(), Some(page.total.min(wanted)));
            if count == 0 || records.records() >= page.total {
                break;
            }
            if config.order.is_none() && records.records() < wanted {
                return Err(Error::config(format!(
                    "`{}` has {} rows, more than come in one page, and no `order`: without one PostgreSQL may give \
                     a row twice and another never; write `order: [PRIMARY KEY]`",
                    config.table, page.total
                )));
            }
        }
        if let Some(total) = total
            && records.records() < total.min(wanted)
        {
            return Err(Error::new(
                ErrorKind::Transient,
                format!(
                    "`{}` has {total} rows but gave {}: it changed while it was read",
                    config.table,
                    records.records()
                ),
            ));
        }
        context::metric("requests_sent", api.sent() as f64);
        records.finish()?;
        Ok(())
    }
}

struct Page {
    rows: Vec<Value>,
    total: u64,
}

/// Reads rows `first` to `last`. `total` is how many the page before counted.
fn read_page(request: Request, first: u64, last: u64, total: Option<u64>) -> Result<Page> {
    let answer = fetch(request.header("range", &format!("{first}-{last}")))?;
    let range = content_range(&answer)?;
    let counted = range.total.ok_or_else(|| Error::data(format!("`{}` did not count its rows", answer.asked())))?;
    let rows: Vec<Value> = answer.json()?;
    let changed = |why: String| Error::new(ErrorKind::Transient, format!("`{}`: {why}", answer.asked()));
    if let Some(before) = total.filter(|&before| before != counted) {
        return Err(changed(format!(
            "the table changed while it was read, from {before} rows to {counted}; pages would overlap or miss rows"
        )));
    }
    let told = range.rows.map_or(0, |(first, last)| last - first + 1);
    if rows.len() as u64 != told || range.rows.is_some_and(|(start, _)| start != first) {
        return Err(Error::data(format!(
            "`{}` was asked for rows from {first} on and says `{}`, but holds {} rows",
            answer.asked(),
            answer.header("content-range").unwrap_or_default(),
            rows.len()
        )));
    }
    Ok(Page { rows, total: counted })
}

impl Discovery for Supabase {
    type Config = Access;

    fn discover(access: Access) -> Result<Vec<CatalogTable>> {
        Ok(postgrest::tables(&Api::open(&access)?.description()?))
    }
}

impl Check for Supabase {
    type Config = Access;

    fn check(access: Access) -> Result<String> {
        Ok(postgrest::version(&Api::open(&access)?.description()?))
    }
}

osiris_sdk::export!(Supabase: extractor + discovery + check);
