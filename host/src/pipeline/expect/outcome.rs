//! What came of the checks of a step's tables, as its process reports it and as people and programs read it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Check, Rule, Severity, Target, rejected_of};
use crate::secrets::scrubber::{Scrub, Scrubber};
use crate::untrusted::Untrusted;
use crate::warning::Warning;

/// The longest text about one value or one problem, in characters.
pub const MAX_TEXT: usize = 500;

/// How many failed checks an error describes; the others are named.
const MAX_DESCRIBED: usize = 3;

/// How many failed checks an error names.
const MAX_NAMED: usize = 10;

/// What came of one check. Which check it was, its place in the list says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckOutcome {
    pub passed: bool,
    pub table: Untrusted,
    /// How many rows offend.
    pub rows: u64,
    /// Of how many that were checked.
    pub of: u64,
    /// Values of offending rows, or the rows themselves as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Untrusted>,
    /// What is wrong, where it is not rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Untrusted>,
}

/// A check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    pub check: String,
    /// Its key under `expect`.
    pub kind: String,
    pub table: Untrusted,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    pub severity: Severity,
    pub passed: bool,
    /// How many rows offend.
    pub rows: u64,
    /// Of how many that were checked.
    pub of: u64,
    /// Whether the offending rows were moved away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejects: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Untrusted>,
    /// What is wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Untrusted>,
}

impl CheckRecord {
    pub fn new(check: &Check, outcome: &CheckOutcome) -> Self {
        let columns = match &check.rule {
            Rule::Columns { .. } => Vec::new(),
            rule => rule.columns().into_iter().map(str::to_owned).collect(),
        };
        Self {
            check: check.name.clone(),
            kind: check.rule.key().to_owned(),
            table: outcome.table.clone(),
            columns,
            severity: check.severity,
            passed: outcome.passed,
            rows: outcome.rows,
            of: outcome.of,
            rejects: check.rejects,
            examples: outcome.examples.clone(),
            message: (!outcome.passed).then(|| sentence(check, outcome)),
        }
    }

    /// Whether it is a reason to fail its step.
    pub fn fails(&self) -> bool {
        !self.passed && !self.rejects && self.severity == Severity::Error
    }

    /// The warning about a check that did not pass, but did not fail its step either.
    pub fn warning(&self) -> Option<Warning> {
        if self.passed || self.fails() {
            return None;
        }
        let mut message = format!("check `{}`: {}", self.check, self.message.as_ref().map_or("", Untrusted::raw));
        if self.rejects {
            let _ = write!(message, "; table `{}` has them", rejected_of(self.table.raw()));
        }
        let examples = self.examples.iter().map(Untrusted::raw).collect::<Vec<_>>().join(", ");
        let fields = Some(("examples".into(), examples.into())).filter(|_| !self.examples.is_empty());
        Some(Warning { message: message.into(), fields: fields.into_iter().collect() })
    }
}

impl Scrub for CheckRecord {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        let scrub = |text: &Untrusted| text.without_secrets(scrubber);
        let (examples, message) = (self.examples.iter().map(scrub).collect(), self.message.as_ref().map(scrub));
        Self { check: scrubber.scrub_text(&self.check), examples, message, ..self.clone() }
    }
}

/// How many checks passed, warned, rejected rows and failed, in words.
pub fn summary(checks: &[CheckRecord]) -> String {
    let count = |wanted: &dyn Fn(&CheckRecord) -> bool| checks.iter().filter(|check| wanted(check)).count();
    let passed = count(&|check| check.passed);
    let parts = [
        (count(&CheckRecord::fails), "failed"),
        (count(&|check| !check.passed && !check.rejects && check.severity == Severity::Warn), "warned"),
        (count(&|check| !check.passed && check.rejects), "rejected rows"),
    ];
    let noun = if passed == 1 { "check" } else { "checks" };
    let first = format!("{passed} {noun} passed");
    let others = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    std::iter::once(first).chain(others).collect::<Vec<_>>().join(", ")
}

/// What is wrong, in one sentence without its check's name.
pub fn sentence(check: &Check, outcome: &CheckOutcome) -> Untrusted {
    if let Some(problem) = &outcome.problem {
        return problem.clone();
    }
    if matches!(check.rule, Rule::Rows { .. }) {
        let noun = if outcome.rows == 1 { "row" } else { "rows" };
        return format!("the SELECT returned {} {noun}", outcome.rows).into();
    }
    format!("{} of {} rows of table `{}`: {}", outcome.rows, outcome.of, outcome.table.raw(), reason(check)).into()
}

/// What is wrong with a row that offends.
pub fn reason(check: &Check) -> String {
    match &check.rule {
        Rule::NotNull { column } => format!("`{column}` is NULL"),
        Rule::Unique { columns } => {
            let names: Vec<String> = columns.iter().map(|name| format!("`{name}`")).collect();
            format!("another row has the same {}", names.join(", "))
        }
        Rule::Values { column, .. } => format!("`{column}` is not one of the accepted values"),
        Rule::Range { column, min, max, above_min, below_max } => {
            let low =
                min.as_ref().map(|min| format!("{} {}", if *above_min { "above" } else { "at least" }, plain(min)));
            let high =
                max.as_ref().map(|max| format!("{} {}", if *below_max { "below" } else { "at most" }, plain(max)));
            let expected: Vec<String> = low.into_iter().chain(high).collect();
            format!("`{column}` is not {}", expected.join(" and "))
        }
        Rule::Pattern { column, pattern } => format!("`{column}` does not match `{pattern}`"),
        Rule::References { column, target } => {
            format!("`{column}` is not in column `{}` of {}", target.column, spelled(target))
        }
        Rule::Sql { condition } => format!("not true: {condition}"),
        Rule::Columns { .. } | Rule::RowCount { .. } | Rule::Freshness { .. } | Rule::Rows { .. } => {
            format!("not as `{}` expects", check.rule.key())
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`"))
}

fn spelled(target: &Target) -> String {
    match &target.table {
        Some(table) => format!("table `{table}` of `{}`", target.from),
        None => format!("`{}`", target.from),
    }
}

/// The message of the error about checks that failed: the first ones whole, the others by name.
pub fn failure_message<'a>(failed: impl Iterator<Item = (&'a Check, &'a CheckOutcome)>) -> Untrusted {
    let failed: Vec<_> = failed.collect();
    let mut text = String::new();
    for (number, (check, outcome)) in failed.iter().take(MAX_DESCRIBED).enumerate() {
        let _ = write!(text, "{}check `{}` failed: ", if number > 0 { "\n" } else { "" }, check.name);
        text.push_str(sentence(check, outcome).raw());
        if !outcome.examples.is_empty() {
            let examples: Vec<String> = outcome.examples.iter().map(|example| format!("`{}`", example.raw())).collect();
            let _ = write!(text, "; for example {}", examples.join(", "));
        }
    }
    if failed.len() > MAX_DESCRIBED {
        let names: Vec<String> =
            failed[MAX_DESCRIBED..].iter().take(MAX_NAMED).map(|(check, _)| format!("`{}`", check.name)).collect();
        let more = if failed.len() > MAX_DESCRIBED + MAX_NAMED { " and others" } else { "" };
        let _ = write!(text, "\nalso failed: {}{more}", names.join(", "));
    }
    text.into()
}
