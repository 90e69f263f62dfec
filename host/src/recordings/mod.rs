//! HTTP requests and their responses: recorded from a real service, and replayed to a driver in a test.

pub mod matching;
pub mod recording;
pub mod redaction;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::secrets::scrubber::{Scrub, Scrubber};
use crate::untrusted::Untrusted;

/// The largest body that is recorded or compared, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// The most bytes of all requests and responses of a step.
pub const MAX_BYTES: u64 = 32 << 20;

/// The most bytes of one message about a request; the host reads no longer lines.
pub const MAX_MESSAGE: usize = 15 << 20;

/// The most bytes of all messages about them: texts grow where they are quoted.
pub const MAX_MESSAGES: u64 = 4 * MAX_BYTES;

/// The most requests of a step.
pub const MAX_COUNT: usize = 10_000;

/// What becomes of a step's HTTP requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchanges {
    /// They go to the network.
    #[default]
    Live,
    /// They go to the network, and are reported with their responses.
    Record,
    /// They are answered from a recording; nothing goes to the network.
    Replay(Replay),
}

/// A recording, and how requests are matched with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    pub exchanges: Vec<Exchange>,
    pub order: Order,
    /// Query parameters, and JSON pointers of members of bodies, whose values do not matter.
    pub ignored: Vec<String>,
    /// Whether a recorded request without a body stands for one with any body.
    pub any_body: bool,
    /// The exchanges that earlier attempts of the step have used.
    pub used: BTreeSet<usize>,
}

/// How requests are matched with a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// In the recorded order, each exchange once.
    #[default]
    Strict,
    /// In any order, each exchange as often as it is asked for.
    Lenient,
}

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub request: Request,
    pub response: Response,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default = "get")]
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names in lower case. They are recorded for people, and not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
}

fn get() -> String {
    "GET".to_owned()
}

const fn ok() -> u16 {
    200
}

/// The content of a body.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// The JSON text, with every digit.
    Json(Box<RawValue>),
    Text(String),
    Base64(String),
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(one), Self::Json(two)) => one.get() == two.get(),
            (Self::Text(one), Self::Text(two)) | (Self::Base64(one), Self::Base64(two)) => one == two,
            _ => false,
        }
    }
}

impl Content {
    /// The content of a body; `None` if it is empty.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        Some(match std::str::from_utf8(bytes) {
            Ok(text) => Self::of_text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        })
    }

    fn of_text(text: String) -> Self {
        // Only objects and lists: a bare number or word is as readable as text.
        let is_json = text.trim_start().starts_with(['{', '[']);
        match RawValue::from_string(text.clone()) {
            Ok(json) if is_json => Self::Json(json),
            _ => Self::Text(text),
        }
    }

    /// The bytes of the body.
    ///
    /// # Errors
    /// If the base64 is malformed.
    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Json(json) => Ok(json.get().as_bytes().to_vec()),
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::Base64(text) => STANDARD.decode(text),
        }
    }
}

/// A request that a step made while it was recorded or replayed, with secrets and tokens redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub request: Request,
    /// What the service answered, if the step is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// The place in the recording of the exchange that answered it, if the step is replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<usize>,
    /// Why it could not be recorded or replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Untrusted>,
}

impl Scrub for Seen {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        let text = |text: &String| scrubber.scrub_text(text);
        let headers = |headers: &BTreeMap<String, String>| {
            headers.iter().map(|(name, value)| (text(name), text(value))).collect::<BTreeMap<_, _>>()
        };
        let body = |body: &Option<Content>| body.as_ref().map(|body| body.without_secrets(scrubber));
        let Request { method, url, headers: sent, body: asked } = &self.request;
        let request = Request { method: text(method), url: text(url), headers: headers(sent), body: body(asked) };
        let response = self.response.as_ref().map(|response| Response {
            status: response.status,
            headers: headers(&response.headers),
            body: body(&response.body),
        });
        let problem = self.problem.as_ref().map(|problem| problem.without_secrets(scrubber));
        Self { request, response, answered_by: self.answered_by, problem }
    }
}

impl Scrub for Content {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        match self {
            Self::Json(json) => Self::of_text(scrubber.scrub_text(json.get())),
            Self::Text(text) => Self::Text(scrubber.scrub_text(text)),
            Self::Base64(text) => Self::Base64(scrubber.scrub_text(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_body_is_kept_to_the_byte() {
        for (bytes, kind) in [
            (&br#"{"n": 1.50, "big": 12345678901234567890123}"#[..], "json"),
            (b"a=1&b=2", "text"),
            (b"5", "text"),
            (b"{\"cut", "text"),
            (b"\xff\x00", "base64"),
        ] {
            let content = Content::of(bytes).unwrap();
            let text = serde_json::to_string(&content).unwrap();
            assert!(text.contains(kind), "{text}");
            let again: Content = serde_json::from_str(&text).unwrap();
            assert_eq!(again.bytes().unwrap(), bytes, "{text}");
        }
        assert!(Content::of(b"").is_none());
    }
}
