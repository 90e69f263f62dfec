//! Starts this program again: each confined process is the program itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The program's hidden command `command`, with no environment and no folder.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that names a program to run: this one, even if its path has changed"
)]
pub fn own_process(command: &str) -> Command {
    let mut own = Command::new("/proc/self/exe");
    own.arg0("osiris").arg(command).env_clear().current_dir("/");
    own
}
