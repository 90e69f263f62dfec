//! The HTTP client of an object store: requests on threads of their own, whole answers, certificates of this machine.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin, and how long a write may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a body may take: a part at 100 kB/s.
const BODY: Duration = Duration::from_secs(120);

/// The most bytes of an answer: more than a part, or a page of a list.
const MOST: u64 = 64 << 20;

/// Connects an object store by [`ureq`].
#[derive(Debug)]
pub struct Connector;

#[derive(Debug)]
struct Service(Agent);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let certificates = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = certificates.iter().map(|one| Certificate::from_der(one.as_ref()).to_owned()).collect();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE))
            .timeout_recv_body(Some(BODY))
            .user_agent(format!("osiris/{}", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build())
            .build();
        Ok(HttpClient::new(Service(agent.into())))
    }
}

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let agent = self.0.clone();
        let exchanged = tokio::task::spawn_blocking(move || {
            let is_head = head.method == http::Method::HEAD;
            let response = agent.run(http::Request::from_parts(head, &*body))?;
            let (head, mut body) = response.into_parts();
            let mut bytes = Vec::new();
            if !is_head {
                bytes.reserve(usize::try_from(body.content_length().unwrap_or(0).min(MOST)).unwrap_or(0));
                body.with_config().limit(MOST).reader().read_to_end(&mut bytes)?;
            }
            Ok((head, bytes))
        });
        let exchanged = exchanged.await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let (head, bytes) = exchanged.map_err(|error: ureq::Error| HttpError::new(kind(&error), error))?;
        let body = Full::new(bytes.into()).map_err(|never: std::convert::Infallible| match never {});
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

/// What went wrong, for whoever sends requests again. All requests of an exchange may be, even if they have arrived: an object is
/// named by what is in it, and whoever creates a record compares it with the one that it finds. So the kind is always that of
/// an error of connecting, after which `object_store` repeats even those requests that it holds for unrepeatable.
fn kind(error: &ureq::Error) -> HttpErrorKind {
    match error {
        ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound
        | ureq::Error::Timeout(_)
        | ureq::Error::Io(_)
        | ureq::Error::Protocol(_) => HttpErrorKind::Connect,
        _ => HttpErrorKind::Unknown,
    }
}
