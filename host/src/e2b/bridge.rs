//! The bridge between a host and its sandboxes: which attempt runs in which sandbox, and what becomes of both.
//!
//! One thread decides; it never waits for the service or a sandbox. Others read the host's commands, open sandboxes and
//! hear their workers, give them work, and delete them.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::Settings;
use super::account::{Account, Wanted};
use super::egress::Egress;
use super::origin::Origin;
use super::sandbox::{self, Host, Sandbox, keep, listen, send_blob};
use crate::digest::Digest;
use crate::error::{Blame, Failure};
use crate::executor::thread;
use crate::pipeline::resources::Resources;
use crate::protocol::worker::{
    Announcement, Answer, Blob, Command, LineReader, LineWriter, MAX_BLOBS, NamedFiles, PROTOCOL, Read, Through,
    VERSION,
};
use crate::protocol::{Job, Reachable};
use crate::worker::folder::Folder;
use crate::worker::store::Store;

/// How long the end waits for sandboxes that are being opened.
const FAREWELL: Duration = Duration::from_secs(90);

/// What the deciding thread hears.
enum Heard {
    Command(Box<Command>),
    BadBlob(anyhow::Error),
    /// The host has gone, or wants no more.
    End,
    /// The sandbox with this number is open, or is not to be had.
    Opened(u64, Result<Arc<Sandbox>, Failure>),
    /// An answer of the worker in that sandbox that changes something.
    Answer(u64, Box<Answer>),
    Lost(u64, String),
}

/// A place for one attempt at a time.
struct Place {
    egress: Egress,
    /// None while it is being opened.
    sandbox: Option<Arc<Sandbox>>,
    /// The attempt that it is for, 0 if it has none; its listener looks at it too.
    attempt: Arc<AtomicU64>,
}

/// An attempt that the host has named.
struct Attempt {
    blobs: Vec<Blob>,
    /// Until it is sent.
    job: Option<Box<Job<NamedFiles>>>,
    reachable: Reachable,
    exchange: Option<Box<Through>>,
    egress: Egress,
    place: Option<u64>,
}

struct Bridge {
    settings: Arc<Settings>,
    account: Arc<Account>,
    origin: Arc<Origin>,
    store: Store,
    host: Host,
    tell: Sender<Heard>,
    places: BTreeMap<u64, Place>,
    attempts: BTreeMap<u64, Attempt>,
    announced: Option<Announcement>,
    bad_blob: Option<Failure>,
    next_place: u64,
    /// Shared with each thread that opens a sandbox.
    opening: Arc<()>,
}

/// Serves a host until it goes.
///
/// # Errors
/// If there is no key, no first sandbox, or no worker in it; the host is told too.
pub fn serve(
    input: impl io::Read + Send + 'static,
    output: impl Write + Send + 'static,
    settings: Settings,
) -> anyhow::Result<()> {
    let output: Box<dyn Write + Send> = Box::new(output);
    let host: Host = Arc::new(LineWriter::new(output));
    let account = match Account::from_environment() {
        Ok(account) => Arc::new(account),
        Err(failure) => return refuse(&host, failure),
    };
    let folder = Folder::create(&settings.folder)?;
    let (path, dir) = folder.blobs()?;
    let store = Store::new(path, dir, settings.room);
    let (tell, heard) = channel();
    let (reading, to) = (store.clone(), tell.clone());
    thread("host", move || read_host(input, &reading, &to))?;
    end_on_signals(tell.clone())?;
    let mut bridge = Bridge {
        settings: Arc::new(settings),
        account,
        origin: Arc::new(Origin::own()),
        store,
        host,
        tell,
        places: BTreeMap::new(),
        attempts: BTreeMap::new(),
        announced: None,
        bad_blob: None,
        next_place: 0,
        opening: Arc::default(),
    };
    // The first sandbox shows what sandboxes are like. Most steps reach no host, so one of them will use it.
    let opened = bridge.open_place(Egress::default(), 0);
    let served = opened.and_then(|_| bridge.work(&heard));
    bridge.account.delete_all();
    let _ = bridge.host.send(&Answer::Cleaned {});
    // Sandboxes that are being created are deleted once they are.
    let until = Instant::now() + FAREWELL;
    while Arc::strong_count(&bridge.opening) > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    served
}

/// Tells the host why there is no worker.
fn refuse(host: &Host, failure: Failure) -> anyhow::Result<()> {
    let message = failure.message.raw().to_owned();
    host.send(&Answer::Error { attempt: None, failure: Box::new(failure), connected: false })?;
    anyhow::bail!(message)
}

fn end_on_signals(tell: Sender<Heard>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread("signals", move || signals.forever().take(1).for_each(|_| drop(tell.send(Heard::End))))
}

/// Reads the host's commands, and stores blobs, until it goes.
fn read_host(input: impl io::Read, store: &Store, tell: &Sender<Heard>) {
    let mut lines = LineReader::new(BufReader::with_capacity(1 << 16, input));
    loop {
        let heard = match lines.read() {
            Ok(Some(Read { line: Command::Blob { digest, at, .. }, bytes, .. })) => {
                match store.arrived(&digest, at, bytes) {
                    Ok(()) => continue,
                    Err(error) => Heard::BadBlob(error),
                }
            }
            Ok(Some(Read { line, .. })) => Heard::Command(Box::new(line)),
            Ok(None) | Err(_) => Heard::End,
        };
        let is_end = matches!(heard, Heard::End);
        if tell.send(heard).is_err() || is_end {
            return;
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(Blame::User, "interrupted", "the attempt was ended")
}

/// Whether the bridge goes on.
type GoesOn = bool;

impl Bridge {
    fn work(&mut self, heard: &Receiver<Heard>) -> anyhow::Result<()> {
        loop {
            let goes_on = match heard.recv() {
                Ok(Heard::Command(command)) => self.obey(*command),
                Ok(Heard::BadBlob(error)) => {
                    self.bad_blob = Some(Failure::of_host(&error));
                    true
                }
                Ok(Heard::End) | Err(_) => false,
                Ok(Heard::Opened(_, Err(failure))) if self.announced.is_none() => return refuse(&self.host, failure),
                Ok(Heard::Opened(place, opened)) => self.opened(place, opened),
                Ok(Heard::Answer(place, answer)) => self.hear(place, *answer),
                Ok(Heard::Lost(place, why)) => self.lose(place, &why),
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Answers the host; false once nobody listens.
    fn answer(&self, answer: &Answer) -> GoesOn {
        self.host.send(answer).is_ok()
    }

    fn obey(&mut self, command: Command) -> GoesOn {
        match command {
            Command::Ping { .. } => {
                self.announced.as_ref().is_none_or(|known| self.answer(&Answer::Pong(known.clone())))
            }
            Command::Prepare { attempt, blobs } => self.prepare(attempt, blobs),
            // What a sandbox has is settled by its template.
            Command::ExecStep { attempt, job, reachable, resources: _, exchange } => {
                self.exec(attempt, job, reachable, exchange)
            }
            Command::Kill { attempt } => {
                let place = self.attempts.get(&attempt).and_then(|attempt| attempt.place);
                // Whatever hangs in it is gone with the sandbox. One that is being opened will be there for others.
                match place
                    .and_then(|place| self.places.get(&place))
                    .map(|place| (place.sandbox.is_some(), &place.attempt))
                {
                    Some((true, _)) => self.discard(place.unwrap_or_default()),
                    Some((false, waiting)) => waiting.store(0, Ordering::SeqCst),
                    None => {}
                }
                self.fail(attempt, interrupted(), false)
            }
            Command::Cleanup {} => false,
            Command::Blob { .. } => true,
        }
    }

    fn prepare(&mut self, attempt: u64, blobs: Vec<Blob>) -> GoesOn {
        let refusal = |kind: &str, message: String| Failure::new(Blame::Host, kind.to_owned(), message);
        let lacks = match blobs.len() {
            0..=MAX_BLOBS => self.store.reserve(&blobs).map_err(|error| Failure::disk_full(format!("{error:#}"))),
            many => Err(refusal("protocol", format!("attempt {attempt} needs {many} blobs, more than {MAX_BLOBS}"))),
        };
        match lacks {
            Ok(lacks) => {
                let (egress, reachable) = (Egress::default(), Reachable::default());
                let new = Attempt { blobs, job: None, reachable, exchange: None, egress, place: None };
                if let Some(earlier) = self.attempts.insert(attempt, new) {
                    self.store.release(&earlier.blobs);
                }
                self.answer(&Answer::Ready { attempt, lacks })
            }
            Err(failure) => self.fail(attempt, failure, false),
        }
    }

    fn exec(
        &mut self,
        number: u64,
        job: Box<Job<NamedFiles>>,
        reachable: Reachable,
        exchange: Option<Box<Through>>,
    ) -> GoesOn {
        let Some(attempt) = self.attempts.get_mut(&number).filter(|attempt| attempt.job.is_none()) else {
            let failure = Failure::new(Blame::Host, "protocol", format!("attempt {number} was not prepared"));
            return self.fail(number, failure, false);
        };
        let elsewhere = |digest: &&Digest| {
            let inputs = exchange.iter().flat_map(|through| &through.inputs);
            inputs.into_iter().any(|input| input.digest == **digest)
        };
        let needed: Vec<&Digest> = job.files.blobs().into_iter().filter(|digest| !elsewhere(digest)).collect();
        let named = needed.iter().all(|digest| attempt.blobs.iter().any(|blob| blob.digest == **digest));
        if !named || !self.store.has(needed) {
            let missing =
                || Failure::new(Blame::Host, "protocol", format!("attempt {number} needs a blob that was not sent"));
            let failure = self.bad_blob.take().unwrap_or_else(missing);
            return self.fail(number, failure, false);
        }
        // The worker itself reaches the exchange; the step does not.
        let service = exchange.as_ref().and_then(|through| through.directions.endpoint());
        (attempt.egress, attempt.reachable, attempt.exchange) = (Egress::of(&reachable, service), reachable, exchange);
        attempt.job = Some(job);
        self.schedule()
    }

    /// Gives waiting attempts a sandbox, as far as there may be some.
    fn schedule(&mut self) -> GoesOn {
        let waiting: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, one)| one.job.is_some() && one.place.is_none())
            .map(|(number, _)| *number)
            .collect();
        for number in waiting {
            let Some(egress) = self.attempts.get(&number).map(|attempt| attempt.egress.clone()) else { continue };
            let is_idle = |place: &Place| place.attempt.load(Ordering::SeqCst) == 0;
            let suitable =
                self.places.iter().find(|(_, place)| is_idle(place) && place.egress == egress).map(|(place, _)| *place);
            if let Some(place) = suitable {
                self.assign(place, number);
                continue;
            }
            if self.places.len() >= self.settings.sandboxes as usize {
                let other = self.places.iter().find(|(_, place)| is_idle(place) && place.sandbox.is_some());
                // Later, once one is idle.
                let Some(other) = other.map(|(place, _)| *place) else { continue };
                self.discard(other);
            }
            match self.open_place(egress, number) {
                Ok(place) => self.attempts.entry(number).and_modify(|attempt| attempt.place = Some(place)),
                Err(error) => return self.fail(number, Failure::of_host(&error), false),
            };
        }
        true
    }

    /// Starts to open a sandbox, for an attempt or for later.
    fn open_place(&mut self, egress: Egress, attempt: u64) -> anyhow::Result<u64> {
        self.next_place += 1;
        let (number, attempt) = (self.next_place, Arc::new(AtomicU64::new(attempt)));
        let (account, origin, settings) =
            (Arc::clone(&self.account), Arc::clone(&self.origin), Arc::clone(&self.settings));
        let (tell, host, current, allowed) =
            (self.tell.clone(), Arc::clone(&self.host), Arc::clone(&attempt), egress.clone());
        let opening = Arc::clone(&self.opening);
        thread("sandbox", move || {
            if number == 1
                && let Err(failure) = origin.sweep(&account)
            {
                let _ = tell.send(Heard::Opened(number, Err(failure)));
                return;
            }
            let metadata = origin.metadata();
            let wanted = Wanted {
                template: &settings.template,
                lifetime: settings.lifetime,
                egress: &allowed,
                metadata: &metadata,
            };
            let opened = sandbox::open(&account, &wanted);
            drop(opening);
            match opened {
                Ok((sandbox, mut answers)) => {
                    let sandbox = Arc::new(sandbox);
                    let (kept, keeping) = channel::<()>();
                    let (kept_alive, lifetime, lost) = (Arc::clone(&sandbox), settings.lifetime, tell.clone());
                    let tell_lost = move |why| drop(lost.send(Heard::Lost(number, why)));
                    let keeper = thread("keep", move || keep(&kept_alive, &account, lifetime, &keeping, tell_lost));
                    let _ = tell.send(Heard::Opened(number, Ok(Arc::clone(&sandbox))));
                    let why = listen(&mut answers, &sandbox, &current, &host, &|answer| {
                        drop(tell.send(Heard::Answer(number, Box::new(answer))))
                    });
                    let _ = tell.send(Heard::Lost(number, keeper.err().map_or(why, |error| format!("{error:#}"))));
                    drop(kept);
                }
                Err(failure) => drop(tell.send(Heard::Opened(number, Err(failure)))),
            }
        })?;
        self.places.insert(number, Place { egress, sandbox: None, attempt });
        Ok(number)
    }

    fn opened(&mut self, number: u64, opened: Result<Arc<Sandbox>, Failure>) -> GoesOn {
        let Some(place) = self.places.get_mut(&number) else { return true };
        let attempt = place.attempt.load(Ordering::SeqCst);
        match opened {
            Ok(sandbox) => {
                let (protocol, version, slots) = (PROTOCOL, VERSION.to_owned(), self.settings.sandboxes);
                let announced = Announcement { protocol, version, slots, ..sandbox.announced.clone() };
                place.sandbox = Some(sandbox);
                if attempt != 0 {
                    self.assign(number, attempt);
                }
                let is_first = self.announced.is_none();
                self.announced.get_or_insert_with(|| announced.clone());
                (!is_first || self.answer(&Answer::Pong(announced))) && self.schedule()
            }
            Err(failure) => {
                self.places.remove(&number);
                (attempt == 0 || self.fail(attempt, failure, false)) && self.schedule()
            }
        }
    }

    /// Gives an attempt a sandbox, which is first asked what it lacks if it is open.
    fn assign(&mut self, number: u64, attempt: u64) {
        let (Some(place), Some(assigned)) = (self.places.get(&number), self.attempts.get_mut(&attempt)) else { return };
        assigned.place = Some(number);
        place.attempt.store(attempt, Ordering::SeqCst);
        if let Some(sandbox) = &place.sandbox {
            let prepare = Command::Prepare { attempt, blobs: assigned.blobs.clone() };
            self.hand_over(number, Arc::clone(sandbox), move |sandbox| sandbox.send(&prepare, &[]));
        }
    }

    /// Sends something to a sandbox, on a thread of its own.
    fn hand_over(
        &self,
        place: u64,
        sandbox: Arc<Sandbox>,
        send: impl FnOnce(&Sandbox) -> io::Result<()> + Send + 'static,
    ) {
        let tell = self.tell.clone();
        let sending = thread("hand-over", {
            let tell = tell.clone();
            move || {
                if let Err(error) = send(&sandbox) {
                    let _ = tell.send(Heard::Lost(place, error.to_string()));
                }
            }
        });
        if let Err(error) = sending {
            let _ = tell.send(Heard::Lost(place, format!("{error:#}")));
        }
    }

    /// Hears an answer of the worker in a sandbox; others than those of its attempt are ignored.
    fn hear(&mut self, number: u64, answer: Answer) -> GoesOn {
        let Some(place) = self.places.get(&number) else { return true };
        let current = place.attempt.load(Ordering::SeqCst);
        match answer {
            Answer::Ready { attempt, lacks } if attempt == current => {
                let (Some(sandbox), Some(asked)) = (&place.sandbox, self.attempts.get_mut(&attempt)) else {
                    return true;
                };
                // It can ask once only.
                let Some(job) = asked.job.take() else { return true };
                let blobs: Vec<Blob> =
                    asked.blobs.iter().filter(|blob| lacks.contains(&blob.digest)).cloned().collect();
                let (store, exec) = (
                    self.store.clone(),
                    Command::ExecStep {
                        attempt,
                        job,
                        reachable: asked.reachable.clone(),
                        resources: Resources::default(),
                        exchange: asked.exchange.take(),
                    },
                );
                self.hand_over(number, Arc::clone(sandbox), move |sandbox| {
                    blobs.iter().try_for_each(|blob| send_blob(sandbox, &store, blob))?;
                    sandbox.send(&exec, &[])
                });
                true
            }
            Answer::Complete { attempt, .. } | Answer::Error { attempt: Some(attempt), .. } if attempt == current => {
                place.attempt.store(0, Ordering::SeqCst);
                self.forget(attempt);
                self.schedule() && self.answer(&answer)
            }
            _ => true,
        }
    }

    /// A sandbox, or the worker in it, has gone.
    fn lose(&mut self, number: u64, why: &str) -> GoesOn {
        let Some(place) = self.places.get(&number) else { return true };
        let attempt = place.attempt.load(Ordering::SeqCst);
        let failure = place.sandbox.as_ref().map(|sandbox| sandbox.failure(why));
        self.discard(number);
        // Whether it connected, nobody knows.
        let known = self.attempts.get(&attempt);
        let connected = known.is_some_and(|lost| lost.job.is_none() && !lost.reachable.endpoints.is_empty());
        let told = match failure {
            Some(failure) if attempt != 0 => self.fail(attempt, failure, connected),
            _ => true,
        };
        told && self.schedule()
    }

    /// Deletes a sandbox, on a thread of its own.
    fn discard(&mut self, number: u64) {
        let Some(sandbox) = self.places.remove(&number).and_then(|place| place.sandbox) else { return };
        let account = Arc::clone(&self.account);
        // Without a thread, it is deleted in the end.
        let _ = thread("delete", move || account.delete(&sandbox.id));
    }

    fn fail(&mut self, attempt: u64, failure: Failure, connected: bool) -> GoesOn {
        self.forget(attempt);
        self.answer(&Answer::Error { attempt: Some(attempt), failure: Box::new(failure), connected })
    }

    fn forget(&mut self, attempt: u64) {
        if let Some(ended) = self.attempts.remove(&attempt) {
            self.store.release(&ended.blobs);
        }
    }
}
