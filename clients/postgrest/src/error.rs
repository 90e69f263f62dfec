//! PostgREST's errors, and who has to fix them.

use osiris_sdk::http::{Answer, Request};
use osiris_sdk::{Error, ErrorKind, Result};
use serde::Deserialize;

/// Statuses whose body contains an error from PostgreSQL or PostgREST. A retry does not help.
const TOLD: [u16; 12] = [400, 401, 402, 403, 404, 405, 406, 409, 413, 415, 416, 422];

/// PostgREST's errors (<https://docs.postgrest.org/en/stable/references/errors.html>).
#[derive(Debug, Default, Deserialize)]
struct Told {
    code: Option<String>,
    message: Option<String>,
    details: Option<String>,
    hint: Option<String>,
}

/// Accepts those statuses as responses, so that their bodies are read completely.
pub fn with_body(request: Request) -> Request {
    TOLD.into_iter().fold(request, Request::accept)
}

/// The response, or the error in it.
///
/// # Errors
/// By PostgreSQL's own code if there is one: `data` for rows that do not fit (classes 21, 22 and 23), `auth`, `denied`,
/// `not-found`, `rate-limited` and `transient` for the corresponding codes, otherwise `config`.
pub fn judge(answer: Answer) -> Result<Answer> {
    judge_coded(answer).map_err(|fault| fault.error)
}

/// An error with its code from PostgreSQL or PostgREST.
#[derive(Debug)]
pub struct Fault {
    /// Empty if it has none.
    pub code: String,
    pub error: Error,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { code: String::new(), error }
    }
}

/// Like [`judge`], with the error's code.
pub(crate) fn judge_coded(answer: Answer) -> Result<Answer, Fault> {
    if !TOLD.contains(&answer.status) {
        return Ok(answer);
    }
    let told: Told = serde_json::from_slice(&answer.bytes).unwrap_or_default();
    let Some(message) = &told.message else { return Err(answer.as_error(answer.status).into()) };
    let code = told.code.as_deref().unwrap_or_default();
    // The reason comes first, because addresses can be long.
    let mut text = message.clone();
    if !code.is_empty() {
        text.push_str(&format!(" ({code})"));
    }
    for more in [&told.details, &told.hint].into_iter().flatten().filter(|more| !more.is_empty()) {
        text.push_str(&format!("; {more}"));
    }
    let asked = answer.asked().split('?').next().unwrap_or_default();
    text.push_str(&format!("; `{asked}` answered {}", answer.status));
    Err(Fault { error: Error::new(kind(answer.status, code), text), code: code.to_owned() })
}

fn kind(status: u16, code: &str) -> ErrorKind {
    match (status, code) {
        (_, "42501") => ErrorKind::Denied,
        (_, "42P01" | "42703" | "PGRST204" | "PGRST205") => ErrorKind::NotFound,
        (_, code) if code.len() == 5 && ["21", "22", "23"].iter().any(|class| code.starts_with(class)) => {
            ErrorKind::Data
        }
        (401, _) => ErrorKind::Auth,
        (403, _) => ErrorKind::Denied,
        (404, _) => ErrorKind::NotFound,
        _ => ErrorKind::Config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_code_says_whose_fault_it_is() {
        for (status, code, expected) in [
            (409, "23505", ErrorKind::Data),
            (400, "22P02", ErrorKind::Data),
            (401, "42501", ErrorKind::Denied),
            (401, "PGRST301", ErrorKind::Auth),
            (404, "PGRST205", ErrorKind::NotFound),
            (400, "42703", ErrorKind::NotFound),
            (400, "PGRST100", ErrorKind::Config),
            (413, "", ErrorKind::Config),
        ] {
            let found = kind(status, code);
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{status} {code}");
        }
    }
}
