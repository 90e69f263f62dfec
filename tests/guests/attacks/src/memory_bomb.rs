//! Allocates memory until none is left.
//!
//! stopped by: limits
//! seen as: memory: memory

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![0xa5_u8; 1 << 20]));
    }
}
