//! Requests a granted URL by a method that was not granted.
//!
//! stopped by: contract
//! seen as: denied: HttpRequestDenied

use wasip2::http::types::Method;

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let methods = [Method::Delete, Method::Post, Method::Connect, Method::Other("get".to_owned()), Method::Trace];
    let mut stopped = None;
    for method in methods {
        match request(&method, &step.url, &[]) {
            Ok(response) => return read(&response, 1 << 20),
            Err(error) if error.message.contains("HttpRequestDenied") => stopped = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(stopped.unwrap_or_else(|| refused("nothing", ())))
}
