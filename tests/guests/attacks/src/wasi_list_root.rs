//! Lists the root folder through WASI's filesystem.
//!
//! stopped by: imports
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    std::fs::read_dir("/").map(drop).map_err(|error| error.to_string())
}
