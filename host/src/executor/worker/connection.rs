//! The connection to a worker: who speaks when, and what becomes of attempts when it breaks.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::receive::Received;
use super::verify::check_rows;
use super::{Digests, bridges, send};
use crate::digest::Digest;
use crate::error::{Blame, Failure, Fault, Report};
use crate::executor::process::{Ending, ProcessEvent, keep_stderr};
use crate::executor::supervisor::Supervisor;
use crate::pipeline::project::WorkerPlace;
use crate::protocol::Message;
use crate::protocol::worker::{
    Announcement, Answer, Command, Completion, Event, LineReader, LineWriter, PROTOCOL, Read, VERSION, WireError,
};
use crate::untrusted;

/// How long a worker may take to answer for the first time: a machine may have to start for it.
const FIRST_ANSWER: Duration = Duration::from_secs(120);

/// How often the host gives a sign of life, which the worker answers.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A worker that has not sent anything for so long is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a command that has ended may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a worker may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Connection {
    name: String,
    pub(super) announced: Announcement,
    pub(super) digests: Digests,
    supervisor: Supervisor,
    commands: LineWriter<ChildStdin>,
    /// Short commands, which a thread of their own sends, because sending may take long.
    orders: Mutex<Sender<Command>>,
    child: Mutex<Child>,
    attempts: Mutex<BTreeMap<u64, Hosted>>,
    say: SyncSender<ProcessEvent>,
    /// When anything was heard last.
    heard: Mutex<Instant>,
    lost: OnceLock<String>,
    /// Held by the attempt that is being sent.
    turn: Mutex<()>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

/// An attempt on a worker.
#[derive(Debug)]
pub(super) struct Hosted {
    /// Until it has ended.
    pub(super) received: Option<Received>,
    /// Takes what the worker lacks, once.
    pub(super) ready: Option<SyncSender<Vec<Digest>>>,
    pub(super) may_connect: bool,
    pub(super) has_connected: bool,
    pub(super) ending: Option<Ending>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the shell command, apart from the terminal's signals.
#[expect(clippy::disallowed_methods, reason = "starts the command that the operator wrote")]
fn start(command: &str) -> std::io::Result<Child> {
    std::process::Command::new("/bin/sh")
        .args(["-c", command])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ()).context("cannot start a thread")
}

/// A command that was started and has answered.
struct Greeted {
    child: ChildGuard,
    announced: Announcement,
    commands: LineWriter<ChildStdin>,
    lines: LineReader<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

/// Starts a worker's command, and hears what it is.
fn greet(place: &WorkerPlace) -> anyhow::Result<Greeted> {
    let command = bridges::command(&place.command)?.unwrap_or_else(|| place.command.clone());
    let mut child = ChildGuard(Some(start(&command).context("cannot start `/bin/sh`")?));
    let running = child.0.as_mut().context("the command has gone")?;
    let stdin = running.stdin.take().context("the command has no stdin")?;
    let stdout = running.stdout.take().context("the command has no stdout")?;
    let errors = running.stderr.take().context("the command has no stderr")?;
    let stderr = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&stderr);
    let (ended, has_ended) = channel::<()>();
    thread("worker-stderr", move || {
        keep_stderr(errors, &kept);
        drop(ended);
    })?;
    let commands = LineWriter::new(stdin);
    // If it has gone already, its stdout ends.
    let _ = commands.send(&Command::Ping { protocol: PROTOCOL, version: VERSION.to_owned() });
    let (tell, answered) = std::sync::mpsc::sync_channel(1);
    thread("worker-first", move || {
        let mut lines = LineReader::new(BufReader::with_capacity(1 << 16, stdout));
        let first = lines.read().map(|read| read.map(|read| read.line));
        let _ = tell.send((first, lines));
    })?;
    let why = match answered.recv_timeout(FIRST_ANSWER) {
        Ok((Ok(Some(Answer::Pong(announced))), lines)) => {
            return Ok(Greeted { child, announced, commands, lines, stderr });
        }
        Ok((Ok(Some(Answer::Error { attempt: None, failure, .. })), _)) => return Err(refused(place, *failure).into()),
        Ok((Ok(Some(_)) | Err(WireError::Malformed(_) | WireError::TooLong), _)) => {
            "what answers is not `osiris worker`".to_owned()
        }
        Ok((Ok(None) | Err(_), _)) => "its command ended".to_owned(),
        Err(_) => format!("nothing answered for {} s", FIRST_ANSWER.as_secs()),
    };
    // A command that has ended has said why.
    let _ = has_ended.recv_timeout(LAST_WORDS);
    let message = format!("cannot reach {}: {why}{}", shown(place), said(&stderr));
    let program = untrusted::line(place.command.trim_end_matches(" worker")).into_owned();
    Err(Report { fault: Fault::Host, ..Report::input(message) }
        .hint(format!("try `{program} --version`: it must print `osiris {VERSION}`"))
        .into())
}

/// A worker's name for people.
fn shown(place: &WorkerPlace) -> String {
    format!("worker `{}`", untrusted::line(&place.name))
}

/// Why there is no worker, in the words of what answered for it.
fn refused(place: &WorkerPlace, failure: Failure) -> Report {
    let fault = if failure.blame == Blame::User { Fault::Input } else { Fault::Host };
    let message = format!("cannot reach {}: {}", shown(place), failure.message.paragraph());
    Report { fault, hint: failure.hint.map(|hint| hint.paragraph()), message }
}

/// Checks that a worker is of this version.
fn check(announced: &Announcement, place: &WorkerPlace) -> Result<(), Report> {
    if (announced.protocol, announced.version.as_str()) == (PROTOCOL, VERSION) {
        return Ok(());
    }
    let theirs = untrusted::line(&announced.version);
    Err(Report::input(format!("{} has Osiris {theirs}, this is {VERSION}", shown(place)))
        .hint("install the same version on both machines: a job may contain what another version does not enforce"))
}

impl Connection {
    pub(super) fn open(
        place: &WorkerPlace,
        say: SyncSender<ProcessEvent>,
        digests: Digests,
        supervisor: Supervisor,
    ) -> anyhow::Result<Arc<Self>> {
        let Greeted { mut child, announced, commands, lines, stderr } = greet(place)?;
        check(&announced, place)?;
        let (orders, ordered) = channel();
        let connection = Arc::new(Self {
            name: shown(place),
            announced,
            digests,
            supervisor,
            commands,
            orders: Mutex::new(orders),
            child: Mutex::new(child.0.take().context("the command has gone")?),
            attempts: Mutex::default(),
            say,
            heard: Mutex::new(Instant::now()),
            lost: OnceLock::new(),
            turn: Mutex::default(),
            stderr,
        });
        let listening = Arc::clone(&connection);
        thread("worker", move || listening.listen(lines))?;
        let speaking = Arc::clone(&connection);
        thread("worker-orders", move || speaking.speak(&ordered))?;
        Ok(connection)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// The right to send an attempt.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        locked(&self.turn)
    }

    pub(super) fn send(&self, command: &Command, bytes: &[u8]) -> anyhow::Result<()> {
        self.commands.send_with(command, bytes).context("the connection to the worker is broken")
    }

    pub(super) fn host(&self, number: u64, hosted: Hosted) {
        locked(&self.attempts).insert(number, hosted);
    }

    /// Whether an attempt has not ended yet.
    pub(super) fn is_hosting(&self, number: u64) -> bool {
        locked(&self.attempts).get(&number).is_some_and(|hosted| hosted.ending.is_none())
    }

    pub(super) fn has_connected(&self, number: u64) -> bool {
        locked(&self.attempts).get(&number).is_some_and(|hosted| match hosted.ending {
            // Nobody knows.
            Some(Ending::Lost(_)) => hosted.may_connect,
            _ => hosted.has_connected,
        })
    }

    /// How an attempt ended, which is then forgotten.
    pub(super) fn take_ending(&self, number: u64) -> Ending {
        let ending = locked(&self.attempts).remove(&number).and_then(|hosted| hosted.ending);
        ending.unwrap_or_else(|| Ending::Lost(self.failure()))
    }

    /// Ends an attempt, whatever the worker does. Never waits.
    pub(super) fn kill(self: &Arc<Self>, number: u64) {
        if !self.is_hosting(number) {
            return;
        }
        let _ = locked(&self.orders).send(Command::Kill { attempt: number });
        let connection = Arc::clone(self);
        let failure = Failure::new(Blame::User, "interrupted", "the attempt was ended");
        let ended = thread("worker-kill", move || connection.end(number, Ending::Lost(failure)));
        if let Err(error) = ended {
            tracing::warn!(error = format!("{error:#}"), "an attempt on a worker cannot be ended");
        }
    }

    /// Says how an attempt ended, unless that is known.
    fn end(&self, number: u64, ending: Ending) {
        let is_first = match locked(&self.attempts).get_mut(&number) {
            Some(hosted) if hosted.ending.is_none() => {
                (hosted.ending, hosted.received, hosted.ready) = (Some(ending), None, None);
                true
            }
            _ => false,
        };
        if is_first {
            let _ = self.say.send(ProcessEvent::Closed(number));
        }
    }

    /// Passes on the last word of an attempt.
    pub(super) fn conclude(&self, number: u64, outcome: Result<Message, Failure>) {
        if self.is_hosting(number) {
            let message = outcome.unwrap_or_else(Message::Failed);
            let _ = self.say.send(ProcessEvent::Message(number, message, 0));
            self.end(number, Ending::Told);
        }
    }

    /// Sends orders, and signs of life; ends the connection once the worker gives none.
    fn speak(&self, orders: &Receiver<Command>) {
        loop {
            let command = match orders.recv_timeout(PING_EVERY) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => Command::Ping { protocol: PROTOCOL, version: VERSION.to_owned() },
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.is_lost() || self.commands.send(&command).is_err() || matches!(command, Command::Cleanup {}) {
                return;
            }
        }
    }

    /// Ends the connection if nothing was heard for too long.
    fn watch(&self) {
        while !self.is_lost() {
            let silent = locked(&self.heard).elapsed();
            if silent > PATIENCE {
                let _ = self.lost.set(format!("nothing was heard of it for {} s", silent.as_secs()));
                let _ = locked(&self.child).kill();
                return;
            }
            std::thread::sleep(PING_EVERY.min(PATIENCE.saturating_sub(silent)));
        }
    }

    fn failure(&self) -> Failure {
        let why = self.lost.get().map_or("its connection ended", String::as_str);
        send::lost(&self.name, &format!("{why}{}", said(&self.stderr)))
    }

    /// Hears the worker until the end of the connection, which ends all attempts.
    fn listen(self: &Arc<Self>, mut lines: LineReader<BufReader<ChildStdout>>) {
        let watching = Arc::clone(self);
        if let Err(error) = thread("worker-watch", move || watching.watch()) {
            tracing::warn!(error = format!("{error:#}"), "a worker that is silent will not be noticed");
        }
        let why = loop {
            match lines.read() {
                Ok(Some(Read { line, size, bytes })) => {
                    *locked(&self.heard) = Instant::now();
                    self.hear(line, size, bytes);
                }
                Ok(None) => break "its connection ended".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        let _ = self.lost.set(why);
        let _ = locked(&self.child).kill();
        let _ = locked(&self.child).wait();
        let numbers: Vec<u64> = locked(&self.attempts).keys().copied().collect();
        for number in numbers {
            self.end(number, Ending::Lost(self.failure()));
        }
    }

    fn hear(self: &Arc<Self>, answer: Answer, size: u64, bytes: &[u8]) {
        let pass = |number: u64, message: Message| {
            if self.is_hosting(number) {
                let _ = self.say.send(ProcessEvent::Message(number, message, size));
            }
        };
        match answer {
            Answer::Pong(_) | Answer::Cleaned {} => {}
            Answer::Ready { attempt, lacks } => {
                let ready = locked(&self.attempts).get_mut(&attempt).and_then(|hosted| hosted.ready.take());
                if let Some(ready) = ready {
                    let _ = ready.send(lacks);
                }
            }
            Answer::Log { attempt, level, message, fields } => pass(attempt, Message::Log { level, message, fields }),
            Answer::Metric { attempt, name, value } => pass(attempt, Message::Metric { name, value }),
            Answer::Progress { attempt, done, total } => pass(attempt, Message::Progress { done, total }),
            Answer::Event { attempt, event: Event::MessageLost } => {
                if self.is_hosting(attempt) {
                    let _ = self.say.send(ProcessEvent::TooLong(attempt));
                }
            }
            Answer::Event { .. } => {}
            Answer::Output { attempt, name, .. } => self.take_part(attempt, name.as_deref(), bytes),
            Answer::Complete { attempt, report } => self.complete(attempt, *report),
            Answer::Error { attempt: Some(attempt), failure, connected } => {
                self.note_connection(attempt, connected);
                self.conclude(attempt, Err(*failure));
            }
            Answer::Error { attempt: None, failure, .. } => {
                tracing::warn!(worker = self.name, failure = %failure.message, "a worker reports a fault");
            }
        }
    }

    fn note_connection(&self, number: u64, connected: bool) {
        if let Some(hosted) = locked(&self.attempts).get_mut(&number) {
            hosted.has_connected = connected;
        }
    }

    /// Takes a part of a file. An attempt whose files cannot be taken is ended.
    fn take_part(&self, number: u64, name: Option<&str>, part: &[u8]) {
        let taken = match locked(&self.attempts).get_mut(&number).and_then(|hosted| hosted.received.as_mut()) {
            Some(received) => received.part(name, part),
            None => return,
        };
        if let Err(error) = taken {
            self.fail(number, &error);
        }
    }

    fn complete(self: &Arc<Self>, number: u64, report: Completion) {
        let Completion { tables, rows_written, state, rejected, outputs, connected } = report;
        self.note_connection(number, connected);
        let received = locked(&self.attempts).get_mut(&number).and_then(|hosted| hosted.received.take());
        let Some(received) = received else { return };
        // Meanwhile other attempts are heard.
        let connection = Arc::clone(self);
        let checking = move || {
            let output = received.output().map(Path::to_owned);
            let checked = received.finish(&outputs, &connection.digests).and_then(|files| {
                let checked = output.map_or(Ok(()), |output| check_rows(&output, &tables, &connection.supervisor));
                checked.context("it sent an output that is not what it says").map(|()| files)
            });
            match checked {
                Ok(files) => {
                    let complete = Message::Complete { tables, rows_written, files, state, rejected };
                    connection.conclude(number, Ok(complete));
                }
                Err(error) => connection.fail(number, &error),
            }
        };
        if let Err(error) = thread("worker-check", checking) {
            self.fail(number, &error);
        }
    }

    /// Ends an attempt because of what its worker sent, or because it cannot be stored.
    fn fail(&self, number: u64, error: &anyhow::Error) {
        let mut failure = Failure::of_host(error);
        if error.chain().all(|cause| cause.downcast_ref::<std::io::Error>().is_none()) {
            failure = Failure::new(Blame::Host, "worker", format!("{} cannot be trusted: {error:#}", self.name))
                .hint("nothing of what it sent was kept; look at that machine before you use it again");
        }
        let _ = locked(&self.orders).send(Command::Kill { attempt: number });
        self.conclude(number, Err(failure));
    }

    /// Lets the worker clean up, and ends the connection.
    pub(super) fn close(&self) {
        let _ = locked(&self.orders).send(Command::Cleanup {});
        let until = Instant::now() + FAREWELL;
        while !self.is_lost() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = locked(&self.child).kill();
        let _ = locked(&self.child).wait();
    }
}

/// What the command said on stderr, as the end of a sentence.
fn said(stderr: &Mutex<Vec<u8>>) -> String {
    let text = String::from_utf8_lossy(&locked(stderr)).trim().to_owned();
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    if text.is_empty() {
        String::new()
    } else {
        format!("; it said: {}", untrusted::line(&last.into_iter().rev().collect::<Vec<_>>().join("; ")))
    }
}

/// A process that is killed on drop unless it is taken out.
struct ChildGuard(Option<Child>);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
