//! The folders that Osiris writes by itself, in the base folder or wherever the operator wants them.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, Metadata};

use crate::error::Report;

/// A folder that need not exist yet.
#[derive(Debug)]
pub struct Folder {
    root: Dir,
    /// Relative to `root`.
    below: PathBuf,
    path: PathBuf,
    is_outside: bool,
}

impl Folder {
    /// The folder of that name in the base folder, which is at `path`.
    ///
    /// # Errors
    /// If the base folder cannot be opened again.
    pub fn inside(base: &Dir, path: &Path, name: &str) -> std::io::Result<Self> {
        Ok(Self { root: base.try_clone()?, below: name.into(), path: path.join(name), is_outside: false })
    }

    /// The folder at `path`, which is what the option, variable or key `whose` says.
    ///
    /// # Errors
    /// A [`Report`] if nothing on its path can be opened, if it is not UTF-8, or if it contains the base folder.
    pub fn at(path: &Path, whose: &str, base: &Path) -> Result<Self, Report> {
        let wrong = |what: String| {
            Report::input(format!("{whose} cannot be `{}`: {what}", path.display())).hint("name a folder of its own")
        };
        let absolute = std::path::absolute(path).map_err(|error| wrong(error.to_string()))?;
        // A part of the path may be a symlink; what does not exist yet is created inside what exists.
        let existing = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let root_path = std::fs::canonicalize(existing).map_err(|error| wrong(error.to_string()))?;
        let below = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
        let root = Dir::open_ambient_dir(&root_path, ambient_authority()).map_err(|error| wrong(error.to_string()))?;
        let path = root_path.join(below);
        if path.to_str().is_none() {
            return Err(wrong("its path is not UTF-8".to_owned()));
        }
        if base.starts_with(&path) {
            return Err(wrong("the base folder is in it".to_owned()));
        }
        let below = if below.as_os_str().is_empty() { PathBuf::from(".") } else { below.to_owned() };
        Ok(Self { root, below, path, is_outside: true })
    }

    /// Absolute. Without symlinks, apart from what did not exist when it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the operator has named it.
    pub fn is_outside(&self) -> bool {
        self.is_outside
    }

    /// # Errors
    /// If it does not exist or cannot be opened.
    pub fn open(&self) -> std::io::Result<Dir> {
        self.root.open_dir(&self.below)
    }

    /// # Errors
    /// If it does not exist.
    pub fn metadata(&self) -> std::io::Result<Metadata> {
        self.root.metadata(&self.below)
    }

    /// Opens it, and creates it for this user only if it does not exist; with a file that keeps it out of repositories.
    ///
    /// # Errors
    /// A [`Report`] that names `option`, if it may not be created there; or whatever went wrong.
    pub fn create(&self, option: &str) -> anyhow::Result<Dir> {
        let opened = self.open().or_else(|error| match error.kind() {
            ErrorKind::NotFound => self.make(),
            _ => Err(error),
        });
        opened.map_err(|error| self.refused(error, option))
    }

    fn make(&self) -> std::io::Result<Dir> {
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        match self.root.create_dir_with(&self.below, &private) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let dir = self.open()?;
        // Data and logs of runs do not belong in a repository. Runs that start at the same time write the same text.
        dir.write(".gitignore", "*\n")?;
        Ok(dir)
    }

    /// An error in the folder, with the remedy if nothing may be written there.
    pub fn refused(&self, error: Error, option: &str) -> anyhow::Error {
        let doing = format!("cannot create or use `{}`", self.path.display());
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Report::input(format!("{doing}: {error}"))
                .hint(format!("name a folder that may be written with `{option} DIR`"))
                .into(),
            _ => anyhow::Error::from(error).context(doing),
        }
    }
}
