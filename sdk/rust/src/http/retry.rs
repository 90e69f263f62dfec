//! When a request is retried, and how long to wait first: as the server asks, or else exponentially with jitter.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use crate::{Error, ErrorKind};

/// How often a request is retried, and how long it waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The number of attempts after the first.
    pub retries: u32,
    /// The base of the wait before the first retry; doubled for each further one.
    pub base: Duration,
    /// The longest wait. If the server asks for a longer one, the request fails and says so.
    pub max_wait: Duration,
    /// The statuses that may be temporary. Any other failure may be too, if the server says when to retry.
    pub statuses: Vec<u16>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 3,
            base: Duration::from_millis(500),
            max_wait: Duration::from_secs(60),
            statuses: vec![408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529],
        }
    }
}

impl Retry {
    /// No retries.
    pub fn never() -> Self {
        Self { retries: 0, ..Self::default() }
    }

    /// How long to wait before a retry after `error`; `None` if there is to be none. `tried` counts the attempts so
    /// far, `status` is the status that the server sent, if it did.
    pub fn wait(&self, tried: u32, status: Option<u16>, error: &Error) -> Option<Duration> {
        let again = match status {
            // RFC 9110, 10.2.3 ties `Retry-After` to no status: a server that names a time expects a retry to help.
            Some(status) => self.statuses.contains(&status) || error.retry_after.is_some(),
            None => is_passing(error),
        };
        if !again || tried > self.retries {
            return None;
        }
        match error.retry_after {
            Some(asked) if asked > self.max_wait => None,
            // "At once" (0, or a time in the past) does not justify retrying as fast as the server answers.
            Some(asked) if !asked.is_zero() => Some(asked),
            _ => {
                let most = self.base.saturating_mul(1 << (tried - 1).min(16)).min(self.max_wait);
                // One half is fixed and the other random, so that many clients do not return at the same time.
                Some(most / 2 + (most / 2).mul_f64(random()))
            }
        }
    }
}

/// Whether the failure may be temporary.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Transient | ErrorKind::RateLimited | ErrorKind::Timeout)
}

/// A random number from 0 to 1.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

/// Names of headers that say when a request limit is reset, and whether they count in seconds from now on.
const RESETS: [(&str, bool); 5] = [
    ("x-ratelimit-reset-after", true),
    ("ratelimit-reset", false),
    ("x-ratelimit-reset", false),
    ("x-rate-limit-reset", false),
    ("x-ratelimit-reset-requests", true),
];

/// From this number on, seconds are a point in time since 1970; from a hundred times that on, they are milliseconds.
const EPOCH: f64 = 1e9;

/// How long the server asks to wait: `Retry-After`, or else until its request limit is reset, if the response is about
/// that limit: 429, 503, or 403 with nothing left of the limit. A point in time is relative to the response's `Date`,
/// since the server's clock and this machine's may differ; `now` is for a response without one.
pub(super) fn asked_wait(status: u16, headers: &[(String, String)], now: SystemTime) -> Option<Duration> {
    let header = |name: &str| super::body::header(headers, name);
    let now = header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now);
    if let Some(wait) = header("retry-after").and_then(|value| retry_after(value, now)) {
        return Some(wait);
    }
    let left = ["x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"].into_iter().find_map(header);
    if !(matches!(status, 429 | 503) || status == 403 && left.is_some_and(|left| left.trim() == "0")) {
        return None;
    }
    RESETS.iter().find_map(|(name, relative)| {
        let value = header(name)?.trim();
        let number = value.strip_suffix('s').unwrap_or(value).parse::<f64>().ok().filter(|number| *number >= 0.0);
        match number {
            Some(seconds) if *relative || seconds < EPOCH => Duration::try_from_secs_f64(seconds).ok(),
            Some(point) => {
                let seconds = if point >= EPOCH * 100.0 { point / 1000.0 } else { point };
                let point = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
                Some(point.duration_since(now).unwrap_or_default())
            }
            None => retry_after(value, now),
        }
    })
}

/// The wait in `Retry-After`: seconds, or a date.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn waits_are_doubled_and_bounded() {
        let retry =
            Retry { retries: 4, base: Duration::from_secs(1), max_wait: Duration::from_secs(5), ..Retry::default() };
        let error = Error::new(ErrorKind::Transient, "x");
        for (tried, low, high) in [(1, 0.5, 1.0), (2, 1.0, 2.0), (3, 2.0, 4.0), (4, 2.5, 5.0)] {
            let wait = retry.wait(tried, Some(503), &error).unwrap().as_secs_f64();
            assert!((low..=high).contains(&wait), "{tried}: {wait}");
        }
        assert_eq!(retry.wait(5, Some(503), &error), None);
        assert_eq!(retry.wait(1, Some(501), &error), None);
        assert!(retry.wait(1, None, &error).is_some());
        assert_eq!(retry.wait(1, None, &Error::new(ErrorKind::Auth, "x")), None);
    }

    #[test]
    fn the_servers_wait_is_respected_up_to_a_bound() {
        let retry = Retry::default();
        let asked = |seconds| Error {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Error::new(ErrorKind::RateLimited, "x")
        };
        assert_eq!(retry.wait(1, Some(429), &asked(7)), Some(Duration::from_secs(7)));
        assert_eq!(retry.wait(1, Some(429), &asked(3600)), None);
        assert!(retry.wait(1, Some(429), &asked(0)).is_some_and(|wait| wait >= retry.base / 2));
        for status in [202, 401, 403, 404, 409, 420, 423, 425, 520, 529] {
            assert_eq!(retry.wait(1, Some(status), &asked(1)), Some(Duration::from_secs(1)), "{status}");
        }
        let plain = Error::new(ErrorKind::Denied, "x");
        assert_eq!(retry.wait(1, Some(403), &plain), None);
        for status in [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529] {
            assert!(retry.wait(1, Some(status), &plain).is_some(), "{status}");
        }
    }

    #[test]
    fn a_limits_reset_counts_only_if_the_response_is_about_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (status, headers, expected) in [
            (429, vec![("x-ratelimit-reset", "1700000007")], Some(7)),
            (429, vec![("x-ratelimit-reset", "1700000007000")], Some(7)),
            (429, vec![("x-ratelimit-reset", "1600000000")], Some(0)),
            (503, vec![("ratelimit-reset", "30")], Some(30)),
            (429, vec![("X-RateLimit-Reset-After", "2")], Some(2)),
            (429, vec![("x-ratelimit-reset-requests", "6s")], Some(6)),
            (429, vec![("x-ratelimit-reset", "Tue, 14 Nov 2023 22:13:25 GMT")], Some(5)),
            (429, vec![("retry-after", "1"), ("x-ratelimit-reset", "1700000007")], Some(1)),
            (429, vec![("x-ratelimit-reset", "soon")], None),
            (
                429,
                vec![("date", "Tue, 14 Nov 2023 23:13:20 GMT"), ("retry-after", "Tue, 14 Nov 2023 23:13:24 GMT")],
                Some(4),
            ),
            (429, vec![("date", "Tue, 14 Nov 2023 22:03:20 GMT"), ("x-ratelimit-reset", "1699999403")], Some(3)),
            (403, vec![("x-ratelimit-reset", "1700000007"), ("x-ratelimit-remaining", "0")], Some(7)),
            (403, vec![("x-ratelimit-reset", "1700000007"), ("x-ratelimit-remaining", "12")], None),
            (403, vec![("x-ratelimit-reset", "1700000007")], None),
            (500, vec![("ratelimit-reset", "30")], None),
        ] {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(asked_wait(status, &headers, now), expected.map(Duration::from_secs), "{status} {headers:?}");
        }
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (value, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
