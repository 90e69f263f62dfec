//! Compiles a component, and checks its imports and exports against the contract before it ever runs.

use anyhow::{Context, bail, ensure};
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, Linker, ResourceType};

use super::State;
use super::tables::{Input, Output};
use crate::driver::spec::{self, interface};

/// The exports that the host calls.
const EXPORTS: [&str; 5] = ["extract", "transform", "load", "discover", "check"];

/// The compiled form of a component that this host can link and call.
///
/// # Errors
/// Names the feature, import or export that the host does not have, or has with another type.
pub fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let component = Component::new(engine, bytes)?;
    let linker = super::linker(engine, false)?;
    let linked = linker.instantiate_pre(&component).map_err(anyhow::Error::from);
    linked.with_context(|| {
        let (version, contract) = (env!("CARGO_PKG_VERSION"), spec::CONTRACT);
        format!("it does not fit what Osiris {version} provides, osiris:driver@{contract} and WASI 0.2")
    })?;
    check(engine, &linker, &component)?;
    Ok(component.serialize()?)
}

fn check(engine: &wasmtime::Engine, linker: &Linker<State>, component: &Component) -> anyhow::Result<()> {
    let types = linker.substituted_component_type(component)?;
    for name in EXPORTS {
        let interface = interface(name);
        let Some(export) = types.get_export(engine, &interface) else { continue };
        let run = match export.ty {
            ComponentItem::ComponentInstance(instance) => instance.get_export(engine, "run").map(|export| export.ty),
            _ => None,
        };
        let Some(ComponentItem::ComponentFunc(run)) = run else {
            bail!("its export `{interface}` has no function `run`")
        };
        ensure!(!run.async_(), "the function `run` of its export `{interface}` is async; build it as a plain function");
        ensure!(
            fits(name, &run),
            "the function `run` of its export `{interface}` has another type than in osiris:driver@{}",
            spec::CONTRACT
        );
    }
    Ok(())
}

/// Whether the function of an export has the shape that the contract gives it.
fn fits(export: &str, run: &ComponentFunc) -> bool {
    let (input, output) = (ResourceType::host::<Input>(), ResourceType::host::<Output>());
    let is_inputs = |given: &Type| matches!(given, Type::List(list) if list.ty() == Type::Own(input));
    let is_output = |given: &Type| *given == Type::Own(output);
    let parameters: Vec<Type> = run.params().map(|(_, given)| given).collect();
    let takes = match (export, parameters.as_slice()) {
        ("extract", [one]) => is_output(one),
        ("transform", [one, other]) => is_inputs(one) && is_output(other),
        ("load", [one]) => is_inputs(one),
        ("discover" | "check", []) => true,
        _ => false,
    };
    let results: Vec<Type> = run.results().collect();
    let [Type::Result(result)] = results.as_slice() else { return false };
    let gives = match export {
        "discover" => matches!(result.ok(), Some(Type::List(_))),
        "check" => result.ok() == Some(Type::String),
        _ => result.ok().is_none(),
    };
    takes && gives && matches!(result.err(), Some(Type::Record(_)))
}
