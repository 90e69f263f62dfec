//! A worker as an executor: `osiris worker` on another machine, whose stdin and stdout a command leads to, such as
//! `ssh build1 osiris worker`.

mod bridges;
mod connection;
mod receive;
mod send;
mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use super::process::{Ending, ProcessEvent};
use super::supervisor::Supervisor;
use super::{Executor, NewAttempt, RunningAttempt};
use crate::digest::Digest;
use crate::pipeline::project::WorkerPlace;
use crate::protocol::worker::Announcement;
use connection::Connection;
pub use send::lost;

/// The number of the next attempt on any worker; local processes count from 1.
static NEXT: AtomicU64 = AtomicU64::new(1 << 32);

/// A worker that a command leads to.
pub struct Worker {
    place: WorkerPlace,
    say: SyncSender<ProcessEvent>,
    connection: Arc<Connection>,
    digests: Digests,
    /// Ends the processes that check what a worker sent.
    supervisor: Supervisor,
}

impl Worker {
    /// Connects to a worker; its attempts are heard by `say`.
    ///
    /// # Errors
    /// A [`Report`](crate::error::Report) if nothing answers there, or another version of this program does.
    pub fn connect(place: &WorkerPlace, say: SyncSender<ProcessEvent>) -> anyhow::Result<Self> {
        let digests = Digests::default();
        let supervisor = Supervisor::start()?;
        let connection = Connection::open(place, say.clone(), digests.clone(), supervisor.clone())?;
        Ok(Self { place: place.clone(), say, connection, digests, supervisor })
    }

    /// What the worker is and can do.
    pub fn announced(&self) -> &Announcement {
        &self.connection.announced
    }
}

impl Executor for Worker {
    // A worker starts processes by itself.
    fn expect(&mut self, _attempts: usize) {}

    fn release(&mut self) {}

    fn start(&mut self, attempt: NewAttempt<'_>) -> anyhow::Result<Box<dyn RunningAttempt>> {
        if self.connection.is_lost() {
            self.connection =
                Connection::open(&self.place, self.say.clone(), self.digests.clone(), self.supervisor.clone())?;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        send::start(&self.connection, number, attempt)?;
        Ok(Box::new(RemoteAttempt { number, connection: Arc::clone(&self.connection) }))
    }

    fn forget(&mut self, _number: u64) {}
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.connection.close();
    }
}

/// An attempt that runs on a worker.
#[derive(Debug)]
struct RemoteAttempt {
    number: u64,
    connection: Arc<Connection>,
}

impl RunningAttempt for RemoteAttempt {
    fn number(&self) -> u64 {
        self.number
    }

    fn has_connected(&self) -> bool {
        self.connection.has_connected(self.number)
    }

    fn kill(&mut self) {
        self.connection.kill(self.number);
    }

    fn ending(self: Box<Self>) -> Ending {
        self.connection.take_ending(self.number)
    }
}

impl Drop for RemoteAttempt {
    fn drop(&mut self) {
        self.connection.kill(self.number);
    }
}

/// The digests of files, so that each is read once; clones share them.
#[derive(Debug, Clone, Default)]
struct Digests(Arc<Mutex<BTreeMap<FileState, (Digest, u64)>>>);

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
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&state).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = Digest::of_file(file)?;
        self.note(state, found.clone());
        Ok(found)
    }

    fn note(&self, state: FileState, found: (Digest, u64)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(state, found);
    }
}
