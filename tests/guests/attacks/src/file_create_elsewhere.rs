//! Writes a file that it was not granted.
//!
//! stopped by: contract
//! seen as: internal: was granted

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    files::create("/tmp/osiris-attack").map(drop).map_err(told)
}
