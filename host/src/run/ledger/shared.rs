//! A session's ledger in an exchange: `sessions/<session>/`.
//!
//! Every object that decides something is created once and never changed: `hosts/<n>.json` says which host runs the session,
//! `steps/<step>.json` which attempt of a step counts. Whoever comes second finds the object and gives way. The host of a
//! session renews `beats/<n>`, so that others can tell when it has died.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Outcome, Records};
use crate::error::Report;
use crate::exchange::{Creation, Exchange, ExchangeError};
use crate::executor::process::ProcessEvent;
use crate::session::{Manifest, noise, now};

/// The prefix of all sessions.
pub const SESSIONS: &str = "sessions";

/// How often a host shows that it lives.
const BEAT: Duration = Duration::from_secs(10);

/// How long after its last beat a host counts as dead.
pub const LEASE: Duration = Duration::from_secs(60);

/// What the last beat of a host says that has let go.
const ENDED: &[u8] = b"ended";

/// A session's ledger in an exchange, and this host's claim on it; clones share them.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Claimed>);

#[derive(Debug)]
struct Claimed {
    exchange: Exchange,
    session: String,
    /// Counts the hosts of the session, from 1.
    host: u32,
    /// Another host has taken over.
    is_lost: AtomicBool,
    is_ended: AtomicBool,
}

/// A host of a session.
#[derive(Debug, Serialize, Deserialize)]
struct HostRecord {
    /// The name of its machine.
    machine: String,
    /// Distinguishes hosts that claim at the same moment.
    nonce: u64,
    since: String,
    osiris: String,
}

/// Whether an attempt counts.
#[derive(Debug, PartialEq)]
pub enum Committed {
    Ours,
    /// Another attempt does, which was committed before.
    Theirs(Box<Outcome>),
}

/// Who runs a session.
#[derive(Debug)]
pub enum Holder {
    Nobody,
    /// The name of a machine that renewed its claim so long ago.
    Machine(String, SignedDuration),
}

/// The holder of a session at `time`, by the clock of the store, and how many hosts it has had.
///
/// # Errors
/// If the exchange cannot be used.
pub fn holder(exchange: &Exchange, session: &str, time: Timestamp) -> anyhow::Result<(Holder, u32)> {
    let (hosts, _) = exchange.list(&format!("{SESSIONS}/{session}/hosts")).map_err(ExchangeError::report)?;
    let numbers = hosts.iter().filter_map(|host| host.name.strip_suffix(".json")?.parse::<u32>().ok());
    let Some(last) = numbers.max() else { return Ok((Holder::Nobody, 0)) };
    let name = beat(session, last);
    let Some(found) = exchange.look_up(&name).map_err(ExchangeError::report)? else {
        // It has only just claimed the session.
        let claim = exchange.look_up(&host(session, last)).map_err(ExchangeError::report)?;
        let since = claim.map(|claim| time.duration_since(claim.written)).unwrap_or_default();
        return Ok((named(exchange, session, last, since)?, last));
    };
    if exchange.read(&name).map_err(ExchangeError::report)?.as_deref() == Some(ENDED) {
        return Ok((Holder::Nobody, last));
    }
    Ok((named(exchange, session, last, time.duration_since(found.written))?, last))
}

fn named(exchange: &Exchange, session: &str, number: u32, since: SignedDuration) -> anyhow::Result<Holder> {
    if since.unsigned_abs() > LEASE {
        return Ok(Holder::Nobody);
    }
    let record = exchange.read(&host(session, number)).map_err(ExchangeError::report)?;
    let record = record.and_then(|bytes| serde_json::from_slice::<HostRecord>(&bytes).ok());
    Ok(Holder::Machine(record.map_or_else(|| "unknown".to_owned(), |record| record.machine), since))
}

fn host(session: &str, number: u32) -> String {
    format!("{SESSIONS}/{session}/hosts/{number:06}.json")
}

fn beat(session: &str, number: u32) -> String {
    format!("{SESSIONS}/{session}/beats/{number:06}")
}

impl Shared {
    /// Claims a new session.
    ///
    /// # Errors
    /// If there is one with that name, or the exchange cannot be used.
    pub fn begin(exchange: Exchange, session: &str) -> anyhow::Result<Self> {
        Self::claim(exchange, session, 1)
    }

    /// Claims a session whose host has ended or died, and reads what is done; `time` is the clock of the store.
    ///
    /// # Errors
    /// A [`Report`] if there is no such session, or a host runs it.
    pub fn take_over(exchange: Exchange, session: &str, time: Timestamp) -> anyhow::Result<(Self, Records)> {
        let place = exchange.location().clone();
        let (holder, hosts) = holder(&exchange, session, time)?;
        if hosts == 0 {
            return Err(Report::input(format!("the exchange {place} has no session `{session}`"))
                .hint("give the whole name of a session that ran with this exchange")
                .into());
        }
        if let Holder::Machine(machine, ago) = holder {
            return Err(Report::busy(format!(
                "session `{session}` is being run by `{}`, which was last heard {} s ago",
                crate::untrusted::line(&machine),
                ago.as_secs()
            ))
            .hint(format!(
                "wait until it has ended; a host that died counts as dead {} s after it was last heard",
                LEASE.as_secs()
            ))
            .into());
        }
        let shared = Self::claim(exchange, session, hosts + 1)?;
        let records = shared.read()?;
        Ok((shared, records))
    }

    fn claim(exchange: Exchange, session: &str, number: u32) -> anyhow::Result<Self> {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let osiris = env!("CARGO_PKG_VERSION").to_owned();
        let record = HostRecord { machine, nonce: noise(), since: now(), osiris };
        let created = exchange.create(&host(session, number), serde_json::to_vec(&record)?);
        if created.map_err(ExchangeError::report)? == Creation::Taken {
            return Err(Report::busy(format!("another host has just claimed session `{session}`"))
                .hint("only one can run it; wait for it to end")
                .into());
        }
        let (is_lost, is_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self(Arc::new(Claimed { exchange, session: session.to_owned(), host: number, is_lost, is_ended })))
    }

    fn read(&self) -> anyhow::Result<Records> {
        let mut records = Records::default();
        let Claimed { exchange, session, .. } = &*self.0;
        let folder = format!("{SESSIONS}/{session}/steps");
        for object in exchange.list(&folder).map_err(ExchangeError::report)?.0 {
            let Some(step) = object.name.strip_suffix(".json") else { continue };
            if let Some(outcome) = self.outcome(step).map_err(ExchangeError::report)? {
                records.outcomes.insert(step.to_owned(), outcome);
            }
        }
        let (begun, _) = exchange.list(&format!("{SESSIONS}/{session}/begun")).map_err(ExchangeError::report)?;
        records.begun = begun.into_iter().map(|object| object.name).collect();
        Ok(records)
    }

    pub fn exchange(&self) -> &Exchange {
        &self.0.exchange
    }

    pub fn host(&self) -> u32 {
        self.0.host
    }

    fn step(&self, step: &str) -> String {
        format!("{SESSIONS}/{}/steps/{step}.json", self.0.session)
    }

    fn outcome(&self, step: &str) -> Result<Option<Outcome>, ExchangeError> {
        let Some(bytes) = self.0.exchange.read(&self.step(step))? else { return Ok(None) };
        match serde_json::from_slice::<Outcome>(&bytes) {
            Ok(outcome) if outcome.step == step => Ok(Some(outcome)),
            read => {
                let why = read.err().map_or_else(|| "it names another step".to_owned(), |error| error.to_string());
                let place = self.0.exchange.location().clone();
                Err(ExchangeError::Unavailable { place, why: format!("the record of step `{step}` is damaged: {why}") })
            }
        }
    }

    /// Says that an attempt counts, unless another one does.
    ///
    /// # Errors
    /// If the exchange cannot be used.
    pub fn commit(&self, outcome: &Outcome) -> Result<Committed, ExchangeError> {
        let bytes = serde_json::to_vec(outcome).map_err(std::io::Error::other)?;
        match self.0.exchange.create(&self.step(&outcome.step), bytes)? {
            Creation::Created => Ok(Committed::Ours),
            Creation::Taken => {
                let theirs = self.outcome(&outcome.step)?;
                let place = self.0.exchange.location().clone();
                let gone = || ExchangeError::Unavailable { place, why: "a record of the ledger has gone".to_owned() };
                theirs.map(|theirs| Committed::Theirs(Box::new(theirs))).ok_or_else(gone)
            }
        }
    }

    /// Notes that a step begins to deliver what must not arrive twice.
    ///
    /// # Errors
    /// If the exchange cannot be used, or another host noted it.
    pub fn note_begun(&self, step: &str) -> Result<Creation, ExchangeError> {
        let host = format!("{} {}", self.0.host, std::process::id());
        self.0.exchange.create(&self.begun(step), host.into_bytes())
    }

    /// Notes that a step that began has changed nothing.
    ///
    /// # Errors
    /// If the exchange cannot be used.
    pub fn note_harmless(&self, step: &str) -> Result<(), ExchangeError> {
        self.0.exchange.delete(&self.begun(step))
    }

    fn begun(&self, step: &str) -> String {
        format!("{SESSIONS}/{}/begun/{step}", self.0.session)
    }

    /// Stores what is known of the run, unless another host has taken over.
    ///
    /// # Errors
    /// If the exchange cannot be used.
    pub fn write_manifest(&self, manifest: &Manifest) -> anyhow::Result<()> {
        if self.has_successor().map_err(ExchangeError::report)? {
            return Ok(());
        }
        let name = format!("{SESSIONS}/{}/manifest.json", self.0.session);
        let written = self.0.exchange.write(&name, serde_json::to_vec(manifest)?);
        written.map_err(ExchangeError::report)
    }

    /// Shows from now on that this host lives; `say` is told once another has taken over.
    ///
    /// # Errors
    /// If the exchange cannot be used, or there is no thread.
    pub fn keep_alive(&self, say: SyncSender<ProcessEvent>) -> anyhow::Result<()> {
        self.beat().map_err(ExchangeError::report)?;
        let shared = self.clone();
        let beating = move || {
            while !shared.0.is_ended.load(Ordering::SeqCst) {
                std::thread::sleep(BEAT);
                if shared.0.is_ended.load(Ordering::SeqCst) {
                    return;
                }
                match shared.beat() {
                    Ok(()) if shared.0.is_lost.load(Ordering::SeqCst) => {
                        let _ = say.send(ProcessEvent::Superseded);
                        return;
                    }
                    Ok(()) => {}
                    // Whether it is lost is asked again. What counts is decided by who commits first.
                    Err(error) => tracing::warn!(%error, "cannot show the exchange that this host lives"),
                }
            }
        };
        std::thread::Builder::new().name("beat".to_owned()).spawn(beating).context("cannot start a thread")?;
        Ok(())
    }

    fn beat(&self) -> Result<(), ExchangeError> {
        if self.has_successor()? {
            return Ok(());
        }
        self.0.exchange.write(&beat(&self.0.session, self.0.host), now().into_bytes())
    }

    /// Whether another host has taken over, by what the exchange says now.
    fn has_successor(&self) -> Result<bool, ExchangeError> {
        let Claimed { exchange, session, host: number, is_lost, .. } = &*self.0;
        if exchange.look_up(&host(session, number + 1))?.is_some() {
            is_lost.store(true, Ordering::SeqCst);
        }
        Ok(self.is_lost())
    }

    /// Whether another host has taken over.
    pub fn is_lost(&self) -> bool {
        self.0.is_lost.load(Ordering::SeqCst)
    }

    /// Takes back the claim on a session that does not run after all; of a new one, nothing remains.
    pub fn give_up(&self) {
        if self.0.host > 1 {
            return self.end();
        }
        self.0.is_ended.store(true, Ordering::SeqCst);
        if let Err(error) = self.0.exchange.delete(&host(&self.0.session, self.0.host)) {
            tracing::warn!(%error, "cannot remove a session from the exchange");
        }
    }

    /// Lets go of the session: another host may go on at once.
    pub fn end(&self) {
        self.0.is_ended.store(true, Ordering::SeqCst);
        if let Err(error) = self.0.exchange.write(&beat(&self.0.session, self.0.host), ENDED.to_vec()) {
            tracing::warn!(%error, "cannot tell the exchange that this host has ended");
        }
    }
}

/// What an exchange knows of a session: its manifest as it was written last; `None` if there is none.
///
/// # Errors
/// If the exchange cannot be used, or it is damaged.
pub fn manifest(exchange: &Exchange, session: &str) -> anyhow::Result<Option<Manifest>> {
    let bytes = exchange.read(&format!("{SESSIONS}/{session}/manifest.json")).map_err(ExchangeError::report)?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).context("the session's manifest is damaged")).transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::digest::{Digest, sha256_of};

    fn outcome(step: &str, attempt: u32) -> Outcome {
        Outcome {
            step: step.to_owned(),
            fingerprint: Digest::try_from(sha256_of(b"")).unwrap(),
            attempt,
            on: "local".to_owned(),
            host: 1,
            finished_at: now(),
            duration_ms: 1,
            output: None,
            files: BTreeMap::new(),
            tables: BTreeMap::from([("main".to_owned(), u64::from(attempt))]),
            rows_written: 0,
            continued_from: None,
            state: None,
            rejected: None,
            checks: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn one_attempt_of_a_step_counts() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::begin(Exchange::in_folder(folder.path()), "session_1").unwrap();
        let first = outcome("a", 1);
        assert_eq!(shared.commit(&first).unwrap(), Committed::Ours);
        assert_eq!(shared.commit(&outcome("a", 2)).unwrap(), Committed::Theirs(Box::new(first.clone())));
        // A request may be repeated because its answer was lost.
        assert_eq!(shared.commit(&first).unwrap(), Committed::Ours);
        std::fs::write(folder.path().join("sessions/session_1/steps/b.json"), "{").unwrap();
        assert!(shared.commit(&outcome("b", 1)).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn one_host_runs_a_session_and_another_goes_on_once_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let exchange = Exchange::in_folder(folder.path());
        let shared = Shared::begin(exchange.clone(), "session_1").unwrap();
        assert!(Shared::begin(exchange.clone(), "session_1").is_err());
        shared.beat().unwrap();
        shared.commit(&outcome("a", 1)).unwrap();
        shared.note_begun("b").unwrap();
        let at = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
        let refused = Shared::take_over(exchange.clone(), "session_1", at(30)).unwrap_err();
        assert!(refused.to_string().contains("is being run by"), "{refused}");
        assert!(
            Shared::take_over(exchange.clone(), "session_2", at(0)).unwrap_err().to_string().contains("no session")
        );
        // It died: nobody has heard of it for longer than its lease.
        let (second, records) = Shared::take_over(exchange.clone(), "session_1", at(90)).unwrap();
        assert_eq!((second.host(), records.outcomes.len(), records.begun.len()), (2, 1, 1));
        // Or it did not, and notices.
        shared.beat().unwrap();
        assert!(shared.is_lost());
        // It ended: the next one need not wait.
        second.beat().unwrap();
        second.end();
        let (third, _) = Shared::take_over(exchange, "session_1", at(0)).unwrap();
        assert_eq!(third.host(), 3);
    }
}
