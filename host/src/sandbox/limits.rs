//! Limits that the kernel keeps on a step process, and how much CPU time it has used.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::job::Limits;

/// Files a step process may have open.
const OPEN_FILES: u64 = 1024;

/// How long beyond its CPU limit a process lives that nothing else has ended, in seconds.
const GRACE_SECONDS: u64 = 10;

/// Sets the kernel's limits. A write beyond the size of a file fails instead of ending the process.
///
/// # Errors
/// When the kernel refuses.
pub fn limit(limits: &Limits) -> anyhow::Result<()> {
    // A handler that does nothing turns SIGXFSZ into an error of the write.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .context("cannot handle SIGXFSZ")?;
    let cap = |resource, value| {
        let found = rustix::process::getrlimit(resource);
        let value = found.maximum.map_or(value, |most| most.min(value));
        rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    cap(Resource::Nofile, OPEN_FILES).context("cannot limit open files")?;
    cap(Resource::Fsize, limits.output_bytes.max(limits.spill_bytes)).context("cannot limit the size of files")?;
    cap(Resource::Memlock, 0).context("cannot limit locked memory")?;
    cap(Resource::Cpu, limits.cpu_seconds.saturating_add(GRACE_SECONDS)).context("cannot limit CPU time")
}

/// The CPU time that this process has used.
#[derive(Debug)]
pub struct CpuClock;

impl CpuClock {
    pub fn used() -> Duration {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}
