//! Finds drivers in folders and by path, reads their specs, and packs new drivers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use wasm_encoder::ComponentSection;
use wasmparser::BinaryReader;

use crate::driver::component::{self, CUSTOM, HEADER};
use crate::driver::inspect::Description;
use crate::driver::inspector::{Found, Inspector, digest_of, no_driver};
use crate::driver::spec::{self, Spec, Version};
use crate::environment;
use crate::error::{Report, listed, nearest};
use crate::warning::Warning;

/// The largest component that is read, in bytes.
pub const MAX_BYTES: u64 = 256 << 20;

/// A driver found on disk: a component built for this host's contract, with a spec.
#[derive(Debug, Clone)]
pub struct Driver {
    pub spec: Spec,
    pub path: PathBuf,
    /// The digest of the whole file, in hexadecimal.
    pub sha256: String,
    /// The version of `osiris:driver` that it was built for.
    pub contract: String,
    /// The interfaces that the component imports, such as `osiris:driver/sql@0.2.0`.
    pub imports: Vec<String>,
    /// The optional functions that it exports: `discover`, `check`.
    pub offers: Vec<String>,
}

impl Driver {
    /// `name@version`, for messages.
    pub fn label(&self) -> String {
        format!("{}@{}", self.spec.name, self.spec.version)
    }
}

/// The folders that are searched for drivers; the first match wins.
#[derive(Debug, Default)]
pub struct Catalog {
    pub folders: Vec<PathBuf>,
    /// The folder that a path to a `.wasm` file is relative to.
    pub base: PathBuf,
    /// Reads drivers and judges configs.
    pub inspector: Inspector,
    /// How many of the folders, at the end of the list, came with this program.
    built_in: usize,
    listing: OnceLock<Listing>,
}

impl Catalog {
    /// Searches `named` (from the command line), `$OSIRIS_DRIVERS`, `drivers` in the base folder, and the drivers that
    /// came with this program.
    pub fn new(named: &[PathBuf], base: &Path) -> Self {
        let mut folders = named.to_vec();
        folders.extend(environment::variable(environment::DRIVERS).iter().flat_map(std::env::split_paths));
        folders.push(base.join("drivers"));
        let program = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
        folders.extend(
            program.iter().flat_map(|folder| [folder.join("../drivers"), folder.join("../lib/osiris/drivers")]),
        );
        Self {
            folders: folders.iter().map(|folder| fs::canonicalize(folder).unwrap_or_else(|_| folder.clone())).collect(),
            base: base.to_owned(),
            inspector: Inspector::default(),
            built_in: if program.is_some() { 2 } else { 0 },
            listing: OnceLock::new(),
        }
    }

    /// The driver that a pipeline calls `component`: a component name, or a path ending in `.wasm`.
    ///
    /// # Errors
    /// If there is no such driver, with the nearest name; if the file is not a driver for this host.
    pub fn find(&self, component: &str) -> anyhow::Result<Driver> {
        if component.ends_with(".wasm") {
            return self.inspector.read(&self.base.join(component));
        }
        if let Some(driver) = self.named(component)? {
            return Ok(driver);
        }
        match self.list().drivers.get(component) {
            Some(driver) => Ok(driver.clone()),
            None => Err(self.unknown(component).into()),
        }
    }

    /// The first of `components` that has a driver.
    ///
    /// # Errors
    /// If its file is not a driver for this host.
    pub fn first(&self, components: &[String]) -> anyhow::Result<Option<Driver>> {
        for component in components {
            if let Some(driver) = self.named(component)? {
                return Ok(Some(driver));
            }
        }
        Ok(components.iter().find_map(|component| self.list().drivers.get(component).cloned()))
    }

    /// The driver of that name, in a file of that name.
    fn named(&self, component: &str) -> anyhow::Result<Option<Driver>> {
        if !spec::is_component_name(component) {
            return Ok(None);
        }
        for folder in &self.folders {
            let file = folder.join(format!("{component}.wasm"));
            if file.is_file() {
                let driver = self.inspector.read(&file)?;
                if driver.spec.name == component {
                    return Ok(Some(driver));
                }
            }
        }
        Ok(None)
    }

    /// A notice if `driver`, found by its name, replaces one of the same name that came with this program.
    pub fn shadowed(&self, component: &str, driver: &Driver) -> Option<Warning> {
        let own = self.folders.iter().skip(self.folders.len().saturating_sub(self.built_in));
        let file = own.map(|folder| folder.join(format!("{component}.wasm"))).find(|file| file.is_file())?;
        let differs = !component.ends_with(".wasm") && file != driver.path && digest_of(&file).ok()? != driver.sha256;
        differs.then(|| {
            Warning::new(format!(
                "driver `{component}` of `{}` takes the place of the one that came with this program",
                driver.path.parent().unwrap_or(&driver.path).display()
            ))
        })
    }

    fn unknown(&self, component: &str) -> Report {
        let known = || self.list().drivers.keys().map(String::as_str);
        let report = Report::input(format!("no driver is called `{component}`; known: {}", listed(known())));
        match nearest(component, known()) {
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

    /// All drivers in the folders; they are read once.
    pub fn list(&self) -> &Listing {
        self.listing.get_or_init(|| {
            let mut listing = Listing::default();
            for folder in &self.folders {
                self.list_folder(folder, &mut listing);
            }
            listing
        })
    }

    fn list_folder(&self, folder: &Path, listing: &mut Listing) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        let mut files: Vec<PathBuf> = entries.filter(is_wasm).take(MAX_FILES + 1).collect();
        if files.len() > MAX_FILES {
            let folder = folder.display();
            listing
                .problems
                .push(format!("`{folder}` has more than {MAX_FILES} drivers: name the one you mean by its path"));
            return;
        }
        files.sort();
        for file in files {
            let name = file.display().to_string();
            match self.inspector.look(&file, &name, &name) {
                Ok(Found::Driver(driver)) => listing.add(*driver),
                Ok(Found::Other(report)) => listing.others.push(report.message),
                Err(error) => listing.problems.push(format!("{error:#}")),
            }
        }
    }
}

/// The most files of one folder that are read.
const MAX_FILES: usize = 1000;

/// The available drivers.
#[derive(Debug, Default)]
pub struct Listing {
    /// By component name; if there are several, the one in the first folder.
    pub drivers: BTreeMap<String, Driver>,
    /// Why others were left out, although they are drivers.
    pub problems: Vec<String>,
    /// Why files ending in `.wasm` are no drivers. They are in nobody's way.
    pub others: Vec<String>,
}

impl Listing {
    /// Adds a driver, unless there is one of its name: the first is used.
    fn add(&mut self, driver: Driver) {
        match self.drivers.entry(driver.spec.name.clone()) {
            Entry::Vacant(place) => {
                place.insert(driver);
            }
            // A folder that replaces a driver of a later folder is meant to.
            Entry::Occupied(first) if first.get().path.parent() == driver.path.parent() => self.problems.push(format!(
                "`{}` is not used: `{}` has the same name, `{}`",
                driver.path.display(),
                first.get().path.display(),
                driver.spec.name
            )),
            Entry::Occupied(_) => {}
        }
    }
}

impl Driver {
    /// The driver in a component that was read, if this host can run it; errors call it `name`.
    ///
    /// # Errors
    /// A [`Report`] if it was built for another contract, or lacks the export of its kind.
    pub fn new(described: Description, path: &Path, name: &str, sha256: String) -> anyhow::Result<Self> {
        let Description { spec, imports, exports } = described;
        check_versions(name, &imports)?;
        check_versions(name, &exports)?;
        spec.contract.iter().try_for_each(|contract| check_contract(name, contract))?;
        check_requests(name, &spec, &imports)?;
        let exports: Vec<(&str, &str)> = exports.iter().filter_map(|export| versioned(export)).collect();
        let export = spec.kind.export();
        let Some((_, contract)) = exports.iter().find(|(name, _)| *name == export) else {
            let expected = spec::interface(export);
            let message = format!("its spec says `kind: {}`, but it does not export `{expected}`", spec.kind);
            return Err(no_driver(name, &message)
                .hint("build it for the world of its kind; see wit/driver.wit")
                .into());
        };
        let contract = (*contract).to_owned();
        let offers = exports.iter().map(|(name, _)| *name).filter(|name| matches!(*name, "discover" | "check"));
        let offers = offers.map(str::to_owned).collect();
        Ok(Self { spec, path: path.to_owned(), sha256, contract, imports, offers })
    }
}

fn check_contract(name: &str, built_for: &str) -> Result<(), Report> {
    let host = Version::parse(spec::CONTRACT);
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
        "driver `{name}` was built for contract osiris:driver@{built_for}; this Osiris speaks {}",
        spec::CONTRACT
    ))
    .hint(cure))
}

/// The interface of the contract that an import or export names, such as `extract`, and its version.
fn versioned(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("osiris:driver/")?.split_once('@')
}

/// Refuses a component that imports what its spec does not request.
fn check_requests(name: &str, spec: &Spec, imports: &[String]) -> Result<(), Report> {
    let Some((grant, import)) = spec.grants.unrequested(imports) else { return Ok(()) };
    Err(no_driver(name, &format!("it imports `{import}`, but its spec does not request `{grant}`"))
        .hint(format!("add `{grant}` to the spec's `grants`, or build the driver without this import")))
}

/// Checks that this host provides the version of the contract in the names that a component imports or exports.
///
/// # Errors
/// A [`Report`] if it does not.
pub fn check_versions(name: &str, names: &[String]) -> Result<(), Report> {
    names.iter().filter_map(|name| versioned(name)).try_for_each(|(_, version)| check_contract(name, version))
}

struct Section<'a> {
    id: u8,
    /// The section, including its header.
    whole: &'a [u8],
    body: &'a [u8],
}

/// The top-level sections of a component, without parsing their contents.
fn sections(bytes: &[u8]) -> anyhow::Result<Vec<Section<'_>>> {
    anyhow::ensure!(component::is_component(bytes), "not a component");
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

/// Writes the component in `wasm` with `spec_text` as its spec to `out`, replacing an earlier spec. `out` is a file, or
/// a folder in which the file is named after the spec. `check` has the last word; if it refuses, nothing is written.
///
/// # Errors
/// If the spec is wrong, the file is not a component, or the result is not a driver for this host.
#[expect(clippy::disallowed_methods, reason = "reads the file that the user names")]
pub fn pack(
    inspector: &Inspector,
    wasm: &Path,
    spec_text: &str,
    spec_file: &Path,
    out: &Path,
    check: impl FnOnce(&Driver) -> anyhow::Result<()>,
) -> anyhow::Result<Driver> {
    let name = wasm.display().to_string();
    let bytes = fs::read(wasm).map_err(|error| {
        Report::input(format!("cannot read driver `{name}`: {error}")).hint("check the path of the component")
    })?;
    if component::is_core_module(&bytes) {
        return Err(no_driver(&name, "it is a core module, not a component")
            .hint("build it for the target `wasm32-wasip2`, or wrap it with `wasm-tools component new`")
            .into());
    }
    let mut packed = without_specs(&bytes).map_err(|_| no_driver(&name, "it is no WebAssembly component"))?;
    let section = wasm_encoder::CustomSection { name: spec::SECTION.into(), data: spec_text.as_bytes().into() };
    section.append_to_component(&mut packed);
    let parent = || out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = if out.is_dir() { out } else { parent() };
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let mut file = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write to `{}`", folder.display()))?;
    std::io::Write::write_all(&mut file, &packed).context("cannot write the driver")?;
    let driver = inspector.read_as(file.path(), &name, &spec_file.display().to_string())?;
    check(&driver)?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .context("cannot write the driver")?;
    let path = if out.is_dir() { out.join(format!("{}.wasm", driver.spec.name)) } else { out.to_owned() };
    file.persist(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(Driver { path, ..driver })
}
