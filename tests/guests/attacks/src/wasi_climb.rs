//! Climbs out of a folder that it was never given.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::fs::read("../../../../proc/self/environ").map(drop).map_err(|error| error.to_string())
}
