//! `osiris worker`: runs attempts of steps for a host on another machine, which speaks to it over stdin and stdout.
//!
//! Its threads: one reads commands and stores blobs as they arrive; one, which never waits for a transfer, starts, hears
//! and ends attempts; one ends the worker if that one is stuck; and for a while one compiles a driver or sends an attempt's files.
//! All write whole lines.

mod attempt;
mod exchanging;
pub(crate) mod folder;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Blame, Failure};
use crate::executor::local::Local;
use crate::executor::process::{BACKLOG, ProcessEvent};
use crate::executor::{Executor, thread};
use crate::protocol::Message;
use crate::protocol::worker::{
    Announcement, Answer, Blob, Command, Event, LineReader, LineWriter, MAX_BLOBS, PROTOCOL, Read, VERSION,
};
use attempt::{Attempt, Prepared};
use exchanging::Exchanges;
use folder::Folder;
use store::Store;

/// A host that has not sent anything for so long is gone: it sends a `ping` every few seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the worker looks whether its host is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often the worker gives a sign of life while blobs arrive.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// How long the worker may take to end once its host has gone. It may be writing to a connection that nobody reads.
const FAREWELL: Duration = Duration::from_secs(5);

/// The most attempts that are prepared and not yet run.
const MOST_PREPARED: usize = 256;

/// What a worker offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// How many attempts it runs at once.
    pub slots: u32,
    pub memory_bytes: u64,
    /// The protections that it cannot give.
    pub missing: Vec<String>,
    /// Where it creates its folder.
    pub folder: PathBuf,
    /// The most bytes of drivers, inputs and outputs that it keeps.
    pub room: u64,
    /// Where the folder of exchanges is that its host's machine also has.
    pub shared: Option<PathBuf>,
}

/// What the worker's main thread hears.
enum Heard {
    Command(Box<Command>),
    /// Blobs are arriving.
    Arriving,
    /// A blob could not be stored.
    BadBlob(anyhow::Error),
    /// The host has gone, or can no longer be understood.
    End(Option<String>),
    Process(Box<ProcessEvent>),
    /// An attempt has what it needs, or cannot have it.
    Prepared(u64, Box<Prepared>),
    /// All files of an attempt were sent; this is its last answer.
    Sent(u64, Box<Answer>),
}

/// Writes answers to the host.
type Answers = Arc<LineWriter<Box<dyn Write + Send>>>;

/// Serves a host until it goes.
///
/// Must be called on a thread that outlives the attempts, because their processes die with it.
///
/// # Errors
/// If the machine provides no folder or thread, or the host says something that is not of the protocol.
pub fn serve(
    input: impl io::Read + Send + 'static,
    output: impl Write + Send + 'static,
    offer: Offer,
) -> anyhow::Result<()> {
    let (folder, shared) = (Arc::new(Folder::create(&offer.folder)?), offer.shared.clone());
    let (path, dir) = folder.blobs()?;
    let store = Store::new(path, dir, offer.room);
    // Bounded, so that a step that logs without end waits for its host.
    let (tell, heard) = sync_channel(BACKLOG);
    let (say, said) = sync_channel(BACKLOG);
    let host = Arc::new(Host::default());
    thread("host", {
        let (tell, store, host) = (tell.clone(), store.clone(), Arc::clone(&host));
        move || read(input, &store, &tell, &host)
    })?;
    thread("watch", {
        let (host, folder) = (Arc::clone(&host), Arc::clone(&folder));
        move || watch(&host, &folder)
    })?;
    thread("processes", {
        let tell = tell.clone();
        move || {
            for event in said {
                if tell.send(Heard::Process(Box::new(event))).is_err() {
                    return;
                }
            }
        }
    })?;
    let output: Box<dyn Write + Send> = Box::new(output);
    let answers = Arc::new(LineWriter::new(output));
    let local = Local::new(say, None)?;
    let mut worker = Worker {
        offer,
        folder,
        store,
        local,
        answers,
        tell,
        prepared: BTreeMap::new(),
        attempts: BTreeMap::new(),
        bad_blob: None,
        exchanges: Exchanges::new(shared),
    };
    let ended = worker.work(&heard, &host);
    host.goes();
    // Processes first, since they create files in the folder.
    worker.attempts.clear();
    worker.local.release();
    worker.folder.remove();
    ended
}

/// When the host was heard last, and when it went.
#[derive(Debug)]
struct Host(Mutex<(Instant, Option<Instant>)>);

impl Default for Host {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }
}

impl Host {
    fn speaks(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Instant::now();
    }

    fn goes(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert_with(Instant::now);
    }

    /// For how long it has been silent.
    fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.elapsed()
    }

    /// How long ago it went, if it has.
    fn absence(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.map(|gone| gone.elapsed())
    }
}

/// Ends the worker if its main thread cannot: it may wait for a host that has gone without closing the connection. The
/// processes of attempts die with the main thread.
#[expect(clippy::disallowed_methods, reason = "the main thread is stuck in a system call, and the folder is removed")]
fn watch(host: &Host, folder: &Folder) {
    while host.absence().is_none_or(|gone| gone < FAREWELL) && host.silence() < PATIENCE + FAREWELL {
        std::thread::sleep(Duration::from_millis(500));
    }
    folder.remove();
    // A process may have created files meanwhile.
    folder.remove();
    std::process::exit(1);
}

/// Reads commands, and stores blobs, until the host goes.
fn read(input: impl io::Read, store: &Store, tell: &SyncSender<Heard>, host: &Host) {
    let mut lines = LineReader::new(BufReader::with_capacity(1 << 16, input));
    let mut answered = Instant::now();
    loop {
        let read = lines.read();
        host.speaks();
        let heard = match read {
            Ok(Some(Read { line: Command::Blob { digest, at, .. }, bytes, .. })) => {
                match store.arrived(&digest, at, bytes) {
                    Ok(()) if answered.elapsed() < ALIVE_EVERY => continue,
                    Ok(()) => {
                        answered = Instant::now();
                        Heard::Arriving
                    }
                    Err(error) => Heard::BadBlob(error),
                }
            }
            Ok(Some(Read { line, .. })) => Heard::Command(Box::new(line)),
            Ok(None) => Heard::End(None),
            Err(error) => Heard::End(Some(error.to_string())),
        };
        let is_end = matches!(heard, Heard::End(_));
        if is_end {
            host.goes();
        }
        if tell.send(heard).is_err() || is_end {
            return;
        }
    }
}

struct Worker {
    offer: Offer,
    folder: Arc<Folder>,
    store: Store,
    local: Local,
    answers: Answers,
    tell: SyncSender<Heard>,
    /// What each attempt said it needs.
    prepared: BTreeMap<u64, Vec<Blob>>,
    attempts: BTreeMap<u64, Attempt>,
    /// Why a blob could not be stored, the first since an attempt was prepared.
    bad_blob: Option<Failure>,
    exchanges: Exchanges,
}

/// Whether the worker goes on.
type GoesOn = bool;

impl Worker {
    fn work(&mut self, heard: &Receiver<Heard>, host: &Host) -> anyhow::Result<()> {
        loop {
            let goes_on = match heard.recv_timeout(LOOK_EVERY) {
                Ok(Heard::Command(command)) => self.obey(*command),
                Ok(Heard::Arriving) => self.announce(),
                Ok(Heard::BadBlob(error)) => {
                    // The parts that follow are not the reason.
                    self.bad_blob.get_or_insert_with(|| Failure::of_host(&error));
                    true
                }
                Ok(Heard::End(None)) => return Ok(()),
                Ok(Heard::End(Some(why))) => {
                    let failure = Failure::new(Blame::Host, "protocol", why.clone());
                    self.answer(&Answer::Error { attempt: None, failure: Box::new(failure), connected: false });
                    anyhow::bail!("cannot understand the host: {why}");
                }
                Ok(Heard::Process(event)) => self.hear(*event),
                Ok(Heard::Prepared(attempt, prepared)) => self.start(attempt, *prepared),
                Ok(Heard::Sent(attempt, answer)) => {
                    self.forget(attempt);
                    self.answer(&answer)
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if !goes_on {
                return Ok(());
            }
            anyhow::ensure!(host.silence() <= PATIENCE, "the host has been silent for {} s", PATIENCE.as_secs());
        }
    }

    /// Answers the host; false once nobody listens.
    fn answer(&self, answer: &Answer) -> GoesOn {
        self.answers.send(answer).is_ok()
    }

    fn refuse(&self, attempt: u64, failure: Failure) -> GoesOn {
        self.answer(&Answer::Error { attempt: Some(attempt), failure: Box::new(failure), connected: false })
    }

    /// Says what this worker is, which is also a sign of life.
    fn announce(&self) -> GoesOn {
        let Offer { slots, memory_bytes, missing, .. } = &self.offer;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        self.answer(&Answer::Pong(Announcement {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            slots: *slots,
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            memory_bytes: *memory_bytes,
            missing: missing.clone(),
        }))
    }

    fn obey(&mut self, command: Command) -> GoesOn {
        match command {
            Command::Ping { .. } => self.announce(),
            Command::Prepare { attempt, blobs } => self.prepare(attempt, blobs),
            Command::ExecStep { attempt, job, reachable, exchange, .. } => {
                self.exec(attempt, *job, reachable, exchange.map(|through| *through))
            }
            Command::Kill { attempt } => {
                if let Some(blobs) = self.prepared.remove(&attempt) {
                    self.store.release(&blobs);
                    return self.refuse(attempt, Failure::new(Blame::User, "interrupted", "the attempt was ended"));
                }
                if let Some(attempt) = self.attempts.get_mut(&attempt) {
                    attempt.kill();
                }
                true
            }
            Command::Cleanup {} => {
                self.answer(&Answer::Cleaned {});
                false
            }
            // Stored where it was read.
            Command::Blob { .. } => true,
        }
    }

    fn prepare(&mut self, attempt: u64, blobs: Vec<Blob>) -> GoesOn {
        let refusal = if self.prepared.contains_key(&attempt) || self.attempts.contains_key(&attempt) {
            Some(format!("attempt {attempt} was prepared already"))
        } else if blobs.len() > MAX_BLOBS {
            Some(format!("attempt {attempt} needs more than {MAX_BLOBS} blobs"))
        } else if self.prepared.len() >= MOST_PREPARED {
            Some(format!("{MOST_PREPARED} attempts are prepared, and no more can be"))
        } else {
            None
        };
        if let Some(message) = refusal {
            return self.refuse(attempt, Failure::new(Blame::Host, "protocol", message));
        }
        self.bad_blob = None;
        match self.store.reserve(&blobs) {
            Ok(lacks) => {
                self.prepared.insert(attempt, blobs);
                // Its process starts while blobs arrive.
                self.local.expect(self.prepared.len().min(self.offer.slots as usize));
                self.answer(&Answer::Ready { attempt, lacks })
            }
            Err(error) => self.refuse(attempt, Failure::disk_full(format!("{error:#}"))),
        }
    }

    /// Passes on what the process of an attempt says.
    fn hear(&mut self, event: ProcessEvent) -> GoesOn {
        let (ProcessEvent::Message(process, ..) | ProcessEvent::TooLong(process) | ProcessEvent::Closed(process)) =
            &event
        else {
            return true;
        };
        let found = self.attempts.iter_mut().find(|(_, running)| running.is_run_by(*process));
        let Some((&attempt, running)) = found else {
            self.local.forget(*process);
            return true;
        };
        match event {
            ProcessEvent::Message(_, Message::Log { level, message, fields }, _) => {
                self.answer(&Answer::Log { attempt, level, message, fields })
            }
            ProcessEvent::Message(_, Message::Metric { name, value }, _) => {
                self.answer(&Answer::Metric { attempt, name, value })
            }
            ProcessEvent::Message(_, Message::Progress { done, total }, _) => {
                self.answer(&Answer::Progress { attempt, done, total })
            }
            ProcessEvent::Message(_, Message::Checks { outcomes }, _) => {
                self.answer(&Answer::Checks { attempt, outcomes })
            }
            ProcessEvent::Message(_, message, _) => {
                running.note(message);
                true
            }
            ProcessEvent::TooLong(_) => self.answer(&Answer::Event { attempt, event: Event::MessageLost }),
            ProcessEvent::Closed(_) => self.end(attempt),
            ProcessEvent::Signal | ProcessEvent::Settled(_) | ProcessEvent::Superseded => true,
        }
    }

    /// Forgets an attempt that has been answered.
    fn forget(&mut self, attempt: u64) {
        if let Some(ended) = self.attempts.remove(&attempt) {
            self.store.release(&ended.blobs);
        }
        self.folder.remove_attempt(attempt);
    }
}
