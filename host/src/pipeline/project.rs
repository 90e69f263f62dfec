//! The project file `osiris.yaml`: the workers that steps may run on, the exchange, and where secrets are. No I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Report, listed, nearest};
use crate::pipeline::secret_source::{SecretDef, SecretSource};
use crate::pipeline::yaml;

/// The file's name in the base folder.
pub const FILE: &str = "osiris.yaml";

/// The name of this machine among the workers.
pub const LOCAL: &str = "local";

/// The most steps that one worker runs at once.
const MAX_SLOTS: u32 = 1000;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    #[serde(default)]
    workers: BTreeMap<String, WorkerDef>,
    /// Where steps run that say nothing about it.
    #[serde(default)]
    on: Option<String>,
    /// The exchange that steps pass data through, such as `s3://bucket/prefix`.
    #[serde(default)]
    pub exchange: Option<String>,
    /// The base folder of pipelines, if it is not the file's folder.
    #[serde(default)]
    pub base: Option<PathBuf>,
    /// The folders of sessions and states.
    #[serde(default)]
    pub sessions: Option<PathBuf>,
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// Which sessions stay after a run.
    #[serde(default)]
    pub keep: Option<Keep>,
    /// Secrets that pipelines and connections refer to as `${secret:NAME}`.
    #[serde(default)]
    secrets: BTreeMap<String, SecretDef>,
}

/// Which sessions of a pipeline stay after a run: the newest so many, and those that ended in the last so many days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    pub runs: Option<usize>,
    pub days: Option<u32>,
}

/// A worker as the operator declares it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerDef {
    command: String,
    slots: Option<u32>,
}

/// What stands for a command: sandboxes of E2B (`e2b:TEMPLATE` are those of a template), and a Ray cluster (`ray:ADDRESS`).
const BRIDGES: [&str; 2] = ["e2b", "ray"];

/// Where a step runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the machine of the host.
    #[default]
    Local,
    Worker(WorkerPlace),
}

/// A worker that a command leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerPlace {
    /// Its name, or the command itself if it has none.
    pub name: String,
    /// A command for the shell, whose stdin and stdout lead to `osiris worker`.
    pub command: String,
    /// How many steps may run on it at once, if it would run more.
    pub slots: Option<u32>,
}

impl Place {
    pub fn name(&self) -> &str {
        match self {
            Self::Local => LOCAL,
            Self::Worker(worker) => &worker.name,
        }
    }

    pub fn worker(&self) -> Option<&WorkerPlace> {
        match self {
            Self::Local => None,
            Self::Worker(worker) => Some(worker),
        }
    }
}

/// Parses the file; `file` names it in errors.
///
/// # Errors
/// A [`Report`] with file and line.
pub fn parse(text: &str, file: &str) -> Result<Project, Report> {
    let project: Project = yaml::parse(text, "project file", file)?;
    for (name, worker) in &project.workers {
        let wrong = |what: &str| Report::input(format!("worker `{name}` in `{file}` {what}"));
        if name == LOCAL || name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(
                wrong("cannot be called so").hint("use letters, digits, `-`, `_` and `.`; `local` is this machine")
            );
        }
        if worker.command.trim().is_empty() {
            return Err(wrong("has no command").hint("write for example `command: ssh build1 osiris worker`"));
        }
        if worker.slots.is_some_and(|slots| slots == 0 || slots > MAX_SLOTS) {
            return Err(wrong("has a wrong number of slots").hint(format!("write a number from 1 to {MAX_SLOTS}")));
        }
    }
    for (_, source) in project.secrets() {
        source.map_err(|report| Report { message: format!("{} (in `{file}`)", report.message), ..report })?;
    }
    if project.keep.is_some_and(|keep| keep.runs.is_none() && keep.days.is_none()) {
        return Err(Report::input(format!("`keep` in `{file}` says neither `runs` nor `days`"))
            .hint("write for example `keep: {runs: 20, days: 14}`"));
    }
    if let Some(on) = &project.on {
        project.named(on, &format!("`{file}`"))?;
    }
    Ok(project)
}

impl Project {
    /// Where each declared secret is.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, Result<SecretSource, Report>)> {
        self.secrets.iter().map(|(name, declared)| (name.as_str(), declared.source(name)))
    }

    /// The place that a step, a profile or the project names; `who` is the one that names it.
    ///
    /// # Errors
    /// If no worker has that name. A command is not accepted: a pipeline may come from anybody.
    pub fn named(&self, name: &str, who: &str) -> Result<Place, Report> {
        if name == LOCAL {
            return Ok(Place::Local);
        }
        let Some(WorkerDef { command, slots }) = self.workers.get(name) else {
            let known = self.workers.keys().map(String::as_str).chain([LOCAL]);
            let report =
                Report::input(format!("{who} names the unknown worker `{name}`; known: {}", listed(known.clone())));
            return Err(match nearest(name, known) {
                Some(near) => report.hint(format!("did you mean `{near}`?")),
                None => report.hint(format!("declare it in `{FILE}`: `workers: {{{name}: {{command: …}}}}`")),
            });
        };
        Ok(Place::Worker(WorkerPlace { name: name.to_owned(), command: command.clone(), slots: *slots }))
    }

    /// The place that the operator names for a run: a worker, or a command that leads to one.
    ///
    /// # Errors
    /// If no worker has that name, and it is no command.
    pub fn chosen(&self, text: &str) -> Result<Place, Report> {
        let (first, _) = text.split_once(':').unwrap_or((text, ""));
        let is_command = text.contains(char::is_whitespace) || BRIDGES.contains(&first);
        if is_command && !self.workers.contains_key(text) {
            let (name, command) = (text.to_owned(), text.to_owned());
            return Ok(Place::Worker(WorkerPlace { name, command, slots: None }));
        }
        self.named(text, "`--on`").map_err(|report| match &report.hint {
            Some(hint) if hint.starts_with("declare") => {
                report.hint(format!("declare it in `{FILE}`, or write a command such as `ssh {text} osiris worker`"))
            }
            _ => report,
        })
    }

    /// Where steps run that say nothing about it, according to the profile and the project.
    ///
    /// # Errors
    /// As for [`Self::named`].
    pub fn usual(&self, profile: Option<(&str, &str)>) -> Result<Place, Report> {
        match (profile, &self.on) {
            (Some((profile, on)), _) => self.named(on, &format!("profile `{profile}`")),
            (None, Some(on)) => self.named(on, &format!("`{FILE}`")),
            (None, None) => Ok(Place::Local),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn project(text: &str) -> Result<Project, Report> {
        parse(text, FILE)
    }

    #[test]
    fn a_place_is_a_declared_worker_this_machine_or_for_the_operator_a_command() {
        let project = project("workers: {build1: {command: ssh build1 osiris worker, slots: 4}}\non: build1").unwrap();
        let build1 = project.named("build1", "step `a`").unwrap();
        assert_eq!((build1.name(), build1.worker().unwrap().slots), ("build1", Some(4)));
        assert_eq!(project.chosen("build1").unwrap(), build1);
        assert_eq!(project.usual(None).unwrap(), build1);
        assert_eq!(project.usual(Some(("dev", "local"))).unwrap(), Place::Local);
        for command in ["ssh x osiris worker", "e2b", "e2b:python", "ray", "ray:head:6379"] {
            assert_eq!(project.chosen(command).unwrap().name(), command);
        }
        for (result, message, hint) in [
            (
                project.named("build", "step `a`"),
                "step `a` names the unknown worker `build`; known: `build1`, `local`",
                "did you mean `build1`?",
            ),
            (project.named("ssh x osiris worker", "step `a`"), "step `a` names the unknown worker", "declare it"),
            (project.usual(Some(("dev", "gpu"))), "profile `dev` names the unknown worker `gpu`", "declare it"),
            (
                project.chosen("gpu"),
                "`--on` names the unknown worker `gpu`",
                "or write a command such as `ssh gpu osiris worker`",
            ),
        ] {
            let report = result.unwrap_err();
            assert!(report.message.starts_with(message), "{}", report.message);
            assert!(report.hint.as_ref().unwrap().contains(hint), "{:?}", report.hint);
        }
    }

    #[test]
    fn a_malformed_project_is_refused() {
        for (text, message) in [
            ("workers: {local: {command: x}}", "worker `local` in `osiris.yaml` cannot be called so"),
            ("workers: {'a b': {command: x}}", "cannot be called so"),
            ("workers: {a: {command: ' '}}", "worker `a` in `osiris.yaml` has no command"),
            ("workers: {a: {command: x, slots: 0}}", "a wrong number of slots"),
            ("workers: {a: {}}", "missing field `command`"),
            ("on: a", "`osiris.yaml` names the unknown worker `a`; known: `local`"),
            ("worker: {}", "worker"),
        ] {
            let report = project(text).unwrap_err();
            assert!(report.message.contains(message), "{text}: {}", report.message);
        }
    }
}
