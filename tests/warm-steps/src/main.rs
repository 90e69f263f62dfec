//! The program: Osiris in a library, and a step process that passes its work to a warm one.
//!
//! The host starts its own executable for each step, and linking DuckDB takes longer than a small step. So this
//! executable does not link it: it loads the library for the host, and as a step process it only relays.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

fn main() -> anyhow::Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some("step") { relay() } else { host() }
}

/// Passes stdin, stdout and stderr to the warm process and ends with the step's exit code.
fn relay() -> anyhow::Result<ExitCode> {
    let address = SocketAddr::from_abstract_name(format!("osiris-warm-steps-{}", std::os::unix::process::parent_id()))?;
    let mut warm = UnixStream::connect_addr(&address).context("cannot reach the warm process")?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let files = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ensure!(ancillary.push(SendAncillaryMessage::ScmRights(&files)), "no room for three files");
    sendmsg(&warm, &[std::io::IoSlice::new(b"!")], &mut ancillary, SendFlags::empty())?;
    // The host waits for the end of the step's output, which only the step may hold open.
    rustix::stdio::dup2_stdout(&warm)?;
    let mut code = [1];
    warm.read_exact(&mut code).context("the warm process ended")?;
    Ok(ExitCode::from(code[0]))
}

#[expect(unsafe_code, reason = "loads a library and calls it")]
fn host() -> anyhow::Result<ExitCode> {
    let library = std::env::current_exe()?.with_file_name("libwarm_steps.so");
    let library = CString::new(library.as_os_str().as_bytes())?;
    // SAFETY: both names end in a zero byte; the library is built with this program and its initialisers are ordinary
    // ones.
    let entry = unsafe {
        let library = libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        if library.is_null() { library } else { libc::dlsym(library, c"warm_steps_main".as_ptr()) }
    };
    ensure!(!entry.is_null(), "cannot load {}", library.to_string_lossy());
    // SAFETY: `warm_steps_main` of lib.rs has this type, and the same compiler built both.
    let entry: fn() -> ExitCode = unsafe { std::mem::transmute(entry) };
    Ok(entry())
}
