//! Confines the process by Landlock: its own scratch folder and granted files, no network, no signals.

use std::path::Path;

use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

/// What a process may reach once it is confined.
#[derive(Debug, Default)]
pub struct Reach<'a> {
    pub read: Vec<&'a Path>,
    pub write: Vec<&'a Path>,
    /// A folder that is the process's own.
    pub scratch: Option<&'a Path>,
}

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

/// Takes everything from the calling thread, and so from all threads it starts, but `reach`.
///
/// # Errors
/// When a granted path cannot be opened, or the kernel refuses the rules.
pub fn confine(reach: &Reach<'_>) -> anyhow::Result<Confinement> {
    let whole = AccessFs::from_all(NEWEST);
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(whole)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for path in &reach.read {
        ruleset = allow(ruleset, path, AccessFs::ReadFile.into())?;
    }
    for path in &reach.write {
        ruleset = allow(ruleset, path, write)?;
    }
    if let Some(scratch) = reach.scratch {
        ruleset = allow(ruleset, scratch, whole & !AccessFs::Execute)?;
    }
    Ok(Confinement(ruleset.restrict_self()?.ruleset))
}

fn allow(ruleset: RulesetCreated, path: &Path, access: landlock::BitFlags<AccessFs>) -> anyhow::Result<RulesetCreated> {
    let opened = PathFd::new(path).with_context(|| format!("cannot grant `{}`", path.display()))?;
    Ok(ruleset.add_rule(PathBeneath::new(opened, access))?)
}
