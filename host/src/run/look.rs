//! Starts the process behind `osiris query` and hands on what it prints.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::error::Report;
use crate::step::look::Look;

/// Runs a look in a confined process; gives its printed rows.
///
/// # Errors
/// A [`Report`] in DuckDB's words when the statement is wrong or refused.
pub fn look(look: &Look) -> anyhow::Result<String> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("osiris")
        .arg("look")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a process to look into the session")?;
    let mut stdin = child.stdin.take().context("the process has no stdin")?;
    stdin.write_all(&serde_json::to_vec(look)?)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let tables: Vec<&str> = look.tables.iter().map(|table| table.alias.as_str()).collect();
    Err(Report::input(said).hint(format!("write one SELECT over {}", crate::error::listed(tables))).into())
}
