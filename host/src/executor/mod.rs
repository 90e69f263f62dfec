//! How a step process is started, fed its job, heard and ended, and how it gets its connections.

pub mod broker;
pub mod process;
