//! Step processes as the host sees them: started early, given one job, read line by line, ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSYS, SIGTRAP};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use zeroize::Zeroizing;

use super::RunningAttempt;
use super::broker;
use super::disk::DiskAllowance;
use super::figures::Figures;
use super::supervisor::{Allowance, FiguresAllowance, MAX_THREADS, Overrun, Supervisor, Watch};
use crate::error::{Blame, Failure};
use crate::grants::limits::Limits;
use crate::protocol::{Job, Message, Reachable, SEEN};
use crate::sandbox::cgroup::{self, Group};
use crate::sandbox::own_process;

/// The longest line that is read, in bytes; a longer one is dropped, and the step's warnings say so.
const MAX_LINE: u64 = 16 << 20;

/// The space reserved for a job as JSON, in bytes.
const JOB_ROOM: usize = 256 << 10;

/// How much of a process's stderr is kept, in bytes.
const MAX_STDERR: usize = 16 << 10;

/// The number of messages of all processes together that may wait to be handled; senders block when the queue is full.
pub const BACKLOG: usize = 256;

/// How long a process may live after it has closed its stdout.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long after its own deadline a step process is ended from outside.
pub const GRACE: Duration = Duration::from_secs(5);

/// An event from a process, which its number identifies, or from the user.
#[derive(Debug)]
pub enum ProcessEvent {
    /// A message, and its length as a line.
    Message(u64, Message, u64),
    /// A line was too long to be read: a message was lost.
    TooLong(u64),
    /// Its stdout has ended, and so has the process.
    Closed(u64),
    /// What was done on a separate thread of the run has ended.
    Settled(u64),
    /// Another host has taken over the session.
    Superseded,
    /// The user asked to end the run.
    Signal,
}

/// A step process. Dropping it kills it.
#[derive(Debug)]
pub struct StepProcess {
    pub number: u64,
    child: Child,
    /// Refers to the process itself, even if its id is reused.
    handle: Arc<OwnedFd>,
    /// Its usage figures, until a supervisor watches it.
    figures: Option<Figures>,
    watch: Option<Watch>,
    /// The cgroup that limits it, if one is delegated.
    group: Option<Group>,
    /// The other end of its stdin, over which the job is sent, and later the answers to its requests.
    socket: Option<UnixStream>,
    /// Whether it was given a connection.
    connected: Arc<AtomicBool>,
    stderr: Arc<Mutex<Vec<u8>>>,
    lingered: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Ending {
    Process(ProcessEnding),
    /// It ended with its own word.
    Told,
    /// It was lost before it could tell.
    Lost(Failure),
}

impl Ending {
    /// Whether it ended by itself and reported success.
    pub fn is_peaceful(&self) -> bool {
        match self {
            Self::Process(ending) => ending.is_peaceful(),
            Self::Told => true,
            Self::Lost(_) => false,
        }
    }

    /// The failure of a step of `driver` whose attempt ended this way without a result.
    pub fn failure(self, driver: &str) -> Failure {
        match self {
            Self::Process(ending) => ending.failure(driver),
            Self::Told => Failure::new(Blame::Host, "killed", "the attempt ended without a result"),
            Self::Lost(failure) => failure,
        }
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct ProcessEnding {
    status: std::io::Result<ExitStatus>,
    /// Whether it was ended because it kept running after it had closed its stdout.
    lingered: bool,
    /// The limit that it exceeded and was ended for.
    overrun: Option<Overrun>,
    /// Its output on stderr.
    stderr: String,
}

impl ProcessEnding {
    /// Whether the process exited by itself and reported success.
    pub fn is_peaceful(&self) -> bool {
        !self.lingered && self.status.as_ref().is_ok_and(ExitStatus::success)
    }

    /// Whether the process was ended by a signal that it caused itself, such as that of an invalid memory access.
    fn is_crash(&self) -> bool {
        let signal = self.status.as_ref().ok().and_then(ExitStatusExt::signal);
        matches!(signal, Some(SIGABRT | SIGBUS | SIGFPE | SIGILL | SIGSEGV | SIGSYS | SIGTRAP))
    }

    /// The failure of a step of `driver` whose process ended this way without a result.
    pub fn failure(&self, driver: &str) -> Failure {
        if let Some(overrun) = self.overrun {
            return overrun.failure(driver);
        }
        let said = if self.stderr.is_empty() { String::new() } else { format!("; it said: {}", self.stderr) };
        let words = self.words();
        if self.is_crash() {
            let message = format!("the step process {words} while it worked for driver `{driver}`{said}");
            return Failure::new(Blame::Driver, "crash", message)
                .hint("data that is nested very deep is the usual reason; look at what the step reads");
        }
        Failure::new(Blame::Host, "killed", format!("the step process {words}{said}"))
    }

    /// How the process ended, as a phrase that follows its name.
    fn words(&self) -> String {
        if self.lingered {
            return "closed its output and did not end".to_owned();
        }
        match &self.status {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(SIGKILL), _) => "was killed (SIGKILL); the machine may be out of memory".to_owned(),
                (Some(signal), _) => format!("died of signal {signal}"),
                (None, Some(code)) => format!("ended with exit code {code} and no result"),
                (None, None) => "ended without a result".to_owned(),
            },
            Err(error) => format!("could not be waited for: {error}"),
        }
    }
}

impl StepProcess {
    /// Starts a process that warms up and then waits for its job. It has no environment and a process group of its own
    /// (so that Ctrl-C reaches only the host), and it dies with the calling thread.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(number: u64, heard: &SyncSender<ProcessEvent>) -> anyhow::Result<Self> {
        let (socket, stdin) = UnixStream::pair().context("cannot make a step process's stdin")?;
        let child = own_process("step")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(stdin)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a step process")?;
        // From here on, an error kills the process.
        let mut child = KillGuard(Some(child));
        let running = child.0.as_mut().context("a step process is gone")?;
        let handle = Arc::new(handle(running).context("cannot hold a step process")?);
        let figures = Figures::open(running.id()).context("cannot measure a step process")?;
        let stdout = running.stdout.take().context("a step process has no stdout")?;
        let errors = running.stderr.take().context("a step process has no stderr")?;
        (&socket).write_all(SEEN).context("a step process was gone at once")?;
        let (stderr, lingered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = |name: &str| std::thread::Builder::new().name(format!("{name}-{number}"));
        let kept = Arc::clone(&stderr);
        let keeper = thread("stderr").spawn(move || keep_stderr(errors, &kept)).context("cannot start a thread")?;
        let (heard, ended, stayed) = (heard.clone(), Arc::clone(&handle), Arc::clone(&lingered));
        let listening = move || {
            listen(number, stdout, &heard);
            stayed.store(!has_ended(&ended), Ordering::SeqCst);
            let _ = keeper.join();
            let _ = heard.send(ProcessEvent::Closed(number));
        };
        let listener = thread("stdout").spawn(listening).context("cannot start a thread")?;
        let child = child.0.take().context("a step process is gone")?;
        let (socket, listener) = (Some(socket), Some(listener));
        Ok(Self {
            number,
            child,
            handle,
            figures: Some(figures),
            watch: None,
            group: None,
            socket,
            connected: Arc::default(),
            stderr,
            lingered,
            listener,
        })
    }

    /// Sends the process its job and, if it was granted a network, serves its connections. From here on `supervisor`
    /// watches it.
    ///
    /// # Errors
    /// If the process already has its job.
    pub fn give(
        &mut self,
        job: &Job,
        reachable: Reachable,
        supervisor: &Supervisor,
        disk: DiskAllowance,
    ) -> anyhow::Result<()> {
        // Large enough for almost every job: a reallocation would leave a copy of the secrets behind.
        let mut line = Zeroizing::new(Vec::with_capacity(JOB_ROOM));
        serde_json::to_writer(&mut *line, job).context("cannot write the job as JSON")?;
        // JSON has line breaks only between its parts, where a recording's text may have some.
        line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        line.push(b'\n');
        let mut socket = self.socket.take().context("the step process has its job already")?;
        let figures = self.figures.take().context("the step process has its job already")?;
        let Limits { wall_seconds, cpu_seconds, .. } = job.limits;
        let resident_bytes = job.limits.resident_bytes();
        let allowance = Allowance {
            time: Duration::from_secs(wall_seconds),
            grace: GRACE,
            figures: Some(FiguresAllowance { figures, cpu: Duration::from_secs(cpu_seconds), resident_bytes }),
            disk: Some(disk),
        };
        self.watch = Some(supervisor.watch(self.number, Arc::clone(&self.handle), allowance));
        self.join_group(&job.limits);
        // The death of a process that was waiting is noticed when its stdout closes.
        if socket.write_all(&line).is_ok() && !job.network.is_empty() {
            self.connected = broker::serve(socket, reachable)?;
        }
        Ok(())
    }

    /// Moves the process into its own cgroup, if one is delegated. The other limits apply without it.
    fn join_group(&mut self, limits: &Limits) {
        let Ok(delegated) = cgroup::delegated() else { return };
        let group = delegated.group(&self.number.to_string(), limits.data_bytes(), MAX_THREADS);
        match group.and_then(|group| group.admit(self.child.id()).map(|()| group)) {
            Ok(group) => self.group = Some(group),
            Err(error) => tracing::warn!(%error, "a step has no cgroup of its own"),
        }
    }

    /// How the process ended. Call this once its stdout is closed; the wait is short.
    fn ended(mut self) -> ProcessEnding {
        let watched = self.watch.take().and_then(|watch| watch.overrun());
        if self.listener.as_ref().is_some_and(|listener| !listener.is_finished()) {
            let _ = self.child.kill();
        }
        let status = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let overrun = watched.or_else(|| self.group.as_ref()?.ran_out_of().map(Overrun::Memory));
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        ProcessEnding { status, lingered: self.lingered.load(Ordering::SeqCst), overrun, stderr }
    }
}

impl RunningAttempt for StepProcess {
    fn number(&self) -> u64 {
        self.number
    }

    fn has_connected(&self) -> bool {
        self.connected.load(Ordering::SeqCst)
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
    }

    fn ending(self: Box<Self>) -> Ending {
        Ending::Process(self.ended())
    }
}

impl Drop for StepProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // The watch must end before the process is waited for: its id may then be reused.
        self.watch = None;
        let _ = self.child.wait();
    }
}

/// A process that is killed on drop unless it is taken out.
struct KillGuard(Option<Child>);

impl Drop for KillGuard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A handle on the process itself; unlike its id, it can never refer to another process.
pub fn handle(child: &Child) -> rustix::io::Result<OwnedFd> {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty())
}

/// Waits a while for the end of a process that has closed its stdout, then ends it. Returns whether it ended by itself.
fn has_ended(process: &OwnedFd) -> bool {
    let farewell = Timespec { tv_sec: FAREWELL.as_secs().cast_signed(), tv_nsec: 0 };
    let ended = |wait| {
        loop {
            match poll(&mut [PollFd::new(process, PollFlags::IN)], wait) {
                Err(rustix::io::Errno::INTR) => {}
                polled => return polled == Ok(1),
            }
        }
    };
    if ended(Some(&farewell)) {
        return true;
    }
    let _ = pidfd_send_signal(process, Signal::KILL);
    ended(None);
    false
}

fn listen(number: u64, stdout: impl Read, heard: &SyncSender<ProcessEvent>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut whole = true;
    loop {
        line.clear();
        let begins_here = whole;
        match (&mut stdout).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        whole = line.ends_with(b"\n");
        // Anything but a message is noise: the host believes only what it can parse. The rest of an overlong line is
        // skipped.
        let told = match (begins_here, whole) {
            (true, true) => serde_json::from_slice(&line)
                .ok()
                .map(|message| ProcessEvent::Message(number, message, line.len() as u64)),
            (true, false) if line.len() as u64 == MAX_LINE => Some(ProcessEvent::TooLong(number)),
            _ => None,
        };
        if told.is_some_and(|told| heard.send(told).is_err()) {
            return;
        }
    }
}

pub(super) fn keep_stderr(mut errors: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_STDERR.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The messages that are read, and how often one was too long.
    fn heard(said: &[u8]) -> (Vec<Message>, usize) {
        let (say, heard) = std::sync::mpsc::sync_channel(16);
        listen(1, said, &say);
        drop(say);
        let (mut messages, mut lost) = (Vec::new(), 0);
        for heard in heard {
            match heard {
                ProcessEvent::Message(1, message, _) => messages.push(message),
                ProcessEvent::TooLong(1) => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        (messages, lost)
    }

    #[test]
    fn the_rest_of_an_overlong_line_is_not_taken_for_a_message() {
        let ready = "{\"type\":\"ready\"}\n";
        assert_eq!(heard(format!("{ready}noise\n{ready}").as_bytes()), (vec![Message::Ready, Message::Ready], 0));
        assert_eq!(heard(format!("{ready}{{\"type\":").as_bytes()), (vec![Message::Ready], 0), "cut off by its end");
        let filler = "x".repeat(usize::try_from(MAX_LINE).unwrap());
        assert_eq!(heard(format!("{filler}{ready}").as_bytes()), (vec![], 1));
        assert_eq!(heard(format!("{filler}{ready}{ready}").as_bytes()), (vec![Message::Ready], 1));
    }
}
