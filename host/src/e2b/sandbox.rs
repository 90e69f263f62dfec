//! A sandbox with a worker in it.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzEncoder;

use super::account::{Account, Created, Wanted};
use super::envd::{Aside, Envd, Input, Output, Process};
use crate::error::{Blame, Failure};
use crate::executor::worker::lost;
use crate::protocol::worker::{
    Announcement, Answer, Blob, Command, LineReader, LineWriter, MAX_CHUNK, PROTOCOL, Read as ReadLine, VERSION,
};
use crate::worker::store::Store;

/// Where this program is uploaded to, below the home folder.
const FOLDER: &str = ".osiris";

/// DuckDB, which this program finds beside itself.
const LIBRARY: &str = "libduckdb.so";

/// The exit code of the look for a program that is not there.
const ABSENT: i32 = 100;

/// The most that `osiris --version` may print.
const VERSION_BYTES: u64 = 4096;

/// How often a worker gets a sign of life; it ends after two minutes without one.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A worker that has not answered for so long is lost.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where answers go.
pub type Host = Arc<LineWriter<Box<dyn Write + Send>>>;

pub struct Sandbox {
    pub id: String,
    pub announced: Announcement,
    commands: LineWriter<Input>,
    aside: Aside,
    heard: Mutex<Instant>,
}

/// What a sandbox's worker answers.
pub type Answers = LineReader<BufReader<Output>>;

/// A program in a sandbox, as the shell names it.
#[derive(Debug, Clone, Copy)]
enum Program {
    Installed,
    Uploaded,
}

impl Program {
    fn name(self) -> String {
        match self {
            Self::Installed => "osiris".to_owned(),
            Self::Uploaded => format!("\"$HOME/{FOLDER}/osiris\""),
        }
    }
}

/// Creates a sandbox, and starts a worker in it. [`Account::delete_all`] deletes the sandbox, also after an error.
///
/// # Errors
/// If the service gives none, or no worker of this version answers in it.
pub fn open(account: &Arc<Account>, wanted: &Wanted<'_>) -> Result<(Sandbox, Answers), Failure> {
    let created = account.create(wanted)?;
    let opened = furnish(account, &created, wanted.template);
    if opened.is_err() {
        account.delete(&created.id);
    }
    opened
}

fn furnish(account: &Arc<Account>, created: &Created, template: &str) -> Result<(Sandbox, Answers), Failure> {
    let envd = Envd::new(Arc::clone(account), created);
    let broken = |doing: &str, error: &io::Error| lost(&name_of(&created.id), &format!("cannot {doing}: {error}"));
    let look = |program| look_for(&envd, program, template).map_err(|error| broken("look for `osiris` in it", &error));
    let program = if look(Program::Installed)?? {
        Program::Installed
    } else {
        upload_program(&envd).map_err(|error| broken("upload Osiris to it", &error))?;
        if !look(Program::Uploaded)?? {
            return Err(Failure::new(
                Blame::Remote,
                "e2b",
                format!("what was uploaded to template `{template}` has gone"),
            ));
        }
        Program::Uploaded
    };
    let command = format!("exec {} worker --slots 1", program.name());
    let Process { input, output } = envd.start(&command).map_err(|error| broken("start a worker in it", &error))?;
    let (commands, aside) = (LineWriter::new(input), output.aside());
    let mut answers = LineReader::new(BufReader::with_capacity(1 << 16, output));
    let greeted = commands.send(&ping());
    let first = match greeted {
        Ok(()) => answers.read().map(|read| read.map(|read| read.line)).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match first {
        Ok(Some(Answer::Pong(announced)))
            if (announced.protocol, announced.version.as_str()) == (PROTOCOL, VERSION) =>
        {
            let sandbox =
                Sandbox { id: created.id.clone(), announced, commands, aside, heard: Mutex::new(Instant::now()) };
            Ok((sandbox, answers))
        }
        Ok(Some(Answer::Pong(announced))) => Err(other_version(template, &announced.version)),
        Ok(_) => Err(lost(&name_of(&created.id), &format!("its worker does not answer{}", said(&aside)))),
        Err(error) => Err(lost(&name_of(&created.id), &format!("{error}{}", said(&aside)))),
    }
}

fn ping() -> Command {
    Command::Ping { protocol: PROTOCOL, version: VERSION.to_owned() }
}

fn name_of(id: &str) -> String {
    format!("sandbox `{id}`")
}

fn other_version(template: &str, version: &str) -> Failure {
    let message = format!("template `{template}` has Osiris {version}, this is {VERSION}");
    Failure::new(Blame::User, "config", message)
        .hint("build the template with this version, or use one without Osiris: it is uploaded then")
}

/// Whether a program is in a sandbox, in this version.
fn look_for(envd: &Envd, program: Program, template: &str) -> io::Result<Result<bool, Failure>> {
    let name = program.name();
    let look = match program {
        Program::Installed => format!("command -v {name} > /dev/null || exit {ABSENT}"),
        Program::Uploaded => format!("chmod 755 {name} || exit {ABSENT}"),
    };
    let Process { output, .. } = envd.start(&format!("{look}; exec {name} --version"))?;
    let aside = output.aside();
    let mut printed = String::new();
    output.take(VERSION_BYTES).read_to_string(&mut printed)?;
    let end = aside.end().ok_or_else(|| io::Error::other("`osiris --version` prints too much"))?;
    Ok(match (end.exit_code, printed.trim().strip_prefix("osiris ")) {
        (ABSENT, _) => Ok(false),
        (0, Some(VERSION)) => Ok(true),
        (0, Some(other)) => Err(other_version(template, other)),
        _ => {
            let message = format!("Osiris does not run in template `{template}`{}", said(&aside));
            Err(Failure::new(Blame::User, "config", message).hint(
                "the template needs a C library no older than that of the machine where this program was built; \
                 build a template from the same distribution",
            ))
        }
    })
}

/// Uploads this program, and DuckDB unless it is part of it.
fn upload_program(envd: &Envd) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    // Where a build and an installation have it.
    let places = [folder.join(LIBRARY), folder.join("../lib").join(LIBRARY)];
    let library = places.into_iter().find(|place| place.exists());
    let files = [("osiris", Some(PathBuf::from("/proc/self/exe"))), (LIBRARY, library)];
    for (name, path) in files {
        if let Some(path) = path {
            envd.upload(&format!("{FOLDER}/{name}"), || Ok(GzEncoder::new(open_own(&path)?, Compression::fast())))?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "opens this program and its library")]
fn open_own(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// What a process said on stderr, and how it ended, as the end of a sentence.
fn said(aside: &Aside) -> String {
    let (stderr, end) = (aside.stderr(), aside.end());
    let last: Vec<&str> = stderr.lines().rev().take(3).collect();
    let ended = end.map_or_else(String::new, |end| format!("; it ended with {}", end.status));
    let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    if said.is_empty() { ended } else { format!("{ended}; it said: {said}") }
}

impl Sandbox {
    /// # Errors
    /// If it cannot be reached.
    pub fn send(&self, command: &Command, bytes: &[u8]) -> io::Result<()> {
        self.commands.send_with(command, bytes)
    }

    /// Takes note that it lives.
    pub fn note(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long it has not given a sign of life.
    pub fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// The failure of an attempt that was in it when it was lost.
    pub fn failure(&self, why: &str) -> Failure {
        lost(&name_of(&self.id), &format!("{why}{}", said(&self.aside)))
    }
}

/// Hears a worker until it ends; returns why it did. What concerns its attempt only goes straight to the host.
pub fn listen(
    answers: &mut Answers,
    sandbox: &Sandbox,
    current: &AtomicU64,
    host: &Host,
    tell: &dyn Fn(Answer),
) -> String {
    loop {
        let (answer, bytes) = match answers.read() {
            Ok(Some(ReadLine { line, bytes, .. })) => (line, bytes),
            Ok(None) => return "its worker ended".to_owned(),
            Err(error) => return error.to_string(),
        };
        sandbox.note();
        match &answer {
            Answer::Log { attempt, .. }
            | Answer::Metric { attempt, .. }
            | Answer::Progress { attempt, .. }
            | Answer::Checks { attempt, .. }
            | Answer::Event { attempt, .. }
            | Answer::Output { attempt, .. } => {
                // A host that has gone is noticed where its commands are read.
                if *attempt == current.load(Ordering::SeqCst) {
                    let _ = host.send_with(&answer, bytes);
                }
            }
            Answer::Error { attempt: None, .. } => drop(host.send(&answer)),
            Answer::Pong(_) | Answer::Cleaned {} => {}
            Answer::Ready { .. } | Answer::Complete { .. } | Answer::Error { .. } => tell(answer),
        }
    }
}

/// Keeps a sandbox and its worker alive until the other end of `keeping` is dropped; `tell_lost` gets why it is lost.
pub fn keep(
    sandbox: &Sandbox,
    account: &Account,
    lifetime: Duration,
    keeping: &Receiver<()>,
    tell_lost: impl FnOnce(String),
) {
    while let Err(RecvTimeoutError::Timeout) = keeping.recv_timeout(PING_EVERY.min(lifetime / 3)) {
        if let Err(failure) = account.extend(&sandbox.id, lifetime) {
            tracing::warn!(reason = %failure.message, "a sandbox may end early");
        }
        let silence = sandbox.silence();
        match sandbox.send(&ping(), &[]) {
            Err(error) => return tell_lost(error.to_string()),
            Ok(()) if silence > PATIENCE => {
                return tell_lost(format!("its worker has been silent for {} s", silence.as_secs()));
            }
            Ok(()) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "opens a blob in the bridge's own folder")]
pub fn send_blob(sandbox: &Sandbox, store: &Store, blob: &Blob) -> io::Result<()> {
    let mut file = std::fs::File::open(store.path(&blob.digest))?;
    let (mut at, mut part) = (0, vec![0; MAX_CHUNK as usize]);
    while at < blob.bytes {
        let read = file.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = u32::try_from(read).unwrap_or(MAX_CHUNK);
        sandbox.send(&Command::Blob { digest: blob.digest.clone(), at, length }, &part[..read])?;
        sandbox.note();
        at += read as u64;
    }
    Ok(())
}
