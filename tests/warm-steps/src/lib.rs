//! Osiris with step processes that are forked from one that has already loaded DuckDB and the WebAssembly runtime.
//!
//! A small step spends nine tenths of its time on its process: linking DuckDB and filling its catalogue. Forked from a
//! warm process, it is still a separate process, confined in the same way, and takes a few milliseconds.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::ExitCode;

use anyhow::Context;
use osiris::step::Runtimes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

/// The whole program, as main.rs calls it.
#[expect(unsafe_code, reason = "the program finds it by its name")]
#[unsafe(no_mangle)]
pub fn warm_steps_main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("run")
        && let Err(error) = start()
    {
        eprintln!("warm-steps: {error:#}");
        return ExitCode::FAILURE;
    }
    osiris::cli::main()
}

/// Starts the warm process, which ends with this one.
fn start() -> anyhow::Result<()> {
    let address = SocketAddr::from_abstract_name(format!("osiris-warm-steps-{}", std::process::id()))?;
    let listener = UnixListener::bind_addr(&address).context("cannot listen for steps")?;
    if fork()?.is_none() {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let failed = serve(&listener);
        eprintln!("warm-steps: {failed:?}");
        std::process::exit(1);
    }
    Ok(())
}

/// The child's process ID, or `None` in the child.
#[expect(unsafe_code, reason = "forks, which has no safe wrapper")]
fn fork() -> anyhow::Result<Option<Pid>> {
    // SAFETY: the process has one thread: the program has just started, or it is the warm process, whose DuckDB has one
    // thread.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()).context("cannot fork"),
        child => Ok(Pid::from_raw(child)),
    }
}

/// A step, and the relay process that the host knows.
struct Running {
    step: Pid,
    ended: OwnedFd,
    relay: UnixStream,
}

/// Forks a step for each relay that connects, and sends the relay the step's exit code.
fn serve(listener: &UnixListener) -> anyhow::Result<()> {
    let runtimes = Runtimes::load()?;
    let mut running: Vec<Running> = Vec::new();
    loop {
        let mut polled = vec![PollFd::new(listener, PollFlags::IN)];
        for step in &running {
            polled.push(PollFd::new(&step.ended, PollFlags::IN));
            polled.push(PollFd::new(&step.relay, PollFlags::RDHUP));
        }
        poll(&mut polled, None)?;
        let events: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        let mut events = events.into_iter();
        let connected = events.next().is_some_and(|event| !event.is_empty());
        let mut left = Vec::new();
        for mut step in running {
            let (ended, gone) =
                (events.next().unwrap_or(PollFlags::empty()), events.next().unwrap_or(PollFlags::empty()));
            if !ended.is_empty() {
                let status = rustix::process::waitid(WaitId::Pid(step.step), WaitIdOptions::EXITED)?;
                let code = status.and_then(|status| status.exit_status()).and_then(|code| u8::try_from(code).ok());
                // A relay that was killed no longer reads.
                let _ = step.relay.write_all(&[code.unwrap_or(101)]);
                continue;
            }
            if !gone.is_empty() {
                let _ = rustix::process::kill_process(step.step, Signal::KILL);
            }
            left.push(step);
        }
        running = left;
        if connected {
            let (relay, _) = listener.accept()?;
            let files = receive(&relay)?;
            let Some(step) = fork()? else { run(runtimes, &files) };
            running.push(Running { step, ended: rustix::process::pidfd_open(step, PidfdFlags::empty())?, relay });
        }
    }
}

/// A relay's stdin, stdout and stderr.
fn receive(relay: &UnixStream) -> anyhow::Result<[OwnedFd; 3]> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(relay, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let files: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    files.try_into().map_err(|files: Vec<_>| anyhow::anyhow!("a relay sent {} files", files.len()))
}

/// The step, in its own process.
fn run(runtimes: Runtimes, [stdin, stdout, stderr]: &[OwnedFd; 3]) -> ! {
    let opened = rustix::stdio::dup2_stdin(stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(stdout))
        .and_then(|()| rustix::stdio::dup2_stderr(stderr));
    let code = opened.map_or(ExitCode::FAILURE, |()| osiris::step::main_with_runtimes(runtimes));
    std::process::exit(i32::from(code != ExitCode::SUCCESS))
}
