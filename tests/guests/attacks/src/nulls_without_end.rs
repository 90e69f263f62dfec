//! Appends millions of rows of nulls past its deadline.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 2

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_table("main", &column("n")).map_err(told)?;
    loop {
        // The result is ignored: the attack continues in any case.
        let _ = writer.append(&batch(1 << 27, 1 << 27, Vec::new()));
    }
}
