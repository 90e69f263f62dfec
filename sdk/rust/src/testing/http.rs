//! The server side of HTTP in a test: responses that were recorded or written by hand.

use std::io::Cursor;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::host;
use crate::http::transport::{Incoming, Outgoing, Transport};
use crate::{Error, Result};

/// A request that the driver is expected to send, and the response to it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Exchange {
    method: String,
    url: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    error: Option<Error>,
    used: bool,
}

/// A request that the driver sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Sent {
    /// The first header with that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Exchange {
    /// A request of a method to an address with its whole query, answered by 200 without a body.
    pub fn new(method: &str, url: &str) -> Self {
        let (method, url) = (method.to_ascii_uppercase(), url.to_owned());
        Self { method, url, status: 200, headers: Vec::new(), body: Vec::new(), error: None, used: false }
    }

    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// The response's status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// A header of the response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The response's body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The response's body as JSON.
    ///
    /// # Panics
    /// If it cannot be written as JSON.
    pub fn json(self, body: impl Serialize) -> Self {
        let body = serde_json::to_vec(&body).unwrap_or_else(|error| panic!("the response is not JSON: {error}"));
        self.header("content-type", "application/json").body(body)
    }

    /// Fails the request instead, such as with a broken connection.
    pub fn fail(mut self, error: Error) -> Self {
        self.error = Some(error);
        self
    }
}

/// Fails a test that expects requests which the driver did not send.
pub(super) fn check_all_sent(exchanges: &[Exchange]) {
    let left: Vec<String> =
        exchanges.iter().filter(|one| !one.used).map(|one| format!("{} {}", one.method, one.url)).collect();
    assert!(left.is_empty(), "the driver did not send these requests: {left:?}");
}

/// Answers with the exchanges of the test.
pub(crate) struct Replay;

impl Transport for Replay {
    fn send(&self, request: &Outgoing<'_>) -> Result<Incoming> {
        let url = request.url.to_string();
        let headers = request.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect();
        let body = String::from_utf8_lossy(request.body.unwrap_or_default()).into_owned();
        let sent = Sent { method: request.method.to_owned(), url: url.clone(), headers, body };
        let found = host::with(|host| {
            host.requests.push(sent);
            let matching =
                host.exchanges.iter_mut().find(|one| !one.used && one.method == request.method && one.url == url);
            matching.map(|one| {
                one.used = true;
                one.clone()
            })
        });
        let Some(exchange) = found.flatten() else {
            return Err(Error::internal(format!(
                "the test has no response to `{} {url}`: use `Step::http`",
                request.method
            )));
        };
        match exchange.error {
            Some(error) => Err(error),
            None => {
                let Exchange { status, headers, body, .. } = exchange;
                Ok(Incoming { status, headers, body: Box::new(Cursor::new(body)) })
            }
        }
    }

    fn sleep(&self, time: Duration) {
        if !time.is_zero() {
            host::with(|host| host.waits.push(time));
        }
    }

    fn tell(&self, message: &str, because: &Error, wait: Duration) {
        crate::context::info(message, &[("because", because), ("wait_ms", &wait.as_millis())]);
    }
}
