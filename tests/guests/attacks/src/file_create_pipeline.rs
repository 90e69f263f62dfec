//! Overwrites the pipeline that runs it.
//!
//! stopped by: contract
//! seen as: internal: was granted

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    files::create("pipeline.yaml").map(drop).map_err(told)
}
