//! `supabase.writer`: writes one input over PostgREST's HTTP API, in batches that are transactions.

mod keys;
mod replace;
mod rows;

use std::time::Duration;

use osiris_sdk::http::Request;
use osiris_sdk::{Check, Error, ErrorKind, Input, Inputs, Result, Writer, context};
use postgrest::{Access, Api, fetch, filter};
use serde::Deserialize;

use rows::{Batch, Batches};

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    access: Access,
    pub table: String,
    mode: Mode,
    pub primary_key: Vec<String>,
    batch_rows: usize,
    batch_bytes: usize,
    one_request: bool,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Append,
    Upsert,
    Replace,
}

/// The largest request, where all rows go in one.
const ONE_REQUEST_BYTES: usize = 32 << 20;

struct Supabase;

impl Writer for Supabase {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let input = inputs.only()?;
        if config.primary_key.is_empty() && config.mode != Mode::Append {
            return Err(Error::config("`upsert` and `replace` need `primary_key`, the columns that tell rows apart"));
        }
        let api = Api::open(&config.access)?;
        if !config.primary_key.is_empty() {
            keys::check(input, &config.primary_key)?;
        }
        write(&config, &api, input)?;
        if config.mode == Mode::Replace {
            replace::delete_missing(&config, &api, input)?;
        }
        context::metric("requests_sent", api.sent() as f64);
        Ok(())
    }
}

fn write(config: &Config, api: &Api, input: &Input) -> Result<()> {
    let (rows, bytes) =
        if config.one_request { (usize::MAX, ONE_REQUEST_BYTES) } else { (config.batch_rows, config.batch_bytes) };
    let columns = rows::columns(input)?;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let total = input.rows();
    let mut written = 0;
    for batch in Batches::read(input, &columns, rows, bytes)? {
        let batch = batch?;
        if config.one_request && batch.rows < total {
            return Err(Error::data(format!(
                "the {total} rows of `{}` do not fit into one request of 32 MiB; nothing was written; leave out `one_request`",
                input.alias()
            )));
        }
        let count = batch.rows;
        send(config, api, &names, batch).map_err(|error| told(config, error, written, count))?;
        written += count;
        context::progress(written, Some(total));
    }
    Ok(())
}

/// Sends a batch, again where that can write nothing twice.
fn send(config: &Config, api: &Api, names: &[String], batch: Batch) -> Result<()> {
    let prefer = match config.mode {
        _ if config.primary_key.is_empty() => "return=minimal",
        Mode::Append => "return=minimal,resolution=ignore-duplicates",
        Mode::Upsert | Mode::Replace => "return=minimal,resolution=merge-duplicates",
    };
    let mut request =
        api.table("POST", &config.table)?.header("prefer", prefer).query("columns", &filter::names(names));
    if config.primary_key.is_empty() {
        return send_once(request.body(batch.json, "application/json"), api.retries());
    }
    request = request.query("on_conflict", &filter::names(&config.primary_key));
    fetch(request.body(batch.json, "application/json").repeatable())?;
    Ok(())
}

/// Sends rows that nothing tells apart: again only where the server says that it took none of them.
fn send_once(request: Request, retries: u32) -> Result<()> {
    let mut wait = Duration::from_millis(500);
    for _ in 0..retries {
        match fetch(request.clone()) {
            Err(error) if matches!(error.kind, ErrorKind::RateLimited) => {
                let pause = error.retry_after.unwrap_or(wait);
                if pause > Duration::from_secs(60) {
                    return Err(error);
                }
                context::info("the server asks for fewer requests", &[("wait_ms", &pause.as_millis())]);
                std::thread::sleep(pause);
                wait *= 2;
            }
            done => return done.map(|_| ()),
        }
    }
    fetch(request).map(|_| ())
}

/// Says what is certain about the rows when a batch fails.
fn told(config: &Config, error: Error, written: u64, count: u64) -> Error {
    let is_open = match &error.kind {
        ErrorKind::Transient | ErrorKind::Internal => true,
        ErrorKind::Other(other) => other == "timeout",
        _ => false,
    };
    let table = &config.table;
    let batch = if is_open {
        format!("whether the {count} rows from row {written} on were written is not known")
    } else {
        format!("of the {count} rows from row {written} on none was written")
    };
    let cure = match (config.primary_key.is_empty(), is_open) {
        (false, _) => "running again writes nothing twice",
        (true, false) if written == 0 => "nothing was written, so running again is safe",
        (true, _) => "running again would write those twice; give `primary_key` to make it safe",
    };
    // Only what may be repeated as a whole is worth another attempt of the step.
    let kind = match error.kind {
        ErrorKind::Transient | ErrorKind::RateLimited if config.primary_key.is_empty() && (is_open || written > 0) => {
            ErrorKind::Other("partly written".to_owned())
        }
        kind => kind,
    };
    Error {
        kind,
        message: format!("{}; {written} rows are in `{table}`, {batch}; {cure}", error.message),
        retry_after: error.retry_after,
    }
}

impl Check for Supabase {
    type Config = Access;

    fn check(access: Access) -> Result<String> {
        Ok(postgrest::version(&Api::open(&access)?.description()?))
    }
}

osiris_sdk::export!(Supabase: writer + check);

#[cfg(test)]
mod tests {
    use super::*;

    fn config(primary_key: &[&str]) -> Config {
        let text = format!(
            r#"{{"table": "t", "mode": "append", "primary_key": {primary_key:?}, "batch_rows": 1, "batch_bytes": 1, "one_request": false}}"#
        );
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_lost_answer_says_what_is_certain_and_is_not_tried_again() {
        let lost = || Error::new(ErrorKind::Transient, "x");
        let error = told(&config(&[]), lost(), 20, 10);
        assert!(
            error.message.contains("20 rows are in `t`") && error.message.contains("not known"),
            "{}",
            error.message
        );
        assert!(matches!(error.kind, ErrorKind::Other(_)));
        let error = told(&config(&["id"]), lost(), 20, 10);
        assert!(error.message.contains("writes nothing twice") && matches!(error.kind, ErrorKind::Transient));
        let error = told(&config(&[]), Error::new(ErrorKind::RateLimited, "x"), 0, 10);
        assert!(error.message.contains("is safe") && matches!(error.kind, ErrorKind::RateLimited), "{}", error.message);
    }
}
