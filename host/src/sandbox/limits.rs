//! Limits that the kernel enforces on a step process, and the CPU time that it has used.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};

/// The number of files that a step process may have open, beside those that it was granted.
const OPEN_FILES: u64 = 1024;

/// How often each granted file may be open.
const OPENED_AT_ONCE: u64 = 3;

/// The number of files that a host may have open: enough for those of a step, which it opens to send them to a worker.
const OPEN_FILES_OF_HOST: u64 = 64 << 10;

/// Raises the limit of open files as far as the machine allows, up to what steps with many files need.
pub fn raise_open_files() {
    let found = rustix::process::getrlimit(Resource::Nofile);
    let most = found.maximum.map_or(OPEN_FILES_OF_HOST, |most| most.min(OPEN_FILES_OF_HOST));
    if found.current.is_some_and(|current| current < most) {
        let raised = Rlimit { current: Some(most), maximum: found.maximum };
        // With the lower limit, a step with many files fails by itself.
        let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    }
}

/// How long a process may exceed its CPU limit before the kernel ends it, if nothing else has, in seconds.
const GRACE_SECONDS: u64 = 10;

/// Sets the kernel's limits. A write beyond the limit of a file's size fails instead of ending the process, and so does
/// an allocation beyond the limit of writable memory.
///
/// # Errors
/// If the kernel refuses.
/// If the kernel refuses.
pub fn limit(granted_files: usize, file_bytes: u64, data_bytes: u64, cpu_seconds: u64) -> anyhow::Result<()> {
    // A handler that does nothing turns SIGXFSZ into an error of the write.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .context("cannot handle SIGXFSZ")?;
    let open_files = (granted_files as u64).saturating_mul(OPENED_AT_ONCE).saturating_add(OPEN_FILES);
    cap(Resource::Nofile, open_files).context("cannot limit open files")?;
    cap(Resource::Fsize, file_bytes).context("cannot limit the size of files")?;
    cap(Resource::Memlock, 0).context("cannot limit locked memory")?;
    cap(Resource::Data, data_bytes).context("cannot limit memory")?;
    cap(Resource::Cpu, cpu_seconds.saturating_add(GRACE_SECONDS)).context("cannot limit CPU time")
}

/// Sets the kernel's limits on a compile process. Beyond its CPU time it dies of SIGXCPU.
///
/// # Errors
/// If the kernel refuses.
pub fn limit_compiler(cpu_seconds: u64, memory_bytes: u64, code_bytes: u64) -> anyhow::Result<()> {
    cap(Resource::Nofile, OPEN_FILES).context("cannot limit open files")?;
    cap(Resource::Fsize, code_bytes).context("cannot limit the size of files")?;
    cap(Resource::Memlock, 0).context("cannot limit locked memory")?;
    cap(Resource::Data, memory_bytes).context("cannot limit memory")?;
    let until = Rlimit { current: Some(cpu_seconds), maximum: Some(cpu_seconds.saturating_add(GRACE_SECONDS)) };
    rustix::process::setrlimit(Resource::Cpu, until).context("cannot limit CPU time")
}

/// Lowers a limit permanently.
fn cap(resource: Resource, value: u64) -> rustix::io::Result<()> {
    let found = rustix::process::getrlimit(resource);
    let value = found.maximum.map_or(value, |most| most.min(value));
    rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
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
