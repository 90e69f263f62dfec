//! Puts a second request into the path of the first.
//!
//! stopped by: contract
//! seen as: denied: was refused

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let smuggled = format!("{}/x HTTP/1.1\r\nHost: x\r\n\r\nGET /secret", step.url);
    read(&get(&smuggled)?, 1 << 20)
}
