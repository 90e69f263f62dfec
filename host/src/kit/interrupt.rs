//! Ends the runs of a driver when the user interrupts its tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Report;
use crate::executor::process::ProcessEvent;

/// Whether the user has interrupted the tests, and the runs to tell; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_set: AtomicBool,
    /// By a number for each.
    runs: Mutex<BTreeMap<u64, SyncSender<ProcessEvent>>>,
    count: AtomicU64,
}

impl Interrupt {
    /// Ends the current runs; later ones do not start.
    pub fn interrupt(&self) {
        self.0.is_set.store(true, Ordering::SeqCst);
        for run in self.runs().values() {
            // A run that has just ended hears nothing.
            let _ = run.send(ProcessEvent::Signal);
        }
    }

    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::SeqCst)
    }

    /// Registers a run until the returned value is dropped.
    ///
    /// # Errors
    /// If the user has interrupted the tests.
    pub(super) fn register(&self, run: &SyncSender<ProcessEvent>) -> Result<Registered, Report> {
        let number = self.0.count.fetch_add(1, Ordering::Relaxed);
        self.runs().insert(number, run.clone());
        let registered = Registered { interrupt: self.clone(), number };
        if self.is_set() { Err(Report::input("the tests were interrupted")) } else { Ok(registered) }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<u64, SyncSender<ProcessEvent>>> {
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that an interrupt ends.
pub(super) struct Registered {
    interrupt: Interrupt,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.interrupt.runs().remove(&self.number);
    }
}
