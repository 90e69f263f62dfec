//! Python: componentize-py. Also where other toolchains get programs that PyPI distributes.

use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::{Component, TOOLS, grants};
use crate::error::Report;
use crate::scaffold::Project;
use crate::scaffold::toolchain::Program;
use crate::session::plain;

/// What makes components of Python.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// The packages that a driver imports, if it needs any.
const REQUIREMENTS: &str = "requirements.txt";

/// What is installed in the folder of packages.
const STAMP: &str = "installed";

pub fn build(project: &Project, component: &Component, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let packages = packages(project, COMPONENTIZE_PY, Some(REQUIREMENTS), say)?;
    say("building with componentize-py");
    let arguments = ["-m", "osiris_sdk.build"].map(str::to_owned).into_iter();
    let build = python(project, &[project.sdk(), packages]).args(arguments).args([
        project.source().as_os_str(),
        "--grants".as_ref(),
        grants(project).as_ref(),
        "--output".as_ref(),
        component.file.as_os_str(),
    ]);
    build.run()?;
    Ok(())
}

/// Python, which also finds modules in these folders.
pub fn python(project: &Project, paths: &[PathBuf]) -> Program {
    let paths = std::env::join_paths(paths).unwrap_or_default();
    Program::new("python3", "install Python 3.11 or later with pip, for example with `apt-get install python3-pip`")
        .within(&project.folder)
        .env("PYTHONPATH", paths)
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

/// The folder of this project's packages of Python. `tool`, a requirement with an exact version, is installed there
/// unless Python has it already, and so are the requirements in the file `more`.
pub fn packages(project: &Project, tool: &str, more: Option<&str>, say: &dyn Fn(&str)) -> anyhow::Result<PathBuf> {
    let folder = project.folder.join(TOOLS).join("python");
    let dir = Dir::open_ambient_dir(&project.folder, ambient_authority())?;
    let requirements = more.and_then(|file| plain::read(&dir, file).ok()).unwrap_or_default();
    let mut wanted: Vec<&str> =
        requirements.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let has_tool = is_installed(project, tool);
    if !has_tool {
        wanted.push(tool);
    }
    let (stamp, wanted_text) = (Path::new(TOOLS).join("python").join(STAMP), wanted.join("\n"));
    if wanted.is_empty() || plain::read(&dir, &stamp).is_ok_and(|installed| installed == wanted_text) {
        return Ok(folder);
    }
    python(project, &[]).args(["-m", "pip", "--version"]).run()?;
    say(&format!("installing {} into {TOOLS}", wanted.join(", ")));
    let mut arguments: Vec<&str> =
        vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"];
    let target = folder.to_string_lossy();
    arguments.push(&target);
    if !has_tool {
        arguments.push(tool);
    }
    if let Some(file) = more.filter(|_| !requirements.is_empty()) {
        arguments.extend(["--requirement", file]);
    }
    python(project, &[]).args(&arguments).run().map_err(|error| {
        let report = Report::from_error(error);
        let message = format!("cannot install {}: {}", wanted.join(", "), report.message);
        let hint = format!(
            "install it yourself with `python3 -m pip install {}`, for example in a virtual environment",
            wanted.join(" ")
        );
        Report { message, ..report }.hint(hint)
    })?;
    dir.write(&stamp, wanted_text)?;
    Ok(folder)
}

/// Whether Python finds this version of a package without this project's folder.
fn is_installed(project: &Project, requirement: &str) -> bool {
    let (name, wanted) = requirement.split_once("==").unwrap_or((requirement, ""));
    let script = "import importlib.metadata as found, sys; print(found.version(sys.argv[1]))";
    python(project, &[]).args(["-c", script, name]).answer().is_some_and(|version| version == wanted)
}
