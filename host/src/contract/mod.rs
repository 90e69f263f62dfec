//! The host side of the contract: the only module that calls `bindgen!` and links imports for a guest.
//!
//! There is one file for each interface of `wit/driver.wit`, with the context that its calls act on. A denial is a returned
//! error; only a guest that misuses a handle is trapped.

mod context;
mod credentials;
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

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::channel::printed::Printed;
use crate::channel::reporter::Reporter;
use crate::engine::{Cause, Engine, EngineError};
use crate::grants::capability::{Capability, StepGrant, interface};
use crate::grants::connect::Connect;
use crate::grants::http::Http as HttpCalls;
use crate::grants::state::State as KeepState;
use crate::protocol::{Job, Message};
use crate::secrets::Secrets;
pub use bindings::osiris::driver::catalog::{Column as CatalogColumn, Table as CatalogTable};
pub use bindings::osiris::driver::errors::{Error, ErrorKind};
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
    pub memory: GuestMemory,
    context: context::Context,
    tables: Tables,
    files: Files,
    secrets: Arc<Secrets>,
    tcp: Tcp,
    http: Http,
    kept: KeptState,
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
        let before = call.job.state.as_ref().and_then(|kept| kept.value.clone());
        Ok(Self {
            handles,
            wasi: wasi::context(printed),
            memory: shared.memory.part(),
            context: context::Context::new(call, instance)?,
            tables: Tables::new(call, shared)?,
            files: Files::new(call),
            tcp: Tcp::new(call, shared),
            http: Http::new(call, shared),
            kept: KeptState { before, next: None, secrets: all },
            secrets: Arc::new(secrets),
        })
    }

    pub fn tables(&mut self) -> View<'_, Tables> {
        View { own: &mut self.tables, handles: &mut self.handles }
    }

    /// The counts of the instance, once its call has returned.
    pub fn tally(&mut self) -> Tally {
        Tally {
            rows_out: self.tables.rows_out,
            rows_copied: self.files.rows_copied,
            files_written: std::mem::take(&mut self.files.created),
            tables: std::mem::take(&mut self.tables.taken),
            unfinished: std::mem::take(&mut self.tables.unfinished),
            state: self.kept.next.take(),
            said: None,
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
    /// Rows that COPY wrote to files.
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

/// Links what a driver may import: the network and a state only if the step was granted them. Anything else that was
/// not granted is refused call by call.
pub fn linker(engine: &wasmtime::Engine, job: &Job) -> wasmtime::Result<Linker<State>> {
    use bindings::osiris::driver;
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    driver::context::add_to_linker::<_, HasSelf<context::Context>>(&mut linker, |state| &mut state.context)?;
    driver::secrets::add_to_linker::<_, With<Arc<Secrets>>>(&mut linker, |state| View {
        own: &mut state.secrets,
        handles: &mut state.handles,
    })?;
    driver::sql::add_to_linker::<_, With<Tables>>(&mut linker, State::tables)?;
    driver::files::add_to_linker::<_, With<Files>>(&mut linker, |state| View {
        own: &mut state.files,
        handles: &mut state.handles,
    })?;
    tables::link(&mut linker)?;
    if !job.network.connect.is_empty() {
        driver::tcp::add_to_linker::<_, With<Tcp>>(&mut linker, |state| View {
            own: &mut state.tcp,
            handles: &mut state.handles,
        })?;
    }
    if !job.network.http.is_empty() {
        wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
    }
    if job.state.is_some() {
        driver::state::add_to_linker::<_, HasSelf<KeptState>>(&mut linker, |state| &mut state.kept)?;
    }
    Ok(linker)
}

/// Describes the imports of a component that its step was not granted.
pub fn ungranted<'a>(imports: impl IntoIterator<Item = &'a str>, job: &Job) -> Option<String> {
    let capabilities = [
        (job.network.connect.is_given(), Connect::IMPORTS, Connect::REACHES_FOR),
        (job.network.http.is_given(), HttpCalls::IMPORTS, HttpCalls::REACHES_FOR),
        (job.state.is_some(), KeepState::IMPORTS, KeepState::REACHES_FOR),
    ];
    imports.into_iter().find_map(|import| {
        let missing = |(granted, imports, _): &&(bool, &[&str], _)| !granted && imports.contains(&interface(import));
        let (.., reaches_for) = capabilities.iter().find(missing)?;
        Some(format!("it imports `{import}`, but the step was not granted {reaches_for}"))
    })
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
