//! `osiris test`: runs pipelines over tables that their tests give, and compares what comes of their steps.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::driver::catalog::Catalog;
use crate::kit::interrupt::Interrupt;
use crate::kit::pipelines::{Case, PipelineSuite, Planned, Theatre, cases};
use crate::kit::private_folder;
use crate::kit::report::{self, Findings, Tested};
use crate::kit::suite::Finding;
use crate::session::state::quoted;

use super::drivers::{end_on_signals, print_findings};
use super::folders::FolderArguments;
use super::prepare::{PipelineArguments, PlaceArguments, Recorded, Sealed, prepare};
use super::run::Pins;
use super::sandbox::SandboxArguments;
use super::secret_sources::Commands;
use super::{INTERRUPTED, print};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris test\n  osiris test pipelines/orders.yaml\n  osiris test --only 'late orders are \
                  left out'\n  osiris test --junit > report.xml\n\nThe tests of `orders.yaml` are in `orders.test.yaml` beside it; \
                  docs/testing-pipelines.md shows how to write them."
)]
pub struct Arguments {
    /// Pipelines, files of tests, or folders that contain them [default: the current folder]
    #[arg(value_name = "PIPELINE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Run only the tests of these names
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "junit")]
    json: bool,
    /// Print an XML document as JUnit writes it
    #[arg(long)]
    junit: bool,
    /// The base folder of the pipelines [default: as for `osiris run`]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Also look for drivers here, before $OSIRIS_DRIVERS and `drivers` in the base folder
    #[arg(long, value_name = "DIR")]
    drivers: Vec<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

impl Arguments {
    fn place(&self) -> PlaceArguments {
        let folders = FolderArguments { base: self.base.clone(), ..FolderArguments::default() };
        PlaceArguments { folders, drivers: self.drivers.clone(), env_file: None }
    }

    /// The pipeline of a test, with nothing of the environment but what the test gives.
    fn pipeline(&self, case: &Case) -> PipelineArguments {
        let test = &case.test;
        PipelineArguments {
            profile: test.profile.clone(),
            recorded: Recorded { values: test.params.clone(), ..Recorded::default() },
            sealed: Some(Sealed { environment: test.env.clone(), now: test.now }),
            ..PipelineArguments::of(case.pipeline.clone(), self.place())
        }
    }

    fn plan(&self, case: &Case) -> anyhow::Result<Planned> {
        let prepared = prepare(&self.pipeline(case), Pins::Enforced, Commands::Offline)?;
        Ok(Planned { plan: prepared.plan, unknown: prepared.unknown })
    }
}

pub fn test(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let paths = if arguments.paths.is_empty() { vec![PathBuf::from(".")] } else { arguments.paths.clone() };
    let cases = cases(&paths)?;
    let place = arguments.place();
    let catalog: Catalog = place.catalog(&place.folders.open()?.path)?;
    let command = command(arguments);
    let is_for_people = !arguments.json && !arguments.junit;
    let found = |finding: &Finding| {
        if is_for_people {
            print(&report::paragraph(&command, finding));
        }
    };
    let interrupt = Interrupt::default();
    private_folder::sweep();
    end_on_signals(interrupt.clone())?;
    let suite = PipelineSuite {
        theatre: Theatre { catalog: &catalog, require_confinement: arguments.sandbox.require_sandbox },
        cases,
        only: arguments.only.clone(),
        plan: &|case| arguments.plan(case),
        interrupt: interrupt.clone(),
        found: &found,
    };
    let findings = suite.run()?;
    if interrupt.is_set() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let findings = Findings { tested: Tested::Pipelines, command: command.clone(), findings };
    print_findings(&findings, arguments.json, arguments.junit)
}

/// The command line without what selects tests.
fn command(arguments: &Arguments) -> String {
    let mut command = "osiris test".to_owned();
    if let Some(base) = &arguments.base {
        command += &format!(" --base {}", quoted(&base.display().to_string()));
    }
    for path in &arguments.paths {
        command += &format!(" {}", quoted(&path.display().to_string()));
    }
    command
}
