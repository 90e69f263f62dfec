//! Landlock: restricts files by identity, TCP, abstract sockets and signals.

use std::os::fd::AsFd;

use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::Reach;

/// The newest version of Landlock that the rules are written for; older kernels enforce the part that they know.
pub const NEWEST: ABI = ABI::V6;

/// The access that a process has in its own folder: regular files and folders, nothing else.
fn own_folder() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}

/// Restricts the calling thread to `reach`; returns a description of what the kernel cannot enforce.
pub fn restrict(reach: &Reach<'_>) -> anyhow::Result<Option<String>> {
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for file in reach.read.iter().chain(&reach.load) {
        ruleset = allow(ruleset, file, AccessFs::ReadFile.into())?;
    }
    for file in &reach.write {
        ruleset = allow(ruleset, file, write)?;
    }
    if let Some(scratch) = reach.scratch {
        let opened = PathFd::new(scratch).with_context(|| format!("cannot grant `{}`", scratch.display()))?;
        ruleset = allow(ruleset, &opened, own_folder())?;
    }
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => Some("this kernel's Landlock knows only part of the rules".to_owned()),
        RulesetStatus::NotEnforced => Some("this kernel has no Landlock".to_owned()),
    })
}

fn allow(ruleset: RulesetCreated, file: &impl AsFd, access: BitFlags<AccessFs>) -> anyhow::Result<RulesetCreated> {
    Ok(ruleset.add_rule(PathBeneath::new(file.as_fd(), access))?)
}
