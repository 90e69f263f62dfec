//! Puts SQL into the column names that it reads from an input.
//!
//! stopped by: contract
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let input = &step.inputs[0];
    input.read(&["1); DROP VIEW source; --".to_owned()], Types::Exact).map(drop).map_err(told)
}
