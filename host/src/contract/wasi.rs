//! An inert WASI for the standard libraries of languages: no environment, no folders, no input.
//!
//! Clocks and random numbers work; printed text goes to the step's log. CPython also imports sockets: they are linked,
//! and every call that would make or use one is refused.

use std::sync::{Arc, Mutex, PoisonError};

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

/// How many bytes a guest may print before the rest is dropped.
const MAX_PRINTED: usize = 64 << 10;

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

/// A guest's WASI: no environment, no arguments, no folders, no input, no network.
pub fn context(printed: &PrintedText) -> WasiCtx {
    let mut context = WasiCtx::builder();
    context.stdout(printed.clone()).stderr(printed.clone());
    context.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    context.socket_addr_check(|_, _| Box::pin(async { false }));
    context.build()
}

/// The text that a guest printed, up to a bound.
#[derive(Clone, Default)]
pub struct PrintedText(Arc<Mutex<Vec<u8>>>);

impl PrintedText {
    /// Takes the text printed so far. A last line that was cut off is omitted, since the part of a secret in it could
    /// not be recognised.
    pub fn take(&self) -> String {
        let mut bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if bytes.len() == MAX_PRINTED {
            bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or_default());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl IsTerminal for PrintedText {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for PrintedText {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for PrintedText {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_PRINTED.saturating_sub(printed.len()).min(bytes.len());
        printed.extend_from_slice(&bytes[..room]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_PRINTED)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for PrintedText {
    async fn ready(&mut self) {}
}
