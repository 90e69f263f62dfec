//! The files that a step may read and write.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::capability::{Capability, SpecRequest};
use super::fetch::is_address;
use super::grant::{GrantRequest, stands_for_something};
use super::policy::Policy;
use super::reserved;
use super::template::{Template, written_as_text};
use crate::error::{Report, listed};
use crate::untrusted::line;

/// The path of a file, which the author names: placeholders, with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileTemplate(Template);

impl FileTemplate {
    /// # Errors
    /// If it is malformed, or names a file by itself.
    pub fn parse(text: &str) -> Result<Self, Report> {
        let template = Template::parse(text)?;
        if template.literals().any(|text| !text.chars().all(|c| c == '/')) || !template.begins_with_field() {
            return Err(Report::input(format!(
                "the driver's grant `{}` names a file by itself; a driver may ask for files that its config names: \
                 `{{config.key}}`, several with `/` between",
                line(text)
            )));
        }
        Ok(Self(template))
    }

    pub fn template(&self) -> &Template {
        &self.0
    }
}

written_as_text!(FileTemplate);

impl SpecRequest for Vec<FileTemplate> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().map(FileTemplate::template).collect()
    }
}

/// Endings of files that SQLite keeps beside a database: its latest changes, and how to undo an unfinished transaction.
const COMPANIONS: [&str; 2] = ["-wal", "-journal"];

/// The path of a file to read, which the author names, or that file's companion: `{config.path}-wal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReadTemplate {
    template: Template,
    /// The file that the author names, and the ending of the companion.
    file: FileTemplate,
    ending: String,
}

impl ReadTemplate {
    /// # Errors
    /// As for [`FileTemplate::parse`].
    pub fn parse(text: &str) -> Result<Self, Report> {
        let ending = COMPANIONS.into_iter().find(|ending| text.ends_with(ending)).unwrap_or_default().to_owned();
        let file = FileTemplate::parse(text.strip_suffix(ending.as_str()).unwrap_or(text))?;
        Ok(Self { template: Template::parse(text)?, file, ending })
    }

    pub fn template(&self) -> &Template {
        &self.template
    }
}

written_as_text!(ReadTemplate);

impl SpecRequest for Vec<ReadTemplate> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().map(ReadTemplate::template).collect()
    }
}

/// Reading files.
pub struct ReadFiles;

/// Reading all files for which a path stands: it names a file or a folder, or is a pattern.
pub struct ReadMatchingFiles;

/// Writing files.
pub struct WriteFiles;

/// Creating the folders of written files.
pub struct CreateFolders;

/// Writing folders of partitions in place of files: a spec asks for it by an option that divides rows into partitions.
pub struct WriteFolders;

impl Capability for ReadFiles {
    type Wanted = Vec<ReadTemplate>;
    const WANTS_TO: &'static str = "read the file";
    type Granted = Vec<FileWish>;

    fn grant(wanted: &Vec<ReadTemplate>, request: &GrantRequest<'_>) -> Result<Vec<FileWish>, Report> {
        let mut files = Vec::new();
        for ReadTemplate { file, ending, .. } in wanted {
            for wish in allowed_files(request, Access::Read, std::slice::from_ref(file))? {
                files.push(if ending.is_empty() { wish } else { companion(request, wish, ending)? });
            }
        }
        Ok(files)
    }

    fn words(granted: &Vec<FileWish>, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        places("read", granted)
    }
}

impl Capability for ReadMatchingFiles {
    type Wanted = Vec<FileTemplate>;
    const WANTS_TO: &'static str = "read the files for which a path, a pattern or a folder stands in";
    type Granted = Vec<FileWish>;

    fn grant(wanted: &Vec<FileTemplate>, request: &GrantRequest<'_>) -> Result<Vec<FileWish>, Report> {
        let mut files = allowed_files(request, Access::Read, wanted)?;
        // The host fetches what has an address.
        files.retain(|file| !is_address(&file.name));
        for file in &mut files {
            // A policy may name the folder: nothing in it may lead out of it.
            let whole = file.root.join(&file.below);
            if request.policy.read.iter().any(|root| normal(request.base, root).as_ref() == Some(&whole)) {
                (file.root, file.below) = (whole, PathBuf::new());
            }
        }
        Ok(files)
    }

    fn words(granted: &Vec<FileWish>, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        places("read", granted)
    }
}

impl Capability for WriteFiles {
    type Wanted = Vec<FileTemplate>;
    const WANTS_TO: &'static str = "write the file";
    type Granted = Vec<FileWish>;

    fn grant(wanted: &Vec<FileTemplate>, request: &GrantRequest<'_>) -> Result<Vec<FileWish>, Report> {
        allowed_files(request, Access::Write, wanted)
    }

    fn words(granted: &Vec<FileWish>, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        places("write", granted)
    }
}

impl Capability for CreateFolders {
    type Wanted = Option<Template>;
    type Granted = bool;

    fn wanted_words(wanted: &Option<Template>) -> Vec<String> {
        wanted.iter().map(|when| format!("create folders where `{}` is true", line(when.text()))).collect()
    }

    fn grant(wanted: &Option<Template>, request: &GrantRequest<'_>) -> Result<bool, Report> {
        let values = wanted.as_ref().map(|when| when.expand(request.config)).transpose()?;
        Ok(values.into_iter().flatten().any(|value| value == "true"))
    }

    fn words(granted: &bool, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        granted.then(|| "create the folders of the files that it writes".to_owned()).into_iter().collect()
    }
}

impl Capability for WriteFolders {
    type Wanted = Option<Template>;
    type Granted = bool;

    fn wanted_words(wanted: &Option<Template>) -> Vec<String> {
        let words = |when: &Template| {
            format!("replace partitions of a folder, in place of a file, where `{}` is set", line(when.text()))
        };
        wanted.iter().map(words).collect()
    }

    fn grant(wanted: &Option<Template>, request: &GrantRequest<'_>) -> Result<bool, Report> {
        wanted.as_ref().map_or(Ok(false), |when| stands_for_something(when, request.config))
    }

    fn words(granted: &bool, _note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        let words = "write a folder of partitions in place of each file, and replace those that are there";
        granted.then(|| words.to_owned()).into_iter().collect()
    }
}

pub(super) fn places(verb: &str, files: &[FileWish]) -> Vec<String> {
    let words = |file: &FileWish| {
        let condition = if file.companion_of.is_some() { ", if it is there" } else { "" };
        format!("{verb} `{}`{condition}", line(&file.place.to_string_lossy()))
    };
    files.iter().map(words).collect()
}

/// The file beside the one that the author names. It is in the same folder, so whatever allows the one allows the other.
fn companion(request: &GrantRequest<'_>, file: FileWish, ending: &str) -> Result<FileWish, Report> {
    let beside = |path: PathBuf| {
        let mut path = path.into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    let name = format!("{}{ending}", file.name);
    let (place, below) = (beside(file.place), beside(file.below));
    if Access::Read.is_reserved(&place) {
        return Err(own_file(request.step, Access::Read.verb(), &name));
    }
    Ok(FileWish { companion_of: Some(file.name), name, place, below, ..file })
}

/// A requested file: its path in the config, and its location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileWish {
    /// The path as the config has it.
    pub name: String,
    /// The location: relative to the base folder, or absolute outside it.
    pub place: PathBuf,
    /// The folder that it must not leave, absolute.
    #[serde(skip)]
    pub root: PathBuf,
    /// Relative to `root`, without `.` and `..`; empty for the root itself. A symlink may still lead out of it, so the code
    /// that opens the file resolves it inside the root.
    #[serde(skip)]
    pub below: PathBuf,
    /// The file in the config beside which it is. It is granted only if it is there when the step starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub companion_of: Option<String>,
}

/// How a step accesses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    /// Whether the file at `place`, relative to one of the user's folders, is one of Osiris's own: files that runs
    /// made, or that determine which drivers run and with which credentials. No step may touch these, even if the
    /// pipeline names them.
    pub fn is_reserved(self, place: &Path) -> bool {
        match self {
            Self::Read => reserved::from_reading(place),
            Self::Write => reserved::from_writing(place),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn allowed(self, policy: &Policy) -> &[PathBuf] {
        match self {
            Self::Read => &policy.read,
            Self::Write => &policy.write,
        }
    }
}

/// The files that the templates expand to. Each must be named by the author: a driver chooses the key of the config,
/// never the path.
pub(super) fn allowed_files(
    request: &GrantRequest<'_>,
    access: Access,
    wanted: &[FileTemplate],
) -> Result<Vec<FileWish>, Report> {
    let mut files = Vec::new();
    for FileTemplate(template) in wanted {
        let written: BTreeSet<String> = template.expand(request.written)?.into_iter().collect();
        for name in template.expand(request.config)? {
            if !written.contains(&name) {
                let (step, verb) = (request.step, access.verb());
                return Err(Report::input(format!(
                    "step `{step}` may not {verb} `{name}`: only its driver's defaults name it"
                ))
                .hint(format!("if it is meant, write the value of `{template}` into the step's config")));
            }
            let option = template.option().map(str::to_owned);
            let place = std::iter::once("config".to_owned()).chain(option);
            files.push(allowed_file(request, access, name).map_err(|report| report.at(place))?);
        }
    }
    Ok(files)
}

/// Locates the file `name`, if it is in one of the folders that the policy allows.
fn allowed_file(request: &GrantRequest<'_>, access: Access, name: String) -> Result<FileWish, Report> {
    let GrantRequest { step, base, policy, .. } = request;
    let (verb, allowed) = (access.verb(), access.allowed(policy));
    if name.is_empty() || name.contains('\0') {
        return Err(Report::input(format!("step `{step}` has an empty or malformed path")));
    }
    let Some(path) = normal(base, Path::new(&name)) else {
        return Err(outside(request, verb, allowed, &name));
    };
    let mut roots = allowed.iter().filter_map(|root| normal(base, root));
    let Some(root) = roots.find(|root| path.starts_with(root)) else {
        return Err(outside(request, verb, allowed, &name));
    };
    // A policy may also name a single file.
    let root = if root == path { path.parent().map(Path::to_owned).unwrap_or_default() } else { root };
    let place = path.strip_prefix(base).map_or_else(|_| path.clone(), Path::to_owned);
    if access == Access::Write && place.is_absolute() {
        return Err(outside(request, verb, allowed, &name));
    }
    if access.is_reserved(&place) {
        return Err(own_file(step, verb, &name));
    }
    if place.as_os_str().is_empty() {
        return Err(Report::input(format!(
            "step `{step}` names the base folder itself, `{name}`, where a file is expected"
        )));
    }
    let below = path.strip_prefix(&root).unwrap_or(&path).to_owned();
    Ok(FileWish { name, place, root, below, companion_of: None })
}

/// The absolute path without `.` and `..`; `None` if it leads above the root.
fn normal(base: &Path, path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::from("/");
    // A relative path may not leave the base folder, even if it returns.
    let depth = if path.is_absolute() { 0 } else { base.components().count() };
    for component in base.join(path).components() {
        match component {
            Component::Normal(part) => normal.push(part),
            Component::ParentDir if normal.components().count() > depth.max(1) => {
                normal.pop();
            }
            Component::ParentDir => return None,
            _ => {}
        }
    }
    Some(normal)
}

fn outside(request: &GrantRequest<'_>, verb: &str, allowed: &[PathBuf], name: &str) -> Report {
    let GrantRequest { step, base, .. } = request;
    if allowed == [PathBuf::from(".")] {
        let base = base.display();
        return Report::input(format!(
            "step `{step}` may not {verb} `{name}`: it lies outside the base folder `{base}`"
        ))
        .hint("move the file below the base folder, or name another base with `--base DIR`");
    }
    let folders: Vec<String> = allowed.iter().map(|folder| folder.display().to_string()).collect();
    let known = listed(folders.iter().map(String::as_str));
    Report::input(format!("step `{step}` may not {verb} `{name}`: the policy allows to {verb}: {known}"))
        .hint(format!("add its folder to `{verb}` of the policy, or take another file"))
}

/// The refusal of one of Osiris's own files.
pub fn own_file(step: &str, verb: &str, name: &str) -> Report {
    Report::input(format!("step `{step}` may not {verb} `{name}`: it is one of Osiris's own files"))
        .hint("sessions, connections, the lock and drivers are out of every step's reach: name another file")
}
