//! `--on e2b`: runs attempts of steps in sandboxes of E2B's cloud.
//!
//! The process behind it, the bridge, speaks the worker protocol with its host and has a worker in each sandbox. It stores
//! the host's blobs, because the sandbox for an attempt is only chosen once its grant is known: a sandbox reaches the hosts of
//! one grant, and runs one attempt at a time. Every sandbox is deleted at the end, whatever ends the bridge; what a killed
//! bridge leaves is deleted by the next one (`origin.rs`), or ends because nobody keeps it alive.

mod account;
mod bridge;
mod egress;
mod envd;
mod origin;
mod sandbox;

use std::path::PathBuf;
use std::time::Duration;

pub use bridge::serve;

/// What the bridge is told.
#[derive(Debug, Clone)]
pub struct Settings {
    pub template: String,
    /// The most sandboxes at once, each of which runs one attempt.
    pub sandboxes: u32,
    /// How long a sandbox lives once nobody keeps it alive.
    pub lifetime: Duration,
    /// Where the host's blobs are stored, in a folder of its own.
    pub folder: PathBuf,
    /// The most bytes of blobs.
    pub room: u64,
}
