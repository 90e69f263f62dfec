//! This machine as an executor: a process for each attempt, started ahead of time where possible.

use std::sync::mpsc::SyncSender;

use super::process::{ProcessEvent, StepProcess};
use super::supervisor::Supervisor;
use super::{Executor, NewAttempt, RunningAttempt};

/// Must stay on the thread that made its first process: processes die with the thread that starts them.
pub struct Local {
    say: SyncSender<ProcessEvent>,
    /// Processes that have no job yet.
    warm: Vec<StepProcess>,
    /// The number of the last process.
    started: u64,
    /// Ends attempts at their limits, independently of this thread.
    supervisor: Supervisor,
}

impl Local {
    /// With a process that was started already, if there is one; its events are heard by `say`.
    ///
    /// # Errors
    /// If the machine provides no threads.
    pub fn new(say: SyncSender<ProcessEvent>, first: Option<StepProcess>) -> anyhow::Result<Self> {
        let started = first.as_ref().map_or(0, |process| process.number);
        Ok(Self { say, warm: first.into_iter().collect(), started, supervisor: Supervisor::start()? })
    }

    fn start_process(&mut self) -> anyhow::Result<StepProcess> {
        self.started += 1;
        StepProcess::start(self.started, &self.say)
    }
}

impl Executor for Local {
    fn expect(&mut self, attempts: usize) {
        while self.warm.len() < attempts {
            match self.start_process() {
                Ok(process) => self.warm.push(process),
                // An attempt that finds no warm process tries to start one itself, and only its step fails if it cannot.
                Err(error) => {
                    tracing::info!(error = format!("{error:#}"), "cannot start a process ahead of time");
                    return;
                }
            }
        }
    }

    fn release(&mut self) {
        self.warm.clear();
    }

    fn start(&mut self, attempt: NewAttempt<'_>) -> anyhow::Result<Box<dyn RunningAttempt>> {
        let NewAttempt { job, reachable, disk, .. } = attempt;
        let mut process = if self.warm.is_empty() { self.start_process()? } else { self.warm.remove(0) };
        process.give(&job, reachable, &self.supervisor, disk)?;
        Ok(Box::new(process))
    }

    fn forget(&mut self, number: u64) {
        self.warm.retain(|process| process.number != number);
    }
}
