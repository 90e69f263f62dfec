//! Confines the process by Landlock: its own scratch folder and granted files, no network, no signals.

use std::path::Path;

use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::job::Job;

/// The newest Landlock the rules are written for; older kernels enforce what they know.
const NEWEST: ABI = ABI::V6;

/// What the kernel made of the rules.
pub struct Confinement(RulesetStatus);

impl Confinement {
    pub fn is_whole(&self) -> bool {
        self.0 == RulesetStatus::FullyEnforced
    }

    pub fn words(&self) -> &'static str {
        match self.0 {
            RulesetStatus::FullyEnforced => "Landlock is fully enforced",
            RulesetStatus::PartiallyEnforced => "this kernel's Landlock knows only part of the rules",
            RulesetStatus::NotEnforced => "this kernel has no Landlock",
        }
    }
}

/// Takes everything from the calling thread, and so from all threads it starts, but what the job grants.
///
/// # Errors
/// When a granted path cannot be opened, or the kernel refuses the rules.
pub fn confine(job: &Job) -> anyhow::Result<Confinement> {
    let whole = AccessFs::from_all(NEWEST);
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(whole)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for input in &job.inputs {
        ruleset = allow(ruleset, &input.path, AccessFs::ReadFile.into())?;
    }
    for grant in &job.read_files {
        ruleset = allow(ruleset, &grant.path, AccessFs::ReadFile.into())?;
    }
    for grant in &job.write_files {
        ruleset = allow(ruleset, &grant.path, write)?;
    }
    ruleset = allow(ruleset, &job.scratch, whole & !AccessFs::Execute)?;
    Ok(Confinement(ruleset.restrict_self()?.ruleset))
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> anyhow::Result<RulesetCreated> {
    let opened = PathFd::new(path).with_context(|| format!("cannot grant `{}`", path.display()))?;
    Ok(ruleset.add_rule(PathBeneath::new(opened, access))?)
}
