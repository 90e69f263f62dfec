//! The interfaces of the contract for a driver that runs natively, with the signatures of the generated bindings. Each
//! thread has its own host, so tests may run side by side.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::{Answering, LogLine, Querying, Rejected, Rows};
use crate::ErrorKind;
use crate::bindings::osiris::driver::errors::Error;
use crate::{Field, RawBatch};

/// What a driver is given, and what it has done so far.
#[derive(Default)]
pub struct Host {
    pub config: String,
    pub secrets: BTreeMap<String, String>,
    pub state: Option<String>,
    pub attempt: u32,
    pub part: (u32, u32),
    pub rejects: Option<usize>,
    pub files: BTreeMap<String, Vec<u8>>,
    pub query: Option<Querying>,
    pub servers: BTreeMap<String, Answering>,
    #[cfg(feature = "http")]
    pub exchanges: Vec<super::Exchange>,
    #[cfg(feature = "http")]
    pub requests: Vec<super::Sent>,
    pub log: Vec<LogLine>,
    pub metrics: BTreeMap<String, f64>,
    pub progress: Option<(u64, Option<u64>)>,
    pub rejected: Vec<Rejected>,
    pub waits: Vec<std::time::Duration>,
    pub tables: BTreeMap<String, Table>,
    pub written: BTreeMap<String, Vec<u8>>,
}

/// A table of the output.
pub struct Table {
    pub content: Content,
    pub finished: bool,
}

/// How a table was written.
pub enum Content {
    Columns { fields: Vec<Field>, batches: Vec<RawBatch> },
    Records { declared: Vec<(String, String)>, records: Vec<Map<String, Value>> },
}

pub mod tables;

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Makes `host` the one of this thread, runs the driver, and returns the host.
pub fn during<T>(host: Host, run: impl FnOnce() -> T) -> (Host, T) {
    /// Takes the host away even if the driver panics.
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            HOST.take();
        }
    }
    HOST.set(Some(host));
    let guard = Guard;
    let value = run();
    let host = HOST.take().unwrap_or_default();
    drop(guard);
    (host, value)
}

/// Calls the host of this thread; without one, as in a unit test of a single function, `None`.
pub fn with<T>(call: impl FnOnce(&mut Host) -> T) -> Option<T> {
    HOST.with_borrow_mut(|host| host.as_mut().map(call))
}

fn demand<T>(what: &str, call: impl FnOnce(&mut Host) -> T) -> Result<T, Error> {
    let missing = || error(ErrorKind::Internal, format!("there is no host to {what}: use `osiris_sdk::testing::Step`"));
    with(call).ok_or_else(missing)
}

pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, code: None, message: message.into(), retry_after_ms: None }
}

pub mod context {
    use super::{Error, ErrorKind, LogLine, Rejected, demand, error, with};
    pub use crate::bindings::osiris::driver::context::{Level, Part};

    pub fn step_id() -> String {
        "STEP".to_owned()
    }

    pub fn config() -> String {
        with(|host| host.config.clone()).unwrap_or_else(|| "{}".to_owned())
    }

    pub fn partition() -> Part {
        let (index, count) = with(|host| host.part).unwrap_or((0, 1));
        Part { index, count }
    }

    pub fn attempt() -> u32 {
        with(|host| host.attempt).unwrap_or(1)
    }

    pub fn reject(row: &str, reason: &str) -> Result<(), Error> {
        let row = serde_json::from_str(row).map_err(|cause| {
            error(ErrorKind::Internal, format!("the driver rejected a row that is not JSON: {cause}"))
        })?;
        demand("reject a row", |host| {
            host.rejected.push(Rejected { row, reason: reason.to_owned() });
            if host.rejects.is_some_and(|most| host.rejected.len() > most) {
                return Err(error(ErrorKind::Data, format!("a row was rejected: {reason}")));
            }
            Ok(())
        })?
    }

    pub fn log(level: Level, message: &str, fields: &[(String, String)]) {
        let line = LogLine { level, message: message.to_owned(), fields: fields.iter().cloned().collect() };
        with(|host| host.log.push(line));
    }

    pub fn metric(name: &str, value: f64) {
        with(|host| host.metrics.insert(name.to_owned(), value));
    }

    pub fn progress(done: u64, total: Option<u64>) {
        with(|host| host.progress = Some((done, total)));
    }
}

pub mod secrets {
    use super::with;

    #[derive(Debug)]
    pub struct Secret(String);

    impl Secret {
        pub fn reveal(&self) -> String {
            self.0.clone()
        }
    }

    pub fn get(name: &str) -> Option<Secret> {
        let pointer = if name.starts_with('/') { name.to_owned() } else { format!("/{}", name.replace('.', "/")) };
        with(|host| host.secrets.get(&pointer).cloned()).flatten().map(Secret)
    }

    pub fn list(below: &str) -> Vec<String> {
        let is_below = |name: &&String| {
            below.is_empty() || name.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        with(|host| host.secrets.keys().filter(is_below).cloned().collect()).unwrap_or_default()
    }
}

pub mod state {
    use super::{Error, ErrorKind, demand, error, with};

    pub fn get() -> Option<String> {
        with(|host| host.state.clone()).flatten()
    }

    pub fn set(json: &str) -> Result<(), Error> {
        demand("store a state", |host| {
            if host.secrets.values().any(|secret| json.contains(secret)) {
                return Err(error(ErrorKind::Denied, "the state contains a secret of the step"));
            }
            host.state = Some(json.to_owned());
            Ok(())
        })?
    }
}

pub mod sql {
    use super::tables::{JsonReader, Output, Reader, Types, create, finish};
    use super::{Content, Error, ErrorKind, Rc, Rows, demand, error};

    fn query_rows(select: &str) -> Result<Rows, Error> {
        let query = demand("run SQL", |host| host.query.as_ref().map(Rc::clone))?;
        let missing = || error(ErrorKind::Internal, format!("the test gives no rows for `{select}`: use `Step::sql`"));
        Ok(query.ok_or_else(missing)?(select))
    }

    pub fn create_table(_: &Output, name: &str, select: &str) -> Result<u64, Error> {
        let (schema, batches) = query_rows(select)?.batches(&[])?;
        create(name, Content::Columns { fields: schema.fields, batches })?;
        finish(name)
    }

    pub fn query(select: &str, _: Types) -> Result<Reader, Error> {
        Reader::new(&query_rows(select)?, &[])
    }

    pub fn query_json(select: &str) -> Result<JsonReader, Error> {
        JsonReader::new(&query_rows(select)?, &[])
    }
}

pub mod files {
    use super::{Error, ErrorKind, demand, error, with};
    pub use crate::bindings::osiris::driver::files::Format;

    pub fn list(path: &str) -> Result<Vec<String>, Error> {
        open(path).map(|_| vec![path.to_owned()])
    }

    pub fn open(path: &str) -> Result<Source, Error> {
        let bytes = demand("open a file", |host| host.files.get(path).cloned())?;
        let missing = || error(ErrorKind::NotFound, format!("the test has no file `{path}`: use `Step::file`"));
        Ok(Source { path: path.to_owned(), bytes: bytes.ok_or_else(missing)? })
    }

    pub fn create(path: &str) -> Result<Target, Error> {
        demand("create a file", |host| host.written.insert(path.to_owned(), Vec::new()))?;
        Ok(Target(path.to_owned()))
    }

    pub fn create_temporary() -> Result<Temporary, Error> {
        let name = demand("create a file", |host| {
            let name = format!("temporary {}", host.written.len());
            host.written.insert(name.clone(), Vec::new());
            name
        })?;
        Ok(Temporary(name))
    }

    fn write(path: &str, bytes: &[u8]) -> Result<(), Error> {
        with(|host| host.written.entry(path.to_owned()).or_default().extend_from_slice(bytes));
        Ok(())
    }

    #[derive(Debug)]
    pub struct Source {
        path: String,
        bytes: Vec<u8>,
    }

    impl Source {
        pub fn sql_literal(&self) -> String {
            duckdb_text::quote_text(&self.path)
        }

        pub fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
            let end = start.saturating_add(length as usize).min(self.bytes.len());
            Ok(self.bytes[start..end].to_vec())
        }

        pub fn digest(&self) -> Result<String, Error> {
            use sha2::Digest;
            Ok(sha2::Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect())
        }
    }

    #[derive(Debug)]
    pub struct Target(String);

    impl Target {
        /// Writes the SELECT itself: the test checks what was asked for.
        pub fn copy(&self, select: &str, _: Format, _: &[(String, String)]) -> Result<u64, Error> {
            write(&self.0, select.as_bytes()).map(|()| 0)
        }

        pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
            write(&self.0, bytes)
        }
    }

    #[derive(Debug)]
    pub struct Temporary(String);

    impl Temporary {
        pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
            write(&self.0, bytes)
        }

        pub fn sql_literal(&self) -> String {
            duckdb_text::quote_text(&self.0)
        }
    }
}

/// DuckDB files, which a native test does not have.
pub mod databases {
    use super::{Error, ErrorKind, error};
    use crate::CatalogTable;
    pub use crate::bindings::osiris::driver::databases::{Delivery, Mode, Obsolete};

    fn missing<T>(path: &str) -> Result<T, Error> {
        Err(error(
            ErrorKind::Denied,
            format!("a native test has no DuckDB files: test `{path}` with `osiris drivers test`"),
        ))
    }

    pub fn tables(path: &str) -> Result<Vec<CatalogTable>, Error> {
        missing(path)
    }

    pub fn open(path: &str) -> Result<Vec<CatalogTable>, Error> {
        missing(path)
    }

    pub fn deliver(path: &str, _: &Delivery) -> Result<u64, Error> {
        missing(path)
    }

    pub fn supersede(path: &str, _: &Delivery, _: &Obsolete) -> Result<u64, Error> {
        missing(path)
    }
}

pub mod tcp {
    use super::{Error, ErrorKind, RefCell, demand, error};
    pub use crate::bindings::osiris::driver::tcp::{TlsOptions, Verify};
    use crate::testing::Answering;

    /// A connection to a server of the test: what is written is answered at once.
    pub struct Connection {
        server: Answering,
        received: RefCell<Vec<u8>>,
    }

    impl std::fmt::Debug for Connection {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Connection").field("received", &self.received).finish_non_exhaustive()
        }
    }

    pub fn connect(host: &str, port: u16, _: u32) -> Result<Connection, Error> {
        let address = format!("{host}:{port}");
        let server = demand("connect", |host| host.servers.get(&address).cloned())?;
        let refused = || error(ErrorKind::Denied, format!("the test has no server at `{address}`: use `Step::server`"));
        let server = server.ok_or_else(refused)?;
        let greeting = server.borrow_mut()(&[]);
        Ok(Connection { server, received: RefCell::new(greeting) })
    }

    impl Connection {
        pub fn set_timeout(&self, _: u32) {}

        pub fn read(&self, length: u32) -> Result<Vec<u8>, Error> {
            let mut received = self.received.borrow_mut();
            let count = received.len().min(length as usize);
            Ok(received.drain(..count).collect())
        }

        pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
            let answer = self.server.borrow_mut()(bytes);
            self.received.borrow_mut().extend(answer);
            Ok(())
        }

        pub fn start_tls(&self, _: &TlsOptions) -> Result<(), Error> {
            Ok(())
        }

        pub fn server_end_point(&self) -> Option<Vec<u8>> {
            None
        }
    }
}
