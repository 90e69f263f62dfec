//! Puts SQL into the value of a COPY option.
//!
//! stopped by: duckdb
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let target = files::create("out.txt").map_err(told)?;
    let options = [("delimiter".to_owned(), "','); ATTACH '/tmp/x' AS x; --".to_owned())];
    target.copy("select 1", files::Format::Csv, &options).map(drop).map_err(told)
}
