//! The host side of the contract: the only module that calls `bindgen!` and links imports for a guest.
//!
//! There is one file for each interface of `wit/driver.wit`. A denial is a returned error; only a guest that misuses a
//! handle is trapped.

mod context;
mod files;
mod http;
mod pool;
mod secrets;
pub mod shared;
mod sql;
mod state;
pub mod tables;
mod tcp;
pub mod tls;
mod wasi;

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::channel::network::Network;
use crate::channel::reporter::Reporter;
use crate::engine::{Cause, Engine, EngineError, Query};
use crate::grants::capability::{Capability, interface};
use crate::grants::connect::Connect;
use crate::grants::http::Http as HttpCalls;
use crate::grants::state::State as KeepState;
use crate::protocol::{FileGrant, Job, Kept, Message, Network as NetworkGrant};
use crate::secrets::Secrets;
pub use bindings::osiris::driver::catalog::{Column as CatalogColumn, Table as CatalogTable};
pub use bindings::osiris::driver::errors::{Error, ErrorKind};
pub use http::Http;
use shared::{GuestMemory, Shared, Slot};
pub use tls::Trust;
pub use wasi::{Captured, context as wasi_context};

/// Generated from `wit/`. The interface `tables` is linked by hand, because its columns use types that avoid a copy on
/// the way out and a collected vector on the way in.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "granted",
        imports: { default: trappable },
        with: {
            "osiris:driver/tables": super::tables,
            "osiris:driver/secrets.secret": crate::secrets::Secret,
            "osiris:driver/files.source": super::files::Source,
            "osiris:driver/files.target": super::files::Target,
            "osiris:driver/files.temporary": crate::engine::TemporaryFile,
            "osiris:driver/tcp.connection": super::tcp::Connection,
        },
    });
}

/// The result of a call to the host: a value, an error for the guest, or a trap.
type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// The data that a guest's calls act on. It lives exactly as long as the step's store.
pub struct State {
    pub handles: ResourceTable,
    pub wasi: WasiCtx,
    /// Counts of open resources and of memory, shared by all instances.
    pub shared: Shared,
    pub memory: GuestMemory,
    pub engine: Arc<Engine>,
    pub reporter: Reporter,
    pub step: String,
    /// The number of this instance, and the number of instances.
    pub partition: (u32, u32),
    /// The config as JSON text.
    pub config: String,
    pub secrets: Secrets,
    pub inputs: Vec<(String, u64)>,
    pub read_files: Vec<FileGrant>,
    pub write_files: Vec<FileGrant>,
    pub network: Arc<Network>,
    pub network_grant: NetworkGrant,
    pub trust: Trust,
    pub http: Http,
    pub kept: Kept,
    pub tally: Tally,
}

/// Counts that the host makes itself.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows that went to the guest as columns.
    pub rows_out: u64,
    /// Rows that came from the guest as columns, while none went to it.
    pub rows_in: u64,
    /// Rows that COPY wrote to files.
    pub rows_copied: u64,
    /// Files that were written.
    pub files_written: Vec<PathBuf>,
    /// The slots of the tables that were created.
    pub tables: Vec<Slot>,
    /// Tables that this instance created.
    pub created: Vec<String>,
    /// Tables that were created but not finished.
    pub unfinished: Vec<String>,
    /// The state that the step wants to keep for its next run.
    pub state: Option<String>,
    /// The driver's answer to `discover` or `check`.
    pub said: Option<Message>,
}

impl Tally {
    /// Adds the work of another instance of the same step. The step's state is that of the first instance.
    pub fn add(&mut self, other: Self) {
        self.rows_out += other.rows_out;
        self.rows_in += other.rows_in;
        self.rows_copied += other.rows_copied;
        self.files_written.extend(other.files_written);
        self.tables.extend(other.tables);
        self.unfinished.extend(other.unfinished);
        self.state = self.state.take().or(other.state);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.handles }
    }
}

/// Links what a driver may import: the network and a state only if the step was granted them. Anything else that was
/// not granted is refused call by call.
pub fn linker(engine: &wasmtime::Engine, job: &Job) -> wasmtime::Result<Linker<State>> {
    use bindings::osiris::driver;
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    driver::context::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    driver::secrets::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    driver::sql::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    driver::files::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    tables::link(&mut linker)?;
    if !job.network.connect.is_empty() {
        driver::tcp::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    }
    if !job.network.http.is_empty() {
        wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
    }
    if job.state.is_some() {
        driver::state::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    }
    Ok(linker)
}

/// Describes the imports of a component that its step was not granted.
pub fn ungranted<'a>(imports: impl IntoIterator<Item = &'a str>, job: &Job) -> Option<String> {
    let capabilities = [
        (Connect::is_granted(&job.network.connect), Connect::IMPORTS, Connect::REACHES_FOR),
        (HttpCalls::is_granted(&job.network.http), HttpCalls::IMPORTS, HttpCalls::REACHES_FOR),
        (KeepState::is_granted(&job.state.is_some()), KeepState::IMPORTS, KeepState::REACHES_FOR),
    ];
    imports.into_iter().find_map(|import| {
        let missing = |(granted, imports, _): &&(bool, &[&str], _)| !granted && imports.contains(&interface(import));
        let (.., reaches_for) = capabilities.iter().find(missing)?;
        Some(format!("it imports `{import}`, but the step was not granted {reaches_for}"))
    })
}

impl State {
    /// Adds the step's inputs to the handle table, for the call of the driver's export.
    pub fn input_handles(&mut self) -> wasmtime::Result<Vec<Resource<tables::Input>>> {
        let inputs = self.inputs.clone();
        inputs.into_iter().map(|(alias, rows)| Ok(self.handles.push(tables::Input { alias, rows })?)).collect()
    }

    /// Opens a reader, unless the step has reached its limit of open readers.
    fn open_reader(&mut self, query: impl FnOnce(&Engine) -> Result<Query, Error>) -> Answer<Resource<tables::Reader>> {
        let Some(slot) = self.shared.readers.take() else {
            let most = self.shared.readers.most();
            let message = format!("the driver has {most} readers open, as many as it may; drop one first");
            return Ok(Err(error(ErrorKind::Denied, message)));
        };
        match query(&self.engine) {
            Ok(query) => Ok(Ok(self.handles.push(tables::Reader::new(query, slot))?)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Counts a table that the driver creates, unless the step has reached its limit of tables.
    fn count_table(&mut self, name: &str) -> Result<(), Error> {
        let Some(slot) = self.shared.tables.take() else {
            let most = self.shared.tables.most();
            let message = format!("table `{name}` is one more than the {most} that a step may create");
            return Err(error(ErrorKind::Denied, message));
        };
        self.tally.tables.push(slot);
        Ok(())
    }

    pub fn output_handle(&mut self) -> wasmtime::Result<Resource<tables::Output>> {
        Ok(self.handles.push(tables::Output)?)
    }
}

/// An error of the contract, without a time to wait before a retry.
pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into(), retry_after_ms: None }
}

impl From<EngineError> for Error {
    fn from(engine: EngineError) -> Self {
        let kind = match engine.cause {
            Cause::Statement => ErrorKind::Config,
            Cause::Denied => ErrorKind::Denied,
            Cause::NotFound => ErrorKind::NotFound,
            Cause::Data => ErrorKind::Data,
            Cause::Memory => ErrorKind::Other("memory".to_owned()),
            Cause::Spill => ErrorKind::Other("disk".to_owned()),
            Cause::DiskFull => ErrorKind::Other("disk-full".to_owned()),
            Cause::TooLarge => ErrorKind::Other("output".to_owned()),
            Cause::Interrupted => ErrorKind::Other("interrupted".to_owned()),
            Cause::Internal => ErrorKind::Internal,
        };
        error(kind, engine.message)
    }
}

/// The kind as the contract and the logs write it.
pub fn kind_name(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::Config => "config",
        ErrorKind::Auth => "auth",
        ErrorKind::Denied => "denied",
        ErrorKind::NotFound => "not-found",
        ErrorKind::RateLimited => "rate-limited",
        ErrorKind::Transient => "transient",
        ErrorKind::Data => "data",
        ErrorKind::Internal => "internal",
        ErrorKind::Other(other) => other,
    }
    .to_owned()
}
