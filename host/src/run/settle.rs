//! What a run with an exchange does on separate threads: it stores what a step made, commits it to the ledger, and fetches
//! what is needed here. Meanwhile other steps are heard.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;
use cap_std::fs::{Dir, OpenOptions};

use super::attempt::Done;
use super::ledger::Outcome;
use super::ledger::shared::{Committed, Shared};
use super::outcome::interrupted;
use super::retry::Retrial;
use super::schedule::Schedule;
use super::targets::{self, Target};
use crate::digest::Digest;
use crate::error::{Blame, Failure};
use crate::exchange::{Creation, Exchange, ExchangeError, StoredFile, Transfer};
use crate::executor::process::ProcessEvent;
use crate::executor::supervisor::Supervisor;
use crate::executor::worker::verify::check_rows;
use crate::protocol::OUTPUT;
use crate::protocol::worker::SentFile;
use crate::secrets::scrubber::Scrubbed;
use crate::session::Manifest;

/// The numbers of what is settled: none is that of a process.
const FIRST: u64 = 1 << 48;

/// What a run needs to use an exchange.
pub struct Ties {
    pub shared: Shared,
    /// Ends the processes that check what was fetched.
    supervisor: Supervisor,
    say: SyncSender<ProcessEvent>,
    require_confinement: bool,
    next: u64,
}

/// What a run does on separate threads, by number.
#[derive(Default)]
pub(super) struct Apart {
    /// Attempts that are being stored and committed.
    settling: BTreeMap<u64, Settling>,
    /// Steps of which it is being noted that they begin.
    noting: BTreeMap<u64, Noting>,
    /// What has the ledger forget that a step began.
    forgetting: BTreeSet<u64>,
}

impl Apart {
    pub(super) fn is_idle(&self) -> bool {
        self.settling.is_empty() && self.noting.is_empty() && self.forgetting.is_empty()
    }
}

/// An attempt that has succeeded, and is being stored and committed.
struct Settling {
    place: usize,
    number: u32,
    begun: Instant,
    has_connected: bool,
    targets: Vec<Target>,
    is_ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<Settled, Failure>>,
}

/// An outcome that counts.
struct Settled {
    outcome: Outcome,
    /// Whether its output is in the step's scratch folder.
    has_output: bool,
}

/// A step that is about to begin, once that is noted.
struct Noting {
    place: usize,
    begun: Instant,
    thread: JoinHandle<Result<Creation, ExchangeError>>,
}

/// Where the output and the written files of an attempt are on this machine.
struct Here {
    scratch: Dir,
    /// The written files by their names in the config.
    written: BTreeMap<String, (Dir, PathBuf)>,
}

/// What is to be done with an attempt.
struct Work {
    shared: Shared,
    supervisor: Supervisor,
    require_confinement: bool,
    outcome: Outcome,
    here: Here,
    /// Whether the step has an output.
    makes_output: bool,
    /// What its worker has stored; `None` if it ran here.
    stored: Option<Vec<SentFile>>,
    /// Whether a step on this machine reads its output.
    is_read_here: bool,
    /// The output's place on this machine.
    output: PathBuf,
    is_ended: Arc<AtomicBool>,
}

/// Says that a thread has ended, in whatever way: the run waits for it.
struct Heard {
    number: u64,
    say: SyncSender<ProcessEvent>,
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = self.say.send(ProcessEvent::Settled(self.number));
    }
}

impl Ties {
    /// # Errors
    /// If the supervisor does not start.
    pub fn new(shared: Shared, say: SyncSender<ProcessEvent>, require_confinement: bool) -> anyhow::Result<Self> {
        Ok(Self { shared, supervisor: Supervisor::start()?, say, require_confinement, next: FIRST })
    }

    /// Writes what is known of the run to the ledger. Best effort: what counts is there already.
    fn write_manifest(&self, manifest: &Scrubbed<Manifest>) {
        if let Err(error) = self.shared.write_manifest(manifest) {
            tracing::warn!(error = format!("{error:#}"), "the exchange does not know how the run ended");
        }
    }

    /// Ends the host's claim on the session.
    pub(super) fn end(self, manifest: &Scrubbed<Manifest>) {
        self.write_manifest(manifest);
        self.shared.end();
    }

    /// Does something on a separate thread, whose end is heard as [`ProcessEvent::Settled`] of the returned number.
    fn apart<T: Send + 'static>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<(u64, JoinHandle<T>)> {
        self.next += 1;
        let (number, end) = (self.next, Heard { number: self.next, say: self.say.clone() });
        let working = move || {
            let _end = end;
            work()
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(working);
        Ok((number, thread.context("cannot start a thread")?))
    }

    /// Fetches a file, and checks that its tables have so many rows, if it is to have some.
    ///
    /// # Errors
    /// If it cannot be fetched, or is not what the ledger says.
    pub(super) fn fetch_output(
        &self,
        stored: &StoredFile,
        tables: &BTreeMap<String, u64>,
        (folder, file): (&Dir, &str),
        path: &std::path::Path,
    ) -> Result<(), Failure> {
        let exchange = self.shared.exchange();
        fetch_output(
            exchange,
            stored,
            tables,
            (folder, file),
            path,
            (&self.supervisor, self.require_confinement),
            &|| false,
        )
    }
}

/// Fetches an output, and checks that its tables have so many rows.
///
/// # Errors
/// If it cannot be fetched, or is not what the ledger says.
pub fn fetch_output(
    exchange: &Exchange,
    stored: &StoredFile,
    tables: &BTreeMap<String, u64>,
    (folder, file): (&Dir, &str),
    path: &std::path::Path,
    (supervisor, require_confinement): (&Supervisor, bool),
    ended: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let doing = "cannot fetch the step's output";
    // What was here of an attempt that does not count.
    let _ = folder.remove_file(file);
    fetch(exchange, stored, folder, std::path::Path::new(file), ended).map_err(|error| error.failure(doing))?;
    check_rows(path, tables, supervisor, require_confinement).map_err(|error| {
        Failure::new(Blame::Host, "worker", format!("the step's output is not what the worker said of it: {error:#}"))
            .hint("look at the machine that ran the step before you use it again")
    })
}

/// Fetches a file to a place in a folder, from the start.
///
/// # Errors
/// As for [`Exchange::fetch`].
pub fn fetch(
    exchange: &Exchange,
    stored: &StoredFile,
    folder: &Dir,
    path: &std::path::Path,
    ended: &dyn Fn() -> bool,
) -> Result<(), ExchangeError> {
    let mut file = folder.open_with(path, OpenOptions::new().write(true).create(true).truncate(true))?;
    exchange.fetch(stored, &mut |part| file.write_all(part), Transfer::until(ended))?;
    Ok(file.sync_all()?)
}

impl Work {
    fn settle(mut self) -> Result<Settled, Failure> {
        let is_ended = Arc::clone(&self.is_ended);
        let ended = move || is_ended.load(Ordering::SeqCst);
        let ran_here = self.stored.is_none();
        let exchange = self.shared.exchange().clone();
        let stored = match self.stored.take() {
            Some(stored) => {
                // Another worker or host will rely on it.
                let confirm =
                    |file: &SentFile| exchange.confirm(&StoredFile { digest: file.digest.clone(), bytes: file.bytes });
                stored
                    .iter()
                    .try_for_each(confirm)
                    .map_err(|error| error.failure("a worker stored nothing of its step"))?;
                stored
            }
            None => self.store(&exchange, &ended)?,
        };
        for SentFile { name, digest, bytes } in stored {
            let file = StoredFile { digest, bytes };
            match name {
                None => self.outcome.output = Some(file),
                Some(name) => drop(self.outcome.files.insert(name, Some(file))),
            }
        }
        if ended() {
            return Err(interrupted());
        }
        let committed = self.shared.commit(&self.outcome);
        let is_ours = match committed.map_err(|error| error.failure("cannot commit the step to the ledger"))? {
            Committed::Ours => true,
            Committed::Theirs(theirs) if theirs.fingerprint == self.outcome.fingerprint => {
                self.outcome = *theirs;
                false
            }
            Committed::Theirs(_) => {
                let message = "another host has done the step with another driver, config or input";
                return Err(Failure::new(Blame::User, "config", message)
                    .hint("two hosts run this session with different pipelines: end one of them"));
            }
        };
        let is_here = ran_here && is_ours;
        if !is_here {
            self.fetch(&exchange, &ended)?;
        }
        let has_output = self.makes_output && (is_here || self.is_read_here);
        Ok(Settled { outcome: self.outcome, has_output })
    }

    /// Stores what a step on this machine made.
    fn store(&self, exchange: &Exchange, ended: &dyn Fn() -> bool) -> Result<Vec<SentFile>, Failure> {
        let output = self.makes_output.then(|| (None, (&self.here.scratch, std::path::Path::new(OUTPUT))));
        let files = self.outcome.files.keys().filter_map(|name| {
            let (folder, path) = self.here.written.get(name)?;
            Some((Some(name.clone()), (folder, path.as_path())))
        });
        let store = |(name, (folder, path)): (Option<String>, (&Dir, &std::path::Path))| -> anyhow::Result<SentFile> {
            let mut file = folder.open(path).context("cannot open what the step made")?.into_std();
            let (digest, bytes) = Digest::of_file(&mut file).context("cannot read what the step made")?;
            exchange.store(&file, &StoredFile { digest: digest.clone(), bytes }, Transfer::until(ended))?;
            Ok(SentFile { name, bytes, digest })
        };
        let stored = output.into_iter().chain(files).map(store);
        stored.collect::<anyhow::Result<_>>().map_err(|error| match error.downcast::<ExchangeError>() {
            Ok(error) => error.failure("cannot store what the step made"),
            Err(error) => Failure::of_host(&error),
        })
    }

    /// Fetches what is needed here of an attempt that ran elsewhere.
    fn fetch(&self, exchange: &Exchange, ended: &dyn Fn() -> bool) -> Result<(), Failure> {
        for (name, stored) in &self.outcome.files {
            let (Some((folder, path)), Some(stored)) = (self.here.written.get(name), stored) else { continue };
            let fetched = fetch(exchange, stored, folder, path, ended);
            fetched.map_err(|error| error.failure("cannot fetch a file that the step wrote"))?;
        }
        if let Some(output) = self.outcome.output.as_ref().filter(|_| self.is_read_here) {
            let place = (&self.here.scratch, OUTPUT);
            let how = (&self.supervisor, self.require_confinement);
            fetch_output(exchange, output, &self.outcome.tables, place, &self.output, how, ended)?;
        }
        Ok(())
    }
}

impl Schedule<'_> {
    /// Writes what is known of the run to the ledger.
    pub(super) fn note_shared(&self) {
        if let Some(ties) = &self.ties {
            ties.write_manifest(&self.session.scrubber.scrubbed(self.manifest));
        }
    }

    /// Stores and commits an attempt that has succeeded.
    pub(super) fn settle(
        &mut self,
        (place, number, begun): (usize, u32, Instant),
        has_connected: bool,
        targets: Vec<Target>,
        (done, stored): (Done, Option<Vec<SentFile>>),
    ) {
        let step = &self.plan.steps[place];
        let is_read_here = self.is_read_here(place);
        let outcome = self.outcome(place, (number, begun), done);
        let Some(ties) = &mut self.ties else { return };
        let is_ended = Arc::new(AtomicBool::new(false));
        let work = (|| {
            let files = |target: &Target| Ok((target.name().to_owned(), target.written(self.base)?));
            let written = targets.iter().map(files).collect::<std::io::Result<_>>()?;
            let here = Here { scratch: self.session.scratch_folder(&step.id)?, written };
            anyhow::Ok(Work {
                shared: ties.shared.clone(),
                supervisor: ties.supervisor.clone(),
                require_confinement: ties.require_confinement,
                outcome: outcome.clone(),
                here,
                makes_output: step.stores_tables(),
                stored,
                is_read_here,
                output: self.session.scratch_path(&step.id).join(OUTPUT),
                is_ended: Arc::clone(&is_ended),
            })
        })();
        match work.and_then(|work| ties.apart("settle", move || work.settle())) {
            Ok((settled, thread)) => {
                let settling = Settling { place, number, begun, has_connected, targets, is_ended, thread };
                self.apart.settling.insert(settled, settling);
            }
            Err(error) => {
                targets::discard(self.base, targets);
                self.session.remove_scratch(&step.id);
                self.fail(place, Some(begun), &Failure::of_host(&error));
            }
        }
    }

    /// Whether a step on this machine reads the output of a step.
    pub(super) fn is_read_here(&self, place: usize) -> bool {
        let id = &self.plan.steps[place].id;
        let reads = |step: &&crate::plan::PlannedStep| step.inputs.iter().any(|input| input.step == *id);
        self.plan.steps.iter().filter(reads).any(|step| step.on.worker().is_none())
    }

    /// Handles the end of what was done on a separate thread.
    pub(super) fn settled(&mut self, number: u64) {
        self.apart.forgetting.remove(&number);
        if let Some(Noting { place, begun, thread }) = self.apart.noting.remove(&number) {
            return self.noted(place, begun, thread);
        }
        let Some(settling) = self.apart.settling.remove(&number) else { return };
        let Settling { place, number, begun, has_connected, targets, thread, .. } = settling;
        let ended = || Err(Failure::new(Blame::Host, "internal", "a thread ended"));
        let step = &self.plan.steps[place];
        let outcome = match thread.join().unwrap_or_else(|_| ended()) {
            Ok(settled) if !self.interrupted => {
                let created: Vec<String> = settled.outcome.files.keys().cloned().collect();
                self.keep(step, targets, &created, settled.has_output).map(|()| settled)
            }
            outcome => {
                targets::discard(self.base, targets);
                outcome.and_then(|_| Err(self.interruption()))
            }
        };
        self.session.remove_scratch(&step.id);
        match outcome {
            Ok(settled) => self.adopt(place, settled.outcome, settled.has_output),
            Err(failure) => self.try_again_or_fail(place, Retrial::after(number, begun), has_connected, failure),
        }
        self.note_progress();
    }

    /// Begins a step that must not be run twice, once the ledger says that it has begun.
    pub(super) fn note_begin(&mut self, place: usize, begun: Instant) {
        let step = self.plan.steps[place].id.to_string();
        let noting = match &mut self.ties {
            None => Err(anyhow::anyhow!("there is no ledger")),
            Some(ties) => {
                let shared = ties.shared.clone();
                ties.apart("note", move || shared.note_begun(&step))
            }
        };
        match noting {
            Ok((number, thread)) => drop(self.apart.noting.insert(number, Noting { place, begun, thread })),
            Err(error) => self.fail(place, Some(begun), &Failure::of_host(&error)),
        }
    }

    fn noted(&mut self, place: usize, begun: Instant, thread: JoinHandle<Result<Creation, ExchangeError>>) {
        let failure = match thread.join() {
            Ok(Ok(Creation::Created)) if !self.interrupted => {
                let due = Instant::now();
                self.retrying.insert(place, Retrial { number: 1, begun, due });
                return;
            }
            Ok(Ok(Creation::Taken)) => begun_elsewhere(),
            Ok(Err(error)) => error.failure("cannot note that the step begins"),
            Ok(Ok(_)) => interrupted(),
            Err(_) => Failure::new(Blame::Host, "internal", "a thread ended"),
        };
        self.fail(place, Some(begun), &failure);
    }

    /// Has the ledger forget that a step began, because it has changed nothing.
    pub(super) fn forget_begun(&mut self, place: usize) {
        let step = &self.plan.steps[place].id;
        match &mut self.ties {
            None => super::ledger::note_harmless(self.session, step.as_str()),
            Some(ties) => {
                let (shared, step) = (ties.shared.clone(), step.to_string());
                let forgetting = ties.apart("note", move || {
                    if let Err(error) = shared.note_harmless(&step) {
                        tracing::warn!(%error, "the ledger still says that a step began");
                    }
                });
                match forgetting {
                    Ok((number, _)) => drop(self.apart.forgetting.insert(number)),
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "the ledger still says that a step began")
                    }
                }
            }
        }
    }

    /// Ends what is being stored, and has the rest end soon.
    pub(super) fn end_settling(&mut self) {
        if let Some(ties) = &self.ties {
            ties.shared.exchange().hurry();
        }
        self.apart.settling.values().for_each(|settling| settling.is_ended.store(true, Ordering::SeqCst));
    }
}

/// The failure of a step that began before, and may have sent rows.
pub(super) fn begun_elsewhere() -> Failure {
    let message =
        "the step began before and did not end: it is not run again, because rows that it has sent may arrive twice";
    Failure::new(Blame::User, "interrupted", message)
        .hint("see what arrived; a new run, without `--resume`, delivers all rows again")
}
