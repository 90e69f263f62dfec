//! `wasi:http` behind the grant: each request is checked, sent over a stream that the host opened, and bounded.
//!
//! To follow a redirect, the guest sends a new request, which is checked like any other.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi::runtime;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::exchanger::Exchanger;
use super::faults::Faults;
use super::pool::{Pool, Pooled, Upload, silence};
use super::shared::{Shared, Slot, Slots};
use super::{DriverCall, State, credentials, disturbed_http, tls};
use crate::channel::network::{Meter, Network};
use crate::channel::reporter::Reporter;
use crate::error::listed;
use crate::grants::credentials::Credential;
use crate::grants::endpoint::{Endpoint, HttpScope};
use crate::protocol::disturbance::{Batches, Effect};
use crate::protocol::{AskAnswer, LogLevel};

/// The longest wait for a connection, a first byte, or the next one; a guest may request less.
const PATIENCE: Duration = Duration::from_secs(600);

/// The largest head of a response, in bytes.
const MAX_HEAD: usize = 256 << 10;

/// A step's HTTP client: which requests are granted, and how they are sent.
pub struct Http {
    context: WasiHttpCtx,
    gate: Gate,
}

/// Which requests are granted, and what they are sent with.
pub(super) struct Gate {
    scopes: Vec<HttpScope>,
    credentials: Vec<Credential>,
    network: Arc<Network>,
    trust: tls::Trust,
    reporter: Reporter,
    /// The step's connections, including those of `tcp`.
    connections: Slots,
    pool: Arc<Pool>,
    /// What the conformance kit does to requests.
    faults: Option<Arc<Faults>>,
    batches: Batches,
    exchanger: Option<Arc<Exchanger>>,
}

impl Http {
    pub fn new(call: &DriverCall<'_>, shared: &Shared) -> Self {
        let network = &call.job.network;
        let gate = Gate::new(call, shared, network.http.clone(), network.credentials.clone());
        Self { context: WasiHttpCtx::new(), gate }
    }
}

impl Gate {
    pub fn new(call: &DriverCall<'_>, shared: &Shared, scopes: Vec<HttpScope>, credentials: Vec<Credential>) -> Self {
        Self {
            scopes,
            credentials,
            network: Arc::clone(&shared.network),
            trust: call.trust.clone(),
            reporter: call.reporter.clone(),
            connections: shared.connections.clone(),
            pool: Arc::default(),
            faults: shared.faults.clone(),
            batches: call.job.disturbance.batches,
            exchanger: shared.exchanger.clone(),
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http.gate, table: &mut self.handles, ctx: &mut self.http.context }
    }
}

pub(super) type Answered = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Gate {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let effect = disturbed_http::meet(self.faults.as_deref());
        if let Some(Effect::Error(kind)) = effect {
            return Box::new(async move { Ok((disturbed_http::instead(kind)?, arrived())) });
        }
        let answer = self.answer(request, options);
        let is_small = self.batches == Batches::Small;
        if effect.is_none() && !is_small {
            return answer;
        }
        Box::new(async move {
            let (response, sent) = Box::into_pin(answer).await?;
            let response = if is_small { disturbed_http::in_pieces(response) } else { response };
            Ok((if effect.is_some() { disturbed_http::cut_short(response) } else { response }, sent))
        })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        if error.is_incomplete_message() || source.is_some_and(|source| source.kind() == io::ErrorKind::UnexpectedEof) {
            return ErrorCode::HttpResponseIncomplete;
        }
        if error.is_timeout() {
            return ErrorCode::HttpResponseTimeout;
        }
        match source {
            Some(source) if source.kind() == io::ErrorKind::QuotaExceeded => ErrorCode::HttpResponseBodySize(None),
            Some(_) => ErrorCode::ConnectionTerminated,
            None => ErrorCode::HttpProtocolError,
        }
    }

    fn p2_error_from_tls(&mut self, error: &io::Error) -> ErrorCode {
        self.reporter.log(LogLevel::Warn, format!("cannot agree on TLS: {error}"), [].into());
        match tls::tls_error(error) {
            Some(error) if tls::is_certificate_error(error) => ErrorCode::TlsCertificateError,
            _ => ErrorCode::TlsProtocolError,
        }
    }

    fn p2_error_from_connect(&mut self, error: &io::Error) -> ErrorCode {
        self.reporter.log(LogLevel::Warn, error.to_string(), [].into());
        match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorCode::DestinationIpProhibited,
            _ => ErrorCode::ConnectionRefused,
        }
    }
}

impl Gate {
    /// Sends a request that was granted.
    fn answer(
        &self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let admitted = self.admit(&request).and_then(|(endpoint, encrypted)| {
            credentials::add(&self.credentials, &mut request, encrypted, &endpoint)?;
            Ok((endpoint, encrypted))
        });
        match admitted {
            Ok((endpoint, encrypted)) => {
                let route = Route {
                    endpoint,
                    tls: encrypted.then(|| TlsConnector::from(self.trust.http())),
                    network: Arc::clone(&self.network),
                    connections: self.connections.clone(),
                    pool: Arc::clone(&self.pool),
                    waits: Waits::new(options, &self.network),
                };
                match &self.exchanger {
                    None => Box::new(send(request, route)),
                    Some(exchanger) => {
                        let scheme = if encrypted { "https" } else { "http" };
                        let origin = format!("{scheme}://{}", route.host());
                        Box::new(Arc::clone(exchanger).answer(origin, request, |request| send(request, route)))
                    }
                }
            }
            Err(error) => Box::new(async { Err(error) }),
        }
    }

    /// The endpoint of a request and whether it is encrypted, if the request was granted.
    fn admit(&self, request: &Request<WasiBody>) -> Result<(Endpoint, bool), Error> {
        let uri = request.uri();
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        let endpoint = endpoint(uri, encrypted).ok_or(Error::HttpRequestUriInvalid)?;
        let method = request.method().as_str();
        if self.scopes.iter().any(|scope| scope.allows(method, encrypted, &endpoint, uri.path())) {
            return Ok((endpoint, encrypted));
        }
        let known: Vec<String> = self.scopes.iter().map(ToString::to_string).collect();
        let known = listed(known.iter().map(String::as_str));
        let scheme = if encrypted { "https" } else { "http" };
        // Without the query, which may contain something confidential.
        let asked = format!("{method} {scheme}://{endpoint}{}", uri.path());
        let message = format!("the step may not call `{asked}`; it was granted: {known}");
        self.reporter.log(LogLevel::Warn, message, [].into());
        Err(Error::HttpRequestDenied)
    }
}

fn endpoint(uri: &Uri, encrypted: bool) -> Option<Endpoint> {
    let authority = uri.authority()?;
    // Credentials belong in a header; in a URL they obscure the host.
    if authority.as_str().contains('@') {
        return None;
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str().ends_with(':') => return None,
        None if encrypted => 443,
        None => 80,
    };
    Endpoint::parse(&format!("{}:{port}", authority.host())).ok()
}

/// How long each part of a request may take.
#[derive(Debug, Clone, Copy)]
struct Waits {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Waits {
    fn new(options: Option<RequestOptions>, network: &Network) -> Self {
        let most = PATIENCE.min(network.left()).max(Duration::from_millis(1));
        let wait = |asked: Option<Duration>| asked.unwrap_or(most).clamp(Duration::from_millis(1), most);
        Self {
            connect: wait(options.and_then(|options| options.connect_timeout)),
            first_byte: wait(options.and_then(|options| options.first_byte_timeout)),
            between_bytes: wait(options.and_then(|options| options.between_bytes_timeout)),
        }
    }
}

/// What is needed to send a request to its endpoint.
struct Route {
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    network: Arc<Network>,
    connections: Slots,
    pool: Arc<Pool>,
    waits: Waits,
}

/// Sends a request, over an open connection if that is safe. A server may close a connection at any time, and it is
/// then unknown whether it received the request. So only requests that change nothing and have no body reuse a
/// connection: if it turns out to be closed, they are sent once more over a fresh one. Only TLS connections are reused,
/// because their handshake is expensive, and because a plain server that writes head and body separately answers a
/// fresh connection forty milliseconds sooner (Nagle's algorithm with delayed acknowledgements).
async fn send(mut request: Request<WasiBody>, route: Route) -> Result<Answered, Error> {
    // As the grant spells it, because a server could take another spelling for a different host.
    let host = header::HeaderValue::try_from(route.host()).map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = origin_form(request.uri())?;
    if route.tls.is_none() {
        request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    if route.tls.is_none() || !is_repeatable(&request) {
        return exchange(route.open().await?, request, &route).await;
    }
    let (head, _) = request.into_parts();
    let again = head.clone();
    if let Some(connection) = route.pool.take(&route.endpoint, true).await {
        match exchange(connection, Request::from_parts(head, empty()), &route).await {
            Err(Error::Hyper(error)) if is_gone(&error) => {}
            answer => return answer,
        }
    }
    exchange(route.open().await?, Request::from_parts(again, empty()), &route).await
}

/// A request that has been sent.
pub(super) fn arrived() -> Box<dyn Future<Output = Result<(), Error>> + Send> {
    Box::new(async { Ok(()) })
}

pub(super) fn empty() -> WasiBody {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn is_repeatable(request: &Request<WasiBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.headers().contains_key(header::CONTENT_LENGTH)
        && !request.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Whether the connection ended before the server answered.
fn is_gone(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || source.is_some_and(|source| {
            matches!(
                source.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
            )
        })
}

async fn exchange(mut connection: Pooled, request: Request<WasiBody>, route: &Route) -> Result<Answered, Error> {
    let (head, body) = request.into_parts();
    let (body, progress) = Upload::new(body);
    let request = Request::from_parts(head, body.boxed_unsync());
    let waits = route.waits;
    let mut answer = std::pin::pin!(connection.sender.send_request(request));
    let mut silence = std::pin::pin!(silence(progress, waits.first_byte));
    let answer = std::future::poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(answer.map_err(Error::Hyper)),
        Poll::Pending => silence.as_mut().poll(context).map(|()| Err(Error::ConnectionReadTimeout)),
    });
    let answer = answer.await?;
    connection.used = Instant::now();
    route.pool.put(connection);
    let answer = answer.map(|body| Bounded::new(body, waits.between_bytes).boxed_unsync());
    Ok((answer, arrived()))
}

impl Route {
    /// The `Host` header, without the scheme's default port.
    fn host(&self) -> String {
        let text = self.endpoint.to_string();
        let usual = if self.tls.is_some() { ":443" } else { ":80" };
        text.strip_suffix(usual).map(str::to_owned).unwrap_or(text)
    }

    /// A slot for one more connection; an idle connection is closed to free one.
    fn slot(&self) -> Option<Slot> {
        self.connections.take().or_else(|| {
            self.pool.close_idle();
            self.connections.take()
        })
    }

    async fn open(&self) -> Result<Pooled, Error> {
        let Self { endpoint, tls, network, waits, .. } = self;
        let slot = self.slot().ok_or(Error::ConnectionLimitReached)?;
        let opening = connect(endpoint.clone(), tls.clone(), Arc::clone(network), slot, waits.connect);
        let stream = tokio::time::timeout(waits.connect, opening).await.map_err(|_| Error::ConnectionTimeout)??;
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(Error::Hyper)?;
        // This task drives the connection and ends with the last handle to it.
        let worker = runtime::spawn(connection);
        Ok(Pooled {
            endpoint: endpoint.clone(),
            encrypted: tls.is_some(),
            sender,
            _worker: worker,
            used: Instant::now(),
        })
    }
}

/// Path and query only, as a server expects them.
fn origin_form(uri: &Uri) -> Result<Uri, Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().path_and_query(path).build().map_err(|_| Error::HttpRequestUriInvalid)
}

async fn connect(
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    network: Arc<Network>,
    slot: Slot,
    timeout: Duration,
) -> Result<Box<dyn Stream>, Error> {
    let host = endpoint.host.clone();
    let meter = network.meter();
    let socket = tokio::task::spawn_blocking(move || network.connect(&endpoint, timeout));
    let socket = socket.await.map_err(|error| Error::InternalError(Some(error.to_string())))?.map_err(refusal)?;
    let socket = Metered { socket: TcpStream::from_std(socket).map_err(Error::Connect)?, meter, _slot: slot };
    let Some(tls) = tls else { return Ok(Box::new(socket)) };
    let server = ServerName::try_from(host).map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok(Box::new(tls.connect(server, socket).await.map_err(Error::Tls)?))
}

fn refusal(answer: AskAnswer) -> Error {
    match answer {
        AskAnswer::Denied(why) => Error::Connect(io::Error::new(io::ErrorKind::PermissionDenied, why)),
        AskAnswer::TimedOut(_) => Error::ConnectionTimeout,
        AskAnswer::Unreachable(why) => Error::Connect(io::Error::new(io::ErrorKind::ConnectionRefused, why)),
        AskAnswer::Connected => Error::InternalError(None),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream that occupies a slot and whose bytes are counted.
struct Metered {
    socket: TcpStream,
    meter: Arc<Meter>,
    _slot: Slot,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        Poll::Ready(self.meter.count(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.socket).poll_write(context, bytes))?;
        Poll::Ready(self.meter.count(count).map(|()| count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// A response's body that limits the wait between two parts.
struct Bounded {
    body: hyper::body::Incoming,
    wait: Duration,
    timer: Pin<Box<tokio::time::Sleep>>,
}

impl Bounded {
    fn new(body: hyper::body::Incoming, wait: Duration) -> Self {
        Self { body, wait, timer: Box::pin(tokio::time::sleep(wait)) }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(part) => {
                let next = tokio::time::Instant::now() + self.wait;
                self.timer.as_mut().reset(next);
                Poll::Ready(part.map(|part| part.map_err(Error::Hyper)))
            }
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_endpoint_of_an_address_is_unambiguous() {
        let table = [
            ("https://api.example.com/x", true, Some("api.example.com:443")),
            ("http://api.example.com/x", false, Some("api.example.com:80")),
            ("http://API.example.com.:8080/x", false, Some("api.example.com:8080")),
            ("http://[::1]:80/x", false, Some("[::1]:80")),
            ("http://allowed@evil/x", false, None),
        ];
        for (uri, encrypted, expected) in table {
            let found = endpoint(&uri.parse().unwrap(), encrypted).map(|endpoint| endpoint.to_string());
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}
