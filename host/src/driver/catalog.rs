//! Finds drivers in folders and by path, reads what they say about themselves, and packs new ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use wasm_encoder::ComponentSection;
use wasmparser::{BinaryReader, Parser};

use crate::contract;
use crate::digest::sha256_of;
use crate::driver::spec::{self, Spec, Version};
use crate::error::{Report, listed, nearest};

/// The largest component that is read, in bytes.
pub const MAX_BYTES: u64 = 256 << 20;

/// A driver found on disk: a component of this host's contract, with a spec.
#[derive(Debug, Clone)]
pub struct Driver {
    pub spec: Spec,
    pub path: PathBuf,
    /// Digest of the whole file, in hexadecimal.
    pub sha256: String,
    /// The interfaces that the component imports, such as `osiris:driver/sql@0.1.0`.
    pub imports: Vec<String>,
    /// What it offers besides its work: `discover`, `check`.
    pub offers: Vec<String>,
}

impl Driver {
    /// `name@version`, for messages.
    pub fn label(&self) -> String {
        format!("{}@{}", self.spec.name, self.spec.version)
    }
}

/// The folders that are searched for drivers, the first match winning.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub folders: Vec<PathBuf>,
    /// What a path to a `.wasm` file is relative to.
    pub base: PathBuf,
}

impl Catalog {
    /// `named` (the command line's), `$OSIRIS_DRIVERS`, `drivers` in the base folder, and the
    /// drivers that came with this program.
    pub fn new(named: &[PathBuf], base: &Path) -> Self {
        let mut folders = named.to_vec();
        folders.extend(
            std::env::var_os("OSIRIS_DRIVERS").filter(|paths| !paths.is_empty()).iter().flat_map(std::env::split_paths),
        );
        folders.push(base.join("drivers"));
        let program = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
        folders.extend(
            program.iter().flat_map(|folder| [folder.join("../drivers"), folder.join("../lib/osiris/drivers")]),
        );
        Self {
            folders: folders.iter().map(|folder| fs::canonicalize(folder).unwrap_or_else(|_| folder.clone())).collect(),
            base: base.to_owned(),
        }
    }

    /// The driver that a pipeline calls `component`: a component name, or a path ending in `.wasm`.
    ///
    /// # Errors
    /// When there is none, with the nearest name; when the file is no driver for this host.
    pub fn find(&self, component: &str) -> anyhow::Result<Driver> {
        if component.ends_with(".wasm") {
            return read(&self.base.join(component));
        }
        for folder in &self.folders {
            let file = folder.join(format!("{component}.wasm"));
            if spec::is_component_name(component) && file.is_file() {
                let driver = read(&file)?;
                if driver.spec.name == component {
                    return Ok(driver);
                }
            }
        }
        let mut all = self.list();
        match all.remove(component) {
            Some(path) => read(&path),
            None => Err(self.unknown(component, all.keys().map(String::as_str)).into()),
        }
    }

    fn unknown<'a>(&self, component: &str, known: impl Iterator<Item = &'a str> + Clone) -> Report {
        let report = Report::input(format!("no driver is called `{component}`; known: {}", listed(known.clone())));
        match nearest(component, known) {
            Some(near) => report.hint(format!("did you mean `{near}`?")),
            None => {
                let searched: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
                report.hint(format!(
                    "put its .wasm into one of {}, or name a folder with `--drivers DIR`",
                    listed(searched.iter().map(String::as_str))
                ))
            }
        }
    }

    /// Every driver's file by component name. Files that are no drivers are passed over.
    pub fn list(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for folder in &self.folders {
            let mut files: Vec<PathBuf> =
                fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            files.sort();
            for file in files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "wasm")) {
                if let Ok(Some(spec)) = bytes(&file).and_then(|bytes| Ok(surface(&bytes)?.spec(&file)?)) {
                    found.entry(spec.name).or_insert(file);
                }
            }
        }
        found
    }
}

/// Reads the driver in `path` and checks that this host can run it.
///
/// # Errors
/// A [`Report`] when the file is missing, is no component, has no spec, was built for another
/// contract, or lacks the export of its kind.
pub fn read(path: &Path) -> anyhow::Result<Driver> {
    let bytes = bytes(path)?;
    let surface = surface(&bytes).map_err(|_| no_driver(path, "it is no WebAssembly component"))?;
    check_imports(path, &surface.imports)?;
    let Some(spec) = surface.spec(path)? else {
        return Err(no_driver(path, "it has no spec")
            .hint(format!("add one with `osiris drivers pack {} --spec spec.yaml -o OUT.wasm`", path.display()))
            .into());
    };
    check_contract(path, &spec.contract)?;
    let export = spec.kind.export();
    if !surface.exports.iter().any(|name| name == export) {
        let message = format!("it calls itself a {}, but does not export `{export}`", spec.kind);
        return Err(no_driver(path, &message).hint("build it for the world of its kind; see wit/driver.wit").into());
    }
    let mut offers = surface.exports;
    offers.retain(|export| matches!(export.as_str(), "discover" | "check"));
    Ok(Driver { spec, path: path.to_owned(), sha256: sha256_of(&bytes), imports: surface.imports, offers })
}

fn no_driver(path: &Path, why: &str) -> Report {
    Report::input(format!("`{}` is no driver: {why}", path.display()))
        .hint("a driver is a WebAssembly component of one of the worlds in wit/driver.wit, with a packed spec")
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let missing = |error: std::io::Error| {
        Report::input(format!("cannot read driver `{}`: {error}", path.display()))
            .hint("check the path; it is relative to the base folder")
    };
    let found = fs::metadata(path).map_err(missing)?;
    // A pipe or a device would be read for ever.
    if !found.is_file() {
        return Err(no_driver(path, "it is no plain file").into());
    }
    if found.len() > MAX_BYTES {
        return Err(no_driver(path, "it is larger than 256 MiB").into());
    }
    Ok(fs::read(path).map_err(missing)?)
}

fn check_contract(path: &Path, built_for: &str) -> Result<(), Report> {
    let host = Version::parse(contract::VERSION);
    let driver = Version::parse(built_for);
    if host.zip(driver).is_some_and(|(host, driver)| host.runs(driver)) {
        return Ok(());
    }
    let cure = if driver > host {
        "use a newer Osiris, or a build of the driver for this one"
    } else {
        "rebuild the driver for this version"
    };
    Err(Report::input(format!(
        "driver `{}` was built for contract osiris:driver@{built_for}; this Osiris speaks {}",
        path.display(),
        contract::VERSION
    ))
    .hint(cure))
}

fn check_imports(path: &Path, imports: &[String]) -> Result<(), Report> {
    let versions = imports.iter().filter_map(|name| name.strip_prefix("osiris:driver/")?.split_once('@'));
    versions.map(|(_, version)| version).try_for_each(|version| check_contract(path, version))
}

/// What is visible of a component without compiling it.
#[derive(Default)]
struct Surface<'a> {
    specs: Vec<&'a [u8]>,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Surface<'_> {
    fn spec(&self, path: &Path) -> Result<Option<Spec>, Report> {
        let [bytes] = self.specs[..] else {
            return if self.specs.is_empty() { Ok(None) } else { Err(no_driver(path, "it has several specs")) };
        };
        let text = std::str::from_utf8(bytes).map_err(|_| no_driver(path, "its spec is not UTF-8"))?;
        spec::parse(text, &path.display().to_string()).map(Some)
    }
}

/// Reads the top level of a component; nested modules and components are passed over unread.
fn surface(bytes: &[u8]) -> anyhow::Result<Surface<'_>> {
    let mut surface = Surface::default();
    for section in sections(bytes)? {
        let reader = BinaryReader::new(section.body, 0);
        match section.id {
            CUSTOM => {
                let custom = wasmparser::CustomSectionReader::new(reader)?;
                if custom.name() == spec::SECTION {
                    surface.specs.push(custom.data());
                }
            }
            IMPORTS => {
                for import in wasmparser::ComponentImportSectionReader::new(reader)? {
                    surface.imports.push(import?.name.name.to_owned());
                }
            }
            EXPORTS => {
                for export in wasmparser::ComponentExportSectionReader::new(reader)? {
                    surface.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(surface)
}

// Section ids of the component model's binary format.
const CUSTOM: u8 = 0;
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;

struct Section<'a> {
    id: u8,
    /// The section with its header.
    whole: &'a [u8],
    body: &'a [u8],
}

/// The top-level sections of a component, without a look inside.
fn sections(bytes: &[u8]) -> anyhow::Result<Vec<Section<'_>>> {
    anyhow::ensure!(Parser::is_component(bytes), "not a component");
    let mut reader = BinaryReader::new(bytes, 0);
    reader.read_bytes(HEADER)?;
    let mut sections = Vec::new();
    while !reader.eof() {
        let start = reader.current_position();
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()? as usize;
        let body = reader.read_bytes(size)?;
        sections.push(Section { id, whole: &bytes[start..reader.current_position()], body });
    }
    Ok(sections)
}

/// Bytes before a component's first section.
const HEADER: usize = 8;

/// The component without its specs.
fn without_specs(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let is_spec = |section: &Section<'_>| {
        section.id == CUSTOM
            && wasmparser::CustomSectionReader::new(BinaryReader::new(section.body, 0))
                .is_ok_and(|custom| custom.name() == spec::SECTION)
    };
    let mut kept = bytes.get(..HEADER).context("truncated")?.to_vec();
    for section in sections(bytes)?.iter().filter(|section| !is_spec(section)) {
        kept.extend_from_slice(section.whole);
    }
    Ok(kept)
}

/// Writes the component in `wasm` with `spec_text` as its spec to `out`, replacing an earlier spec.
///
/// # Errors
/// When the spec is wrong, the file is no component, or the result is no driver for this host.
pub fn pack(wasm: &Path, spec_text: &str, spec_file: &Path, out: &Path) -> anyhow::Result<Driver> {
    spec::parse(spec_text, &spec_file.display().to_string())?;
    let bytes = bytes(wasm)?;
    let mut packed = without_specs(&bytes).map_err(|_| no_driver(wasm, "it is no WebAssembly component"))?;
    let section = wasm_encoder::CustomSection { name: spec::SECTION.into(), data: spec_text.as_bytes().into() };
    section.append_to_component(&mut packed);
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let mut file = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write to `{}`", folder.display()))?;
    std::io::Write::write_all(&mut file, &packed).context("cannot write the driver")?;
    let driver = read(file.path()).map_err(|error| match error.downcast::<Report>() {
        Ok(report) => Report {
            message: report.message.replace(&*file.path().to_string_lossy(), &wasm.to_string_lossy()),
            ..report
        }
        .into(),
        Err(error) => error,
    })?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .context("cannot write the driver")?;
    file.persist(out).with_context(|| format!("cannot write `{}`", out.display()))?;
    Ok(Driver { path: out.to_owned(), ..driver })
}
