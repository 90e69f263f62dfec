//! Opens connections and keeps them all open.
//!
//! stopped by: limits
//! seen as: connections: as many as it may

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let mut open = Vec::new();
    while open.len() < 100_000 {
        open.push(connect(step)?);
    }
    Ok(format!("{} connections", open.len()))
}
