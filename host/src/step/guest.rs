//! Instantiates the driver and calls its one export; turns what comes back into a tally or a failure.

use std::sync::Arc;

use anyhow::Context;
use wasmtime::component::{Component, ComponentNamedList, Lower, Resource};
use wasmtime::{Store, StoreLimitsBuilder, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::host_fault;
use super::reporter::Reporter;
use crate::contract::tables::{Input, Output};
use crate::contract::{Captured, Error, ErrorKind, State, Tally, kind_name, linker, wasi_context};
use crate::engine::Engine;
use crate::job::{Blame, Failure, Job, Kind};

/// What one call may move from guest to host, in bytes: a batch of 64 MiB with room to spare.
const HOSTCALL_BYTES: usize = 160 << 20;

/// Handles that a driver may hold at once, of all kinds together.
const MAX_HANDLES: usize = 10_000;

/// Calls the driver, and gives what the host counted meanwhile.
pub fn call(job: &Job, component: &Component, engine: &Arc<Engine>, reporter: &Reporter) -> Result<Tally, Failure> {
    let printed = Captured::default();
    let state = state(job, engine, reporter, &printed).map_err(host_fault)?;
    let mut store = Store::new(component.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    let outcome = call_export(job, component, &mut store);
    for line in printed.take().lines() {
        reporter.log("info", line.to_owned(), [("stream".to_owned(), "stdout".to_owned())].into());
    }
    match outcome {
        Ok(Ok(())) => Ok(std::mem::take(&mut store.data_mut().tally)),
        Ok(Err(error)) => Err(returned(error, reporter)),
        Err(trap) => Err(trapped(job, &trap, reporter)),
    }
}

fn state(job: &Job, engine: &Arc<Engine>, reporter: &Reporter, printed: &Captured) -> anyhow::Result<State> {
    let memory = usize::try_from(job.limits.guest_memory_bytes).unwrap_or(usize::MAX);
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
        config: serde_json::to_string(&job.config).context("cannot write the config as JSON")?,
        secrets: job.secrets.clone(),
        inputs,
        max_readers: job.limits.readers,
        read_files: job.read_files.clone(),
        write_files: job.write_files.clone(),
        tally: Tally::default(),
    })
}

type Returned = (Result<(), Error>,);

fn call_export(job: &Job, component: &Component, store: &mut Store<State>) -> wasmtime::Result<Result<(), Error>> {
    let instance = linker(component.engine())?.instantiate(&mut *store, component)?;
    match job.kind {
        Kind::Extractor => {
            let output: Resource<Output> = store.data_mut().output_handle()?;
            invoke(&instance, store, "extract", (output,))
        }
        Kind::Processor => {
            let inputs: Vec<Resource<Input>> = store.data_mut().input_handles()?;
            let output = store.data_mut().output_handle()?;
            invoke(&instance, store, "transform", (inputs, output))
        }
        Kind::Writer => {
            let inputs = store.data_mut().input_handles()?;
            invoke(&instance, store, "load", (inputs,))
        }
    }
}

fn invoke<P: ComponentNamedList + Lower>(
    instance: &wasmtime::component::Instance,
    store: &mut Store<State>,
    export: &str,
    arguments: P,
) -> wasmtime::Result<Result<(), Error>> {
    let function = instance.get_typed_func::<P, Returned>(&mut *store, export)?;
    Ok(function.call(&mut *store, arguments)?.0)
}

/// An error that the driver returned: its kind says whose it is to cure.
fn returned(error: Error, reporter: &Reporter) -> Failure {
    let blame = match &error.kind {
        ErrorKind::Config | ErrorKind::Auth | ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Data => Blame::User,
        ErrorKind::Other(other) if other == "memory" => Blame::User,
        _ => Blame::Driver,
    };
    let hint = match &error.kind {
        ErrorKind::Other(other) if other == "memory" => {
            Some("give the step's database more memory with `--engine-memory SIZE`".to_owned())
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
