//! Uses up its CPU time within its wall time.
//!
//! stopped by: limits
//! seen as: cpu: CPU time
//! flags: --step-cpu 1

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        std::hint::spin_loop();
    }
}
