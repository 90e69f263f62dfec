//! `osiris lock`: pins the drivers of a pipeline, and accepts changes to them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use rustix::fs::{Access, AtFlags};

use crate::driver::catalog::Driver;
use crate::driver::lock::{self, Lock};
use crate::error::{Report, Reports};
use crate::plan::Plan;
use crate::session::{Base, plain};

use super::prepare::{PipelineArguments, plan_pipeline};
use super::print;
use super::run::Pins;
use super::secret_sources::Commands;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A run pins each new driver in `osiris.lock`, in the base folder: its sha256 and the access that it requests.\n\
                        If either changes, the driver is refused until the change is accepted here."
)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Accept the drivers that have changed
    #[arg(long)]
    update: bool,
}

pub fn lock(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let prepared = plan_pipeline(&arguments.pipeline, Commands::StandIn)?;
    if arguments.update {
        let _held = prepared.base.hold()?;
        let mut lock = read(&prepared.base)?;
        for step in &prepared.plan.steps {
            lock.pin(&prepared.base.path, &step.component, &step.driver)?;
        }
        write(&prepared.base, &lock)?;
    } else {
        enforce(&prepared.base, &prepared.plan)?;
    }
    let mut drivers: Vec<String> = prepared.plan.steps.iter().map(|step| step.driver.label()).collect();
    drivers.sort();
    drivers.dedup();
    print(&format!("{} pins {}", lock::FILE, drivers.join(", ")));
    Ok(ExitCode::SUCCESS)
}

/// Checks the plan's drivers against the base folder's lock, and pins those that are new to it.
pub fn enforce(base: &Base, plan: &Plan) -> anyhow::Result<()> {
    let pin = |lock: &mut Lock| -> anyhow::Result<bool> {
        let mut pinned = false;
        for step in &plan.steps {
            pinned |= lock.check(&base.path, &step.component, &step.driver)?;
        }
        Ok(pinned)
    };
    if !pin(&mut read(base)?)? {
        return Ok(());
    }
    // Several runs may start at once: the lock file is read again, so that pins added meanwhile are preserved.
    let _held = base.hold()?;
    let mut lock = read(base)?;
    pin(&mut lock)?;
    write(base, &lock)
}

/// Checks, before anything runs, that the lock can be written if the plan has drivers that are new to it.
///
/// # Errors
/// A [`Report`] if it cannot.
pub fn check_writable(base: &Base, plan: &Plan) -> anyhow::Result<()> {
    let mut lock = read(base)?;
    let mut pins = false;
    for step in &plan.steps {
        pins |= lock.check(&base.path, &step.component, &step.driver)?;
    }
    match rustix::fs::accessat(&base.dir, ".", Access::WRITE_OK, AtFlags::EACCESS) {
        Err(error) if pins => Err(base.not_written(lock::FILE, error.into(), REMEDY)),
        _ => Ok(()),
    }
}

const REMEDY: &str = "pin the drivers where the folder may be written, with `osiris lock PIPELINE`, and keep `osiris.lock` with the pipelines";

/// Checks the plan's drivers against the base folder's lock without writing anything. A step whose driver is new and
/// fixes hosts gets a notice. If pins are ignored, every driver is new.
pub fn check(base: &Base, plan: &mut Plan, pins: Pins) -> anyhow::Result<()> {
    let mut lock = match pins {
        Pins::Enforced => read(base)?,
        Pins::Ignored => Lock::default(),
    };
    for step in &mut plan.steps {
        step.notices.extend(lock.unaccepted_hosts(&base.path, &step.component, &step.driver)?);
    }
    let mut wrong = Reports::default();
    let mut checked = BTreeSet::new();
    for step in plan.steps.iter().filter(|step| checked.insert(&step.component)) {
        let outcome = lock.check(&base.path, &step.component, &step.driver);
        wrong.note(outcome.map_err(|report| report.at_step(&step.id, &["component"])));
    }
    Ok(wrong.into_result()?)
}

/// Checks a driver that runs outside a pipeline, under each name that pipelines may use for it, without writing
/// anything.
pub fn check_driver(base: &Base, names: &[&str], driver: &Driver) -> anyhow::Result<()> {
    let mut lock = read(base)?;
    if let Some(notice) = lock.unaccepted_hosts(&base.path, names.first().unwrap_or(&""), driver)? {
        eprintln!("warning: {}", notice.paragraph());
    }
    for name in names {
        lock.check(&base.path, name, driver)?;
    }
    Ok(())
}

fn read(base: &Base) -> anyhow::Result<Lock> {
    match plain::read(&base.dir, lock::FILE) {
        Ok(text) => Ok(lock::parse(&text, lock::FILE)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(Report::input(format!("cannot read `{}`: {error}", lock::FILE))
            .hint("it must be a plain file in the base folder")
            .into()),
    }
}

fn write(base: &Base, lock: &Lock) -> anyhow::Result<()> {
    base.write_whole(lock::FILE, &lock.text(), REMEDY)
}
