//! Hides a second COPY in the SELECT of the first.
//!
//! stopped by: duckdb
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let target = files::create("out.txt").map_err(told)?;
    target.copy("select 1) TO '/tmp/osiris-attack'; COPY (select 2", files::Format::Csv, &[]).map(drop).map_err(told)
}
