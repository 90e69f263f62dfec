//! Instantiates the driver and calls its one export; turns what comes back into a tally or a failure.

use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use anyhow::Context;
use wasmtime::component::{Component, ComponentNamedList, ComponentType, Instance, Lift, Lower, Resource};
use wasmtime::{Store, StoreLimitsBuilder, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::host_fault;
use crate::channel::network::Network;
use crate::channel::reporter::Reporter;
use crate::contract::tables::{Input, Output};
use crate::contract::{
    Captured, CatalogTable, Error, ErrorKind, Http, State, Tally, Trust, kind_name, linker, ungranted, wasi_context,
};
use crate::driver::discovery::{FoundColumn, FoundTable};
use crate::driver::spec::Kind;
use crate::engine::Engine;
use crate::error::{Blame, Failure};
use crate::grants::limits::Limits;
use crate::protocol::{Call, Job, Message};

/// What one call may move from guest to host, in bytes: a batch of 64 MiB with room to spare.
const HOSTCALL_BYTES: usize = 160 << 20;

/// Handles that a driver may hold at once, of all kinds together.
const MAX_HANDLES: usize = 10_000;

/// The stack of each of several instances, in bytes. Deep data makes DuckDB and this program recurse; what overflows it
/// ends the step.
const INSTANCE_STACK: usize = 32 << 20;

/// Calls the driver, and gives what the host counted meanwhile.
pub fn call(
    job: &Job,
    component: &Component,
    engine: &Arc<Engine>,
    reporter: &Reporter,
    trust: Trust,
) -> Result<Tally, Failure> {
    check_imports(job, component)?;
    let network = Arc::new(Network::new(&job.limits));
    let instance = |index| {
        let printed = Captured::default();
        let state = state(job, index, engine, reporter, &printed, trust.clone(), Arc::clone(&network));
        call_instance(job, component, state.map_err(host_fault)?, reporter, &printed)
    };
    if job.instances <= 1 {
        return instance(0);
    }
    let outcomes: Vec<Result<Tally, Failure>> = std::thread::scope(|scope| {
        let instance = &instance;
        let started: Vec<_> = (0..job.instances)
            .map(|index| {
                let thread = std::thread::Builder::new().stack_size(INSTANCE_STACK);
                thread.spawn_scoped(scope, move || {
                    let outcome = instance(index);
                    if outcome.is_err() {
                        // The step has failed: nobody waits for the others' work.
                        component.engine().increment_epoch();
                        engine.interrupter().interrupt();
                    }
                    outcome
                })
            })
            .collect();
        let outcome = |thread: std::io::Result<ScopedJoinHandle<'_, _>>| match thread.map(ScopedJoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(panicked(job)),
            Err(error) => Err(host_fault(anyhow::anyhow!(error).context("cannot start a thread for the driver"))),
        };
        started.into_iter().map(outcome).collect()
    });
    // Of several failures the one that was not made by another's counts.
    let broken_off = |outcome: &Result<Tally, Failure>| {
        outcome.as_ref().is_err_and(|failure| matches!(failure.kind.as_str(), "trap" | "interrupted"))
    };
    let (secondary, primary): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(broken_off);
    let mut whole = Tally::default();
    for tally in primary.into_iter().chain(secondary) {
        whole.add(tally?);
    }
    Ok(whole)
}

fn panicked(job: &Job) -> Failure {
    host_fault(anyhow::anyhow!("the thread of an instance of driver `{}` ended", job.driver))
}

fn call_instance(
    job: &Job,
    component: &Component,
    state: State,
    reporter: &Reporter,
    printed: &Captured,
) -> Result<Tally, Failure> {
    let mut store = Store::new(component.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    let outcome = call_export(job, component, &mut store);
    for line in printed.take().lines() {
        reporter.log("info", line.to_owned(), [("stream".to_owned(), "stdout".to_owned())].into());
    }
    match outcome {
        Ok(Ok(said)) => {
            let mut tally = std::mem::take(&mut store.data_mut().tally);
            tally.said = said;
            Ok(tally)
        }
        Ok(Err(error)) => Err(returned(error, reporter)),
        Err(trap) => Err(trapped(job, &trap, reporter)),
    }
}

/// Refuses a driver that imports what its step was not granted, before it runs.
fn check_imports(job: &Job, component: &Component) -> Result<(), Failure> {
    let component_type = component.component_type();
    match ungranted(component_type.imports(component.engine()).map(|(name, _)| name), job) {
        None => Ok(()),
        Some(why) => Err(Failure {
            blame: Blame::Driver,
            kind: "denied".to_owned(),
            message: format!("driver `{}` cannot run here: {why}", job.driver),
            hint: Some("see what the step was granted with `osiris plan`, and what the driver's spec wants with `osiris drivers inspect`".to_owned()),
        }),
    }
}

fn state(
    job: &Job,
    index: u32,
    engine: &Arc<Engine>,
    reporter: &Reporter,
    printed: &Captured,
    trust: Trust,
    network: Arc<Network>,
) -> anyhow::Result<State> {
    // Several instances share what one would have.
    let memory = job.limits.guest_memory_bytes / u64::from(job.instances.max(1));
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    let inputs = job
        .inputs
        .iter()
        .map(|input| Ok((input.alias.clone(), engine.input_rows(&input.alias)?)))
        .collect::<anyhow::Result<Vec<_>>>()
        .context("cannot count the step's inputs")?;
    let mut handles = wasmtime::component::ResourceTable::new();
    handles.set_max_capacity(MAX_HANDLES);
    Ok(State {
        handles,
        wasi: wasi_context(printed),
        memory: StoreLimitsBuilder::new()
            .memory_size(memory)
            .memories(32)
            .tables(64)
            .table_elements(1 << 20)
            .instances(128)
            .trap_on_grow_failure(true)
            .build(),
        engine: Arc::clone(engine),
        reporter: reporter.clone(),
        step: job.step.clone(),
        partition: (index, job.instances.max(1)),
        config: serde_json::to_string(&job.config).context("cannot write the config as JSON")?,
        secrets: job.secrets.clone(),
        inputs,
        max_readers: job.limits.readers,
        read_files: job.read_files.clone(),
        write_files: job.write_files.clone(),
        http: Http::new(job.network.http.clone(), Arc::clone(&network), trust.clone(), reporter.clone()),
        network,
        network_grant: job.network.clone(),
        trust,
        kept: job.state.clone().unwrap_or_default(),
        tally: Tally::default(),
    })
}

/// What a call gives: what the driver said where its kind's export was not the one called, or its error.
type Answer = wasmtime::Result<Result<Option<Message>, Error>>;

fn call_export(job: &Job, component: &Component, store: &mut Store<State>) -> Answer {
    let instance = linker(component.engine(), job)?.instantiate(&mut *store, component)?;
    let done = match job.call {
        Call::Run => run(job.kind, &instance, store)?,
        Call::Discover => {
            let found: Result<Vec<CatalogTable>, Error> = invoke(&instance, store, "discover", ())?;
            let reporter = store.data().reporter.clone();
            return Ok(found.and_then(|tables| told(catalog(tables, &reporter), &reporter).map(Some)));
        }
        Call::Check => {
            let said: Result<String, Error> = invoke(&instance, store, "check", ())?;
            let reporter = store.data().reporter.clone();
            return Ok(said.map(|message| Some(Message::Checked { message: reporter.told(message) })));
        }
    };
    Ok(done.map(|()| None))
}

/// Tables that a driver may tell of; what lies beyond is left out, with a warning.
const MAX_FOUND: usize = 10_000;

/// How large a message of tables grows, in bytes; the host hears no line beyond 4 MiB.
const TABLES_BYTES: usize = 1 << 20;

/// Tells the host of the tables in messages that it hears whole, and gives the last one.
///
/// # Errors
/// `data`, when one table is too large for a message.
fn told(tables: Vec<FoundTable>, reporter: &Reporter) -> Result<Message, Error> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    for table in tables {
        let size = serde_json::to_vec(&table).map_or(usize::MAX, |json| json.len());
        if size > 3 * TABLES_BYTES {
            let message = format!("table `{}` has {} columns, too many to be told", table.name, table.columns.len());
            return Err(crate::contract::error(ErrorKind::Data, message));
        }
        if bytes + size > TABLES_BYTES && !some.is_empty() {
            reporter.send(&Message::Discovered { tables: std::mem::take(&mut some) });
            bytes = 0;
        }
        bytes += size;
        some.push(table);
    }
    Ok(Message::Discovered { tables: some })
}

fn catalog(tables: Vec<CatalogTable>, reporter: &Reporter) -> Vec<FoundTable> {
    if tables.len() > MAX_FOUND {
        let fields =
            [("shown", MAX_FOUND), ("tables", tables.len())].map(|(name, count)| (name.to_owned(), count.to_string()));
        reporter.log("warn", "there are more tables than are shown".to_owned(), fields.into());
    }
    let cut = |text| reporter.told(text);
    let column = |column: crate::contract::CatalogColumn| FoundColumn {
        name: cut(column.name),
        source_type: cut(column.source_type),
        duckdb_type: cut(column.duckdb_type),
        nullable: column.nullable,
    };
    let mut found: Vec<FoundTable> = tables
        .into_iter()
        .take(MAX_FOUND)
        .map(|table| FoundTable {
            schema: table.schema.map(cut),
            name: cut(table.name),
            columns: table.columns.into_iter().map(column).collect(),
            primary_key: table.primary_key.into_iter().map(cut).collect(),
            estimated_rows: table.estimated_rows,
        })
        .collect();
    found.sort();
    found
}

fn run(kind: Kind, instance: &Instance, store: &mut Store<State>) -> wasmtime::Result<Result<(), Error>> {
    let inputs: Vec<Resource<Input>> = if kind.has_inputs() { store.data_mut().input_handles()? } else { Vec::new() };
    let output: Option<Resource<Output>> =
        if kind.makes_tables() { Some(store.data_mut().output_handle()?) } else { None };
    match (kind.has_inputs(), output) {
        (true, Some(output)) => invoke(instance, store, kind.export(), (inputs, output)),
        (true, None) => invoke(instance, store, kind.export(), (inputs,)),
        (false, Some(output)) => invoke(instance, store, kind.export(), (output,)),
        (false, None) => invoke(instance, store, kind.export(), ()),
    }
}

fn invoke<P: ComponentNamedList + Lower, R: Lift + ComponentType + 'static>(
    instance: &Instance,
    store: &mut Store<State>,
    export: &str,
    arguments: P,
) -> wasmtime::Result<Result<R, Error>> {
    let function = instance.get_typed_func::<P, (Result<R, Error>,)>(&mut *store, export)?;
    Ok(function.call(&mut *store, arguments)?.0)
}

/// An error that the driver returned: its kind says whose it is to cure.
fn returned(error: Error, reporter: &Reporter) -> Failure {
    let blame = match &error.kind {
        ErrorKind::Config | ErrorKind::Auth | ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Data => Blame::User,
        ErrorKind::Other(other) if other == "memory" || other == "disk" => Blame::User,
        ErrorKind::Transient | ErrorKind::RateLimited => Blame::Remote,
        ErrorKind::Other(other) if other == "timeout" => Blame::Remote,
        _ => Blame::Driver,
    };
    let hint = match &error.kind {
        ErrorKind::Other(other) if other == "memory" => {
            Some(format!("give the step's database more memory with `{}`", Limits::ENGINE_MEMORY.usage()))
        }
        ErrorKind::Other(other) if other == "disk" => {
            Some(format!("give the step more with `{}`", Limits::SPILL.usage()))
        }
        ErrorKind::Denied => Some("see what the step was granted with `osiris plan`".to_owned()),
        _ => None,
    };
    Failure { blame, kind: reporter.told(kind_name(&error.kind)), message: reporter.told(error.message), hint }
}

/// A trap: the driver broke off, or was broken off by a limit.
fn trapped(job: &Job, error: &wasmtime::Error, reporter: &Reporter) -> Failure {
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        reporter.log("error", format!("{backtrace}"), [("driver".to_owned(), job.driver.clone())].into());
    }
    let root = error.root_cause().to_string();
    let (kind, reason) = if let Some(exit) = error.downcast_ref::<I32Exit>() {
        ("exit", format!("called exit({})", exit.0))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        ("trap", format!("trapped: {trap}"))
    } else if root.contains("forcing trap when growing") {
        let limit = job.limits.guest_memory_bytes >> 20;
        ("memory", format!("asked for more than its {limit} MiB of memory"))
    } else {
        ("trap", format!("was stopped: {root}"))
    };
    Failure {
        blame: Blame::Driver,
        kind: kind.to_owned(),
        message: format!("driver `{}` {reason}", job.driver),
        hint: Some("the session's events.jsonl has the driver's own log and backtrace".to_owned()),
    }
}
