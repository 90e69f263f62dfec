//! The conformance kit: runs a driver in tests, as `osiris run` would, and judges what comes out.

mod cases;
pub mod checks;
mod expect;
pub mod harness;
mod outcome;
pub mod report;
mod source;
pub mod suite;
mod test_file;

pub use cases::Folder;
pub use harness::{Harness, Trial};
pub use outcome::{LogLine, Outcome, Table};
pub use source::{MadeFile, Rows, Source, TestInput};
