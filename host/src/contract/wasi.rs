//! An inert WASI for the standard libraries of languages: no environment, no folders, no input.
//!
//! Clocks and random numbers work; printed text goes to the step's log. CPython also imports sockets: they are linked,
//! and every call that would make or use one is refused.

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::sync as blocking;
use wasmtime_wasi::p2::bindings::{cli, filesystem, random, sockets};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiView as _};

use super::State;
use super::faults::FastClock;
use crate::channel::printed::{Printed, Stream};

/// How many bytes a guest may print at once.
const MAX_WRITE: usize = 64 << 10;

/// Links the interfaces that `std` and CPython import on their own.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_sync(linker)?;
    let l = linker;
    random::insecure::add_to_linker::<State, WasiRandom>(l, |state| state.ctx().ctx.random())?;
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

/// A guest's WASI: no environment, no arguments, no folders, no input, no network; `clock` replaces the usual clock.
pub fn context(printed: &Printed, clock: Option<FastClock>) -> WasiCtx {
    let mut context = WasiCtx::builder();
    if let Some(clock) = clock {
        context.monotonic_clock(clock);
    }
    let stream = |stream| PrintStream { printed: printed.clone(), stream };
    context.stdout(stream(Stream::Stdout)).stderr(stream(Stream::Stderr));
    context.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    context.socket_addr_check(|_, _| Box::pin(async { false }));
    context.build()
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
