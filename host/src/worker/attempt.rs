//! One attempt on a worker: from a job whose files are blobs, to files that are sent back.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use cap_std::fs::{Dir, File, OpenOptions};

use super::exchanging::store_file;
use super::{Answers, GoesOn, Heard, Worker};
use crate::digest::{Digest, Hasher};
use crate::driver::{compiler, runtime};
use crate::engine::InputTable;
use crate::environment;
use crate::error::{Blame, Failure, Report};
use crate::exchange::{Exchange, ExchangeError, Transfer};
use crate::executor::disk::DiskAllowance;
use crate::executor::{Executor, NewAttempt, RunningAttempt, thread};
use crate::pipeline::resources::Resources;
use crate::protocol::worker::{Answer, Blob, Completion, Event, NamedFiles, PART, SentFile, Through};
use crate::protocol::{FileGrant, Job, LocalFiles, Message, OUTPUT, Reachable};

/// The folder of an attempt's output and spilled data, in its folder.
const SCRATCH: &str = "scratch";

/// The folder of the files that it writes.
const WRITTEN: &str = "written";

pub(super) struct Attempt {
    pub(super) blobs: Vec<Blob>,
    driver: String,
    exchange: Option<Exchange>,
    /// What it is started with, until it is.
    waiting: Option<(Job<NamedFiles>, Reachable)>,
    process: Option<Box<dyn RunningAttempt>>,
    folder: Option<Dir>,
    /// The names of the files that it may write, in the order of their places in `WRITTEN`.
    write: Vec<String>,
    has_output: bool,
    killed: Arc<AtomicBool>,
    verdict: Option<Result<Message, Failure>>,
}

/// What an attempt needs before it starts.
pub(super) struct Prepared {
    pub(super) outcome: Result<Ready, Failure>,
    /// What was reserved for it meanwhile.
    pub(super) reserved: Vec<Blob>,
}

/// Everything for an attempt is here.
pub(super) struct Ready {
    compiled: PathBuf,
    exchange: Option<Exchange>,
}

/// The most attempts that the host has ended and that have not ended yet. Their processes are dead, but some of their
/// threads may still be at work.
const MOST_ENDING: usize = 64;

impl Attempt {
    pub(super) fn is_run_by(&self, process: u64) -> bool {
        self.process.as_ref().is_some_and(|running| running.number() == process)
    }

    pub(super) fn kill(&mut self) {
        self.killed.store(true, Ordering::SeqCst);
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Takes note of its process's last word.
    pub(super) fn note(&mut self, message: Message) {
        match message {
            Message::Complete { .. } => self.verdict = Some(Ok(message)),
            Message::Failed(failure) => {
                self.verdict = Some(Err(failure));
                // It may be asleep in a call of the host; a failed step has nothing left to finish.
                if let Some(process) = &mut self.process {
                    process.kill();
                }
            }
            _ => {}
        }
    }
}

fn not_compiled(error: anyhow::Error) -> Failure {
    match error.downcast::<Report>() {
        Ok(Report { message, .. }) => Failure::new(Blame::Driver, "contract", message),
        Err(error) => Failure::of_host(&error),
    }
}

fn protocol(message: String) -> Failure {
    Failure::new(Blame::Host, "protocol", message)
}

impl Worker {
    /// Takes a job, compiles its driver and fetches its inputs.
    pub(super) fn exec(
        &mut self,
        attempt: u64,
        job: Job<NamedFiles>,
        reachable: Reachable,
        through: Option<Through>,
    ) -> GoesOn {
        let Some(blobs) = self.prepared.remove(&attempt) else {
            return self.refuse(attempt, protocol(format!("attempt {attempt} was not prepared")));
        };
        if let Some(refusal) = self.refusal(attempt, &job.files, &blobs, through.as_ref()) {
            self.store.release(&blobs);
            return self.refuse(attempt, refusal);
        }
        let killed = Arc::new(AtomicBool::new(false));
        let (store, tell, answers) = (self.store.clone(), self.tell.clone(), Arc::clone(&self.answers));
        let (driver, name, interrupted) = (job.files.driver.clone(), job.driver.clone(), Arc::clone(&killed));
        let exchanges = self.exchanges.clone();
        let preparing = thread("prepare", move || {
            let says = |event| drop(answers.send(&Answer::Event { attempt, event }));
            let is_ended = || interrupted.load(Ordering::SeqCst);
            let compiled = runtime::engine().and_then(|engine| {
                let wasm = (&*store.path(&driver), &*name);
                compiler::compiled(&engine, wasm, driver.as_str(), || says(Event::Compiling), &is_ended)
            });
            let mut reserved = Vec::new();
            let outcome = compiled.map_err(not_compiled).and_then(|compiled| {
                let fetch = |through: &Through| {
                    exchanges.fetch(
                        through,
                        &store,
                        &mut reserved,
                        Transfer { is_ended: &is_ended, moved: &|| says(Event::Moved) },
                    )
                };
                let exchange = through.as_ref().map(fetch).transpose()?;
                Ok(Ready { compiled, exchange })
            });
            let _ = tell.send(Heard::Prepared(attempt, Box::new(Prepared { outcome, reserved })));
        });
        let (write, has_output) = (job.files.write.clone(), job.files.output);
        let taken = Attempt {
            blobs,
            driver: job.driver.clone(),
            exchange: None,
            waiting: Some((job, reachable)),
            process: None,
            folder: None,
            write,
            has_output,
            killed,
            verdict: None,
        };
        self.attempts.insert(attempt, taken);
        match preparing {
            Ok(()) => true,
            Err(error) => self.fail(attempt, Failure::of_host(&error), false),
        }
    }

    /// Why a job is not taken, if it is not.
    fn refusal(
        &mut self,
        attempt: u64,
        files: &NamedFiles,
        blobs: &[Blob],
        through: Option<&Through>,
    ) -> Option<Failure> {
        let slots = self.offer.slots;
        // One that the host has ended is as good as gone, and the host no longer waits for it.
        let is_ended = |attempt: &&Attempt| attempt.killed.load(Ordering::SeqCst);
        let ending = self.attempts.values().filter(is_ended).count();
        if self.attempts.len() - ending >= slots as usize || ending > MOST_ENDING {
            return Some(protocol(format!("the worker runs {slots} attempts at once, and no more")));
        }
        let elsewhere = |digest: &Digest| {
            let inputs = through.into_iter().flat_map(|through| &through.inputs);
            files.driver != *digest && inputs.into_iter().any(|blob| blob.digest == *digest)
        };
        let sent: Vec<&Digest> = files.blobs().into_iter().filter(|digest| !elsewhere(digest)).collect();
        let is_prepared = sent.iter().all(|digest| blobs.iter().any(|blob| blob.digest == **digest));
        if is_prepared && self.store.has(sent) {
            return None;
        }
        let missing = || protocol(format!("attempt {attempt} needs a blob that was not sent"));
        Some(self.bad_blob.take().unwrap_or_else(missing))
    }

    /// Answers that an attempt has failed, and forgets it.
    fn fail(&mut self, attempt: u64, failure: Failure, connected: bool) -> GoesOn {
        self.forget(attempt);
        self.answer(&Answer::Error { attempt: Some(attempt), failure: Box::new(failure), connected })
    }

    /// Starts an attempt that has what it needs.
    pub(super) fn start(&mut self, attempt: u64, prepared: Prepared) -> GoesOn {
        let Prepared { outcome, reserved } = prepared;
        match self.attempts.get_mut(&attempt) {
            Some(taken) => taken.blobs.extend(reserved),
            None => self.store.release(&reserved),
        }
        let started =
            outcome.and_then(|ready| self.hand_over(attempt, ready).map_err(|error| Failure::of_host(&error)));
        match started {
            Ok(()) => self.answer(&Answer::Event { attempt, event: Event::Started }),
            Err(failure) => self.fail(attempt, failure, false),
        }
    }

    fn hand_over(&mut self, number: u64, Ready { compiled, exchange }: Ready) -> anyhow::Result<()> {
        let attempt = self.attempts.get_mut(&number).context("the attempt has gone")?;
        anyhow::ensure!(!attempt.killed.load(Ordering::SeqCst), "the attempt was ended");
        attempt.exchange = exchange;
        let (job, reachable) = attempt.waiting.take().context("the attempt has started already")?;
        let (path, folder) = self.folder.create_attempt(number)?;
        for name in [SCRATCH, WRITTEN] {
            folder.create_dir(name).context("cannot create a folder for an attempt")?;
        }
        let written = folder.open_dir(WRITTEN)?;
        let names = job.files.write.iter().enumerate();
        let grant = |(place, name): (usize, &String)| {
            let file = written.open_with(place.to_string(), OpenOptions::new().write(true).create_new(true))?;
            let found = file.into_std().metadata()?;
            let path = path.join(WRITTEN).join(place.to_string());
            Ok(FileGrant { name: name.clone(), path, identity: (found.dev(), found.ino()), stands_for: Vec::new() })
        };
        let write: Vec<FileGrant> = names.map(grant).collect::<anyhow::Result<_>>()?;
        let places = write.iter().enumerate();
        let disk = DiskAllowance {
            scratch: folder.open_dir(SCRATCH)?,
            scratch_bytes: job.limits.scratch_bytes(),
            files: places
                .map(|(place, _)| Ok((written.try_clone()?, place.to_string().into())))
                .collect::<std::io::Result<_>>()?,
            file_bytes: job.limits.output_bytes,
        };
        let mut job = self.local_job(job, compiled, path.join(SCRATCH), write)?;
        job.network.roots_file = environment::variable(environment::ROOTS_FILE).map(PathBuf::from);
        let process = self.local.start(NewAttempt {
            driver: None,
            job,
            reachable,
            resources: Resources::default(),
            disk,
            exchange: None,
        })?;
        let attempt = self.attempts.get_mut(&number).context("the attempt has gone")?;
        (attempt.folder, attempt.process) = (Some(folder), Some(process));
        Ok(())
    }

    /// The job with the files of this machine.
    fn local_job(
        &self,
        job: Job<NamedFiles>,
        compiled: PathBuf,
        scratch: PathBuf,
        write: Vec<FileGrant>,
    ) -> anyhow::Result<Job> {
        let mut read = Vec::new();
        for file in &job.files.read {
            let path = self.store.path(&file.content);
            let found = std::fs::symlink_metadata(&path).context("a blob has gone")?;
            let (name, stands_for) = (file.name.clone(), file.stands_for.clone());
            read.push(FileGrant { name, path, identity: (found.dev(), found.ino()), stands_for });
        }
        let input = |input: &crate::protocol::worker::NamedInput| InputTable {
            alias: input.alias.clone(),
            also: input.also.clone(),
            rows: input.rows,
            schema: None,
            path: self.store.path(&input.data),
            table: input.table.clone(),
            is_reference: input.is_reference,
        };
        let inputs = job.files.inputs.iter().map(input).collect();
        let output = job.files.output.then(|| scratch.join(OUTPUT));
        let (databases, folders) = (job.files.databases.clone(), job.files.folders.clone());
        let compiled = Some(compiled);
        Ok(job.with_files(LocalFiles { compiled, inputs, scratch, output, read, write, databases, folders }))
    }

    /// Handles the end of an attempt's process: sends what it made, or why it failed.
    pub(super) fn end(&mut self, number: u64) -> GoesOn {
        let Some(attempt) = self.attempts.get_mut(&number) else { return true };
        let Some(process) = attempt.process.take() else { return true };
        let connected = process.has_connected();
        let ending = process.ending();
        let failure = match attempt.verdict.take() {
            Some(Ok(message)) if ending.is_peaceful() => match self.send_files(number, message, connected) {
                Ok(()) => return true,
                Err(error) => Failure::of_host(&error),
            },
            Some(Err(failure)) => failure,
            _ if attempt.killed.load(Ordering::SeqCst) => {
                Failure::new(Blame::User, "interrupted", "the attempt was ended")
            }
            _ => ending.failure(&attempt.driver),
        };
        self.fail(number, failure, connected)
    }

    /// Sends the files and the result of an attempt, on a separate thread.
    fn send_files(&mut self, number: u64, message: Message, connected: bool) -> anyhow::Result<()> {
        let attempt = self.attempts.get_mut(&number).context("the attempt has gone")?;
        let Message::Complete { tables, rows_written, files, state, rejected, varying } = message else {
            anyhow::bail!("the attempt ended without a result");
        };
        let folder = attempt.folder.take().context("the attempt has no folder")?;
        let place = |name: &String| {
            let place = attempt.write.iter().position(|granted| granted == name).context("a file was not granted")?;
            Ok((Some(name.clone()), format!("{WRITTEN}/{place}")))
        };
        let mut sent: Vec<(Option<String>, String)> = files.iter().map(place).collect::<anyhow::Result<_>>()?;
        if attempt.has_output {
            sent.push((None, format!("{SCRATCH}/{OUTPUT}")));
        }
        let killed = Arc::clone(&attempt.killed);
        let exchange = attempt.exchange.take();
        let (answers, store, tell) = (Arc::clone(&self.answers), self.store.clone(), self.tell.clone());
        thread("files", move || {
            let moved = || drop(answers.send(&Answer::Event { attempt: number, event: Event::Moved }));
            let is_ended = || killed.load(Ordering::SeqCst);
            let mut send = |(name, path): (Option<String>, String)| {
                let mut file = folder.open(path).context("cannot open what the attempt made")?;
                match &exchange {
                    None => send_file(number, name, &mut file, &answers, &killed),
                    Some(exchange) => store_file(name, file, exchange, Transfer { is_ended: &is_ended, moved: &moved }),
                }
            };
            let outputs = sent.into_iter().map(&mut send);
            let answer = match outputs.collect::<anyhow::Result<Vec<_>>>() {
                Ok(outputs) => {
                    if let Some(output) = outputs.iter().find(|output| output.name.is_none()) {
                        // The next step probably reads it here.
                        store.keep(&folder, &format!("{SCRATCH}/{OUTPUT}"), &output.digest, output.bytes);
                    }
                    let report = Completion { tables, rows_written, state, rejected, varying, outputs, connected };
                    Answer::Complete { attempt: number, report: Box::new(report) }
                }
                Err(error) => {
                    let failure = match error.downcast::<ExchangeError>() {
                        Ok(error) => error.failure("cannot store what the step made"),
                        Err(error) => Failure::of_host(&error),
                    };
                    Answer::Error { attempt: Some(number), failure: Box::new(failure), connected }
                }
            };
            // The slot is free before the host may send the next attempt.
            let _ = tell.send(Heard::Sent(number, Box::new(answer)));
        })
    }
}

/// Sends a file in parts, unless its attempt is ended; returns what was sent.
fn send_file(
    attempt: u64,
    name: Option<String>,
    file: &mut File,
    answers: &Answers,
    killed: &AtomicBool,
) -> anyhow::Result<SentFile> {
    let (mut hasher, mut bytes, mut part) = (Hasher::default(), 0, vec![0; PART]);
    loop {
        let read = file.read(&mut part).context("cannot read what the attempt made")?;
        if read == 0 {
            return Ok(SentFile { name, bytes, digest: hasher.finish() });
        }
        anyhow::ensure!(!killed.load(Ordering::SeqCst), "the attempt was ended");
        hasher.update(&part[..read]);
        bytes += read as u64;
        let length = u32::try_from(read)?;
        answers.send_with(&Answer::Output { attempt, name: name.clone(), length }, &part[..read])?;
    }
}
