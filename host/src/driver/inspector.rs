//! The host's side of `osiris inspect`: it hands components and configs to confined processes and does not trust their
//! answers.
//!
//! Each component is read by a process of its own, so that none can lie about another; the result is stored under the
//! digest of the bytes that the process was given. One process judges all configs of a run. It only returns verdicts: a
//! config's values never come from it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};

use crate::driver::catalog::{self, Driver, MAX_BYTES};
use crate::driver::config::{Candidate, Judge, Wrong};
use crate::driver::inspect::{ALLOWANCE, Answer, MAX_LINE, Request};
use crate::driver::spec::Spec;
use crate::driver::{component, spec_cache};
use crate::error::Report;
use crate::sandbox::own_process;
use crate::size;

/// How long a process may take over one request. Its limit of CPU time is lower, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that has worked this long is replaced, so that one driver's schema cannot use up the allowance of
/// another's.
const FRESH: Duration = Duration::from_secs(1);

/// How much of a process's error message is read, in bytes.
const MAX_REASON: u64 = 2000;

/// Reads drivers and judges configs in processes without access to anything.
#[derive(Debug, Default)]
pub struct Inspector {
    require_confinement: bool,
    judge: Mutex<Option<Judging>>,
}

/// What a file turned out to be.
#[derive(Debug)]
pub enum Found {
    Driver(Box<Driver>),
    /// Something else, such as a module or a component without a spec.
    Other(Report),
}

/// The process that judges configs, and the spec that it has.
#[derive(Debug)]
struct Judging {
    process: Process,
    /// The spec that it was given last.
    spec: Option<Spec>,
    worked: Duration,
}

impl Inspector {
    /// With `require_confinement`, nothing is read if the kernel cannot confine processes fully.
    pub fn new(require_confinement: bool) -> Self {
        Self { require_confinement, judge: Mutex::default() }
    }

    /// Starts the process that judges configs ahead of time.
    pub fn warm(&self) {
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        if judge.is_none() {
            // If it cannot be started, the error is reported for the first config.
            *judge = Process::start(self.require_confinement).ok().map(Judging::new);
        }
    }

    /// Reads the driver in `path`.
    ///
    /// # Errors
    /// A [`Report`] if the file is missing, or is not a driver for this host.
    pub fn read(&self, path: &Path) -> anyhow::Result<Driver> {
        let name = path.display().to_string();
        self.read_as(path, &name, &name)
    }

    /// Like [`Self::read`]; errors call the component and its spec by these names.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_as(&self, path: &Path, component: &str, spec: &str) -> anyhow::Result<Driver> {
        match self.look(path, component, spec)? {
            Found::Driver(driver) => Ok(*driver),
            Found::Other(report) => Err(report.into()),
        }
    }

    /// Determines what the file in `path` is.
    ///
    /// # Errors
    /// A [`Report`] if the file is missing, or is a driver that cannot be used.
    pub fn look(&self, path: &Path, component: &str, spec: &str) -> anyhow::Result<Found> {
        let mut file = open(path)?;
        let mut head = [0; component::HEADER];
        if file.read_exact(&mut head).is_err() || !component::is_component(&head) {
            return Ok(Found::Other(no_driver(component, "it is no WebAssembly component")));
        }
        let sha256 = digest(&mut file, &mut |_| Ok(()))?;
        let (described, sha256) = match spec_cache::read(&sha256) {
            Some(described) => (described, sha256),
            None => match self.describe(&mut file, component, spec)? {
                (Answer::Described(described), sha256) => {
                    described.spec.check_bounds(spec)?;
                    spec_cache::write(&sha256, &described);
                    (*described, sha256)
                }
                (Answer::Refused { message, hint, is_plain, imports }, _) => {
                    catalog::check_versions(component, &imports)?;
                    let report = Report { hint, ..Report::input(message) };
                    return if is_plain { Ok(Found::Other(report)) } else { Err(report.into()) };
                }
                (Answer::Checked { .. }, _) => {
                    return Err(anyhow!("the process that read `{component}` answered something else"));
                }
            },
        };
        Ok(Found::Driver(Box::new(Driver::new(described, path, component, sha256)?)))
    }

    /// Has a process read a component; the digest is of the bytes that the process was given.
    fn describe(&self, file: &mut File, component: &str, spec: &str) -> anyhow::Result<(Answer, String)> {
        let mut process = Process::start(self.require_confinement)?;
        let until = Instant::now() + PATIENCE;
        process.send(&Request::Component { component: component.to_owned(), spec: spec.to_owned() }, until)?;
        // A process that has read enough closes its end; its answer says why.
        let sha256 = digest(file, &mut |bytes| process.write(bytes, until))?;
        process.stdin = None;
        let answer = process.answer(until).map_err(|end| end.report(component))?;
        Ok((answer, sha256))
    }

    fn judge(&self, &Candidate { spec, config, written_as }: &Candidate<'_>) -> anyhow::Result<Vec<Wrong>> {
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = |mut judging: Judging| -> anyhow::Result<(Judging, Answer)> {
            let (begun, until) = (Instant::now(), Instant::now() + PATIENCE);
            let known = judging.spec.as_ref() == Some(spec);
            let request = Request::Config {
                spec: (!known).then(|| Box::new(spec.clone())),
                config: config.clone(),
                written_as: written_as.clone(),
            };
            judging.process.send(&request, until)?;
            let answer = judging.process.answer(until).map_err(|end| end.report(&spec.name))?;
            judging.worked += begun.elapsed();
            judging.spec = Some(spec.clone());
            Ok((judging, answer))
        };
        let earlier = judge.take().filter(|judging| judging.worked < FRESH);
        // An earlier process has died if the thread that started it has ended.
        let answered = earlier.and_then(|judging| ask(judging).ok());
        let (judging, answer) = match answered {
            Some(answered) => answered,
            None => ask(Judging::new(Process::start(self.require_confinement)?))?,
        };
        *judge = Some(judging);
        match answer {
            Answer::Checked { wrong } => Ok(wrong),
            Answer::Refused { message, hint, .. } => Err(Report { hint, ..Report::input(message) }.into()),
            Answer::Described(_) => Err(anyhow!("the process that judges configs answered something else")),
        }
    }
}

impl Judge for Inspector {
    fn wrong(&self, candidate: &Candidate<'_>) -> Result<Vec<Wrong>, Report> {
        self.judge(candidate).map_err(Report::from_error)
    }
}

impl Judging {
    fn new(process: Process) -> Self {
        Self { process, spec: None, worked: Duration::ZERO }
    }
}

/// The refusal of a file that is not a driver.
pub fn no_driver(name: &str, why: &str) -> Report {
    Report::input(format!("`{name}` is no driver: {why}"))
        .hint("a driver is a WebAssembly component of one of the worlds in wit/driver.wit, with a packed spec")
}

/// The digest of a driver's file.
///
/// # Errors
/// If the file cannot be read.
pub fn digest_of(path: &Path) -> anyhow::Result<String> {
    digest(&mut open(path)?, &mut |_| Ok(()))
}

/// The bytes of a component and their digest.
///
/// # Errors
/// If the file cannot be read, or is too large for a component.
pub fn read(path: &Path) -> anyhow::Result<(Vec<u8>, String)> {
    let mut bytes = Vec::new();
    let sha256 = digest(&mut open(path)?, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    Ok((bytes, sha256))
}

/// Opens a regular file of a bounded size; reading a pipe or a device might never end.
#[expect(clippy::disallowed_methods, reason = "does not wait for a pipe; a driver may be a symlink")]
fn open(path: &Path) -> anyhow::Result<File> {
    let missing = |error: std::io::Error| {
        Report::input(format!("cannot read driver `{}`: {error}", path.display()))
            .hint("check the path; it is relative to the base folder")
    };
    let name = path.display().to_string();
    let plain = |file: &std::fs::Metadata| -> Result<(), Report> {
        match file {
            file if !file.is_file() => Err(no_driver(&name, "it is no plain file")),
            file if file.len() > MAX_BYTES => Err(no_driver(&name, "it is larger than 256 MiB")),
            _ => Ok(()),
        }
    };
    plain(&std::fs::metadata(path).map_err(missing)?)?;
    let mut options = File::options();
    // If a pipe has replaced it since, do not wait for a writer.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(missing)?;
    plain(&file.metadata().map_err(missing)?)?;
    Ok(file)
}

/// The digest of a file's bytes, each part of which is also passed to `consume`.
fn digest(file: &mut File, consume: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<String> {
    file.rewind().context("cannot read a driver")?;
    let (mut hasher, mut part, mut left) = (Sha256::new(), vec![0; 1 << 17], MAX_BYTES);
    loop {
        let read = file.read(&mut part).context("cannot read a driver")?;
        if read == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        // A file that grows while it is read might never end.
        left = left.checked_sub(read as u64).context("a driver grew while it was read")?;
        hasher.update(&part[..read]);
        consume(&part[..read])?;
    }
}

/// A process that inspects.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Closed once nothing more is sent.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// The part of its answers that has been read but not used.
    read: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug)]
enum End {
    Died { status: std::process::ExitStatus, reason: String },
    Late,
    Malformed(String),
}

impl Process {
    fn start(require_confinement: bool) -> anyhow::Result<Self> {
        let mut command = own_process("inspect");
        command.args([ALLOWANCE.cpu_seconds, ALLOWANCE.memory_bytes].map(|number| number.to_string()));
        if require_confinement {
            command.arg("--require-sandbox");
        }
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process that reads drivers")?;
        let stdin = child.stdin.take().context("a process that reads drivers has no stdin")?;
        let stdout = child.stdout.take().context("a process that reads drivers has no stdout")?;
        // Neither pipe may block the host.
        for pipe in [stdin.as_fd(), stdout.as_fd()] {
            rustix::io::ioctl_fionbio(pipe, true).context("cannot speak to a process that reads drivers")?;
        }
        Ok(Self { child, stdin: Some(stdin), stdout, read: Vec::new() })
    }

    fn send(&mut self, request: &Request, until: Instant) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(request).context("cannot ask a process that reads drivers")?;
        line.push(b'\n');
        self.write(&line, until)
    }

    /// Writes as much as the process accepts. If it accepts no more, its answer or its end says why.
    fn write(&mut self, mut bytes: &[u8], until: Instant) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            let Some(stdin) = &mut self.stdin else { return Ok(()) };
            match stdin.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if !ready(stdin.as_fd(), PollFlags::OUT, until)? {
                        self.stdin = None;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => self.stdin = None,
            }
        }
        Ok(())
    }

    fn answer(&mut self, until: Instant) -> Result<Answer, End> {
        let line = loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                break self.read.drain(..=end).collect::<Vec<u8>>();
            }
            if self.read.len() as u64 > MAX_LINE {
                return Err(End::Malformed("its answer has no end".to_owned()));
            }
            let mut part = [0; 1 << 16];
            match self.stdout.read(&mut part) {
                Ok(0) => return Err(self.end()),
                Ok(read) => self.read.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if !ready(self.stdout.as_fd(), PollFlags::IN, until).unwrap_or(false) {
                        return Err(End::Late);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Malformed(error.to_string())),
            }
        };
        serde_json::from_slice(&line).map_err(|error| End::Malformed(error.to_string()))
    }

    /// How the process ended, once it has closed its stdout.
    fn end(&mut self) -> End {
        self.stdin = None;
        // It may still be running without its stdout, and its answer is not worth waiting for.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => {
                let mut reason = Vec::new();
                let stderr = self.child.stderr.as_mut().map(|stderr| stderr.take(MAX_REASON).read_to_end(&mut reason));
                drop(stderr);
                let reason = String::from_utf8_lossy(&reason).split_whitespace().collect::<Vec<_>>().join(" ");
                End::Died { status, reason }
            }
            Err(error) => End::Malformed(error.to_string()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the pipe can be used; `false` if it takes too long.
fn ready(pipe: std::os::fd::BorrowedFd<'_>, what: PollFlags, until: Instant) -> anyhow::Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    let left =
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(&pipe, what)], Some(&left)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error).context("cannot wait for a process that reads drivers"),
    }
}

impl End {
    /// Decides whose fault it is that there was no answer about `driver`.
    fn report(self, driver: &str) -> anyhow::Error {
        let beyond = |what: String| {
            Report::input(format!("driver `{driver}` cannot be read: its spec takes more than {what}"))
                .hint("no honest driver does; ask whoever made it")
        };
        let memory = || beyond(format!("{} of memory", size::spell(ALLOWANCE.memory_bytes)));
        match self {
            Self::Late => beyond(format!("{} s", PATIENCE.as_secs())).into(),
            Self::Malformed(why) => Report::input(format!("driver `{driver}` cannot be read: {why}"))
                .hint("no honest driver does that; ask whoever made it")
                .into(),
            Self::Died { status, reason } => match (status.code(), status.signal()) {
                (_, Some(libc::SIGXCPU)) => beyond(format!("{} s of CPU time", ALLOWANCE.cpu_seconds)).into(),
                (_, Some(libc::SIGABRT)) if reason.contains("memory allocation") => memory().into(),
                // The process could not even start.
                (Some(3), _) => anyhow!("cannot read drivers: {reason}"),
                _ => Report::input(format!(
                    "driver `{driver}` cannot be read: the process that read it {}: {reason}",
                    ended(status)
                ))
                .hint("no honest driver does that; ask whoever made it")
                .into(),
            },
        }
    }
}

fn ended(status: std::process::ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("died of signal {signal}"),
        (None, code) => format!("ended with exit code {}", code.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_process_is_blamed_on_the_right_party() {
        let died = |wait: i32, reason: &str| End::Died {
            status: std::process::ExitStatus::from_raw(wait),
            reason: reason.to_owned(),
        };
        for (end, told, input) in [
            (died(libc::SIGXCPU, ""), "more than 4 s of CPU time", true),
            (died(libc::SIGABRT, "memory allocation of 9 bytes failed"), "more than 512 MB of memory", true),
            (died(libc::SIGSEGV, "stack overflow"), "stack overflow", true),
            (died(101 << 8, "panicked"), "panicked", true),
            (died(3 << 8, "cannot confine"), "cannot confine", false),
            (End::Late, "more than 60 s", true),
            (End::Malformed("expected value".to_owned()), "expected value", true),
        ] {
            let error = end.report("x.wasm");
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(error.downcast_ref::<Report>().is_some(), input, "{error}");
        }
    }
}
