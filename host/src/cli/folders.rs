//! Which folder is the base folder, and where sessions and states are.

use std::path::{Path, PathBuf};

use super::prepare::read_project;
use crate::environment;
use crate::error::Report;
use crate::pipeline::project::{self, Project};
use crate::session::{Base, OwnFolders};

/// The base folder, and Osiris's own folders.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FolderArguments {
    /// The folder that paths are relative to and that no step leaves [default: $OSIRIS_BASE, or as `osiris.yaml` says, or the
    /// pipeline's folder; without a pipeline the current one]
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// The folder of sessions [default: $OSIRIS_SESSIONS, or as `osiris.yaml` says, or `.osiris_sessions` in the base folder]
    #[arg(long, value_name = "DIR")]
    pub sessions: Option<PathBuf>,
    /// The folder of the states that steps keep between runs [default: $OSIRIS_STATE, or as `osiris.yaml` says, or `.osiris/state`
    /// in the base folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Whether the environment and `osiris.yaml` have no say: for a run whose sessions are nobody else's.
    #[arg(skip)]
    pub is_private: bool,
}

impl FolderArguments {
    /// Opens the base folder for a command without a pipeline.
    ///
    /// # Errors
    /// A [`Report`] if a folder does not exist or cannot be used.
    pub fn open(&self) -> anyhow::Result<Base> {
        self.open_for(Path::new("."))
    }

    /// Opens the base folder for a pipeline in `folder`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_for(&self, folder: &Path) -> anyhow::Result<Base> {
        if self.is_private {
            return Base::open(folder);
        }
        let named = self.base.clone().or_else(|| environment::variable(environment::BASE).map(PathBuf::from));
        let base = match named {
            Some(base) => Base::open(&base)?,
            None => Base::open(&project_base(folder)?.unwrap_or_else(|| folder.to_owned()))?,
        };
        let project = read_project(&base)?;
        let choose = |option: &Option<PathBuf>, names: [&'static str; 3], key: &Option<PathBuf>| {
            let [flag, variable, in_file] = names;
            let from_environment = || environment::variable(variable).map(|path| (PathBuf::from(path), variable));
            let from_file = || key.as_ref().map(|path| (base.path.join(path), in_file));
            option.clone().map(|path| (path, flag)).or_else(from_environment).or_else(from_file)
        };
        let folders = OwnFolders {
            sessions: choose(&self.sessions, ["`--sessions`", environment::SESSIONS, SESSIONS_KEY], &project.sessions),
            states: choose(&self.state, ["`--state`", environment::STATE, STATE_KEY], &project.state),
        };
        Ok(base.with(&folders)?)
    }
}

const SESSIONS_KEY: &str = "`sessions` of `osiris.yaml`";
const STATE_KEY: &str = "`state` of `osiris.yaml`";

/// The base folder that an `osiris.yaml` names: that of the pipeline's folder, or else that of the current folder, if the pipeline is
/// inside the base folder that it names.
fn project_base(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if let Some(base) = base_in(folder)? {
        return Ok(Some(base));
    }
    let current = Path::new(".");
    if folder.join(project::FILE).exists() {
        return Ok(None);
    }
    let Some(base) = base_in(current)? else { return Ok(None) };
    let is_inside = |base: &Path| Some(folder.canonicalize().ok()?.starts_with(base.canonicalize().ok()?));
    Ok(Some(base).filter(|base| is_inside(base) == Some(true)))
}

/// What the `osiris.yaml` in a folder has as `base`.
fn base_in(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !folder.join(project::FILE).exists() {
        return Ok(None);
    }
    let Project { base, .. } = read_project(&Base::open(folder)?)?;
    let Some(base) = base else { return Ok(None) };
    let path = folder.join(&base);
    if !path.is_dir() {
        let message =
            format!("`base: {}` of `{}` leads to no folder", base.display(), folder.join(project::FILE).display());
        return Err(Report::input(message).hint("a relative path begins at the folder of that file").into());
    }
    Ok(Some(path))
}
