//! What every attack uses: its step, and requests as low-level as `wasi:http` permits.

use std::time::Duration;

use osiris_sdk::tcp::{self, Connection};
pub use osiris_sdk::{Error, ErrorKind, Result};
use serde::Deserialize;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingRequest, Scheme};

/// The config of an attack's step.
#[derive(Debug, Deserialize)]
pub struct Step {
    pub attack: String,
    pub host: String,
    pub port: u16,
    pub url: String,
    pub target: String,
}

/// What the attacker obtained, or what stopped it.
pub type Outcome = Result<String>;

pub const PATIENCE: Duration = Duration::from_secs(5);

pub fn connect(step: &Step) -> Result<Connection> {
    tcp::connect(&step.host, step.port, PATIENCE)
}

/// The parts of an address: scheme, authority, path with query.
pub fn parts(url: &str) -> (Scheme, String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    (scheme, authority.to_owned(), if path.is_empty() { "/".to_owned() } else { path.to_owned() })
}

pub fn refused(what: &str, why: impl std::fmt::Debug) -> Error {
    Error::new(ErrorKind::Denied, format!("{what} was refused: {why:?}"))
}

pub fn request(method: &Method, url: &str, headers: &[(&str, &str)]) -> Result<IncomingResponse> {
    let (scheme, authority, path) = parts(url);
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).map_err(|why| refused("a header", why))?;
    }
    let request = OutgoingRequest::new(fields);
    request.set_method(method).map_err(|()| refused("the method", ()))?;
    request.set_scheme(Some(&scheme)).map_err(|()| refused("the scheme", ()))?;
    request.set_authority(Some(&authority)).map_err(|()| refused("the authority", ()))?;
    request.set_path_with_query(Some(&path)).map_err(|()| refused("the path", ()))?;
    let future = handle(request, None).map_err(http_error)?;
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(code))) => Err(http_error(code)),
        other => Err(refused("the request", other.is_some())),
    }
}

fn http_error(code: ErrorCode) -> Error {
    let kind = match code {
        ErrorCode::HttpRequestDenied => ErrorKind::Denied,
        _ => ErrorKind::Transient,
    };
    Error::new(kind, format!("the request was refused: {code:?}"))
}

pub fn get(url: &str) -> Result<IncomingResponse> {
    request(&Method::Get, url, &[])
}

/// The response's status and the requested part of its body.
pub fn read(response: &IncomingResponse, most: usize) -> Result<String> {
    let status = response.status();
    let body = response.consume().map_err(|()| refused("the body", ()))?;
    let stream = body.stream().map_err(|()| refused("the body", ()))?;
    let mut text = Vec::new();
    while text.len() < most {
        match stream.blocking_read(65_536) {
            Ok(bytes) => text.extend(bytes),
            Err(wasip2::io::streams::StreamError::Closed) => break,
            Err(why) => return Err(Error::new(ErrorKind::Transient, format!("the body broke off: {why:?}"))),
        }
    }
    drop(stream);
    IncomingBody::finish(body);
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
}
