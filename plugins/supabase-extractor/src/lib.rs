//! `supabase.extractor`: reads a table over PostgREST's HTTP API, page by page, and verifies that no row is missing.

mod config;

use json_records::{Options, Records};
use osiris_sdk::http::Request;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, ErrorKind, Extractor, Output, Result, context};
use postgrest::{Access, Api, Table, content_range, fetch_coded, filter};
use serde_json::Value;

use config::Config;

/// The memory in which rows wait, compressed, until the types of all are known.
const HOLD_BYTES: u64 = 128 << 20;

/// PostgREST's code for a first row beyond the last one.
const BEHIND_THE_END: &str = "PGRST103";

struct Supabase;

impl Extractor for Supabase {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let api = Api::open(&config.access)?;
        let options = Options { flatten: None, dtype: config.dtype.clone(), hold_bytes: HOLD_BYTES };
        let mut records = Records::into_table(output, "main", &options, None)?;
        let mut order = config.order();
        let mut page = read_page(&config, &api, &order, config.offset, None)?;
        let total = page.total;
        // The rows of the table after `offset`, of which at most `limit` are wanted.
        let wanted = total.saturating_sub(config.offset).min(config.limit.unwrap_or(u64::MAX));
        if (page.rows.len() as u64) < wanted && !page.rows.is_empty() {
            let whole = whole_order(&config, &api, &order)?;
            if whole != order {
                order = whole;
                page = read_page(&config, &api, &order, config.offset, Some(total))?;
            }
        }
        loop {
            let is_empty = page.rows.is_empty();
            page.rows.into_iter().try_for_each(|row| records.push(row))?;
            context::progress(records.records(), Some(wanted));
            // A page may be shorter than requested; only the count, or an empty page, ends the table.
            if is_empty || records.records() >= wanted {
                break;
            }
            page = read_page(&config, &api, &order, config.offset + records.records(), Some(total))?;
        }
        if records.records() < wanted {
            return Err(Error::new(
                ErrorKind::Transient,
                format!(
                    "`{}` has {wanted} rows to read but gave {}: it changed while it was read",
                    config.table()?,
                    records.records()
                ),
            ));
        }
        context::metric("requests_sent", api.sent() as f64);
        records.finish()?;
        Ok(())
    }
}

/// The order of rows that span several pages: what the step requests, then the primary key, so that the order is total.
///
/// # Errors
/// `config` if there is neither.
fn whole_order(config: &Config, api: &Api, order: &[String]) -> Result<Vec<String>> {
    let table = config.table()?;
    let known = api.description().ok().and_then(|description| Table::find(&description, table));
    let key = known.map(|table| table.primary_key()).unwrap_or_default();
    if key.is_empty() && order.is_empty() {
        return Err(Error::config(format!(
            "`{table}` has more rows than come in one page, no `order`, and no primary key that this key can see: without an \
             order PostgreSQL may give a row twice and another never; write `order` with columns that tell rows apart"
        )));
    }
    if key.is_empty() {
        context::warn(
            "rows that are equal in `order` may be read twice or never, since no primary key is known that would order them",
            &[("table", &table), ("order", &order.join(","))],
        );
    }
    let mut whole = order.to_vec();
    for column in key.iter().map(|column| filter::name(column)) {
        let is_there = |part: &String| *part == column || part.starts_with(&format!("{column}."));
        if !whole.iter().any(is_there) {
            whole.push(column);
        }
    }
    Ok(whole)
}

struct Page {
    rows: Vec<Value>,
    total: u64,
}

/// The request that all pages have in common, except for their range.
fn request(config: &Config, api: &Api, order: &[String]) -> Result<Request> {
    let mut request = api.table("GET", config.table()?)?.header("range-unit", "items").header("prefer", "count=exact");
    for (name, value) in config.query(order)? {
        request = request.query(&name, &value);
    }
    Ok(request)
}

/// Reads a page starting at row `first`. `total` is the number of rows that the previous page counted.
fn read_page(config: &Config, api: &Api, order: &[String], first: u64, total: Option<u64>) -> Result<Page> {
    let read = first - config.offset;
    let count = config.page_size.min(config.limit.unwrap_or(u64::MAX).saturating_sub(read));
    if count == 0 {
        return Ok(Page { rows: Vec::new(), total: total.unwrap_or_default() });
    }
    let last = first.saturating_add(count - 1);
    let answer = match fetch_coded(request(config, api, order)?.header("range", &format!("{first}-{last}"))) {
        Err(fault) if fault.code == BEHIND_THE_END && total.is_none() => {
            return Ok(Page { rows: Vec::new(), total: 0 });
        }
        answer => answer.map_err(|fault| fault.error)?,
    };
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
