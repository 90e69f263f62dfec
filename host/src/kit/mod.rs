//! The conformance kit: runs a driver in tests, as `osiris run` would, and judges what comes out.

pub mod checks;
pub mod harness;
mod outcome;
mod source;

pub use harness::{Harness, Trial};
pub use outcome::{LogLine, Outcome, Table};
pub use source::{Rows, Source, TestInput};
