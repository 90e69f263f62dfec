//! Prints endlessly.
//!
//! stopped by: limits
//! seen as: timeout: time limit
//! flags: --step-timeout 2

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let _ = step;
    loop {
        println!("{}", "x".repeat(1000));
        eprintln!("\u{1b}[2J");
    }
}
