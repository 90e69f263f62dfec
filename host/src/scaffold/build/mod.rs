//! Builds a project's driver into a component, one file per toolchain.

mod c;
mod go;
mod python;
mod rust;
mod typescript;

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::driver::wrap;
use crate::error::Report;
use crate::scaffold::{Language, Project};

/// Where a build installs tools that the project needs and the machine does not have. Git does not track it.
const TOOLS: &str = ".osiris-tools";

/// A component without its spec, in a temporary folder.
#[derive(Debug)]
pub struct Component {
    pub file: PathBuf,
    folder: TempDir,
}

impl Component {
    fn new() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("osiris-build-").context("cannot create a temporary folder")?;
        Ok(Self { file: folder.path().join("driver.wasm"), folder })
    }
}

/// Builds the project's component. `say` is called with what takes long, such as an installation.
///
/// # Errors
/// A [`Report`] with the compiler's output, or with the command that installs what is missing.
pub fn build(project: &Project, say: &dyn Fn(&str)) -> anyhow::Result<Component> {
    for (what, path) in [("the driver's source", project.source()), ("the SDK", project.sdk())] {
        if !path.exists() {
            return Err(Report::input(format!("{what} is missing: there is no `{}`", path.display()))
                .hint(
                    "name the source with `source` in `driver.yaml`; `osiris drivers new` makes a project with an SDK",
                )
                .into());
        }
    }
    let component = Component::new()?;
    match project.settings.language {
        Language::Rust => rust::build(project, &component, say)?,
        Language::Python => python::build(project, &component, say)?,
        Language::Typescript => typescript::build(project, &component, say)?,
        Language::Go => go::build(project, &component, say)?,
        Language::C => c::build(project, &component, say)?,
    }
    Ok(component)
}

/// The files and folders of a project that make its driver, which `osiris drivers dev` watches.
pub fn is_source(path: &Path) -> bool {
    !path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        matches!(
            &*name,
            "build" | "target" | "node_modules" | "__pycache__" | "osiris.lock" | "Cargo.lock" | "package-lock.json"
        ) || name.starts_with('.')
    })
}

impl Component {
    /// Makes the component of a core module that a compiler wrote.
    #[expect(clippy::disallowed_methods, reason = "reads and writes files of a build in its temporary folder")]
    fn wrap(&self, project: &Project, module: &Path, adapter: Option<&Path>) -> anyhow::Result<()> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()));
        let adapter = adapter.map(read).transpose()?;
        let wit = project.sdk().join(project.settings.language.wit_folder());
        let component = wrap::wrap(read(module)?, &wit, adapter.as_deref())?;
        std::fs::write(&self.file, component).context("cannot write the component")
    }

    fn temporary(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The names of the spec's grants that decide what a component imports, separated by commas.
fn grants(project: &Project) -> String {
    project.spec.grants.imported().join(",")
}
