//! Creates a table whose name is a control character.
//!
//! stopped by: contract
//! seen as: internal: not usable

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    step.output.create_table("\u{0}", &column("l")).map(drop).map_err(told)
}
