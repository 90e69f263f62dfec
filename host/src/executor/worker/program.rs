//! The command that leads to a worker, as a group of processes.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::locked;
use crate::untrusted;

/// How much of what it prints on stderr is kept, in bytes.
const MAX_STDERR: usize = 16 << 10;

/// The most bytes that are written at once, so that a slow connection shows that it moves.
const AT_ONCE: usize = 16 << 10;

/// How many bytes a pipe takes although nobody reads it.
const PIPE: usize = 64 << 10;

/// The command of a worker. Dropping it ends all its processes.
#[derive(Debug)]
pub(super) struct Program {
    child: Mutex<Option<Child>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    pulse: Arc<Pulse>,
}

/// When anything moved between the host and its worker.
#[derive(Debug)]
pub(super) struct Pulse {
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    heard: Instant,
    /// When the last part of what is being sent was taken.
    sending: Option<Instant>,
}

impl Pulse {
    fn new() -> Self {
        Self { last: Mutex::new(Last { heard: Instant::now(), sending: None }) }
    }

    /// For how long the worker has been silent, or has not taken what is sent to it.
    pub(super) fn silence(&self) -> Duration {
        let Last { heard, sending } = &*locked(&self.last);
        match sending {
            // What waits before it may delay an answer to it.
            Some(taken) => taken.elapsed(),
            None => heard.elapsed(),
        }
    }

    fn heard(&self) {
        locked(&self.last).heard = Instant::now();
    }

    fn sending(&self) {
        locked(&self.last).sending = Some(Instant::now());
    }

    /// Notes that so many bytes were sent.
    fn sent(&self, bytes: usize) {
        let mut last = locked(&self.last);
        last.sending = None;
        if bytes > PIPE {
            // Some of them were taken, and an answer can follow only now.
            last.heard = Instant::now();
        }
    }
}

/// A stream whose movement is noted.
#[derive(Debug)]
pub(super) struct Pulsed<S> {
    stream: S,
    pulse: Arc<Pulse>,
    /// How many bytes were written since the last flush.
    written: usize,
}

impl<R: Read> Read for Pulsed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer)?;
        if read > 0 {
            self.pulse.heard();
        }
        Ok(read)
    }
}

impl<W: Write> Write for Pulsed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pulse.sending();
        let written = self.stream.write(&bytes[..bytes.len().min(AT_ONCE)])?;
        self.written += written;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pulse.sent(std::mem::take(&mut self.written));
        self.stream.flush()
    }
}

/// The ends of a command's streams.
pub(super) struct Streams {
    pub(super) stdin: Pulsed<ChildStdin>,
    pub(super) stdout: Pulsed<ChildStdout>,
    pub(super) stderr: ChildStderr,
}

impl Program {
    /// Starts a command for the shell, apart from the terminal's signals.
    #[expect(clippy::disallowed_methods, reason = "starts the command that the operator wrote")]
    pub(super) fn start(command: &str) -> anyhow::Result<(Arc<Self>, Streams)> {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", command])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start `/bin/sh`")?;
        let pulse = Arc::new(Pulse::new());
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let program =
            Arc::new(Self { child: Mutex::new(Some(child)), stderr: Arc::default(), pulse: Arc::clone(&pulse) });
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else { anyhow::bail!("the command has no streams") };
        let stdin = Pulsed { stream: stdin, pulse: Arc::clone(&pulse), written: 0 };
        Ok((program, Streams { stdin, stdout: Pulsed { stream: stdout, pulse, written: 0 }, stderr }))
    }

    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Where its stderr is kept.
    pub(super) fn stderr(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.stderr)
    }

    /// Whether it ends by itself within this time.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let has_ended = locked(&self.child).as_ref().is_none_or(has_exited);
            if has_ended || Instant::now() >= until {
                return has_ended;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends all its processes.
    pub(super) fn end(&self) {
        let Some(mut child) = locked(&self.child).take() else { return };
        // The shell may have started others. Its number is theirs, and nobody else's, until it is reaped.
        if let Some(group) = number(&child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
    }

    /// What it said on stderr, as the end of a sentence.
    pub(super) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&locked(&self.stderr)).trim().to_owned();
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        if text.is_empty() {
            String::new()
        } else {
            format!("; it said: {}", untrusted::line(&last.into_iter().rev().collect::<Vec<_>>().join("; ")))
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn number(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Whether a process has ended; it is not reaped.
fn has_exited(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    number(child).is_none_or(|number| !matches!(waitid(WaitId::Pid(number), options), Ok(None)))
}

/// Keeps the end of what a command prints on stderr.
pub(super) fn keep_last(mut errors: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut buffer) {
        let mut kept = locked(kept);
        kept.extend_from_slice(&buffer[..count]);
        let beyond = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..beyond);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ending_a_command_ends_everything_that_its_shell_started() {
        let (program, mut streams) = Program::start("sleep 1000 | sleep 1000 & sleep 1000").unwrap();
        program.end();
        // They held stdout open.
        let mut text = String::new();
        streams.stdout.read_to_string(&mut text).unwrap();
        assert!(program.ends_within(Duration::ZERO));
    }

    #[test]
    fn the_last_words_on_stderr_are_kept() {
        let kept = Mutex::default();
        let mut text = b"banner\n".repeat(10_000);
        text.extend(b"the reason");
        keep_last(&*text, &kept);
        let kept = kept.into_inner().unwrap();
        assert!(kept.len() == MAX_STDERR && kept.ends_with(b"the reason"));
    }
}
