//! Takes over what an earlier session made of a step, if nothing that decides the result has changed.
//!
//! A step's result is decided by the program, the driver, the config with its secrets, and the content of the outputs and files
//! that it reads, as long as its driver and its SQL ask for nothing that varies by itself. Each step that succeeds leaves a
//! sealed record of these ([`made`]); before a step begins, the records of earlier sessions are compared.

mod files;
pub mod made;
mod notes;
pub mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::ledger::{self, Outcome};
use super::record;
use super::schedule::Schedule;
use super::targets;
use crate::digest::Digest;
use crate::error::Report;
use crate::exchange::StoredFile;
use crate::executor::process::ProcessEvent;
use crate::plan::{Plan, PlannedStep};
use crate::protocol::{FileGrant, LogLevel};
use crate::session::{Base, Reuse as How, Reused, earlier, now};
use crate::warning::Warning;
use files::{ReadFile, WrittenFile};
use made::{Made, Seal, Unusable, record_name};
use search::{Candidate, Found, Search, take_output};

/// The numbers of what is done on separate threads: none is that of a process or of something that is settled.
const FIRST: u64 = 1 << 49;

/// How many earlier sessions are looked at, and how many results of each step are compared.
const MOST_SESSIONS: usize = 200;
const MOST_CANDIDATES: usize = 3;

/// Whether a run reuses what earlier ones made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reusing {
    /// It reuses, and can be reused.
    On,
    /// It runs all its steps, and can be reused.
    Fresh,
    /// It leaves nothing to reuse.
    Off,
}

/// What a run knows of earlier ones, and notes for later ones.
pub(super) struct Reuse {
    /// None if the run leaves nothing to reuse.
    seal: Option<Seal>,
    say: SyncSender<ProcessEvent>,
    next: u64,
    is_ended: Arc<AtomicBool>,
    /// What decides the result of each step that can be reused, apart from the content of files.
    keys: BTreeMap<usize, Digest>,
    /// Results of earlier sessions that have not been compared yet.
    candidates: BTreeMap<usize, Vec<Candidate>>,
    /// The files that each step reads, as they were before it began.
    reads: BTreeMap<usize, Vec<ReadFile>>,
    /// The outputs of this session; `None` if one cannot be read.
    outputs: BTreeMap<usize, Option<StoredFile>>,
    seeking: BTreeMap<u64, Seeking>,
    hashing: BTreeMap<u64, (usize, JoinHandle<Hashed>)>,
    /// Records that lack only the content of their inputs.
    open: BTreeMap<usize, Made>,
    /// The steps that ran in this session.
    ran: BTreeSet<usize>,
}

/// A search that is going on.
struct Seeking {
    place: usize,
    begun: Instant,
    thread: JoinHandle<Found>,
}

/// The content of what a step made and read.
struct Hashed {
    output: Option<StoredFile>,
    written: Option<BTreeMap<String, StoredFile>>,
    reads: Option<BTreeMap<String, StoredFile>>,
}

/// Says that a thread has ended, in whatever way: the run waits for it.
struct Heard(u64, SyncSender<ProcessEvent>);

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = self.1.send(ProcessEvent::Settled(self.0));
    }
}

/// Whether a step's result can be reused as far as its plan says.
pub fn is_reusable(step: &PlannedStep) -> bool {
    let connects = !step.grants.endpoints().is_empty();
    let is_fixed = step.driver.spec.deterministic != Some(false) && !connects && reaches_only_files(step);
    match step.cache {
        Some(false) => false,
        _ if step.state.is_some() => false,
        // A writer that connects and has `cache: true` is refused when it is planned.
        Some(true) => !step.driver.spec.kind.delivers() || reaches_only_files(step),
        None => is_fixed,
    }
}

/// Whether all that a step was granted is files that are compared by their content.
fn reaches_only_files(step: &PlannedStep) -> bool {
    // A state that is kept is seen elsewhere; `words` only says the same for people.
    const COMPARED: [&str; 7] = ["read", "read_matching", "write", "create_folders", "databases", "state", "words"];
    let grants = step.grants.json();
    let updates = !step.grants.databases.update.is_empty();
    !updates
        && grants.as_object().is_some_and(|grants| {
            grants.iter().filter(|(name, _)| !COMPARED.contains(&name.as_str())).all(|(_, given)| is_empty(given))
        })
}

/// Whether a grant as JSON gives nothing.
fn is_empty(given: &Value) -> bool {
    match given {
        Value::Null => true,
        Value::Bool(given) => !given,
        Value::Number(_) | Value::String(_) => false,
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

impl Reuse {
    /// For a run of a plan that reads and leaves records as `how` says.
    pub(super) fn new(how: Reusing, base: &Base, say: SyncSender<ProcessEvent>) -> Self {
        let seal = (how != Reusing::Off).then(|| Seal::of(base)).transpose();
        let seal = seal.unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "what earlier sessions made cannot be reused");
            None
        });
        Self {
            seal,
            say,
            next: FIRST,
            is_ended: Arc::default(),
            keys: BTreeMap::new(),
            candidates: BTreeMap::new(),
            reads: BTreeMap::new(),
            outputs: BTreeMap::new(),
            seeking: BTreeMap::new(),
            hashing: BTreeMap::new(),
            open: BTreeMap::new(),
            ran: BTreeSet::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.seeking.is_empty() && self.hashing.is_empty()
    }

    /// Has what is done on separate threads end soon.
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
    }

    /// The seed of the hash tables of a step's guest.
    pub(super) fn hash_seed(&self, plan: &Plan, step: &PlannedStep) -> u64 {
        self.seal.as_ref().map_or_else(crate::session::noise, |seal| seal.hash_seed(plan, step))
    }

    /// Notes the files that a step is about to read.
    pub(super) fn note_reads(&mut self, place: usize, grants: &[FileGrant]) {
        if self.keys.contains_key(&place) {
            self.reads.insert(place, grants.iter().map(ReadFile::of).collect());
        }
    }

    fn apart<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<(u64, JoinHandle<T>)> {
        self.next += 1;
        let (number, end) = (self.next, Heard(self.next, self.say.clone()));
        let working = move || {
            let _end = end;
            work()
        };
        let thread = std::thread::Builder::new().name("reuse".to_owned()).spawn(working);
        Ok((number, thread.context("cannot start a thread")?))
    }
}

impl Schedule<'_> {
    /// Finds what earlier sessions made of the plan's steps, if `how` says so.
    pub(super) fn look_back(&mut self, how: Reusing) -> anyhow::Result<()> {
        let Some(seal) = &self.reuse.seal else { return Ok(()) };
        let steps = self.plan.steps.iter().enumerate().filter(|(_, step)| is_reusable(step));
        let keys: BTreeMap<_, _> = steps.map(|(place, step)| (place, seal.key(self.plan, self.base, step))).collect();
        let mut wanted: BTreeSet<usize> = if how == Reusing::On { keys.keys().copied().collect() } else { [].into() };
        wanted.retain(|place| self.waiting.contains(place));
        let mut candidates: BTreeMap<usize, Vec<Candidate>> = BTreeMap::new();
        let mut unusable = BTreeMap::new();
        for session in earlier::earlier(self.base, &self.session.id)?.take(MOST_SESSIONS) {
            if wanted.is_empty() {
                break;
            }
            let session = Arc::new(session);
            for place in wanted.clone() {
                let step = self.plan.steps[place].id.as_str();
                match session.record(&record_name(step)).map(|text| seal.open(&text)) {
                    Some(Ok(made)) if made.is_of(&session, &self.plan.pipeline, &keys[&place]) => {
                        let found = candidates.entry(place).or_default();
                        found.push(Candidate { session: Arc::clone(&session), made });
                        if found.len() == MOST_CANDIDATES {
                            wanted.remove(&place);
                        }
                    }
                    Some(Err(why @ Unusable::Foreign)) => {
                        unusable.entry(place).or_insert_with(|| (session.id.clone(), why));
                    }
                    Some(Ok(_) | Err(Unusable::OtherVersion)) | None => {}
                }
            }
        }
        (self.reuse.keys, self.reuse.candidates) = (keys, candidates);
        for (place, (session, why)) in unusable {
            refuse(self, &self.plan.steps[place], &session, &format!("its record cannot be used: {why}"));
        }
        Ok(())
    }

    /// Looks whether a step whose needs are met has to run; returns whether that is still open.
    pub(super) fn is_sought(&mut self, place: usize) -> bool {
        if self.reuse.seeking.values().any(|seeking| seeking.place == place) {
            return true;
        }
        let Some(candidates) = self.reuse.candidates.remove(&place) else { return false };
        if self.follows_delivery(place) {
            return false;
        }
        let Some(candidates) = self.with_these_inputs(place, candidates) else { return true };
        if candidates.is_empty() {
            return false;
        }
        match self.search(place, candidates) {
            Ok(is_searched) => is_searched,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot look for the result of a step");
                false
            }
        }
    }

    /// Whether a step reads from a server after a step of this run has delivered, perhaps there.
    fn follows_delivery(&self, place: usize) -> bool {
        if self.plan.steps[place].grants.endpoints().is_empty() {
            return false;
        }
        let (mut left, mut seen) = (vec![place], BTreeSet::new());
        while let Some(place) = left.pop() {
            if self.reuse.ran.contains(&place) && self.plan.steps[place].driver.spec.kind.delivers() {
                return true;
            }
            let needs = &self.plan.steps[place].needs;
            let before = (0..self.plan.steps.len()).filter(|other| needs.contains(&self.plan.steps[*other].id));
            left.extend(before.filter(|other| seen.insert(*other)));
        }
        false
    }

    /// The candidates that were made from the outputs of this session. `None` if that shows only once these have been read; the
    /// candidates are then kept.
    fn with_these_inputs(&mut self, place: usize, mut candidates: Vec<Candidate>) -> Option<Vec<Candidate>> {
        let step = &self.plan.steps[place];
        let mut waits = false;
        for id in step.inputs.iter().map(|input| &input.step).collect::<BTreeSet<_>>() {
            let input = self.plan.steps.iter().position(|step| step.id == *id);
            let known = input.and_then(|input| self.reuse.outputs.get(&input));
            let bytes = || self.session.output_bytes(id);
            candidates.retain(|candidate| match (candidate.made.inputs.get(id.as_str()), known) {
                (Some(read), Some(output)) => output.as_ref() == Some(read),
                (Some(read), None) => bytes() == Some(read.bytes),
                (None, _) => false,
            });
            let is_read = self.reuse.hashing.values().any(|(hashed, _)| Some(*hashed) == input);
            match known {
                None if is_read => waits = true,
                None => candidates.clear(),
                Some(_) => {}
            }
        }
        if !waits || candidates.is_empty() {
            return Some(candidates);
        }
        self.reuse.candidates.insert(place, candidates);
        None
    }

    /// Begins to compare what a step reads; returns false if it cannot be read, which the step itself will say.
    fn search(&mut self, place: usize, candidates: Vec<Candidate>) -> anyhow::Result<bool> {
        let step = &self.plan.steps[place];
        // The locks are not needed: a file that changes while it is compared is noticed.
        let Ok((reads, _)) = targets::all_readable(self.base, step) else { return Ok(false) };
        let search = Search {
            step: step.id.to_string(),
            candidates,
            reads,
            targets: targets_of(step, |_| true)?,
            data: self.session.data_folder()?,
            beside: beside(step),
            is_ended: Arc::clone(&self.reuse.is_ended),
        };
        let (number, thread) = self.reuse.apart(move || search.run())?;
        self.reuse.seeking.insert(number, Seeking { place, begun: Instant::now(), thread });
        Ok(true)
    }

    /// Handles the end of what was done on a separate thread; returns whether it was one of these.
    pub(super) fn reuse_settled(&mut self, number: u64) -> bool {
        if let Some(Seeking { place, begun, thread }) = self.reuse.seeking.remove(&number) {
            let found = thread.join().unwrap_or_default();
            for (session, why) in &found.refused {
                refuse(self, &self.plan.steps[place], session, why);
            }
            if let Some(candidate) = found.candidate
                && self.waiting.contains(&place)
                && !self.interrupted
            {
                self.take_cached(place, candidate, begun);
            } else if let Ok(data) = self.session.data_folder() {
                let _ = data.remove_file(beside(&self.plan.steps[place]));
            }
            return true;
        }
        let Some((place, thread)) = self.reuse.hashing.remove(&number) else { return false };
        let hashed = thread.join().unwrap_or(Hashed { output: None, written: None, reads: None });
        self.reuse.outputs.insert(place, hashed.output.clone());
        if let Some(made) = self.reuse.open.get_mut(&place) {
            let is_whole = hashed.written.is_some() && hashed.reads.is_some();
            made.key = made.key.take().filter(|_| is_whole);
            made.output = hashed.output;
            made.written = hashed.written.unwrap_or_default();
            made.reads = hashed.reads.unwrap_or_default();
        }
        self.note_whole();
        true
    }

    /// Takes over what an earlier session made of a step.
    fn take_cached(&mut self, place: usize, Candidate { session, made }: Candidate, begun: Instant) {
        let step = &self.plan.steps[place];
        let kept = if made.output.is_some() { self.session.keep_linked(&step.id, &beside(step)) } else { Ok(()) };
        if let Err(error) = kept {
            return refuse(self, step, &session.id, &format!("{error:#}"));
        }
        self.waiting.remove(&place);
        self.session.event("step_cached", json!({"step_id": step.id, "from_session": session.id}));
        self.take(place, made, (How::Cached, &session.id), begun);
    }

    /// Takes over the steps that are not to run.
    ///
    /// # Errors
    /// A [`Report`] if an output was changed after it was made; nothing has run by then.
    pub(super) fn take_selected(&mut self) -> anyhow::Result<()> {
        let Some(selection) = self.selection else { return Ok(()) };
        let Some(session) = &selection.session else { return Ok(()) };
        for place in 0..self.plan.steps.len() {
            let step = &self.plan.steps[place];
            let Some(made) = selection.taken.get(&step.id) else { continue };
            let (begun, data) = (Instant::now(), self.session.data_folder()?);
            let beside = beside(step);
            take_output(session, made, step.id.as_str(), (&data, &beside), &|| false).map_err(|error| {
                let report = Report::input(format!(
                    "cannot take over step `{}` from session {}: {error:#}",
                    step.id, session.id
                ));
                report.hint("run it too, or take it from another session with `--resume SESSION`")
            })?;
            if made.output.is_some() {
                self.session.keep_linked(&step.id, &beside)?;
            }
            self.waiting.remove(&place);
            self.session.event("step_taken_over", json!({"step_id": step.id, "from_session": session.id}));
            self.take(place, made.clone(), (How::TakenOver, &session.id), begun);
        }
        Ok(())
    }

    /// Records what an earlier session made of a step as the result of the step; its output is in place.
    pub(super) fn take(&mut self, place: usize, made: Made, (how, from): (How, &str), begun: Instant) {
        let step = &self.plan.steps[place];
        let outcome = Outcome {
            attempt: 0,
            host: 1,
            finished_at: now(),
            duration_ms: record::milliseconds(begun.elapsed()),
            ..made.outcome.clone()
        };
        let made = Made { session: self.session.id.clone(), outcome: outcome.clone(), ..made };
        self.reuse.outputs.insert(place, made.output.clone());
        self.write_made(step, &made);
        if let Err(error) = ledger::note_done(self.session, &outcome) {
            tracing::warn!(error = format!("{error:#}"), step = step.id.as_str(), "cannot note that a step is done");
        }
        self.manifest.steps[place].reused = Some(Reused { session: from.to_owned(), how });
        let has_output = made.output.is_some();
        self.adopt(place, outcome, has_output);
        self.note_progress();
    }
}

/// Where an output is while it is being taken over.
fn beside(step: &PlannedStep) -> String {
    format!(".{}.duckdb.taken", step.id)
}

/// The places of the files that a step may write and that `is_wanted` by their names.
fn targets_of(step: &PlannedStep, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<WrittenFile>> {
    let wanted = step.grants.write.iter().filter(|wish| is_wanted(&wish.name));
    wanted.map(|wish| Ok((wish.name.clone(), Base::open(&wish.root)?.dir, wish.below.clone()))).collect()
}

/// Says that something of an earlier session is not used, because it is not what it should be.
fn refuse(schedule: &mut Schedule<'_>, step: &PlannedStep, session: &str, why: &str) {
    schedule.session.event("reuse_refused", json!({"step_id": step.id, "from_session": session, "reason": why}));
    let warning = Warning::new(format!("nothing of session {session} is reused for it: {why}"));
    let warning = schedule.session.scrubber.scrubbed(&warning);
    schedule.observer.log(step.id.as_str(), LogLevel::Warn, &warning);
}
