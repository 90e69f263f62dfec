//! `osiris drivers test`: runs a driver's own tests and the checks that apply to every driver.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::folders::FolderArguments;
use crate::cli::prepare::PlaceArguments;
use crate::cli::sandbox::SandboxArguments;
use crate::cli::{INTERRUPTED, print, print_data, print_json};
use crate::driver::catalog::Catalog;
use crate::environment;
use crate::error::Report;
use crate::kit::interrupt::Interrupt;
use crate::kit::private_folder;
use crate::kit::report::{self, Findings, Tested};
use crate::kit::suite::{Finding, Suite};
use crate::kit::{Folder, Harness, checks};
use crate::session::state::quoted;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs the tests in `tests/*.yaml` and the checks that apply to every driver of its kind, each in the sandbox of a real \
                  step. Exits with 0 if everything passed.\n\nExamples:\n  osiris drivers test build/my.driver.wasm\n  \
                  osiris drivers test build/my.driver.wasm --only 'two pages' --record"
)]
pub struct Arguments {
    /// The driver
    driver: PathBuf,
    /// The folder of its tests [default: `tests` beside the driver, or beside the folder `build` that contains it]
    #[arg(long, value_name = "FOLDER")]
    tests: Option<PathBuf>,
    /// Run only the tests and checks of these names
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Skip the checks
    #[arg(long)]
    no_checks: bool,
    /// An earlier version of the driver, whose configs the new one must accept
    #[arg(long, value_name = "WASM")]
    against: Option<PathBuf>,
    /// Make the requests of tests to the real service, and record them: of tests whose recording is missing, and of those
    /// that `--only` names
    #[arg(long)]
    record: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "junit")]
    json: bool,
    /// Print an XML document as JUnit writes it
    #[arg(long)]
    junit: bool,
    /// Also look for the drivers that make inputs here
    #[arg(long, value_name = "DIR")]
    drivers: Vec<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn test(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let place =
        PlaceArguments { folders: FolderArguments::default(), drivers: arguments.drivers.clone(), env_file: None };
    let catalog: Catalog = super::catalog(&place)?;
    let driver = catalog.inspector.read(&arguments.driver)?;
    let against = arguments.against.as_deref().map(|file| catalog.inspector.read(file)).transpose()?;
    let kind = driver.spec.kind;
    let folder = arguments.tests.clone().or_else(|| tests_of(&arguments.driver));
    let folder = folder.as_deref().map(Folder::open).transpose()?;
    let cases = folder.as_ref().map(|folder| folder.cases(kind)).transpose()?.unwrap_or_default();
    let checks = checks::all().iter().filter(|check| check.kinds.contains(&kind) && !arguments.no_checks).collect();
    let harness = Harness::new(driver, against, catalog, environment::all().collect())
        .with_confinement(arguments.sandbox.require_sandbox);
    harness.compile()?;
    let command = command(arguments);
    let is_for_people = !arguments.json && !arguments.junit;
    let found = |finding: &Finding| {
        if is_for_people {
            print(&report::paragraph(&command, finding));
        }
    };
    let suite = Suite {
        harness: &harness,
        folder: folder.as_ref(),
        cases,
        checks,
        only: arguments.only.clone(),
        records: arguments.record,
        found: &found,
    };
    private_folder::sweep();
    end_on_signals(harness.interrupt.clone())?;
    let findings = suite.run()?;
    if harness.interrupt.is_set() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if findings.is_empty() {
        return Err(Report::input(format!("driver `{}` has no tests", harness.driver.label()))
            .hint("write one in `tests/NAME.yaml`, or name their folder with `--tests FOLDER`; docs/drivers/testing.md shows how")
            .into());
    }
    let findings = Findings { tested: Tested::Driver(&harness.driver), command: command.clone(), findings };
    print_findings(&findings, arguments.json, arguments.junit)
}

/// Prints what came of tests, and says how the command ends.
///
/// # Errors
/// If it cannot be printed.
pub fn print_findings(findings: &Findings<'_>, json: bool, junit: bool) -> anyhow::Result<ExitCode> {
    if json {
        print_json(&findings.json())?;
    } else if junit {
        print_data(&findings.junit());
    } else {
        print(&format!("\n{}", findings.summary()));
    }
    Ok(if findings.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the tests on Ctrl-C and similar signals.
pub fn end_on_signals(interrupt: Interrupt) -> anyhow::Result<()> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    let waiting = move || signals.forever().for_each(|_| interrupt.interrupt());
    std::thread::Builder::new().name("signals".to_owned()).spawn(waiting).context("cannot listen for signals")?;
    Ok(())
}

/// The tests beside a driver, or beside the folder `build` that contains it.
fn tests_of(driver: &Path) -> Option<PathBuf> {
    let folder = driver.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_build = folder.canonicalize().is_ok_and(|folder| folder.file_name().is_some_and(|name| name == "build"));
    let project = is_build.then(|| folder.join("../tests"));
    project.into_iter().chain([folder.join("tests")]).find(|tests| tests.is_dir())
}

/// The command line without what selects tests.
fn command(arguments: &Arguments) -> String {
    let mut command = format!("osiris drivers test {}", quoted(&arguments.driver.display().to_string()));
    for (flag, value) in [("--tests", &arguments.tests), ("--against", &arguments.against)] {
        if let Some(value) = value {
            command += &format!(" {flag} {}", quoted(&value.display().to_string()));
        }
    }
    command
}
