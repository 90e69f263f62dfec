//! Embeds the SDKs and the templates of driver projects in the program. Lets the program find libduckdb beside itself
//! or, once installed, in `../lib`, and nowhere else: on another machine, anybody might control a path of the machine
//! that built it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What of the repository a driver's project needs: a folder or file, and its place among the embedded files.
const EMBEDDED: &[(&str, &str)] = &[
    ("sdk/rust/README.md", "sdk/rust/README.md"),
    ("sdk/rust/Cargo.toml", "sdk/rust/Cargo.toml"),
    ("sdk/rust/src", "sdk/rust/src"),
    ("sdk/rust/duckdb-text", "sdk/rust/duckdb-text"),
    ("sdk/python/README.md", "sdk/python/README.md"),
    ("sdk/python/osiris_sdk", "sdk/python/osiris_sdk"),
    ("sdk/typescript/README.md", "sdk/typescript/README.md"),
    ("sdk/typescript/package.json", "sdk/typescript/package.json"),
    ("sdk/typescript/build.mjs", "sdk/typescript/build.mjs"),
    ("sdk/typescript/tools/run-tests.mjs", "sdk/typescript/tools/run-tests.mjs"),
    ("sdk/typescript/src", "sdk/typescript/src"),
    ("sdk/typescript/contract", "sdk/typescript/contract"),
    ("sdk/go", "sdk/go"),
    ("sdk/c/README.md", "sdk/c/README.md"),
    ("sdk/c/osiris.h", "sdk/c/osiris.h"),
    ("sdk/c/src", "sdk/c/src"),
    ("sdk/c/test", "sdk/c/test"),
    ("wit", "wit"),
    ("host/src/scaffold/templates", "templates"),
];

/// Files and folders of these that no project needs.
fn is_left_out(path: &Path) -> bool {
    let below_go = path.to_string_lossy().contains("sdk/go/");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    matches!(&*name, "node_modules" | "__pycache__" | "dist" | "wit" if !path.ends_with("../wit"))
        || (below_go && (matches!(&*name, "examples" | "tests" | "build") || name.ends_with("_test.go")))
}

#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts by variables")]
fn main() {
    let out = PathBuf::from(std::env::var("OUT_DIR").unwrap_or_default());
    embed(&out.join("embedded.rs"));
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    let Ok(folder) = std::env::var("DUCKDB_LIB_DIR") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN:$ORIGIN/../lib");
    // The built program is in `release`, unit tests are in `release/deps`.
    let Some(built) = out.ancestors().nth(3) else { return };
    let library = Path::new(&folder).join("libduckdb.so");
    for place in [built.to_owned(), built.join("deps")].map(|place| place.join("libduckdb.so")) {
        println!("cargo:rerun-if-changed={}", place.display());
        let _ = std::fs::remove_file(&place);
        if let Err(error) = std::os::unix::fs::symlink(&library, &place) {
            println!("cargo:warning=cannot link `{}`: {error}", place.display());
        }
    }
}

/// Writes a Rust file with all embedded files, in the order of their places.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo talks to build scripts by variables; writes to cargo's own folder"
)]
fn embed(rust: &Path) {
    // Asked when this runs: several copies of the repository may share a target folder, and this program with it.
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let mut files = Vec::new();
    for (from, to) in EMBEDDED {
        println!("cargo:rerun-if-changed=../{from}");
        if !root.join(from).exists() {
            println!("cargo:error=`{}` is missing", root.join(from).display());
        }
        collect(&root.join(from), (*to).to_owned(), &mut files);
    }
    files.sort();
    let mut text = "pub const FILES: &[(&str, &[u8])] = &[\n".to_owned();
    for (place, file) in files {
        let _ = writeln!(text, "    ({place:?}, include_bytes!({file:?})),");
    }
    text.push_str("];\n");
    if let Err(error) = std::fs::write(rust, text) {
        println!("cargo:error=cannot write `{}`: {error}", rust.display());
    }
}

fn collect(path: &Path, place: String, files: &mut Vec<(String, PathBuf)>) {
    if is_left_out(path) {
        return;
    }
    if !path.is_dir() {
        files.push((place, path.to_owned()));
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        collect(&entry.path(), format!("{place}/{name}"), files);
    }
}
