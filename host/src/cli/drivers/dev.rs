//! `osiris drivers dev`: builds a project's driver and runs its example, again after each change.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::build::built;
use crate::cli::folders::FolderArguments;
use crate::cli::limits::LimitArguments;
use crate::cli::prepare::{PipelineArguments, PlaceArguments, Recorded};
use crate::cli::query::{self, Statement};
use crate::cli::run::{self, Ended, Pins};
use crate::cli::sandbox::SandboxArguments;
use crate::cli::{INTERRUPTED, counted, fail, grouped, print, print_data, spell_duration, terminal};
use crate::error::Report;
use crate::protocol::Format;
use crate::scaffold::{Project, Watch};
use crate::session::{self, Status};
use crate::untrusted;

/// How many sessions of an example remain.
const SESSIONS: usize = 5;

/// How many rows of each table are shown.
const ROWS: u64 = 20;

/// The longest time to read them, in seconds.
const TIMEOUT: u64 = 60;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The example runs like any pipeline, except that the driver is not pinned in osiris.lock, and that everything that \
                  drivers print and log is shown. Its last five sessions remain.\n\n\
                  Examples:\n  osiris drivers dev\n  osiris drivers dev --once --param url=http://127.0.0.1:8000"
)]
pub struct Arguments {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The pipeline to run, in the project
    #[arg(long, value_name = "FILE", default_value = "example/pipeline.yaml")]
    pipeline: PathBuf,
    /// Build and run once; the exit code is that of the run
    #[arg(long)]
    once: bool,
    /// Set a parameter of the pipeline
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = crate::cli::prepare::pair)]
    params: Vec<(String, String)>,
    /// Use one of the pipeline's profiles
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Also look for other drivers here
    #[arg(long, value_name = "DIR")]
    drivers: Vec<PathBuf>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn dev(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.once {
        return build_and_run(arguments);
    }
    let mut watch = Watch::new(&Project::open(&arguments.folder)?.folder);
    loop {
        let outcome = build_and_run(arguments);
        run::stop_forwarding_signals();
        match outcome {
            Ok(code) if code == ExitCode::from(INTERRUPTED) => return Ok(code),
            Ok(_) => {}
            Err(error) => {
                fail(&error);
            }
        }
        watch.accept(arguments.pipeline.parent().unwrap_or(Path::new("")));
        terminal::say("\nwaiting for a change; end with Ctrl-C");
        terminal::flush();
        let changed = watch.wait();
        let first = changed.first().map(|file| file.display().to_string()).unwrap_or_default();
        let others = changed.len().saturating_sub(1);
        let and = if others > 0 { format!(" and {}", counted(others as u64, "other file")) } else { String::new() };
        terminal::say(format!("\n{} changed{and}", untrusted::line(&first)));
    }
}

fn build_and_run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let project = Project::open(&arguments.folder)?;
    let pipeline = project.folder.join(&arguments.pipeline);
    if !pipeline.is_file() {
        return Err(Report::input(format!("the project has no example: there is no `{}`", pipeline.display()))
            .hint("write one, or name another pipeline with `--pipeline FILE`")
            .into());
    }
    let driver = built(&project, None)?;
    let folder = driver.path.parent().unwrap_or(Path::new(".")).to_owned();
    let ended = run::execute(&run_arguments(arguments, pipeline, folder), Pins::Ignored)?;
    show(&ended, arguments.sandbox)?;
    session::collect(&ended.base, Some(SESSIONS), None, false)?;
    Ok(run::exit_code(&ended.manifest))
}

fn run_arguments(arguments: &Arguments, pipeline: PathBuf, built: PathBuf) -> run::Arguments {
    let mut drivers = vec![built];
    drivers.extend(arguments.drivers.iter().cloned());
    run::Arguments {
        no_cache: true,
        from: None,
        only: Vec::new(),
        pipeline: PipelineArguments {
            text: None,
            pipeline,
            params: arguments.params.clone(),
            recorded: Recorded::default(),
            sealed: None,
            profile: arguments.profile.clone(),
            place: PlaceArguments {
                folders: FolderArguments { is_private: true, ..FolderArguments::default() },
                drivers,
                env_file: None,
            },
            policy: None,
            on: None,
            exchange: None,
            limits: arguments.limits.clone(),
        },
        jobs: None,
        resume: None,
        json: false,
        quiet: false,
        sandbox: arguments.sandbox,
    }
}

/// Prints the first rows of each table that the run made, and why steps failed.
fn show(ended: &Ended, sandbox: SandboxArguments) -> anyhow::Result<()> {
    let manifest = &ended.manifest;
    for step in &manifest.steps {
        let Some(file) = &step.duckdb_path else { continue };
        let file = session::tables_file(&ended.base, &manifest.session_id, file)?;
        for (name, table) in &step.tables {
            print(&format!("\nstep `{}`, table `{name}`: {}", step.id, counted(table.rows, "row")));
            let sql = format!("select * from \"{}\" limit {ROWS}", name.replace('"', "\"\""));
            query::print_rows(
                query::tables_of(step, &file),
                &Statement { sql: &sql, format: Format::Table, timeout: TIMEOUT, total: None },
                None,
                sandbox,
            )?;
            if table.rows > ROWS {
                print_data(&format!("… {} more", grouped(table.rows - ROWS)));
            }
        }
    }
    manifest.steps.iter().for_each(run::explain);
    let took = spell_duration(manifest.duration_ms.unwrap_or_default());
    let status = if manifest.status == Status::Success { "succeeded".to_owned() } else { manifest.status.to_string() };
    print(&format!("\nexample {status} in {took}; session {}", ended.session_path));
    Ok(())
}
