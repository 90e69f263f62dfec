//! The environment variables that the host reads. Steps have none.

use std::ffi::OsString;

/// Where compiled drivers are kept.
pub const CACHE_FOLDER: &str = "OSIRIS_CACHE_DIR";
/// The user's cache folder, and the home folder that contains it by default.
pub const CACHE_HOME: &str = "XDG_CACHE_HOME";
pub const HOME: &str = "HOME";
/// Where cargo keeps the sources of crates, for `osiris drivers build`.
pub const CARGO_HOME: &str = "CARGO_HOME";
/// The base folder, and the folders of sessions and states, if no option names them.
pub const BASE: &str = "OSIRIS_BASE";
pub const SESSIONS: &str = "OSIRIS_SESSIONS";
pub const STATE: &str = "OSIRIS_STATE";
/// Folders to search for drivers, separated by colons.
pub const DRIVERS: &str = "OSIRIS_DRIVERS";
/// A file of certificates to trust instead of the machine's.
pub const ROOTS_FILE: &str = "SSL_CERT_FILE";
/// The key of an account of E2B, for `--on e2b`; it is in no command line.
pub const E2B_API_KEY: &str = "E2B_API_KEY";
/// Where E2B's service is, and its sandboxes, if not where they usually are.
pub const E2B_DOMAIN: &str = "E2B_DOMAIN";
pub const E2B_API_URL: &str = "E2B_API_URL";
pub const E2B_SANDBOX_URL: &str = "E2B_SANDBOX_URL";
/// Folders to search for programs, separated by colons.
pub const PATH: &str = "PATH";
/// The filter of the host's own log.
pub const LOG: &str = "OSIRIS_LOG";

/// The value of a variable, unless it is empty.
#[expect(clippy::disallowed_methods, reason = "the one place that reads a variable")]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// All variables, for the author's `${NAME}`, except those that are not valid UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place that reads all variables")]
pub fn all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
