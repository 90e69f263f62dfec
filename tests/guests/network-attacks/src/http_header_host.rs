//! Names another host in the `Host` header than the one it calls.
//!
//! stopped by: contract
//! seen as: denied: Forbidden

use wasip2::http::types::Method;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    read(&request(&Method::Get, &step.url, &[("host", "internal.example")])?, 1 << 20)
}
