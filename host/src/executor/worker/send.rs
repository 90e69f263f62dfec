//! What a worker gets of an attempt: the blobs that it lacks, then the job, on a thread of the attempt's own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::attempts::{Attempts, Hosted, Progress};
use super::connection::{Connection, PATIENCE};
use super::receive::{Expected, Received, Receiving};
use super::{Digests, Reach, thread};
use crate::digest::Digest;
use crate::driver::catalog::Driver;
use crate::error::Failure;
use crate::exchange::ExchangeError;
use crate::executor::{NewAttempt, Passage};
use crate::pipeline::resources::Resources;
use crate::protocol::worker::{Blob, Command, MAX_CHUNK, NamedFile, NamedFiles, NamedInput, PART, Through};
use crate::protocol::{Job, Reachable};
use crate::step::{open_granted, open_plain};

/// How often a thread that waits for a worker looks whether its attempt was ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Hands an attempt to a worker; returns at once.
///
/// # Errors
/// If there is no thread for it.
pub(super) fn start(reach: &Arc<Reach>, number: u64, attempt: NewAttempt<'_>) -> anyhow::Result<()> {
    let NewAttempt { driver, job, reachable, resources, exchange, .. } = attempt;
    let driver = driver.context("an attempt on a worker needs its driver")?.clone();
    let (ready, lacks) = sync_channel(1);
    let limit = job.limits.output_bytes;
    let mut progress = Progress::default();
    let receiving = match &exchange {
        None => Receiving::Here(Received::new(&job.files, limit)),
        Some(passage) => {
            let expected = Expected::new(&job.files, limit);
            let inputs = passage.inputs.values().map(|input| input.bytes);
            progress.movable = inputs.fold(expected.most_bytes(), u64::saturating_add);
            Receiving::Elsewhere(expected)
        }
    };
    reach.attempts.host(
        number,
        Hosted {
            received: Some(receiving),
            stored: None,
            ready: Some(ready),
            may_connect: !job.network.is_empty(),
            time_limit: Duration::from_secs(job.limits.wall_seconds),
            link: None,
            progress,
            ending: None,
        },
    );
    let reach = Arc::clone(reach);
    thread("send", move || {
        let attempts = &reach.attempts;
        let connection = match reach.connection() {
            Ok(connection) => connection,
            Err(error) => return attempts.lose(number, &format!("{error:#}")),
        };
        let sending = Sending { attempts, connection: &connection, number };
        if let Err(error) = sending.send(&driver, job, (reachable, resources, exchange), &lacks) {
            let doing = "cannot hand the step to its worker";
            let failure = match error.downcast::<ExchangeError>() {
                Ok(error) => error.failure(doing),
                Err(error) => Failure::of_host(&error.context(doing)),
            };
            attempts.conclude(number, Err(failure));
        }
    })
}

struct Sending<'a> {
    attempts: &'a Attempts,
    connection: &'a Connection,
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

impl Sending<'_> {
    fn send(
        &self,
        driver: &Driver,
        mut job: Job,
        (reachable, resources, passage): (Reachable, Resources, Option<Passage>),
        lacks: &Receiver<Vec<Digest>>,
    ) -> anyhow::Result<()> {
        let mut blobs = Blobs::default();
        let mut inputs = Vec::new();
        let files = self.named(driver, &job, passage.as_ref(), &mut blobs, &mut inputs)?;
        let through = |passage: Passage| {
            let directions = passage.exchange.directions()?;
            Ok::<_, ExchangeError>(Box::new(Through { directions, inputs }))
        };
        let exchange = passage.map(through).transpose()?;
        // The worker trusts what its own machine does.
        job.network.roots_file = None;
        let Self { number, connection, attempts } = *self;
        // One at a time: they share the connection, and may lack the same blobs.
        let _turn = connection.turn();
        if !attempts.link(number, connection.link()) {
            return Ok(());
        }
        if connection.is_lost() {
            // Nobody else would notice: the attempts of the connection have ended already.
            attempts.lose(number, &connection.why());
            return Ok(());
        }
        let named = blobs.0.iter().map(|(blob, _)| blob.clone()).collect();
        if !connection.send(&Command::Prepare { attempt: number, blobs: named }, &[]) {
            return Ok(());
        }
        let Some(lacks) = self.wait(lacks) else { return Ok(()) };
        for (blob, file) in &mut blobs.0 {
            if lacks.contains(&blob.digest) && !self.send_blob(blob, file)? {
                return Ok(());
            }
        }
        if attempts.begins(number) {
            let job = Box::new(job.with_files(files));
            connection.send(&Command::ExecStep { attempt: number, job, reachable, resources, exchange }, &[]);
        }
        Ok(())
    }

    /// What the job's files contain. Those that have to be sent are added to `blobs`, those in the exchange to `elsewhere`.
    fn named(
        &self,
        driver: &Driver,
        job: &Job,
        passage: Option<&Passage>,
        blobs: &mut Blobs,
        elsewhere: &mut Vec<Blob>,
    ) -> anyhow::Result<NamedFiles> {
        let digests = &self.attempts.digests;
        let component = blobs.add(open_plain(&driver.path, false)?, digests)?;
        if component.as_str() != driver.sha256 {
            bail!("driver `{}` has changed since it was planned", driver.path.display());
        }
        let mut inputs = Vec::new();
        for input in &job.files.inputs {
            let data = match passage.and_then(|passage| passage.inputs.get(&input.path)) {
                Some(stored) => {
                    if !elsewhere.contains(stored) {
                        elsewhere.push(stored.clone());
                    }
                    stored.digest.clone()
                }
                None => blobs.add(open_plain(&input.path, false)?, digests)?,
            };
            let (alias, also, table) = (input.alias.clone(), input.also.clone(), input.table.clone());
            inputs.push(NamedInput { alias, also, data, table, rows: input.rows, is_reference: input.is_reference });
        }
        let mut read = Vec::new();
        for grant in &job.files.read {
            let content = blobs.add(open_granted(grant, false)?, digests)?;
            read.push(NamedFile { name: grant.name.clone(), content, stands_for: grant.stands_for.clone() });
        }
        let write = job.files.write.iter().map(|grant| grant.name.clone()).collect();
        let (databases, folders) = (job.files.databases.clone(), job.files.folders.clone());
        Ok(NamedFiles {
            driver: component,
            inputs,
            output: job.files.output.is_some(),
            read,
            write,
            databases,
            folders,
        })
    }

    /// What the worker lacks; `None` if the attempt was ended meanwhile.
    fn wait(&self, lacks: &Receiver<Vec<Digest>>) -> Option<BTreeSet<Digest>> {
        let until = Instant::now() + 2 * PATIENCE;
        loop {
            match lacks.recv_timeout(LOOK_EVERY) {
                Ok(lacks) => return Some(lacks.into_iter().collect()),
                Err(RecvTimeoutError::Timeout) if self.attempts.is_hosting(self.number) => {}
                // Whoever ended it has said why.
                Err(_) => return None,
            }
            if Instant::now() > until {
                self.attempts.lose(self.number, "it does not say what it lacks for the step");
            }
        }
    }

    /// Sends a blob; returns false if the attempt was ended meanwhile.
    fn send_blob(&self, blob: &Blob, file: &mut File) -> anyhow::Result<bool> {
        use std::io::Seek;
        file.rewind()?;
        let (mut at, mut part) = (0, vec![0; PART]);
        while at < blob.bytes {
            if !self.attempts.is_hosting(self.number) {
                return Ok(false);
            }
            let read = file.read(&mut part).context("cannot read a file for a worker")?;
            if read == 0 {
                bail!("a file became shorter while it was sent to a worker");
            }
            let length = u32::try_from(read).unwrap_or(MAX_CHUNK);
            if !self.connection.send(&Command::Blob { digest: blob.digest.clone(), at, length }, &part[..read]) {
                return Ok(false);
            }
            at += read as u64;
        }
        Ok(true)
    }
}
