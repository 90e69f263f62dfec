//! Follows a redirect from a granted URL to one that was not granted.
//!
//! stopped by: contract
//! seen as: denied: HttpRequestDenied

use crate::prelude::*;

pub fn run(step: &Step) -> Outcome {
    let response = get(&format!("{}/redirect?to={}", step.url, step.target))?;
    let places = response.headers().get("location");
    let place = places.first().map(|place| String::from_utf8_lossy(place).into_owned());
    let place = place.ok_or_else(|| Error::data(format!("no redirect, but {}", response.status())))?;
    read(&get(&place)?, 1 << 20)
}
