//! C: zig's compiler, or another one for `wasm32-wasi`.

use std::path::{Path, PathBuf};

use super::{Component, python};
use crate::error::Report;
use crate::scaffold::Project;
use crate::scaffold::toolchain::Program;

/// Zig from PyPI, for machines that have no `zig`.
const ZIGLANG: &str = "ziglang==0.17.1";

/// The SDK uses nothing that needs an adapter: a driver imports the contract and WASI 0.2 only.
const OPTIONS: [&str; 6] =
    ["-mexec-model=reactor", "-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wl,--strip-all"];

pub fn build(project: &Project, component: &Component, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let module = component.temporary("module.wasm");
    let (sdk, source) = (project.sdk(), project.source());
    let mut sources = c_files(&sdk.join("src"))?;
    sources.extend(if source.is_dir() { c_files(&source)? } else { vec![source] });
    let compiler = compiler(project, say)?;
    say("building with the C compiler");
    // Relative paths, so that the same sources give the same component anywhere.
    let relative = |path: &Path| path.strip_prefix(&project.folder).map_or_else(|_| path.to_owned(), Path::to_owned);
    compiler
        .args(OPTIONS)
        .args(["-I".to_owned(), relative(&sdk).display().to_string()])
        .args(sources.iter().map(|file| relative(file)))
        .args(["-o".as_ref(), module.as_os_str()])
        .run()?;
    component.wrap(project, &module, None)
}

/// The compiler that the project names, `zig`, or zig as a package of Python.
fn compiler(project: &Project, say: &dyn Fn(&str)) -> anyhow::Result<Program> {
    const TARGET: &str = "--target=wasm32-wasi";
    if let Some(command) = &project.settings.compiler {
        let mut words = command.split_whitespace();
        let name =
            words.next().ok_or_else(|| Report::input("`compiler` in `driver.yaml` is empty").hint("remove it"))?;
        let compiler = Program::new(name, "install it, or remove `compiler` from `driver.yaml` to use zig");
        return Ok(compiler.within(&project.folder).args(words));
    }
    let zig = || Program::new("zig", "install zig: https://ziglang.org/download").within(&project.folder);
    if zig().args(["version"]).answer().is_some() {
        return Ok(zig().args(["cc", TARGET]));
    }
    let packages = python::packages(project, ZIGLANG, None, say)?;
    Ok(python::python(project, &[packages]).args(["-m", "ziglang", "cc", TARGET]))
}

/// The files ending in `.c` in a folder, in the order of their names.
fn c_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Report::input(format!("cannot read `{}`: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "c"));
    files.sort();
    Ok(files)
}
