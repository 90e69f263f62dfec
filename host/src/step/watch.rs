//! Ends a step at its limits of time, CPU and output, whether it is in the guest or in a query on the guest's behalf.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::channel::reporter::Reporter;
use crate::engine::Interrupter;
use crate::error::{Blame, Failure};
use crate::grants::limits::Limits;
use crate::protocol::{Job, Message};
use crate::sandbox::CpuClock;

/// How often the watch checks.
const TICK: Duration = Duration::from_millis(50);

/// A limit that a step has exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Overrun {
    Time = 1,
    Cpu,
    Output,
}

impl Overrun {
    const ALL: [Self; 3] = [Self::Time, Self::Cpu, Self::Output];

    /// The step's failure. If the author's own SQL reached the limit, the author has to raise it or change the SQL.
    pub fn failure(self, job: &Job, in_authors_sql: bool) -> Failure {
        let Limits { wall_seconds, cpu_seconds, output_bytes, .. } = job.limits;
        let (kind, reason, limit) = match self {
            Self::Time => ("timeout", format!("after {wall_seconds} s, its time limit"), Limits::WALL),
            Self::Cpu => ("cpu", format!("after {cpu_seconds} s of CPU time, its limit"), Limits::CPU),
            Self::Output => ("output", format!("at {output_bytes} bytes of output, its limit"), Limits::OUTPUT),
        };
        let (blame, who) = if in_authors_sql {
            (Blame::User, format!("the SQL of step `{}`", job.step))
        } else {
            (Blame::Driver, format!("driver `{}`", job.driver))
        };
        Failure::new(blame, kind, format!("{who} was stopped {reason}"))
            .hint(format!("give the step more with `{}`", limit.usage()))
    }
}

/// A running watch; it ends with the process.
#[derive(Clone)]
pub struct Watch {
    /// The number of the exceeded limit, and [`IN_AUTHORS_SQL`]; 0 if none was exceeded.
    overrun: Arc<AtomicU8>,
    failures: Arc<[(u8, Failure)]>,
}

/// Set beside the limit's number if the author's SQL was running.
const IN_AUTHORS_SQL: u8 = 1 << 7;

fn number(overrun: Overrun, in_authors_sql: bool) -> u8 {
    overrun as u8 | if in_authors_sql { IN_AUTHORS_SQL } else { 0 }
}

/// How long a step may take to end after it was interrupted, before the watch reports the failure in its place: the
/// host then ends the process.
const DEAF: Duration = Duration::from_secs(1);

impl Watch {
    /// Starts counting. At a limit it interrupts guest and queries repeatedly, so that a driver that ignores the first
    /// error gains nothing.
    ///
    /// # Errors
    /// If the machine provides no thread.
    pub fn start(
        job: &Job,
        runtime: &wasmtime::Engine,
        queries: Interrupter,
        reporter: Reporter,
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let failures: Arc<[(u8, Failure)]> = Overrun::ALL
            .into_iter()
            .flat_map(|overrun| [false, true].map(|authors| (number(overrun, authors), overrun.failure(job, authors))))
            .collect();
        let watch = Self { overrun: Arc::new(AtomicU8::new(0)), failures };
        let (own, runtime, limits) = (watch.clone(), runtime.clone(), job.limits);
        let files: Vec<PathBuf> =
            job.files.output.iter().cloned().chain(job.files.write.iter().map(|grant| grant.path.clone())).collect();
        let watching = move || {
            let mut interrupted: Option<Instant> = None;
            let mut reported = false;
            loop {
                std::thread::sleep(TICK);
                if interrupted.is_none()
                    && let Some(over) = overrun_of(&limits, begun, &files)
                {
                    let status = queries.status();
                    let authors = if over == Overrun::Output { status.ran_authors() } else { status.runs_authors() };
                    own.overrun.store(number(over, authors), Ordering::SeqCst);
                    interrupted = Some(Instant::now());
                }
                if let Some(interrupted) = interrupted {
                    queries.interrupt();
                    runtime.increment_epoch();
                    if !reported
                        && interrupted.elapsed() > DEAF
                        && let Some(failure) = own.failure()
                    {
                        reported = reporter.send_at_once(&Message::Failed(failure));
                    }
                    continue;
                }
                let (done, total) = queries.progress();
                if done > 0 {
                    reporter.progress(done, (total >= done).then_some(total));
                }
            }
        };
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(watching)
            .context("cannot start the step's watch")?;
        Ok(watch)
    }

    /// The failure of a step that has exceeded a limit, if it has.
    pub fn failure(&self) -> Option<Failure> {
        let overrun = self.overrun.load(Ordering::SeqCst);
        self.failures.iter().find(|(number, _)| *number == overrun).map(|(_, failure)| failure.clone())
    }
}

fn overrun_of(limits: &Limits, begun: Instant, files: &[PathBuf]) -> Option<Overrun> {
    if begun.elapsed() >= Duration::from_secs(limits.wall_seconds) {
        return Some(Overrun::Time);
    }
    if CpuClock::used() >= Duration::from_secs(limits.cpu_seconds) {
        return Some(Overrun::Cpu);
    }
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |found| found.len());
    files.iter().any(|file| size(file) > limits.output_bytes).then_some(Overrun::Output)
}
