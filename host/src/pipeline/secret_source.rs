//! Where the operator keeps a secret: in a file, or with a program that prints it. No I/O.
//!
//! Only `osiris.yaml` and `osiris_connections.yaml` name files and commands. A pipeline may come from anybody: it can only refer to
//! a secret that `osiris.yaml` declares.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::error::Report;
use crate::pipeline::retries::duration;

/// What the name of a declared secret follows in a reference: `${secret:NAME}`.
pub const SECRET: &str = "secret:";

/// What a path follows in a reference: `${file:PATH}`.
pub const FILE: &str = "file:";

/// How long a command may take, unless its declaration says otherwise, and at most.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// A secret as `osiris.yaml` declares it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDef {
    file: Option<PathBuf>,
    command: Option<String>,
    timeout: Option<String>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Relative to the base folder, or absolute.
    File(PathBuf),
    /// A command for the shell that prints it on stdout.
    Command { command: String, timeout: Duration },
}

impl SecretDef {
    /// # Errors
    /// A [`Report`] if the secret `name` has no source, two, or a wrong time limit.
    pub fn source(&self, name: &str) -> Result<SecretSource, Report> {
        let wrong = |what: &str| {
            Report::input(format!("secret `{name}` {what}"))
                .hint("write `{file: /run/secrets/name}` or `{command: pass show name, timeout: 10s}`")
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(wrong("cannot be called so: use letters, digits, `-`, `_` and `.`"));
        }
        match (&self.file, &self.command, &self.timeout) {
            (Some(file), None, None) if !file.as_os_str().is_empty() => Ok(SecretSource::File(file.clone())),
            (None, Some(command), timeout) if !command.trim().is_empty() => {
                let timeout = match timeout {
                    None => TIMEOUT,
                    Some(text) => duration(text)
                        .filter(|timeout| *timeout <= MAX_TIMEOUT && !timeout.is_zero())
                        .ok_or_else(|| wrong(&format!("has the timeout `{text}`; at most ten minutes are possible")))?,
                };
                Ok(SecretSource::Command { command: command.clone(), timeout })
            }
            (Some(_), Some(_), _) => Err(wrong("has both a `file` and a `command`")),
            (Some(_), None, Some(_)) => Err(wrong("has a `timeout`, which is for a `command`")),
            _ => Err(wrong("has neither a `file` nor a `command`")),
        }
    }
}

/// Whether a reference of that name stands for a secret, whatever it is called.
pub fn is_secret(name: &str) -> bool {
    name.starts_with(SECRET) || name.starts_with(FILE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn source(text: &str) -> Result<SecretSource, Report> {
        serde_saphyr::from_str::<SecretDef>(text).unwrap().source("pg")
    }

    #[test]
    fn a_secret_has_one_source() {
        assert_eq!(source("{file: pg.txt}").unwrap(), SecretSource::File("pg.txt".into()));
        let command =
            |seconds| SecretSource::Command { command: "pass pg".into(), timeout: Duration::from_secs(seconds) };
        assert_eq!(source("{command: pass pg}").unwrap(), command(30));
        assert_eq!(source("{command: pass pg, timeout: 2m}").unwrap(), command(120));
        for (text, message) in [
            ("{}", "neither a `file` nor a `command`"),
            ("{file: ''}", "neither"),
            ("{command: ' '}", "neither"),
            ("{file: a, command: b}", "both"),
            ("{file: a, timeout: 1s}", "`timeout`, which is for"),
            ("{command: a, timeout: 1}", "the timeout `1`"),
            ("{command: a, timeout: 1h}", "the timeout `1h`"),
        ] {
            assert!(source(text).unwrap_err().message.contains(message), "{text}");
        }
        assert!(serde_saphyr::from_str::<SecretDef>("{file: a}").unwrap().source("a b").is_err());
    }
}
