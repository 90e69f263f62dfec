//! The conformance kit: runs a driver in tests, as `osiris run` would, and judges what comes out; and the tests of pipelines.

mod cases;
pub mod checks;
mod expect;
pub mod harness;
pub mod interrupt;
mod outcome;
pub mod pipelines;
pub mod private_folder;
pub mod report;
mod source;
pub mod suite;
mod test_file;

pub use cases::Folder;
pub use harness::{Harness, Trial};
pub use outcome::{LogLine, Outcome, Table};
pub use source::{MadeFile, Rows, Source, TestInput};
