//! How processes are started, given work, listened to and ended at their limits, and how a step gets its connections.

pub mod broker;
pub mod disk;
pub mod figures;
pub mod process;
pub mod supervisor;
