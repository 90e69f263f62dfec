//! The states that steps keep between runs: `.osiris/state/<pipeline>/<step>.json` in the base folder, or `<pipeline>/<step>.json` in
//! the folder that the operator names.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, MetadataExt, OpenOptions, OpenOptionsExt, Permissions};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Base, plain, sync, write_private};
use crate::driver::identity::Identity;
use crate::error::Report;
use crate::grants::reserved;

/// A step's state and its origin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredState {
    pub pipeline: String,
    pub step: String,
    /// The driver that set it.
    pub driver: String,
    /// The session that wrote it; empty if a person did.
    pub session: String,
    pub updated_at: String,
    /// The source that it was read from; `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The exchange that has it too, and the newer one if other machines run the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Exactly as the driver wrote it.
    pub state: Box<RawValue>,
}

/// A state that was found, valid or damaged.
#[derive(Debug)]
pub struct Found {
    pub pipeline: String,
    pub step: String,
    pub kept: Result<StoredState, Report>,
}

/// The state of `step` of `pipeline`; `None` if it has no state.
///
/// # Errors
/// If the file exists but is not a valid state.
pub fn read(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<Option<StoredState>> {
    let file = format!("{}/{step}.json", folder_name(pipeline));
    match base.states.open().and_then(|states| plain::read(&states, &file)) {
        Ok(text) => Ok(Some(parse(&text, &file, pipeline, step)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the state `{file}`")),
    }
}

fn parse(text: &str, file: &str, pipeline: &str, step: &str) -> Result<StoredState, Report> {
    serde_json::from_str(text).map_err(|error| {
        Report::input(format!("the state `{file}` is damaged: {error}")).hint(format!(
            "repair the file, or start over with `osiris state reset {step} --pipeline {}`",
            quoted(pipeline)
        ))
    })
}

/// A name, quoted for a shell if necessary.
pub fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

/// Locks the state of a step until the returned file is closed, whether or not a state exists yet. Otherwise two runs
/// at once would deliver the same rows twice, and a change made during a run would be lost.
///
/// # Errors
/// A [`Report`] if someone else has locked it.
pub fn hold(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<File> {
    let doing = || format!("cannot hold the state of step `{step}`");
    let states = make_folder(base, pipeline)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let lock = plain::open_with(&states, format!("{step}.lock"), &mut options)
        .map_err(|error| base.states.refused(error, OPTION))?
        .into_std();
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Report::busy(format!(
            "another run of pipeline `{pipeline}` is at work on step `{step}`, which goes on where the last run ended: two at \
             once would deliver the same rows twice"
        ))
        .hint("wait for it to end; `osiris sessions list` shows it")
        .into()),
        Err(error) => Err(error).with_context(doing),
    }
}

/// The option that names another folder of states.
const OPTION: &str = "--state";

/// Opens the folder of a pipeline's states, and creates it.
fn make_folder(base: &Base, pipeline: &str) -> anyhow::Result<Dir> {
    let states = base.states.create(OPTION)?;
    let name = folder_name(pipeline);
    let mut private = DirBuilder::new();
    match states.create_dir_with(&name, private.mode(0o700)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(base.states.refused(error, OPTION)),
        _ => {}
    }
    if !base.states.is_outside() {
        make_own_folder(base).map_err(|error| base.states.refused(error, OPTION))?;
    }
    states.open_dir(&name).map_err(|error| base.states.refused(error, OPTION))
}

/// Creates the folder of everything that outlives sessions, for this user only.
pub(super) fn make_own_folder(base: &Base) -> std::io::Result<()> {
    let mut private = DirBuilder::new();
    match base.dir.create_dir_with(reserved::OWN, private.mode(0o700)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // A folder that other users may read or write, as an earlier version created it, is restricted to this user.
    if base.dir.metadata(reserved::OWN)?.mode() & 0o077 != 0 {
        base.dir.set_permissions(reserved::OWN, Permissions::from_std(std::fs::Permissions::from_mode(0o700)))?;
    }
    if !base.dir.exists(".osiris/.gitignore") {
        base.dir.write(".osiris/.gitignore", "*\n")?;
    }
    Ok(())
}

/// Writes a state atomically: a reader sees either the old state or the new.
///
/// # Errors
/// If it cannot be written.
pub fn write(base: &Base, kept: &StoredState) -> anyhow::Result<()> {
    let doing = || format!("cannot write the state of step `{}`", kept.step);
    let dir = make_folder(base, &kept.pipeline)?;
    let text = serde_json::to_string_pretty(kept)? + "\n";
    write_private(&dir, &format!("{}.json", kept.step), &text).and_then(|()| sync(&dir)).with_context(doing)?;
    remove_pending(base, &kept.pipeline, &kept.step)
}

/// The file, in the folder of states, of a state that counts only if what it stands for has arrived.
pub fn pending_name(pipeline: &str, step: &str) -> String {
    format!("{}/{step}.pending", folder_name(pipeline))
}

/// Notes a state that may count, until a state is written or removed.
///
/// # Errors
/// If it cannot be written.
pub fn write_pending(base: &Base, pipeline: &str, step: &str, text: &str) -> anyhow::Result<()> {
    let dir = make_folder(base, pipeline)?;
    let written = write_private(&dir, &format!("{step}.pending"), text).and_then(|()| sync(&dir));
    written.with_context(|| format!("cannot note the state of step `{step}`"))
}

/// The state of `step` that may count, if one is noted.
///
/// # Errors
/// If it cannot be read.
pub fn read_pending(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<Option<String>> {
    let file = pending_name(pipeline, step);
    match base.states.open().and_then(|states| plain::read(&states, &file)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the state `{file}`")),
    }
}

/// Forgets the state of `step` that may count.
///
/// # Errors
/// If it cannot be removed.
pub fn remove_pending(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<()> {
    let file = pending_name(pipeline, step);
    match base.states.open().and_then(|states| states.remove_file(&file)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the state `{file}`"))
        }
        _ => Ok(()),
    }
}

/// Removes the state of `step`; returns whether there was one.
///
/// # Errors
/// If the file cannot be removed.
pub fn remove(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<bool> {
    remove_pending(base, pipeline, step)?;
    let file = format!("{}/{step}.json", folder_name(pipeline));
    match base.states.open().and_then(|states| states.remove_file(file)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove the state of step `{step}`")),
    }
}

/// Every state of the base folder, or of one pipeline, by pipeline and step.
///
/// # Errors
/// If a folder or file cannot be read.
pub fn list(base: &Base, pipeline: Option<&str>) -> anyhow::Result<Vec<Found>> {
    let mut all = Vec::new();
    let Ok(states) = base.states.open() else { return Ok(all) };
    for spelled in names(&states)? {
        let Ok(dir) = states.open_dir(&spelled) else { continue };
        let of = name_of(&spelled);
        if pipeline.is_some_and(|pipeline| pipeline != of) {
            continue;
        }
        for file in names(&dir)?.iter().filter(|name| !name.starts_with('.')) {
            let Some(step) = file.strip_suffix(".json") else { continue };
            let path = format!("{spelled}/{file}");
            let unreadable = |error| Report::input(format!("cannot read the state `{path}`: {error}"));
            let kept = plain::read(&dir, file).map_err(unreadable).and_then(|text| parse(&text, &path, &of, step));
            all.push(Found { pipeline: of.clone(), step: step.to_owned(), kept });
        }
    }
    Ok(all)
}

fn names(dir: &Dir) -> anyhow::Result<Vec<String>> {
    let entries = dir.entries().context("cannot list the states")?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The name of a pipeline's folder. The pipeline's name may contain anything; characters that are not plain letters are escaped.
pub fn folder_name(pipeline: &str) -> String {
    pipeline
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect()
}

/// The pipeline whose folder is called `spelled`.
fn name_of(spelled: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = spelled;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let code = after.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(b'%'));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pipelines_name_leads_out_of_the_folder_or_collides_with_another() {
        for (name, expected) in
            [("shop", "shop"), ("../..", "%2e%2e%2f%2e%2e"), ("a b", "a%20b"), ("a%20b", "a%2520b"), ("ä", "%c3%a4")]
        {
            assert_eq!(folder_name(name), expected);
            assert_eq!(name_of(expected), name);
        }
    }

    #[test]
    fn names_are_quoted_for_a_shell_if_necessary() {
        for (name, expected) in [("a-b.c_1", "a-b.c_1"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(name), expected);
        }
    }
}
