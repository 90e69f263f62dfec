//! What a worker sends of an attempt: written where the host would have had it written, and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::{Digests, state_of};
use crate::digest::Hasher;
use crate::protocol::worker::SentFile;
use crate::protocol::{FileGrant, LocalFiles};
use crate::size::spell;
use crate::step::open_granted;

/// How the files of an attempt come.
#[derive(Debug)]
pub enum Receiving {
    /// Over the connection.
    Here(Received),
    /// Not at all: they are stored in an exchange.
    Elsewhere(Expected),
}

/// The files that an attempt may store in an exchange.
#[derive(Debug)]
pub struct Expected {
    has_output: bool,
    write: Vec<String>,
    /// The most bytes of each.
    limit: u64,
}

impl Expected {
    pub fn new(files: &LocalFiles, limit: u64) -> Self {
        let write = files.write.iter().map(|grant| grant.name.clone()).collect();
        Self { has_output: files.output.is_some(), write, limit }
    }

    /// The most bytes of all.
    pub(super) fn most_bytes(&self) -> u64 {
        self.limit.saturating_mul(1 + self.write.len() as u64)
    }

    /// Checks that the worker stored no more and no less than the attempt may; returns the names of the written files.
    ///
    /// # Errors
    /// If it did.
    pub(super) fn check(&self, stored: &[SentFile]) -> anyhow::Result<Vec<String>> {
        let mut seen = BTreeSet::new();
        for SentFile { name, bytes, .. } in stored {
            ensure!(seen.insert(name), "it names a file twice");
            ensure!(*bytes <= self.limit, "it stored a file of more than {}, the step's limit", spell(self.limit));
            match name {
                None => ensure!(self.has_output, "it stored an output that the step does not have"),
                Some(name) => ensure!(self.write.contains(name), "it stored a file that the step was not granted"),
            }
        }
        ensure!(!self.has_output || seen.contains(&None), "it stored no output, which the step must have");
        Ok(stored.iter().filter_map(|file| file.name.clone()).collect())
    }
}

impl Receiving {
    pub(super) fn part(&mut self, name: Option<&str>, part: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Here(received) => received.part(name, part),
            Self::Elsewhere(_) => bail!("it sent a file that it should have stored"),
        }
    }
}

/// The files that an attempt may send.
#[derive(Debug)]
pub struct Received {
    output: Option<PathBuf>,
    write: Vec<FileGrant>,
    /// The most bytes of each.
    limit: u64,
    files: BTreeMap<Option<String>, ReceivedFile>,
}

#[derive(Debug)]
struct ReceivedFile {
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Received {
    pub fn new(files: &LocalFiles, limit: u64) -> Self {
        Self { output: files.output.clone(), write: files.write.clone(), limit, files: BTreeMap::new() }
    }

    pub(super) fn output(&self) -> Option<&Path> {
        self.output.as_deref()
    }

    /// Takes the next part of the file with that name, or of the output.
    ///
    /// # Errors
    /// If the attempt may not make it, it is too large, or it cannot be written.
    pub(super) fn part(&mut self, name: Option<&str>, part: &[u8]) -> anyhow::Result<()> {
        let limit = self.limit;
        let taken = self.file(name)?;
        taken.bytes = taken.bytes.saturating_add(part.len() as u64);
        ensure!(taken.bytes <= limit, "it sent a file of more than {}, the step's limit", spell(limit));
        taken.hasher.update(part);
        taken.file.write_all(part).context("cannot write what a worker sent")
    }

    #[expect(clippy::disallowed_methods, reason = "creates a file in the session's own folder")]
    fn file(&mut self, name: Option<&str>) -> anyhow::Result<&mut ReceivedFile> {
        let key = name.map(str::to_owned);
        if !self.files.contains_key(&key) {
            let file = match name {
                None => {
                    let path = self.output.as_ref().context("it sent an output that the step does not have")?;
                    let mut options = OpenOptions::new();
                    options.read(true).write(true).create_new(true).mode(0o644);
                    options.open(path).context("cannot create the step's output")?
                }
                Some(name) => {
                    let grant = self.write.iter().find(|grant| grant.name == name);
                    open_granted(grant.context("it sent a file that the step was not granted")?, true)?
                }
            };
            self.files.insert(key.clone(), ReceivedFile { file, hasher: Hasher::default(), bytes: 0 });
        }
        self.files.get_mut(&key).context("the file has gone")
    }

    /// Checks that what arrived is what the worker says it sent, and makes it durable; returns the names of the written
    /// files.
    ///
    /// # Errors
    /// If a file is missing, or is another one.
    pub(super) fn finish(mut self, sent: &[SentFile], digests: &Digests) -> anyhow::Result<Vec<String>> {
        let (mut names, mut seen) = (Vec::new(), BTreeSet::new());
        for SentFile { name, bytes, digest } in sent {
            ensure!(seen.insert(name), "it names a file twice");
            // An empty file has no part.
            self.file(name.as_deref())?;
            let ReceivedFile { file, hasher, bytes: arrived } = self.files.remove(name).context("the file has gone")?;
            let found = hasher.finish();
            ensure!(
                (arrived, &found) == (*bytes, digest),
                "it says that it sent {bytes} bytes of digest {digest}, but {arrived} bytes of digest {found} arrived"
            );
            file.sync_all().context("cannot write what a worker sent")?;
            digests.note(state_of(&file)?, (found, arrived));
            names.extend(name.clone());
        }
        ensure!(self.files.is_empty(), "it sent a file that it does not name in the end");
        ensure!(
            self.output.is_none() || sent.iter().any(|file| file.name.is_none()),
            "it sent no output, which the step must have"
        );
        Ok(names)
    }
}
