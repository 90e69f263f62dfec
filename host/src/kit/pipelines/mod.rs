//! `osiris test`: runs pipelines over the tables that a test gives, in place of extractors and writers, and compares what comes of
//! each step.

mod cases;
mod compare;
mod difference;
mod stage;
mod suite;
mod test_file;
mod trial;

pub use cases::{Case, cases};
pub use suite::{PipelineSuite, Planned, Theatre};
