//! The attempts that a host has on a worker, and what the worker's answers do to them. It knows no process and no stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::receive::{Received, Receiving};
use super::{Digests, locked};
use crate::digest::Digest;
use crate::error::{Blame, DISK_FULL, Failure, Retry};
use crate::executor::process::{Ending, ProcessEvent};
use crate::protocol::Message;
use crate::protocol::worker::{Answer, Command, Completion, Event, SentFile};
use crate::untrusted::Untrusted;

/// How long a worker may take to compile a driver: as long as its compiler gives it, and a little more.
const COMPILING: Duration = Duration::from_secs(1860);

/// How long after its time limit an attempt must have ended.
const GRACE: Duration = Duration::from_secs(60);

/// The slowest transfer that an attempt is not ended for, in bytes per second.
const SLOWEST: u64 = 16 << 10;

/// How many bytes a message that a part has moved stands for.
const MOVED: u64 = 8 << 20;

/// Checks that an output has these tables, each with so many rows.
pub type Check = Box<dyn Fn(&Path, &BTreeMap<String, u64>) -> anyhow::Result<()> + Send + Sync>;

/// All attempts on a worker, over all connections to it.
pub struct Attempts {
    /// The worker's name for people.
    worker: String,
    table: Mutex<BTreeMap<u64, Hosted>>,
    say: SyncSender<ProcessEvent>,
    pub(super) digests: Digests,
    check: Check,
}

/// An attempt on a worker.
#[derive(Debug)]
pub struct Hosted {
    /// Until it has ended.
    pub received: Option<Receiving>,
    /// What it stored in an exchange.
    pub stored: Option<Vec<SentFile>>,
    /// Takes what the worker lacks, once.
    pub ready: Option<SyncSender<Vec<Digest>>>,
    pub may_connect: bool,
    pub time_limit: Duration,
    /// The connection that it is sent over, once there is one.
    pub link: Option<Link>,
    pub progress: Progress,
    pub ending: Option<Ending>,
}

/// How far an attempt has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// When it must have ended, once its job was sent.
    deadline: Option<Instant>,
    has_started: bool,
    /// How many bytes may still move to or from an exchange, for which it is given time.
    pub movable: u64,
    has_connected: bool,
}

/// A connection as an attempt sees it.
#[derive(Debug, Clone)]
pub struct Link {
    /// Counts connections: answers that come over another one are not about this attempt.
    pub number: u64,
    pub orders: Sender<Command>,
}

/// What a worker said of itself rather than of an attempt.
pub type LastWords = OnceLock<Untrusted>;

/// The kind of failure of an attempt whose worker is lost.
const LOST: &str = "lost";

/// The failure of an attempt whose worker is lost.
pub fn lost(worker: &str, why: &str) -> Failure {
    Failure {
        retry: Some(Retry { after_ms: None }),
        ..Failure::new(Blame::Host, LOST, format!("{worker} was lost: {why}"))
    }
    .hint("try again, or let the host do so with `retries: N` in the step")
}

/// A failure as a worker reports it. What its machine is to blame for names it, and has a remedy there. A bridge names the
/// machine that it has lost.
fn on_machine(worker: &str, failure: Failure) -> Failure {
    if failure.blame != Blame::Host || failure.kind.raw() == LOST {
        return failure;
    }
    let hint = match failure.kind.raw() {
        DISK_FULL => Some(
            "free some space on that machine, or give its worker another disk or more room with `--dir` and `--room`"
                .into(),
        ),
        _ => failure.hint,
    };
    Failure { message: format!("{worker}: {}", failure.message.raw()).into(), hint, ..failure }
}

impl Attempts {
    pub fn new(worker: String, say: SyncSender<ProcessEvent>, digests: Digests, check: Check) -> Self {
        Self { worker, table: Mutex::default(), say, digests, check }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, Hosted>> {
        locked(&self.table)
    }

    pub fn host(&self, number: u64, hosted: Hosted) {
        self.table().insert(number, hosted);
    }

    /// Notes over which connection an attempt is sent; returns false if it has ended.
    pub(super) fn link(&self, number: u64, link: Link) -> bool {
        self.with(number, |hosted| hosted.link = Some(link)).is_some()
    }

    /// Does something with an attempt that has not ended.
    fn with<T>(&self, number: u64, act: impl FnOnce(&mut Hosted) -> T) -> Option<T> {
        self.table().get_mut(&number).filter(|hosted| hosted.ending.is_none()).map(act)
    }

    /// Notes that its job is about to be sent: from now on it may run, and must end.
    pub(super) fn begins(&self, number: u64) -> bool {
        let begin = |hosted: &mut Hosted| {
            hosted.progress.deadline = Some(Instant::now() + COMPILING + hosted.time_limit + GRACE);
        };
        self.with(number, begin).is_some()
    }

    /// Whether an attempt has not ended yet.
    pub(super) fn is_hosting(&self, number: u64) -> bool {
        self.with(number, |_| ()).is_some()
    }

    pub(super) fn has_connected(&self, number: u64) -> bool {
        self.table().get(&number).is_some_and(|hosted| match hosted.ending {
            // Nobody knows.
            Some(Ending::Lost(_)) => hosted.may_connect && hosted.progress.deadline.is_some(),
            _ => hosted.progress.has_connected,
        })
    }

    pub(super) fn stored(&self, number: u64) -> Option<Vec<SentFile>> {
        self.table().get_mut(&number)?.stored.take()
    }

    /// How an attempt ended, which is then forgotten.
    pub(super) fn take_ending(&self, number: u64) -> Ending {
        let ending = self.table().remove(&number).and_then(|hosted| hosted.ending);
        ending.unwrap_or_else(|| Ending::Lost(lost(&self.worker, "its connection ended")))
    }

    /// Decides how an attempt ended; returns false if that was decided before.
    fn decide(&self, number: u64, ending: Ending) -> bool {
        let decide = |hosted: &mut Hosted| {
            (hosted.ending, hosted.received, hosted.ready) = (Some(ending), None, None);
        };
        self.with(number, decide).is_some()
    }

    /// Ends an attempt without a word of its own, unless it has ended.
    fn end(&self, number: u64, ending: Ending) {
        if self.decide(number, ending) {
            let _ = self.say.send(ProcessEvent::Closed(number));
        }
    }

    /// Passes on the last word of an attempt.
    pub(super) fn conclude(&self, number: u64, outcome: Result<Message, Failure>) {
        if self.decide(number, Ending::Told) {
            let message = outcome.unwrap_or_else(Message::Failed);
            let _ = self.say.send(ProcessEvent::Message(number, message, 0));
            let _ = self.say.send(ProcessEvent::Closed(number));
        }
    }

    /// Has the worker end an attempt.
    fn order_kill(&self, number: u64) {
        let link = self.table().get(&number).and_then(|hosted| hosted.link.clone());
        if let Some(link) = link {
            let _ = link.orders.send(Command::Kill { attempt: number });
        }
    }

    /// Ends an attempt, whatever the worker does. Never waits.
    pub(super) fn kill(self: &Arc<Self>, number: u64) {
        if !self.is_hosting(number) {
            return;
        }
        self.order_kill(number);
        let attempts = Arc::clone(self);
        let failure = Failure::new(Blame::User, "interrupted", "the attempt was ended");
        let ended = super::thread("worker-kill", move || attempts.end(number, Ending::Lost(failure)));
        if let Err(error) = ended {
            tracing::warn!(error = format!("{error:#}"), "an attempt on a worker cannot be ended");
        }
    }

    /// Ends an attempt that could not be sent because its worker is lost.
    pub(super) fn lose(&self, number: u64, why: &str) {
        self.end(number, Ending::Lost(lost(&self.worker, why)));
    }

    /// Ends all attempts of a connection whose last word has not been heard.
    pub(super) fn lose_all(&self, link: u64, why: &str) {
        // The files of the others have arrived, and are being checked.
        for number in self.of(link, |hosted| hosted.received.is_some()) {
            self.lose(number, why);
        }
    }

    /// Ends the attempts of a connection that have not ended in time.
    pub(super) fn expire(&self, link: u64) {
        let now = Instant::now();
        for number in self.of(link, |hosted| hosted.progress.deadline.is_some_and(|deadline| deadline < now)) {
            self.order_kill(number);
            self.lose(number, "it did not end the step at its time limit");
        }
    }

    /// Whether no attempt of a connection is running.
    pub(super) fn is_idle(&self, link: u64) -> bool {
        self.of(link, |hosted| hosted.ending.is_none()).is_empty()
    }

    fn of(&self, link: u64, wanted: impl Fn(&Hosted) -> bool) -> Vec<u64> {
        let is_wanted = |hosted: &Hosted| hosted.link.as_ref().is_some_and(|on| on.number == link) && wanted(hosted);
        self.table().iter().filter(|(_, hosted)| is_wanted(hosted)).map(|(number, _)| *number).collect()
    }

    /// Handles an answer that came over a connection. One about an attempt that is not there, or has ended, is ignored.
    pub fn hear(self: &Arc<Self>, link: u64, answer: Answer, size: u64, bytes: &[u8], last_words: &LastWords) {
        let about = match &answer {
            Answer::Pong(_) | Answer::Cleaned {} | Answer::Error { attempt: None, .. } => None,
            Answer::Ready { attempt, .. }
            | Answer::Log { attempt, .. }
            | Answer::Metric { attempt, .. }
            | Answer::Progress { attempt, .. }
            | Answer::Checks { attempt, .. }
            | Answer::Event { attempt, .. }
            | Answer::Output { attempt, .. }
            | Answer::Complete { attempt, .. }
            | Answer::Error { attempt: Some(attempt), .. } => Some(*attempt),
        };
        let is_here = |hosted: &mut Hosted| hosted.link.as_ref().is_some_and(|on| on.number == link);
        let Some(number) = about else {
            if let Answer::Error { failure, .. } = answer {
                let _ = last_words.set(failure.message);
            }
            return;
        };
        if self.with(number, is_here) != Some(true) {
            return;
        }
        let pass = |message: Message| drop(self.say.send(ProcessEvent::Message(number, message, size)));
        match answer {
            Answer::Pong(_) | Answer::Cleaned {} => {}
            Answer::Ready { lacks, .. } => {
                if let Some(ready) = self.with(number, |hosted| hosted.ready.take()).flatten() {
                    let _ = ready.send(lacks);
                }
            }
            Answer::Log { level, message, fields, .. } => pass(Message::Log { level, message, fields }),
            Answer::Metric { name, value, .. } => pass(Message::Metric { name, value }),
            Answer::Progress { done, total, .. } => pass(Message::Progress { done, total }),
            Answer::Checks { outcomes, .. } => pass(Message::Checks { outcomes }),
            Answer::Event { event: Event::MessageLost, .. } => drop(self.say.send(ProcessEvent::TooLong(number))),
            Answer::Event { event: Event::Started, .. } => drop(self.with(number, started)),
            Answer::Event { event: Event::Compiling, .. } => {}
            Answer::Event { event: Event::Moved, .. } => drop(self.with(number, moved)),
            Answer::Output { name, .. } => self.take_part(number, name.as_deref(), bytes),
            Answer::Complete { report, .. } => self.complete(number, *report),
            Answer::Error { failure, connected, .. } => {
                self.note_connection(number, connected);
                self.conclude(number, Err(on_machine(&self.worker, *failure)));
            }
        }
    }

    fn note_connection(&self, number: u64, connected: bool) {
        self.with(number, |hosted| hosted.progress.has_connected |= connected);
    }

    /// Takes a part of a file. An attempt whose files cannot be taken is ended.
    fn take_part(&self, number: u64, name: Option<&str>, part: &[u8]) {
        let take = |hosted: &mut Hosted| {
            let time = Duration::from_millis(1000 * part.len() as u64 / SLOWEST);
            hosted.progress.deadline = hosted.progress.deadline.map(|deadline| deadline + time);
            hosted.received.as_mut().map_or(Ok(()), |received| received.part(name, part))
        };
        if let Some(Err(error)) = self.with(number, take) {
            self.fail(number, &error);
        }
    }

    fn complete(self: &Arc<Self>, number: u64, report: Completion) {
        let Completion { tables, rows_written, state, rejected, varying, outputs, connected } = report;
        self.note_connection(number, connected);
        let Some(receiving) = self.with(number, |hosted| hosted.received.take()).flatten() else { return };
        let received = match receiving {
            Receiving::Here(received) => received,
            Receiving::Elsewhere(expected) => {
                return match expected.check(&outputs) {
                    Ok(files) => {
                        self.with(number, |hosted| hosted.stored = Some(outputs));
                        self.conclude(
                            number,
                            Ok(Message::Complete { tables, rows_written, files, state, rejected, varying }),
                        );
                    }
                    Err(error) => self.fail(number, &error),
                };
            }
        };
        self.check(number, received, Completion { tables, rows_written, state, rejected, varying, outputs, connected });
    }

    /// Checks what an attempt sent. Meanwhile other attempts are heard.
    fn check(self: &Arc<Self>, number: u64, received: Received, report: Completion) {
        let Completion { tables, rows_written, state, rejected, varying, outputs, .. } = report;
        let attempts = Arc::clone(self);
        let checking = move || {
            let output = received.output().map(Path::to_owned);
            let checked = received.finish(&outputs, &attempts.digests).and_then(|files| {
                let checked = output.map_or(Ok(()), |output| (attempts.check)(&output, &tables));
                checked.context("it sent an output that is not what it says").map(|()| files)
            });
            match checked {
                Ok(files) => {
                    attempts.conclude(
                        number,
                        Ok(Message::Complete { tables, rows_written, files, state, rejected, varying }),
                    );
                }
                Err(error) => attempts.fail(number, &error),
            }
        };
        if let Err(error) = super::thread("worker-check", checking) {
            self.fail(number, &error);
        }
    }

    /// Ends an attempt because of what its worker sent, or because it cannot be stored.
    fn fail(&self, number: u64, error: &anyhow::Error) {
        let mut failure = Failure::of_host(error);
        if error.chain().all(|cause| cause.downcast_ref::<std::io::Error>().is_none()) {
            failure = Failure::new(Blame::Host, "worker", format!("{} cannot be trusted: {error:#}", self.worker))
                .hint("nothing of what it sent was kept; look at that machine before you use it again");
        }
        self.order_kill(number);
        self.conclude(number, Err(failure));
    }
}

/// Gives an attempt the time that a part needs which has moved.
fn moved(hosted: &mut Hosted) {
    let Progress { deadline, movable, .. } = &mut hosted.progress;
    if let Some(left) = movable.checked_sub(MOVED) {
        *movable = left;
        *deadline = deadline.map(|deadline| deadline + Duration::from_secs(MOVED / SLOWEST));
    }
}

/// Notes that an attempt runs, so that its time limit counts; once, or a worker could prolong it.
fn started(hosted: &mut Hosted) {
    let Progress { deadline, has_started, .. } = &mut hosted.progress;
    if !std::mem::replace(has_started, true) {
        *deadline = deadline.map(|latest| latest.min(Instant::now() + hosted.time_limit + GRACE));
    }
}
