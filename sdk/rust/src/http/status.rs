//! The meaning of a status for the driver, and its error message.

use std::time::SystemTime;

use super::retry::asked_wait;
use crate::{Error, ErrorKind};

/// How much of a body an error quotes.
const EXCERPT: usize = 200;

/// The error for a response of this status; `asked` is the method and the address.
pub(super) fn error(asked: &str, status: u16, headers: &[(String, String)], body: &[u8]) -> Error {
    let wait = asked_wait(status, headers, SystemTime::now());
    let kind = match status {
        // A server that says when the request limit is reset refuses the rate, not the request.
        403 if wait.is_some() => ErrorKind::RateLimited,
        401 => ErrorKind::Auth,
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        202 | 408 | 425 | 500.. => ErrorKind::Transient,
        _ => ErrorKind::Config,
    };
    let mut message = format!("`{asked}` answered {status}{}", reason(status));
    if let Some(wait) = wait {
        message.push_str(&format!(" and asks to wait {} s", wait.as_millis().div_ceil(1000)));
    }
    let excerpt = excerpt(body);
    if !excerpt.is_empty() {
        message.push_str(&format!(": {excerpt}"));
    }
    Error { kind, code: Some(format!("HTTP {status}")), message, retry_after: wait }
}

/// The start of a body on one line.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(EXCERPT) {
        line.truncate(end);
        line.push('…');
    }
    line.chars().filter(|c| !c.is_control()).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        202 => " (accepted, not done yet)",
        400 => " (bad request)",
        401 => " (unauthorized)",
        403 => " (forbidden)",
        404 => " (not found)",
        405 => " (method not allowed)",
        409 => " (conflict)",
        410 => " (gone)",
        413 => " (content too large)",
        415 => " (unsupported media type)",
        420 => " (slow down)",
        422 => " (unprocessable content)",
        423 => " (locked)",
        425 => " (too early)",
        429 => " (too many requests)",
        500 => " (internal server error)",
        502 => " (bad gateway)",
        503 => " (service unavailable)",
        504 => " (gateway timeout)",
        529 => " (overloaded)",
        _ => "",
    }
}

/// A number of bytes in words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        mebi if mebi >= 1 << 20 && mebi % (1 << 20) == 0 => format!("{} MiB", mebi >> 20),
        kibi if kibi >= 1 << 10 && kibi % (1 << 10) == 0 => format!("{} KiB", kibi >> 10),
        bytes => format!("{bytes} bytes"),
    }
}
