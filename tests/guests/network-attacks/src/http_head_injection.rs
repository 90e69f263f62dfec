//! Puts a second request into the value of a header.
//!
//! stopped by: contract
//! seen as: denied: InvalidSyntax

use wasip2::http::types::Method;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let smuggled = "x\r\n\r\nGET /secret HTTP/1.1\r\nHost: x";
    read(&request(&Method::Get, &step.url, &[("x-note", smuggled)])?, 1 << 20)
}
