//! Decides whether a step that failed is tried again, and when.

use std::time::{Duration, Instant};

use serde_json::json;

use super::ledger::is_repeatable;
use super::record::milliseconds;
use super::schedule::Schedule;
use crate::driver::spec::Spec;
use crate::error::{Failure, Retry};
use crate::pipeline::retries::Cause;
use crate::protocol::LogLevel;
use crate::session;
use crate::warning::Warning;

/// The longest wait that the host chooses by itself.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The next attempt of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retrial {
    pub(super) number: u32,
    /// When the step's first attempt began.
    pub(super) begun: Instant,
    /// When the attempt may start.
    pub(super) due: Instant,
}

impl Retrial {
    /// The attempt after that of the given number, at once.
    pub(super) fn after(number: u32, begun: Instant) -> Self {
        Self { number: number + 1, begun, due: Instant::now() }
    }
}

impl Schedule<'_> {
    /// Schedules the next attempt of a step, if it may have one; otherwise returns the step's failure.
    pub(super) fn try_again(
        &mut self,
        place: usize,
        next: Retrial,
        has_connected: bool,
        failure: Failure,
    ) -> Option<Failure> {
        let step = &self.plan.steps[place];
        let Some(retry) = failure.retry.filter(|_| !self.interrupted && next.number <= step.retries.more + 1) else {
            return Some(failure);
        };
        let cause = Cause::of_kind(failure.kind.raw());
        if !step.retries.on.contains(&cause) {
            let hint = format!("it is not tried again: the step's `retries` are not `on` `{}`", cause.name());
            return Some(failure.hint(hint));
        }
        if !is_safe(&step.driver.spec, has_connected) {
            let hint = "it is not tried again, because rows that it has sent may arrive twice";
            return Some(failure.hint(hint));
        }
        let wait = wait(retry, step.retries.backoff, next.number, jitter());
        if wait >= self.time_left(next.begun) {
            return Some(failure.hint("it is not tried again, because its time limit comes first"));
        }
        let error = self.session.scrubber.scrubbed(&failure).into_inner();
        let message = format!("attempt {} failed: {}; the next one is in {wait:.1?}", next.number - 1, error.message);
        self.session.event(
            "step_retry",
            json!({"step_id": step.id, "attempt": next.number - 1, "error": error, "wait_ms": milliseconds(wait)}),
        );
        self.observer.log(step.id.as_str(), LogLevel::Warn, &self.session.scrubber.scrubbed(&Warning::new(message)));
        // A test does not wait for a server.
        let wait = if self.settings.test_of(&step.id).is_some() { Duration::ZERO } else { wait };
        self.retrying.insert(place, Retrial { due: Instant::now() + wait, ..next });
        None
    }
}

/// How long to wait before the attempt of that number: what the server asked for, or a time that doubles from `first`. `jitter`, from 0
/// to 1, keeps steps that failed together from returning together.
fn wait(retry: Retry, first: Duration, number: u32, jitter: f64) -> Duration {
    let doubled = || first.saturating_mul(1 << number.saturating_sub(2).min(16)).min(LONGEST_WAIT.max(first));
    retry.after_ms.map_or_else(|| doubled().mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0), Duration::from_millis)
}

/// A random number from 0 to 1.
fn jitter() -> f64 {
    session::noise() as f64 / u64::MAX as f64
}

/// Whether a step can be run again without harm.
fn is_safe(spec: &Spec, has_connected: bool) -> bool {
    !has_connected || is_repeatable(spec)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_wait_is_what_the_server_asks_for_or_doubles() {
        let second = Duration::from_secs(1);
        let waits = |jitter| {
            [2, 3, 4, 9, 99].map(|number| milliseconds(wait(Retry { after_ms: None }, second, number, jitter)))
        };
        assert_eq!(waits(1.0), [1_000, 2_000, 4_000, 60_000, 60_000]);
        assert_eq!(waits(0.0), [500, 1_000, 2_000, 30_000, 30_000]);
        assert_eq!(wait(Retry { after_ms: Some(90_000) }, second, 2, 0.5), Duration::from_secs(90));
        let long = Duration::from_secs(300);
        assert_eq!(wait(Retry { after_ms: None }, long, 3, 1.0), long);
        assert!((0.0..=1.0).contains(&jitter()));
    }

    #[test]
    fn a_writer_that_may_have_sent_rows_is_not_run_again() {
        let spec = |kind: &str, more: &str| {
            let text =
                format!("name: a.b\nversion: 1.0.0\nkind: {kind}\ntitle: t\nconfigSchema: {{type: object}}\n{more}");
            crate::driver::spec::parse(&text, "spec.yaml").unwrap()
        };
        for (kind, more, has_connected, expected) in [
            ("extractor", "", true, true),
            ("processor", "", true, true),
            ("writer", "", false, true),
            ("writer", "", true, false),
            ("writer", "retrySafe: true\n", true, true),
        ] {
            assert_eq!(is_safe(&spec(kind, more), has_connected), expected, "{kind} {more}");
        }
    }
}
