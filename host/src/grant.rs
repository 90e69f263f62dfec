//! Decides what one step may touch: what its driver wants, within what the operator allows. No I/O.

use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Report;
use crate::spec::WantedGrants;

/// What one step may touch outside its session. Nothing else is linked, opened or reachable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    pub read: Vec<FileWish>,
    pub write: Vec<FileWish>,
    /// Whether the folders of written files are created where they are missing.
    pub create_folders: bool,
}

/// A file as the config names it, and where that is below the base folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileWish {
    /// The path as the config has it.
    pub name: String,
    /// Relative to the base folder, without `.` and `..`. A symlink may still lead out: whoever
    /// opens it resolves it inside the base folder.
    pub below_base: PathBuf,
}

/// The effective grants of `step`: the spec's templates over the step's config, below `base`.
///
/// # Errors
/// When a template is malformed, or a path leads out of the base folder.
pub fn effective(
    wanted: &WantedGrants,
    step: &str,
    config: &Map<String, Value>,
    base: &Path,
) -> Result<Grants, Report> {
    let files = |templates: &[String]| {
        let names = templates.iter().map(|template| expand(template, config)).collect::<Result<Vec<_>, _>>()?;
        names.into_iter().flatten().map(|name| below(base, step, name)).collect::<Result<Vec<_>, _>>()
    };
    let create_folders = match &wanted.create_folders {
        Some(template) => expand(template, config)?.iter().any(|value| value == "true"),
        None => false,
    };
    Ok(Grants { read: files(&wanted.read)?, write: files(&wanted.write)?, create_folders })
}

/// The values that a template such as `{config.path}` stands for: one for each item of a list,
/// none where the config has no such key.
fn expand(template: &str, config: &Map<String, Value>) -> Result<Vec<String>, Report> {
    let mut expanded = vec![String::new()];
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let malformed =
            || Report::input(format!("the driver's grant `{template}` is malformed")).hint("write `{config.key}`");
        let end = rest[start..].find('}').ok_or_else(malformed)? + start;
        let key = rest[start + 1..end].strip_prefix("config.").ok_or_else(malformed)?;
        let values = values(config, key);
        expanded = expanded
            .iter()
            .flat_map(|head| values.iter().map(move |value| format!("{head}{}{value}", &rest[..start])))
            .collect();
        rest = &rest[end + 1..];
    }
    Ok(expanded.into_iter().map(|head| head + rest).collect())
}

fn values(config: &Map<String, Value>, key: &str) -> Vec<String> {
    let mut keys = key.split('.');
    let first = keys.next().and_then(|first| config.get(first));
    match keys.try_fold(first, |value, key| Some(value?.get(key))).flatten() {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::Bool(flag)) => vec![flag.to_string()],
        Some(Value::Number(number)) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

/// Where `name` is below `base`, as far as its text tells.
fn below(base: &Path, step: &str, name: String) -> Result<FileWish, Report> {
    let outside = || {
        Report::input(format!(
            "step `{step}` may not touch `{name}`: it lies outside the base folder `{}`",
            base.display()
        ))
        .hint("move the file below the base folder, or name another base with `--base DIR`")
    };
    if name.is_empty() || name.contains('\0') {
        return Err(Report::input(format!("step `{step}` has an empty or malformed path")));
    }
    let path = Path::new(&name);
    let relative = if path.is_absolute() { path.strip_prefix(base).map_err(|_| outside())? } else { path };
    let mut below_base = PathBuf::new();
    for component in relative.components() {
        match component {
            Component::Normal(part) => below_base.push(part),
            Component::CurDir => {}
            Component::ParentDir if below_base.pop() => {}
            _ => return Err(outside()),
        }
    }
    if below_base.as_os_str().is_empty() {
        return Err(Report::input(format!(
            "step `{step}` names the base folder itself, `{name}`, where a file is expected"
        )));
    }
    Ok(FileWish { name, below_base })
}

impl Grants {
    /// The grants in plain words, one a line.
    pub fn words(&self) -> Vec<String> {
        let files = |verb: &str, files: &[FileWish]| {
            files.iter().map(|file| format!("{verb} `{}`", file.below_base.display())).collect::<Vec<_>>()
        };
        [files("read", &self.read), files("write", &self.write)].concat()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn grant(read: &str, config: Value) -> Result<Vec<PathBuf>, Report> {
        let wanted = WantedGrants { read: vec![read.to_owned()], ..WantedGrants::default() };
        let grants = effective(&wanted, "s", config.as_object().unwrap(), Path::new("/base"))?;
        Ok(grants.read.into_iter().map(|file| file.below_base).collect())
    }

    #[test]
    fn templates_follow_the_config() {
        let table = [
            ("{config.path}", json!({"path": "a.csv"}), vec!["a.csv"]),
            ("{config.path}", json!({"path": ["a.csv", "b.csv"]}), vec!["a.csv", "b.csv"]),
            ("{config.path}", json!({}), vec![]),
            ("in/{config.file.name}.csv", json!({"file": {"name": "x"}}), vec!["in/x.csv"]),
            ("{config.path}", json!({"path": "/base/a/./b/../c.csv"}), vec!["a/c.csv"]),
        ];
        for (template, config, expected) in table {
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(grant(template, config).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_base_folder() {
        for path in ["../x", "a/../../x", "/etc/passwd", "/base/../etc/passwd", "/basement/x", "", ".", "a/..", "x\0y"]
        {
            assert!(grant("{config.path}", json!({"path": path})).is_err(), "{path}");
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for template in ["{config.path", "{env.HOME}", "{}"] {
            assert!(grant(template, json!({"path": "a"})).is_err(), "{template}");
        }
    }
}
