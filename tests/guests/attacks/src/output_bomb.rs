//! Fills the disk with its output.
//!
//! stopped by: limits
//! seen as: output: output
//! flags: --output-size 20MB

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let filled = "select i, md5(i::varchar) as m, md5((i + 1)::varchar) as n from range(100000000) t(i)";
    sql::create_table(step.output, "main", filled).map(drop).map_err(told)
}
