//! Whether and when a step is run again, as its author writes it: `retries: 3`, or a mapping. No I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Report, listed, nearest};

/// The most times that a step may be tried again.
pub const MAX_RETRIES: u32 = 10;

/// The wait before the second attempt, if neither the server nor the author named one.
const BACKOFF: Duration = Duration::from_secs(1);

/// The longest wait that an author may ask for.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);

/// Whether and when a step is run again after a failure that may be temporary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// How often, at most.
    pub more: u32,
    /// The wait before the second attempt, if the server names none. It doubles with each attempt.
    pub backoff: Duration,
    pub on: BTreeSet<Cause>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A server, a worker or an exchange could not be reached or broke off.
    Transient,
    RateLimited,
    Timeout,
}

impl Cause {
    const ALL: [Self; 3] = [Self::Transient, Self::RateLimited, Self::Timeout];

    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate-limited",
            Self::Timeout => "timeout",
        }
    }

    /// The cause of a failure of that kind, which may be temporary.
    pub fn of_kind(kind: &str) -> Self {
        Self::ALL.into_iter().find(|cause| cause.name() == kind).unwrap_or(Self::Transient)
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self::times(0)
    }
}

#[derive(Deserialize)]
struct Written {
    attempts: Option<Value>,
    backoff: Option<Value>,
    on: Option<Value>,
}

const KEYS: [&str; 3] = ["attempts", "backoff", "on"];

impl Retries {
    /// So many more attempts after any failure that may be temporary.
    pub fn times(more: u32) -> Self {
        Self { more, backoff: BACKOFF, on: Cause::ALL.into() }
    }

    /// What `whose` (a step or the pipeline) has as `retries`.
    ///
    /// # Errors
    /// A [`Report`] that names what is wrong.
    pub fn parse(written: Value, whose: &str) -> Result<Self, Report> {
        let wrong = |what: String| Report::input(format!("{whose} has {what}"));
        let shape = "write `retries: 3`, or `retries: {attempts: 4, backoff: 2s, on: [transient, rate-limited]}`";
        let fields = match written {
            Value::Number(number) => {
                let more = number.as_u64().ok_or_else(|| wrong(format!("`retries: {number}`")).hint(shape))?;
                return up_to(more, MAX_RETRIES)
                    .map(Self::times)
                    .ok_or_else(|| wrong(format!("`retries: {more}`; at most {MAX_RETRIES} are possible")));
            }
            Value::Object(fields) => fields,
            other => return Err(wrong(format!("`retries: {other}`")).hint(shape)),
        };
        if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let report = wrong(format!("the unknown key `{unknown}` in `retries`; known: {}", listed(KEYS)));
            let near = nearest(unknown, KEYS).map(|near| format!("did you mean `{near}`?"));
            return Err(report.hint(near.unwrap_or_else(|| shape.to_owned())));
        }
        let written: Written =
            serde_json::from_value(Value::Object(fields)).map_err(|_| wrong("`retries`".to_owned()).hint(shape))?;
        let attempts = written.attempts.ok_or_else(|| wrong("`retries` without `attempts`".to_owned()).hint(shape))?;
        let most = MAX_RETRIES + 1;
        let attempts = attempts
            .as_u64()
            .filter(|attempts| *attempts > 0)
            .and_then(|attempts| up_to(attempts, most))
            .ok_or_else(|| {
                wrong(format!("`attempts: {attempts}` in `retries`; possible are 1 to {most}, the first one included"))
            })?;
        let backoff = match written.backoff {
            None => BACKOFF,
            Some(backoff) => {
                backoff.as_str().and_then(duration).filter(|backoff| *backoff <= MAX_BACKOFF).ok_or_else(|| {
                    wrong(format!("`backoff: {backoff}` in `retries`"))
                        .hint("write a time of at most an hour, such as `500ms`, `2s` or `1m`")
                })?
            }
        };
        let on = match written.on {
            None => Cause::ALL.into(),
            Some(on) => causes(&on).ok_or_else(|| {
                wrong(format!("`on: {on}` in `retries`; known: {}", listed(Cause::ALL.map(Cause::name)))).hint(shape)
            })?,
        };
        Ok(Self { more: attempts - 1, backoff, on })
    }

    /// In words, after how often: the wait and the causes, where they are not the usual ones.
    pub fn words(&self) -> String {
        let first = if self.backoff == BACKOFF { String::new() } else { format!(", first after {:?}", self.backoff) };
        let only: Vec<&str> = self.on.iter().map(|cause| cause.name()).collect();
        let only = if self.on.len() == Cause::ALL.len() { String::new() } else { format!(", only {}", listed(only)) };
        first + &only
    }
}

fn up_to(number: u64, most: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number <= most)
}

/// One cause, or a list with at least one.
fn causes(written: &Value) -> Option<BTreeSet<Cause>> {
    let written = written.as_array().map_or(std::slice::from_ref(written), Vec::as_slice);
    let named = |name: &Value| Cause::ALL.into_iter().find(|cause| name.as_str() == Some(cause.name()));
    let causes: BTreeSet<Cause> = written.iter().map(named).collect::<Option<_>>()?;
    (!causes.is_empty()).then_some(causes)
}

/// `500ms`, `2s`, `1m` or `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn retries_are_a_number_of_more_attempts_or_a_mapping_of_all() {
        assert_eq!(Retries::parse(json!(3), "step `a`").unwrap(), Retries::times(3));
        assert_eq!(Retries::parse(json!({"attempts": 4}), "step `a`").unwrap(), Retries::times(3));
        let retries =
            Retries::parse(json!({"attempts": 2, "backoff": "500ms", "on": ["rate-limited"]}), "step `a`").unwrap();
        assert_eq!(retries, Retries { more: 1, backoff: Duration::from_millis(500), on: [Cause::RateLimited].into() });
        assert_eq!(retries.words(), ", first after 500ms, only `rate-limited`");
        assert_eq!(
            Retries::parse(json!({"attempts": 2, "on": "timeout"}), "step `a`").unwrap().on,
            [Cause::Timeout].into()
        );
        for (written, message) in [
            (json!(11), "step `a` has `retries: 11`; at most 10"),
            (json!(-1), "has `retries: -1`"),
            (json!("3"), "has `retries: \"3\"`"),
            (json!({"attempt": 2}), "the unknown key `attempt` in `retries`; known: `attempts`"),
            (json!({"backoff": "1s"}), "`retries` without `attempts`"),
            (json!({"attempts": 0}), "`attempts: 0` in `retries`; possible are 1 to 11"),
            (json!({"attempts": 2, "backoff": 2}), "`backoff: 2` in `retries`"),
            (json!({"attempts": 2, "backoff": "2h"}), "`backoff: \"2h\"`"),
            (
                json!({"attempts": 2, "on": ["config"]}),
                "`on: [\"config\"]` in `retries`; known: `transient`, `rate-limited`, `timeout`",
            ),
            (json!({"attempts": 2, "on": []}), "`on: []`"),
        ] {
            let report = Retries::parse(written.clone(), "step `a`").unwrap_err();
            assert!(report.message.contains(message), "{written}: {}", report.message);
        }
    }

    #[test]
    fn a_failure_of_a_worker_or_an_exchange_is_transient() {
        for (kind, cause) in [
            ("rate-limited", Cause::RateLimited),
            ("timeout", Cause::Timeout),
            ("transient", Cause::Transient),
            ("lost", Cause::Transient),
            ("exchange", Cause::Transient),
        ] {
            assert_eq!(Cause::of_kind(kind), cause);
        }
    }
}
