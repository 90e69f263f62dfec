//! Reads /etc/passwd through WASI's filesystem.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::fs::read("/etc/passwd").map(drop).map_err(|error| error.to_string())
}
