//! Stops what a step's database is doing and reports its progress, from any thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Status;
use super::ffi::Connection;

/// Stops every running query of a step and whatever its driver is writing, from any thread.
#[derive(Clone)]
pub struct Interrupter {
    pub(super) connections: Arc<Mutex<Vec<Weak<Connection>>>>,
    pub(super) status: Status,
}

impl Interrupter {
    fn live(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().filter_map(Weak::upgrade).collect()
    }

    pub fn interrupt(&self) {
        self.status.interrupt();
        self.live().iter().for_each(|connection| connection.interrupt());
    }

    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Processed rows and total rows of all running queries together.
    pub fn progress(&self) -> (u64, u64) {
        self.live()
            .iter()
            .map(|connection| connection.progress())
            .fold((0, 0), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
    }
}
