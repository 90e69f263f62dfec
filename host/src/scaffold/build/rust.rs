//! Rust: cargo, for the target `wasm32-wasip2`, whose linker makes components.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::Component;
use crate::environment;
use crate::error::Report;
use crate::scaffold::Project;
use crate::scaffold::toolchain::Program;

const TARGET: &str = "wasm32-wasip2";

const INSTALL: &str = "install Rust: https://rustup.rs";

pub fn build(project: &Project, component: &Component, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    add_target(project, say)?;
    say("building with cargo");
    // Paths of this machine would be part of the component, in the messages of panics.
    let home = environment::variable(environment::HOME).map(PathBuf::from).unwrap_or_default();
    let cargo_home = environment::variable(environment::CARGO_HOME).map_or_else(|| home.join(".cargo"), PathBuf::from);
    let remapped = [(&project.folder, "."), (&cargo_home, "cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let flags = serde_json::to_string(&remapped)?;
    let source = project.source();
    let done = Program::new("cargo", INSTALL)
        .within(&source)
        .args([
            "build",
            "--release",
            "--quiet",
            "--lib",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .args(["--config".to_owned(), format!("target.{TARGET}.rustflags={flags}")])
        .run()?;
    let built = artifact(&done, &source).ok_or_else(|| {
        Report::input("cargo built no component: the crate has no `cdylib`")
            .hint("write `crate-type = [\"cdylib\"]` under `[lib]` in Cargo.toml")
    })?;
    std::fs::hard_link(&built, &component.file)
        .or_else(|_| copy(&built, &component.file))
        .with_context(|| format!("cannot read `{}`", built.display()))
}

#[expect(clippy::disallowed_methods, reason = "copies what cargo built into a new temporary folder")]
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to).map(|_| ())
}

/// Installs the standard library for the target, if there is none.
fn add_target(project: &Project, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let rustc = |arguments: &[&str]| Program::new("rustc", INSTALL).within(&project.folder).args(arguments);
    let library = rustc(&["--print", "target-libdir", "--target", TARGET]).run()?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    let command = format!("rustup target add {TARGET}");
    say(&format!("the target {TARGET} is not installed; running `{command}`"));
    let add = Program::new("rustup", &format!("install the standard library for {TARGET}"));
    add.within(&project.folder).args(["target", "add", TARGET]).run().map_err(|error| {
        let report = Report::from_error(error);
        Report { message: format!("cannot install the target {TARGET}: {}", report.message), ..report }
            .hint(format!("install it with `{command}`"))
    })?;
    Ok(())
}

/// The component among what cargo reports, which is a JSON object in each line.
fn artifact(report: &str, source: &Path) -> Option<PathBuf> {
    let manifest = source.join("Cargo.toml");
    let artifacts = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = artifacts.filter(|artifact| {
        let named = artifact["manifest_path"].as_str();
        named.is_some_and(|path| {
            Path::new(path) == manifest || std::fs::canonicalize(path).ok() == std::fs::canonicalize(&manifest).ok()
        })
    });
    let files = own.flat_map(|artifact| artifact["filenames"].as_array().cloned().unwrap_or_default());
    files
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}
