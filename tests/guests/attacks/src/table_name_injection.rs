//! Puts SQL into the name of a table.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let writer = step.output.create_table("m\"; ATTACH '/tmp/x' AS x; --", &column("l")).map_err(told)?;
    writer.finish().map(drop).map_err(told)
}
