//! Returns its secret in an error.
//!
//! stopped by: contract
//! seen as: internal: MASKED

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    Err(secrets::get("key").ok_or("no such secret")?.reveal())
}
