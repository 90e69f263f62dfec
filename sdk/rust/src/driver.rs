//! The three kinds of driver and their optional functions, as traits, and the macros that export them.

use serde::de::DeserializeOwned;

use crate::bindings::osiris::driver::catalog::Table;
use crate::bindings::osiris::driver::errors;
use crate::host::tables;
use crate::{Error, Input, Output, Result, context};

/// Reads rows from outside.
pub trait Extractor {
    /// The step's config, which the host has already checked against the spec's configSchema.
    type Config: DeserializeOwned;

    /// Fills `output`.
    ///
    /// # Errors
    /// Ends the step; its output is discarded.
    fn extract(config: Self::Config, output: Output) -> Result<()>;
}

/// Transforms rows into other rows.
pub trait Processor {
    type Config: DeserializeOwned;

    /// Fills `output` from `inputs`.
    ///
    /// # Errors
    /// Ends the step; its output is discarded.
    fn transform(config: Self::Config, inputs: Inputs, output: Output) -> Result<()>;
}

/// Writes rows to the outside.
pub trait Writer {
    type Config: DeserializeOwned;

    /// Delivers `inputs`.
    ///
    /// # Errors
    /// Ends the step; files that it wrote do not replace their targets.
    fn load(config: Self::Config, inputs: Inputs) -> Result<()>;
}

/// Lists the tables of a connection: `osiris discover @family.alias`.
pub trait Discovery {
    /// The config, which contains the connection and little else.
    type Config: DeserializeOwned;

    /// The tables that the connection can see, in any order.
    ///
    /// # Errors
    /// Ends the discovery.
    fn discover(config: Self::Config) -> Result<Vec<Table>>;
}

/// Tries a connection: `osiris connections doctor`.
pub trait Check {
    /// The config, which contains the connection and little else.
    type Config: DeserializeOwned;

    /// Connects and logs in without changing anything; returns a description of what answered.
    ///
    /// # Errors
    /// What is wrong, by its kind: `auth`, `denied`, `transient`, `timeout`.
    fn check(config: Self::Config) -> Result<String>;
}

/// A step's inputs in the pipeline's order.
#[derive(Debug)]
pub struct Inputs(Vec<Input>);

impl Inputs {
    /// The only input, for a driver that takes exactly one.
    ///
    /// # Errors
    /// `config`, naming the step's inputs.
    pub fn only(&self) -> Result<&Input> {
        match self.0.as_slice() {
            [input] => Ok(input),
            [] => Err(Error::config("the step has no input; name one under `needs` or `inputs`")),
            many => {
                let names: Vec<String> = many.iter().map(|input| format!("`{}`", input.alias())).collect();
                Err(Error::config(format!(
                    "the step has {} inputs ({}), but its driver takes one",
                    many.len(),
                    names.join(", ")
                )))
            }
        }
    }

    /// The input called `alias`.
    pub fn get(&self, alias: &str) -> Option<&Input> {
        self.0.iter().find(|input| input.alias() == alias)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Input> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Inputs {
    type Item = &'a Input;
    type IntoIter = std::slice::Iter<'a, Input>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Vec<tables::Input>> for Inputs {
    fn from(raw: Vec<tables::Input>) -> Self {
        Self(raw.into_iter().map(Input::from).collect())
    }
}

#[doc(hidden)]
pub fn extract<D: Extractor>(output: tables::Output) -> Result<(), errors::Error> {
    context::log_panics();
    let output = Output::from(output);
    let tables = output.open_tables();
    D::extract(context::config()?, output)?;
    Ok(tables.finish()?)
}

#[doc(hidden)]
pub fn transform<D: Processor>(inputs: Vec<tables::Input>, output: tables::Output) -> Result<(), errors::Error> {
    context::log_panics();
    let output = Output::from(output);
    let tables = output.open_tables();
    D::transform(context::config()?, inputs.into(), output)?;
    Ok(tables.finish()?)
}

#[doc(hidden)]
pub fn load<D: Writer>(inputs: Vec<tables::Input>) -> Result<(), errors::Error> {
    context::log_panics();
    Ok(D::load(context::config()?, inputs.into())?)
}

#[doc(hidden)]
pub fn discover<D: Discovery>() -> Result<Vec<Table>, errors::Error> {
    context::log_panics();
    Ok(D::discover(context::config()?)?)
}

#[doc(hidden)]
pub fn check<D: Check>() -> Result<String, errors::Error> {
    context::log_panics();
    Ok(D::check(context::config()?)?)
}

/// Exports a driver: `export!(MyDriver: extractor)`, `processor` or `writer`. Use it once per crate. Optional functions
/// follow a plus: `export!(MyDriver: extractor + discovery + check)`.
#[macro_export]
macro_rules! export {
    ($driver:ty: $kind:ident $(+ $extra:ident)+) => {
        $crate::export!($driver: $kind);
        $($crate::export!($driver: $extra);)+
    };
    ($driver:ty: discovery) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::discover as exported;
            struct Component;
            impl exported::exports::osiris::driver::discover::Guest for Component {
                fn run() -> Result<
                    Vec<$crate::bindings::osiris::driver::catalog::Table>,
                    $crate::bindings::osiris::driver::errors::Error,
                > {
                    $crate::discover::<$driver>()
                }
            }
            exported::export_discover!(Component with_types_in exported);
        };
        $crate::native_export!($driver: Discovery);
    };
    ($driver:ty: check) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::check as exported;
            struct Component;
            impl exported::exports::osiris::driver::check::Guest for Component {
                fn run() -> Result<String, $crate::bindings::osiris::driver::errors::Error> {
                    $crate::check::<$driver>()
                }
            }
            exported::export_check!(Component with_types_in exported);
        };
        $crate::native_export!($driver: Check);
    };
    ($driver:ty: extractor) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::extract as exported;
            struct Component;
            impl exported::exports::osiris::driver::extract::Guest for Component {
                fn run(
                    output: $crate::bindings::osiris::driver::tables::Output,
                ) -> Result<(), $crate::bindings::osiris::driver::errors::Error> {
                    $crate::extract::<$driver>(output)
                }
            }
            exported::export_extract!(Component with_types_in exported);
        };
        $crate::native_export!($driver: Extractor);
    };
    ($driver:ty: processor) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::transform as exported;
            struct Component;
            impl exported::exports::osiris::driver::transform::Guest for Component {
                fn run(
                    inputs: Vec<$crate::bindings::osiris::driver::tables::Input>,
                    output: $crate::bindings::osiris::driver::tables::Output,
                ) -> Result<(), $crate::bindings::osiris::driver::errors::Error> {
                    $crate::transform::<$driver>(inputs, output)
                }
            }
            exported::export_transform!(Component with_types_in exported);
        };
        $crate::native_export!($driver: Processor);
    };
    ($driver:ty: writer) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::load as exported;
            struct Component;
            impl exported::exports::osiris::driver::load::Guest for Component {
                fn run(
                    inputs: Vec<$crate::bindings::osiris::driver::tables::Input>,
                ) -> Result<(), $crate::bindings::osiris::driver::errors::Error> {
                    $crate::load::<$driver>(inputs)
                }
            }
            exported::export_load!(Component with_types_in exported);
        };
        $crate::native_export!($driver: Writer);
    };
}

/// Natively there is nothing to export; the driver is only checked to be of its kind.
#[doc(hidden)]
#[macro_export]
macro_rules! native_export {
    ($driver:ty: $kind:ident) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || {
            fn is_of_its_kind<D: $crate::$kind>() {}
            is_of_its_kind::<$driver>();
        };
    };
}
