//! What steps keep between runs: `.osiris/state/<pipeline>/<step>.json` in the base folder.

use std::io::ErrorKind;

use anyhow::Context;
use cap_std::fs::Dir;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Base, sync, write_whole};
use crate::error::Report;
use crate::plan::{Plan, PlannedStep};

/// Osiris's own folder in the base folder.
pub const OWN_FOLDER: &str = ".osiris";

/// The folder of all states in the base folder.
const FOLDER: &str = ".osiris/state";

/// A step's state with where it came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    pub pipeline: String,
    pub step: String,
    /// The driver that kept it.
    pub driver: String,
    pub session: String,
    pub updated_at: String,
    pub state: Box<RawValue>,
}

/// What `step` of `pipeline` kept; `None` where there is nothing.
///
/// # Errors
/// When the file is there but no state.
pub fn read(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<Option<Kept>> {
    let file = format!("{}/{step}.json", folder(pipeline));
    let text = match base.dir.read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read the state `{file}`")),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Report::input(format!("the state `{file}` is damaged: {error}"))
            .hint(format!("mend the file, or begin anew with `osiris state reset {step}`"))
            .into()
    })
}

/// Holds what the plan's steps have kept, for as long as the files are open: two runs at once would deliver the same rows
/// twice. A step that has kept nothing yet, as most never do, holds nobody up.
///
/// # Errors
/// A [`Report`] naming the step whose state another run holds.
pub fn hold(base: &Base, plan: &Plan) -> anyhow::Result<Vec<std::fs::File>> {
    let mut held = Vec::new();
    for step in plan.steps.iter().filter(|step| step.grants.state) {
        let file = format!("{}/{}", folder(&plan.pipeline), step.id);
        if !base.dir.exists(format!("{file}.json")) {
            continue;
        }
        let doing = || format!("cannot hold the state of step `{}`", step.id);
        let lock = base.dir.create(format!("{file}.lock")).with_context(doing)?.into_std();
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => held.push(lock),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Report::input(format!(
                    "another run of pipeline `{}` is at work on step `{}`, which goes on where the last run ended: two at \
                     once would deliver the same rows twice",
                    plan.pipeline, step.id
                ))
                .hint("wait for it to end; `osiris sessions list` shows it")
                .into());
            }
            Err(error) => return Err(error).with_context(doing),
        }
    }
    Ok(held)
}

/// Keeps `json` for the next run of `step`; the old state or the new is there, never a part.
///
/// # Errors
/// When `json` is no JSON or cannot be written.
pub fn write(base: &Base, pipeline: &str, step: &PlannedStep, session: &str, json: &str) -> anyhow::Result<()> {
    let doing = || format!("cannot keep the state of step `{}`", step.id);
    let kept = Kept {
        pipeline: pipeline.to_owned(),
        step: step.id.to_string(),
        driver: step.driver.label(),
        session: session.to_owned(),
        updated_at: format!("{:.3}", jiff::Timestamp::now()),
        state: RawValue::from_string(json.to_owned()).with_context(doing)?,
    };
    let folder = folder(pipeline);
    base.dir.create_dir_all(&folder).with_context(doing)?;
    if !base.dir.exists(".osiris/.gitignore") {
        base.dir.write(".osiris/.gitignore", "*\n").with_context(doing)?;
    }
    let dir = base.dir.open_dir(&folder).with_context(doing)?;
    let text = serde_json::to_string_pretty(&kept)? + "\n";
    write_whole(&dir, &format!("{}.json", step.id), &text).and_then(|()| sync(&dir)).with_context(doing)
}

/// Forgets what `step` kept; says whether there was anything.
///
/// # Errors
/// When the file cannot be removed.
pub fn remove(base: &Base, pipeline: &str, step: &str) -> anyhow::Result<bool> {
    match base.dir.remove_file(format!("{}/{step}.json", folder(pipeline))) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove the state of step `{step}`")),
    }
}

/// Every state of the base folder, or of one pipeline, by pipeline and step.
///
/// # Errors
/// When a file is no state.
pub fn list(base: &Base, pipeline: Option<&str>) -> anyhow::Result<Vec<Kept>> {
    let mut all = Vec::new();
    let Ok(states) = base.dir.open_dir(FOLDER) else { return Ok(all) };
    for folder in names(&states)? {
        let Ok(dir) = states.open_dir(&folder) else { continue };
        for file in names(&dir)?.iter().filter(|name| name.ends_with(".json") && !name.starts_with('.')) {
            let text = dir.read_to_string(file)?;
            let kept: Kept = serde_json::from_str(&text)
                .map_err(|error| Report::input(format!("the state `{FOLDER}/{folder}/{file}` is damaged: {error}")))?;
            if pipeline.is_none_or(|pipeline| pipeline == kept.pipeline) {
                all.push(kept);
            }
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

/// A pipeline's folder. Its name may hold anything; what is no plain letter is spelled out.
fn folder(pipeline: &str) -> String {
    let spelled: String = pipeline
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect();
    format!("{FOLDER}/{spelled}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pipelines_name_leads_out_of_the_folder_or_meets_another() {
        for (name, expected) in [("shop", "shop"), ("../..", "%2e%2e%2f%2e%2e"), ("a b", "a%20b"), ("a%20b", "a%2520b")]
        {
            assert_eq!(folder(name), format!("{FOLDER}/{expected}"));
        }
    }
}
