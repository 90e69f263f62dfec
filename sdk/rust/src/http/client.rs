//! A client, which has everything that its requests share, and a builder for requests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::exchange::{self, Answer};
use super::transport::{self, Transport};
use super::url::{component, is_secret_name};
use super::{Next, OAuth, Pages, Response, Retry, Url};
use crate::{Error, ErrorKind, Result, context};

/// Settings that requests share, and their rate limit. A clone is another handle to the same client.
#[derive(Clone)]
pub struct Client {
    pub(super) headers: Vec<Header>,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) total_timeout: Duration,
    pub(super) max_bytes: u64,
    pub(super) redirects: u32,
    pub(super) retry: Retry,
    pub(super) charset: Option<String>,
    pub(super) login: Option<Rc<OAuth>>,
    interval: Duration,
    /// When the next request may be sent.
    next: Rc<Cell<Option<Instant>>>,
    pub(super) sent: Rc<Cell<u64>>,
    pub(super) transport: Rc<dyn Transport>,
}

#[derive(Debug, Clone)]
pub(super) struct Header {
    pub name: String,
    pub value: String,
    /// Not sent to another origin.
    pub secret: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self::over(transport())
    }
}

fn transport() -> Rc<dyn Transport> {
    #[cfg(not(target_family = "wasm"))]
    if cfg!(not(target_family = "wasm")) {
        return Rc::new(crate::testing::Replay);
    }
    Rc::new(transport::Wasi)
}

impl Client {
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn over(transport: Rc<dyn Transport>) -> Self {
        Self {
            headers: Vec::new(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(600),
            max_bytes: 64 << 20,
            redirects: 5,
            retry: Retry::default(),
            charset: None,
            login: None,
            interval: Duration::ZERO,
            next: Rc::default(),
            sent: Rc::default(),
            transport,
        }
    }

    /// A header of every request. A header with the name of a secret (`authorization`, `x-api-key`, …) is not sent to
    /// another origin after a redirect.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        set(&mut self.headers, name, value, is_secret_name(name));
        self
    }

    /// A header of every request that is not sent to another origin after a redirect.
    #[must_use]
    pub fn secret_header(mut self, name: &str, value: &str) -> Self {
        set(&mut self.headers, name, value, true);
        self
    }

    /// The headers in the config field `place`, such as `connection.headers`: `plain` ones, and those that are secrets.
    #[must_use]
    pub fn configured_headers(mut self, place: &str, plain: &BTreeMap<String, Option<String>>) -> Self {
        for (name, value) in plain {
            if let Some(value) = value {
                self = self.header(name, value);
            }
        }
        for (name, value) in context::secrets_below(place) {
            self = self.secret_header(&name, &value);
        }
        self
    }

    /// `Authorization: Bearer TOKEN` in every request, but not to another origin after a redirect.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.secret_header("authorization", &format!("Bearer {token}"))
    }

    /// Gets a token for the requests when the first one is sent, and another one when it expires or is refused.
    #[must_use]
    pub fn oauth2(mut self, login: OAuth) -> Self {
        self.login = Some(Rc::new(login));
        self
    }

    /// How long the server may take for its first byte, and between bytes; 30 seconds by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long connecting may take; 10 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one response may take from the request to the last byte; 10 minutes by default.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = timeout;
        self
    }

    /// The largest response, decompressed, in bytes; 64 MiB by default.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// How many redirects are followed; 5 by default.
    #[must_use]
    pub fn redirects(mut self, redirects: u32) -> Self {
        self.redirects = redirects;
        self
    }

    /// When and how often a request is retried.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The charset of all responses without a byte-order mark, overriding their content type.
    #[must_use]
    pub fn charset(mut self, name: &str) -> Self {
        self.charset = Some(name.to_owned());
        self
    }

    /// The most requests that are sent per second, evenly spaced.
    #[must_use]
    pub fn requests_per_second(mut self, requests: f64) -> Self {
        let interval = if requests > 0.0 { Duration::try_from_secs_f64(1.0 / requests).ok() } else { None };
        self.interval = interval.unwrap_or_default();
        self
    }

    /// How many requests were sent, including redirects and retries.
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// # Errors
    /// `config` if `url` is not a valid address.
    pub fn get(&self, url: &str) -> Result<Request> {
        self.request("GET", url)
    }

    /// # Errors
    /// `config` if `url` is not a valid address.
    pub fn post(&self, url: &str) -> Result<Request> {
        self.request("POST", url)
    }

    /// # Errors
    /// `config` if `url` is not a valid address.
    pub fn request(&self, method: &str, url: &str) -> Result<Request> {
        Ok(self.request_to(method, Url::parse(url)?))
    }

    pub fn request_to(&self, method: &str, url: Url) -> Request {
        let method = method.to_ascii_uppercase();
        let repeatable = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        let headers = self.headers.clone();
        Request {
            client: self.clone(),
            method,
            url,
            headers,
            query: Vec::new(),
            hidden: Vec::new(),
            body: None,
            repeatable,
            accepted: Vec::new(),
        }
    }

    /// The client without what only its own server may get.
    pub(super) fn without_headers(&self) -> Self {
        Self { login: None, headers: Vec::new(), ..self.clone() }
    }

    /// Waits until the next request may be sent.
    pub(super) fn pace(&self) {
        let now = Instant::now();
        let start = self.next.get().map_or(now, |next| next.max(now));
        self.transport.sleep(start - now);
        self.next.set(Some(start + self.interval));
        self.sent.set(self.sent.get() + 1);
    }
}

/// Sets a header, replacing one with the same name.
pub(super) fn set(headers: &mut Vec<Header>, name: &str, value: &str, secret: bool) {
    headers.retain(|header| !header.name.eq_ignore_ascii_case(name));
    headers.push(Header { name: name.to_ascii_lowercase(), value: value.to_owned(), secret });
}

/// A request being built. Nothing is sent before [`fetch`](Self::fetch) or [`send`](Self::send).
#[derive(Clone)]
pub struct Request {
    pub(super) client: Client,
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: Vec<Header>,
    query: Vec<(String, String)>,
    /// Names of parameters whose values messages do not show.
    pub(super) hidden: Vec<String>,
    pub(super) body: Option<Vec<u8>>,
    /// Whether the same request may be sent twice.
    pub(super) repeatable: bool,
    pub(super) accepted: Vec<u16>,
}

impl Request {
    /// A header, which replaces the client's header with the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        set(&mut self.headers, name, value, is_secret_name(name));
        self
    }

    /// A header that is not sent to another origin after a redirect.
    #[must_use]
    pub fn secret_header(mut self, name: &str, value: &str) -> Self {
        set(&mut self.headers, name, value, true);
        self
    }

    /// `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.secret_header("authorization", &format!("Bearer {token}"))
    }

    /// `Authorization: Basic`, with a user and a password.
    #[must_use]
    pub fn basic(self, user: &str, password: &str) -> Self {
        let login = BASE64.encode(format!("{user}:{password}"));
        self.secret_header("authorization", &format!("Basic {login}"))
    }

    /// A query parameter, which replaces the address's own parameter with the same name.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A query parameter whose value is not shown in messages, and which is dropped by a redirect.
    #[must_use]
    pub fn secret_query(mut self, name: &str, value: &str) -> Self {
        self.hidden.push(name.to_owned());
        self.query(name, value)
    }

    /// A JSON body.
    ///
    /// # Errors
    /// `data` for a value that cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(self, body: &T) -> Result<Self> {
        Ok(self.body(serde_json::to_vec(body)?, "application/json"))
    }

    /// A body of names and values, as an HTML form sends them.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", component(name), component(value))).collect();
        self.body(pairs.join("&"), "application/x-www-form-urlencoded")
    }

    /// A body of bytes. A content type that was set before is kept.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>, content_type: &str) -> Self {
        if !self.headers.iter().any(|header| header.name == "content-type") {
            set(&mut self.headers, "content-type", content_type, false);
        }
        self.body = Some(body.into());
        self
    }

    /// Declares that sending the request twice does no harm, so that a POST is retried too.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Accepts a response with that status, which would otherwise be an error.
    #[must_use]
    pub fn accept(mut self, status: u16) -> Self {
        self.accepted.push(status);
        self
    }

    /// The same request to another address, which has its query already; only hidden parameters are kept.
    pub(super) fn to(mut self, url: Url) -> Self {
        self.url = url;
        let hidden = &self.hidden;
        self.query.retain(|(name, _)| hidden.contains(name));
        self
    }

    /// The address with its query.
    pub fn url(&self) -> Url {
        self.url.with_query(self.query.iter().map(|(name, value)| (name, value)))
    }

    /// Sends the request and reads the complete response. Failures, including those while reading the response, are
    /// retried if that is safe.
    ///
    /// # Errors
    /// By status: `auth` (401), `denied` (403), `not-found` (404), `rate-limited` (429), `transient` (5xx), `config`
    /// (other than 2xx). Otherwise `denied` for an address that was not granted; `transient` for a broken connection;
    /// `auth` for a certificate; `timeout`; `data` for a response that is too large or malformed.
    pub fn fetch(self) -> Result<Answer> {
        self.logged_in(exchange::fetch)
    }

    /// Sends the request and returns the response, to be read as it arrives. Failures before that are retried if that
    /// is safe.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    pub fn send(self) -> Result<Response> {
        self.logged_in(exchange::send)
    }

    /// Reads this page and those after it, until the response names no other or has no records.
    pub fn pages(self, next: Next) -> Pages {
        Pages::new(self, next)
    }

    /// Sends the request with the client's token, if it has one; with another one if that is refused.
    fn logged_in<T>(self, send: impl Fn(&Request) -> Result<T>) -> Result<T> {
        let request = self.ready()?;
        let Some(login) = request.client.login.clone() else { return send(&request) };
        let with_token = || Ok::<_, Error>(request.clone().bearer(&login.token(&request.client)?));
        match send(&with_token()?) {
            Err(error) if error.kind == ErrorKind::Auth && error.code.as_deref() == Some("HTTP 401") => {
                login.forget();
                send(&with_token()?)
            }
            outcome => outcome,
        }
    }

    fn ready(mut self) -> Result<Self> {
        self.url = self.url();
        self.query.clear();
        if !self.headers.iter().any(|header| header.name == "accept-encoding") {
            set(&mut self.headers, "accept-encoding", "gzip, deflate", false);
        }
        let visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        for Header { name, value, .. } in &self.headers {
            if name.is_empty() || !name.bytes().all(letter) || !value.bytes().all(visible) {
                return Err(Error::config(format!(
                    "header `{}` is malformed: it holds a character that no header may",
                    name.escape_debug()
                )));
            }
        }
        Ok(self)
    }
}
