//! `--require-sandbox`: no untrusted code or data is touched unless the kernel can confine the process that does so.

use crate::error::{Fault, Report};
use crate::sandbox;

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct SandboxArguments {
    /// Refuse to run anything if the kernel cannot confine processes fully; see `osiris doctor`
    #[arg(long)]
    pub require_sandbox: bool,
}

impl SandboxArguments {
    /// Tries the sandbox if it is required. One test process stands for all others: the processes that compile, run,
    /// ask and look are confined in the same way.
    ///
    /// # Errors
    /// If the machine lacks a protection that is required.
    pub fn enforce(self) -> anyhow::Result<()> {
        if !self.require_sandbox {
            return Ok(());
        }
        let confinement = sandbox::tried()?;
        if confinement.is_whole() {
            return Ok(());
        }
        let message = format!("this machine gives no full confinement: {}", confinement.words());
        Err(Report { fault: Fault::Host, ..Report::input(message) }
            .hint("see `osiris doctor`, or omit `--require-sandbox`")
            .into())
    }
}
