//! Takes secrets out of requests and responses before they are recorded or compared.
//!
//! What is taken out is replaced by a placeholder that fits where it stood, so that a driver which reads it from a replayed
//! response and sends it back sends what was recorded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Content, Request, Response};
use crate::exact_json::{self, Layout};
use crate::grants::credentials::{Credential, Place};
use crate::grants::endpoint::{decoded, encoded};
use crate::secrets::Secret;
use crate::secrets::scrubber::Scrubber;

/// What stands in place of a secret, and how the placeholders of tokens begin.
pub const PLACEHOLDER: &str = "REDACTED";

/// The most tokens of responses that are replaced wherever they occur again.
const MAX_TOKENS: usize = 200;

/// Headers that belong to one connection or one moment, or are the same in each message.
const NOISE: [&str; 24] = [
    "accept-encoding",
    "accept-ranges",
    "age",
    "alt-svc",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "date",
    "expires",
    "host",
    "keep-alive",
    "nel",
    "pragma",
    "report-to",
    "server",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
];

/// Parts of the names of headers whose values are secret.
const SECRET_HEADERS: [&str; 13] = [
    "access-key",
    "accesskey",
    "api-key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "password",
    "secret",
    "session",
    "signature",
    "token",
    "x-auth",
];

/// Names of parameters of addresses and forms, and of members of JSON bodies, whose values are secret.
const SECRET_FIELDS: [&str; 22] = [
    "access_token",
    "accesstoken",
    "api_key",
    "api-key",
    "apikey",
    "assertion",
    "auth_token",
    "authtoken",
    "client_assertion",
    "client_secret",
    "id_token",
    "passwd",
    "password",
    "private_key",
    "private_token",
    "refresh_token",
    "refreshtoken",
    "secret",
    "session_token",
    "sig",
    "signature",
    "token",
];

/// Names of parameters of addresses, beyond [`SECRET_FIELDS`], whose values are secret.
const SECRET_PARAMETERS: [&str; 8] = [
    "auth",
    "code",
    "key",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
];

/// A token of a response that is shorter, in bytes, is not looked for inside other text.
const SHORTEST_TOKEN: usize = 8;

/// A secret that is shorter, in bytes, may be an ordinary value.
const SHORTEST_VALUE: usize = 4;

fn is_secret_field(name: &str) -> bool {
    SECRET_FIELDS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn is_secret_parameter(name: &str) -> bool {
    is_secret_field(name) || SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn is_secret_header(name: &str) -> bool {
    // `x-ratelimit-remaining-tokens` and the like count.
    !name.contains("ratelimit") && SECRET_HEADERS.iter().any(|part| name.contains(part))
}

/// Redacts what one step sends and receives. Equal secrets get equal placeholders.
#[derive(Debug, Default)]
pub struct Redactor {
    secrets: Scrubber,
    /// Secrets that are too short to be found inside other text, but not to be a whole value.
    values: Vec<Secret>,
    /// Query parameters that the host fills from secrets.
    credentials: Vec<String>,
    /// Headers that the host fills from secrets.
    headers: Vec<String>,
    /// The tokens of responses, each with its placeholder.
    tokens: Vec<(Secret, Scrubber, String)>,
}

impl Redactor {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret> + Clone, credentials: &'a [Credential]) -> Self {
        let of_place = |of: fn(&Place) -> Option<&String>| {
            credentials.iter().filter_map(|credential| of(&credential.place)).cloned().collect()
        };
        // What a header carries may be made from several secrets.
        let all = secrets.clone().into_iter().chain(credentials.iter().map(|credential| &credential.value));
        Self {
            secrets: Scrubber::new(all),
            values: secrets.into_iter().filter(|secret| secret.reveal().len() >= SHORTEST_VALUE).cloned().collect(),
            credentials: of_place(|place| if let Place::Query(name) = place { Some(name) } else { None }),
            headers: of_place(|place| if let Place::Header(name) = place { Some(name) } else { None }),
            tokens: Vec::new(),
        }
    }

    /// A request for `url`, redacted.
    pub fn request(&self, method: &str, url: &str, headers: &HeaderMap, body: &[u8]) -> Request {
        let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_form = kind.starts_with("application/x-www-form-urlencoded");
        let body = match (is_form, std::str::from_utf8(body)) {
            (true, Ok(form)) if !form.is_empty() => Some(Content::Text(self.text(&self.pairs(form, &is_secret_field)))),
            _ => self.content(body, &mut |name, _| is_secret_field(name).then(|| PLACEHOLDER.to_owned())),
        };
        let mut shown = BTreeMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| !NOISE.contains(&name.as_str())) {
            let is_secret = is_secret_header(name.as_str()) || self.headers.iter().any(|own| own == name.as_str());
            let value = if is_secret { PLACEHOLDER.to_owned() } else { self.text(&lossy(value)) };
            add(&mut shown, name, value);
        }
        Request { method: method.to_owned(), url: self.url(url), headers: shown, body }
    }

    /// A response, redacted; from now on its tokens are replaced wherever they occur.
    pub fn response(&mut self, status: u16, headers: &HeaderMap, body: &[u8]) -> Response {
        let mut shown = BTreeMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| !NOISE.contains(&name.as_str())) {
            let value = self.header_of_response(name, &lossy(value));
            add(&mut shown, name, value);
        }
        // First all tokens are learned, because an earlier part of the body may contain one.
        let mut found = Vec::new();
        let mut learn = |name: &str, value: &str| {
            if is_secret_field(name) && !value.is_empty() {
                found.push(value.to_owned());
            }
            None
        };
        if let Ok(text) = std::str::from_utf8(body) {
            // What is not JSON has no members.
            let _ = exact_json::rewrite(text, Layout::Compact, &mut learn);
        }
        found.iter().for_each(|token| drop(self.learn(token)));
        let body = self.content(body, &mut |name, value| {
            let is_address = value.starts_with("http") && value.contains("://") && value.contains('?');
            let address = || Some(self.url(value)).filter(|redacted| is_address && redacted != value);
            is_secret_field(name).then(|| self.placeholder(value)).or_else(address)
        });
        Response { status, headers: shown, body }
    }

    fn header_of_response(&mut self, name: &HeaderName, value: &str) -> String {
        if name == http::header::SET_COOKIE {
            let (pair, attributes) = value.split_once(';').unwrap_or((value, ""));
            let (cookie, secret) = pair.split_once('=').unwrap_or((pair, ""));
            let placeholder = if secret.is_empty() { String::new() } else { self.learn(secret) };
            let rest = if attributes.is_empty() { String::new() } else { format!(";{attributes}") };
            return format!("{}={placeholder}{}", self.text(cookie), self.text(&rest));
        }
        if is_secret_header(name.as_str()) {
            return self.learn(value);
        }
        let is_address = name == http::header::LOCATION;
        if is_address { self.url(value) } else { self.text(&self.links(value)) }
    }

    /// A header with its addresses redacted, such as `link: <https://…?token=…>; rel="next"`.
    fn links(&self, value: &str) -> String {
        let is_end = |c: char| matches!(c, '>' | ' ' | ',' | '"' | ';');
        let mut parts = String::new();
        let mut rest = value;
        while let Some(start) = rest.find("://") {
            let end = rest[start..].find(is_end).map_or(rest.len(), |end| start + end);
            let begin = rest[..start].rfind(|c: char| !c.is_ascii_alphabetic()).map_or(0, |before| before + 1);
            parts.push_str(&rest[..begin]);
            parts.push_str(&self.url(&rest[begin..end]));
            rest = &rest[end..];
        }
        parts + rest
    }

    /// An address with secret parameters redacted.
    fn url(&self, url: &str) -> String {
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        if query.is_empty() {
            return self.text(url);
        }
        let is_secret =
            |name: &str| is_secret_parameter(name) || self.credentials.iter().any(|credential| credential == name);
        self.text(&format!("{before}?{}", self.pairs(query, &is_secret)))
    }

    /// A query or a form with the values of secret parameters, and values that are secrets, redacted.
    fn pairs(&self, query: &str, is_secret: &dyn Fn(&str) -> bool) -> String {
        let pair = |pair: &str| {
            let Some((name, value)) = pair.split_once('=') else { return pair.to_owned() };
            let plain = |text: &str| decoded(&text.replace('+', " ")).unwrap_or_else(|| text.to_owned());
            let value_is_secret = || self.values.iter().any(|secret| secret.reveal() == plain(value));
            if !value.is_empty() && (is_secret(&plain(name)) || value_is_secret()) {
                format!("{name}={}", encoded(&self.placeholder(&plain(value))))
            } else {
                pair.to_owned()
            }
        };
        query.split('&').map(pair).collect::<Vec<_>>().join("&")
    }

    /// A body, redacted; `replace` may replace a member of JSON that is a text.
    fn content(&self, body: &[u8], replace: &mut dyn FnMut(&str, &str) -> Option<String>) -> Option<Content> {
        let Ok(text) = std::str::from_utf8(body) else {
            // Base64 would hide a secret from the eye, and from a search.
            let text = String::from_utf8_lossy(body);
            let redacted = self.text(&text);
            return if redacted == text { Content::of(body) } else { Content::of(redacted.as_bytes()) };
        };
        let mut members = |name: &str, value: &str| {
            let is_secret = self.values.iter().any(|secret| secret.reveal() == value);
            replace(name, value).or_else(|| is_secret.then(|| PLACEHOLDER.to_owned()))
        };
        let text = match exact_json::rewrite(text, Layout::Compact, &mut members) {
            Ok(json) if text.trim_start().starts_with(['{', '[']) => json,
            _ => text.to_owned(),
        };
        Content::of(self.text(&text).as_bytes())
    }

    /// The placeholder of a value that is secret: that of the token which it is, if a response had it.
    fn placeholder(&self, value: &str) -> String {
        let token = self.tokens.iter().find(|(token, ..)| token.reveal() == value);
        token.map_or_else(|| own_placeholder(value), |(.., placeholder)| placeholder.clone())
    }

    /// Remembers a token; returns its placeholder.
    fn learn(&mut self, token: &str) -> String {
        let known = self.placeholder(token);
        let is_own = self.values.iter().any(|secret| secret.reveal() == token);
        if known != PLACEHOLDER || is_own || token.is_empty() || self.tokens.len() >= MAX_TOKENS {
            return known;
        }
        let placeholder = format!("{PLACEHOLDER}-{}", self.tokens.len() + 1);
        let secret = Secret::new(token.to_owned());
        // A short one, such as the number of a page, is only replaced as a whole value.
        let is_short = token.len() < SHORTEST_TOKEN;
        let scrubber = if is_short { Scrubber::default() } else { Scrubber::new([&secret]) };
        self.tokens.push((secret, scrubber, placeholder.clone()));
        placeholder
    }

    /// A text with all that is known to be secret replaced.
    fn text(&self, text: &str) -> String {
        let without_tokens = self
            .tokens
            .iter()
            .fold(text.to_owned(), |text, (_, scrubber, placeholder)| scrubber.scrub_text_as(&text, placeholder));
        self.secrets.scrub_text_as(&without_tokens, PLACEHOLDER)
    }
}

/// The placeholder of a value that no response had. One that is a placeholder already comes from a recording.
fn own_placeholder(value: &str) -> String {
    let is_placeholder = value.strip_prefix(PLACEHOLDER).is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    if is_placeholder { value.to_owned() } else { PLACEHOLDER.to_owned() }
}

/// Adds a header; those of the same name are joined (RFC 9110, section 5.3). Of cookies the first is kept.
fn add(headers: &mut BTreeMap<String, String>, name: &HeaderName, value: String) {
    match headers.entry(name.as_str().to_owned()) {
        Entry::Vacant(place) => drop(place.insert(value)),
        Entry::Occupied(_) if name == http::header::SET_COOKIE => {}
        Entry::Occupied(mut before) => *before.get_mut() = format!("{}, {value}", before.get()),
    }
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
#[path = "redaction_tests.rs"]
mod tests;
