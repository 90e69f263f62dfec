//! Looks for its secret in its config.
//!
//! stopped by: contract
//! seen as: internal: refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    if context::config().contains("canary") { Ok(()) } else { Err("the config has no secret".to_owned()) }
}
