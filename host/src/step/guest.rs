//! Instantiates the driver and calls its one export; turns the outcome into a tally or a failure.

use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use wasmtime::component::{ComponentNamedList, ComponentType, Instance, InstancePre, Lift, Lower, Resource};
use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::host_fault;
use super::watch::Overrun;
use crate::channel::printed::Printed;
use crate::channel::reporter::Reporter;
use crate::contract::rejects::{Ended, Rejects};
use crate::contract::shared::{OutOfMemory, Shared};
use crate::contract::tables::{Input, Output};
use crate::contract::{CatalogTable, DriverCall, Error, ErrorKind, State, Tally, error_name, linker};
use crate::driver::discovery::{FoundColumn, FoundTable};
use crate::driver::spec::{self, Kind, interface};
use crate::engine::Trouble;
use crate::error::{Blame, Failure, Retry};
use crate::grants::limits::Limits;
use crate::protocol::{Call, LogLevel, Message, REJECTED};
use crate::untrusted::Untrusted;

/// The most that one call may move from guest to host, in bytes: a batch of 64 MiB with room to spare.
const HOSTCALL_BYTES: usize = 160 << 20;

/// The stack of each instance if there are several, in bytes. Deeply nested data makes DuckDB and this program recurse;
/// an overflow ends the step.
pub(super) const INSTANCE_STACK: usize = 32 << 20;

/// Calls the driver and returns what the host counted meanwhile.
pub fn call(call: &DriverCall<'_>) -> Result<Tally, Failure> {
    let rejects = Rejects::new(call.engine, call.job.rejects).map_err(|error| returned(call, error))?;
    let shared = Shared::of(call.job, call.reporter, rejects);
    let outcome = call_instances(call, &shared);
    if let Some(faults) = shared.faults.as_ref().filter(|_| call.job.disturbance.observes) {
        let guest_memory_bytes = shared.memory.peak();
        call.reporter.send(&Message::Observed { calls: faults.take_calls(), guest_memory_bytes });
    }
    let tally = outcome?;
    let rejected = shared.rejects.finish().map_err(|error| returned(call, error))?;
    Ok(Tally { rejected, ..tally })
}

fn call_instances(call: &DriverCall<'_>, shared: &Shared) -> Result<Tally, Failure> {
    let instance = |index| call_instance(call, shared, index);
    if call.job.instances <= 1 {
        return instance(0);
    }
    side_by_side(call.job.instances, &instance, &|| {
        call.component.engine().increment_epoch();
        call.engine.interrupter().interrupt();
    })
}

/// The failure of a step that rejected a row which it may not, or which could not be stored.
fn unrejected(call: &DriverCall<'_>, ended: Ended) -> Failure {
    match ended {
        Ended::Lost(error) => returned(call, error),
        Ended::TooMany(message) => Failure::new(Blame::User, "data", message).hint(format!(
            "correct such rows where they come from, or allow some with `rejects: 100` beside the step's `config`: they are \
             stored in its table `{REJECTED}`"
        )),
    }
}

/// Runs each instance on a thread. At the first failure `stop` ends the others, whose work is no longer needed. That
/// failure is the step's, since the other failures may be a result of being stopped.
fn side_by_side(
    count: u32,
    instance: &(dyn Fn(u32) -> Result<Tally, Failure> + Sync),
    stop: &(dyn Fn() + Sync),
) -> Result<Tally, Failure> {
    let first = Mutex::new(None);
    let fail = |failure: Failure| {
        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        stop();
    };
    let run = |index| instance(index).map_err(fail).ok();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let run = &run;
        let begin = |index: u32| {
            let thread = std::thread::Builder::new().name(format!("instance-{index}")).stack_size(INSTANCE_STACK);
            thread.spawn_scoped(scope, move || run(index))
        };
        let started: Vec<_> = (0..count).map(begin).collect();
        let ended = started.into_iter().filter_map(|started| match started.map(ScopedJoinHandle::join) {
            Ok(Ok(tally)) => tally,
            Ok(Err(_)) => {
                fail(host_fault(anyhow::anyhow!("the thread of an instance of the driver panicked")));
                None
            }
            Err(error) => {
                fail(host_fault(anyhow::anyhow!(error).context("cannot start an instance of the driver")));
                None
            }
        });
        ended.collect()
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(tallies.into_iter().fold(Tally::default(), |mut whole, tally| {
            whole.add(tally);
            whole
        })),
    }
}

fn call_instance(call: &DriverCall<'_>, shared: &Shared, index: u32) -> Result<Tally, Failure> {
    let linked = linker(call.component.engine(), shared.faults.is_some())
        .and_then(|linker| linker.instantiate_pre(call.component));
    let linked = linked.map_err(|error| unlinked(call, &error))?;
    let printed = Printed::new(call.reporter);
    let state = State::new(call, shared, index, &printed).map_err(host_fault)?;
    let mut store = Store::new(call.component.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    let outcome = call_export(call, &linked, &mut store);
    let last_lines = printed.end();
    if let Some(ended) = shared.rejects.ended() {
        return Err(unrejected(call, ended));
    }
    match outcome {
        Ok(Ok(said)) => Ok(Tally { said, ..store.data_mut().tally() }),
        Ok(Err(error)) => Err(returned(call, error)),
        Err(trap) => Err(trapped(call, &trap, &last_lines)),
    }
}

/// The result of a call: the driver's message if the export was not the one of its kind, or its error.
type Answer = wasmtime::Result<Result<Option<Message>, Error>>;

fn call_export(call: &DriverCall<'_>, linked: &InstancePre<State>, store: &mut Store<State>) -> Answer {
    let &DriverCall { job, reporter, .. } = call;
    let instance = linked.instantiate(&mut *store)?;
    match job.call {
        Call::Run => Ok(run(job.kind, &instance, store)?.map(|()| None)),
        Call::Discover => {
            let found: Result<Vec<CatalogTable>, Error> = invoke(&instance, store, "discover", ())?;
            Ok(found.and_then(|tables| told(catalog(tables, reporter), reporter).map(Some)))
        }
        Call::Check => {
            let said: Result<String, Error> = invoke(&instance, store, "check", ())?;
            Ok(said.map(|message| Some(Message::Checked { message: reporter.told(message) })))
        }
    }
}

/// The number of tables that a driver may report; the rest are omitted with a warning.
const MAX_FOUND: usize = 10_000;

/// The largest message of tables, in bytes. The host drops lines beyond its own limit.
const TABLES_BYTES: usize = 1 << 20;

/// Reports the tables to the host in messages that fit into one line each, and returns the last one.
///
/// # Errors
/// `data`, if one table is too large for a message.
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
        reporter.log(LogLevel::Warn, "there are more tables than are shown".to_owned(), fields.into());
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
    let inputs: Vec<Resource<Input>> =
        if kind.has_inputs() { store.data_mut().tables().input_handles()? } else { Vec::new() };
    let output: Option<Resource<Output>> =
        if kind.makes_tables() { Some(store.data_mut().tables().output_handle()?) } else { None };
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
    let missing = || wasmtime::Error::msg(format!("the driver does not export `{}`", interface(export)));
    let exported = instance.get_export_index(&mut *store, None, &interface(export)).ok_or_else(missing)?;
    let run = instance.get_export_index(&mut *store, Some(&exported), "run").ok_or_else(missing)?;
    let function = instance.get_typed_func::<P, (Result<R, Error>,)>(&mut *store, run)?;
    Ok(function.call(&mut *store, arguments)?.0)
}

/// The failure for an error that the driver returned: its kind says who can fix it, as far as the host saw the same.
fn returned(call: &DriverCall<'_>, error: Error) -> Failure {
    let &DriverCall { job, reporter, .. } = call;
    let status = call.engine.status();
    let kind = reporter.told(error_name(&error));
    let retry = retry(&error);
    let message = reporter.told(error.message);
    if status.has_seen(Trouble::DiskFull) {
        return Failure::disk_full(message);
    }
    if status.has_seen(Trouble::TooLarge) {
        return Overrun::Output.failure(job, status.ran_authors());
    }
    let networked = !job.network.is_empty();
    let (blame, hint) = match error.kind {
        ErrorKind::Data if status.has_seen(Trouble::Malformed) => (Blame::Driver, None),
        ErrorKind::Config | ErrorKind::NotFound | ErrorKind::Data => (Blame::User, None),
        ErrorKind::Denied => {
            let there = if networked { "; what the other side refused is to be granted there" } else { "" };
            (Blame::User, Some(format!("see what the step was granted with `osiris plan`{there}")))
        }
        ErrorKind::Auth if networked => (Blame::User, None),
        ErrorKind::Transient | ErrorKind::RateLimited | ErrorKind::Timeout if networked => (Blame::Remote, None),
        ErrorKind::Limit => match error.code.as_deref() {
            Some("memory") if status.has_seen(Trouble::Memory) => {
                let flag = Limits::ENGINE_MEMORY.usage();
                (Blame::User, Some(format!("give the step's database more memory with `{flag}`")))
            }
            Some("disk") if status.has_seen(Trouble::Spill) => {
                (Blame::User, Some(format!("give the step more with `{}`", Limits::SPILL.usage())))
            }
            _ => (Blame::Driver, None),
        },
        _ => (Blame::Driver, None),
    };
    Failure { hint: hint.map(Untrusted::from), retry, ..Failure::new(blame, kind, message) }
}

/// Whether an error may be temporary, by its kind.
fn retry(error: &Error) -> Option<Retry> {
    let is_temporary = matches!(error.kind, ErrorKind::Transient | ErrorKind::RateLimited | ErrorKind::Timeout);
    is_temporary.then(|| Retry { after_ms: error.retry_after_ms.map(u64::from) })
}

/// The failure for a driver that imports what this host does not have, or has with another type. The chain of causes
/// begins with the import.
fn unlinked(call: &DriverCall<'_>, error: &wasmtime::Error) -> Failure {
    let message = format!("driver `{}` cannot run here: {error:#}", call.job.driver);
    Failure::new(Blame::Driver, "contract", message).hint(format!(
        "build it for what Osiris {} provides: osiris:driver@{}, and WASI 0.2 with wasi:http if it is granted HTTP",
        env!("CARGO_PKG_VERSION"),
        spec::CONTRACT
    ))
}

/// The failure for a trap: the driver aborted, or a limit ended it. Why it aborted is usually in what it printed last.
fn trapped(call: &DriverCall<'_>, error: &wasmtime::Error, last_lines: &[String]) -> Failure {
    let &DriverCall { job, reporter, .. } = call;
    let is_interrupted = call.engine.status().is_interrupted();
    // The place where the driver was stopped from outside is of no use. Otherwise it is for the log only: most of its
    // frames are the language's own runtime.
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>().filter(|_| !is_interrupted) {
        reporter.log(LogLevel::Debug, format!("{backtrace}"), [("driver".to_owned(), job.driver.clone())].into());
    }
    let mut hint = "the session's events.jsonl has the driver's own log and backtrace".to_owned();
    let (kind, reason) = if let Some(exit) = error.downcast_ref::<I32Exit>() {
        ("exit", format!("called exit({})", exit.0))
    } else if let Some(OutOfMemory(most)) = error.downcast_ref::<OutOfMemory>() {
        hint = format!("give it more with `{}`, if what it reads is that large", Limits::GUEST_MEMORY.usage());
        ("memory", format!("asked for more than its {} of memory", crate::size::spell(*most)))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        ("trap", format!("trapped: {trap}"))
    } else {
        ("trap", format!("was stopped: {}", error.root_cause()))
    };
    let failure = Failure::new(Blame::Driver, kind, format!("driver `{}` {reason}", job.driver)).hint(hint);
    let printed = Some(last_lines.join("\n")).filter(|printed| !printed.trim().is_empty() && !is_interrupted);
    Failure { printed: printed.map(Untrusted::from), ..failure }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_first_failure_of_several_instances_is_the_steps_failure() {
        let (stopped, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let failure = |kind: &str| Failure::new(Blame::Driver, kind, "");
        let outcome = side_by_side(
            4,
            &|index| {
                // One of them traps by itself; the traps of the stopped ones follow.
                let wanted = if index == 3 { &failed } else { &stopped };
                failed.store(true, Ordering::SeqCst);
                while !wanted.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Err(failure(if index == 3 { "trap" } else { "stopped" }))
            },
            &|| stopped.store(true, Ordering::SeqCst),
        );
        assert_eq!(outcome.err().unwrap().kind.raw(), "trap");
    }

    #[test]
    fn the_work_of_all_instances_is_added_up() {
        let one = |index| Ok(Tally { rows_out: u64::from(index), ..Tally::default() });
        assert_eq!(side_by_side(4, &one, &|| panic!("nothing failed")).unwrap().rows_out, 6);
    }
}
