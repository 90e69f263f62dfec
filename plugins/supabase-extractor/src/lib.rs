//! `supabase.extractor`: reads a table over PostgREST's HTTP API, page by page, and verifies that no row is missing.

mod config;
mod incremental;

use json_records::{Options, Records};
use osiris_sdk::http::Request;
use osiris_sdk::{CatalogTable, Check, Discovery, Error, ErrorKind, Extractor, Output, Result, context};
use postgrest::{Access, Api, Table, content_range, fetch_coded, filter};
use serde_json::Value;

use config::Config;
use incremental::Increment;

/// The memory in which rows wait, compressed, until the types of all are known.
const HOLD_BYTES: u64 = 128 << 20;

/// PostgREST's code for a first row beyond the last one.
const BEHIND_THE_END: &str = "PGRST103";

struct Supabase;

impl Extractor for Supabase {
    type Config = Config;

    fn extract(config: Config, output: Output) -> Result<()> {
        let cursor = config.cursor()?;
        let api = Api::open(&config.access)?;
        let mut increment = cursor.map(|column| Increment::begin(&config, &api, column)).transpose()?;
        let conditions = increment.as_mut().map(|increment| std::mem::take(&mut increment.conditions));
        let table = config.table()?;
        let reading = Reading { config: &config, api: &api, table, conditions: conditions.unwrap_or_default() };
        let options = Options { flatten: None, dtype: config.dtype.clone(), hold_bytes: HOLD_BYTES };
        let known = increment.as_mut().and_then(|increment| increment.columns.take());
        let mut records = Records::into_table(output, "main", &options, known)?;
        let mut number = 0;
        reading.each_row(|row| {
            number += 1;
            let is_new = increment.as_mut().map_or(Ok(true), |increment| increment.take(&row, number))?;
            if is_new { records.push(row) } else { Ok(()) }
        })?;
        context::metric("requests_sent", api.sent() as f64);
        let (_, columns) = records.finish()?;
        increment.map_or(Ok(()), |increment| increment.keep(columns))
    }
}

/// Reads a table page by page.
struct Reading<'a> {
    config: &'a Config,
    api: &'a Api,
    table: &'a str,
    /// Query parameters beside those of the config.
    conditions: Vec<(String, String)>,
}

struct Page {
    rows: Vec<Value>,
    total: u64,
}

impl Reading<'_> {
    /// Passes each row to `take`, and verifies that no row is missing.
    fn each_row(&self, mut take: impl FnMut(Value) -> Result<()>) -> Result<()> {
        let offset = self.config.offset;
        let mut order = self.config.order();
        let mut page = self.page(&order, offset, None)?;
        let total = page.total;
        // The rows of the table after `offset`, of which at most `limit` are wanted.
        let wanted = total.saturating_sub(offset).min(self.config.limit.unwrap_or(u64::MAX));
        if (page.rows.len() as u64) < wanted && !page.rows.is_empty() {
            let whole = self.whole_order(&order)?;
            if whole != order {
                order = whole;
                page = self.page(&order, offset, Some(total))?;
            }
        }
        let mut read = 0;
        loop {
            let count = page.rows.len() as u64;
            page.rows.into_iter().try_for_each(&mut take)?;
            read += count;
            context::progress(read, Some(wanted));
            // A page may be shorter than requested; only the count, or an empty page, ends the table.
            if count == 0 || read >= wanted {
                break;
            }
            page = self.page(&order, offset + read, Some(total))?;
        }
        if read < wanted {
            let table = self.table;
            return Err(Error::new(
                ErrorKind::Transient,
                format!("`{table}` has {wanted} rows to read but gave {read}: it changed while it was read"),
            ));
        }
        Ok(())
    }

    /// The order of rows that span several pages: what the step requests, then the primary key, so that the order is total.
    ///
    /// # Errors
    /// `config` if there is neither.
    fn whole_order(&self, order: &[String]) -> Result<Vec<String>> {
        let table = self.table;
        let known = self.api.description().ok().and_then(|description| Table::find(&description, table));
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

    /// The request that all pages have in common, except for their range.
    fn request(&self, order: &[String]) -> Result<Request> {
        let mut request =
            self.api.table("GET", self.table)?.header("range-unit", "items").header("prefer", "count=exact");
        for (name, value) in self.config.query(order)?.iter().chain(&self.conditions) {
            request = request.query(name, value);
        }
        Ok(request)
    }

    /// Reads a page starting at row `first`. `total` is the number of rows that the previous page counted.
    fn page(&self, order: &[String], first: u64, total: Option<u64>) -> Result<Page> {
        let config = self.config;
        let read = first - config.offset;
        let count = config.page_size.min(config.limit.unwrap_or(u64::MAX).saturating_sub(read));
        if count == 0 {
            return Ok(Page { rows: Vec::new(), total: total.unwrap_or_default() });
        }
        let last = first.saturating_add(count - 1);
        let answer = match fetch_coded(self.request(order)?.header("range", &format!("{first}-{last}"))) {
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
