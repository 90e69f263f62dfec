//! Executes an unreachable instruction.
//!
//! stopped by: contract
//! seen as: trap: trapped

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::process::abort()
}
