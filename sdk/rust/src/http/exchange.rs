//! A request from its first attempt to its response: follows redirects and retries failures.

use std::time::Instant;

use serde::de::DeserializeOwned;

use super::client::Header;
use super::transport::Outgoing;
use super::{Request, Response, Url, body, charset, compressed, status, twice};
use crate::{Error, ErrorKind, Result, context};

/// A response that has been read completely.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Method and address, for messages.
    pub(super) asked: String,
    pub status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// The address of the response, after redirects.
    pub url: Url,
    /// The largest body, decompressed, in bytes.
    pub(super) max_bytes: u64,
    /// The charset that the driver declared.
    pub(super) charset: Option<String>,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The first header with that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        body::header(&self.headers, name)
    }

    /// All headers with that name, joined by commas, which HTTP defines as equivalent.
    pub fn headers(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Method and address without anything secret, for messages.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// The body as JSON. If an object has a name twice, the last value is used, with a warning.
    ///
    /// # Errors
    /// `data`, quoting the body's start, if it is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let text = self.text()?;
        self.warn_of_names(&text);
        serde_json::from_str(&text).map_err(|error| self.not_json(&text, &error))
    }

    /// The values of the body, one after another: one for JSON, any number for lines of JSON (NDJSON) and for JSON text
    /// sequences (RFC 7464).
    ///
    /// # Errors
    /// As for [`json`](Self::json).
    pub fn json_values<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        // No JSON text contains the character that starts an item of a sequence.
        let text = self.text()?.replace('\u{1e}', " ");
        self.warn_of_names(&text);
        let values = serde_json::Deserializer::from_str(&text).into_iter();
        values.collect::<Result<_, _>>().map_err(|error| self.not_json(&text, &error))
    }

    /// The records in the array at a JSON pointer of the body, such as `/items`; an empty pointer is the whole body.
    ///
    /// # Errors
    /// As for [`json`](Self::json), and `data`, with the record's number, if one has another shape.
    pub fn records<T: DeserializeOwned>(&self, pointer: &str) -> Result<Vec<T>> {
        let mut body: serde_json::Value = self.json()?;
        let Some(serde_json::Value::Array(records)) = body.pointer_mut(pointer).map(serde_json::Value::take) else {
            return Err(Error::data(format!("the response to `{}` has no array at `{pointer}`", self.asked)));
        };
        let record = |(number, record)| {
            serde_json::from_value(record).map_err(|error| {
                Error::data(format!("record {number} of the response to `{}` has another shape: {error}", self.asked))
            })
        };
        (1..).zip(records).map(record).collect()
    }

    fn warn_of_names(&self, text: &str) {
        if let Some(name) = twice::name(text) {
            context::warn(
                "a response has a name twice in one object, of which only the last value was taken",
                &[("name", &name), ("request", &self.asked)],
            );
        }
    }

    fn not_json(&self, text: &str, error: &serde_json::Error) -> Error {
        let begins = status::excerpt(text.as_bytes());
        let begins = if begins.is_empty() { "it is empty".to_owned() } else { format!("it begins with: {begins}") };
        Error::data(format!("the response to `{}` is not the JSON that was expected ({error}); {begins}", self.asked))
    }

    /// The body as text, by its byte-order mark, or else by the `charset` of its content type, or else as UTF-8. A body
    /// that is gzip by its first bytes, although no header says so, is decompressed.
    ///
    /// # Errors
    /// `data` for a charset or a compression that is not supported, and for bytes that are invalid in the charset.
    pub fn text(&self) -> Result<String> {
        let named = self.header("content-type").and_then(charset::parameter);
        let decoded = |bytes: &[u8]| charset::decode(bytes, self.charset.as_deref().or(named));
        if self.charset.is_none() && charset::looks_like_utf8(&self.bytes, named) {
            context::warn(
                "a response was read in the charset that its content type names, but its bytes look like UTF-8",
                &[("charset", &named.unwrap_or_default()), ("request", &self.asked)],
            );
        }
        compressed::unpacked(&self.bytes, self.max_bytes)
            .and_then(|bytes| decoded(&bytes))
            .map_err(|error| error.context(format_args!("cannot read the response to `{}`", self.asked)))
    }

    /// Whether the body contains nothing: 204, 205, and a body that is empty or only white space. For a list this is an
    /// empty page.
    pub fn is_empty(&self) -> bool {
        let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        let marks: [&[u8]; 3] = [&[0xef, 0xbb, 0xbf], &[0xff, 0xfe], &[0xfe, 0xff]];
        let content = marks.iter().find_map(|mark| self.bytes.strip_prefix(*mark)).unwrap_or(&self.bytes);
        matches!(self.status, 204 | 205) || content.iter().all(blank)
    }

    /// This response as an error, as if its status were `status`: for a server that hides one in a body.
    pub fn as_error(&self, status: u16) -> Error {
        status::error(&self.asked, status, &self.headers, &self.bytes[..self.bytes.len().min(2048)])
    }
}

/// A failed attempt, and its status if the server sent one.
struct Failure {
    status: Option<u16>,
    error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: None, error }
    }
}

pub(super) fn fetch(request: &Request) -> Result<Answer> {
    repeatedly(request, || Ok(follow(request)?.collect()?))
}

pub(super) fn send(request: &Request) -> Result<Response> {
    repeatedly(request, || follow(request))
}

fn repeatedly<T>(request: &Request, attempt: impl Fn() -> Result<T, Failure>) -> Result<T> {
    let client = &request.client;
    for tried in 1.. {
        let Failure { status, error } = match attempt() {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let wait = client.retry.wait(tried, status, &error).filter(|_| request.repeatable);
        let Some(wait) = wait else {
            let long = match error.retry_after {
                Some(asked) if asked > client.retry.max_wait => {
                    format!(", longer than the {} s that are waited at most", client.retry.max_wait.as_secs())
                }
                _ => String::new(),
            };
            let tries = if tried > 1 { format!(" (tried {tried} times)") } else { String::new() };
            return Err(Error { message: error.message + &long + &tries, ..error });
        };
        client.transport.tell("a request failed and is tried again", &error, wait);
        client.transport.sleep(wait);
    }
    Err(Error::internal("the tries of a request have no end"))
}

/// Sends the request, and follows the server's redirects up to a bound.
fn follow(request: &Request) -> Result<Response, Failure> {
    let mut hop = request.clone();
    let deadline = Instant::now() + request.client.total_timeout;
    let mut left = request.client.redirects;
    loop {
        let mut response = once(&hop, deadline)?;
        let location = response.header("location").map(str::to_owned);
        let (status, Some(location)) = (response.status, location) else { return judged(request, response) };
        if !matches!(status, 301 | 302 | 303 | 307 | 308) || left == 0 || request.accepted.contains(&status) {
            if left == 0 && matches!(status, 301 | 302 | 303 | 307 | 308) && request.client.redirects > 0 {
                let many = request.client.redirects;
                return Err(Error::config(format!("`{}` redirects more than {many} times", asked(request))).into());
            }
            return judged(request, response);
        }
        left -= 1;
        // The body of a redirect is meant for people.
        drop(response.beginning());
        let target = response
            .url
            .join(&location)
            .map_err(|error| Error::data(format!("`{}` redirects to no address: {}", asked(&hop), error.message)))?;
        hop = redirected(&hop, status, target)?;
        if !hop.url.same_origin(&request.url) {
            hop.client.transport.tell(
                "a server redirects to another origin, which is sent no secrets",
                &Error::config(format!("to `{}`", hop.url.shown_without(&hop.hidden))),
                std::time::Duration::ZERO,
            );
        }
    }
}

/// The request that a redirect asks for. A body is never sent to another origin, because it may contain secrets.
fn redirected(from: &Request, status: u16, target: Url) -> Result<Request> {
    let mut hop = from.clone();
    let becomes_get = status == 303 && from.method != "HEAD" || matches!(status, 301 | 302) && from.method == "POST";
    if becomes_get {
        hop.method = "GET".to_owned();
        hop.body = None;
        hop.headers.retain(|header| header.name != "content-type");
    }
    if !target.same_origin(&from.url) {
        if hop.body.is_some() {
            let message = format!(
                "`{}` redirects to another origin, `{}`, which must not get the request's body; name that address in the \
                 step's config if it is meant",
                asked(from),
                target.shown_without(&from.hidden)
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
        hop.headers.retain(|header| !header.secret);
    }
    hop.url = target;
    Ok(hop)
}

fn judged(request: &Request, mut response: Response) -> Result<Response, Failure> {
    let status = response.status;
    // RFC 9110, 15.3.3: accepted, but not completed yet.
    let pending = status == 202 && response.header("retry-after").is_some();
    if (200..300).contains(&status) && !pending || request.accepted.contains(&status) {
        return Ok(response);
    }
    let beginning = response.beginning();
    let error = status::error(&response.asked, status, &response.headers, &beginning);
    Err(Failure { status: Some(status), error })
}

fn asked(request: &Request) -> String {
    format!("{} {}", request.method, request.url.shown_without(&request.hidden))
}

fn once(request: &Request, deadline: Instant) -> Result<Response, Failure> {
    let client = &request.client;
    client.pace();
    let pair = |header: &Header| (header.name.clone(), header.value.clone().into_bytes());
    let mut headers: Vec<(String, Vec<u8>)> = request.headers.iter().map(pair).collect();
    if let Some(body) = &request.body {
        headers.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    }
    let outgoing = Outgoing {
        method: &request.method,
        url: &request.url,
        headers,
        body: request.body.as_deref(),
        connect_timeout: client.connect_timeout,
        timeout: client.timeout,
        deadline,
    };
    let asked = asked(request);
    let incoming =
        client.transport.send(&outgoing).map_err(|error| error.context(format_args!("cannot call `{asked}`")))?;
    let mut response =
        Response::new(asked, request.url.clone(), incoming.status, incoming.headers, incoming.body, client.max_bytes)?;
    response.charset.clone_from(&client.charset);
    Ok(response)
}
