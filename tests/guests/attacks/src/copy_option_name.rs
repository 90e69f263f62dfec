//! Puts SQL into the name of a COPY option.
//!
//! stopped by: duckdb
//! seen as: internal: unknown COPY option

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let target = files::create("out.txt").map_err(told)?;
    let options = [("header) ; ATTACH '/tmp/x' AS x; --".to_owned(), String::new())];
    target.copy("select 1", files::Format::Csv, &options).map(drop).map_err(told)
}
