//! Options: what is required, what has an effect, and whether the documented examples are accepted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::compare::{Rows, breakage, difference};
use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict};
use crate::driver::config::{self, Candidate};
use crate::driver::spec::Spec;
use crate::kit::harness::Trial;
use crate::kit::outcome::Outcome;

/// How many values are tried before it is asked whether one had an effect.
const PAIR: usize = 2;

/// The most values that are tried for one option in one test.
const MOST_VALUES: usize = 4;

/// Without one of its options, a config is refused before anything runs, or works, or fails with an error for the user.
pub fn required(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut seen = BTreeSet::new();
    let (mut trials, mut names) = (Vec::new(), Vec::new());
    for run in &subject.good {
        for name in run.trial.config.keys().filter(|name| seen.insert((*name).clone())) {
            // A config without a state may be the result.
            let mut trial = Trial { state: None, ..run.trial.clone() };
            trial.config.remove(name);
            trials.push(trial);
            names.push(name);
        }
    }
    for (name, outcome) in names.into_iter().zip(subject.run_all(&trials)?) {
        if let Some(words) = breakage(&outcome).filter(|_| !outcome.is_refused) {
            let remedy = "declare it as `required`, give it a default, or do without it";
            return Ok(Verdict::Failed(format!("without option `{name}`, {words}; {remedy}")));
        }
    }
    Ok(Verdict::of(trials.len(), if subject.good.is_empty() { NO_GOOD_RUN } else { "no test sets an option" }))
}

/// An option that a test sets has an effect in one of the tests that set it: another value changes the result, the calls, or
/// the requests.
pub fn effects(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let spec = &subject.harness.driver.spec;
    let mut candidates: BTreeMap<&String, Vec<(&GoodRun, Trial)>> = BTreeMap::new();
    // Another value may belong to another source, whose state is not this one.
    for run in subject.good.iter().filter(|run| run.trial.state.is_none()) {
        // A recording answers whatever the login is.
        let secrets = config::divide(spec, &run.trial.config).secrets;
        let is_secret = |name: &str| secrets.keys().any(|place| place.split('/').nth(1) == Some(name));
        let open = run.trial.config.iter().filter(|(name, _)| !is_secret(name));
        for (name, value) in open {
            let Some(schema) = spec.config_schema.pointer(&format!("/properties/{name}")) else { continue };
            let trials = candidates.entry(name).or_default();
            for other in others(schema, value) {
                let mut trial = run.trial.clone();
                match other {
                    Some(other) => trial.config.insert(name.clone(), other),
                    None => trial.config.remove(name),
                };
                trials.push((run, trial));
            }
        }
    }
    candidates.retain(|_, trials| !trials.is_empty());
    let has_effect = |run: &GoodRun, outcome: &Outcome| {
        !outcome.is_refused
            && (difference(&run.outcome, outcome, Rows::InOrder).is_some()
                || run.outcome.calls != outcome.calls
                || run.outcome.exchanges != outcome.exchanges
                || run.outcome.log != outcome.log
                || run.outcome.rows != outcome.rows)
    };
    for (name, trials) in &candidates {
        let mut is_judged = false;
        let mut works = false;
        for pair in trials.chunks(PAIR) {
            let both: Vec<Trial> = pair.iter().map(|(_, trial)| trial.clone()).collect();
            for ((run, _), outcome) in pair.iter().zip(subject.run_all(&both)?) {
                is_judged |= !outcome.is_refused;
                works |= has_effect(run, &outcome);
            }
            if works {
                break;
            }
        }
        if is_judged && !works {
            let remedy = "write a test in which it matters, or list it under `ignored`";
            return Ok(Verdict::Failed(format!(
                "option `{name}` does nothing in any of the tests that set it; {remedy}"
            )));
        }
    }
    Ok(Verdict::of(candidates.len(), "no test of the driver that succeeds sets an option that has another value"))
}

/// Other values for an option; `None` leaves it out.
fn others(schema: &Value, value: &Value) -> Vec<Option<Value>> {
    if schema.get("const").is_some() {
        return Vec::new();
    }
    let mut others: Vec<Value> = match (schema.get("enum").and_then(Value::as_array), value) {
        (Some(all), _) => all.iter().filter(|other| *other != value).cloned().collect(),
        (None, Value::Bool(flag)) => vec![json!(!flag)],
        (None, Value::Number(number)) => {
            let number = number.as_i64().unwrap_or_default();
            vec![json!(number.saturating_add(1)), json!(number.saturating_sub(1)), json!(1)]
        }
        (None, Value::String(text)) => vec![json!(format!("{text}x")), json!(";")],
        (None, Value::Array(items)) => {
            let shorter = items.get(1..).unwrap_or_default().to_vec();
            vec![json!(shorter)]
        }
        (None, Value::Object(_)) => vec![json!({})],
        (None, Value::Null) => Vec::new(),
    };
    others.retain(|other| other != value);
    others.truncate(MOST_VALUES);
    others.into_iter().map(Some).chain([None]).collect()
}

/// A schema that judges each option, but not which of them a config needs.
fn without_needs(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(keywords) = schema.as_object_mut() {
        for keyword in ["required", "dependentRequired", "if", "then", "else", "allOf", "anyOf", "oneOf", "not"] {
            keywords.remove(keyword);
        }
    }
    schema
}

/// Each example of the spec is a config that the driver's own schema accepts.
pub fn examples(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let spec = &subject.harness.driver.spec;
    let without_needs = Spec { config_schema: without_needs(&spec.config_schema), ..spec.clone() };
    for example in &spec.examples {
        // A connection and environment variables are the user's own, so the options that they fill in are not judged.
        let is_elsewhere =
            |value: &Value| value.as_str().is_some_and(|text| text.starts_with('@') || text.contains("${"));
        let open: Map<String, Value> = example
            .config
            .iter()
            .filter(|(_, value)| !is_elsewhere(value))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        let spec = if open.len() == example.config.len() { spec } else { &without_needs };
        let candidate = Candidate { spec, config: &open, written_as: &BTreeMap::new() };
        if let Err(message) = config::check(subject.harness.judge(), "example", &candidate) {
            return Ok(Verdict::Failed(format!("example `{}` is refused: {message}", example.title)));
        }
    }
    Ok(Verdict::of(spec.examples.len(), "the spec has no examples"))
}
