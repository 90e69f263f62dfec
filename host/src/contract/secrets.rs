//! `osiris:driver/secrets`: the step's secrets, each handed over when the driver requests it by name.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::View;
use super::bindings::osiris::driver::secrets::{Host, HostSecret};
use crate::secrets::{Secret, Secrets};

impl Host for View<'_, Arc<Secrets>> {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Resource<Secret>>> {
        let secret = self.own.get(&pointer(&name)).cloned();
        Ok(secret.map(|secret| self.handles.push(secret)).transpose()?)
    }

    fn list(&mut self, below: String) -> wasmtime::Result<Vec<String>> {
        let whole = if below.is_empty() { below } else { pointer(&below) };
        let is_below =
            |name: &&String| name.strip_prefix(&whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        Ok(self.own.keys().filter(is_below).cloned().collect())
    }
}

/// A name as a JSON pointer; a name with dots between nested fields is equivalent.
fn pointer(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/{}", name.replace('.', "/")) }
}

impl HostSecret for View<'_, Arc<Secrets>> {
    fn reveal(&mut self, secret: Resource<Secret>) -> wasmtime::Result<String> {
        Ok(self.handles.get(&secret)?.reveal().to_owned())
    }

    fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        self.handles.delete(secret)?;
        Ok(())
    }
}
