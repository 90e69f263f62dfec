//! Go: the stock compiler for `wasip1`, whose modules become components by an adapter.

use super::Component;
use crate::scaffold::Project;
use crate::scaffold::toolchain::Program;

/// Go's `wasip1` needs WASI 0.1, which the SDK's adapter provides by 0.2.
const ADAPTER: &str = "adapter/wasi_snapshot_preview1.reactor.wasm";

pub fn build(project: &Project, component: &Component, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    say("building with go");
    let module = component.temporary("module.wasm");
    let go = Program::new("go", "install Go 1.24 or later: https://go.dev/dl").within(&project.source());
    // The SDK links one function of Go's runtime by name.
    go.env("CGO_ENABLED", "0")
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-buildmode=c-shared",
            "-ldflags=-checklinkname=0 -s -w -buildid=",
            "-o",
        ])
        .args([module.as_os_str(), ".".as_ref()])
        .run()?;
    component.wrap(project, &module, Some(&project.sdk().join(ADAPTER)))
}
