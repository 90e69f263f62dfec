//! Updates of DuckDB files that last. Each is noted before it takes place, with what tells afterwards whether it did: so
//! no row is delivered twice after the host has died.
//!
//! The update is one rename, so the file's identity tells. It is noted in two places:
//!
//! - in the session's ledger, for `--resume`: see [`ledger::note_delivering`](super::ledger::note_delivering);
//! - beside the state of a step whose rows it delivers, together with the state that counts once it has taken place: for
//!   the next run.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use cap_std::fs::{Dir, Metadata, MetadataExt};
use serde::{Deserialize, Serialize};

use super::ledger::note_settled;
use super::schedule::Schedule;
use super::targets::Target;
use crate::error::Report;
use crate::pipeline::StepId;
use crate::session::{Base, Status, state};

/// What tells a file from every other one, also from one that later takes its name or its inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    /// When it was created, in nanoseconds since 1970, or as near to it as the file system knows: its last change.
    since: u128,
}

impl FileIdentity {
    fn of(found: &Metadata) -> Self {
        let created = found.created().ok().and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok());
        let changed = || {
            let seconds = u128::try_from(found.mtime()).unwrap_or_default();
            seconds * 1_000_000_000 + u128::try_from(found.mtime_nsec()).unwrap_or_default()
        };
        Self {
            device: found.dev(),
            inode: found.ino(),
            since: created.map_or_else(changed, |created| created.as_nanos()),
        }
    }

    /// # Errors
    /// If the file cannot be looked at; a file that is not there is `None`.
    fn at(dir: &Dir, path: &Path) -> std::io::Result<Option<Self>> {
        match dir.symlink_metadata(path) {
            Ok(found) => Ok(Some(Self::of(&found))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An update of a DuckDB file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Relative to the base folder.
    path: PathBuf,
    /// What was there; `None` if nothing was.
    before: Option<FileIdentity>,
    /// What is there once the update has taken place.
    after: FileIdentity,
}

impl Delivery {
    /// # Errors
    /// If one of the files cannot be looked at.
    pub(super) fn of(base: &Base, updated: &Path, target: &Path) -> std::io::Result<Self> {
        let after = FileIdentity::of(&base.dir.symlink_metadata(updated)?);
        Ok(Self { path: target.to_owned(), before: FileIdentity::at(&base.dir, target)?, after })
    }
}

/// What became of updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// All have taken place.
    Delivered,
    /// None has.
    Untouched,
    /// This file has been replaced by others since, or only some of the files are updated.
    Unknown(PathBuf),
}

/// # Errors
/// If a file cannot be looked at.
pub(super) fn fate(base: &Base, deliveries: &[Delivery]) -> std::io::Result<Fate> {
    let mut fates = Vec::new();
    for delivery in deliveries {
        let now = FileIdentity::at(&base.dir, &delivery.path)?;
        fates.push(if now.as_ref() == Some(&delivery.after) {
            Fate::Delivered
        } else if now == delivery.before {
            Fate::Untouched
        } else {
            Fate::Unknown(delivery.path.clone())
        });
    }
    let mut fates = fates.into_iter();
    let Some(first) = fates.next() else { return Ok(Fate::Untouched) };
    Ok(match fates.find(|other| *other != first) {
        None => first,
        Some(Fate::Unknown(path)) => Fate::Unknown(path),
        Some(_) => Fate::Unknown(deliveries.first().map(|delivery| delivery.path.clone()).unwrap_or_default()),
    })
}

/// A state that counts once updates have taken place.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    deliveries: Vec<Delivery>,
    kept: state::StoredState,
}

/// Settles what a run left whose host died while it put its last file into place: the state of the step counts if the file is
/// there, and does not if it is as it was. The state must be held.
///
/// # Errors
/// A [`Report`] if neither is so, since other programs have replaced the file.
pub(super) fn settle_state(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<()> {
    let Some(text) = state::read_pending(base, pipeline, step)? else { return Ok(()) };
    let pending: Pending = serde_json::from_str(&text).map_err(|error| {
        let place = base.states.path().join(state::pending_name(pipeline, step));
        Report::input(format!(
            "`{}` is damaged or of another version of Osiris ({error}): whether the rows of step `{step}` arrived is not known",
            place.display()
        ))
        .hint("look at what the last run wrote; if they are not there, remove the file to have them read again")
    })?;
    match fate(base, &pending.deliveries)? {
        Fate::Delivered => state::write(base, &pending.kept),
        Fate::Untouched => state::remove_pending(base, pipeline, step),
        Fate::Unknown(path) => {
            let place = base.states.path().join(state::pending_name(pipeline, step));
            Err(Report::input(format!(
                "the last run of pipeline `{pipeline}` ended while it put `{}` into place, and the file has been replaced \
                 since: whether the rows of step `{step}` arrived is not known",
                path.display()
            ))
            .hint(format!("look at the file; if they are not there, remove `{}` to have them read again", place.display()))
            .into())
        }
    }
}

impl Schedule<'_> {
    /// Notes the states that count once a step has delivered, before it does.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn note_pending(&self, delivering: usize, deliveries: &[Delivery]) -> anyhow::Result<()> {
        for (place, json) in &self.states {
            let step = &self.plan.steps[*place];
            if step.state.is_some() && self.is_last_behind(*place, delivering) {
                let kept = self.state_of(*place, json.clone())?;
                let pending = Pending { deliveries: deliveries.to_vec(), kept };
                let text = serde_json::to_string_pretty(&pending)? + "\n";
                state::write_pending(self.base, &self.plan.pipeline, step.id.as_str(), &text)?;
            }
        }
        Ok(())
    }

    /// Forgets what was noted of a step that did not deliver, unless it may have.
    pub(super) fn forget_deliveries(&self, delivering: &StepId, deliveries: &[Delivery]) {
        if fate(self.base, deliveries).is_ok_and(|fate| fate == Fate::Untouched) {
            note_settled(self.session, delivering);
            for place in self.states.keys() {
                let step = self.plan.steps[*place].id.as_str();
                if let Err(error) = state::remove_pending(self.base, &self.plan.pipeline, step) {
                    tracing::warn!(error = format!("{error:#}"), step, "cannot forget a state that does not count");
                }
            }
        }
    }

    /// Whether all that a step's state waits for is that another step delivers.
    fn is_last_behind(&self, place: usize, delivering: usize) -> bool {
        let mut behind = self.behind(place);
        behind.remove(&self.plan.steps[delivering].id);
        !self.leaves_out_after(place) && behind.into_iter().all(|id| self.status(id) == Status::Success)
    }
}

/// The updates that a step's targets are.
///
/// # Errors
/// If a file cannot be looked at.
pub(super) fn of_targets(base: &Base, targets: &[Target], created: &[String]) -> anyhow::Result<Vec<Delivery>> {
    let updated =
        targets.iter().filter(|target| target.is_update() && created.iter().any(|name| name == target.name()));
    Ok(updated.map(|target| target.delivery(base)).collect::<std::io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_identity_of_a_file_tells_whether_it_was_updated() {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::open(folder.path()).unwrap();
        base.dir.write("w", "old").unwrap();
        base.dir.write("copy", "new").unwrap();
        let deliveries = [Delivery::of(&base, Path::new("copy"), Path::new("w")).unwrap()];
        let fate = || super::fate(&base, &deliveries).unwrap();
        assert_eq!(fate(), Fate::Untouched);
        // Somebody writes to the file as it is.
        base.dir.write("w", "old, with more").unwrap();
        assert_eq!(fate(), Fate::Untouched);
        base.dir.rename("copy", &base.dir, "w").unwrap();
        base.dir.write("w", "new, with more").unwrap();
        assert_eq!(fate(), Fate::Delivered);
        base.dir.write("other", "other").unwrap();
        base.dir.rename("other", &base.dir, "w").unwrap();
        assert_eq!(fate(), Fate::Unknown("w".into()));
        base.dir.remove_file("w").unwrap();
        assert_eq!(fate(), Fate::Unknown("w".into()));
    }

    #[test]
    fn a_file_that_was_not_there_is_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::open(folder.path()).unwrap();
        base.dir.write("copy", "new").unwrap();
        let first = Delivery::of(&base, Path::new("copy"), Path::new("w")).unwrap();
        assert_eq!(fate(&base, std::slice::from_ref(&first)).unwrap(), Fate::Untouched);
        base.dir.rename("copy", &base.dir, "w").unwrap();
        assert_eq!(fate(&base, std::slice::from_ref(&first)).unwrap(), Fate::Delivered);
        base.dir.write("copy", "new").unwrap();
        let second = Delivery::of(&base, Path::new("copy"), Path::new("v")).unwrap();
        assert_eq!(fate(&base, &[first, second]).unwrap(), Fate::Unknown("w".into()), "one of two");
    }
}
