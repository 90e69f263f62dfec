//! `osiris drivers test`: runs a driver's own tests and the checks that hold for every driver.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::prepare::PlaceArguments;
use crate::cli::print;
use crate::cli::sandbox::SandboxArguments;
use crate::driver::catalog::Catalog;
use crate::environment;
use crate::kit::Harness;
use crate::kit::checks::{self, Subject, Verdict};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The driver
    driver: PathBuf,
    /// Run only the checks and tests of these names
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// An earlier version of the driver, whose configs the new one must accept
    #[arg(long, value_name = "WASM")]
    against: Option<PathBuf>,
    /// Also look for the drivers that make inputs here
    #[arg(long, value_name = "DIR")]
    drivers: Vec<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn test(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let place = PlaceArguments { base: None, drivers: arguments.drivers.clone() };
    let catalog: Catalog = super::catalog(&place)?;
    let driver = catalog.inspector.read(&arguments.driver)?;
    let against = arguments.against.as_deref().map(|file| catalog.inspector.read(file)).transpose()?;
    let kind = driver.spec.kind;
    let harness = Harness::new(driver, against, catalog, environment::all().collect())
        .with_confinement(arguments.sandbox.require_sandbox);
    let subject = Subject::new(&harness, Vec::new())?;
    let mut failed = 0;
    for check in checks::all().iter().filter(|check| check.kinds.contains(&kind)) {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|name| name == check.name) {
            continue;
        }
        match (check.run)(&subject)? {
            Verdict::Passed => print(&format!("ok      {}", check.name)),
            Verdict::Skipped(why) => print(&format!("skipped {}: {why}", check.name)),
            Verdict::Failed(why) => {
                failed += 1;
                print(&format!("FAILED  {} ({}): {why}", check.name, check.what));
            }
        }
    }
    print(&format!("{failed} failed"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
