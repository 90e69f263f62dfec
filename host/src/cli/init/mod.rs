//! `osiris init`: writes a project with a first pipeline that runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::copy::{CopyOptions, Surroundings};
use super::folders::FolderArguments;
use super::prepare::PlaceArguments;
use super::print;
use super::sandbox::SandboxArguments;
use crate::error::Report;
use crate::pipeline::{connections, project};

/// The file of the first pipeline.
const PIPELINE: &str = "pipeline.yaml";

/// Where a pipeline that is made from a source delivers its tables.
const WAREHOUSE: &str = "warehouse.duckdb";

/// The files of every project.
const FILES: [(&str, &str); 6] = [
    (project::FILE, include_str!("files/osiris.yaml")),
    (connections::FILE, include_str!("files/osiris_connections.yaml")),
    (".env.example", include_str!("files/env.example")),
    (".gitignore", include_str!("files/gitignore")),
    (".github/workflows/pipelines.yml", include_str!("files/ci.yml")),
    ("README.md", include_str!("files/README.md")),
];

/// The pipeline that runs at once, and its data.
const EXAMPLE: [(&str, &str); 2] =
    [(PIPELINE, include_str!("files/pipeline.yaml")), ("data/orders.csv", include_str!("files/orders.csv"))];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  osiris init shop                        a project with an example that runs\n  \
                  osiris init --from '@mysql.shop.*'      here, with a pipeline that copies all tables of a connection")]
pub struct Arguments {
    /// The project's folder, which may exist; files in it stay as they are
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Make the first pipeline from this source, as `osiris copy` does: tables of a connection that the folder's
    /// `osiris_connections.yaml` has, or files in it
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn init(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { folder, from, sandbox } = arguments;
    let mut files = FILES.map(|(path, text)| (path, text.to_owned())).to_vec();
    match from {
        None => files.extend(EXAMPLE.map(|(path, text)| (path, text.to_owned()))),
        Some(source) => {
            let folders = FolderArguments { base: Some(folder.clone()), ..FolderArguments::default() };
            let place = PlaceArguments { folders, drivers: Vec::new(), env_file: None };
            let surroundings = Surroundings { place: &place, policy: None, sandbox: *sandbox };
            files.push((PIPELINE, CopyOptions::between(source, WAREHOUSE).pipeline(&surroundings)?));
        }
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| Report::input(format!("cannot create `{}`: {error}", folder.display())))?;
    let full = std::fs::canonicalize(folder).with_context(|| format!("cannot open `{}`", folder.display()))?;
    let name = full.file_name().map_or_else(|| "pipelines".to_owned(), |name| name.to_string_lossy().into_owned());
    let dir = Dir::open_ambient_dir(folder, ambient_authority())
        .with_context(|| format!("cannot open `{}`", folder.display()))?;
    if from.is_some() && dir.symlink_metadata(PIPELINE).is_ok() {
        return Err(Report::input(format!("`{PIPELINE}` exists already"))
            .hint("print the pipeline with `osiris copy SOURCE TARGET --print`, and give it another name")
            .into());
    }
    let mut written = Vec::new();
    let mut existing = Vec::new();
    for (path, text) in &files {
        let is_new = write(&dir, Path::new(path), &text.replace("{name}", &name))
            .with_context(|| format!("cannot write `{}`", folder.join(path).display()))?;
        if is_new { &mut written } else { &mut existing }.push(*path);
    }
    print(&in_words(folder, &written, &existing));
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that does not exist; returns false if it does.
fn write(dir: &Dir, path: &Path, text: &str) -> std::io::Result<bool> {
    if let Some(parent) = path.parent() {
        dir.create_dir_all(parent)?;
    }
    match dir.open_with(path, OpenOptions::new().write(true).create_new(true)) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn in_words(folder: &Path, written: &[&str], existing: &[&str]) -> String {
    let mut words = String::new();
    for (title, paths) in [("wrote", written), ("left as they are", existing)] {
        if !paths.is_empty() {
            words += &format!("{title}: {}\n", paths.join(", "));
        }
    }
    let enter = if folder == Path::new(".") { String::new() } else { format!("  cd {}\n", folder.display()) };
    format!("{words}\n{enter}  osiris run {PIPELINE}\n\nREADME.md in it says more")
}
