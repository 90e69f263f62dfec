//! Panics with its secret in the message.
//!
//! stopped by: contract
//! seen as: trap: trapped

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    panic!("{}", secrets::get("key").ok_or("no such secret")?.reveal())
}
