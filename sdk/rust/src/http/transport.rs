//! Sends one request over `wasi:http`, and maps its codes to errors of the contract.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    self, ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::poll::{self, Pollable};
use wasip2::io::streams::{InputStream, StreamError};

use super::Url;
use crate::{Error, ErrorKind, Result, context};

/// How many bytes one read requests from the host.
const CHUNK: u64 = 64 << 10;

/// The most bytes in one write, by `wasi:io`.
const WRITE: usize = 4096;

/// A request to be sent.
pub(crate) struct Outgoing<'a> {
    pub method: &'a str,
    pub url: &'a Url,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<&'a [u8]>,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    /// When the response must have been received completely.
    pub deadline: Instant,
}

/// A response's head, and its body to be read.
pub(crate) struct Incoming {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its errors contain an [`Error`].
    pub body: Box<dyn Read>,
}

/// Carries requests. Tests have their own implementation.
pub(crate) trait Transport {
    fn send(&self, request: &Outgoing<'_>) -> Result<Incoming>;
    fn sleep(&self, time: Duration);
    fn tell(&self, message: &str, because: &Error, wait: Duration);
}

/// The host.
pub(super) struct Wasi;

impl Transport for Wasi {
    fn send(&self, request: &Outgoing<'_>) -> Result<Incoming> {
        let (outgoing, options) = prepare(request)?;
        let body = outgoing.body().map_err(|()| Error::internal("the request has no body to write"))?;
        let answer = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| error_of(&code))?;
        // A server may respond before it has read everything, so the response, not the write, says what went wrong.
        let written = write(body, request.body.unwrap_or_default());
        wait_for(&answer.subscribe(), request.connect_timeout.saturating_add(request.timeout), request.deadline)?;
        let response = match answer.get() {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(code))) => return Err(error_of(&code)),
            _ => return Err(written.err().unwrap_or_else(|| Error::internal("the host gave no response"))),
        };
        let body = Body::new(&response, request.timeout, request.deadline)?;
        let headers = response.headers().entries();
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), latin(&value))).collect();
        Ok(Incoming { status: response.status(), headers, body: Box::new(body) })
    }

    fn sleep(&self, time: Duration) {
        if !time.is_zero() {
            std::thread::sleep(time);
        }
    }

    fn tell(&self, message: &str, because: &Error, wait: Duration) {
        context::info(message, &[("because", because), ("wait_ms", &wait.as_millis())]);
    }
}

/// A header's value; older servers write it in Latin-1.
fn latin(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| value.iter().map(|&byte| char::from(byte)).collect(), str::to_owned)
}

fn prepare(request: &Outgoing<'_>) -> Result<(OutgoingRequest, RequestOptions)> {
    let malformed = |what: &str| Error::config(format!("{what} is malformed"));
    let headers = Fields::from_list(&request.headers)
        .map_err(|error| Error::config(format!("a header is not allowed: {error}")))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(request.method)).map_err(|()| malformed("the method"))?;
    let scheme = if request.url.is_tls() { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| malformed("the scheme"))?;
    outgoing.set_authority(Some(request.url.authority())).map_err(|()| malformed("the address's host"))?;
    outgoing.set_path_with_query(Some(&request.url.path_with_query())).map_err(|()| malformed("the address's path"))?;
    let options = RequestOptions::new();
    // A host without this option has its own limit.
    let _ = options.set_connect_timeout(Some(nanoseconds(request.connect_timeout)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(request.timeout)));
    // Time between bytes is measured here too, since a host may not say which failure of a body was a timeout.
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(request.timeout + Duration::from_secs(5))));
    Ok((outgoing, options))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<()> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| Error::internal("the request's body was taken already"))?;
        for part in bytes.chunks(WRITE) {
            stream.blocking_write_and_flush(part).map_err(|error| stream_error(&error))?;
        }
    }
    OutgoingBody::finish(body, None).map_err(|code| error_of(&code))
}

fn wait_for(ready: &Pollable, most: Duration, deadline: Instant) -> Result<()> {
    if ready.ready() {
        return Ok(());
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let timer = monotonic_clock::subscribe_duration(nanoseconds(most.min(left)));
    // The first result is checked, since both may be ready.
    if poll::poll(&[ready, &timer]).contains(&0) { Ok(()) } else { Err(timeout(left < most)) }
}

fn timeout(whole: bool) -> Error {
    let message = if whole {
        "the response took longer than it may as a whole"
    } else {
        "the server kept silent for longer than it may"
    };
    Error::new(ErrorKind::Timeout, message)
}

/// A response's body. The stream must be dropped before the body that it belongs to.
struct Body {
    stream: Option<InputStream>,
    body: Option<IncomingBody>,
    buffer: Vec<u8>,
    taken: usize,
    timeout: Duration,
    deadline: Instant,
}

impl Body {
    fn new(response: &IncomingResponse, timeout: Duration, deadline: Instant) -> Result<Self> {
        let body = response.consume().map_err(|()| Error::internal("the response's body was taken already"))?;
        let stream = body.stream().map_err(|()| Error::internal("the response's body was taken already"))?;
        Ok(Self { stream: Some(stream), body: Some(body), buffer: Vec::new(), taken: 0, timeout, deadline })
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.clear();
        self.taken = 0;
        while let (true, Some(stream)) = (self.buffer.is_empty(), &self.stream) {
            wait_for(&stream.subscribe(), self.timeout, self.deadline)?;
            match stream.read(CHUNK) {
                Ok(bytes) => self.buffer = bytes,
                Err(StreamError::Closed) => return self.end(),
                Err(error) => return Err(stream_error(&error)),
            }
        }
        Ok(())
    }

    /// The end of the body; its trailers show whether it was complete.
    fn end(&mut self) -> Result<()> {
        self.stream = None;
        let Some(body) = self.body.take() else { return Ok(()) };
        let trailers = IncomingBody::finish(body);
        wait_for(&trailers.subscribe(), self.timeout, self.deadline)?;
        match trailers.get() {
            Some(Ok(Err(code))) => Err(error_of(&code)),
            _ => Ok(()),
        }
    }
}

impl Read for Body {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len() {
            self.fill().map_err(io::Error::other)?;
        }
        let there = &self.buffer[self.taken..];
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        self.taken += count;
        Ok(count)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.stream = None;
    }
}

fn stream_error(error: &StreamError) -> Error {
    match error {
        StreamError::Closed => Error::new(ErrorKind::Transient, "the connection was closed"),
        StreamError::LastOperationFailed(error) => match types::http_error_code(error) {
            Some(code) => error_of(&code),
            None => {
                let why = error.to_debug_string();
                Error::new(ErrorKind::Transient, format!("the connection broke before the response was whole ({why})"))
            }
        },
    }
}

fn error_of(code: &ErrorCode) -> Error {
    let (kind, message) = match code {
        ErrorCode::HttpRequestDenied => (ErrorKind::Denied, "the step was not granted this call"),
        ErrorCode::DestinationIpProhibited => {
            (ErrorKind::Denied, "the host's name leads to an address that was not granted")
        }
        ErrorCode::DnsTimeout => (ErrorKind::Timeout, "finding the host's address took too long"),
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            (ErrorKind::Transient, "the host's name is not known")
        }
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            (ErrorKind::Transient, "the host cannot be reached")
        }
        ErrorCode::ConnectionRefused => (ErrorKind::Transient, "the connection was refused"),
        ErrorCode::ConnectionTerminated => (ErrorKind::Transient, "the connection broke"),
        ErrorCode::ConnectionLimitReached => (ErrorKind::Transient, "too many connections are open"),
        ErrorCode::ConnectionTimeout => (ErrorKind::Timeout, "connecting took too long"),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            (ErrorKind::Timeout, "the server kept silent for longer than it may")
        }
        ErrorCode::ConnectionWriteTimeout => (ErrorKind::Timeout, "the server took too long to take the request"),
        ErrorCode::TlsProtocolError => (ErrorKind::Transient, "the server and this side cannot agree on TLS"),
        ErrorCode::TlsCertificateError => (
            ErrorKind::Auth,
            "the server cannot prove who it is: its certificate is expired, names another host or leads to no trusted root",
        ),
        ErrorCode::TlsAlertReceived(_) => (ErrorKind::Transient, "the server refused TLS"),
        ErrorCode::HttpResponseIncomplete => (ErrorKind::Transient, "the response ends before it is whole"),
        ErrorCode::HttpProtocolError => (ErrorKind::Transient, "the server does not speak HTTP as it should"),
        ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_) => (ErrorKind::Data, "the response is larger than it may be"),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => {
            (ErrorKind::Config, "the address is malformed")
        }
        ErrorCode::InternalError(Some(why)) => return Error::internal(why.clone()),
        other => return Error::internal(format!("HTTP failed with {other:?}")),
    };
    Error::new(kind, message)
}
