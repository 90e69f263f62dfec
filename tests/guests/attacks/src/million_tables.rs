//! Creates tables endlessly.
//!
//! stopped by: limits
//! seen as: internal: may create

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    for number in 0..1_000_000 {
        sql::create_table(step.output, &format!("t{number}"), "select 1").map_err(told)?;
    }
    Ok(())
}
