//! Rows of the lookback that were read before, recognised by a digest, so that none is read twice and a changed one is
//! read again.

use std::collections::{HashSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osiris_sdk::{Error, Result};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// How many digests are stored; if a lookback has more rows, the rest are read again.
const MOST: usize = 80_000;

const DIGEST: usize = 8;

type Digest = [u8; DIGEST];

/// The digests of rows that the last run read, and of rows of this run that the next one will encounter again.
#[derive(Debug, Default)]
pub struct Seen {
    known: HashSet<Digest>,
    /// With their times in microseconds, the earliest first.
    recent: VecDeque<(i64, Digest)>,
    /// The lookback in microseconds.
    span: i64,
    latest: i64,
    /// Whether some had to be dropped.
    pub forgot: bool,
}

impl Seen {
    /// # Errors
    /// `data` for a state that another driver made.
    pub fn new(kept: &str, minutes: u32) -> Result<Self> {
        let bytes = BASE64.decode(kept).map_err(|error| {
            Error::data(format!(
                "the state of the last run is damaged: {error}; `{}` starts over",
                osiris_sdk::state::reset_command()
            ))
        })?;
        let known = bytes.as_chunks::<DIGEST>().0.iter().copied().collect();
        Ok(Self { known, span: i64::from(minutes) * 60_000_000, latest: i64::MIN, ..Self::default() })
    }

    /// Whether the row has not been read before; remembers it.
    pub fn take(&mut self, time: &str, record: &Map<String, Value>) -> bool {
        let digest = digest(record);
        // A row without a valid time is remembered as the latest.
        let at = json_records::timestamp(time).map_or(self.latest, |(micros, _)| micros);
        self.latest = self.latest.max(at);
        self.recent.push_back((at, digest));
        while self.recent.front().is_some_and(|(at, _)| *at < self.latest.saturating_sub(self.span)) {
            self.recent.pop_front();
        }
        if self.recent.len() > MOST {
            self.recent.pop_front();
            self.forgot = true;
        }
        !self.known.contains(&digest)
    }

    /// The digests for the next run.
    pub fn kept(self) -> String {
        // A run without rows keeps the previous run's digests.
        let kept: Vec<Digest> = if self.recent.is_empty() {
            self.known.into_iter().collect()
        } else {
            self.recent.into_iter().map(|(_, digest)| digest).collect()
        };
        BASE64.encode(kept.concat())
    }
}

fn digest(record: &Map<String, Value>) -> Digest {
    let whole = Sha256::digest(serde_json::to_vec(record).unwrap_or_default());
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&whole[..DIGEST]);
    digest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_of_the_lookback_are_recognised() {
        let row = |id: u32| json!({"id": id}).as_object().unwrap().clone();
        let mut first = Seen::new("", 15).unwrap();
        assert!(first.take("2024-01-01T00:00:00Z", &row(1)));
        assert!(first.take("2024-01-01T01:00:00Z", &row(2)));
        assert!(first.take("2024-01-01T01:10:00Z", &row(3)));
        let mut second = Seen::new(&first.kept(), 15).unwrap();
        // Rows before the lookback are not requested again, so they need not be remembered.
        assert!(second.take("2024-01-01T00:00:00Z", &row(1)));
        assert!(!second.take("2024-01-01T01:00:00Z", &row(2)));
        assert!(!second.take("2024-01-01T01:10:00Z", &row(3)));
        assert!(second.take("2024-01-01T01:10:00Z", &row(4)));
        assert!(Seen::new("?", 15).is_err());
    }
}
