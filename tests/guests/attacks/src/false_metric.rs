//! Reports rows that it did not write.
//!
//! stopped by: contract
//! seen as: success: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    context::metric("rows_processed", 1e9);
    sql::create_table(step.output, "main", "select 1 as a").map(drop).map_err(told)
}
