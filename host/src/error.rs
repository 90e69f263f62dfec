//! The errors that a person sees: what is wrong, the remedy, and whose fault it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secrets::scrubber::{Scrub, Scrubber};
use crate::untrusted::Untrusted;

/// Whose fault the failure of a command is; each has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The user's pipeline, config or arguments (exit code 2).
    Input,
    /// A step that ran and failed (exit code 1).
    Step,
    /// Osiris itself or the machine (exit code 3).
    Host,
    /// Nobody's: another run is at work on the same thing (exit code 4).
    Busy,
}

impl Fault {
    pub fn exit_code(self) -> u8 {
        match self {
            Fault::Step => 1,
            Fault::Input => 2,
            Fault::Host => 3,
            Fault::Busy => 4,
        }
    }
}

/// An error with its remedy. Any error that reaches `main` without one is a fault of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub fault: Fault,
    pub message: String,
    pub hint: Option<String>,
    pub place: Option<Place>,
}

/// What the id of a step follows where a path has it in place of the step's number.
pub const STEP_ID: &str = "#";

/// Where an error is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a key or item of the pipeline, by its path (`steps`, `0`, `config`, `path`), and so many bytes into its text.
    Key(Vec<String>, Option<usize>),
    /// In this line of the pipeline.
    Line(u64),
    /// In a file; line and column are counted from 1.
    Spot { file: String, line: usize, column: usize },
}

impl Report {
    fn new(fault: Fault, message: String) -> Self {
        Self { fault, message, hint: None, place: None }
    }

    /// At the key of that path in the pipeline, unless its place is known better.
    #[must_use]
    pub fn at<T: ToString>(mut self, path: impl IntoIterator<Item = T>) -> Self {
        self.place.get_or_insert_with(|| Place::Key(path.into_iter().map(|part| part.to_string()).collect(), None));
        self
    }

    /// At a part of a step, by the step's id.
    #[must_use]
    pub fn at_step(self, step: impl std::fmt::Display, part: &[&str]) -> Self {
        let step = ["steps".to_owned(), format!("{STEP_ID}{step}")];
        self.at(step.into_iter().chain(part.iter().map(ToString::to_string)))
    }

    /// The number of the step that it is about, if its place has one.
    pub fn step_number(&self) -> Option<usize> {
        match &self.place {
            Some(Place::Key(path, _)) if path.first().is_some_and(|first| first == "steps") => {
                path.get(1)?.parse().ok()
            }
            _ => None,
        }
    }

    /// Puts the path of what is around it before the error's own.
    #[must_use]
    pub fn inside<T: ToString>(mut self, path: impl IntoIterator<Item = T>) -> Self {
        let mut whole: Vec<String> = path.into_iter().map(|part| part.to_string()).collect();
        match &mut self.place {
            Some(Place::Key(own, _)) => {
                whole.append(own);
                *own = whole;
            }
            Some(Place::Line(_) | Place::Spot { .. }) => {}
            None => self.place = Some(Place::Key(whole, None)),
        }
        self
    }

    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Fault::Input, message.into())
    }

    /// Another run is at work: the same command may succeed later.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(Fault::Busy, message.into())
    }

    pub fn step(message: impl Into<String>) -> Self {
        Self::new(Fault::Step, message.into())
    }

    /// The report inside an error; an error without one is a fault of the host.
    pub fn from_error(error: anyhow::Error) -> Self {
        Self::of(error).unwrap_or_else(|error| Self::new(Fault::Host, format!("{error:#}")))
    }

    /// The report inside an error, or several as one.
    ///
    /// # Errors
    /// The error itself, if it has none.
    pub fn of(error: anyhow::Error) -> anyhow::Result<Self> {
        match error.downcast::<Reports>() {
            Ok(reports) => Ok(reports.merged()),
            Err(error) => error.downcast(),
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with the user's input, in the order in which it is written there; never empty as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports(Vec<Report>);

impl Reports {
    pub fn push(&mut self, report: Report) {
        self.0.push(report);
    }

    /// What succeeded, or what was wrong with it, which is noted.
    pub fn note<T>(&mut self, outcome: Result<T, Report>) -> Option<T> {
        outcome.map_err(|report| self.push(report)).ok()
    }

    /// # Errors
    /// If anything was wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// All of them as one, with the first remedy.
    fn merged(self) -> Report {
        let message = self.to_string();
        let hint = self.iter().find_map(|report| report.hint.clone());
        let first = self.0.into_iter().next();
        let (fault, place) = first.map_or((Fault::Input, None), |report| (report.fault, report.place));
        Report { fault, message, hint, place }
    }

    /// Notes what is wrong with the user's input.
    ///
    /// # Errors
    /// Any other error.
    pub fn gather(&mut self, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        match outcome.map_err(anyhow::Error::downcast::<Reports>) {
            Ok(()) => Ok(()),
            Err(Ok(reports)) => {
                self.extend(reports);
                Ok(())
            }
            Err(Err(error)) => error.downcast().map(|report| self.push(report)),
        }
    }

    /// The same with each error changed.
    #[must_use]
    pub fn map(self, change: impl FnMut(Report) -> Report) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }

    /// Adds all errors of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What both have.
    #[must_use]
    pub fn in_both(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|report| other.0.contains(report)).cloned().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Report> {
        self.0.iter()
    }
}

impl From<Report> for Reports {
    fn from(report: Report) -> Self {
        Self(vec![report])
    }
}

impl fmt::Display for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self.0.iter().map(|report| report.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for Reports {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    User,
    Driver,
    /// The system that the driver connects to.
    Remote,
    Host,
}

/// The kind of a failure for want of disk space.
pub const DISK_FULL: &str = "disk-full";

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub blame: Blame,
    /// The contract's error kind, such as `config`, or `trap`, `timeout`, `memory`, `killed`.
    pub kind: Untrusted,
    /// Parts of it may come from a driver, a server or data.
    pub message: Untrusted,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Untrusted>,
    /// The last lines that the driver printed to stderr before it aborted, such as a traceback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Untrusted>,
    /// Whether the step may succeed if it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// When a step that failed may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How long to wait first, in milliseconds, if the server said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

impl Failure {
    pub fn new(blame: Blame, kind: impl Into<Untrusted>, message: impl Into<Untrusted>) -> Self {
        Self { blame, kind: kind.into(), message: message.into(), hint: None, printed: None, retry: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<Untrusted>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure on the host's side, blamed according to the operating system's error: the user can fix a file that may
    /// not be opened, but not a full disk.
    pub fn of_host(error: &anyhow::Error) -> Self {
        use std::io::ErrorKind as Io;
        let message = format!("{error:#}");
        let cause = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
        // Names that are too long and loops of links have no stable kind.
        let names_nothing =
            matches!(cause.and_then(std::io::Error::raw_os_error), Some(libc::ENAMETOOLONG | libc::ELOOP));
        match cause.map(std::io::Error::kind) {
            Some(Io::StorageFull | Io::QuotaExceeded) => Self::disk_full(message),
            Some(Io::PermissionDenied | Io::ReadOnlyFilesystem) => Self::new(Blame::User, "permission", message)
                .hint("give the user that runs Osiris access, or name another file"),
            _ if names_nothing => Self::new(Blame::User, "config", message).hint("name another file"),
            _ => Self::new(Blame::Host, "internal", message),
        }
    }

    /// The machine has no disk space left.
    pub fn disk_full(message: impl Into<Untrusted>) -> Self {
        Self::new(Blame::Host, DISK_FULL, message)
            .hint("free some space on the disk that holds the session and the files that are written")
    }
}

impl Scrub for Failure {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        let scrub = |text: &Untrusted| text.without_secrets(scrubber);
        let Self { blame, kind, message, hint, printed, retry } = self;
        let (hint, printed) = (hint.as_ref().map(scrub), printed.as_ref().map(scrub));
        Self { blame: *blame, kind: scrub(kind), message: scrub(message), hint, printed, retry: *retry }
    }
}

/// The known name nearest to the written one, if it is similar enough to be what was meant.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// Names as an error lists them: each in backticks, separated by commas.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_host_is_blamed_on_whoever_can_fix_it() {
        for (error, blame, kind) in [
            (libc::ENOSPC, Blame::Host, "disk-full"),
            (libc::EDQUOT, Blame::Host, "disk-full"),
            (libc::EACCES, Blame::User, "permission"),
            (libc::EROFS, Blame::User, "permission"),
            (libc::ENAMETOOLONG, Blame::User, "config"),
            (libc::EIO, Blame::Host, "internal"),
        ] {
            let error = anyhow::Error::from(std::io::Error::from_raw_os_error(error)).context("cannot write `x`");
            let failure = Failure::of_host(&error);
            assert_eq!((failure.blame, failure.kind.raw()), (blame, kind));
            assert!(failure.message.raw().starts_with("cannot write `x`: "), "{}", failure.message);
        }
        assert_eq!(Failure::of_host(&anyhow::anyhow!("odd")).blame, Blame::Host);
    }

    #[test]
    fn nearest_finds_a_typo_but_no_unrelated_name() {
        assert_eq!(nearest("extrct", ["extract", "load"]), Some("extract"));
        assert_eq!(nearest("zebra", ["extract", "load"]), None);
    }
}
