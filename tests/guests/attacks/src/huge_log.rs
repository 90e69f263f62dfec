//! Logs one line of 400 MB.
//!
//! stopped by: limits
//! seen as: trap: fuel

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    context::log(context::Level::Info, &"x".repeat(400 << 20), &[]);
    Ok(())
}
