//! Fetches the files of granted addresses, whole, into temporary files of the step: the driver opens a file by its address, makes no
//! request, and sees nothing but the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use wasmtime_wasi::runtime;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks};

use super::http::{Gate, empty};
use super::shared::Shared;
use super::{DriverCall, Error, ErrorKind, coded, error};
use crate::engine::{Status, TemporaryFile, TemporaryFolder, Trouble, WriteError};
use crate::error::DISK_FULL;
use crate::grants::endpoint::HttpScope;
use crate::grants::fetch::RemoteFile;

/// How long to wait for a connection, and for the next bytes.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);

/// How often a fetch that failed for a time is tried again, and the wait before the first time; it doubles each time.
const RETRIES: u32 = 3;
const DELAY: Duration = Duration::from_secs(1);

/// The longest wait that a server may ask for; beyond it the step fails, and its own retries decide.
const MAX_WAIT: Duration = Duration::from_secs(60);

const MAX_REDIRECTS: u32 = 5;

/// The files that the host fetches for a step, and those that it has fetched.
pub struct Fetcher {
    files: Vec<RemoteFile>,
    gate: Gate,
    fetched: BTreeMap<String, TemporaryFile>,
    folder: Option<TemporaryFolder>,
    status: Status,
}

/// Why a file was not fetched.
struct Failed {
    error: Error,
    /// Whether another attempt may succeed, and how long the server wants it to wait.
    again: Option<Option<Duration>>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, again: None }
    }
}

/// What of a file has arrived.
struct Part {
    file: TemporaryFile,
    bytes: u64,
    /// What the server calls this very content, if that is enough to go on where an answer broke off.
    version: Option<String>,
}

impl Fetcher {
    pub fn new(call: &DriverCall<'_>, shared: &Shared) -> Self {
        let files = call.job.network.fetch.clone();
        let scopes = files.iter().map(|file| file.scope.clone()).collect();
        Self {
            files,
            gate: Gate::new(call, shared, scopes, Vec::new()),
            fetched: BTreeMap::new(),
            folder: call.engine.temporary_folder().cloned(),
            status: call.engine.status().clone(),
        }
    }

    /// Whether the step was granted the address.
    pub fn knows(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    /// The path of the file at a granted address, which is fetched when it is first asked for.
    ///
    /// # Errors
    /// If it cannot be fetched whole.
    pub fn path(&mut self, name: &str) -> Result<PathBuf, Error> {
        if let Some(fetched) = self.fetched.get(name) {
            return Ok(fetched.path().to_owned());
        }
        let mut file = self.fetch(name)?;
        file.close();
        let path = file.path().to_owned();
        self.fetched.insert(name.to_owned(), file);
        Ok(path)
    }

    fn fetch(&mut self, name: &str) -> Result<TemporaryFile, Error> {
        let mut part = self.nothing(name)?;
        for number in 0.. {
            let fetched = runtime::in_tokio(self.go_on(name, &mut part));
            let Err(Failed { error, again }) = fetched else { break };
            let Some(asked) = again.filter(|_| number < RETRIES) else { return Err(error) };
            let wait = asked.unwrap_or(DELAY * 2_u32.pow(number));
            if wait > MAX_WAIT {
                return Err(Error { retry_after_ms: u32::try_from(wait.as_millis()).ok(), ..error });
            }
            std::thread::sleep(wait);
        }
        Ok(part.file)
    }

    fn nothing(&self, name: &str) -> Result<Part, Error> {
        let folder =
            self.folder.as_ref().ok_or_else(|| error(ErrorKind::Denied, "there are no temporary files here"))?;
        let file = folder.create_file();
        let file =
            file.map_err(|cause| error(ErrorKind::Internal, format!("cannot store {}: {cause}", shown(name))))?;
        Ok(Part { file, bytes: 0, version: None })
    }

    /// Fetches what has not arrived yet.
    async fn go_on(&mut self, name: &str, part: &mut Part) -> Result<(), Failed> {
        let response = self.ask(name, part).await?;
        let status = response.status();
        if status == StatusCode::PARTIAL_CONTENT && part.bytes > 0 {
            let begins = content_range(response.headers()).is_some_and(|(begin, _)| begin == part.bytes);
            if !begins {
                return Err(
                    error(ErrorKind::Data, format!("{} sent another part than it was asked for", shown(name))).into()
                );
            }
        } else if status == StatusCode::OK {
            if part.bytes > 0 {
                *part = self.nothing(name)?;
            }
        } else {
            return Err(refused(name, status, response.headers()));
        }
        self.store(name, response, part).await
    }

    /// Sends the request, and follows redirects that were granted.
    async fn ask(&mut self, name: &str, part: &Part) -> Result<Response<WasiBody>, Failed> {
        let mut uri: Uri = without_fragment(name)
            .parse()
            .map_err(|_| error(ErrorKind::Config, format!("{} is no address", shown(name))))?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(name, &uri, part).await?;
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let target =
                response.headers().get(header::LOCATION).and_then(|location| redirected(&uri, location.to_str().ok()?));
            let Some(target) = target else {
                return Err(
                    error(ErrorKind::Data, format!("{} redirects to no address (HTTP {status})", shown(name))).into()
                );
            };
            if !self.admits(&target) {
                return Err(error(
                    ErrorKind::Denied,
                    format!(
                        "{} redirects to {}, which the step was not granted; if that is meant, write the final address in `path`",
                        shown(name),
                        shown(&target.to_string())
                    ),
                )
                .into());
            }
            uri = target;
        }
        Err(error(ErrorKind::Data, format!("{} redirects more than {MAX_REDIRECTS} times", shown(name))).into())
    }

    /// Whether a redirect leads to a granted address, or below one.
    fn admits(&self, target: &Uri) -> bool {
        let asked = HttpScope::parse(&format!("GET {target}"));
        asked.is_ok_and(|asked| self.files.iter().any(|file| file.scope.covers(&asked)))
    }

    async fn send(&mut self, name: &str, uri: &Uri, part: &Part) -> Result<Response<WasiBody>, Failed> {
        let mut request = Request::get(uri.clone())
            .header(header::ACCEPT, "*/*")
            // The bytes of the file itself, whose length the server knows.
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, concat!("osiris/", env!("CARGO_PKG_VERSION")));
        if let Some(version) = part.version.as_ref().filter(|_| part.bytes > 0) {
            request = request.header(header::RANGE, format!("bytes={}-", part.bytes)).header(header::IF_RANGE, version);
        }
        let request = request
            .body(empty())
            .map_err(|_| error(ErrorKind::Config, format!("{} cannot be asked for", shown(name))))?;
        let options = RequestOptions {
            connect_timeout: Some(CONNECT),
            first_byte_timeout: Some(SILENCE),
            between_bytes_timeout: Some(SILENCE),
        };
        let answer = self.gate.send_request(request, Some(options), Box::new(async { Ok(()) }));
        let (response, _) = Box::into_pin(answer).await.map_err(|cause| broken(name, &cause))?;
        Ok(response)
    }

    /// Stores a body, and checks that it is whole.
    async fn store(&self, name: &str, response: Response<WasiBody>, part: &mut Part) -> Result<(), Failed> {
        let (head, mut body) = response.into_parts();
        check_head(name, &head.headers)?;
        let length =
            head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let is_chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
        if length.is_none() && !is_chunked {
            return Err(error(
                ErrorKind::Data,
                format!("{} is sent without its length, so that a part of it could pass for the whole; ask whoever runs the server", shown(name)),
            )
            .into());
        }
        let total = length.map(|length| part.bytes.saturating_add(length));
        part.version = head.headers.get(header::ETAG).and_then(strong);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| broken(name, &cause))?;
            let Ok(bytes) = frame.into_data() else { continue };
            part.file.write(&bytes).map_err(|cause| self.not_stored(name, cause))?;
            part.bytes += bytes.len() as u64;
        }
        if total.is_some_and(|total| total != part.bytes) {
            return Err(cut_short(name));
        }
        Ok(())
    }

    fn not_stored(&self, name: &str, cause: WriteError) -> Error {
        let message = format!("cannot store {}: {cause}", shown(name));
        match cause {
            WriteError::Limit(_) => {
                self.status.note(Trouble::Spill);
                coded(ErrorKind::Limit, "disk", message)
            }
            WriteError::Io(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                self.status.note(Trouble::DiskFull);
                coded(ErrorKind::Other, DISK_FULL, message)
            }
            WriteError::Io(_) => error(ErrorKind::Internal, message),
        }
    }
}

/// An address for messages, without its query, which may contain something confidential.
fn shown(address: &str) -> String {
    format!("`{}`", address.split(['?', '#']).next().unwrap_or_default())
}

fn without_fragment(address: &str) -> &str {
    address.split('#').next().unwrap_or_default()
}

/// An entity tag that stands for the very bytes.
fn strong(tag: &http::HeaderValue) -> Option<String> {
    tag.to_str().ok().filter(|tag| tag.starts_with('"')).map(str::to_owned)
}

/// The first byte and the length of the whole in a `Content-Range`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, whole) = range.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
}

/// Where a redirect leads: an absolute address, or a path of the same server.
fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let location = without_fragment(location);
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let address = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    address.parse().ok()
}

/// Refuses a body that is not the file.
fn check_head(name: &str, headers: &HeaderMap) -> Result<(), Error> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let encoding = text(header::CONTENT_ENCODING);
    // A file that is recognised by its first bytes may well be stored in this form.
    if !matches!(encoding.as_str(), "" | "identity" | "gzip" | "x-gzip" | "zstd") {
        return Err(error(
            ErrorKind::Data,
            format!("{} is sent with the encoding `{encoding}`, which was not asked for", shown(name)),
        ));
    }
    if text(header::CONTENT_TYPE).starts_with("text/html") {
        return Err(error(
            ErrorKind::Data,
            format!(
                "{} is a web page, not a file of data: it may ask to log in, or say that there is nothing",
                shown(name)
            ),
        ));
    }
    Ok(())
}

/// Why an answer is not the file, by its status.
fn refused(name: &str, status: StatusCode, headers: &HeaderMap) -> Failed {
    let (name, code) = (shown(name), status.as_u16());
    let asked =
        headers.get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok().map(Duration::from_secs));
    let fails = |kind, what: &str| error(kind, format!("{name} {what} (HTTP {code})"));
    match code {
        401 | 403 => fails(ErrorKind::Auth, "may not be read").into(),
        404 | 410 => fails(ErrorKind::NotFound, "is not there").into(),
        429 => Failed { error: fails(ErrorKind::RateLimited, "is asked for too often"), again: Some(asked) },
        408 | 425 | 500 | 502 | 503 | 504 => {
            Failed { error: fails(ErrorKind::Transient, "cannot be had at present"), again: Some(asked) }
        }
        _ => fails(ErrorKind::Other, "was not sent").into(),
    }
}

fn cut_short(name: &str) -> Failed {
    let error =
        error(ErrorKind::Transient, format!("{} was cut short: the connection ended before its end", shown(name)));
    Failed { error, again: Some(None) }
}

/// Why a request or its answer broke off.
fn broken(name: &str, cause: &HttpError) -> Failed {
    let again = |kind, what: String| Failed {
        error: error(kind, format!("cannot fetch {}: {what}", shown(name))),
        again: Some(None),
    };
    match cause {
        HttpError::HttpRequestDenied | HttpError::HttpRequestUriInvalid => {
            error(ErrorKind::Denied, format!("the step may not fetch {}", shown(name))).into()
        }
        HttpError::Connect(cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => {
            error(ErrorKind::Denied, format!("cannot fetch {}: {cause}", shown(name))).into()
        }
        HttpError::Tls(cause) => {
            error(ErrorKind::Other, format!("cannot fetch {}: no TLS: {cause}", shown(name))).into()
        }
        HttpError::Connect(cause) => again(ErrorKind::Transient, cause.to_string()),
        HttpError::ConnectionTimeout | HttpError::ConnectionReadTimeout | HttpError::HttpResponseTimeout => {
            again(ErrorKind::Timeout, "the server did not answer in time".to_owned())
        }
        HttpError::Hyper(cause) if is_caused_by(cause, std::io::ErrorKind::QuotaExceeded) => coded(
            ErrorKind::Limit,
            "network",
            format!("cannot fetch {}: it is larger than the step may move over the network", shown(name)),
        )
        .into(),
        HttpError::Hyper(cause)
            if cause.is_incomplete_message() || is_caused_by(cause, std::io::ErrorKind::UnexpectedEof) =>
        {
            cut_short(name)
        }
        other => again(ErrorKind::Transient, format!("{other}")),
    }
}

fn is_caused_by(cause: &hyper::Error, kind: std::io::ErrorKind) -> bool {
    let source = std::error::Error::source(cause).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_redirect_leads_where_it_says() {
        let from: Uri = "https://host/a/b.csv?x=1".parse().unwrap();
        for (location, to) in [
            ("c.csv", "https://host/a/c.csv"),
            ("/c.csv#top", "https://host/c.csv"),
            ("//other/c.csv", "https://other/c.csv"),
            ("http://10.0.0.1/c", "http://10.0.0.1/c"),
        ] {
            assert_eq!(redirected(&from, location).unwrap(), to);
        }
        assert!(redirected(&from, "https://").is_none());
    }

    #[test]
    fn only_a_strong_tag_lets_a_fetch_go_on() {
        assert_eq!(strong(&"\"abc\"".parse().unwrap()).unwrap(), "\"abc\"");
        assert!(strong(&"W/\"abc\"".parse().unwrap()).is_none());
        let headers: HeaderMap = [(header::CONTENT_RANGE, "bytes 5-9/10".parse().unwrap())].into_iter().collect();
        assert_eq!(content_range(&headers), Some((5, Some(10))));
    }

    #[test]
    fn no_query_is_shown() {
        assert_eq!(shown("https://h/a?token=x#y"), "`https://h/a`");
    }
}
