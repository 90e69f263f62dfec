//! Declares a different framing of its body from the one it sends, to hide a second request behind the first.
//!
//! stopped by: contract
//! seen as: denied: Forbidden

use wasip2::http::types::Method;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let headers = [("content-length", "0"), ("transfer-encoding", "chunked")];
    read(&request(&Method::Get, &step.url, &headers)?, 1 << 20)
}
