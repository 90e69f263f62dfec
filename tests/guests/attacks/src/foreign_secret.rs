//! Requests the secret of another connection.
//!
//! stopped by: contract
//! seen as: internal: no secret

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    secrets::get("connection.password").map(drop).ok_or_else(|| "the step has no secret there".to_owned())
}
