//! Ends a step at its deadline, wherever it is: in the guest, or in a query on its behalf.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::TICK;
use super::reporter::Reporter;
use crate::engine::Interrupter;
use crate::job::Limits;

/// A running watch; it ends with the process.
pub struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Counts from now. At the deadline it interrupts guest and queries, over and over, so that a
    /// driver which swallows the first error gains nothing.
    pub fn start(limits: &Limits, runtime: &wasmtime::Engine, queries: Interrupter, reporter: Reporter) -> Self {
        let deadline = Instant::now() + Duration::from_secs(limits.wall_seconds);
        let fired = Arc::new(AtomicBool::new(false));
        let (flag, runtime) = (Arc::clone(&fired), runtime.clone());
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                if Instant::now() >= deadline {
                    flag.store(true, Ordering::SeqCst);
                    runtime.increment_epoch();
                    queries.interrupt();
                } else {
                    let (done, total) = queries.progress();
                    if done > 0 {
                        reporter.progress(done, (total >= done).then_some(total));
                    }
                }
            }
        });
        Self(fired)
    }

    /// Whether the deadline has passed.
    pub fn fired(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
