//! Writes a file through WASI's filesystem.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::fs::write("/tmp/osiris-attack", "x").map(drop).map_err(|error| error.to_string())
}
