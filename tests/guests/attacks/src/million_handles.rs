//! Keeps handles open endlessly.
//!
//! stopped by: limits
//! seen as: trap: 

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let mut held = Vec::new();
    loop {
        held.push(secrets::get("key").ok_or("no such secret")?);
    }
}
