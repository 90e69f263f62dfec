//! Compares what came of a pipeline's steps with what its test expects.

use serde_json::{Map, Value};

use super::super::expect::compare_failure;
use super::super::outcome::Table;
use super::super::test_file::ExpectedTable;
use super::cases::Case;
use super::difference::{Wanted, differences};
use super::test_file::{ExpectedRows, ExpectedStep};
use super::trial::Played;
use crate::error::{Failure, listed};
use crate::exact_json::Exact;
use crate::session::{Status, StepRecord};
use crate::untrusted::line;

/// Every way in which what came of a run differs from what its test expects; empty if it does not.
pub fn problems(case: &Case, played: &Played) -> Vec<String> {
    let mut found = Vec::new();
    for step in &played.steps {
        let expected = case.test.expect.get(&step.id);
        let error = expected.and_then(|expected| expected.error.as_ref());
        if error.is_some() || matches!(step.status, Status::Failed) {
            let failure = step.error.clone().or_else(|| (step.status != Status::Success).then(|| ended(step)));
            let mut wrong = Vec::new();
            compare_failure(error, failure.as_ref(), &mut wrong);
            let own = || format!("step `{}`", step.id);
            let place = played.words.get(&step.id).cloned().unwrap_or_else(own);
            found.extend(wrong.into_iter().map(|wrong| format!("{place}: {wrong}")));
        }
    }
    for (id, expected) in &case.test.expect {
        let Some(step) = played.steps.iter().find(|step| step.id == *id) else { continue };
        if expected.error.is_some() || step.status == Status::Failed {
            continue;
        }
        if step.status != Status::Success {
            found.push(format!("step `{id}` is {}", step.status));
            continue;
        }
        compare_warnings(id, expected, step, &mut found);
        compare_tables(case, played, id, expected, &mut found);
    }
    found
}

/// The failure of a step that ended without an error of its own.
fn ended(step: &StepRecord) -> Failure {
    Failure::new(crate::error::Blame::User, step.status.to_string(), format!("the step is {}", step.status))
}

fn compare_warnings(id: &str, expected: &ExpectedStep, step: &StepRecord, found: &mut Vec<String>) {
    let Some(texts) = &expected.warnings else { return };
    let now: Vec<String> = step.warnings.iter().map(ToString::to_string).collect();
    if now.len() != texts.len() || !now.iter().zip(texts).all(|(now, text)| now.contains(text)) {
        let list = |texts: &[String]| match texts {
            [] => "none".to_owned(),
            texts => texts.iter().map(|text| format!("`{}`", line(text))).collect::<Vec<_>>().join(", "),
        };
        found.push(format!("step `{id}`: expected warnings {}, got {}", list(texts), list(&now)));
    }
}

fn compare_tables(case: &Case, played: &Played, id: &str, expected: &ExpectedStep, found: &mut Vec<String>) {
    for (name, rows) in expected.tables.iter().flatten() {
        compare_named(case, played, (id, name, name), rows, found);
    }
    let Some(rows) = expected.only_table() else { return };
    match only_table(played, id) {
        Ok(name) => compare_named(case, played, (id, "", &name), &rows, found),
        Err(why) => found.push(why),
    }
}

/// The table of a step that has one, apart from rejected rows; or else `main`.
fn only_table(played: &Played, id: &str) -> Result<String, String> {
    let step = played.steps.iter().find(|step| step.id == id);
    let rejected = step.map(|step| step.rejected_tables.as_slice()).unwrap_or_default();
    let names = || played.tables.keys().filter(|(step, _)| step == id).map(|(_, name)| name);
    let own: Vec<&String> = names().filter(|name| !rejected.contains(name)).collect();
    match own[..] {
        [name] => Ok(name.clone()),
        _ if names().any(|name| name == "main") => Ok("main".to_owned()),
        _ => Err(format!(
            "step `{id}` has the tables {}: expect them by name, under `tables`",
            listed(names().map(String::as_str))
        )),
    }
}

/// Compares the table `name` of a step; `key` is its name among the expected tables.
fn compare_named(
    case: &Case,
    played: &Played,
    (id, key, name): (&str, &str, &str),
    rows: &ExpectedRows,
    found: &mut Vec<String>,
) {
    let Some(got) = played.tables.get(&(id.to_owned(), name.to_owned())) else {
        let known = played.tables.keys().filter(|(step, _)| step == id).map(|(_, name)| name.as_str());
        found.push(format!("step `{id}`: expected table `{}`, got {}", line(name), line(&listed(known))));
        return;
    };
    let what = if key.is_empty() { format!("step `{id}`") } else { format!("step `{id}`, table `{}`", line(name)) };
    let place = (id.to_owned(), key.to_owned());
    let mut written = rows.written();
    if case.expected.contains_key(&place) {
        // If its step failed, that has been reported.
        let Some(source) = played.expected.get(&place) else { return };
        if let Err(why) = take(&mut written, source, rows.has_types()) {
            found.push(format!("{what}: {why}"));
            return;
        }
    }
    compare_shape(&what, &written, got, found);
    if let Some(rows) = &written.rows {
        let wanted = Wanted { rows, columns: written.columns.as_ref(), is_all: true, ordered: written.ordered };
        differences(&what, &wanted, got, found);
    }
    if let Some(rows) = &rows.contains {
        let wanted = Wanted { rows, columns: None, is_all: false, ordered: false };
        differences(&what, &wanted, got, found);
    }
}

/// Takes the expected rows, and their columns if `with_types`, from a table.
fn take(written: &mut ExpectedTable, source: &Table, with_types: bool) -> Result<(), String> {
    if source.rows.len() as u64 != source.count {
        return Err(format!("the expected table has {} rows, more than a test compares", source.count));
    }
    let rows = source.rows.iter().map(|row| Exact::parse(row).map(|row| value(&row)).unwrap_or_default());
    written.rows = Some(rows.collect());
    if with_types && written.columns.is_none() {
        let columns = source.columns.iter().map(|(name, kind)| (name.clone(), Value::from(kind.as_str())));
        written.columns = Some(columns.collect());
    }
    Ok(())
}

/// A value as a test would write it: numbers as texts, which keep all digits.
fn value(exact: &Exact) -> Value {
    match exact {
        Exact::Null => Value::Null,
        Exact::Bool(value) => Value::Bool(*value),
        Exact::Text(text) => Value::String(text.clone()),
        Exact::Number(_) => Value::String(exact.to_string()),
        Exact::Deep(text) => Value::String(text.clone()),
        Exact::List(items) => Value::Array(items.iter().map(value).collect()),
        Exact::Object(members) => {
            Value::Object(members.iter().map(|(name, member)| (name.clone(), value(member))).collect::<Map<_, _>>())
        }
    }
}

/// Compares columns and the number of rows.
fn compare_shape(what: &str, expected: &ExpectedTable, got: &Table, found: &mut Vec<String>) {
    if let Some(columns) = &expected.columns {
        let kind = |kind: &Value| kind.as_str().unwrap_or_default().to_owned();
        let expected: Vec<(String, String)> = columns.iter().map(|(name, own)| (name.clone(), kind(own))).collect();
        if expected != got.columns {
            let list = |columns: &[(String, String)]| {
                line(&columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>().join(", "))
                    .into_owned()
            };
            found.push(format!("{what}: expected columns `{}`, got `{}`", list(&expected), list(&got.columns)));
        }
    }
    if let Some(count) = expected.count.filter(|count| *count != got.count) {
        found.push(format!("{what}: expected {count} rows, got {}", got.count));
    }
}
