//! Ends a step at its limits of time, CPU and output, wherever it is: in the guest, or in a query on its behalf.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::channel::reporter::Reporter;
use crate::engine::Interrupter;
use crate::error::{Blame, Failure};
use crate::grants::limits::Limits;
use crate::protocol::Job;
use crate::sandbox::CpuClock;

/// How often the watch looks.
const TICK: Duration = Duration::from_millis(50);

/// A limit that a step has overrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Overrun {
    Time = 1,
    Cpu,
    Output,
}

impl Overrun {
    const ALL: [Self; 3] = [Self::Time, Self::Cpu, Self::Output];

    pub fn failure(self, job: &Job) -> Failure {
        let Limits { wall_seconds, cpu_seconds, output_bytes, .. } = job.limits;
        let (kind, reason, limit) = match self {
            Self::Time => ("timeout", format!("after {wall_seconds} s, its time limit"), Limits::WALL),
            Self::Cpu => ("cpu", format!("after {cpu_seconds} s of CPU time, its limit"), Limits::CPU),
            Self::Output => ("output", format!("at {output_bytes} bytes of output, its limit"), Limits::OUTPUT),
        };
        Failure {
            blame: Blame::Driver,
            kind: kind.to_owned(),
            message: format!("driver `{}` was stopped {reason}", job.driver),
            hint: Some(format!("give the step more with `{}`", limit.usage())),
        }
    }
}

/// A running watch; it ends with the process.
pub struct Watch(Arc<AtomicU8>);

impl Watch {
    /// Counts from now. At a limit it interrupts guest and queries, over and over, so that a
    /// driver which swallows the first error gains nothing.
    pub fn start(job: &Job, runtime: &wasmtime::Engine, queries: Interrupter, reporter: Reporter) -> Self {
        let begun = Instant::now();
        let overrun = Arc::new(AtomicU8::new(0));
        let (flag, runtime, limits, output) = (Arc::clone(&overrun), runtime.clone(), job.limits, job.output.clone());
        std::thread::spawn(move || {
            let mut over = None;
            loop {
                std::thread::sleep(TICK);
                over = over.or_else(|| overrun_of(&limits, begun, output.as_deref()));
                if let Some(over) = over {
                    flag.store(over as u8, Ordering::SeqCst);
                    runtime.increment_epoch();
                    queries.interrupt();
                    continue;
                }
                let (done, total) = queries.progress();
                if done > 0 {
                    reporter.progress(done, (total >= done).then_some(total));
                }
            }
        });
        Self(overrun)
    }

    /// The limit that was overrun, if one was.
    pub fn overrun(&self) -> Option<Overrun> {
        let number = self.0.load(Ordering::SeqCst);
        Overrun::ALL.into_iter().find(|overrun| *overrun as u8 == number)
    }
}

fn overrun_of(limits: &Limits, begun: Instant, output: Option<&Path>) -> Option<Overrun> {
    if begun.elapsed() >= Duration::from_secs(limits.wall_seconds) {
        return Some(Overrun::Time);
    }
    if CpuClock::used() >= Duration::from_secs(limits.cpu_seconds) {
        return Some(Overrun::Cpu);
    }
    let written = output.and_then(|output| std::fs::metadata(output).ok()).map_or(0, |found| found.len());
    (written > limits.output_bytes).then_some(Overrun::Output)
}
