//! Lets the program find libduckdb beside itself or, once installed, in `../lib`, and nowhere else: on another machine,
//! anybody might control a path of the machine that built it.

use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts by variables")]
fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    let Ok(folder) = std::env::var("DUCKDB_LIB_DIR") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN:$ORIGIN/../lib");
    // The built program is in `release`, unit tests are in `release/deps`.
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let Some(built) = Path::new(&out).ancestors().nth(3) else { return };
    let library = Path::new(&folder).join("libduckdb.so");
    for place in [built.to_owned(), built.join("deps")].map(|place| place.join("libduckdb.so")) {
        println!("cargo:rerun-if-changed={}", place.display());
        let _ = std::fs::remove_file(&place);
        if let Err(error) = std::os::unix::fs::symlink(&library, &place) {
            println!("cargo:warning=cannot link `{}`: {error}", place.display());
        }
    }
}
