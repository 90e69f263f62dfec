//! Wraps a core module, as compilers for Go and C make it, into a component.

use std::path::Path;

use anyhow::{Context, anyhow};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::driver::spec;

/// WASI's interfaces that a driver may use. Those that it does not import are left out of the component.
const WASI: [&str; 6] =
    ["http/types", "http/outgoing-handler", "io/poll", "io/streams", "io/error", "clocks/monotonic-clock"];

/// The name under which core modules import WASI 0.1, and adapters provide it.
const WASI_0_1: &str = "wasi_snapshot_preview1";

/// Wraps a module. The component's types come from the WIT in the folder `wit`; it exports those interfaces of the
/// contract that the module exports. `adapter` provides WASI 0.1 to modules that import it.
///
/// # Errors
/// If the module is damaged, or imports or exports something that the contract does not have.
pub fn wrap(mut module: Vec<u8>, wit: &Path, adapter: Option<&[u8]>) -> anyhow::Result<Vec<u8>> {
    let exports = interfaces(&module).context("cannot read the compiled module")?;
    let mut resolve = Resolve::default();
    let contract = wit.display();
    resolve.push_dir(wit).map_err(|error| anyhow!("cannot read the contract in `{contract}`: {error:?}"))?;
    let wasi = version_of(&resolve, "wasi", "http").ok_or_else(|| anyhow!("`{contract}` has no `wasi:http`"))?;
    let version = version_of(&resolve, "osiris", "driver").unwrap_or_else(|| spec::CONTRACT.to_owned());
    let imports = WASI.iter().map(|interface| format!("import wasi:{interface}@{wasi};"));
    let exports = exports.iter().map(|name| format!("export osiris:driver/{name}@{version};"));
    let lines: Vec<String> = imports.chain(exports).collect();
    let world = format!(
        "package built:driver;\nworld driver {{ include osiris:driver/granted@{version}; {} }}",
        lines.join(" ")
    );
    let package = resolve.push_str("driver.wit", &world).map_err(|error| anyhow!("{error:?}"))?;
    let world = resolve.select_world(&[package], Some("driver"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default().validate(true).module(&module)?;
    if let Some(adapter) = adapter {
        encoder = encoder.adapter(WASI_0_1, adapter)?;
    }
    encoder.encode().context("cannot make a component of the compiled module")
}

/// The interfaces of the contract that a core module exports, such as `extract`.
fn interfaces(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ExportSection(exports) = payload? else { continue };
        for export in exports {
            let interface = export?.name.strip_prefix("osiris:driver/").and_then(|name| name.split_once('@'));
            names.extend(interface.map(|(interface, _)| interface.to_owned()));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn version_of(resolve: &Resolve, namespace: &str, name: &str) -> Option<String> {
    let names = resolve.packages.iter().map(|(_, package)| &package.name);
    let found = names.into_iter().find(|package| package.namespace == namespace && package.name == name)?;
    found.version.as_ref().map(ToString::to_string)
}
