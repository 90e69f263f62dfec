//! Creates the same table twice.
//!
//! stopped by: contract
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let first = step.output.create_table("main", &column("l")).map_err(told)?;
    first.finish().map_err(told)?;
    step.output.create_table("main", &column("l")).map(drop).map_err(told)
}
