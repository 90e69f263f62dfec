//! What a step's database is doing and what has failed in it, as the host sees it: readable from any thread without a
//! lock.
//! a lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::{Cause, EngineError};

/// Shorter texts of a config appear in too many statements to identify the author.
const MIN_TEXT: usize = 12;

/// The state of a step's database; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    interrupted: AtomicBool,
    /// The number of running statements of the pipeline's author.
    running: AtomicU32,
    /// Whether one has ever run.
    ran: AtomicBool,
    /// One bit for each [`Trouble`] that was seen.
    seen: AtomicU8,
    /// One bit for each kind of [`Varying`] that was called.
    varying: AtomicU8,
    /// The texts that the author wrote into the step's config.
    texts: Vec<String>,
}

/// What went wrong in a step, apart from its statements. A driver may claim so; the host believes only what it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    Memory = 1,
    Spill = 2,
    DiskFull = 4,
    TooLarge = 8,
    /// The driver described a table that cannot be, or passed a batch that does not fit its table.
    Malformed = 16,
}

/// What a step called whose answer differs from one run to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Varying {
    /// Its driver read the time.
    Clock = 1,
    /// Its driver took random numbers.
    Random = 2,
    /// Its SQL calls a function such as `now` or `random`, or takes a sample.
    Sql = 4,
}

impl Varying {
    const ALL: [Self; 3] = [Self::Clock, Self::Random, Self::Sql];
}

/// Marks a statement of the author's as running until this is dropped.
#[derive(Debug)]
pub struct Running(Option<Status>);

impl Status {
    /// The status of a step whose config contains these texts.
    pub fn with_texts(texts: impl IntoIterator<Item = String>) -> Self {
        let texts = texts.into_iter().map(|text| text.trim().trim_end_matches(';').to_owned());
        let texts = texts.filter(|text| text.len() >= MIN_TEXT).collect();
        Self(Arc::new(Flags { texts, ..Flags::default() }))
    }

    pub fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Relaxed);
    }

    pub fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// Whether the pipeline's author wrote this statement, or a part of it.
    pub fn is_authors(&self, select: &str) -> bool {
        self.0.texts.iter().any(|text| select.contains(text.as_str()))
    }

    /// Counts a statement as running, if it is the author's.
    pub fn run(&self, is_authors: bool) -> Running {
        if is_authors {
            self.0.running.fetch_add(1, Ordering::Relaxed);
            self.0.ran.store(true, Ordering::Relaxed);
        }
        Running(is_authors.then(|| self.clone()))
    }

    /// Whether a statement of the author's is running.
    pub fn runs_authors(&self) -> bool {
        self.0.running.load(Ordering::Relaxed) > 0
    }

    /// Whether a statement of the author's has run.
    pub fn ran_authors(&self) -> bool {
        self.0.ran.load(Ordering::Relaxed)
    }

    pub fn note(&self, trouble: Trouble) {
        self.0.seen.fetch_or(trouble as u8, Ordering::Relaxed);
    }

    pub fn note_varying(&self, what: Varying) {
        self.0.varying.fetch_or(what as u8, Ordering::Relaxed);
    }

    /// What was called whose answer differs from run to run.
    pub fn varying(&self) -> BTreeSet<Varying> {
        let called = self.0.varying.load(Ordering::Relaxed);
        Varying::ALL.into_iter().filter(|what| called & *what as u8 != 0).collect()
    }

    /// Records the trouble that an error reports.
    pub fn note_error<T>(&self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        let trouble = outcome.as_ref().err().and_then(|error| match error.cause {
            Cause::Memory => Some(Trouble::Memory),
            Cause::Spill => Some(Trouble::Spill),
            Cause::DiskFull => Some(Trouble::DiskFull),
            Cause::TooLarge => Some(Trouble::TooLarge),
            _ => None,
        });
        trouble.into_iter().for_each(|trouble| self.note(trouble));
        outcome
    }

    pub fn has_seen(&self, trouble: Trouble) -> bool {
        self.0.seen.load(Ordering::Relaxed) & trouble as u8 != 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(status) = &self.0 {
            status.0.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_statement_is_the_authors_if_it_contains_the_authors_text() {
        let status = Status::with_texts(["select * from t;\n".to_owned(), "short".to_owned()]);
        assert!(status.is_authors("select count(*) from (select * from t)"));
        assert!(!status.is_authors("select 1 as short") && !status.is_authors("from read_csv('x')"));
        let (first, second) = (status.run(true), status.run(false));
        assert!(status.runs_authors());
        drop(first);
        assert!(!status.runs_authors());
        drop(second);
    }

    #[test]
    fn seen_trouble_is_remembered() {
        let status = Status::default();
        for (message, trouble) in [
            (r#"{"exception_type":"Out of Memory","exception_message":"could not allocate block"}"#, Trouble::Memory),
            (
                r#"{"exception_type":"Out of Memory","exception_message":"failed to offload data block\nThis limit was set by the 'max_temp_directory_size' setting."}"#,
                Trouble::Spill,
            ),
            (r#"{"exception_type":"IO","exception_message":"cannot write","errno":"28"}"#, Trouble::DiskFull),
            (r#"{"exception_type":"IO","exception_message":"cannot write","errno":"27"}"#, Trouble::TooLarge),
        ] {
            assert!(!status.has_seen(trouble));
            status.note_error::<()>(Err(EngineError::new(message))).unwrap_err();
            assert!(status.has_seen(trouble), "{message}");
        }
    }
}
