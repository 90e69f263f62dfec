//! Opens its granted file by another spelling of the path.
//!
//! stopped by: contract
//! seen as: internal: was granted

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    files::open("./out.txt").or_else(|_| files::open("../out.txt")).or_else(|_| files::open("out.txt\0")).map(drop).map_err(told)
}
