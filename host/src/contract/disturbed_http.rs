//! Disturbs HTTP for the conformance kit: error statuses, failed requests, bodies that end early or arrive in small pieces.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use super::faults::Faults;
use crate::protocol::disturbance::{Effect, FaultKind, SHORT_READ};

/// The name under which a request is counted.
const REQUEST: &str = "http/request*";

/// What happens to a request instead of being sent.
///
/// # Errors
/// The error of HTTP for that kind, if it has one.
pub fn instead(kind: FaultKind) -> Result<Response<WasiBody>, Error> {
    let status = match kind {
        FaultKind::Auth => StatusCode::UNAUTHORIZED,
        FaultKind::NotFound => StatusCode::NOT_FOUND,
        FaultKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        FaultKind::Internal => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::Data => StatusCode::OK,
        FaultKind::Denied => return Err(Error::HttpRequestDenied),
        FaultKind::Timeout => return Err(Error::ConnectionReadTimeout),
        FaultKind::Limit => return Err(Error::ConnectionLimitReached),
        FaultKind::Transient => return Err(Error::Connect(io::Error::from(io::ErrorKind::ConnectionRefused))),
    };
    let body =
        http_body_util::Full::new(Bytes::from_static(b"{\"message\": \"made by the conformance kit\", \"cut\": "));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if kind == FaultKind::RateLimited {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("0"));
    }
    Ok(response)
}

/// Counts a request; returns what is to happen to it.
pub fn meet(faults: Option<&Faults>) -> Option<Effect> {
    faults.and_then(|faults| faults.meet(REQUEST))
}

/// A response that ends in the middle of its body.
pub fn cut_short(response: Response<WasiBody>) -> Response<WasiBody> {
    response.map(|body| Short { body, has_ended: false }.boxed_unsync())
}

/// A response whose body arrives in small pieces.
pub fn in_pieces(response: Response<WasiBody>) -> Response<WasiBody> {
    response.map(|body| Pieces { body, waiting: VecDeque::new() }.boxed_unsync())
}

struct Short {
    body: WasiBody,
    has_ended: bool,
}

impl Body for Short {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.has_ended {
            return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        Pin::new(&mut self.body).poll_frame(context).map(|frame| {
            self.has_ended = true;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => Some(Ok(Frame::data(data.slice(..data.len() / 2)))),
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(Err(_))) | None => Some(Err(Error::HttpResponseIncomplete)),
            }
        })
    }
}

struct Pieces {
    body: WasiBody,
    waiting: VecDeque<Bytes>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(piece) = self.waiting.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Pin::new(&mut self.body).poll_frame(context).map(|frame| {
            Some(frame?.map(|frame| match frame.into_data() {
                Ok(mut data) => {
                    let first = data.split_to(data.len().min(SHORT_READ as usize));
                    while !data.is_empty() {
                        let piece = data.split_to(data.len().min(SHORT_READ as usize));
                        self.waiting.push_back(piece);
                    }
                    Frame::data(first)
                }
                Err(trailers) => trailers,
            }))
        })
    }
}
