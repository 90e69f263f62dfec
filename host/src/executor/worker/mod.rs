//! A worker as an executor: `osiris worker` on another machine, whose stdin and stdout a command leads to, such as
//! `ssh build1 osiris worker`.

pub mod attempts;
mod bridges;
mod connection;
mod program;
pub mod receive;
mod send;
pub mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::process::{Ending, ProcessEvent};
use super::supervisor::Supervisor;
use super::{Executor, NewAttempt, RunningAttempt, thread};
use crate::digest::Digest;
use crate::pipeline::project::WorkerPlace;
use crate::protocol::worker::{Announcement, SentFile};
use crate::untrusted;
use attempts::Attempts;
pub use attempts::lost;
use connection::{Connection, greet};
use program::Program;
use verify::check_rows;

/// The number of the next attempt on any worker; local processes count from 1.
static NEXT: AtomicU64 = AtomicU64::new(1 << 32);

/// A worker that a command leads to.
pub struct Worker {
    reach: Arc<Reach>,
    announced: Announcement,
}

/// A way to a worker, which is connected again when the connection was lost; the threads that send attempts share it.
struct Reach {
    place: WorkerPlace,
    attempts: Arc<Attempts>,
    current: Mutex<Current>,
    /// The command that was started last.
    program: Mutex<Option<Arc<Program>>>,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Current {
    connection: Option<Arc<Connection>>,
    /// How many connections there were.
    count: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker's name for people.
fn shown(place: &WorkerPlace) -> String {
    format!("worker `{}`", untrusted::line(&place.name))
}

impl Reach {
    /// The connection; a new one if there is none, or it was lost.
    fn connection(&self) -> anyhow::Result<Arc<Connection>> {
        let mut current = locked(&self.current);
        if let Some(connection) = current.connection.as_ref().filter(|connection| !connection.is_lost()) {
            return Ok(Arc::clone(connection));
        }
        let bridge = bridges::command(&self.place.command)?;
        let (program, streams) = Program::start(bridge.as_deref().unwrap_or(&self.place.command))?;
        *locked(&self.program) = Some(Arc::clone(&program));
        if self.is_closed.load(Ordering::SeqCst) {
            program.end();
        }
        let greeted = greet(&self.place, program, streams)?;
        current.count += 1;
        let connection = Connection::open(greeted, &self.place, current.count, Arc::clone(&self.attempts))?;
        current.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // If a thread is connecting, nobody waits for it.
        let connection = self.current.try_lock().ok().and_then(|current| current.connection.clone());
        if let Some(connection) = connection {
            connection.close();
        }
        if let Some(program) = locked(&self.program).take() {
            program.end();
        }
    }
}

impl Worker {
    /// Connects to a worker; its attempts are heard by `say`. With `require_confinement`, no output of it is taken if the
    /// kernel cannot confine the process that checks it fully.
    ///
    /// # Errors
    /// A [`Report`](crate::error::Report) if nothing answers there, or another version of this program does.
    pub fn connect(
        place: &WorkerPlace,
        say: SyncSender<ProcessEvent>,
        require_confinement: bool,
    ) -> anyhow::Result<Self> {
        // Ends the processes that check what a worker sent.
        let supervisor = Supervisor::start()?;
        let check =
            Box::new(move |output: &_, tables: &_| check_rows(output, tables, &supervisor, require_confinement));
        let attempts = Arc::new(Attempts::new(shown(place), say, Digests::default(), check));
        let (current, program, is_closed) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let reach = Arc::new(Reach { place: place.clone(), attempts, current, program, is_closed });
        let announced = reach.connection()?.announced.clone();
        Ok(Self { reach, announced })
    }

    /// What the worker is and can do.
    pub fn announced(&self) -> &Announcement {
        &self.announced
    }
}

impl Executor for Worker {
    // A worker starts processes by itself.
    fn expect(&mut self, _attempts: usize) {}

    fn release(&mut self) {}

    fn start(&mut self, attempt: NewAttempt<'_>) -> anyhow::Result<Box<dyn RunningAttempt>> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        send::start(&self.reach, number, attempt)?;
        Ok(Box::new(RemoteAttempt { number, attempts: Arc::clone(&self.reach.attempts) }))
    }

    fn forget(&mut self, _number: u64) {}
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.reach.close();
    }
}

/// An attempt that runs on a worker.
struct RemoteAttempt {
    number: u64,
    attempts: Arc<Attempts>,
}

impl std::fmt::Debug for RemoteAttempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "attempt {} on a worker", self.number)
    }
}

impl RunningAttempt for RemoteAttempt {
    fn number(&self) -> u64 {
        self.number
    }

    fn has_connected(&self) -> bool {
        self.attempts.has_connected(self.number)
    }

    fn stored(&self) -> Option<Vec<SentFile>> {
        self.attempts.stored(self.number)
    }

    fn kill(&mut self) {
        self.attempts.kill(self.number);
    }

    fn ending(self: Box<Self>) -> Ending {
        self.attempts.take_ending(self.number)
    }
}

impl Drop for RemoteAttempt {
    fn drop(&mut self) {
        self.attempts.kill(self.number);
    }
}

/// The digests of files, so that each is read once; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Digests(Arc<Mutex<BTreeMap<FileState, (Digest, u64)>>>);

/// A file, and when its content last changed: device, inode, size, and time in seconds and nanoseconds.
type FileState = (u64, u64, u64, i64, i64);

fn state_of(file: &File) -> std::io::Result<FileState> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

impl Digests {
    /// The digest of a file, and its size in bytes.
    fn of(&self, file: &mut File) -> std::io::Result<(Digest, u64)> {
        let state = state_of(file)?;
        let known = locked(&self.0).get(&state).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = Digest::of_file(file)?;
        self.note(state, found.clone());
        Ok(found)
    }

    fn note(&self, state: FileState, found: (Digest, u64)) {
        locked(&self.0).insert(state, found);
    }
}
