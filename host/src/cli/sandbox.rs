//! `--require-sandbox`: nothing of a stranger's is touched where the kernel cannot confine the process that would.

use crate::error::{Fault, Report};
use crate::sandbox;

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct SandboxArguments {
    /// Refuse where the kernel cannot confine processes fully; see `osiris doctor`
    #[arg(long)]
    pub require_sandbox: bool,
}

impl SandboxArguments {
    /// Tries the sandbox where it is required. What one process is given here, all are: those that compile, run, ask and
    /// look alike.
    ///
    /// # Errors
    /// When the machine does not give all that is demanded.
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
