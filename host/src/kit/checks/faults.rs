//! Calls that fail, streams that end early and calls that are slow, at every function of the host that a driver uses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::compare::{Rows, difference};
use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict};
use crate::grants::limits::Limits;
use crate::kit::harness::Trial;
use crate::kit::outcome::Outcome;
use crate::protocol::disturbance::{Effect, Fault, FaultKind};
use crate::recordings::{Exchanges, Order};

/// After so many seconds a disturbed run counts as hanging.
const PATIENCE_SECONDS: u64 = 20;

/// How long a slow call takes, in milliseconds.
const SLOW_MS: u32 = 300;

/// A call that is disturbed.
#[derive(Debug, Clone)]
struct Call<'a> {
    run: &'a GoodRun,
    name: &'a str,
    /// Counted from 1.
    number: u64,
}

/// A run of the driver in which a call is disturbed.
struct Disturbed<'a> {
    call: Call<'a>,
    effect: Effect,
    trial: Trial,
}

impl<'a> Disturbed<'a> {
    fn new(call: Call<'a>, effect: Effect, lasts: bool) -> Self {
        let mut trial = call.run.trial.clone();
        trial.disturbance.fault = Some(Fault { call: call.number, lasts, effect });
        // A second attempt, or a request that is made again, gets the same answers.
        if let Exchanges::Replay(replay) = &mut trial.exchanges {
            replay.order = Order::Lenient;
        }
        trial.limits = Some(Limits { wall_seconds: PATIENCE_SECONDS, ..trial.limits.unwrap_or(Limits::DEFAULT) });
        Self { call, effect, trial }
    }

    /// What was done to the driver, as the beginning of a sentence.
    fn words(&self) -> String {
        let Call { run, name, number } = &self.call;
        let name = name.trim_end_matches('*');
        let what = match self.effect {
            Effect::Error(kind) => format!("fails ({})", kind.name()),
            Effect::EndOfStream => "ends early".to_owned(),
            Effect::Slow(ms) => format!("takes {ms} ms"),
        };
        format!("if call {number}, `{name}`, {what} in test `{}`, ", run.name)
    }
}

/// Runs what is disturbed, and fails with the first words that `judge` finds.
fn judged(
    subject: &Subject<'_>,
    disturbed: &[Disturbed<'_>],
    otherwise: &str,
    judge: impl Fn(&Disturbed<'_>, &Outcome) -> Option<String>,
) -> anyhow::Result<Verdict> {
    let trials: Vec<Trial> = disturbed.iter().map(|disturbed| disturbed.trial.clone()).collect();
    for (disturbed, outcome) in disturbed.iter().zip(subject.run_all(&trials)?) {
        let hangs = outcome.duration >= Duration::from_secs(PATIENCE_SECONDS);
        let words = if hangs { Some(outcome.words()) } else { judge(disturbed, &outcome) };
        if let Some(words) = words {
            return Ok(Verdict::Failed(format!("{}{words}", disturbed.words())));
        }
    }
    let otherwise = if subject.good.is_empty() { NO_GOOD_RUN } else { otherwise };
    Ok(Verdict::of(disturbed.len(), otherwise))
}

/// At most so many calls of a function are disturbed.
const MOST_CALLS: usize = 8;

/// The calls of each function, of the first good run that uses it, and whether each is the first: all, or of many calls
/// the first two, the last and some between.
fn calls<'a>(subject: &'a Subject<'_>, is_wanted: impl Fn(&str) -> bool) -> Vec<(Call<'a>, bool)> {
    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    let mut found = Vec::new();
    for run in &subject.good {
        let mut own: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (name, number) in run.outcome.calls.iter().zip(1..) {
            if is_wanted(name) && !seen.contains_key(name.as_str()) {
                own.entry(name).or_default().push(number);
            }
        }
        for (name, numbers) in own {
            seen.insert(name, ());
            let chosen = spread(numbers.len()).into_iter().filter_map(|at| Some((*numbers.get(at)?, at == 0)));
            found.extend(chosen.map(|(number, is_first)| (Call { run, name, number }, is_first)));
        }
    }
    found
}

/// The places of at most [`MOST_CALLS`] calls among so many: the first two, and others as far apart as possible, to the
/// last.
fn spread(calls: usize) -> Vec<usize> {
    if calls <= MOST_CALLS {
        return (0..calls).collect();
    }
    let (steps, last) = (MOST_CALLS - 2, calls - 1);
    std::iter::once(0).chain((0..=steps).map(|step| 1 + (last - 1) * step / steps)).collect()
}

/// A call that fails, and goes on failing, ends the step with an error of the same kind. A driver that has another way may
/// succeed, if the result is the same.
pub fn errors(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut disturbed = Vec::new();
    for (call, is_first) in calls(subject, |_| true) {
        // A later call of the same function rarely has other handling of each kind.
        let most = if is_first { usize::MAX } else { 1 };
        let kinds = kinds(call.name).iter().take(most);
        disturbed.extend(kinds.map(|kind| Disturbed::new(call.clone(), Effect::Error(*kind), true)));
    }
    judged(subject, &disturbed, "the driver makes no call that can fail", |disturbed, outcome| {
        let Effect::Error(injected) = disturbed.effect else { return None };
        let Some(error) = &outcome.error else {
            let result = difference(&disturbed.call.run.outcome, outcome, Rows::AsSet)?;
            return Some(format!("it succeeds all the same, and {result}"));
        };
        let kind = error.kind.raw();
        (!injected.accepted().contains(&kind)).then(|| {
            let accepted = injected.accepted().join("`, `");
            format!("the error should be of the kind `{accepted}`: {}", outcome.words())
        })
    })
}

/// A file, a connection or a response that ends in the middle is an error.
pub fn early_end(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    // The host promises that a reader of a table ends after the last row.
    let is_stream = |name: &str| name.ends_with('*') && !name.starts_with("tables/");
    let disturbed: Vec<_> = calls(subject, is_stream)
        .into_iter()
        .map(|(call, _)| Disturbed::new(call, Effect::EndOfStream, true))
        .collect();
    judged(
        subject,
        &disturbed,
        "the driver reads no bytes from a file, a connection or a response",
        |disturbed, outcome| {
            let Some(error) = &outcome.error else {
                let result = difference(&disturbed.call.run.outcome, outcome, Rows::AsSet)?;
                return Some(format!("it succeeds all the same, and {result}"));
            };
            is_abrupt(error.kind.raw()).then(|| outcome.words())
        },
    )
}

/// A call that takes long is no reason to fail.
pub fn slow_calls(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let slow = |(call, _)| Disturbed::new(call, Effect::Slow(SLOW_MS), false);
    let disturbed: Vec<_> = calls(subject, |_| true).into_iter().filter(|(_, is_first)| *is_first).map(slow).collect();
    judged(subject, &disturbed, "the driver makes no call that can fail", |disturbed, outcome| {
        difference(&disturbed.call.run.outcome, outcome, Rows::AsSet)
    })
}

/// After a failure that may be temporary, the host calls the driver again.
pub fn retries(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let again = |(call, _)| {
        let mut disturbed = Disturbed::new(call, Effect::Error(FaultKind::Transient), false);
        disturbed.trial.retries = 1;
        disturbed
    };
    let all = calls(subject, |_| true);
    let disturbed: Vec<_> = all.into_iter().filter(|(_, is_first)| !*is_first).map(again).collect();
    let disturbed =
        if disturbed.is_empty() { calls(subject, |_| true).into_iter().map(again).collect() } else { disturbed };
    judged(subject, &disturbed, "the driver makes no call that can fail", |disturbed, outcome| {
        // A driver that does not take the failure for a temporary one is not called again.
        if outcome.attempts < 2 && !outcome.is_success() {
            return None;
        }
        difference(&disturbed.call.run.outcome, outcome, Rows::AsSet)
            .map(|words| format!("attempt {} gives something else: {words}", outcome.attempts))
    })
}

/// Whether a step with an error of that kind did not end by the driver's own word.
fn is_abrupt(kind: &str) -> bool {
    matches!(kind, "trap" | "exit" | "crash" | "killed" | "contract" | "memory" | "cpu")
}

/// The errors that a function may return, the most likely one first.
fn kinds(function: &str) -> &'static [FaultKind] {
    use FaultKind::{Auth, Data, Denied, Internal, Limit, NotFound, RateLimited, Timeout, Transient};
    match function.trim_end_matches('*') {
        "http/request" => &[Transient, Auth, NotFound, RateLimited, Internal, Timeout, Denied, Data],
        "tcp/connect" => &[Transient, Denied, Timeout],
        "tcp/connection.start-tls" => &[Auth, Transient],
        function if function.starts_with("tcp/") => &[Transient, Timeout],
        "files/open" | "files/create" | "files/list" => &[Denied, NotFound],
        function if function.starts_with("files/") => &[Internal, Limit],
        "state/set" => &[Denied],
        "tables/output.create-table" | "tables/output.create-json-table" => &[Limit, Data],
        function if function.starts_with("tables/table-writer") || function.starts_with("tables/json-writer") => {
            &[Limit, Data]
        }
        _ => &[Data, Limit],
    }
}

impl FaultKind {
    fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::RateLimited => "rate-limited",
            Self::Transient => "transient",
            Self::Timeout => "timeout",
            Self::Data => "data",
            Self::Limit => "limit",
            Self::Internal => "internal",
        }
    }

    /// The kinds of errors that a step may have after this one. They ask the same of the user and of the host.
    fn accepted(self) -> &'static [&'static str] {
        match self {
            Self::Auth => &["auth", "denied"],
            Self::Denied => &["denied"],
            Self::NotFound => &["not-found", "config", "data"],
            Self::RateLimited => &["rate-limited"],
            Self::Transient => &["transient", "timeout"],
            Self::Timeout => &["timeout", "transient"],
            Self::Data => &["data", "config"],
            Self::Limit => &["disk", "limit"],
            // An HTTP server that answers 503, or a disk that fails.
            Self::Internal => &["internal", "transient", "other"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn few_calls_are_all_disturbed_and_of_many_some_to_the_last() {
        assert_eq!(spread(0), [0; 0]);
        assert_eq!(spread(1), [0]);
        assert_eq!(spread(8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(spread(9), [0, 1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(spread(100), [0, 1, 17, 33, 50, 66, 82, 99]);
    }
}
