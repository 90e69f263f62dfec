//! The host side of the contract: the only module that calls `bindgen!` and links imports for a guest.
//!
//! There is one file for each interface of `wit/driver.wit`, with the context that its calls act on. A denial is a returned
//! error; only a guest that misuses a handle is trapped.

mod context;
mod credentials;
mod databases;
mod disturbed_http;
pub mod exchanger;
mod exports;
mod faults;
mod fetch;
mod files;
mod http;
mod json_tables;
mod partitioned;
mod pool;
pub mod rejects;
mod secrets;
pub mod shared;
mod sql;
mod state;
pub mod tables;
mod tcp;
pub mod tls;
mod wasi;

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::channel::printed::Printed;
use crate::channel::reporter::Reporter;
use crate::engine::{Cause, Engine, EngineError, Status};
use crate::error::DISK_FULL;
use crate::protocol::{Job, Message, RejectedRows};
use crate::secrets::Secrets;
pub use bindings::osiris::driver::catalog::{Column as CatalogColumn, Table as CatalogTable};
pub use bindings::osiris::driver::errors::{Error, ErrorKind};
use databases::Databases;
pub use exports::compile;
use faults::Faults;
use files::Files;
use http::Http;
use shared::{GuestMemory, Shared, Slot};
use state::KeptState;
use tables::Tables;
use tcp::Tcp;
pub use tls::Trust;

/// The number of handles of all kinds together that a driver may hold at once.
const MAX_HANDLES: usize = 10_000;

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

/// A step's driver, with everything that is needed to call it.
#[derive(Clone, Copy)]
pub struct DriverCall<'a> {
    pub job: &'a Job,
    pub component: &'a Component,
    pub engine: &'a Arc<Engine>,
    pub reporter: &'a Reporter,
    pub trust: &'a Trust,
}

/// The data that a guest's calls act on: the context of each interface, and the guest's handles. It lives exactly as long
/// as the instance's store.
pub struct State {
    handles: ResourceTable,
    wasi: WasiCtx,
    /// Where it is noted that the guest calls something whose answer varies.
    status: Status,
    pub memory: GuestMemory,
    context: context::Context,
    tables: Tables,
    files: Files,
    databases: Databases,
    secrets: Arc<Secrets>,
    tcp: Tcp,
    http: Http,
    kept: KeptState,
    faults: Option<Arc<Faults>>,
}

impl State {
    /// The state of the instance with that number, which prints to `printed`.
    ///
    /// # Errors
    /// If the step's inputs or config cannot be read.
    pub fn new(call: &DriverCall<'_>, shared: &Shared, instance: u32, printed: &Printed) -> anyhow::Result<Self> {
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(MAX_HANDLES);
        let mut secrets = call.job.secrets.clone();
        // A state may hold none of the secrets, not even one that only requests carry.
        let all = Arc::new(secrets.clone());
        secrets.retain(|place, _| !call.job.network.withheld.contains(place));
        Ok(Self {
            handles,
            wasi: wasi::context(
                printed,
                shared.faults.as_ref().and_then(|faults| faults.clock()),
                call.engine.status(),
                call.job.hash_seed,
            ),
            status: call.engine.status().clone(),
            memory: shared.memory.part(),
            context: context::Context::new(call, shared, instance)?,
            tables: Tables::new(call, shared)?,
            files: Files::new(call, shared),
            databases: Databases::new(call),
            tcp: Tcp::new(call, shared),
            http: Http::new(call, shared),
            kept: KeptState::new(call.job, &all),
            secrets: Arc::new(secrets),
            faults: shared.faults.clone(),
        })
    }

    pub fn tables(&mut self) -> View<'_, Tables> {
        View { own: &mut self.tables, handles: &mut self.handles }
    }

    fn files(&mut self) -> View<'_, Files> {
        View { own: &mut self.files, handles: &mut self.handles }
    }

    fn streams(&mut self) -> View<'_, Tcp> {
        View { own: &mut self.tcp, handles: &mut self.handles }
    }

    /// The counts of the instance, once its call has returned.
    pub fn tally(&mut self) -> Tally {
        Tally {
            rows_out: self.tables.rows_out,
            rows_copied: self.files.rows_copied + self.databases.rows,
            files_written: [std::mem::take(&mut self.files.created), std::mem::take(&mut self.databases.written)]
                .concat(),
            tables: std::mem::take(&mut self.tables.taken),
            unfinished: std::mem::take(&mut self.tables.unfinished),
            state: self.kept.next.take(),
            said: None,
            rejected: None,
        }
    }
}

/// What the calls of one interface act on: its own context, and the guest's handles.
pub struct View<'a, C> {
    own: &'a mut C,
    handles: &'a mut ResourceTable,
}

/// Marks an interface whose calls act on a [`View`].
struct With<C>(PhantomData<C>);

impl<C: 'static> HasData for With<C> {
    type Data<'a> = View<'a, C>;
}

/// Counts that the host makes itself.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows that went to the guest as columns.
    pub rows_out: u64,
    /// Rows that DuckDB itself wrote, to files or into the tables of DuckDB files.
    pub rows_copied: u64,
    /// Files that were written.
    pub files_written: Vec<PathBuf>,
    /// The slots of the tables that were created.
    pub tables: Vec<Slot>,
    /// Tables that were created but not finished.
    pub unfinished: Vec<String>,
    /// The state that the step wants to keep for its next run.
    pub state: Option<String>,
    /// The driver's answer to `discover` or `check`.
    pub said: Option<Message>,
    /// The rows that all instances rejected.
    pub rejected: Option<RejectedRows>,
}

impl Tally {
    /// Adds the work of another instance of the same step. The step's state is that of the first instance.
    pub fn add(&mut self, other: Self) {
        self.rows_out += other.rows_out;
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

/// Links everything that a driver may import. A call to anything that the step was not granted is refused; a driver that
/// imports what its spec does not request is refused when it is read. With `is_disturbed`, calls can be made to fail.
pub fn linker(engine: &wasmtime::Engine, is_disturbed: bool) -> wasmtime::Result<Linker<State>> {
    use bindings::osiris::driver;
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    driver::context::add_to_linker::<_, HasSelf<context::Context>>(&mut linker, |state| &mut state.context)?;
    driver::secrets::add_to_linker::<_, With<Arc<Secrets>>>(&mut linker, |state| View {
        own: &mut state.secrets,
        handles: &mut state.handles,
    })?;
    driver::sql::add_to_linker::<_, With<Tables>>(&mut linker, State::tables)?;
    driver::files::add_to_linker::<_, With<Files>>(&mut linker, State::files)?;
    tables::link(&mut linker, is_disturbed)?;
    driver::tcp::add_to_linker::<_, With<Tcp>>(&mut linker, State::streams)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
    driver::databases::add_to_linker::<_, HasSelf<Databases>>(&mut linker, |state| &mut state.databases)?;
    driver::state::add_to_linker::<_, HasSelf<KeptState>>(&mut linker, |state| &mut state.kept)?;
    if is_disturbed {
        faults::link(&mut linker)?;
    }
    Ok(linker)
}

/// An error of the contract, without a code and a time to wait before a retry.
pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, code: None, message: message.into(), retry_after_ms: None }
}

/// An error whose kind needs a code: `limit` or `other`.
pub fn coded(kind: ErrorKind, code: &str, message: impl Into<String>) -> Error {
    Error { code: Some(code.to_owned()), ..error(kind, message) }
}

impl From<EngineError> for Error {
    fn from(engine: EngineError) -> Self {
        let kind = match engine.cause {
            Cause::Statement => ErrorKind::Config,
            Cause::Denied => ErrorKind::Denied,
            Cause::NotFound => ErrorKind::NotFound,
            Cause::Data => ErrorKind::Data,
            Cause::Memory => return coded(ErrorKind::Limit, "memory", engine.message),
            Cause::Spill => return coded(ErrorKind::Limit, "disk", engine.message),
            Cause::TooLarge => return coded(ErrorKind::Limit, "output", engine.message),
            Cause::DiskFull => return coded(ErrorKind::Other, DISK_FULL, engine.message),
            Cause::Interrupted => return coded(ErrorKind::Other, "interrupted", engine.message),
            Cause::Internal => ErrorKind::Internal,
        };
        error(kind, engine.message)
    }
}

/// An error's name in logs and results: its kind, or the code of a limit or of another kind.
pub fn error_name(error: &Error) -> String {
    match error.kind {
        ErrorKind::Limit | ErrorKind::Other if error.code.is_some() => return error.code.clone().unwrap_or_default(),
        ErrorKind::Limit => "limit",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Config => "config",
        ErrorKind::Auth => "auth",
        ErrorKind::Denied => "denied",
        ErrorKind::NotFound => "not-found",
        ErrorKind::RateLimited => "rate-limited",
        ErrorKind::Transient => "transient",
        ErrorKind::Data => "data",
        ErrorKind::Internal => "internal",
        ErrorKind::Other => "other",
    }
    .to_owned()
}
