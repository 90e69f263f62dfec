//! How the conformance kit disturbs a step. Only the kit's own jobs carry it: no pipeline, option, environment variable or
//! driver can.

use serde::{Deserialize, Serialize};

pub use crate::engine::Batches;

/// The bytes of a small piece of a file, a connection or a response.
pub const SHORT_READ: u32 = 61;

/// What is different about a step that the kit runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// Report the driver's calls that can fail and its memory, as [`Message::Observed`](super::Message::Observed).
    pub observes: bool,
    /// Disturb one of these calls, in the first attempt of the step.
    pub fault: Option<Fault>,
    pub batches: Batches,
}

impl Disturbance {
    /// Whether the driver's calls are counted.
    pub fn counts_calls(&self) -> bool {
        self.observes || self.fault.is_some()
    }

    /// The most bytes of a file or a connection that one call returns.
    pub fn longest_read(&self, usual: u32) -> u32 {
        if self.batches == Batches::Small { SHORT_READ } else { usual }
    }
}

/// A disturbance of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which of the driver's calls that can fail, counted from 1 over all interfaces.
    pub call: u64,
    /// Whether every later call of the same function is disturbed as well.
    pub lasts: bool,
    pub effect: Effect,
}

/// What happens to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It does nothing and returns an error of that kind. An HTTP request gets a response with the status of that kind, or
    /// the error that HTTP has for it.
    Error(FaultKind),
    /// It returns the end of the stream, although there is more. An HTTP response ends in the middle of its body.
    EndOfStream,
    /// It waits for so many milliseconds first.
    Slow(u32),
}

/// The kinds of errors that the kit injects; see `osiris:driver/errors.error-kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    Auth,
    Denied,
    NotFound,
    RateLimited,
    Transient,
    Timeout,
    Data,
    Limit,
    Internal,
}
