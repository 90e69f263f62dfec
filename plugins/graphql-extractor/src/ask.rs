//! One GraphQL request: the JSON of its response, or the error inside it.

use osiris_sdk::http::{Answer, Client, Retry, Url};
use osiris_sdk::{Error, ErrorKind, Result, context};
use serde_json::{Map, Value, json};

use crate::config::Access;

/// The API's response.
pub struct Told {
    pub answer: Answer,
    /// `None` for a response without a body.
    pub json: Option<Value>,
}

impl Told {
    /// The response's JSON, which must exist.
    ///
    /// # Errors
    /// `data` for a response without a body.
    pub fn json(self) -> Result<Value> {
        self.json.ok_or_else(|| Error::data(format!("the response to `{}` is empty", self.answer.asked())))
    }
}

/// An API that can be queried.
pub struct Api<'a> {
    access: &'a Access,
    client: Client,
    address: Url,
    retry: Retry,
}

impl<'a> Api<'a> {
    /// # Errors
    /// `config` if the address or the login is invalid.
    pub fn new(access: &'a Access) -> Result<Self> {
        Ok(Self { client: access.client(), address: access.address()?, retry: access.patience.retry(), access })
    }

    pub fn address(&self) -> &Url {
        &self.address
    }

    pub fn requests(&self) -> u64 {
        self.client.sent()
    }

    /// Sends a query, and retries failures that may be temporary.
    ///
    /// # Errors
    /// The errors of HTTP, and those in GraphQL's `errors`.
    pub fn ask(&self, query: &str, operation: Option<&str>, variables: &Map<String, Value>) -> Result<Told> {
        let mut body = json!({"query": query, "variables": variables});
        if let Some(operation) = operation {
            body["operationName"] = Value::from(operation);
        }
        for tried in 1.. {
            let mut request = self.client.request_to("POST", self.address.clone()).json(&body)?;
            if is_read(query) {
                request = request.repeatable();
            }
            let answer = self.access.sign(request)?.fetch()?;
            if answer.is_empty() {
                return Ok(Told { answer, json: None });
            }
            let json: Value = answer.json()?;
            let Some(error) = told_error(&json, &answer) else { return Ok(Told { answer, json: Some(json) }) };
            let Some(wait) = self.retry.wait(tried, None, &error).filter(|_| is_read(query)) else {
                return Err(with_wait(error));
            };
            context::info("a query failed and is tried again", &[("because", &error), ("wait_ms", &wait.as_millis())]);
            std::thread::sleep(wait);
        }
        Err(Error::internal("the tries of a query have no end"))
    }
}

/// The error with the time that the server asked to wait.
fn with_wait(error: Error) -> Error {
    let wait = error.retry_after.map(|wait| format!(" (it asks to wait {} s)", wait.as_millis().div_ceil(1000)));
    Error { message: error.message + &wait.unwrap_or_default(), ..error }
}

/// Whether the document only reads, so that it may be sent twice.
fn is_read(query: &str) -> bool {
    let lines = query.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut words = lines.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')));
    !words.any(|word| word == "mutation")
}

/// The error in a response with status 200, if any.
fn told_error(json: &Value, answer: &Answer) -> Option<Error> {
    let errors = match json.get("errors") {
        None | Some(Value::Null) => {
            return (!json.is_object()).then(|| {
                Error::data(format!(
                    "the response to `{}` is not a GraphQL response: it is not an object",
                    answer.asked()
                ))
            });
        }
        Some(Value::Array(errors)) if errors.is_empty() => return None,
        Some(Value::Array(errors)) => errors.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    let told: Vec<String> = errors.iter().take(3).map(message).collect();
    let more = if errors.len() > 3 { format!(" (and {} more)", errors.len() - 3) } else { String::new() };
    let kind = errors.first().map_or(ErrorKind::Data, kind);
    let mut error =
        Error::new(kind, format!("`{}` answered with GraphQL errors: {}{more}", answer.asked(), told.join("; ")));
    error.retry_after = answer.as_error(429).retry_after;
    Some(error)
}

fn message(error: &Value) -> String {
    let said = error.get("message").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned);
    let said: String = said.chars().take(300).collect();
    let path = error.get("path").and_then(Value::as_array).map(|path| {
        let names = path.iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        names.collect::<Vec<_>>().join(".")
    });
    path.map_or_else(|| said.clone(), |path| format!("{said} (at `{path}`)"))
}

/// The kind of error for the server's code: GraphQL defines no codes, these are those in use.
fn kind(error: &Value) -> ErrorKind {
    let code =
        error.pointer("/extensions/code").or_else(|| error.get("type")).and_then(Value::as_str).unwrap_or_default();
    match code.to_ascii_uppercase().as_str() {
        "UNAUTHENTICATED" | "UNAUTHORIZED" => ErrorKind::Auth,
        "FORBIDDEN" | "ACCESS_DENIED" => ErrorKind::Denied,
        "NOT_FOUND" => ErrorKind::NotFound,
        "RATE_LIMITED" | "THROTTLED" | "TOO_MANY_REQUESTS" => ErrorKind::RateLimited,
        "INTERNAL_SERVER_ERROR" | "SERVICE_UNAVAILABLE" | "TIMEOUT" => ErrorKind::Transient,
        "GRAPHQL_PARSE_FAILED" | "GRAPHQL_VALIDATION_FAILED" | "BAD_USER_INPUT" | "OPERATION_RESOLUTION_FAILURE" => {
            ErrorKind::Config
        }
        _ => ErrorKind::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_mutations_are_distinguished() {
        for (query, expected) in [
            ("{ users { id } }", true),
            ("query Q($mutations: Int) { a }", true),
            ("# a mutation\nquery { a }", true),
            ("mutation M { a }", false),
            ("\n  mutation{ a }", false),
        ] {
            assert_eq!(is_read(query), expected, "{query}");
        }
    }

    #[test]
    fn codes_become_kinds() {
        for (error, expected) in [
            (json!({"extensions": {"code": "UNAUTHENTICATED"}}), "Auth"),
            (json!({"type": "RATE_LIMITED"}), "RateLimited"),
            (json!({"extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}), "Config"),
            (json!({"message": "x"}), "Data"),
            (json!("x"), "Data"),
        ] {
            assert_eq!(format!("{:?}", kind(&error)), format!("ErrorKind::{expected}"), "{error}");
        }
        assert_eq!(message(&json!({"message": "no", "path": ["users", 0, "name"]})), "no (at `users.0.name`)");
    }
}
