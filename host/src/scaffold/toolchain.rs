//! Starts the programs of an author's toolchain: compilers and package managers.
//!
//! They run with the author's rights, outside of any sandbox, exactly as if the author had called them: a build runs
//! what the project and its dependencies say. Only `osiris drivers build` and `dev` start them.

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context;

use crate::error::Report;

/// How much of a failed program's output is shown, in bytes: its end.
const MOST_SHOWN: usize = 16 << 10;

/// One call of a program.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    install: String,
}

impl Program {
    /// A program found by `$PATH`; `install` says how to install it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts an author's own tools, with the author's rights"
    )]
    pub fn new(name: impl AsRef<OsStr>, install: &str) -> Self {
        let mut command = Command::new(&name);
        command.stdin(Stdio::null());
        Self { command, name: name.as_ref().to_string_lossy().into_owned(), install: install.to_owned() }
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs the program to its end; returns what it printed to stdout. Its output is only shown if it fails.
    ///
    /// # Errors
    /// A [`Report`] with the end of its output if it fails, or with the command that installs it.
    pub fn run(self) -> anyhow::Result<String> {
        let name = self.name.clone();
        let (status, stdout, stderr) = self.finish()?;
        if status.success() {
            return Ok(stdout);
        }
        let printed = format!("{}\n{}", stdout.trim_end(), stderr.trim_end());
        Err(Report::input(format!("`{name}` failed ({status}); it printed:\n{}", printed.trim()))
            .hint("correct what it printed in the driver's source or its project")
            .into())
    }

    /// What the program prints to stdout, or `None` if it fails or is not installed.
    pub fn answer(self) -> Option<String> {
        let (status, stdout, _) = self.finish().ok()?;
        status.success().then(|| stdout.trim().to_owned())
    }

    fn finish(mut self) -> anyhow::Result<(ExitStatus, String, String)> {
        let mut streams = [tempfile::tempfile(), tempfile::tempfile()].into_iter();
        let mut next = || -> std::io::Result<std::fs::File> { streams.next().unwrap_or_else(tempfile::tempfile) };
        let (mut stdout, mut stderr) = (next()?, next()?);
        self.command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let status = self.command.status().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow::Error::from(
                Report::input(format!("`{}` is not installed", self.name)).hint(self.install.clone()),
            ),
            _ => anyhow::Error::from(error).context(format!("cannot start `{}`", self.name)),
        })?;
        let whole = |file: &mut std::fs::File| -> anyhow::Result<String> {
            file.rewind().context("cannot read a program's output")?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).context("cannot read a program's output")?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok((status, whole(&mut stdout)?, end_of(&whole(&mut stderr)?)))
    }
}

/// The last lines of a text, up to a bound.
fn end_of(text: &str) -> String {
    let mut start = text.len().saturating_sub(MOST_SHOWN);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let rest = &text[start..];
    let line = if start == 0 { 0 } else { rest.find('\n').map_or(0, |end| end + 1) };
    rest[line..].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_is_quiet_unless_it_fails_and_a_missing_one_names_its_installation() {
        let shell = |script: &str| Program::new("sh", "install sh").args(["-c", script]);
        assert_eq!(shell("echo out; echo noise >&2").run().unwrap(), "out\n");
        let failed = shell("echo why >&2; exit 3").run().unwrap_err();
        let report = failed.downcast_ref::<Report>().unwrap();
        assert!(
            report.message.starts_with("`sh` failed (exit status: 3)") && report.message.ends_with("\nwhy"),
            "{report}"
        );
        assert_eq!(shell("exit 1").answer(), None);
        let missing = Program::new("no-such-program-here", "run `install it`").run().unwrap_err();
        let report = missing.downcast_ref::<Report>().unwrap();
        assert_eq!(report.message, "`no-such-program-here` is not installed");
        assert_eq!(report.hint.as_deref(), Some("run `install it`"));
    }

    #[test]
    fn of_a_long_output_the_last_lines_are_shown() {
        let text: String = (0..5000).map(|number| format!("žluť {number}\n")).collect();
        let end = end_of(&text);
        assert!(end.len() <= MOST_SHOWN && end.starts_with("žluť") && end.ends_with("4999\n"));
        assert_eq!(end_of("a\nb"), "a\nb");
    }
}
