//! `osiris drivers build`: builds and packs a project's driver.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::pack::checked;
use crate::cli::{print, spell_duration, terminal};
use crate::driver::catalog::{self, Driver};
use crate::driver::inspector::Inspector;
use crate::scaffold::{Project, build};
use crate::size;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The toolchain of the driver's language runs with your rights, outside of any sandbox. What it needs and the machine \
                  lacks is installed into the project: packages of Python in .osiris-tools, packages of npm in node_modules. Rust's target \
                  wasm32-wasip2 is added with rustup."
)]
pub struct Arguments {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where to write the driver [default: build/NAME.wasm in the project]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn build(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let project = Project::open(&arguments.folder)?;
    let driver = built(&project, arguments.output.as_deref())?;
    let bytes = driver.path.metadata().map_or(0, |file| file.len());
    let took = spell_duration(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let shown = std::env::current_dir().ok().and_then(|here| driver.path.strip_prefix(here).ok());
    let path = shown.unwrap_or(&driver.path).display();
    print(&format!("built {} into {path} ({}) in {took}", driver.label(), size::spell(bytes)));
    Ok(())
}

/// Builds the project's driver and packs it into `output`, or into its usual place.
pub fn built(project: &Project, output: Option<&Path>) -> anyhow::Result<Driver> {
    let component = build::build(project, &|what| terminal::say(what))?;
    let output = output.map_or_else(|| project.output(), Path::to_owned);
    let spec = project.folder.join(Project::SPEC);
    catalog::pack(&Inspector::default(), &component.file, &project.spec_text, &spec, &output, |driver| {
        checked(driver, &project.spec.name)
    })
}
