//! An inert WASI for the standard libraries of languages: no environment, no folders, no input.
//!
//! Clocks and random numbers work, and it is noted that a guest uses them: its step may give something else in the next run.
//! The seed for the language's hash tables stays the same from run to run. Printed text goes to the step's log. CPython also imports sockets: they are linked,
//! and every call that would make or use one is refused.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, MonotonicClock, WallClock};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::sync as blocking;
use wasmtime_wasi::p2::bindings::{cli, filesystem, random, sockets};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiView as _};

use super::State;
use super::faults::FastClock;
use crate::channel::printed::{Printed, Stream};
use crate::engine::{Status, Varying};

/// How many bytes a guest may print at once.
const MAX_WRITE: usize = 64 << 10;

/// Links the interfaces that `std` and CPython import on their own.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_sync(linker)?;
    let l = linker;
    l.allow_shadowing(true);
    random::random::add_to_linker::<State, WasiRandom>(l, random_numbers)?;
    l.allow_shadowing(false);
    random::insecure::add_to_linker::<State, WasiRandom>(l, random_numbers)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    blocking::filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    sockets::network::add_to_linker::<State, WasiSockets>(
        l,
        &sockets::network::LinkOptions::default(),
        State::sockets,
    )?;
    sockets::ip_name_lookup::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    blocking::sockets::tcp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    blocking::sockets::udp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    blocking::sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(l, State::sockets)
}

/// The guest's random numbers, for a call that asks for some.
fn random_numbers(state: &mut State) -> &mut WasiRandomCtx {
    state.status.note_varying(Varying::Random);
    state.ctx().ctx.random()
}

/// A guest's WASI: no environment, no arguments, no folders, no input, no network; `clock` replaces the usual clock.
pub fn context(printed: &Printed, clock: Option<FastClock>, status: &Status, hash_seed: u64) -> WasiCtx {
    let mut context = WasiCtx::builder();
    context.insecure_random_seed(u128::from(hash_seed) << 64 | u128::from(hash_seed.rotate_left(32)));
    context.wall_clock(Noted { clock: WallClock::new(), status: status.clone() });
    match clock {
        Some(clock) => context.monotonic_clock(clock),
        None => context.monotonic_clock(Noted { clock: MonotonicClock::new(), status: status.clone() }),
    };
    let stream = |stream| PrintStream { printed: printed.clone(), stream };
    context.stdout(stream(Stream::Stdout)).stderr(stream(Stream::Stderr));
    context.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    context.socket_addr_check(|_, _| Box::pin(async { false }));
    context.build()
}

/// A clock that notes when it is read.
struct Noted<C> {
    clock: C,
    status: Status,
}

impl HostWallClock for Noted<WallClock> {
    fn resolution(&self) -> Duration {
        self.clock.resolution()
    }

    fn now(&self) -> Duration {
        self.status.note_varying(Varying::Clock);
        self.clock.now()
    }
}

impl HostMonotonicClock for Noted<MonotonicClock> {
    fn resolution(&self) -> u64 {
        self.clock.resolution()
    }

    fn now(&self) -> u64 {
        self.status.note_varying(Varying::Clock);
        self.clock.now()
    }
}

/// One of the streams that a guest prints to.
#[derive(Clone)]
struct PrintStream {
    printed: Printed,
    stream: Stream,
}

impl IsTerminal for PrintStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for PrintStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for PrintStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.printed.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for PrintStream {
    async fn ready(&mut self) {}
}
