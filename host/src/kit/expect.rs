//! Compares what came of a run with what its test expects.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::outcome::{Outcome, Table};
use super::test_file::{Expectation, ExpectedError, ExpectedFile, ExpectedRequest, ExpectedTable};
use crate::error::{Failure, listed};
use crate::exact_json::{Exact, Number};
use crate::recordings::matching::{differences, words};
use crate::recordings::{Content, Order, Replay, Request, Seen};
use crate::untrusted::line;

/// The most differences of one table that are listed.
const MAX_DIFFERENCES: usize = 10;

/// The longest value or text that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// Every way in which an outcome differs from what is expected; empty if it does not. `replay` is the recording that answered
/// its requests.
pub fn problems(expected: &Expectation, outcome: &Outcome, replay: Option<&Replay>) -> Vec<String> {
    let mut found = Vec::new();
    compare_failure(expected.error.as_ref(), outcome.error.as_ref(), &mut found);
    compare_replay(outcome, replay, &mut found);
    if let (Some(tables), true) = (&expected.tables, outcome.is_success()) {
        compare_tables(tables, &outcome.tables, &mut found);
    }
    if let Some(delivered) = expected.delivered.filter(|delivered| *delivered != outcome.rows) {
        found.push(format!("delivered rows: expected {delivered}, got {}", outcome.rows));
    }
    if let Some(state) = &expected.state {
        let now = outcome.state.as_deref().unwrap_or("null");
        if !Exact::parse(now).is_ok_and(|now| is_value(state, &now)) {
            found.push(format!("state: expected {}, got {}", shown(&state.to_string()), shown(now)));
        }
    }
    if let Some(requests) = &expected.requests {
        compare_requests(requests, &outcome.exchanges, &mut found);
    }
    for text in &expected.log {
        if !outcome.log.iter().any(|line| line.message.raw().contains(text)) {
            let lines: Vec<&str> = outcome.log.iter().map(|line| line.message.raw()).collect();
            found.push(format!("log: expected a line with `{}`, got {}", shown(text), quoted(&lines)));
        }
    }
    if let Some(warnings) = &expected.warnings {
        let now: Vec<String> = outcome.warnings.iter().map(ToString::to_string).collect();
        let agree = now.len() == warnings.len() && now.iter().zip(warnings).all(|(now, text)| now.contains(text));
        if !agree {
            let now: Vec<&str> = now.iter().map(String::as_str).collect();
            let expected: Vec<&str> = warnings.iter().map(String::as_str).collect();
            found.push(format!("warnings: expected {}, got {}", quoted(&expected), quoted(&now)));
        }
    }
    for (name, value) in &expected.metrics {
        let values: Vec<f64> = outcome.metrics.iter().filter(|(own, _)| own == name).map(|(_, value)| *value).collect();
        if values.last() != Some(value) {
            found.push(format!("metric `{}`: expected {value}, got {values:?}", line(name)));
        }
    }
    if let Some(files) = &expected.files {
        compare_files(files, outcome, &mut found);
    }
    if let Some(attempts) = expected.attempts.filter(|attempts| *attempts != outcome.attempts) {
        found.push(format!("attempts: expected {attempts}, got {}", outcome.attempts));
    }
    found
}

/// Compares how a run, or a step of it, ended.
pub(super) fn compare_failure(expected: Option<&ExpectedError>, error: Option<&Failure>, found: &mut Vec<String>) {
    match (expected, error) {
        (None, None) => {}
        (None, Some(error)) => {
            let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("; hint: {hint}"));
            let printed = error.printed.as_ref().map_or_else(String::new, |text| format!("\n{}", text.paragraph()));
            found.push(format!("expected success, got error `{}`: {}{hint}{printed}", error.kind, error.message));
        }
        (Some(expected), None) => {
            let kind = expected.kind.as_deref().unwrap_or("any");
            found.push(format!("expected an error of kind `{kind}`, got success"));
        }
        (Some(ExpectedError { kind, text, retry_after_ms }), Some(error)) => {
            let after = error.retry.and_then(|retry| retry.after_ms);
            if retry_after_ms.is_some() && *retry_after_ms != after {
                found.push(format!("error: expected retry_after_ms {}, got {}", wait(*retry_after_ms), wait(after)));
            }
            if kind.as_deref().is_some_and(|kind| kind != error.kind.raw()) {
                let kind = kind.as_deref().unwrap_or_default();
                found.push(format!("error: expected kind `{kind}`, got `{}`: {}", error.kind, error.message));
            }
            for text in text.list().into_iter().filter(|text| !error.message.raw().contains(*text)) {
                found.push(format!("error: expected a message with `{}`, got: {}", shown(text), error.message));
            }
        }
    }
}

fn wait(milliseconds: Option<u64>) -> String {
    milliseconds.map_or_else(|| "none".to_owned(), |milliseconds| milliseconds.to_string())
}

/// Compares the requests of a run with the recording that answered them.
fn compare_replay(outcome: &Outcome, replay: Option<&Replay>, found: &mut Vec<String>) {
    found.extend(outcome.exchanges.iter().filter_map(|seen| seen.problem.as_ref()).map(|problem| problem.to_string()));
    if outcome.lost_exchanges {
        found.push("the driver made more requests than a test can have".to_owned());
    }
    let Some(replay) = replay.filter(|replay| replay.order == Order::Strict) else { return };
    let used: Vec<usize> = outcome.exchanges.iter().filter_map(|seen| seen.answered_by).collect();
    let unused: Vec<usize> = (0..replay.exchanges.len()).filter(|place| !used.contains(place)).collect();
    if let Some(first) = unused.first() {
        let recorded = words(&replay.exchanges[*first].request);
        found.push(format!(
            "requests: expected all {} recorded exchanges to be used, got {}; the first unused is number {}, `{recorded}`",
            replay.exchanges.len(),
            used.len(),
            first + 1
        ));
    }
}

fn compare_tables(expected: &BTreeMap<String, ExpectedTable>, got: &BTreeMap<String, Table>, found: &mut Vec<String>) {
    for (name, table) in expected {
        match got.get(name) {
            Some(got) => compare_table(&format!("table `{}`", line(name)), table, got, found),
            None => {
                let known = listed(got.keys().map(String::as_str));
                found.push(format!("expected table `{name}`, got {}", line(&known)));
            }
        }
    }
    found.extend(
        got.keys()
            .filter(|name| !expected.contains_key(*name))
            .map(|name| format!("table `{}` is not expected", line(name))),
    );
}

fn compare_table(what: &str, expected: &ExpectedTable, got: &Table, found: &mut Vec<String>) {
    if let Some(columns) = &expected.columns {
        let expected: Vec<(&str, &str)> =
            columns.iter().map(|(name, kind)| (name.as_str(), kind.as_str().unwrap_or_default())).collect();
        let now: Vec<(&str, &str)> = got.columns.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        if expected != now {
            let list = |columns: &[(&str, &str)]| {
                columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>().join(", ")
            };
            found.push(format!("{what}: expected columns `{}`, got `{}`", line(&list(&expected)), line(&list(&now))));
        }
    }
    if let Some(count) = expected.count.filter(|count| *count != got.count) {
        found.push(format!("{what}: expected {count} rows, got {}", got.count));
    }
    let Some(rows) = &expected.rows else { return };
    if rows.len() as u64 != got.count {
        found.push(format!("{what}: expected {} rows, got {}", rows.len(), got.count));
    }
    let columns: Vec<&str> = match &expected.columns {
        Some(columns) => columns.keys().map(String::as_str).collect(),
        None => got.columns.iter().map(|(name, _)| name.as_str()).collect(),
    };
    let expected_rows: Vec<Row> = rows.iter().map(|row| expected_row(row, &columns)).collect();
    let got_rows: Vec<Vec<(String, Exact)>> = got.rows.iter().map(|row| members(row)).collect();
    let differences =
        if expected.ordered { ordered(&expected_rows, &got_rows) } else { unordered(&expected_rows, &got_rows) };
    let more = differences.len().saturating_sub(MAX_DIFFERENCES);
    found.extend(differences.into_iter().take(MAX_DIFFERENCES).map(|difference| format!("{what}: {difference}")));
    if more > 0 {
        found.push(format!("{what}: {more} more differences"));
    }
}

/// An expected row: its values by column, or why it is malformed.
type Row = Result<Vec<(String, Value)>, String>;

fn expected_row(row: &Value, columns: &[&str]) -> Row {
    match row {
        Value::Object(fields) => Ok(fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect()),
        Value::Array(values) if values.len() == columns.len() => {
            Ok(columns.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
        }
        Value::Array(values) => Err(format!("it has {} values for {} columns", values.len(), columns.len())),
        _ => Err("it is neither a list nor an object".to_owned()),
    }
}

pub(super) fn members(row: &str) -> Vec<(String, Exact)> {
    match Exact::parse(row) {
        Ok(Exact::Object(members)) => members,
        _ => Vec::new(),
    }
}

fn ordered(expected: &[Row], got: &[Vec<(String, Exact)>]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, (expected, got)) in expected.iter().zip(got).enumerate() {
        match expected {
            Err(why) => found.push(format!("expected row {} is malformed: {why}", number + 1)),
            Ok(expected) => found.extend(
                row_differences(expected, got)
                    .into_iter()
                    .map(|difference| format!("row {}, {difference}", number + 1)),
            ),
        }
    }
    found.extend(expected.iter().enumerate().skip(got.len()).map(|(number, row)| missing(number, row)));
    found.extend(got.iter().enumerate().skip(expected.len()).map(|(number, row)| unexpected(number, row)));
    found
}

/// Pairs equal rows, whatever their order.
fn unordered(expected: &[Row], got: &[Vec<(String, Exact)>]) -> Vec<String> {
    let mut left: Vec<Option<&Vec<(String, Exact)>>> = got.iter().map(Some).collect();
    let mut found = Vec::new();
    for (number, row) in expected.iter().enumerate() {
        let equal = |got: &Option<&Vec<(String, Exact)>>| match (row, got) {
            (Ok(row), Some(got)) => row_differences(row, got).is_empty(),
            _ => false,
        };
        match left.iter().position(equal) {
            Some(place) => left[place] = None,
            None => found.push(missing(number, row)),
        }
    }
    found.extend(left.iter().enumerate().filter_map(|(number, row)| row.map(|row| unexpected(number, row))));
    found
}

fn missing(number: usize, row: &Row) -> String {
    match row {
        Ok(row) => {
            let row: Map<String, Value> = row.iter().cloned().collect();
            format!("expected row {} is missing: {}", number + 1, shown(&Value::Object(row).to_string()))
        }
        Err(why) => format!("expected row {} is malformed: {why}", number + 1),
    }
}

fn unexpected(number: usize, row: &[(String, Exact)]) -> String {
    format!("row {} is not expected: {}", number + 1, shown(&Exact::Object(row.to_vec()).to_string()))
}

fn row_differences(expected: &[(String, Value)], got: &[(String, Exact)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in expected {
        match got.iter().find(|(own, _)| own == name) {
            None => found.push(format!("column `{}` is missing", line(name))),
            Some((_, got)) if !is_value(value, got) => {
                let note = if value.as_number().is_some_and(is_too_long) {
                    " (quote numbers of more than 15 digits)"
                } else {
                    ""
                };
                let (expected, got) = (shown(&value.to_string()), shown(&got.to_string()));
                found.push(format!("column `{}`: expected {expected}, got {got}{note}", line(name)));
            }
            Some(_) => {}
        }
    }
    let is_expected = |name: &String| expected.iter().any(|(own, _)| own == name);
    found.extend(
        got.iter()
            .filter(|(name, _)| !is_expected(name))
            .map(|(name, value)| format!("column `{}` is not expected: {}", line(name), shown(&value.to_string()))),
    );
    found
}

/// Whether YAML may have rounded a number.
pub(super) fn is_too_long(number: &serde_json::Number) -> bool {
    number.is_f64() && number.to_string().len() > 15
}

/// Whether a value is the expected one. A number may be written as a text, which keeps all its digits.
pub(super) fn is_value(expected: &Value, got: &Exact) -> bool {
    match (expected, got) {
        (Value::Null, Exact::Null) => true,
        (Value::Bool(expected), Exact::Bool(got)) => expected == got,
        (Value::Number(expected), Exact::Number(got)) => Number::of_text(&expected.to_string()).as_ref() == Some(got),
        (Value::String(expected), Exact::Number(got)) => Number::of_text(expected).as_ref() == Some(got),
        (Value::String(expected), Exact::Text(got) | Exact::Deep(got)) => expected == got,
        (Value::Array(expected), Exact::List(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| is_value(expected, got))
        }
        (Value::Object(expected), Exact::Object(got)) => {
            expected.len() == got.len()
                && got.iter().all(|(name, got)| expected.get(name).is_some_and(|expected| is_value(expected, got)))
        }
        _ => false,
    }
}

fn compare_requests(expected: &[ExpectedRequest], got: &[Seen], found: &mut Vec<String>) {
    if expected.len() != got.len() {
        found.push(format!("expected {} requests, got {}", expected.len(), got.len()));
    }
    for (number, (expected, Seen { request, .. })) in expected.iter().zip(got).enumerate() {
        let ExpectedRequest { method, url, body } = expected;
        let plain = Request { method: method.clone(), url: url.clone(), ..Request::default() };
        let without_body = Request { body: None, ..request.clone() };
        let mut different = differences(&plain, &without_body, &[]);
        if let Some(body) = body.as_ref().filter(|body| !has_parts(body, request.body.as_ref())) {
            let got = match &request.body {
                None => "nothing".to_owned(),
                Some(Content::Json(text)) => shown(text.get()),
                Some(Content::Text(text) | Content::Base64(text)) => shown(text),
            };
            different.push(format!("expected a body with {}, got {got}", shown(&body.to_string())));
        }
        found.extend(different.into_iter().map(|different| format!("request {}: {different}", number + 1)));
    }
}

/// Whether a body is the expected text, or JSON with at least the expected members.
fn has_parts(expected: &Value, body: Option<&Content>) -> bool {
    match (expected, body) {
        (Value::Null, None) => true,
        (Value::String(text), Some(Content::Text(body))) => text == body,
        (expected, Some(Content::Json(body))) => {
            Exact::parse(body.get()).is_ok_and(|body| has_members(expected, &body))
        }
        _ => false,
    }
}

fn has_members(expected: &Value, got: &Exact) -> bool {
    match (expected, got) {
        (Value::Object(expected), Exact::Object(got)) => expected
            .iter()
            .all(|(name, expected)| got.iter().any(|(own, got)| own == name && has_members(expected, got))),
        (Value::Array(expected), Exact::List(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| has_members(expected, got))
        }
        _ => is_value(expected, got),
    }
}

fn compare_files(expected: &BTreeMap<String, ExpectedFile>, outcome: &Outcome, found: &mut Vec<String>) {
    let written = || outcome.files.keys().chain(&outcome.databases);
    for (name, file) in expected {
        let bytes = outcome.files.get(name);
        if bytes.is_none() && !outcome.databases.contains(name) {
            found.push(format!("expected file `{name}`, got {}", listed(written().map(String::as_str))));
            continue;
        }
        // The text of a DuckDB file says nothing.
        let text = String::from_utf8_lossy(bytes.map_or(&[], Vec::as_slice));
        match file {
            ExpectedFile::Text(expected) if *expected != text => {
                found.push(format!("file `{name}`: {}", text_difference(expected, &text)));
            }
            ExpectedFile::Text(_) => {}
            ExpectedFile::Content(content) => {
                let missing = content.contains.iter().filter(|part| !text.contains(part.as_str()));
                found.extend(missing.map(|part| format!("file `{name}`: expected `{}` in it", shown(part))));
                match (content.table(), outcome.read_back.get(name)) {
                    (None, _) => {}
                    (Some(table), Some(Ok(got))) => compare_table(&format!("file `{name}`"), &table, got, found),
                    (Some(_), Some(Err(why))) => {
                        found.push(format!("file `{name}` cannot be read back: {}", line(why)))
                    }
                    (Some(_), None) => found.push(format!("file `{name}` was not read back")),
                }
            }
        }
    }
    found.extend(
        written().filter(|name| !expected.contains_key(*name)).map(|name| format!("file `{name}` is not expected")),
    );
}

/// The first line in which two texts differ.
fn text_difference(expected: &str, got: &str) -> String {
    let (mut expected_lines, mut got_lines) = (expected.split('\n'), got.split('\n'));
    for number in 1.. {
        let shown = |line: Option<&str>| line.map_or_else(|| "the end".to_owned(), |line| format!("`{}`", shown(line)));
        match (expected_lines.next(), got_lines.next()) {
            (None, None) => break,
            (expected, got) if expected != got => {
                return format!("line {number}: expected {}, got {}", shown(expected), shown(got));
            }
            _ => {}
        }
    }
    "it differs".to_owned()
}

fn quoted(texts: &[&str]) -> String {
    if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.iter().map(|text| format!("`{}`", shown(text))).collect::<Vec<_>>().join(", ")
    }
}

/// A text on one line, cut to a bound.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => line(text).into_owned(),
        Some((end, _)) => format!("{}…", line(&text[..end])),
    }
}
