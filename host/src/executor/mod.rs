//! Where attempts of steps run: how they are started, given work, listened to and ended at their limits, and how a step
//! gets its connections.

pub mod broker;
pub mod disk;
pub mod figures;
pub mod local;
pub mod look;
pub mod process;
pub mod supervisor;
pub mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::Context;

use crate::driver::catalog::Driver;
use crate::exchange::{Exchange, StoredFile};
use crate::pipeline::resources::Resources;
use crate::protocol::worker::SentFile;
use crate::protocol::{Job, Reachable};
use disk::DiskAllowance;
use process::Ending;

/// A place where attempts run: this machine, or a worker on another.
pub trait Executor {
    /// Gets ready for so many attempts.
    fn expect(&mut self, attempts: usize);

    /// Lets go of what is ready.
    fn release(&mut self);

    /// Starts an attempt. It is heard as [`ProcessEvent`](process::ProcessEvent)s of its number, the last of which is
    /// `Closed`.
    ///
    /// # Errors
    /// If it cannot be started.
    fn start(&mut self, attempt: NewAttempt<'_>) -> anyhow::Result<Box<dyn RunningAttempt>>;

    /// Forgets what was ready and has ended.
    fn forget(&mut self, number: u64);
}

/// An attempt of a step that is to be started.
pub struct NewAttempt<'a> {
    /// The driver's component, for an executor that has to send it.
    pub driver: Option<&'a Driver>,
    /// The job, whose files are those of this machine.
    pub job: Job,
    pub reachable: Reachable,
    /// What a cluster places it by.
    pub resources: Resources,
    pub disk: DiskAllowance,
    /// The exchange that its files travel through, for an executor that has to send them.
    pub exchange: Option<Passage>,
}

/// What of an attempt travels through an exchange.
#[derive(Debug, Clone)]
pub struct Passage {
    pub exchange: Exchange,
    /// The input files that are there, by their paths on this machine, where they may be missing.
    pub inputs: BTreeMap<PathBuf, StoredFile>,
}

/// An attempt of a step that runs. Dropping it ends it.
pub trait RunningAttempt: fmt::Debug {
    fn number(&self) -> u64;

    /// Whether a connection was made for it, by which it may have changed something elsewhere.
    fn has_connected(&self) -> bool;

    fn kill(&mut self);

    /// What it stored in the exchange, if it had a passage, succeeded, and stored it by itself.
    fn stored(&self) -> Option<Vec<SentFile>> {
        None
    }

    /// How it ended. Call this once it is closed; the wait is short.
    fn ending(self: Box<Self>) -> Ending;
}

/// Runs `work` on a thread of its own, whose end nobody waits for.
///
/// # Errors
/// If the machine gives no thread.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).context("cannot start a thread")
}
