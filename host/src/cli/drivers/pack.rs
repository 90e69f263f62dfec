//! `osiris drivers pack`: adds a spec to a component, which makes it a driver.

use std::path::PathBuf;

use crate::cli::print;
use crate::driver::catalog::{self, Driver};
use crate::driver::inspector::Inspector;
use crate::driver::{compiler, runtime};
use crate::error::Report;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  osiris drivers pack target/wasm32-wasip2/release/hello.wasm --spec spec.yaml -o drivers/my.hello.wasm"
)]
pub struct Arguments {
    /// The component, as the compiler made it
    wasm: PathBuf,
    /// Its spec
    #[arg(long, value_name = "FILE", default_value = "spec.yaml")]
    spec: PathBuf,
    /// Where to write the driver: a file, or a folder, in which the file is named after the spec
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Compile it, which checks its imports and exports; the first run then does not have to
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    compile: bool,
}

#[expect(clippy::disallowed_methods, reason = "reads the file that the user names")]
pub fn pack(arguments: &Arguments) -> anyhow::Result<()> {
    let spec = std::fs::read_to_string(&arguments.spec).map_err(|error| {
        Report::input(format!("cannot read spec `{}`: {error}", arguments.spec.display()))
            .hint("name the driver's spec with `--spec FILE`")
    })?;
    let component = arguments.wasm.display().to_string();
    let compile = |driver: &Driver| if arguments.compile { checked(driver, &component) } else { Ok(()) };
    let driver =
        catalog::pack(&Inspector::default(), &arguments.wasm, &spec, &arguments.spec, &arguments.output, compile)?;
    print(&format!("packed {} into {}", driver.label(), driver.path.display()));
    Ok(())
}

/// Compiles a driver, which checks its imports and exports; errors call it `name`.
pub fn checked(driver: &Driver, name: &str) -> anyhow::Result<()> {
    let engine = runtime::engine()?;
    compiler::compiled(&engine, (&driver.path, name), &driver.sha256, || (), &|| false)?;
    Ok(())
}
