//! Requests its granted URL: the positive control.
//!
//! stopped by: nothing
//! seen as: success

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    read(&get(&step.url)?, 1 << 20)
}
