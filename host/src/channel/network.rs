//! The step's side of its network connections: requests a stream from the host, then reads and writes it within limits.

use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::grants::endpoint::Endpoint;
use crate::grants::limits::Limits;
use crate::protocol::{Ask, AskAnswer, Reply};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 10;

/// The step's access to the network: the host at the other end of stdin, and the limits that remain.
#[derive(Debug)]
pub struct Network {
    /// The number of the last question; only one is open at a time. `None` once an exchange was broken off, because a
    /// late answer could then be mistaken for the next one.
    asked: Mutex<Option<u64>>,
    deadline: Instant,
    meter: Arc<Meter>,
}

/// Counts the bytes of all of a step's connections.
#[derive(Debug)]
pub struct Meter {
    moved: AtomicU64,
    most: u64,
}

impl Meter {
    /// Counts `bytes`.
    ///
    /// # Errors
    /// If the step's limit of network bytes is exceeded.
    pub fn count(&self, bytes: usize) -> io::Result<()> {
        let before = self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
        if before.saturating_add(bytes as u64) <= self.most {
            return Ok(());
        }
        let most = crate::size::spell(self.most);
        Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            format!("the step has moved {most} over the network, its limit"),
        ))
    }
}

impl Network {
    pub fn new(limits: &Limits) -> Self {
        Self {
            asked: Mutex::new(Some(0)),
            deadline: Instant::now() + Duration::from_secs(limits.wall_seconds),
            meter: Arc::new(Meter { moved: AtomicU64::new(0), most: limits.network_bytes }),
        }
    }

    /// Requests a stream from the host. The returned stream is non-blocking; the caller waits on it.
    ///
    /// # Errors
    /// The host's refusal.
    pub fn connect(&self, endpoint: &Endpoint, timeout: Duration) -> Result<TcpStream, AskAnswer> {
        let timeout = timeout.min(self.left());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = asked.take() else {
            return Err(AskAnswer::Unreachable("cannot ask the host: an earlier question broke off".to_owned()));
        };
        let ask = Ask {
            number: last + 1,
            host: endpoint.host.clone(),
            port: endpoint.port,
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        };
        let answer =
            exchange(&ask).map_err(|error| AskAnswer::Unreachable(format!("cannot ask the host: {error:#}")))?;
        *asked = Some(ask.number);
        answer
    }

    /// The time until the step's deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Wraps the stream in one whose reads and writes wait up to `timeout`, and never beyond the step's deadline.
    pub fn waiting(&self, socket: TcpStream, timeout: Duration) -> Waiting {
        Waiting { socket, timeout, deadline: self.deadline, meter: self.meter() }
    }
}

fn exchange(ask: &Ask) -> anyhow::Result<Result<TcpStream, AskAnswer>> {
    let host = rustix::stdio::stdin();
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        let sent = rustix::io::write(host, rest)?;
        rest = &rest[sent..];
    }
    let (mut answer, mut stream) = (Vec::new(), None);
    while answer.last() != Some(&b'\n') {
        ensure!(answer.len() < MAX_ANSWER, "the answer is too long");
        let mut bytes = [0; 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(host, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            bail!("it has gone");
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                stream = files.last().or(stream);
            }
        }
        answer.extend_from_slice(&bytes[..received.bytes]);
    }
    let Reply { number, answer } = serde_json::from_slice(&answer).context("its answer is malformed")?;
    ensure!(number == ask.number, "it answered another question");
    match answer {
        AskAnswer::Connected => {
            let stream: OwnedFd = stream.context("it sent no stream")?;
            Ok(Ok(TcpStream::from(stream)))
        }
        refused => Ok(Err(refused)),
    }
}

/// A stream whose reads and writes wait for a limited time. The socket itself never blocks.
#[derive(Debug)]
pub struct Waiting {
    socket: TcpStream,
    pub timeout: Duration,
    deadline: Instant,
    meter: Arc<Meter>,
}

impl Waiting {
    fn wait(&self, wanted: PollFlags, begun: Instant) -> io::Result<()> {
        let until = (begun + self.timeout).min(self.deadline);
        let left = until.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.socket, wanted)];
        match poll(&mut polled, Some(&wait)) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "the other side did not answer in time")),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for Waiting {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            match self.socket.read(bytes) {
                Ok(count) => return self.meter.count(count).map(|()| count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::IN, begun)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            match self.socket.write(bytes) {
                Ok(count) => return self.meter.count(count).map(|()| count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT, begun)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
