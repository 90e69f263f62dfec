//! Climbs out of the granted path, by dots in every spelling that a server might undo.
//!
//! stopped by: contract
//! seen as: denied: HttpRequestDenied

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let climbs = ["/../secret", "/%2e%2e/secret", "/.%2E/secret", "/..%2fsecret", "/..;/secret", "/%252e%252e/secret", "/x/../../secret", "/..%5csecret"];
    let mut stopped = None;
    for climb in climbs {
        match get(&format!("{}{climb}", step.url)) {
            Ok(response) => return read(&response, 1 << 20).map(|text| format!("{climb}: {text}")),
            Err(error) => stopped = Some(error),
        }
    }
    Err(stopped.unwrap_or_else(|| refused("nothing", ())))
}
