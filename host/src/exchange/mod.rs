//! The exchange: an object store, or a folder that several machines share, through which the outputs of steps travel as
//! objects that are named by their digest, and which keeps the ledger of runs.

mod access;
mod http;
mod transfer;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::digest::Digest;
use crate::error::{Blame, Failure, Report, Retry};
use crate::secrets::Secret;
use crate::session::noise;

pub use access::{Access, Credentials, Directions, FAMILY, Key, Location, Service};
pub use transfer::Transfer;

/// How long a request is tried again while the store is out of reach or busy.
const BUSY: Duration = Duration::from_secs(60);

/// How long a request may still take once nobody wants to wait any more.
const HURRY: Duration = Duration::from_secs(5);

/// How often a request is looked at that may have to end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a machine may take to get the credentials that its cloud gives it.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// The prefix of objects that are named by their digest.
pub const OBJECTS: &str = "objects";

/// The prefix of objects by which a store is tried out.
pub const PROBES: &str = "probes";

/// An exchange that can be reached; clones share it.
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// The same for objects that are named by their digest. Requests do not sign what is in them: whoever fetches one checks it.
    objects: Arc<dyn ObjectStore>,
    s3: Option<Arc<AmazonS3>>,
    access: Access,
    prefix: Path,
    runtime: &'static Runtime,
    /// When whatever has not ended by then is given up.
    latest: OnceLock<Instant>,
}

/// Drives all requests of this process. It is never dropped, which would wait for requests that hang.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

fn runtime() -> anyhow::Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("exchange").enable_time().build();
    let runtime = runtime.context("cannot prepare for requests")?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({})", self.0.access.location)
    }
}

#[cfg(test)]
impl Exchange {
    /// An exchange in a folder.
    #[expect(clippy::unwrap_used, reason = "only for tests")]
    pub fn in_folder(folder: &std::path::Path) -> Self {
        let location = Location::Folder(folder.to_owned());
        Self::open(Access::new(location, None, &crate::pipeline::params::Environment::new()).unwrap()).unwrap()
    }
}

/// A file in an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFile {
    pub digest: Digest,
    pub bytes: u64,
}

/// Why an exchange could not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It may work later.
    #[error("the exchange {place} cannot be used: {why}")]
    Unavailable { place: Location, why: String },
    #[error("the exchange {place} refuses access: {why}")]
    Refused { place: Location, why: String },
    /// Something that must be there is not, or is something else.
    #[error("object {digest} of the exchange {place} {why}")]
    Damaged { digest: Digest, place: Location, why: String },
    /// This machine could not read or write what was transferred.
    #[error("{0}")]
    Local(#[from] std::io::Error),
    #[error("the transfer was ended")]
    Ended,
}

impl ExchangeError {
    /// As the failure of a step that could not use it.
    pub fn failure(self, doing: &str) -> Failure {
        let message = format!("{doing}: {self}");
        match self {
            Self::Unavailable { .. } => {
                Failure { retry: Some(Retry { after_ms: None }), ..Failure::new(Blame::Remote, "exchange", message) }
                    .hint("the step can be run again: see `retries` of a step, and `osiris run --resume`")
            }
            Self::Refused { .. } => Failure::new(Blame::User, "permission", message)
                .hint("the key must be allowed to read, write, list and delete below the exchange's prefix"),
            Self::Damaged { .. } => Failure::new(Blame::Host, "exchange", message)
                .hint("nothing of it was used; remove the object, and run the pipeline again"),
            Self::Local(error) => Failure::of_host(&anyhow::Error::new(error).context(doing.to_owned())),
            Self::Ended => Failure::new(Blame::User, "interrupted", "the run was interrupted"),
        }
    }

    /// As the failure of a command.
    pub fn report(self) -> anyhow::Error {
        match &self {
            Self::Refused { .. } => Report::input(self.to_string())
                .hint("the key must be allowed to read, write, list and delete below the exchange's prefix")
                .into(),
            _ => self.into(),
        }
    }
}

/// What became of a request.
enum Asked<T> {
    Answer(T),
    /// The object is not there.
    Missing,
    /// It must not be there, and is.
    Taken,
}

impl<T> Asked<T> {
    fn answer(self) -> Option<T> {
        if let Self::Answer(answer) = self { Some(answer) } else { None }
    }
}

/// Whether an object was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    Created,
    /// There is one already; it was left as it is.
    Taken,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub written: Timestamp,
}

impl Exchange {
    /// Opens an exchange; nothing is asked of it yet.
    ///
    /// # Errors
    /// A [`Report`] if it cannot exist so.
    pub fn open(access: Access) -> anyhow::Result<Self> {
        let (store, objects, s3, prefix): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>, _, _) = match &access.location {
            Location::Folder(folder) => {
                let store = Arc::new(LocalFileSystem::new_with_prefix(folder).map_err(|error| {
                    Report::input(format!("cannot open the exchange {}: {error}", access.location))
                        .hint("create the folder, on a file system that all machines share")
                })?);
                (Arc::clone(&store) as _, store, None, Path::default())
            }
            Location::S3 { bucket, prefix } => {
                let wrong = |error| {
                    Report::input(format!("the exchange {} cannot be used: {error}", access.location))
                        .hint("see `AWS_REGION` and `AWS_ENDPOINT_URL`")
                };
                let store = Arc::new(s3(bucket, &access).build().map_err(wrong)?);
                let objects = Arc::new(s3(bucket, &access).with_unsigned_payload(true).build().map_err(wrong)?);
                let prefix = Path::parse(prefix).context("the prefix is no path")?;
                (Arc::clone(&store) as _, objects, Some(store), prefix)
            }
        };
        Ok(Self(Arc::new(Inner { store, objects, s3, access, prefix, runtime: runtime()?, latest: OnceLock::new() })))
    }

    /// Has whatever is asked of it end soon, because nobody wants to wait any more.
    pub fn hurry(&self) {
        self.0.latest.get_or_init(|| Instant::now() + HURRY);
    }

    /// Waits for a request, unless it is ended or takes too long.
    fn wait<T>(
        &self,
        is_ended: &dyn Fn() -> bool,
        request: impl Future<Output = Result<T, ExchangeError>>,
    ) -> Result<T, ExchangeError> {
        self.0.runtime.block_on(async {
            let mut request = std::pin::pin!(request);
            loop {
                match tokio::time::timeout(LOOK_EVERY, request.as_mut()).await {
                    Ok(done) => return done,
                    Err(_) if is_ended() || self.0.latest.get().is_some_and(|latest| *latest < Instant::now()) => {
                        return Err(ExchangeError::Ended);
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// Waits for a request whose errors are those of the store.
    fn ask<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> Result<Asked<T>, ExchangeError> {
        self.wait(&|| false, async {
            use object_store::Error;
            match request.await {
                Ok(answer) => Ok(Asked::Answer(answer)),
                Err(Error::NotFound { .. }) => Ok(Asked::Missing),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Asked::Taken),
                Err(error) => Err(self.error(&error)),
            }
        })
    }

    pub fn location(&self) -> &Location {
        &self.0.access.location
    }

    /// How a worker reaches it, with credentials that are valid now.
    ///
    /// # Errors
    /// If there are none.
    pub fn directions(&self) -> Result<Directions, ExchangeError> {
        let Location::S3 { bucket, prefix } = self.location() else { return Ok(Directions::Folder {}) };
        let key = match &self.0.access.credentials {
            Credentials::Key(key) => key.clone(),
            Credentials::OfMachine(_) => self.key_of_machine()?,
        };
        let service = self.0.access.service.clone();
        Ok(Directions::S3 { bucket: bucket.clone(), prefix: prefix.clone(), service, key })
    }

    /// The credentials that the cloud gives this machine now.
    fn key_of_machine(&self) -> Result<Key, ExchangeError> {
        let refused = |why: String| ExchangeError::Refused { place: self.location().clone(), why };
        let s3 = self.0.s3.as_ref().ok_or_else(|| refused("it has no key".to_owned()))?;
        let given = async { tokio::time::timeout(CREDENTIALS, s3.credentials().get_credential()).await };
        let found: Result<Arc<AwsCredential>, String> = match self.0.runtime.block_on(given) {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("nobody gives this machine any".to_owned()),
        };
        let found = found.map_err(|why| {
            refused(format!("there are no credentials ({why}); set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"))
        })?;
        Ok(Key {
            access_key_id: found.key_id.clone(),
            secret_access_key: Secret::new(found.secret_key.clone()),
            session_token: found.token.clone().map(Secret::new),
        })
    }

    /// Checks that it can be written, and that it refuses to create an object twice, which the ledger relies on; returns the
    /// time by its clock.
    ///
    /// # Errors
    /// A [`Report`] if it does not refuse; [`ExchangeError`] if it cannot be used.
    pub fn check(&self) -> anyhow::Result<Timestamp> {
        if matches!(&self.0.access.credentials, Credentials::OfMachine(_)) && self.0.s3.is_some() {
            self.key_of_machine().map_err(ExchangeError::report)?;
        }
        let name = format!("{PROBES}/{:016x}{:016x}", noise(), noise());
        let attempt = || -> Result<bool, ExchangeError> {
            self.create(&name, b"one".to_vec())?;
            let again = self.put_new(&name, b"two".to_vec())?;
            let kept = self.read(&name)?;
            Ok(again == Creation::Taken && kept.as_deref() == Some(b"one"))
        };
        let holds = attempt().map_err(ExchangeError::report)?;
        let found = self.look_up(&name).map_err(ExchangeError::report)?;
        self.delete(&name).map_err(ExchangeError::report)?;
        if !holds {
            return Err(Report::input(format!(
                "the exchange {} overwrites an object that must not exist (it ignores `If-None-Match: *`): two runs could both \
                 count",
                self.location()
            ))
            .hint("use a store that has conditional writes, such as Amazon S3, SeaweedFS, MinIO or Ceph")
            .into());
        }
        found.map(|found| found.written).context("what was written to the exchange has gone")
    }

    fn path(&self, name: &str) -> Path {
        self.0.prefix.parts().chain(name.split('/').map(Into::into)).collect()
    }

    fn object(&self, digest: &Digest) -> Path {
        self.path(&format!("{OBJECTS}/{digest}"))
    }

    fn error(&self, error: &object_store::Error) -> ExchangeError {
        use object_store::Error;
        let (place, why) = (self.location().clone(), reason(error));
        match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ExchangeError::Refused { place, why },
            _ => ExchangeError::Unavailable { place, why },
        }
    }

    /// The error about a bucket that is not there.
    fn missing(&self) -> ExchangeError {
        ExchangeError::Unavailable { place: self.location().clone(), why: "it is not there".to_owned() }
    }

    /// Creates an object that must not exist. A repeated request that finds what it wrote itself has created it.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Creation, ExchangeError> {
        match self.put_new(name, bytes.clone())? {
            Creation::Taken if self.read(name)?.as_ref() == Some(&bytes) => Ok(Creation::Created),
            other => Ok(other),
        }
    }

    fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<Creation, ExchangeError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let path = self.path(name);
        match self.ask(self.0.store.put_opts(&path, bytes.into(), options))? {
            Asked::Answer(_) => Ok(Creation::Created),
            Asked::Taken => Ok(Creation::Taken),
            Asked::Missing => Err(self.missing()),
        }
    }

    /// Writes an object, whether or not there is one.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), ExchangeError> {
        let path = self.path(name);
        match self.ask(self.0.store.put(&path, bytes.into()))? {
            Asked::Answer(_) => Ok(()),
            Asked::Missing | Asked::Taken => Err(self.missing()),
        }
    }

    /// What a small object contains; `None` if there is none.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        let path = self.path(name);
        let read = async { self.0.store.get(&path).await?.bytes().await };
        Ok(self.ask(read)?.answer().map(Into::into))
    }

    /// The size of a small object and when it was written; `None` if there is none.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn look_up(&self, name: &str) -> Result<Option<Listed>, ExchangeError> {
        let path = self.path(name);
        Ok(self.ask(self.0.store.head(&path))?.answer().map(|found| listed(&found)))
    }

    /// The objects directly below `folder`, and the names of the folders there.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn list(&self, folder: &str) -> Result<(Vec<Listed>, Vec<String>), ExchangeError> {
        let path = self.path(folder);
        let Some(found) = self.ask(self.0.store.list_with_delimiter(Some(&path)))?.answer() else {
            return Ok((Vec::new(), Vec::new()));
        };
        let folders = found.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        Ok((found.objects.iter().map(listed).collect(), folders))
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn delete(&self, name: &str) -> Result<(), ExchangeError> {
        let path = self.path(name);
        self.ask(self.0.store.delete(&path)).map(|_| ())
    }
}

fn listed(found: &object_store::ObjectMeta) -> Listed {
    let name = found.location.filename().unwrap_or_default().to_owned();
    let written = Timestamp::from_millisecond(found.last_modified.timestamp_millis()).unwrap_or_default();
    Listed { name, bytes: found.size, written }
}

/// What went wrong, in the words of whoever answered, without the request.
fn reason(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text: String = cause.to_string().chars().take(400).collect();
    crate::untrusted::line(&text).into_owned()
}

fn s3(bucket: &str, access: &Access) -> AmazonS3Builder {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 };
    // The time decides, however short the random waits are.
    let retry = RetryConfig { backoff, max_retries: usize::MAX, retry_timeout: BUSY };
    let service = &access.service;
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(http::Connector)
        .with_retry(retry)
        .with_bucket_name(bucket)
        .with_region(service.region.as_deref().unwrap_or(access::REGION))
        .with_allow_http(true);
    if let Some(endpoint) = &service.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    match &access.credentials {
        Credentials::Key(key) => {
            builder =
                builder.with_access_key_id(&key.access_key_id).with_secret_access_key(key.secret_access_key.reveal());
            if let Some(token) = &key.session_token {
                builder = builder.with_token(token.reveal());
            }
        }
        Credentials::OfMachine(variables) => {
            for (name, value) in variables {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    builder
}
