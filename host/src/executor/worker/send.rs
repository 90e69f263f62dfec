//! What a worker gets of an attempt: the blobs that it lacks, then the job, on a thread of the attempt's own.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context, bail};

use super::Digests;
use super::connection::{Connection, Hosted};
use super::receive::Received;
use crate::digest::Digest;
use crate::driver::catalog::Driver;
use crate::error::{Blame, Failure};
use crate::executor::NewAttempt;
use crate::pipeline::resources::Resources;
use crate::protocol::worker::{Blob, Command, MAX_CHUNK, NamedFile, NamedFiles, NamedInput};
use crate::protocol::{Job, Reachable};
use crate::step::{open_granted, open_plain};

/// How often a thread that waits for a worker looks whether its attempt was ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Hands an attempt to a worker; returns at once.
///
/// # Errors
/// If there is no thread for it.
pub(super) fn start(connection: &Arc<Connection>, number: u64, attempt: NewAttempt<'_>) -> anyhow::Result<()> {
    let NewAttempt { driver, job, reachable, resources, .. } = attempt;
    let driver = driver.context("an attempt on a worker needs its driver")?.clone();
    let (ready, lacks) = sync_channel(1);
    connection.host(
        number,
        Hosted {
            received: Some(Received::new(&job.files, job.limits.output_bytes)),
            ready: Some(ready),
            may_connect: !job.network.is_empty(),
            has_connected: false,
            ending: None,
        },
    );
    let sending = Sending { connection: Arc::clone(connection), number };
    let send = move || {
        if let Err(error) = sending.send(&driver, job, (reachable, resources), &lacks) {
            let failure = Failure::of_host(&error.context("cannot hand the step to its worker"));
            sending.connection.conclude(sending.number, Err(failure));
        }
    };
    let thread = std::thread::Builder::new().name("send".to_owned()).spawn(send);
    thread.map(|_| ()).context("cannot start a thread")
}

struct Sending {
    connection: Arc<Connection>,
    number: u64,
}

/// Blobs of an attempt, each with its file.
#[derive(Default)]
struct Blobs(Vec<(Blob, File)>);

impl Blobs {
    fn add(&mut self, mut file: File, digests: &Digests) -> anyhow::Result<Digest> {
        let (digest, bytes) = digests.of(&mut file).context("cannot read a file for a worker")?;
        if !self.0.iter().any(|(blob, _)| blob.digest == digest) {
            self.0.push((Blob { digest: digest.clone(), bytes }, file));
        }
        Ok(digest)
    }
}

impl Sending {
    fn send(
        &self,
        driver: &Driver,
        mut job: Job,
        (reachable, resources): (Reachable, Resources),
        lacks: &Receiver<Vec<Digest>>,
    ) -> anyhow::Result<()> {
        let mut blobs = Blobs::default();
        let files = self.named(driver, &job, &mut blobs)?;
        // The worker trusts what its own machine does.
        job.network.roots_file = None;
        let (number, connection) = (self.number, &self.connection);
        // One at a time: they share the connection, and may lack the same blobs.
        let _turn = connection.turn();
        if !connection.is_hosting(number) {
            return Ok(());
        }
        let named = blobs.0.iter().map(|(blob, _)| blob.clone()).collect();
        connection.send(&Command::Prepare { attempt: number, blobs: named }, &[])?;
        let Some(lacks) = self.wait(lacks)? else { return Ok(()) };
        for (blob, file) in &mut blobs.0 {
            if lacks.contains(&blob.digest) && !self.send_blob(blob, file)? {
                return Ok(());
            }
        }
        let job = Box::new(job.with_files(files));
        connection.send(&Command::ExecStep { attempt: number, job, reachable, resources }, &[])
    }

    /// What the job's files contain.
    fn named(&self, driver: &Driver, job: &Job, blobs: &mut Blobs) -> anyhow::Result<NamedFiles> {
        let digests = &self.connection.digests;
        let component = blobs.add(open_plain(&driver.path, false)?, digests)?;
        if component.as_str() != driver.sha256 {
            bail!("driver `{}` has changed since it was planned", driver.path.display());
        }
        let mut inputs = Vec::new();
        for input in &job.files.inputs {
            let data = blobs.add(open_plain(&input.path, false)?, digests)?;
            let (alias, also, table) = (input.alias.clone(), input.also.clone(), input.table.clone());
            inputs.push(NamedInput { alias, also, data, table });
        }
        let mut read = Vec::new();
        for grant in &job.files.read {
            let content = blobs.add(open_granted(grant, false)?, digests)?;
            read.push(NamedFile { name: grant.name.clone(), content });
        }
        let write = job.files.write.iter().map(|grant| grant.name.clone()).collect();
        Ok(NamedFiles { driver: component, inputs, output: job.files.output.is_some(), read, write })
    }

    /// What the worker lacks; `None` if the attempt was ended meanwhile.
    fn wait(&self, lacks: &Receiver<Vec<Digest>>) -> anyhow::Result<Option<Vec<Digest>>> {
        loop {
            match lacks.recv_timeout(LOOK_EVERY) {
                Ok(lacks) => return Ok(Some(lacks)),
                Err(RecvTimeoutError::Timeout) if self.connection.is_hosting(self.number) => {}
                // Whoever ended it has said why.
                Err(_) => return Ok(None),
            }
        }
    }

    /// Sends a blob; returns false if the attempt was ended meanwhile.
    fn send_blob(&self, blob: &Blob, file: &mut File) -> anyhow::Result<bool> {
        use std::io::Seek;
        file.rewind()?;
        let (mut at, mut part) = (0, vec![0; MAX_CHUNK as usize]);
        while at < blob.bytes {
            if !self.connection.is_hosting(self.number) {
                return Ok(false);
            }
            let read = file.read(&mut part).context("cannot read a file for a worker")?;
            if read == 0 {
                bail!("a file became shorter while it was sent to a worker");
            }
            let length = u32::try_from(read).unwrap_or(MAX_CHUNK);
            self.connection.send(&Command::Blob { digest: blob.digest.clone(), at, length }, &part[..read])?;
            at += read as u64;
        }
        Ok(true)
    }
}

/// The failure of an attempt whose worker is lost.
pub fn lost(worker: &str, why: &str) -> Failure {
    Failure {
        retry: Some(crate::error::Retry { after_ms: None }),
        ..Failure::new(Blame::Host, "lost", format!("{worker} was lost: {why}"))
    }
    .hint("try again, or let the host do so with `retries: N` in the step")
}
