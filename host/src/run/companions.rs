//! Database files that other programs may write to while a step reads them, because nobody locks them: those with companions.
//! A step that read one is complete only if the file is afterwards what it was before.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Blame, Failure, Retry};
use crate::plan::PlannedStep;
use crate::session::Base;

/// A file as it was when a step was given its files.
struct Seen {
    name: String,
    root: PathBuf,
    below: PathBuf,
    stamp: Option<Stamp>,
}

/// What changes with each write to a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// The files with companions that a step reads.
pub(super) struct WithCompanions(Vec<Seen>);

impl WithCompanions {
    pub(super) fn of(step: &PlannedStep) -> Self {
        let read = &step.grants.read;
        let has_companion = |name: &str| read.iter().any(|other| other.companion_of.as_deref() == Some(name));
        let seen = read.iter().filter(|wish| has_companion(&wish.name)).map(|wish| Seen {
            name: wish.name.clone(),
            root: wish.root.clone(),
            below: wish.below.clone(),
            stamp: stamp(&wish.root, &wish.below),
        });
        Self(seen.collect())
    }

    /// The failure of a step that read a file which was changed meanwhile.
    pub(super) fn failure(&self) -> Option<Failure> {
        let changed = self.0.iter().find(|seen| stamp(&seen.root, &seen.below) != seen.stamp)?;
        let message = format!("`{}` was changed by another program while the step read it", changed.name);
        let failure = Failure { retry: Some(Retry { after_ms: None }), ..Failure::new(Blame::User, "busy", message) };
        Some(
            failure
                .hint("run it again, or read a copy: `sqlite3 FILE \".backup COPY\"` makes one of a database in use"),
        )
    }
}

fn stamp(root: &Path, below: &Path) -> Option<Stamp> {
    let found = Base::open(root).ok()?.dir.metadata(below).ok()?;
    Some(Stamp { bytes: found.len(), modified: found.modified().ok().map(cap_std::time::SystemTime::into_std) })
}
