//! Disturbs a driver's calls, for the conformance kit: an error, a denial, an early end of a stream, a wait.
//!
//! Calls are wrapped where they are linked, and only in a step that the kit runs. Every other step is linked without the
//! wrappers, so they cost nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource};

use wasmtime_wasi::clocks::{HostMonotonicClock, WasiClocksView as _};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;

use super::bindings::osiris::driver as interfaces;
use super::files::{Source, Target};
use super::tables::{Call, Output, Types};
use super::tcp::Connection;
use super::{Answer, Error, ErrorKind, State, coded, error};
use crate::driver::spec::interface;
use crate::engine::TemporaryFile;
use crate::protocol::disturbance::{Disturbance, Effect, Fault, FaultKind};

/// The number of calls that are listed; later ones are only counted.
const MAX_LISTED: usize = 20_000;

/// WASI's clock, as wasmtime links it.
const CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// How much faster a fast clock is.
const SPEED: u64 = 10;

/// The message of an injected error.
const MESSAGE: &str = "this call was made to fail by the conformance kit";

/// The calls of a step's driver that can fail, and the one that is disturbed. All instances share it.
#[derive(Debug)]
pub struct Faults {
    fault: Option<Fault>,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    count: u64,
    /// The function that is disturbed from now on.
    disturbed: Option<String>,
    listed: Vec<String>,
}

impl Faults {
    /// The faults of an attempt, if the kit runs the step.
    pub fn of(disturbance: &Disturbance, attempt: u32) -> Option<Arc<Self>> {
        let fault = disturbance.fault.filter(|_| attempt == 1);
        disturbance.counts_calls().then(|| Arc::new(Self { fault, calls: Mutex::default() }))
    }

    /// Counts a call, and waits if it is to be slow; returns what else is to happen to it.
    pub fn meet(&self, name: &str) -> Option<Effect> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.count += 1;
        if calls.listed.len() < MAX_LISTED {
            calls.listed.push(name.to_owned());
        }
        let begins = self.fault.filter(|fault| fault.call == calls.count);
        if begins.is_some_and(|fault| fault.lasts) {
            calls.disturbed = Some(name.to_owned());
        }
        let lasts = calls.disturbed.as_deref() == Some(name);
        drop(calls);
        let effect = self.fault.filter(|_| begins.is_some() || lasts).map(|fault| fault.effect);
        if let Some(Effect::Slow(milliseconds)) = effect {
            std::thread::sleep(Duration::from_millis(milliseconds.into()));
            return None;
        }
        effect
    }

    /// Whether time is fast for the driver: where a call fails, it may wait long before it tries again.
    fn has_fast_clock(&self) -> bool {
        self.fault.is_some_and(|fault| !matches!(fault.effect, Effect::Slow(_)))
    }

    /// The clock that the driver has instead of the usual one.
    pub fn clock(&self) -> Option<FastClock> {
        self.has_fast_clock().then(|| FastClock(Instant::now()))
    }

    /// The names of the calls so far, in order.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner).listed)
    }
}

/// A clock that runs faster than time.
pub struct FastClock(Instant);

impl HostMonotonicClock for FastClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_mul(SPEED)
    }
}

/// Links the waits of WASI's clock again, so that they are as short as a fast clock says.
fn link_clock(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut clock = linker.instance(CLOCK)?;
    clock.func_wrap("subscribe-duration", |mut store: Call<'_>, (duration,): (u64,)| {
        Ok((store.data_mut().wait(duration)?,))
    })?;
    clock.func_wrap("subscribe-instant", |mut store: Call<'_>, (when,): (u64,)| {
        let now = store.data_mut().clocks().now()?;
        Ok((store.data_mut().wait(when.saturating_sub(now))?,))
    })
}

impl State {
    fn wait(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let speed = if self.faults.as_ref().is_some_and(|faults| faults.has_fast_clock()) { SPEED } else { 1 };
        self.clocks().subscribe_duration(nanoseconds / speed)
    }
}

/// The error of a call that is made to fail.
fn injected(kind: FaultKind) -> Error {
    let kind = match kind {
        FaultKind::Auth => ErrorKind::Auth,
        FaultKind::Denied => ErrorKind::Denied,
        FaultKind::NotFound => ErrorKind::NotFound,
        FaultKind::RateLimited => ErrorKind::RateLimited,
        FaultKind::Transient => ErrorKind::Transient,
        FaultKind::Timeout => ErrorKind::Timeout,
        FaultKind::Data => ErrorKind::Data,
        FaultKind::Limit => return coded(ErrorKind::Limit, "disk", MESSAGE),
        FaultKind::Internal => ErrorKind::Internal,
    };
    error(kind, MESSAGE)
}

/// Links the functions of one interface that can fail.
pub struct Fallible<'a, 'b> {
    instance: &'a mut LinkerInstance<'b, State>,
    interface: &'static str,
    is_disturbed: bool,
}

impl<'a, 'b> Fallible<'a, 'b> {
    pub fn new(instance: &'a mut LinkerInstance<'b, State>, interface: &'static str, is_disturbed: bool) -> Self {
        Self { instance, interface, is_disturbed }
    }

    /// Links a function.
    pub fn call<P, R>(
        &mut self,
        name: &'static str,
        function: impl Fn(Call<'_>, P) -> Answer<R> + Send + Sync + 'static,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentType + Lower + Send + Sync + 'static,
    {
        self.link(name, None, function)
    }

    /// Links a function that reads a stream, whose end is `end`.
    pub fn stream<P, R>(
        &mut self,
        name: &'static str,
        end: fn() -> R,
        function: impl Fn(Call<'_>, P) -> Answer<R> + Send + Sync + 'static,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentType + Lower + Send + Sync + 'static,
    {
        self.link(name, Some(end), function)
    }

    fn link<P, R>(
        &mut self,
        name: &'static str,
        end: Option<fn() -> R>,
        function: impl Fn(Call<'_>, P) -> Answer<R> + Send + Sync + 'static,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentType + Lower + Send + Sync + 'static,
    {
        if !self.is_disturbed {
            return self.instance.func_wrap(name, move |store, parameters| Ok((function(store, parameters)?,)));
        }
        let label = label(self.interface, name, end.is_some());
        self.instance.func_wrap(name, move |store: Call<'_>, parameters| {
            let effect = store.data().faults.as_ref().and_then(|faults| faults.meet(&label));
            Ok((match (effect, end) {
                (Some(Effect::Error(kind)), _) => Err(injected(kind)),
                (Some(Effect::EndOfStream), Some(end)) => Ok(end()),
                _ => function(store, parameters)?,
            },))
        })
    }
}

/// The name of a call: the interface, the resource and the function. A `*` marks one that reads a stream.
fn label(interface: &str, name: &str, is_stream: bool) -> String {
    let star = if is_stream { "*" } else { "" };
    format!("{interface}/{}{star}", name.trim_start_matches("[method]"))
}

/// Links the interfaces of generated bindings again, in front of the ones without faults. `tables` links itself through
/// [`Fallible`], and `wasi:http` asks [`Faults`] when a request is sent.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    link_clock(linker)?;
    link_sql(linker)?;
    link_files(linker)?;
    link_tcp(linker)?;
    link_databases(linker)?;
    let mut context = linker.instance(&interface("context"))?;
    Fallible::new(&mut context, "context", true).call("reject", |mut store, (row, reason): (String, String)| {
        interfaces::context::Host::reject(&mut store.data_mut().context, row, reason)
    })?;
    let mut state = linker.instance(&interface("state"))?;
    Fallible::new(&mut state, "state", true)
        .call("set", |mut store, (json,): (String,)| interfaces::state::Host::set(&mut store.data_mut().kept, json))
}

fn link_sql(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use interfaces::sql::Host;
    let mut instance = linker.instance(&interface("sql"))?;
    let mut sql = Fallible::new(&mut instance, "sql", true);
    sql.call("create-table", |mut store, (output, name, select): (Resource<Output>, String, String)| {
        store.data_mut().tables().create_table(output, name, select)
    })?;
    sql.call("query", |mut store, (select, types): (String, Types)| store.data_mut().tables().query(select, types))?;
    sql.call("query-json", |mut store, (select,): (String,)| store.data_mut().tables().query_json(select))
}

fn link_files(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use interfaces::files::{Format, Host, HostSource, HostTarget, HostTemporary};
    let mut instance = linker.instance(&interface("files"))?;
    let mut files = Fallible::new(&mut instance, "files", true);
    files.call("list", |mut store, (path,): (String,)| store.data_mut().files().list(path))?;
    files.call("open", |mut store, (path,): (String,)| store.data_mut().files().open(path))?;
    files.call("create", |mut store, (path,): (String,)| store.data_mut().files().create(path))?;
    files.call("create-temporary", |mut store, (): ()| store.data_mut().files().create_temporary())?;
    files.call("[method]temporary.write", |mut store, (temporary, bytes): (Resource<TemporaryFile>, Vec<u8>)| {
        HostTemporary::write(&mut store.data_mut().files(), temporary, bytes)
    })?;
    files.stream(
        "[method]source.read",
        Vec::new,
        |mut store, (source, offset, length): (Resource<Source>, u64, u32)| {
            HostSource::read(&mut store.data_mut().files(), source, offset, length)
        },
    )?;
    files.call("[method]source.digest", |mut store, (source,): (Resource<Source>,)| {
        HostSource::digest(&mut store.data_mut().files(), source)
    })?;
    files.call(
        "[method]target.copy",
        |mut store, (target, select, format, options): (Resource<Target>, String, Format, Vec<(String, String)>)| {
            store.data_mut().files().copy(target, select, format, options)
        },
    )?;
    files.call("[method]target.write", |mut store, (target, bytes): (Resource<Target>, Vec<u8>)| {
        HostTarget::write(&mut store.data_mut().files(), target, bytes)
    })
}

fn link_databases(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use interfaces::databases::{Delivery, Host, Obsolete};
    let mut instance = linker.instance(&interface("databases"))?;
    let mut databases = Fallible::new(&mut instance, "databases", true);
    databases.call("tables", |mut store, (path,): (String,)| Host::tables(&mut store.data_mut().databases, path))?;
    databases.call("open", |mut store, (path,): (String,)| Host::open(&mut store.data_mut().databases, path))?;
    databases.call("deliver", |mut store, (path, delivery): (String, Delivery)| {
        Host::deliver(&mut store.data_mut().databases, path, delivery)
    })?;
    databases.call("supersede", |mut store, (path, delivery, obsolete): (String, Delivery, Obsolete)| {
        Host::supersede(&mut store.data_mut().databases, path, delivery, obsolete)
    })
}

fn link_tcp(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use interfaces::tcp::{Host, HostConnection, TlsOptions};
    let mut instance = linker.instance(&interface("tcp"))?;
    let mut tcp = Fallible::new(&mut instance, "tcp", true);
    tcp.call("connect", |mut store, (host, port, timeout): (String, u16, u32)| {
        store.data_mut().streams().connect(host, port, timeout)
    })?;
    tcp.stream("[method]connection.read", Vec::new, |mut store, (connection, length): (Resource<Connection>, u32)| {
        store.data_mut().streams().read(connection, length)
    })?;
    tcp.call("[method]connection.write", |mut store, (connection, bytes): (Resource<Connection>, Vec<u8>)| {
        store.data_mut().streams().write(connection, bytes)
    })?;
    tcp.call("[method]connection.start-tls", |mut store, (connection, options): (Resource<Connection>, TlsOptions)| {
        store.data_mut().streams().start_tls(connection, options)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The functions of the contract that return a `result`, as they are linked. Exports and facts have no part in this.
    fn fallible_functions(wit: &str) -> Vec<String> {
        let (mut interface, mut resource, mut found) = (String::new(), None, Vec::new());
        for line in wit.lines() {
            let words = line.trim();
            if let Some(name) = words.strip_prefix("interface ") {
                interface = name.trim_end_matches(" {").to_owned();
            } else if let Some(name) = words.strip_prefix("resource ") {
                resource = Some(name.trim_end_matches(" {").to_owned());
            } else if line == "    }" {
                resource = None;
            } else if let Some((name, signature)) = words.split_once(": func(")
                && signature.contains("-> result<")
                && ["context", "tables", "sql", "files", "tcp", "state", "databases"].contains(&interface.as_str())
            {
                let name = name.trim_start_matches('%');
                found.push(resource.as_ref().map_or(name.to_owned(), |of| format!("[method]{of}.{name}")));
            }
        }
        found
    }

    #[test]
    fn every_function_that_can_fail_can_be_made_to_fail() {
        let wit = include_str!("../../../wit/driver.wit");
        let own = include_str!("faults.rs").split("#[cfg(test)]").next().unwrap();
        let linked = [own, include_str!("tables.rs"), include_str!("json_tables.rs")].concat();
        let functions = fallible_functions(wit);
        assert!(functions.len() > 25 && functions.contains(&"[method]source.read".to_owned()), "{functions:?}");
        let missing: Vec<_> = functions.iter().filter(|name| !linked.contains(&format!("\"{name}\""))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn only_the_chosen_call_of_the_first_attempt_is_disturbed() {
        let effect = Effect::Error(FaultKind::Denied);
        let met = |attempt, lasts| {
            let fault = Some(Fault { call: 2, lasts, effect });
            let disturbance = Disturbance { fault, ..Disturbance::default() };
            let faults = Faults::of(&disturbance, attempt).unwrap();
            let met = ["a", "b", "c", "b"].map(|name| faults.meet(name));
            assert_eq!(faults.take_calls(), ["a", "b", "c", "b"]);
            met
        };
        assert_eq!(met(1, false), [None, Some(effect), None, None]);
        assert_eq!(met(1, true), [None, Some(effect), None, Some(effect)]);
        assert_eq!(met(2, true), [None; 4]);
        assert!(Faults::of(&Disturbance::default(), 1).is_none(), "nothing is counted in a usual run");
    }
}
