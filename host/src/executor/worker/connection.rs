//! The connection to a worker: its streams, its signs of life, and its end.

use std::io::BufReader;
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::attempts::{Attempts, LastWords, Link};
use super::program::{Program, Pulsed, Streams, keep_last};
use super::{locked, shown, thread};
use crate::error::{Blame, Failure, Fault, Report};
use crate::pipeline::project::WorkerPlace;
use crate::protocol::worker::{
    Announcement, Answer, Command, LineReader, LineWriter, PROTOCOL, Read, VERSION, WireError,
};
use crate::untrusted;

/// How long a worker may take to answer for the first time: a machine may have to start for it.
const FIRST_ANSWER: Duration = Duration::from_secs(120);

/// How often the host gives a sign of life, which the worker answers.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A worker that has not sent or taken anything for so long is lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a command that has ended may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a worker may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The most attempts at once that a worker is given.
const MOST_SLOTS: u32 = 256;

pub(super) struct Connection {
    worker: String,
    pub(super) announced: Announcement,
    attempts: Arc<Attempts>,
    /// Counts connections.
    number: u64,
    commands: LineWriter<Pulsed<ChildStdin>>,
    /// Short commands, which a thread of their own sends, because sending may take long.
    orders: Sender<Command>,
    program: Arc<Program>,
    lost: OnceLock<String>,
    last_words: LastWords,
    /// Held by the attempt that is being sent.
    turn: Mutex<()>,
}

type Lines = LineReader<BufReader<Pulsed<ChildStdout>>>;

/// A command that has answered.
pub(super) struct Greeted {
    program: Arc<Program>,
    announced: Announcement,
    commands: LineWriter<Pulsed<ChildStdin>>,
    lines: Lines,
    /// Ends with the command's stderr.
    silent: Receiver<()>,
}

/// Hears what a worker is, whose command was started.
///
/// # Errors
/// A [`Report`] if nothing answers, or another version of this program does.
pub(super) fn greet(place: &WorkerPlace, program: Arc<Program>, streams: Streams) -> anyhow::Result<Greeted> {
    let Streams { stdin, stdout, stderr } = streams;
    let kept = program.stderr();
    let (ended, silent) = channel::<()>();
    thread("worker-stderr", move || {
        keep_last(stderr, &kept);
        drop(ended);
    })?;
    let commands = LineWriter::new(stdin);
    // If it has gone already, its stdout ends.
    let _ = commands.send(&Command::Ping { protocol: PROTOCOL, version: VERSION.to_owned() });
    let (tell, answered) = sync_channel(1);
    thread("worker-first", move || {
        let mut lines = LineReader::new(BufReader::with_capacity(1 << 16, stdout));
        let first = lines.read().map(|read| read.map(|read| read.line));
        let _ = tell.send((first, lines));
    })?;
    let why = match answered.recv_timeout(FIRST_ANSWER) {
        Ok((Ok(Some(Answer::Pong(announced))), lines)) => {
            let announced = check(announced, place)?;
            return Ok(Greeted { program, announced, commands, lines, silent });
        }
        Ok((Ok(Some(Answer::Error { attempt: None, failure, .. })), _)) => return Err(refused(place, *failure).into()),
        Ok((Ok(Some(_)) | Err(WireError::Malformed(_) | WireError::TooLong(_)), _)) => {
            "what answers is not `osiris worker`".to_owned()
        }
        Ok((Ok(None) | Err(_), _)) => "its command ended".to_owned(),
        Err(_) => format!("nothing answered for {} s", FIRST_ANSWER.as_secs()),
    };
    // A command that has ended has said why.
    let _ = silent.recv_timeout(LAST_WORDS);
    let message = format!("cannot reach {}: {why}{}", shown(place), program.said());
    let tried = untrusted::line(without_worker(&place.command)).into_owned();
    Err(Report { fault: Fault::Host, ..Report::input(message) }
        .hint(format!("try `{tried} --version`: it must print `osiris {VERSION}`"))
        .into())
}

/// A command that starts a worker, up to its program.
fn without_worker(command: &str) -> &str {
    const VERB: &str = " worker";
    let ends_a_word =
        |(at, _): &(usize, &str)| command[at + VERB.len()..].chars().next().is_none_or(char::is_whitespace);
    command.match_indices(VERB).find(ends_a_word).map_or(command, |(at, _)| &command[..at])
}

/// Why there is no worker, in the words of what answered for it.
fn refused(place: &WorkerPlace, failure: Failure) -> Report {
    let fault = if failure.blame == Blame::User { Fault::Input } else { Fault::Host };
    let message = format!("cannot reach {}: {}", shown(place), failure.message.paragraph());
    Report { fault, hint: failure.hint.map(|hint| hint.paragraph()), message, place: None }
}

/// Checks that a worker is of this version, and offers what can be.
fn check(mut announced: Announcement, place: &WorkerPlace) -> Result<Announcement, Report> {
    if (announced.protocol, announced.version.as_str()) != (PROTOCOL, VERSION) {
        let theirs = untrusted::line(&announced.version);
        return Err(Report::input(format!("{} has Osiris {theirs}, this is {VERSION}", shown(place))).hint(
            "install the same version on both machines: a job may contain what another version does not enforce",
        ));
    }
    if announced.slots == 0 {
        return Err(Report::input(format!("{} runs no steps: it offers 0 slots", shown(place)))
            .hint("start it with `osiris worker --slots N`"));
    }
    announced.slots = announced.slots.min(MOST_SLOTS);
    Ok(announced)
}

impl Connection {
    /// Goes on with a worker that has answered; the connection is the one of that number.
    pub(super) fn open(
        greeted: Greeted,
        place: &WorkerPlace,
        number: u64,
        attempts: Arc<Attempts>,
    ) -> anyhow::Result<Arc<Self>> {
        let Greeted { program, announced, commands, lines, silent } = greeted;
        let (orders, ordered) = channel();
        let connection = Arc::new(Self {
            worker: shown(place),
            announced,
            attempts,
            number,
            commands,
            orders,
            program,
            lost: OnceLock::new(),
            last_words: LastWords::new(),
            turn: Mutex::default(),
        });
        let speaking = Arc::clone(&connection);
        thread("worker-orders", move || speaking.speak(&ordered))?;
        let watching = Arc::clone(&connection);
        thread("worker-watch", move || watching.watch())?;
        let listening = Arc::clone(&connection);
        thread("worker", move || listening.listen(lines, &silent))?;
        Ok(connection)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    pub(super) fn link(&self) -> Link {
        Link { number: self.number, orders: self.orders.clone() }
    }

    /// The right to send an attempt.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        locked(&self.turn)
    }

    /// Sends a command; returns false if that cannot be, and all attempts have ended because of it.
    pub(super) fn send(&self, command: &Command, bytes: &[u8]) -> bool {
        let sent = self.commands.send_with(command, bytes);
        if sent.is_err() {
            // The end of its answers says more, if it follows.
            let until = Instant::now() + 2 * LAST_WORDS;
            while !self.is_lost() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.lose("it does not take what is sent to it".to_owned());
        }
        sent.is_ok()
    }

    /// Gives the connection up, and ends its attempts.
    fn lose(&self, why: String) {
        let _ = self.lost.set(why);
        self.attempts.lose_all(self.number, &self.why());
        self.program.end();
    }

    /// Why the connection was lost.
    pub(super) fn why(&self) -> String {
        let why = self.lost.get().map_or("its connection ended", String::as_str);
        let last_words = self.last_words.get().map(|words| format!("; it reported: {words}")).unwrap_or_default();
        format!("{why}{last_words}{}", self.program.said())
    }

    /// Sends orders and signs of life.
    fn speak(&self, orders: &Receiver<Command>) {
        loop {
            let command = match orders.recv_timeout(PING_EVERY) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => Command::Ping { protocol: PROTOCOL, version: VERSION.to_owned() },
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.is_lost() || !self.send(&command, &[]) || matches!(command, Command::Cleanup {}) {
                return;
            }
        }
    }

    /// Ends the connection if nothing moves for too long, and attempts that do not end in time.
    fn watch(&self) {
        while !self.is_lost() {
            let silent = self.program.pulse().silence();
            if silent > PATIENCE {
                return self.lose(format!("nothing was heard of it for {} s", silent.as_secs()));
            }
            self.attempts.expire(self.number);
            std::thread::sleep(PING_EVERY.min(PATIENCE.saturating_sub(silent)));
        }
    }

    /// Hears the worker until the end of the connection, which ends all attempts.
    fn listen(&self, mut lines: Lines, silent: &Receiver<()>) {
        let why = loop {
            match lines.read() {
                Ok(Some(Read { line, size, bytes })) => {
                    self.attempts.hear(self.number, line, size, bytes, &self.last_words);
                }
                Ok(None) => {
                    let _ = silent.recv_timeout(LAST_WORDS);
                    break "its connection ended".to_owned();
                }
                Err(error) => break error.to_string(),
            }
        };
        // A worker that says goodbye ends by itself.
        if self.attempts.is_idle(self.number) {
            self.program.ends_within(LAST_WORDS);
        }
        self.lose(why);
    }

    /// Lets the worker clean up, and ends the connection.
    pub(super) fn close(&self) {
        let _ = self.orders.send(Command::Cleanup {});
        let until = Instant::now() + FAREWELL;
        while !self.is_lost() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.lost.set("the run has ended".to_owned());
        self.program.end();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the connection to {}", self.worker)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_worker_gets_no_more_attempts_than_a_host_gives_any() {
        let place = WorkerPlace { name: "build1".into(), command: "ssh build1 osiris worker".to_owned(), slots: None };
        let offered = |slots| {
            let (version, missing) = (VERSION.to_owned(), Vec::new());
            check(Announcement { protocol: PROTOCOL, version, slots, cpus: 1, memory_bytes: 0, missing }, &place)
        };
        for (slots, expected) in [(1, 1), (256, 256), (257, 256), (1_000_000_000, 256)] {
            assert_eq!(offered(slots).unwrap().slots, expected);
        }
        assert_eq!(offered(0).unwrap_err().message, "worker `build1` runs no steps: it offers 0 slots");
    }

    #[test]
    fn the_program_is_what_comes_before_its_verb() {
        for (command, expected) in [
            ("ssh build1 osiris worker", "ssh build1 osiris"),
            ("ssh worker-7 osiris worker --slots 2", "ssh worker-7 osiris"),
            ("bridge --address x", "bridge --address x"),
        ] {
            assert_eq!(without_worker(command), expected);
        }
    }
}
