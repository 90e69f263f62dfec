//! Obtains the secrets that the operator keeps in files, or with programs that print them: only those that are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::Value;

use crate::environment;
use crate::error::{Report, Reports, listed, nearest};
use crate::pipeline::connections::Connections;
use crate::pipeline::params::{self, Environment, Params, References};
use crate::pipeline::project::{self, Project};
use crate::pipeline::secret_source::{FILE, SECRET, SecretSource, is_secret};
use crate::pipeline::{Pipeline, Step, dotenv};
use crate::secrets::scrubber::{Scrubber, is_distinctive};
use crate::secrets::{MASK, Secret};
use crate::session::{Base, plain};
use crate::untrusted;

/// The longest secret, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// How much of what a command prints on stderr is shown, in bytes.
const MAX_STDERR: u64 = 4 << 10;

/// What may be done to obtain a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commands {
    Run,
    /// Nothing is started: such a secret is its mask. For commands that show what a run would do.
    StandIn,
    /// No secret is obtained at all, and what has no value has a stand-in.
    Offline,
}

/// What `${…}` stands for, and the secrets in it.
#[derive(Clone)]
pub struct Values {
    /// The environment, the variables of `.env`, and the secrets by their references (`secret:NAME`, `file:PATH`).
    pub environment: Environment,
    secrets: Vec<(String, Secret)>,
    stand_ins: bool,
    /// The names of variables and secrets whose values are not known.
    pub stood_in: BTreeSet<String>,
}

impl Values {
    /// The environment, and the variables of `.env` in the base folder or of `env_file`, which override none of it.
    ///
    /// # Errors
    /// A [`Report`] if the file is malformed or cannot be read. `.env` need not exist.
    pub fn new(base: &Base, env_file: Option<&Path>) -> anyhow::Result<Self> {
        // No variable can pass for a secret.
        let mut environment: Environment = environment::all().filter(|(name, _)| !name.contains(':')).collect();
        for (name, value) in variables(base, env_file)? {
            environment.entry(name).or_insert(value);
        }
        Ok(Self::only(environment))
    }

    /// These variables and no others.
    pub fn only(environment: Environment) -> Self {
        Self { environment, secrets: Vec::new(), stand_ins: false, stood_in: BTreeSet::new() }
    }

    /// Environments in which addresses stand for what is not known: first for the variables of the steps that are wrong, then for
    /// all. None, if everything is known.
    pub fn with_addresses(
        &self,
        wrong: &Reports,
        pipeline: &Pipeline,
        unknown: &BTreeMap<String, BTreeSet<String>>,
    ) -> Vec<Environment> {
        if self.stood_in.is_empty() {
            return Vec::new();
        }
        let steps = wrong.iter().filter_map(|report| pipeline.steps.get(report.step_number()?));
        let own: BTreeSet<&String> = steps.filter_map(|step| unknown.get(step.id.as_str())).flatten().collect();
        let with = |names: Vec<&String>| {
            let mut environment = self.environment.clone();
            environment.extend(names.into_iter().map(|name| (name.clone(), params::STAND_IN_ADDRESS.to_owned())));
            environment
        };
        vec![with(own.into_iter().collect()), with(self.stood_in.iter().collect())]
    }

    /// The secrets that were obtained.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> + Clone {
        self.secrets.iter().map(|(_, secret)| secret)
    }

    /// Redacts the secrets that were obtained from an error.
    pub fn redact(&self, error: anyhow::Error) -> anyhow::Error {
        let scrubber = Scrubber::new(self.secrets());
        let stand_ins = "the values of secrets that a `command` prints are not known here: only a run starts it";
        let redacted = |report: &Report| {
            let hint = report.hint.as_ref().map(|hint| scrubber.scrub_text(hint));
            let hint = hint.or_else(|| self.stand_ins.then(|| stand_ins.to_owned()));
            Report { message: scrubber.scrub_text(&report.message), hint, ..report.clone() }
        };
        match error.downcast::<Reports>() {
            Ok(reports) => {
                let mut all = Reports::default();
                reports.iter().for_each(|report| all.push(redacted(report)));
                all.into()
            }
            Err(error) => match error.downcast::<Report>() {
                Ok(report) => redacted(&report).into(),
                Err(error) => error,
            },
        }
    }

    /// The references whose values are too short to be redacted from all output.
    pub fn short(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().filter(|(_, secret)| !is_distinctive(secret.reveal())).map(|(name, _)| name.as_str())
    }
}

fn variables(base: &Base, env_file: Option<&Path>) -> anyhow::Result<BTreeMap<String, String>> {
    let Some(file) = env_file else {
        if base.dir.metadata(dotenv::FILE).is_ok_and(|found| found.is_dir()) {
            return Ok(BTreeMap::new());
        }
        return match plain::read(&base.dir, dotenv::FILE) {
            Ok(text) => Ok(dotenv::parse(&text, dotenv::FILE)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(Report::input(format!("cannot read `{}`: {error}", dotenv::FILE)).into()),
        };
    };
    let shown = file.display().to_string();
    let text = read_file(file).map_err(|error| {
        Report::input(format!("cannot read `{shown}`: {error}")).hint("check the path given with `--env-file`")
    })?;
    Ok(dotenv::parse(&text, &shown)?)
}

/// Obtains secrets, each once.
pub struct SecretSources<'a> {
    pub base: &'a Base,
    pub project: &'a Project,
    pub connections: &'a Connections,
    pub commands: Commands,
}

impl SecretSources<'_> {
    /// The files that contain secrets, wherever they are: no step may read one.
    pub fn files(&self, env_file: Option<&Path>) -> Vec<PathBuf> {
        let declared = self.project.secrets().filter_map(|(_, source)| match source {
            Ok(SecretSource::File(path)) => Some(self.base.path.join(path)),
            _ => None,
        });
        let named = self.connections.references();
        let named = named.filter_map(|name| Some(self.base.path.join(name.strip_prefix(FILE)?.trim())));
        declared.chain(named).chain(env_file.map(Path::to_owned)).collect()
    }

    /// Obtains the secrets that a step's config names, and those of its connection. Returns the variables of its config that have a
    /// stand-in.
    ///
    /// # Errors
    /// A [`Report`] if one is not declared, or cannot be obtained.
    pub fn for_step(&self, step: &Step, params: &Params, values: &mut Values) -> anyhow::Result<BTreeSet<String>> {
        let place = format!("step `{}`", step.id);
        self.for_names(params::names_in(&step.config).filter(|name| !name.starts_with(FILE)), &place, values)?;
        for text in step.config.values().filter_map(Value::as_str) {
            let references = References::of_pipeline(params, &values.environment, None);
            // What is wrong with it is reported when the step is planned.
            let Ok(Value::String(reference)) = references.substitute(text, &place) else { continue };
            if reference.starts_with('@') {
                self.for_connection(&reference, values)?;
            }
        }
        let named = params::names_in(&step.config).filter(|name| values.stood_in.contains(*name));
        Ok(named.map(str::to_owned).collect())
    }

    /// Obtains the secrets in the fields of a connection.
    ///
    /// # Errors
    /// As for [`Self::for_step`].
    pub fn for_connection(&self, reference: &str, values: &mut Values) -> anyhow::Result<()> {
        let Some(fields) = self.connections.written(reference) else { return Ok(()) };
        self.for_names(params::names_in(fields), &format!("connection `{reference}`"), values)
    }

    fn for_names<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        place: &str,
        values: &mut Values,
    ) -> anyhow::Result<()> {
        let is_wanted = |name: &&str| is_secret(name) || (self.is_offline() && !params::is_param(name));
        for name in names.filter(is_wanted) {
            if values.environment.contains_key(name) {
                continue;
            }
            let source = if is_secret(name) { Some(self.source(name, place)?) } else { None };
            let Some(source) = source.filter(|_| !self.is_offline()) else {
                values.stood_in.insert(name.to_owned());
                values.environment.insert(name.to_owned(), params::STAND_IN.to_owned());
                continue;
            };
            let value = match &source {
                SecretSource::File(path) => read_file(&self.base.path.join(path)).map_err(|error| {
                    Report::input(format!("{place} needs `{name}`, but `{}` cannot be read: {error}", path.display()))
                        .hint("a relative path begins at the base folder")
                })?,
                SecretSource::Command { .. } if self.commands == Commands::StandIn => {
                    values.stand_ins = true;
                    values.environment.insert(name.to_owned(), MASK.to_owned());
                    continue;
                }
                SecretSource::Command { command, timeout } => {
                    printed(command, *timeout, &self.base.path, &values.environment).map_err(|why| {
                        Report::input(format!("{place} needs `{name}`, but its command {why}"))
                            .hint(format!("see `secrets` in `{}`", project::FILE))
                    })?
                }
            };
            let value = value.strip_suffix('\n').map_or(value.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
            if value.is_empty() || value.contains('\0') {
                let what = if value.is_empty() { "is empty" } else { "contains a zero byte" };
                return Err(Report::input(format!("{place} needs `{name}`, which {what}")).into());
            }
            values.secrets.push((name.to_owned(), Secret::new(value.to_owned())));
            values.environment.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn is_offline(&self) -> bool {
        self.commands == Commands::Offline
    }

    fn source(&self, name: &str, place: &str) -> Result<SecretSource, Report> {
        if let Some(path) = name.strip_prefix(FILE) {
            return Ok(SecretSource::File(path.trim().into()));
        }
        let name = name.strip_prefix(SECRET).unwrap_or(name).trim();
        let known = || self.project.secrets().map(|(name, _)| name);
        let declared = self.project.secrets().find(|(declared, _)| *declared == name);
        declared.map(|(_, source)| source).unwrap_or_else(|| {
            let report = Report::input(format!(
                "{place} needs the secret `{name}`, which `{}` does not declare; declared: {}",
                project::FILE,
                listed(known())
            ));
            Err(match nearest(name, known()) {
                Some(near) => report.hint(format!("did you mean `{near}`?")),
                None => report.hint(format!("declare it there: `secrets: {{{name}: {{file: /run/secrets/{name}}}}}`")),
            })
        })
    }
}

/// The text of a file, wherever links lead.
fn read_file(path: &Path) -> std::io::Result<String> {
    let path = std::fs::canonicalize(path)?;
    let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
    let bytes = plain::read_bytes(&Dir::open_ambient_dir(folder, ambient_authority())?, name, MAX_SECRET)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
}

/// What a command prints on stdout. What it prints on stderr is part of the error, if it fails; its stdout never is.
fn printed(command: &str, timeout: Duration, folder: &Path, environment: &Environment) -> Result<String, String> {
    let mut child = start(command, folder, environment).map_err(|error| format!("cannot be started: {error:#}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let until = Instant::now() + timeout;
    std::thread::scope(|scope| {
        let reader = |stream: Option<Box<dyn Read + Send>>, most: u64| {
            let read = move || {
                let mut bytes = Vec::new();
                let mut stream = stream?;
                // What is too much is read as well, so that the command does not wait for ever.
                stream.by_ref().take(most + 1).read_to_end(&mut bytes).ok()?;
                std::io::copy(&mut stream, &mut std::io::sink()).ok()?;
                Some(bytes)
            };
            std::thread::Builder::new().spawn_scoped(scope, read)
        };
        let out = reader(stdout.map(|stream| Box::new(stream) as _), MAX_SECRET);
        let err = reader(stderr.map(|stream| Box::new(stream) as _), MAX_STDERR);
        let status = ended(&mut child, until);
        let read = |handle: std::io::Result<std::thread::ScopedJoinHandle<'_, Option<Vec<u8>>>>| {
            handle.ok().and_then(|handle| handle.join().ok().flatten()).unwrap_or_default()
        };
        let (out, err) = (read(out), read(err));
        let said = String::from_utf8_lossy(&err).trim().to_owned();
        let said = if said.is_empty() { String::new() } else { format!(": {}", untrusted::line(&said)) };
        match status {
            None => Err(format!("took longer than {timeout:?}{said}")),
            Some(status) if !status.success() => Err(format!("failed ({status}){said}")),
            Some(_) if out.len() as u64 > MAX_SECRET => Err("printed more than 64 KiB".to_owned()),
            Some(_) => String::from_utf8(out).map_err(|_| "printed text that is not UTF-8".to_owned()),
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "starts the command that the operator wrote")]
fn start(command: &str, folder: &Path, environment: &Environment) -> anyhow::Result<Child> {
    let variables = environment.iter().filter(|(name, _)| !name.contains(':'));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(folder).envs(variables).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell.spawn().context("cannot start `/bin/sh`")
}

/// Waits for a command until the deadline, and ends all its processes. `None` if it did not end by itself.
fn ended(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
    // The group's number is its own, and nobody else's, until its first process is reaped.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let is_running = || matches!(waitid(WaitId::Pid(group), options), Ok(None));
    while is_running() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let in_time = !is_running();
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().ok().filter(|_| in_time)
}
