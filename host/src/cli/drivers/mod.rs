//! `osiris drivers`: one file per verb about drivers.

mod build;
mod dev;
mod inspect;
mod list;
mod new;
mod pack;
mod test;

use std::process::ExitCode;

use super::prepare::PlaceArguments;
use crate::driver::catalog::Catalog;

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Start a driver: write a project from a template
    New(new::Arguments),
    /// Build a project's driver
    Build(build::Arguments),
    /// Build a project's driver and run its example, again after each change
    Dev(dev::Arguments),
    /// List the drivers that pipelines can name
    List(list::Arguments),
    /// Show a driver's kind, options, grants and imports
    Inspect(inspect::Arguments),
    /// Add a spec to a component, which makes it a driver
    Pack(pack::Arguments),
    /// Test a driver
    Test(test::Arguments),
}

pub fn drivers(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::New(arguments) => new::new(arguments)?,
        Verb::Build(arguments) => build::build(arguments)?,
        Verb::Dev(arguments) => return dev::dev(arguments),
        Verb::List(arguments) => list::list(arguments)?,
        Verb::Inspect(arguments) => inspect::inspect(arguments)?,
        Verb::Pack(arguments) => pack::pack(arguments)?,
        Verb::Test(arguments) => return test::test(arguments),
    }
    Ok(ExitCode::SUCCESS)
}

pub use test::{end_on_signals, print_findings};

fn catalog(place: &PlaceArguments) -> anyhow::Result<Catalog> {
    Ok(place.catalog(&place.folders.open()?.path)?)
}

/// The way from nothing to a driver, for the help.
pub const EXAMPLES: &str = "A driver from nothing:\n  osiris drivers new shop.orders --lang python --kind extractor --template rest\n  \
     cd shop.orders\n  osiris drivers dev                             build it and run its example, again after each change\n  \
     osiris drivers test build/shop.orders.wasm     test it\n\n\
     `build` and `dev` run the toolchain of the driver's language with your rights, as you would: only for projects that you trust";
