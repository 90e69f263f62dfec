//! Removes from an exchange what no session refers to.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use super::shared::{Holder, SESSIONS, holder};
use crate::exchange::{Exchange, ExchangeError, Listed, OBJECTS, PROBES};

/// How old an object is at least that is removed: a run may just have stored it, and refer to it later.
const SPARED: SignedDuration = SignedDuration::from_hours(1);

/// What was removed.
#[derive(Debug, Default)]
pub struct Swept {
    pub sessions: Vec<String>,
    /// The digests of objects.
    pub objects: Vec<String>,
    /// The size of all objects together, in bytes.
    pub bytes: u64,
}

/// Removes objects that no session refers to, and first sessions that nobody runs and that were heard longer ago than
/// `older_than`. `time` is the clock of the store. With `dry_run` nothing is removed.
///
/// # Errors
/// If the exchange cannot be used, or a record is damaged: what it refers to is unknown, so no object is removed.
pub fn sweep(
    exchange: &Exchange,
    time: Timestamp,
    older_than: Option<Duration>,
    dry_run: bool,
) -> anyhow::Result<Swept> {
    let mut swept = Swept::default();
    let mut needed = BTreeSet::new();
    let (_, sessions) = exchange.list(SESSIONS).map_err(ExchangeError::report)?;
    for session in sessions {
        if older_than.is_some_and(|age| is_old(exchange, &session, time, age).unwrap_or(false)) {
            if !dry_run {
                remove_session(exchange, &session)?;
            }
            swept.sessions.push(session);
        } else {
            needed.extend(referred(exchange, &session)?);
        }
    }
    let is_spared = |object: &Listed| time.duration_since(object.written) < SPARED;
    let (objects, _) = exchange.list(OBJECTS).map_err(ExchangeError::report)?;
    for object in objects.into_iter().filter(|object| !needed.contains(&object.name) && !is_spared(object)) {
        if !dry_run {
            exchange.delete(&format!("{OBJECTS}/{}", object.name)).map_err(ExchangeError::report)?;
        }
        swept.bytes += object.bytes;
        swept.objects.push(object.name);
    }
    let (probes, _) = exchange.list(PROBES).map_err(ExchangeError::report)?;
    for probe in probes.into_iter().filter(|probe| !dry_run && !is_spared(probe)) {
        exchange.delete(&format!("{PROBES}/{}", probe.name)).map_err(ExchangeError::report)?;
    }
    Ok(swept)
}

/// The digests of the objects that a session's ledger refers to.
fn referred(exchange: &Exchange, session: &str) -> anyhow::Result<BTreeSet<String>> {
    let folder = format!("{SESSIONS}/{session}/steps");
    let mut digests = BTreeSet::new();
    for record in exchange.list(&folder).map_err(ExchangeError::report)?.0 {
        let name = format!("{folder}/{}", record.name);
        let Some(bytes) = exchange.read(&name).map_err(ExchangeError::report)? else { continue };
        let outcome: Outcome = serde_json::from_slice(&bytes)
            .map_err(|error| anyhow::anyhow!("the record `{name}` of the exchange is damaged: {error}"))?;
        let files = outcome.files.values().flatten().chain(&outcome.output);
        digests.extend(files.map(|file| file.digest.to_string()));
    }
    Ok(digests)
}

/// Whether nobody runs a session, and its last host was heard longer ago than `age`.
fn is_old(exchange: &Exchange, session: &str, time: Timestamp, age: Duration) -> anyhow::Result<bool> {
    if !matches!(holder(exchange, session, time)?.0, Holder::Nobody) {
        return Ok(false);
    }
    let (beats, _) = exchange.list(&format!("{SESSIONS}/{session}/beats")).map_err(ExchangeError::report)?;
    let last = beats.iter().map(|beat| beat.written).max();
    Ok(last.is_none_or(|last| time.duration_since(last).unsigned_abs() > age))
}

/// Removes all records of a session; the claims last, so that it cannot be resumed from half of them.
fn remove_session(exchange: &Exchange, session: &str) -> anyhow::Result<()> {
    for folder in ["", "/steps", "/begun", "/beats", "/hosts"] {
        let folder = format!("{SESSIONS}/{session}{folder}");
        for object in exchange.list(&folder).map_err(ExchangeError::report)?.0 {
            exchange.delete(&format!("{folder}/{}", object.name)).map_err(ExchangeError::report)?;
        }
    }
    Ok(())
}
