//! Lets this crate's tests find libduckdb; the crate itself does not link it.

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    let native = std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "unix");
    if let Some(folder) = std::env::var("DUCKDB_LIB_DIR").ok().filter(|_| native) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
