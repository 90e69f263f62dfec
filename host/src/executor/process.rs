//! Step processes as the host sees them: started early, fed one job, heard line by line, ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use zeroize::Zeroizing;

use super::broker::{self, Reachable};
use crate::protocol::{Job, Message};

/// The longest line that is heard; what a driver says beyond it is dropped.
const MAX_LINE: u64 = 4 << 20;

/// Room for a job as JSON, in bytes.
const JOB_ROOM: usize = 256 << 10;

/// What is kept of a process's stderr.
const MAX_STDERR: usize = 16 << 10;

/// Messages that wait to be heard, of all processes together; whoever says more waits.
pub const BACKLOG: usize = 256;

/// How long a process may live on that has closed its stdout.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a process says, by its number.
#[derive(Debug)]
pub enum Heard {
    /// A message, and its length as a line.
    Message(u64, Message, u64),
    /// Its stdout has ended: it has exited or is about to.
    Closed(u64),
    /// The user wants the run to end.
    Signal,
}

/// A step process. Dropping it kills it.
#[derive(Debug)]
pub struct StepProcess {
    pub number: u64,
    child: Child,
    /// The other end of its stdin: the job goes out by it, and then answers to what it asks.
    socket: Option<UnixStream>,
    stderr: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

/// What a process uses, as `/proc` has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub resident_bytes: u64,
    /// User and system time.
    pub cpu: Duration,
}

impl StepProcess {
    /// Starts a process that warms up and then waits for its job. It has no environment, a group of
    /// its own (so that Ctrl-C reaches the host alone), and dies with the calling thread.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(number: u64, heard: &SyncSender<Heard>) -> anyhow::Result<Self> {
        let (socket, stdin) = UnixStream::pair().context("cannot make a step process's stdin")?;
        let mut child = Command::new("/proc/self/exe")
            .arg0("osiris")
            .arg("step")
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(stdin)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a step process")?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().context("a step process has no stdout")?;
        let errors = child.stderr.take().context("a step process has no stderr")?;
        let (heard, kept) = (heard.clone(), Arc::clone(&stderr));
        let listener = std::thread::spawn(move || {
            let keeper = std::thread::spawn(move || keep_stderr(errors, &kept));
            listen(number, stdout, &heard);
            let _ = keeper.join();
            let _ = heard.send(Heard::Closed(number));
        });
        Ok(Self { number, child, socket: Some(socket), stderr, listener: Some(listener) })
    }

    /// Hands the process its job, and then connections to what is reachable, where anything is.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn give(&mut self, job: &Job, reachable: Reachable) -> anyhow::Result<()> {
        // With room enough that it is not moved as it grows: what moves leaves a copy of the secrets behind.
        let mut line = Zeroizing::new(Vec::with_capacity(JOB_ROOM));
        serde_json::to_writer(&mut *line, job).context("cannot write the job as JSON")?;
        line.push(b'\n');
        let mut socket = self.socket.take().context("the step process has its job already")?;
        socket.write_all(&line).context("cannot hand the step process its job")?;
        if !reachable.endpoints.is_empty() {
            broker::serve(socket, reachable);
        }
        Ok(())
    }

    /// What the process uses; `None` once it is gone.
    pub fn usage(&self) -> Option<Usage> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).ok();
        let pages: u64 = read("statm")?.split_whitespace().nth(1)?.parse().ok()?;
        // The second field is the program's name in brackets, and may hold spaces.
        let stat = read("stat")?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let second = rustix::param::clock_ticks_per_second().max(1);
        Some(Usage {
            resident_bytes: pages * rustix::param::page_size() as u64,
            cpu: Duration::from_millis(ticks * 1000 / second),
        })
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Waits for the end, and gives it with what was said on stderr. A process that has closed its
    /// stdout and does not end is ended.
    pub fn wait(mut self) -> (std::io::Result<ExitStatus>, String) {
        let status = self.end();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        (status, String::from_utf8_lossy(&stderr).trim().to_owned())
    }
}

impl StepProcess {
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(100);
        while begun.elapsed() < FAREWELL {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for StepProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(number: u64, stdout: impl Read, heard: &SyncSender<Heard>) {
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
        // Anything else than a message is noise: the host believes only what it can parse. The rest of
        // a line too long is no line.
        if begins_here
            && whole
            && let Ok(message) = serde_json::from_slice(&line)
            && heard.send(Heard::Message(number, message, line.len() as u64)).is_err()
        {
            return;
        }
    }
}

fn keep_stderr(mut errors: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_STDERR.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// How a process ended, in words.
pub fn ending(status: &std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.signal(), status.code()) {
            (Some(9), _) => "was killed (SIGKILL); the machine may be out of memory".to_owned(),
            (Some(signal), _) => format!("died of signal {signal}"),
            (None, Some(code)) => format!("ended with exit code {code} and no result"),
            (None, None) => "ended without a result".to_owned(),
        },
        Err(error) => format!("could not be waited for: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heard(said: &[u8]) -> Vec<Message> {
        let (say, heard) = std::sync::mpsc::sync_channel(16);
        listen(1, said, &say);
        drop(say);
        heard
            .iter()
            .map(|heard| match heard {
                Heard::Message(1, message, _) => message,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_rest_of_a_line_too_long_is_not_taken_for_a_message() {
        let ready = "{\"type\":\"ready\"}\n";
        assert_eq!(heard(format!("{ready}noise\n{ready}").as_bytes()), [Message::Ready, Message::Ready]);
        let filler = "x".repeat(usize::try_from(MAX_LINE).unwrap());
        assert_eq!(heard(format!("{filler}{ready}").as_bytes()), []);
        assert_eq!(heard(format!("{filler}{ready}{ready}").as_bytes()), [Message::Ready]);
    }
}
