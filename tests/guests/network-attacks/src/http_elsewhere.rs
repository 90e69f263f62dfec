//! Requests a URL that its step was not granted.
//!
//! stopped by: contract
//! seen as: denied: HttpRequestDenied

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    read(&get(&step.target)?, 1 << 20)
}
