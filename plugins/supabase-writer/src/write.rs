//! Sends the rows, and checks what was written if only that shows what the table's types can hold.

use std::time::Duration;

use conversions::OnLoss;
use osiris_sdk::http::{Answer, Request};
use osiris_sdk::{Error, ErrorKind, Result, context};
use postgrest::{Fault, content_range, fetch_coded, filter};
use serde_json::Value;

use crate::culprit;
use crate::keys;
use crate::rows::{self, Batch, Batches, Selection};
use crate::step::Step;
use crate::{Config, Mode, verify};

/// The progress of writing, and what was encountered.
#[derive(Default)]
struct Tally {
    written: u64,
    /// The number of rows that `append` skipped, because the table has their key.
    left_out: u64,
    /// The number of values that the table stores differently, by column.
    changed: Vec<u64>,
    /// Whether rows are sent in another order than the input's, so that their numbers are unknown.
    reordered: bool,
}

impl Step<'_> {
    /// Writes all rows.
    ///
    /// # Errors
    /// The server's error, with what is certain about the rows.
    pub fn write(&self) -> Result<()> {
        let config = self.config;
        let (most_rows, bytes) =
            if config.one_request { (usize::MAX, rows::MOST_BYTES) } else { (config.batch_rows, config.batch_bytes) };
        let compared: Vec<usize> =
            (0..self.columns.len()).filter(|&place| config.verify && self.columns[place].hides_digits).collect();
        let together = if config.mode == Mode::Append { Vec::new() } else { keys::together(self.input, self.key)? };
        let selection = Selection { columns: self.columns, compared: &compared, together: &together };
        let total = self.input.rows();
        let mut tally = Tally { changed: vec![0; compared.len()], reordered: !together.is_empty(), ..Tally::default() };
        for batch in Batches::read(self.input, &selection, most_rows, bytes)? {
            let mut batch = batch?;
            if config.one_request && batch.rows < total {
                return Err(Error::data(format!(
                    "the {total} rows of `{}` do not fit into one request of 32 MiB; nothing was written; leave out `one_request`",
                    self.input.alias()
                )));
            }
            let json = std::mem::take(&mut batch.json);
            let answer = self
                .send(json, &compared)
                .map_err(|fault| told(config, self.translated(fault), tally.written, batch.rows))?;
            let inserted = content_range(&answer).ok().and_then(|range| range.total).unwrap_or(batch.rows);
            let written =
                if compared.is_empty() { inserted } else { self.look(&answer, &batch, &compared, &mut tally)? };
            tally.left_out += batch.rows.saturating_sub(written);
            tally.written += batch.rows;
            context::progress(tally.written, Some(total));
        }
        self.report(&tally, &compared);
        Ok(())
    }

    fn report(&self, tally: &Tally, compared: &[usize]) {
        if tally.left_out > 0 {
            context::warn(
                &format!(
                    "rows were left out, since `{}` has their key already (or a lost response hid that they were written)",
                    self.config.table
                ),
                &[("count", &tally.left_out), ("table", &self.config.table)],
            );
        }
        for (&place, count) in compared.iter().zip(&tally.changed).filter(|(_, count)| **count > 0) {
            let column = &self.columns[place];
            context::warn(
                &format!("column `{}`: values were rounded by the table's type", column.name),
                &[("column", &column.name), ("count", count), ("target", &column.target_name)],
            );
        }
    }

    /// Sends a batch, and retries if that cannot write anything twice.
    fn send(&self, json: Vec<u8>, compared: &[usize]) -> Result<Answer, Fault> {
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let answered = if compared.is_empty() { "return=minimal,count=exact" } else { "return=representation" };
        let resolution = match self.config.mode {
            _ if self.key.is_empty() => "",
            Mode::Append => ",resolution=ignore-duplicates",
            Mode::Upsert | Mode::Replace => ",resolution=merge-duplicates",
        };
        let mut request = self
            .api
            .table("POST", &self.config.table)?
            .header("prefer", &format!("{answered}{resolution}"))
            .query("columns", &filter::names(&names));
        if !compared.is_empty() {
            let texts = compared.iter().enumerate();
            let texts = texts.map(|(number, &place)| format!("v{number}:{}::text", filter::name(&names[place])));
            request = request.query("select", &texts.collect::<Vec<_>>().join(","));
        }
        if self.key.is_empty() {
            return send_once(request.body(json, "application/json"), self.api.retries());
        }
        let key: Vec<String> = self.key.iter().map(|key| key.name.clone()).collect();
        request = request.query("on_conflict", &filter::names(&key));
        fetch_coded(request.body(json, "application/json").repeatable())
    }

    /// The error of a request, with the rows that caused it if the server does not name them.
    fn translated(&self, fault: Fault) -> Error {
        // PostgreSQL's data exceptions, and values for columns that it generates itself.
        if fault.code.starts_with("22") {
            return culprit::named(self, fault);
        }
        if fault.code == "23502" {
            return culprit::without_value(self, fault.error);
        }
        if fault.code == "428C9" {
            let error = fault.error;
            return Error::data(format!(
                "{}; the server generates its values, so leave it out in a step before: `select * exclude (…) from …`",
                error.message
            ));
        }
        // PostgreSQL's cardinality violation: an upsert encountered one row of the table twice.
        if fault.code != "21000" || self.key.is_empty() {
            return fault.error;
        }
        let names: Vec<String> = self.key.iter().map(|key| format!("`{}` ({})", key.name, key.target_name)).collect();
        let rows = match keys::suspects(self.input, self.key) {
            Ok(Some(twins)) => format!("most probably {twins}"),
            _ => "the server does not tell which".to_owned(),
        };
        Error::data(format!(
            "`primary_key` {} does not tell rows of `{}` apart: two of them are one row in the table: {rows}; keep one of \
             them, by SQL that says which",
            names.join(", "),
            self.input.alias()
        ))
    }

    /// Compares what was written with what was sent; returns how many rows were written.
    fn look(&self, answer: &Answer, batch: &Batch, compared: &[usize], tally: &mut Tally) -> Result<u64> {
        let written: Vec<Value> = answer.json()?;
        let is_whole = written.len() == batch.sent.len();
        let mut sent = batch.sent.iter().enumerate();
        for row in &written {
            // Skipped rows are missing in the response, which has the others in order.
            let matches = |number: usize, text: Option<&str>| {
                let format = &self.columns[compared[number]].target_name;
                verify::is_same(text, row[format!("v{number}").as_str()].as_str(), format)
            };
            let same = |texts: &[Option<String>]| {
                texts.iter().enumerate().all(|(number, text)| matches(number, text.as_deref()))
            };
            let found = if is_whole { sent.next() } else { sent.by_ref().find(|(_, texts)| same(texts)) };
            let Some((place, texts)) = found else {
                return Err(self.changed(tally, None, compared[0], None, None));
            };
            for (number, text) in texts.iter().enumerate().filter(|(number, text)| !matches(*number, text.as_deref())) {
                let column = compared[number];
                if self.config.on_loss.of(&self.columns[column].name) != OnLoss::Round {
                    let own = row[format!("v{number}").as_str()].as_str();
                    return Err(self.changed(tally, Some(place), column, text.as_deref(), own));
                }
                tally.changed[number] += 1;
            }
        }
        Ok(written.len() as u64)
    }

    fn changed(
        &self,
        tally: &Tally,
        place: Option<usize>,
        column: usize,
        sent: Option<&str>,
        own: Option<&str>,
    ) -> Error {
        let column = &self.columns[column];
        let row = match place {
            Some(place) if !tally.reordered => format!(", row {}", tally.written + place as u64 + 1),
            _ => String::new(),
        };
        let values = match (sent, own) {
            (None, None) => "a value was sent that is another one in the table".to_owned(),
            (sent, own) => {
                format!("`{}` was sent and is `{}` in the table", sent.unwrap_or("null"), own.unwrap_or("null"))
            }
        };
        Error::data(format!(
            "column `{}`{row}: {values}: its type ({}) holds fewer digits, which the API does not tell beforehand; {} rows \
             before this batch are in `{}`, and so is this batch; `on_loss: round` allows the table to round, or round in SQL",
            column.name, column.target_name, tally.written, self.config.table
        ))
    }
}

/// Sends rows that nothing identifies: retries only if the server says that it accepted none of them.
fn send_once(request: Request, retries: u32) -> Result<Answer, Fault> {
    let mut wait = Duration::from_millis(500);
    for _ in 0..retries {
        match fetch_coded(request.clone()) {
            Err(fault) if matches!(fault.error.kind, ErrorKind::RateLimited) => {
                let pause = fault.error.retry_after.unwrap_or(wait);
                if pause > Duration::from_secs(60) {
                    return Err(fault);
                }
                context::info("the server asks for fewer requests", &[("wait_ms", &pause.as_millis())]);
                std::thread::sleep(pause);
                wait *= 2;
            }
            done => return done,
        }
    }
    fetch_coded(request)
}

/// Adds to an error what is certain about the rows after a batch fails.
fn told(config: &Config, error: Error, written: u64, count: u64) -> Error {
    let is_open = matches!(error.kind, ErrorKind::Transient | ErrorKind::Timeout | ErrorKind::Internal);
    let table = &config.table;
    let batch = if is_open {
        format!("whether the {count} rows from row {written} on were written is not known")
    } else {
        format!("of the {count} rows from row {written} on none was written")
    };
    let cure = match (config.primary_key.list().is_empty(), is_open) {
        (false, _) => "running again writes nothing twice",
        (true, false) if written == 0 => "nothing was written, so running again is safe",
        (true, _) => "running again would write those twice; give `primary_key` to make it safe",
    };
    // Only what may be repeated as a whole justifies another attempt of the step.
    let (kind, code) = match error.kind {
        ErrorKind::Transient | ErrorKind::RateLimited | ErrorKind::Timeout
            if config.primary_key.list().is_empty() && (is_open || written > 0) =>
        {
            (ErrorKind::Other, Some("partly-written".to_owned()))
        }
        kind => (kind, error.code),
    };
    Error {
        kind,
        code,
        message: format!("{}; {written} rows are in `{table}`, {batch}; {cure}", error.message),
        retry_after: error.retry_after,
    }
}

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
    fn a_lost_response_says_what_is_certain_and_is_not_retried() {
        let lost = || Error::new(ErrorKind::Transient, "x");
        let error = told(&config(&[]), lost(), 20, 10);
        assert!(
            error.message.contains("20 rows are in `t`") && error.message.contains("not known"),
            "{}",
            error.message
        );
        assert_eq!(error.kind, ErrorKind::Other);
        let error = told(&config(&["id"]), lost(), 20, 10);
        assert!(error.message.contains("writes nothing twice") && matches!(error.kind, ErrorKind::Transient));
        let error = told(&config(&[]), Error::new(ErrorKind::RateLimited, "x"), 0, 10);
        assert!(error.message.contains("is safe") && matches!(error.kind, ErrorKind::RateLimited), "{}", error.message);
    }
}
