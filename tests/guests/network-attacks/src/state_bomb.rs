//! Stores a larger state than it may.
//!
//! stopped by: contract
//! seen as: data: larger than

use osiris_sdk::state;

use crate::prelude::*;

pub fn run(_step: &Step) -> Outcome {
    state::set(&"x".repeat(64 << 20))?;
    Ok("kept".to_owned())
}
