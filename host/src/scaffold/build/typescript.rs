//! TypeScript: the SDK's own build script, on node, with the packages that npm installs into the project.

use std::path::Path;
use std::time::SystemTime;

use super::{Component, grants};
use crate::error::Report;
use crate::scaffold::Project;
use crate::scaffold::settings::Engine;
use crate::scaffold::toolchain::Program;

const INSTALL: &str = "install Node.js 20 or later, with npm: https://nodejs.org";

pub fn build(project: &Project, component: &Component, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    if !is_installed(&project.folder) {
        let locked = project.folder.join("package-lock.json").is_file();
        let command = if locked { "ci" } else { "install" };
        let npm = || Program::new("npm", INSTALL).within(&project.folder);
        npm().args(["--version"]).run()?;
        say(&format!("installing packages with `npm {command}`"));
        let installed = npm().args([command, "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]).run();
        installed.map_err(|error| {
            let report = Report::from_error(error);
            Report { message: format!("cannot install the project's packages: {}", report.message), ..report }.hint(
                format!(
                    "install them with `npm {command}` in the project's folder; npm is part of Node.js 20 or later"
                ),
            )
        })?;
    }
    let engine = project.settings.engine.unwrap_or(Engine::Quickjs);
    say(&format!("building with {}", engine.name()));
    let node = Program::new("node", INSTALL).within(&project.folder);
    let grants = grants(project);
    node.args([
        project.sdk().join("build.mjs").as_os_str(),
        project.source().as_os_str(),
        "--engine".as_ref(),
        engine.name().as_ref(),
        format!("--grants={grants}").as_ref(),
        "--output".as_ref(),
        component.file.as_os_str(),
    ])
    .run()?;
    Ok(())
}

/// Whether the packages were installed after the project last named them.
fn is_installed(folder: &Path) -> bool {
    let changed = |file: &str| folder.join(file).metadata().and_then(|metadata| metadata.modified()).ok();
    let installed = changed("node_modules/.package-lock.json");
    let named = [changed("package.json"), changed("package-lock.json")].into_iter().flatten().max();
    installed.unwrap_or(SystemTime::UNIX_EPOCH) >= named.unwrap_or(SystemTime::now())
}
