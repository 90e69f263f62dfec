//! Climbs out of the granted path, with dots in every encoding that a server might decode.
//!
//! stopped by: contract
//! seen as: denied: HttpRequestDenied

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let climbs = [
        "/../secret",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/..%2fsecret",
        "/..;/secret",
        "/%252e%252e/secret",
        "/x/../../secret",
        "/..%5csecret",
        "/%c0%ae%c0%ae/secret",
        "/%u002e%u002e/secret",
        "/..%3b/secret",
        "/..%20/secret",
        "/%2e%2e%09/secret",
        "/%ef%bc%8e%ef%bc%8e/secret",
        "/..%e2%88%95secret",
        "/.%e2%80%8b./secret",
        "/.../secret",
    ];
    let mut stopped = None;
    for climb in climbs {
        match get(&format!("{}{climb}", step.url)) {
            Ok(response) => return read(&response, 1 << 20).map(|text| format!("{climb}: {text}")),
            Err(error) => stopped = Some(error),
        }
    }
    Err(stopped.unwrap_or_else(|| refused("nothing", ())))
}
