//! `expect` and `rejects` as the author writes them.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::{Check, EXAMPLES, Expect, MAX_CHECKS, MostRejected, Rule, Severity, Target};
use crate::error::{Place, Report, nearest};
use crate::pipeline::{MAX_REJECTS, StepId};

/// The longest name of a check, in characters.
const MAX_NAME: usize = 120;

/// The most values of offending rows that may be shown.
const MAX_EXAMPLES: u32 = 20;

/// The most accepted values of one check.
const MAX_VALUES: usize = 10_000;

/// One group of checks, or several, which share what stands beside them.
#[derive(Debug, Default)]
pub struct RawExpect(Vec<Spanned<RawGroup>>);

/// Checks, each under the key of its kind, and what they share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    columns: Option<Value>,
    extra: Option<Extra>,
    not_null: Option<Value>,
    unique: Option<Value>,
    values: Option<Map<String, Value>>,
    range: Option<Map<String, Value>>,
    pattern: Option<Map<String, Value>>,
    row_count: Option<Value>,
    freshness: Option<Map<String, Value>>,
    references: Option<Map<String, Value>>,
    sql: Option<Value>,
    name: Option<String>,
    table: Option<String>,
    severity: Option<Severity>,
    on_violation: Option<OnViolation>,
    #[serde(rename = "where")]
    condition: Option<String>,
    examples: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Extra {
    Allow,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnViolation {
    Fail,
    Reject,
}

impl<'de> Deserialize<'de> for RawExpect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Groups)
    }
}

struct Groups;

impl<'de> Visitor<'de> for Groups {
    type Value = RawExpect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("checks such as `not_null: [id]`, or a list of groups of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, groups: A) -> Result<RawExpect, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(groups)).map(RawExpect)
    }

    fn visit_map<A: MapAccess<'de>>(self, group: A) -> Result<RawExpect, A::Error> {
        RawGroup::deserialize(MapAccessDeserializer::new(group)).map(|group| RawExpect(vec![unplaced(group)]))
    }
}

/// A group that is the whole of `expect`; its step's line stands for its own.
fn unplaced(group: RawGroup) -> Spanned<RawGroup> {
    Spanned::new(group, serde_saphyr::Location::UNKNOWN, serde_saphyr::Location::UNKNOWN)
}

/// How many rows a step may reject: a number, or `{max: 100}` or `{max: 1%}`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawRejects(pub MostRejected);

impl<'de> Deserialize<'de> for RawRejects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MostRows)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMost {
    max: RawRejects,
}

struct MostRows;

impl<'de> Visitor<'de> for MostRows {
    type Value = RawRejects;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of rows such as `100`, or `{max: 100}` or `{max: 1%}`")
    }

    fn visit_u64<E: Error>(self, rows: u64) -> Result<RawRejects, E> {
        u32::try_from(rows)
            .map(|rows| RawRejects(MostRejected::Rows(rows)))
            .map_err(|_| E::custom(format!("`rejects: {rows}`; at most {MAX_REJECTS} are possible")))
    }

    fn visit_i64<E: Error>(self, rows: i64) -> Result<RawRejects, E> {
        let rows = u64::try_from(rows).map_err(|_| E::custom(format!("`rejects: {rows}`; write 0 or more")))?;
        self.visit_u64(rows)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawRejects, E> {
        let share = text.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
        match share.filter(|share| (0.0..=100.0).contains(share)) {
            Some(share) => Ok(RawRejects(MostRejected::Percent(share))),
            None => Err(E::custom(format!("`rejects` has `{text}`; write a number of rows, or a share such as `1%`"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<RawRejects, A::Error> {
        RawMost::deserialize(MapAccessDeserializer::new(fields)).map(|most| most.max)
    }
}

type Parsed<T> = Result<T, Report>;

fn wrong<T>(what: impl Into<String>, hint: impl Into<String>) -> Parsed<T> {
    Err(Report::input(what).hint(hint))
}

impl RawExpect {
    /// The checks of a step whose own line is `line`.
    ///
    /// # Errors
    /// A [`Report`] that names the line in `file`.
    pub fn parse(self, step: &StepId, line: u64, file: &str) -> Parsed<Expect> {
        let mut checks = Vec::new();
        for Spanned { value: group, referenced, .. } in self.0 {
            let line = Some(referenced.line()).filter(|line| *line > 0).unwrap_or(line);
            let at = |report: Report| Report {
                message: format!("`expect` of step `{step}`: {} ({file}, line {line})", report.message),
                place: Some(Place::Line(line)),
                ..report
            };
            checks.extend(group.checks(line).map_err(at)?);
            if checks.len() > MAX_CHECKS {
                return wrong(format!("more than {MAX_CHECKS} checks"), "check several columns in one `sql`")
                    .map_err(at);
            }
        }
        Ok(Expect { checks, most_rejected: None })
    }
}

impl RawGroup {
    fn checks(self, line: u64) -> Parsed<Vec<Check>> {
        let rules = self.rules()?;
        if rules.is_empty() {
            return wrong("no check", "write for example `not_null: [id]`, `unique: id` or `sql: amount >= 0`");
        }
        let Self { name, table, severity, on_violation, condition, examples, .. } = self;
        if name.is_some() && rules.len() > 1 {
            return wrong(
                format!("the name of {} checks", rules.len()),
                "give each check with a name an item of its own in the list",
            );
        }
        let examples = examples.unwrap_or(EXAMPLES);
        if examples > MAX_EXAMPLES {
            return wrong(format!("`examples: {examples}`; at most {MAX_EXAMPLES} are possible"), "show fewer");
        }
        let is_alone = rules.len() == 1;
        let rejects = on_violation == Some(OnViolation::Reject);
        if rejects && severity.is_some() {
            return wrong(
                "both `severity` and `on_violation: reject`",
                "a check that rejects rows neither fails nor warns: leave `severity` out",
            );
        }
        let mut checks = Vec::new();
        for (own, rule) in rules {
            if rejects && is_alone && !rule.finds_rows() {
                return wrong(
                    format!("`on_violation: reject` beside `{}`, which does not find single rows", rule.key()),
                    "leave `on_violation` out; a `sql` that rejects is a condition for each row, not a SELECT",
                );
            }
            if condition.is_some() && matches!(rule, Rule::Columns { .. } | Rule::Rows { .. }) {
                return wrong(
                    format!("`where` beside `{}`", rule.key()),
                    "it has no effect there: a SELECT has its own WHERE, and columns belong to all rows",
                );
            }
            let name = checked_name(name.clone().or(own).unwrap_or_else(|| derived_name(&rule)))?;
            checks.push(Check {
                name,
                table: table.clone(),
                severity: severity.unwrap_or_default(),
                rejects: rejects && rule.finds_rows(),
                condition: condition.clone(),
                examples,
                line,
                rule,
            });
        }
        Ok(checks)
    }

    /// What the group checks, each with the name that its key gives it.
    fn rules(&self) -> Parsed<Vec<(Option<String>, Rule)>> {
        let mut rules = Vec::new();
        match (&self.columns, self.extra) {
            (Some(columns), extra) => {
                rules.push(Rule::Columns { columns: columns_of(columns)?, extra: extra != Some(Extra::Refuse) });
            }
            (None, Some(_)) => return wrong("`extra` without `columns`", "name the expected columns under `columns`"),
            (None, None) => {}
        }
        for column in self.not_null.iter().map(|value| names("not_null", value)).collect::<Parsed<Vec<_>>>()?.concat() {
            rules.push(Rule::NotNull { column });
        }
        for columns in self.unique.iter().map(keys).collect::<Parsed<Vec<_>>>()?.concat() {
            rules.push(Rule::Unique { columns });
        }
        for (column, value) in self.values.iter().flatten() {
            rules.push(values(column, value)?);
        }
        for (column, value) in self.range.iter().flatten() {
            rules.push(range(column, value)?);
        }
        for (column, value) in self.pattern.iter().flatten() {
            let Some(pattern) = value.as_str() else {
                return wrong(
                    format!("`pattern` of `{column}` is not a text"),
                    "write the expression in single quotes",
                );
            };
            rules.push(Rule::Pattern { column: column.clone(), pattern: pattern.to_owned() });
        }
        rules.extend(self.row_count.as_ref().map(row_count).transpose()?);
        for (column, value) in self.freshness.iter().flatten() {
            rules.push(Rule::Freshness { column: column.clone(), max_age_seconds: age(column, value)? });
        }
        for (column, value) in self.references.iter().flatten() {
            rules.push(Rule::References { column: column.clone(), target: target(column, value)? });
        }
        let mut rules: Vec<_> = rules.into_iter().map(|rule| (None, rule)).collect();
        rules.extend(self.sql.as_ref().map(statements).transpose()?.unwrap_or_default());
        Ok(rules)
    }
}

fn checked_name(name: String) -> Parsed<String> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > MAX_NAME || name.chars().any(char::is_control) {
        return wrong(format!("{name:?} as a name"), format!("write 1 to {MAX_NAME} characters on one line"));
    }
    Ok(name)
}

/// `not_null email`; of a condition its beginning.
fn derived_name(rule: &Rule) -> String {
    let about = match rule {
        Rule::Columns { .. } | Rule::RowCount { .. } => return rule.key().to_owned(),
        Rule::Sql { condition: text } | Rule::Rows { select: text } => {
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        _ => rule.columns().join(", "),
    };
    let about: String = about.chars().filter(|c| !c.is_control()).collect();
    let whole = format!("{} {about}", rule.key());
    match whole.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

fn names(key: &str, value: &Value) -> Parsed<Vec<String>> {
    let one = |value: &Value| value.as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    let all = match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(one).collect(),
        value => one(value).map(|name| vec![name]),
    };
    match all {
        Some(names) => Ok(names),
        None => wrong(format!("`{key}` does not name columns"), format!("write `{key}: id` or `{key}: [id, name]`")),
    }
}

/// Keys: one column, several that form one key, or several keys.
fn keys(value: &Value) -> Parsed<Vec<Vec<String>>> {
    match value {
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_array) => {
            values.iter().map(|value| names("unique", value)).collect()
        }
        value => Ok(vec![names("unique", value)?]),
    }
}

fn columns_of(value: &Value) -> Parsed<Vec<(String, Option<String>)>> {
    let Value::Object(fields) = value else {
        return Ok(names("columns", value)?.into_iter().map(|name| (name, None)).collect());
    };
    let column = |(name, kind): (&String, &Value)| match kind {
        Value::Null => Ok((name.clone(), None)),
        Value::String(kind) if !kind.trim().is_empty() => Ok((name.clone(), Some(kind.clone()))),
        _ => wrong(format!("the type of column `{name}` is not a text"), "write a type of DuckDB, such as `BIGINT`"),
    };
    if fields.is_empty() {
        return wrong("`columns` names none", "write for example `columns: {id: BIGINT, name: VARCHAR}`");
    }
    fields.iter().map(column).collect()
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

fn values(column: &str, value: &Value) -> Parsed<Rule> {
    let hint = format!("write `values: {{{column}: [open, paid]}}`");
    match value {
        Value::Array(values) if !values.is_empty() && values.len() <= MAX_VALUES && values.iter().all(is_scalar) => {
            Ok(Rule::Values { column: column.to_owned(), values: values.clone() })
        }
        Value::Array(values) if values.iter().any(Value::is_null) => {
            wrong(format!("`values` of `{column}` has a null"), "leave it out: NULL passes; `not_null` forbids it")
        }
        _ => {
            wrong(format!("`values` of `{column}` is not a list of 1 to {MAX_VALUES} texts, numbers or booleans"), hint)
        }
    }
}

fn range(column: &str, value: &Value) -> Parsed<Rule> {
    let hint = || format!("write `range: {{{column}: {{min: 0, max: 100}}}}`");
    let Value::Object(fields) = value else { return wrong(format!("`range` of `{column}` is not a mapping"), hint()) };
    known_keys(&format!("`range` of `{column}`"), fields, &["min", "max", "exclusive"])?;
    let bound = |key: &str| match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) if is_scalar(value) => Ok(Some(value.clone())),
        Some(_) => wrong(format!("`{key}` in `range` of `{column}` is not a single value"), hint()),
    };
    let (min, max) = (bound("min")?, bound("max")?);
    if min.is_none() && max.is_none() {
        return wrong(format!("`range` of `{column}` has no bound"), hint());
    }
    let (above_min, below_max) = match fields.get("exclusive") {
        None | Some(Value::Bool(false)) => (false, false),
        Some(Value::Bool(true)) => (true, true),
        Some(Value::String(which)) if which == "min" => (true, false),
        Some(Value::String(which)) if which == "max" => (false, true),
        Some(_) => {
            return wrong(
                format!("`exclusive` in `range` of `{column}` is not understood"),
                "write `exclusive: true` for both bounds, or `exclusive: min` or `exclusive: max` for one",
            );
        }
    };
    Ok(Rule::Range { column: column.to_owned(), min, max, above_min, below_max })
}

fn known_keys(what: &str, fields: &Map<String, Value>, known: &[&str]) -> Parsed<()> {
    let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let near = nearest(unknown, known.iter().copied());
    wrong(
        format!("{what} has the unknown key `{unknown}`"),
        near.map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?")),
    )
}

fn row_count(value: &Value) -> Parsed<Rule> {
    let hint = "write `row_count: {min: 1}`, `row_count: {min: 1, max: 1000}` or `row_count: 12`";
    let (min, max) = match value {
        Value::Number(number) => (number.as_u64(), number.as_u64()),
        Value::Object(fields) => {
            known_keys("`row_count`", fields, &["min", "max"])?;
            let bound = |key: &str| match fields.get(key) {
                None => Ok(None),
                Some(value) => value.as_u64().map(Some).ok_or(()),
            };
            match (bound("min"), bound("max")) {
                (Ok(min), Ok(max)) => (min, max),
                _ => return wrong("`row_count` has a bound that is not a whole number", hint),
            }
        }
        _ => (None, None),
    };
    match (min, max) {
        (None, None) => wrong("`row_count` has no bound", hint),
        (Some(min), Some(max)) if min > max => wrong("`row_count` has a `min` above its `max`", hint),
        _ => Ok(Rule::RowCount { min, max }),
    }
}

fn age(column: &str, value: &Value) -> Parsed<u64> {
    let text = match value {
        Value::String(text) => Some(text.as_str()),
        Value::Object(fields) => {
            known_keys(&format!("`freshness` of `{column}`"), fields, &["max_age"])?;
            fields.get("max_age").and_then(Value::as_str)
        }
        _ => None,
    };
    let seconds = text.and_then(|text| {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(seconds).filter(|seconds| *seconds < u64::from(u32::MAX))
    });
    match seconds {
        Some(seconds) => Ok(seconds),
        None => wrong(
            format!("`freshness` of `{column}` has no age"),
            format!("write `freshness: {{{column}: 2d}}`; units: s, m, h, d"),
        ),
    }
}

fn target(column: &str, value: &Value) -> Parsed<Target> {
    let hint = || format!("write `references: {{{column}: customers.id}}`: an input or a step, and a column of it");
    let target = |from: &str, table: Option<&str>, column: &str| Target {
        from: from.to_owned(),
        table: table.map(str::to_owned),
        column: column.to_owned(),
        alias: None,
    };
    match value {
        Value::String(text) => match text.rsplit_once('.') {
            Some((from, column)) if !from.is_empty() && !column.is_empty() => Ok(target(from, None, column)),
            _ => wrong(format!("`references` of `{column}` is `{text}`"), hint()),
        },
        Value::Object(fields) => {
            known_keys(&format!("`references` of `{column}`"), fields, &["from", "table", "column"])?;
            let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            match (text("from"), text("column")) {
                (Some(from), Some(column)) => Ok(target(from, text("table"), column)),
                _ => wrong(
                    format!("`references` of `{column}` lacks `from` or `column`"),
                    format!("write `references: {{{column}: {{from: customers, table: main, column: id}}}}`"),
                ),
            }
        }
        _ => wrong(format!("`references` of `{column}` is not understood"), hint()),
    }
}

/// Conditions for each row, and SELECTs of offending rows; with their names, if the author gave them.
fn statements(value: &Value) -> Parsed<Vec<(Option<String>, Rule)>> {
    let rule = |value: &Value| {
        let text = value.as_str().map(|text| text.trim().trim_end_matches(';').trim_end()).unwrap_or_default();
        if text.is_empty() {
            return wrong(
                "`sql` is not a condition or a SELECT",
                "write `sql: amount >= 0`, or `sql: {the amount is positive: amount >= 0}`",
            );
        }
        let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_lowercase();
        Ok(match first.as_str() {
            "select" | "with" | "from" => Rule::Rows { select: text.to_owned() },
            _ => Rule::Sql { condition: text.to_owned() },
        })
    };
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(|value| Ok((None, rule(value)?))).collect(),
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().map(|(name, value)| Ok((Some(name.clone()), rule(value)?))).collect()
        }
        value => Ok(vec![(None, rule(value)?)]),
    }
}
